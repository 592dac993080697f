"""Samplers by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from tunebook.errors import SettingError, nearest
from tunebook.samplers.auto import AutoSampler
from tunebook.samplers.bandit import BanditSampler
from tunebook.samplers.base import Sampler
from tunebook.samplers.cmaes import CmaesSampler
from tunebook.samplers.de import DESampler
from tunebook.samplers.evolution import EvolutionSampler
from tunebook.samplers.gp import GPSampler
from tunebook.samplers.grid import GridSampler
from tunebook.samplers.nsga2 import NSGA2Sampler
from tunebook.samplers.quasi import QuasiSampler
from tunebook.samplers.random import RandomSampler
from tunebook.samplers.tpe import TPESampler
from tunebook.space import Space
from tunebook.trial import Goal

SAMPLERS: Mapping[str, Callable[[Space, Goal, int], Sampler]] = {
    "auto": AutoSampler,
    "grid": GridSampler,
    "random": RandomSampler,
    "quasi": QuasiSampler,
    "tpe": TPESampler,
    "gp": GPSampler,
    "gp-per-second": partial(GPSampler, per_second=True),
    "cmaes": CmaesSampler,
    "de": DESampler,
    "evolution": EvolutionSampler,
    "nsga2": NSGA2Sampler,
    "bandit": BanditSampler,
    "listed": RandomSampler,  # a round of listed runs never asks it
}


def sampler_named(name: str, space: Space, goal: Goal, seed: int) -> Sampler:
    """A sampler. Raises SettingError for a name that is not known."""
    if name not in SAMPLERS:
        raise SettingError("unknown sampler", where="sampler", got=str(name), expected=nearest(str(name), SAMPLERS),
                           code="CONFIG-054")  # fmt: skip
    return SAMPLERS[name](space, goal, seed)
