"""Random search: every configuration independently and uniformly on the scales of the space.

J. Bergstra, Y. Bengio, "Random search for hyper-parameter optimization", JMLR 13 (2012).
"""

from __future__ import annotations

import numpy as np

from tunebook.samplers._belief import Belief
from tunebook.samplers.base import History, Sampler
from tunebook.space import Array, Space
from tunebook.trial import Goal


class RandomSampler(Sampler):
    """Uniform draws, or as ``likely`` says in the space. A trial's draw depends on the seed and its number only, so
    parallelism changes nothing."""

    def __init__(self, space: Space, goal: Goal, seed: int = 0) -> None:
        super().__init__(space, goal, seed)
        self._belief = Belief(space)

    def propose(self, n: int, first: int, history: History, pending: Array, rng: np.random.Generator) -> Array:
        rows = [np.random.default_rng([self.seed, first + i]).random(self.space.dim) for i in range(n)]
        return self._belief.bent(np.array(rows, dtype=np.float64).reshape(n, self.space.dim))
