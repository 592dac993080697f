"""NSGA-II: evolution towards a whole front, for several goals and limits.

K. Deb, A. Pratap, S. Agarwal, T. Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE
Transactions on Evolutionary Computation 6 (2002). Crossover and mutation: K. Deb, R. B. Agrawal, "Simulated binary
crossover for continuous search space", Complex Systems 9 (1995); K. Deb, M. Goyal, "A combined genetic adaptive search
(GeneAS) for engineering design", Computer Science and Informatics 26 (1996). One child at a time, so that workers need
not wait for a generation: J. J. Durillo et al., "On the effect of the steady-state selection scheme in multi-objective
genetic algorithms", EMO 2009.

    crossover    c = 1/2 ((1 + s) a + (1 - s) b), s = (2 r)^(1/(eta + 1)) or (2 (1 - r))^(-1/(eta + 1)), r uniform
    mutation     c + d, d = (2 r)^(1/(eta + 1)) - 1 or 1 - (2 (1 - r))^(1/(eta + 1))
"""

from __future__ import annotations

from functools import partial

import numpy as np

from tunebook.errors import SettingError
from tunebook.samplers._ranking import places
from tunebook.samplers._variation import changed, filled, generator, keys, start, unknown
from tunebook.samplers.base import History, Sampler
from tunebook.samplers.quasi import QuasiSampler
from tunebook.space import Array, Space
from tunebook.trial import Goal

CROSSED = 0.9
NEAR_PARENTS, NEAR_CHILD = 10.0, 20.0


class NSGA2Sampler(Sampler):
    """NSGA-II over all that is known: the parents are the best ``population`` of the whole history, by limits, front
    and crowding. Works with one goal too. Raises SettingError.
    """

    def __init__(self, space: Space, goal: Goal, seed: int = 0, population: int = 20) -> None:
        super().__init__(space, goal, seed)
        if population < 2:
            raise SettingError("a population has two members at least", where="population", got=repr(population))
        self.population = population
        self._quasi = QuasiSampler(space, goal, seed)
        self._unordered = np.array([a.parameter.unordered for a in space.axes], dtype=bool)
        self._sizes = np.array([a.parameter.size for a in space.axes])

    def propose(self, n: int, first: int, history: History, pending: Array, rng: np.random.Generator) -> Array:
        if len(history) < self.population or not self.space.dim:
            return start(self, self._quasi, first, n, len(history) + len(pending))
        parents = history.X[np.argsort(places(history), kind="stable")[: self.population]]
        known = set(keys(np.concatenate([history.X, pending])))
        out = [unknown(self.space, partial(self._child, parents, generator(self, first + i)), known) for i in range(n)]
        return np.array(out).reshape(n, self.space.dim)

    def _child(self, parents: Array, rng: np.random.Generator) -> Array:
        dim = self.space.dim
        # rows stand from best to worst: the better of two is the one that stands first
        one, other = rng.integers(len(parents), size=(2, 2)).min(axis=1)
        active = ~np.isnan(parents[one])
        a, b = filled(parents[[one, other]], rng)
        child = a.copy()
        if rng.random() < CROSSED:
            r = rng.random(dim)
            power = 1.0 / (NEAR_PARENTS + 1.0)
            s = np.where(r < 0.5, (2.0 * r) ** power, (2.0 * (1.0 - r)) ** -power) * rng.choice((-1.0, 1.0))
            mixed = np.where(self._unordered, b, 0.5 * ((1.0 + s) * a + (1.0 - s) * b))
            child = np.clip(np.where(rng.random(dim) < 0.5, mixed, a), 0.0, 1.0)
        for j in np.flatnonzero(rng.random(dim) < 1.0 / max(1, active.sum())).tolist():
            child[j] = changed(self.space, child, j, rng) if self._sizes[j] else _moved(child[j], rng)
        return np.asarray(child)


def _moved(u: float, rng: np.random.Generator) -> float:
    """Polynomial mutation of a number in [0, 1]."""
    r, power = rng.random(), 1.0 / (NEAR_CHILD + 1.0)
    d = (2.0 * r) ** power - 1.0 if r < 0.5 else 1.0 - (2.0 * (1.0 - r)) ** power
    return float(np.clip(u + d, 0.0, 1.0))
