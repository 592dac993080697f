"""How far two trainings of one configuration, or two steps of one training, lie apart by chance."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincinv

from tunebook.analysis.trend import step_noise
from tunebook.trial import Goal, Status, Trial, groups

LATE = 0.2
FEWEST = 8


@dataclass(frozen=True)
class Spread:
    """A standard deviation with its chi-square interval; ``dof`` degrees of freedom, 0 where there was no repeat."""

    sd: float
    low: float
    high: float
    dof: int


def within(trials: Iterable[Trial], goal: Goal, level: float = 0.95) -> Spread:
    """Spread of the metric over repeats of one configuration (other seeds, folds), pooled over configurations.

    Only repeats that came as far as the furthest of their configuration count; final trainings do not.
    """
    squares, dof = 0.0, 0
    for group in groups(t for t in trials if not t.context.final and t.status is not Status.FAILED):
        furthest = max(t.step for t in group.trials)
        told = [v for t in group.trials if t.step == furthest and math.isfinite(v := t.value(goal))]
        if len(told) > 1:
            squares += float(np.var(told)) * len(told)
            dof += len(told) - 1
    if dof == 0:
        return Spread(math.nan, math.nan, math.nan, 0)
    tail = 0.5 * (1.0 - level)
    # the quantile q of chi squared is 2 P^-1(dof / 2, q)
    low = squares / (2.0 * gammaincinv(0.5 * dof, 1.0 - tail))
    high = squares / (2.0 * gammaincinv(0.5 * dof, tail))
    return Spread(math.sqrt(squares / dof), math.sqrt(low), math.sqrt(high), dof)


def late(trials: Sequence[Trial], metric: str, share: float = LATE) -> list[float]:
    """Step-to-step noise (standard deviation) of each trial's metric over the last ``share`` of its steps.

    At least 8 points are taken where there are; NaN for a trial with fewer than 4.
    """
    out = []
    for t in trials:
        told = [m.metrics[metric] for m in t.curve if math.isfinite(m.metrics.get(metric, math.nan))]
        points = max(FEWEST, math.ceil(share * len(told)))
        out.append(step_noise(np.array(told[-points:], dtype=np.float64)))
    return out
