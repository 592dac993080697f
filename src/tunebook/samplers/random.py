"""Random search: every configuration independently and uniformly on the scales of the space.

J. Bergstra, Y. Bengio, "Random search for hyper-parameter optimization", JMLR 13 (2012).
"""

from __future__ import annotations

import numpy as np

from tunebook.samplers.base import History, Sampler
from tunebook.space import Array


class RandomSampler(Sampler):
    """Uniform draws. A trial's draw depends on the seed and its number only, so parallelism changes nothing."""

    def propose(self, n: int, first: int, history: History, pending: Array, rng: np.random.Generator) -> Array:
        rows = [np.random.default_rng([self.seed, first + i]).random(self.space.dim) for i in range(n)]
        return np.array(rows, dtype=np.float64).reshape(n, self.space.dim)
