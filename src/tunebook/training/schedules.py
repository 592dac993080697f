"""Learning-rate schedules: the factor on the base learning rate, as pure functions.

Notation: t the step, 0 ... total - 1; total the number of steps of the full training, whatever part of it a run does.

    constant      1
    step          gamma ** (drops that have passed), drops evenly spaced over the training
    exponential   floor ** (t / total), floor 0.01
    cosine        floor + (1 - floor) (1 + cos(pi t / total)) / 2    (Loshchilov and Hutter 2017, arXiv:1608.03983, 5)
    linear        1 - (1 - floor) t / total
    one_cycle     up from 1 / 25 and down to 1 / 250,000, each half a cosine wave    (Smith and Topin 2018)
    plateau       times gamma whenever the goal metric has not improved for ``plateau_patience`` epochs

A warm-up of w steps, (t + 1) / w, comes before any of them (Goyal et al. 2017, arXiv:1706.02677, section 2.2); the
schedule proper then runs over the remaining steps. While weights are averaged (``swa``), the rate may leave the
schedule for a constant one (Izmailov et al. 2018, arXiv:1803.05407, section 3.2).

All but plateau are functions of the step; plateau is one of the curve so far, which a checkpoint holds, so a resumed
run has the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from tunebook.space import Config
from tunebook.training.settings import picked, real, whole
from tunebook.trial import Goal, Measurement

Schedule = Callable[[int], float]
Reduction = Callable[[Sequence[Measurement]], float]


def constant() -> Schedule:
    """The base learning rate throughout."""
    return lambda t: 1.0


def step(total: int, drops: int = 2, gamma: float = 0.1) -> Schedule:
    """Multiplied by ``gamma`` at each of ``drops`` evenly spaced places: with 2, after 1/3 and 2/3 of the training."""
    return lambda t: gamma ** min(drops, t * (drops + 1) // total)


def cosine(total: int, floor: float = 0.0) -> Schedule:
    """From 1 down half a cosine wave to ``floor`` at step ``total``."""
    return lambda t: floor + (1.0 - floor) * (1.0 + math.cos(math.pi * min(t, total) / total)) / 2.0


def linear(total: int, floor: float = 0.0) -> Schedule:
    """From 1 straight down to ``floor`` at step ``total``."""
    return lambda t: 1.0 - (1.0 - floor) * min(t, total) / total


def exponential(total: int, floor: float = 0.01) -> Schedule:
    """From 1 down to ``floor`` at step ``total``, by the same factor each step."""
    return lambda t: floor ** (min(t, total) / total)


def one_cycle(total: int, rise: float = 0.3, start: float = 0.04, end: float = 4e-6) -> Schedule:
    """Up from ``start`` to 1 over the share ``rise`` of the steps, then down to ``end`` at the last one, by cosines.

    Smith and Topin 2018, arXiv:1708.07120, in the form that Howard and Gugger gave it (fastai), which torch has too.
    They lower the momentum while the rate rises; here momentum stays as it is.
    """
    top, last = rise * total - 1, total - 1

    def factor(t: int) -> float:
        low, done = (start, t / top) if t <= top and top > 0 else (end, 1 - (t - top) / ((last - top) or 1))
        return low + (1.0 - low) * (1.0 - math.cos(math.pi * max(0.0, done))) / 2.0

    return factor


def plateau(
    goal: Goal, gamma: float = 0.1, patience: int = 5, threshold: float = 1e-4, cooldown: int = 0, floor: float = 0.0
) -> Reduction:
    """curve -> factor for the next epoch: ``gamma`` for each time that more than ``patience`` epochs were no better.

    As torch's ReduceLROnPlateau has it: better is by more than ``threshold`` of the best (relative), an epoch that is
    not finite is no better, and ``cooldown`` epochs after a reduction do not count. The factor ends at ``floor``. The
    metric is the goal's; where there is no validation part, it is that of the training part.
    """

    def factor(history: Sequence[Measurement]) -> float:
        held, best, bad, cooling = 1.0, math.inf, 0, 0
        for m in history:
            told = m.metrics.get(goal.metric, m.metrics.get(f"train_{goal.metric}", math.nan))
            loss = goal.loss(told)
            if loss < best - threshold * abs(best) if math.isfinite(best) else loss < best:
                best, bad = loss, 0
            else:
                bad += 1
            if cooling:
                cooling, bad = cooling - 1, 0
            if bad > patience:
                held, cooling, bad = max(floor, held * gamma), cooldown, 0
        return held

    return factor


def warmed(schedule: Schedule, steps: int) -> Schedule:
    """The schedule after ``steps`` steps of linear warm-up from 1 / steps to 1."""
    if steps == 0:
        return schedule
    return lambda t: (t + 1) / steps if t < steps else schedule(t - steps)


def settled(schedule: Schedule, start: int, rate: float, steps: int = 0) -> Schedule:
    """The schedule up to step ``start``, then half a cosine wave over ``steps`` steps to ``rate``, which is kept."""
    left = schedule(start)

    def factor(t: int) -> float:
        if t < start:
            return schedule(t)
        done = min(1.0, (t - start) / steps) if steps else 1.0
        return rate + (left - rate) * (1.0 + math.cos(math.pi * done)) / 2.0

    return factor


SCHEDULES: Mapping[str, Callable[[Config, int], Schedule]] = {
    "constant": lambda told, total: constant(),
    "step": lambda told, total: step(total, whole(told, "drops", 2, 1), real(told, "gamma", 0.1, 0.0, 1.0)),
    "exponential": lambda told, total: exponential(total, real(told, "floor", 0.01, 1e-12, 1.0)),
    "cosine": lambda told, total: cosine(total, real(told, "floor", 0.0, 0.0, 1.0)),
    "linear": lambda told, total: linear(total, real(told, "floor", 0.0, 0.0, 1.0)),
    "one_cycle": lambda told, total: one_cycle(
        total,
        real(told, "rise", 0.3, 0.0, 1.0),
        real(told, "bottom", 0.04, 0.0, 1.0),
        real(told, "floor", 4e-6, 0.0, 1.0),
    ),
    "plateau": lambda told, total: constant(),  # what it does depends on the curve: see ``reduction_of``
}


def schedule_of(config: Config, total: int) -> Schedule:
    """The schedule that a configuration names, over ``total`` steps.

    Reads ``schedule`` (default constant) and its settings, nested below the choice or beside it: ``floor`` (default 0,
    exponential 0.01, one_cycle 4e-6), ``drops`` 2, ``gamma`` 0.1, ``rise`` 0.3 and ``bottom`` 0.04 of one_cycle; and
    ``warmup``: the share of the steps that warm up, 0 to 1. With ``swa``, after that share of the steps the factor goes
    to ``swa_rate`` (default 0: it follows the schedule as before) within the share ``swa_anneal`` (default 0: at once).
    """
    name, told = picked(config, "schedule", "constant", SCHEDULES)
    warmup = round(real(told, "warmup", 0.0, 0.0, 1.0) * total)
    schedule = warmed(SCHEDULES[name](told, max(1, total - warmup)), warmup)
    swa, rate = real(config, "swa", 0.0, 0.0, 1.0), real(config, "swa_rate", 0.0)
    if not swa or not rate:
        return schedule
    return settled(schedule, round(swa * total), rate, round(real(config, "swa_anneal", 0.0, 0.0, 1.0) * total))


def reduction_of(config: Config, goal: Goal) -> Reduction:
    """The factor of an epoch that depends on the curve before it: 1, unless the schedule is plateau.

    Reads ``gamma`` 0.1, ``plateau_patience`` 5, ``threshold`` 1e-4, ``cooldown`` 0 and ``floor`` 0.
    """
    name, told = picked(config, "schedule", "constant", SCHEDULES)
    if name != "plateau":
        return lambda history: 1.0
    return plateau(
        goal,
        real(told, "gamma", 0.1, 0.0, 1.0),
        whole(told, "plateau_patience", 5),
        real(told, "threshold", 1e-4, 0.0, 1.0),
        whole(told, "cooldown", 0),
        real(told, "floor", 0.0, 0.0, 1.0),
    )
