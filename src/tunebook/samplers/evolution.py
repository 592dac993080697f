"""Regularized evolution: the youngest configurations compete, the winner has a child that differs in one axis.

E. Real, A. Aggarwal, Y. Huang, Q. V. Le, "Regularized evolution for image classifier architecture search", AAAI 2019,
algorithm 1. The population is the youngest part of the history, so that what was lucky once dies of age.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt

from tunebook.errors import SettingError
from tunebook.samplers._ranking import places
from tunebook.samplers._variation import changed, filled, generator, keys, start, unknown
from tunebook.samplers.base import History, Sampler
from tunebook.samplers.quasi import QuasiSampler
from tunebook.space import Array, Space
from tunebook.trial import Goal


class EvolutionSampler(Sampler):
    """Aging evolution for large and architecture-like spaces: many choices, layers that exist or not.

    The first ``population`` configurations are the default and quasi-random ones. From then on ``sample`` of the
    youngest ``population`` are drawn, and the best of them is copied with one active axis changed: another option,
    another number. What becomes active by that is drawn at random; what was active stays. Raises SettingError.
    """

    def __init__(self, space: Space, goal: Goal, seed: int = 0, population: int = 24, sample: int = 8) -> None:
        super().__init__(space, goal, seed)
        if not 1 <= sample <= population:
            raise SettingError("evolution draws its sample from its population", where="population, sample",
                               got=f"{population}, {sample}", expected="1 <= sample <= population")  # fmt: skip
        self.population, self.sample = population, sample
        self._quasi = QuasiSampler(space, goal, seed)

    def propose(self, n: int, first: int, history: History, pending: Array, rng: np.random.Generator) -> Array:
        if len(history) < self.population or not self.space.dim:
            return start(self, self._quasi, first, n, len(history) + len(pending))
        youngest = history.at(slice(len(history) - self.population, None))
        place = places(youngest)
        known = set(keys(np.concatenate([history.X, pending])))
        out = []
        for i in range(n):
            own = generator(self, first + i)
            out.append(unknown(self.space, partial(self._child, youngest, place, own), known))
        return np.array(out).reshape(n, self.space.dim)

    def _child(self, youngest: History, place: npt.NDArray[np.int64], rng: np.random.Generator) -> Array:
        drawn = rng.choice(len(youngest), self.sample, replace=False)
        parent = youngest.X[drawn[np.argmin(place[drawn])]]
        child = filled(parent, rng)
        j = int(rng.choice(np.flatnonzero(~np.isnan(parent))))
        child[j] = changed(self.space, child, j, rng)
        return child
