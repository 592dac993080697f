"""Learning-rate schedules: pure functions of the step, returning the factor on the base learning rate.

Notation: t the step, 0 ... total - 1; total the number of steps of the full training, whatever part of it a run does.

    constant   1
    step       gamma ** (drops that have passed), drops evenly spaced over the training
    cosine     floor + (1 - floor) (1 + cos(pi t / total)) / 2    (Loshchilov and Hutter 2017, arXiv:1608.03983, 5)
    linear     1 - (1 - floor) t / total

A warm-up of w steps, (t + 1) / w, comes before any of them (Goyal et al. 2017, arXiv:1706.02677, section 2.2); the
schedule proper then runs over the remaining steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from tunebook.space import Config
from tunebook.training.settings import picked, real, whole

Schedule = Callable[[int], float]


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


def warmed(schedule: Schedule, steps: int) -> Schedule:
    """The schedule after ``steps`` steps of linear warm-up from 1 / steps to 1."""
    if steps == 0:
        return schedule
    return lambda t: (t + 1) / steps if t < steps else schedule(t - steps)


SCHEDULES: Mapping[str, Callable[[Config, int], Schedule]] = {
    "constant": lambda told, total: constant(),
    "step": lambda told, total: step(total, whole(told, "drops", 2, 1), real(told, "gamma", 0.1, 0.0, 1.0)),
    "cosine": lambda told, total: cosine(total, real(told, "floor", 0.0, 0.0, 1.0)),
    "linear": lambda told, total: linear(total, real(told, "floor", 0.0, 0.0, 1.0)),
}


def schedule_of(config: Config, total: int) -> Schedule:
    """The schedule that a configuration names, over ``total`` steps.

    Reads ``schedule`` (constant, step, cosine, linear; default constant) and its settings ``floor``, ``drops``,
    ``gamma``, nested below the choice or beside it, and ``warmup``: the share of the steps that warm up, 0 to 1.
    """
    name, told = picked(config, "schedule", "constant", SCHEDULES)
    warmup = round(real(told, "warmup", 0.0, 0.0, 1.0) * total)
    return warmed(SCHEDULES[name](told, max(1, total - warmup)), warmup)
