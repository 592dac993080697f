"""Differential evolution: a population of slots, each challenged by a mix of others.

R. Storn, K. Price, "Differential evolution", J. Global Optimization 11 (1997): rand/1/bin. As a part of a tuner, with
all kinds of hyperparameters scaled to [0, 1] and what leaves it drawn anew: N. Awad, N. Mallik, F. Hutter, "DEHB:
evolutionary Hyperband for scalable, robust and efficient hyperparameter optimization", IJCAI 2021.

    v = a + F (b - c)    a, b, c of three other slots
    u_j = v_j with probability C, and for one axis in any case, else the slot's own x_j
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tunebook.errors import SettingError
from tunebook.samplers._ranking import places
from tunebook.samplers._variation import filled, generator, start
from tunebook.samplers.base import History, Sampler
from tunebook.samplers.quasi import QuasiSampler
from tunebook.space import Array, Space
from tunebook.trial import Goal

FEWEST = 4


class DESampler(Sampler):
    """Differential evolution for numeric spaces with hundreds of trials.

    Trial k challenges slot k modulo ``population``; a slot holds the best of what challenged it, so that workers need
    not wait for each other. An option of an unordered choice is that of a where b and c agree, else one of the three.
    Raises SettingError.
    """

    def __init__(
        self, space: Space, goal: Goal, seed: int = 0, population: int = 12, F: float = 0.5, C: float = 0.7
    ) -> None:
        super().__init__(space, goal, seed)
        if population < FEWEST or not 0 < F <= 2 or not 0 < C <= 1:
            raise SettingError("differential evolution cannot work with this", where="population, F, C",
                               got=f"{population}, {F}, {C}",
                               expected=f"a population of {FEWEST} or more, 0 < F <= 2, 0 < C <= 1")  # fmt: skip
        self.population, self.F, self.C = population, F, C
        self._quasi = QuasiSampler(space, goal, seed)
        self._unordered = np.array([a.parameter.unordered for a in space.axes], dtype=bool)

    def propose(self, n: int, first: int, history: History, pending: Array, rng: np.random.Generator) -> Array:
        if len(history) < self.population or not self.space.dim:
            return start(self, self._quasi, first, n, len(history) + len(pending))
        holders = self._holders(history)
        out = [self._challenger(history.X, holders, first + i) for i in range(n)]
        return np.array(out).reshape(n, self.space.dim)

    def _holders(self, history: History) -> npt.NDArray[np.int64]:
        """Which row holds each slot, -1 where none ever challenged it."""
        out = np.full(self.population, -1, dtype=np.int64)
        best_last = np.argsort(-places(history), kind="stable")
        out[history.number[best_last] % self.population] = best_last
        return out

    def _challenger(self, X: Array, holders: npt.NDArray[np.int64], number: int) -> Array:
        rng, dim = generator(self, number), self.space.dim
        slot = number % self.population
        others = rng.choice(np.delete(np.arange(self.population), slot), 3, replace=False)
        rows = holders[[slot, *others]]
        known = np.where((rows >= 0)[:, None], X[np.maximum(rows, 0)], rng.random((4, dim)))
        x, a, b, c = filled(known, rng)
        v = a + self.F * (b - c)
        v = np.where((v < 0) | (v > 1), rng.random(dim), v)
        one = np.array([a, b, c])[rng.integers(3, size=dim), np.arange(dim)]
        v = np.where(self._unordered, np.where(b == c, a, one), v)
        crossed = rng.random(dim) < self.C
        crossed[rng.integers(dim)] = True
        return np.where(crossed, v, x)
