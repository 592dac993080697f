"""Learning-curve problems of our own, the only ones to develop schedulers on.

Each is a surface of final losses over a space like a network's, and for every configuration a curve that goes there:
how fast depends on the configuration too, so that what learns slowly but well crosses what learns quickly and badly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from problems import Array, Curve, Problem  # (beside this file)
from tunebook.space import Choice, Config, Float, Int, Space

FULL_RUNS = 20


class Synthetic(Problem):
    """A training of ``steps`` steps in ``dim`` hyperparameters; the learning rate comes first.

    ``crossing`` says how much slower what ends well is; ``noise`` is that of a measurement, ``cliff`` the share of the
    learning rate's range where training diverges, ``uneven`` whether trainings differ in cost.
    """

    def __init__(self, name: str, seed: int, steps: int = 50, dim: int = 7, *, crossing: float = 1.0,
                 noise: float = 0.003, cliff: float = 0.2, uneven: bool = False) -> None:  # fmt: skip
        self.name, self.steps, self.crossing, self.sd, self.cliff, self.uneven = (
            name, steps, crossing, noise, cliff, uneven)  # fmt: skip
        rest = {f"x{j}": Float(0, 1) for j in range(dim - 4)}
        self.space = Space({"lr": Float(1e-5, 1, log=True), "batch": Int(16, 512, log=True), "layers": Int(1, 6),
                            "act": Choice(["relu", "gelu", "tanh"]), **rest})  # fmt: skip
        rng = np.random.default_rng([77, seed])
        self.seed, self.dim = seed, self.space.dim
        self.at = rng.uniform(0.15, 0.85, self.dim)
        self.at[0] = rng.uniform(0.35, 0.6)
        self.weight = 10 ** rng.uniform(-1.6, 0.2, self.dim)
        self.weight[0] = rng.uniform(1.5, 4.0)
        self.tilt = rng.uniform(-0.4, 0.4)
        self.option = rng.permutation([0.0, 0.03, 0.1])
        self.speed = rng.uniform(-1.0, 1.0, self.dim)
        self.floor = float(rng.uniform(0.02, 0.3))
        draws = self.space.encode(self.space.decode(np.random.default_rng(5).random((3000, self.dim))))
        ends = np.array([self._curve(u, None) for u in draws])
        self.median = float(np.median(ends[:, -1]))
        self.best = self.best_seen = self._lowest()

    def _lowest(self) -> float:
        """The best loss of the surface without noise, by a search around where it is."""
        rng = np.random.default_rng(6)
        best, at = math.inf, self.at.copy()
        for k in range(3000):
            u = rng.random(self.dim) if k < 600 else np.clip(at + rng.normal(0, 0.15 * 0.998**k + 0.01, self.dim), 0, 1)
            low = float(self._curve(u, None).min())
            if low < best:
                best, at = low, u
        return best

    def _curve(self, u: Array, seed: int | None) -> Array:
        apart = u - self.at
        lr = apart[0] + self.tilt * (u[1] - 0.5)
        bend = float(self.weight[1:] @ np.delete(apart, 0) ** 2) + self.option[min(int(u[3] * 3), 2)]
        end = self.floor + 0.7 * (1 - math.exp(-(self.weight[0] * lr**2 + 0.4 * bend) * 2.5))
        # larger rates and smaller batches learn faster; what ends well may be slow
        rate = 1.2 + 2.0 * lr + 0.5 * float(self.speed[1:] @ np.delete(apart, 0)) - self.crossing * (0.6 - end)
        t = np.arange(1, self.steps + 1) / self.steps
        tau = 0.25 * math.exp(-rate)
        shape = 0.5 * np.exp(-t / tau) + 0.5 * (1 + 8 * t / tau) ** -0.7
        curve = end + (1.0 - end) * shape
        over = lr - (0.5 - self.cliff)
        if over > 0:  # diverges, the sooner the further out
            when = max(0.02, 0.6 - 3 * over)
            curve = np.where(t > when, np.minimum(1.3, curve + 1.5 * (t - when)), curve)
        if seed is not None:
            drawn = np.random.default_rng([seed, *(int(1e6 * v) for v in u)])
            curve = curve + self.sd * drawn.standard_normal(self.steps)
        return curve

    def loss(self, config: Config, seed: int | None) -> float:
        return float(self.curve(config, seed).valid[-1])

    def curve(self, config: Config, seed: int | None) -> Curve:
        u = self.space.encode([config])[0]
        cost = math.exp(1.2 * (u[2] - 0.5)) if self.uneven else 1.0
        return Curve(self._curve(u, 0 if seed is None else seed), cost * np.arange(1, self.steps + 1) / self.steps)


CURVES: Mapping[str, Callable[[], Problem]] = {
    "own/plain": lambda: Synthetic("own/plain", 1, crossing=0.3),
    "own/crossing": lambda: Synthetic("own/crossing", 2, crossing=2.5),
    "own/sharp": lambda: Synthetic("own/sharp", 3, steps=81, dim=8, crossing=1.0),
    "own/short": lambda: Synthetic("own/short", 4, steps=12, dim=6, crossing=1.5),
    "own/noisy": lambda: Synthetic("own/noisy", 5, crossing=1.0, noise=0.03),
    "own/uneven": lambda: Synthetic("own/uneven", 6, dim=9, uneven=True),
    "own/cliff": lambda: Synthetic("own/cliff", 7, dim=7, cliff=0.4, crossing=2.0),
    "own/wide": lambda: Synthetic("own/wide", 8, dim=14, crossing=0.8),
}
