"""What the checks of learning curves share."""

from __future__ import annotations

import math

import numpy as np

from tunebook.analysis.curves import top
from tunebook.diagnose.base import Evidence
from tunebook.space import Array
from tunebook.trial import Goal, Status, Trial


def losses(trial: Trial, metric: str, goal: Goal) -> tuple[Array, Array]:
    """Steps (s,) and losses (s,) of a metric that runs in the goal's direction, finite ones only."""
    told = [(m.step, goal.loss(m.metrics[metric])) for m in trial.curve if metric in m.metrics]
    sound = np.array([(s, v) for s, v in told if math.isfinite(v)], dtype=np.float64).reshape(-1, 2)
    return sound[:, 0], sound[:, 1]


def trained(evidence: Evidence) -> list[Trial]:
    """Search trials with a curve that did not fail."""
    return [t for t in evidence.trials if t.curve and t.status is not Status.FAILED and not t.context.final]


def contenders(evidence: Evidence, least: int = 5) -> list[Trial]:
    """The best tenth of the configurations (at least 5), one trial each, of those that were trained furthest."""
    told = trained(evidence)
    if not told:
        return []
    furthest = max(t.step for t in told)
    whole = [t for t in told if t.step >= 0.9 * furthest]
    return top(whole, evidence.space, evidence.goal, max(least, round(0.1 * len(told))))
