"""How trainings begin: how much measurements jump about, and whether most trials get anywhere at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from tunebook.goal import Goal
from tunebook.trial import Status, Trial

FEWEST = 8
LOOKED_AT = 64
LAST = 5
CLEAR, ROUGH, OUT, NEXT_TO_NOTHING = 2.0, 0.1, 6.0, 0.05
# of normal noise, the second difference has 6 times the variance, and the median of its size is 0.6745 of its sd
ONE_SD = 1 / (0.6745 * 6**0.5)


def bends(trial: Trial, goal: Goal) -> list[float]:
    """Sizes of the second differences of the last five losses, those that are finite."""
    v = [goal.loss(m.metrics.get(goal.metric, math.nan)) for m in trial.curve[-LAST:]]
    told = (abs(a - 2 * b + c) for a, b, c in zip(v, v[1:], v[2:], strict=False))
    return [b for b in told if math.isfinite(b)]


def jump(trials: Sequence[Trial], goal: Goal) -> float:
    """How much measurements jump about, as a standard deviation: by the median of ``bends``, over the first 64 trials,
    so that a slope does not count. 0 where there are none."""
    told = [b for t in trials[:LOOKED_AT] if t.status is not Status.FAILED for b in bends(t, goal)]
    return median(told) * ONE_SD if told else 0.0


def begun(trials: Sequence[Trial], start: int) -> list[Trial]:
    """Those of the first 64 trials that have come to step ``start``, with three measurements."""
    return [t for t in trials[:LOOKED_AT]
            if t.step >= start and len(t.curve) >= 3 and t.status is not Status.FAILED]  # fmt: skip


def stuck(trials: Sequence[Trial], goal: Goal, start: int) -> bool:
    """Whether more than half of the first 8 trials that came to step ``start`` got nowhere: from the first measurement
    to there they gained no more than measurements jump about, or than a twentieth of what the best of all is ahead of
    them. Later ones say less: who came so far was chosen.

    Under noise the same can be seen without being so. It is noise where it is more than a tenth of the loss itself
    and nobody stands out.
    """
    here = begun(trials, start)[:FEWEST]
    if len(here) < FEWEST:
        return False
    levels = [t.loss(goal, upto=start) for t in here]
    firsts = [goal.loss(t.curve[0].metrics.get(goal.metric, math.nan)) for t in here]
    rough, ahead = jump(here, goal), median(levels) - min(t.loss(goal) for t in trials[:LOOKED_AT])
    least = max(CLEAR * rough, NEXT_TO_NOTHING * ahead)
    if 2 * sum(not f - v > least for f, v in zip(firsts, levels, strict=True)) <= len(here):
        return False
    return rough <= ROUGH * abs(median(levels)) or best_stands_out(trials, goal, start)


def best_stands_out(trials: Sequence[Trial], goal: Goal, start: int) -> bool:
    """Whether the best loss of all is further below the median of the first 8 trials than noise makes it."""
    here = begun(trials, start)[:FEWEST]
    if len(here) < FEWEST:
        return False
    middle, best = median(t.loss(goal, upto=start) for t in here), min(t.loss(goal) for t in trials)
    return middle - best > OUT * jump(here, goal)
