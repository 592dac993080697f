"""Random configurations to begin with, and explore by a bandit: what population-based training asks for (PB2).

J. Parker-Holder, V. Nguyen, S. Roberts, "Provably efficient online hyperparameter optimization with population-based
bandits", NeurIPS 2020: a Gaussian process of how much the loss fell a step, over hyperparameters and time, where what
was long ago counts less; the next hyperparameters are those with the highest upper confidence bound.
"""

from __future__ import annotations

import math

import numpy as np

from tunebook.samplers.base import EXPLORED, Sampler
from tunebook.samplers.quasi import QuasiSampler
from tunebook.space import Array, Config, Value
from tunebook.trial import Trial

FEWEST = 4
CANDIDATES = 256
LENGTH, FORGET, NOISE, BOLD = 0.3, 0.2, 0.1, 1.0


class BanditSampler(QuasiSampler):
    """Quasi-random configurations; copies in a population get theirs from a bandit over what the population has seen.

    Before four stretches of at least two measurements are known, copies are perturbed as in ``Sampler.explore``.
    """

    def explore(self, config: Config, number: int) -> Config:
        names = self.mutable(config)
        known = [(t, gain) for t in self.told if (gain := self._gain(t)) is not None]
        if not names or len(known) < FEWEST:
            return Sampler.explore(self, config, number)
        columns = [self.space.names.index(n) for n in names]
        units = self.space.encode([t.config for t, _ in known])[:, columns]
        times = np.array([t.step for t, _ in known], dtype=np.float64) / max(t.step for t, _ in known)
        gains = np.array([gain for _, gain in known])
        gains = (gains - gains.mean()) / (gains.std() or 1.0)
        rng = np.random.default_rng([self.seed, number, EXPLORED])
        drawn = rng.random((CANDIDATES, len(columns)))
        near = self.space.encode([config])[0, columns] + 0.1 * rng.standard_normal((CANDIDATES, len(columns)))
        tried = np.concatenate([drawn, np.clip(near, 0.0, 1.0)])
        best = tried[int(np.argmax(_bound(np.nan_to_num(units, nan=0.5), times, gains, tried)))]
        codes = self.space.encode([config])
        codes[0, columns] = best
        changed: dict[str, Value] = dict(config)
        return {**changed, **{n: v for n, v in self.space.decode(codes)[0].items() if n in names}}

    def _gain(self, trial: Trial) -> float | None:
        """How much the loss fell a step along the trial's own curve; None where that cannot be said."""
        told = [(m.step, self.goal.loss(m.metrics.get(self.goal.metric, math.nan))) for m in trial.curve]
        told = [(step, loss) for step, loss in told if math.isfinite(loss)]
        if len(told) < 2:
            return None
        return (told[0][1] - told[-1][1]) / (told[-1][0] - told[0][0])


def _bound(units: Array, times: Array, gains: Array, tried: Array) -> Array:
    """The upper confidence bound (m,) at ``tried`` (m, d) now, from gains (n,) seen at ``units`` (n, d) and times."""

    def kernel(a: Array, b: Array, apart: Array) -> Array:
        far = ((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2) / LENGTH**2
        return np.asarray(np.exp(-0.5 * far) * (1 - FORGET) ** (5 * apart))

    K = kernel(units, units, np.abs(times[:, None] - times[None, :])) + NOISE * np.eye(len(units))
    k = kernel(tried, units, np.abs(1.0 - times)[None, :])
    mean = k @ np.linalg.solve(K, gains)
    spread = np.maximum(1.0 - np.einsum("ij,ji->i", k, np.linalg.solve(K, k.T)), 0.0)
    return np.asarray(mean + BOLD * np.sqrt(spread))
