"""What a report shows of trials that were not trained to the end: where their curves were going."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tunebook.report.base import Series
from tunebook.schedulers.forecast import Curves, fan
from tunebook.trial import Goal, Status, Trial

FEWEST = 3
MOST = 200


def fans(trials: Sequence[Trial], goal: Goal, steps: int, most: int = 2) -> list[Series]:
    """Bands for the ``most`` unfinished trials that are foreseen to end best, from their last step to ``steps``.

    None before three trials have come further than the first of them. The 200 trials that came furthest are used.
    """
    told = [t for t in trials if _losses(t, goal)[0] and t.status is not Status.FAILED and t.parent is None]
    told = sorted(told, key=lambda t: (-t.step, t.number))[:MOST]
    short = [i for i, t in enumerate(told) if t.step < steps and t.status in (Status.PAUSED, Status.RUNNING)]
    if not short or sum(t.step > told[short[-1]].step for t in told) < FEWEST:
        return []
    curves = [_losses(t, goal) for t in told]
    known = Curves(curves, steps)
    ahead = sorted((known.forecast(i).quantile(0.5), told[i].number, i) for i in short)[:most]
    out = []
    for _, number, i in ahead:
        seen = fan(curves, i, steps)
        ends = (seen.low, seen.high) if goal.sign == 1 else (seen.high, seen.low)
        middle, lower, upper = ([goal.value(v) for v in told] for told in (seen.middle, *ends))
        name = f"trial {number}, foreseen (90 % band)"
        out.append(Series(name, seen.steps, middle, lower, upper, dash="dotted", tone="muted"))
    return out


def _losses(trial: Trial, goal: Goal) -> tuple[list[int], list[float]]:
    """Steps and losses, where the metric was measured and is finite."""
    told = [(m.step, goal.loss(m.metrics.get(goal.metric, math.nan))) for m in trial.curve]
    sound = [(step, loss) for step, loss in told if math.isfinite(loss)]
    return [s for s, _ in sound], [v for _, v in sound]
