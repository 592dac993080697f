"""Quasi-random search: points that fill the space more evenly than random ones, and know nothing of the results.

The points of a study are a fixed sequence: the point of a trial depends on the seed and the trial's number only. So
neither the number of workers nor an interruption changes the set, and the trials can be scored again by another goal.

I. M. Sobol', USSR Comput. Math. Math. Phys. 7 (1967); scrambled as in A. B. Owen, J. Complexity 14 (1998).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tunebook.errors import SettingError, nearest
from tunebook.samplers._halton import Halton
from tunebook.samplers.base import History, Sampler
from tunebook.space import Array, Space
from tunebook.trial import Goal

BLOCK = 256
MOST_AXES = 21_201
KINDS = ("sobol", "halton")


class QuasiSampler(Sampler):
    """A scrambled Sobol or Halton sequence over all axes; where an axis is inactive its coordinate is not looked at.

    ``kind`` is ``"sobol"`` (Halton's is used beyond the 21,201 axes that Sobol's direction numbers reach) or
    ``"halton"``. The projection of the sequence on any subset of axes is evenly spread too, so that the axes below
    an option are covered among the trials that have it. Raises SettingError for another kind.
    """

    def __init__(self, space: Space, goal: Goal, seed: int = 0, kind: str = "sobol") -> None:
        super().__init__(space, goal, seed)
        if kind not in KINDS:
            raise SettingError("unknown sequence", where="kind", got=repr(kind), expected=nearest(str(kind), KINDS))
        self.kind = kind
        self._halton: Halton | None = None
        self._blocks: dict[int, Array] = {}
        self._engine: Any = None
        self._next = 0

    def propose(self, n: int, first: int, history: History, pending: Array, rng: np.random.Generator) -> Array:
        return self.points(first, n)

    def points(self, first: int, n: int) -> Array:
        """Points ``first``, ``first + 1``, ... of the sequence: (n, dim) in [0, 1)."""
        if n < 1 or self.space.dim == 0:
            return np.empty((max(n, 0), self.space.dim))
        if self.kind == "halton" or self.space.dim > MOST_AXES:
            self._halton = self._halton or Halton(self.space.dim, np.random.default_rng(self.seed))
            return self._halton.points(first, n)
        return np.array([self._block((first + i) // BLOCK)[(first + i) % BLOCK] for i in range(n)])

    def _block(self, block: int) -> Array:
        """Points ``block * BLOCK`` and following; kept, since a study walks through them in order."""
        if block not in self._blocks:
            if self._engine is None or block < self._next:
                self._engine, self._next = self._begin(), 0
            if block > self._next:
                self._engine.fast_forward((block - self._next) * BLOCK)
            self._blocks = {k: v for k, v in self._blocks.items() if k == block - 1}
            self._blocks[block] = np.asarray(self._engine.random(BLOCK), dtype=np.float64)
            self._next = block + 1
        return self._blocks[block]

    def _begin(self) -> Any:
        from scipy.stats.qmc import Sobol  # noqa: PLC0415  (scipy.stats takes half a second to import)

        return Sobol(self.space.dim, scramble=True, seed=np.random.default_rng(self.seed))
