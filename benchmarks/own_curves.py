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


class Optimizing(Problem):
    """The optimizer of one training is tuned: eight hyperparameters of Adam and its decays over many orders of
    magnitude, and a set of ``trained`` configurations of which a proposal gets the nearest that is left.

    The loss lies on a plateau until the training has gone some way, which ``far`` steps of a good learning rate go;
    most configurations never leave it, and too large rates diverge. ``tight`` is how narrow good rates are, and
    ``overfit`` how much the loss rises again.
    """

    def __init__(self, name: str, seed: int, steps: int = 50, trained: int = 1000, *, far: float = 4.0,
                 tight: float = 0.6, overfit: float = 0.0) -> None:  # fmt: skip
        self.name, self.steps, self.far, self.tight, self.overfit = name, steps, far, tight, overfit
        self.space = Space({
            "lr": Float(1e-8, 10, log=True), "beta1": Float(1e-4, 1, log=True), "beta2": Float(1e-6, 1, log=True),
            "epsilon": Float(1e-10, 1e3, log=True), "l1": Float(1e-8, 10, log=True), "l2": Float(1e-8, 10, log=True),
            "linear": Float(1e-7, 1e-4, log=True), "exponential": Float(1e-6, 1e-3, log=True),
        })  # fmt: skip
        rng = np.random.default_rng([78, seed])
        self.rate, self.gradient = rng.uniform(-3.4, -2.0), rng.uniform(-6.0, -3.0)
        self.l1, self.l2 = rng.uniform(-5.0, -3.5), rng.uniform(-4.0, -2.5)
        self.start, self.floor = 0.69, float(rng.uniform(0.1, 0.4))
        self.betas = rng.uniform(-1.6, -0.4, 2)
        self.units = rng.random((trained, 8))
        self.reset()
        ends = np.array([self._curve(i) for i in range(trained)])
        self.median, self.best = float(np.median(ends[:, -1])), float(ends[:, -1].min())
        self.best_seen = float(ends.min())

    def reset(self) -> None:
        self.which: dict[tuple[object, ...], int] = {}

    def trained(self) -> list[Config]:
        return self.space.decode(self.units)

    def loss(self, config: Config, seed: int | None) -> float:
        return float(self.curve(config, seed).valid[-1])

    def curve(self, config: Config, seed: int | None) -> Curve:
        key = tuple(config.values())
        if key not in self.which:
            apart = ((self.units - self.space.encode([config])[0]) ** 2).sum(axis=1)
            if len(self.which) < len(self.units):
                apart[list(self.which.values())] = np.inf
            self.which[key] = int(apart.argmin())
        return Curve(self._curve(self.which[key]), np.arange(1, self.steps + 1) / self.steps)

    def _curve(self, i: int) -> Array:
        low, high = np.array([-8, -4, -6, -10, -8, -8, -7, -6.0]), np.array([1, 0, 0, 3, 1, 1, -4, -3.0])
        lr, b1, b2, eps, l1, l2, linear, exponential = low + self.units[i] * (high - low)
        rng = np.random.default_rng([79, i, int(1e6 * self.floor)])
        t = np.arange(1, self.steps + 1) * (10_000 / self.steps)
        # a large epsilon turns Adam into SGD with a smaller rate; decays end a training before its time
        decay = np.maximum(0.0, 1 - 10**linear * t) * np.exp(-(10**exponential) * t)
        rate = lr - np.log10(1 + 10 ** (eps - self.gradient)) + np.log10(np.maximum(decay, 1e-9))
        apart = rate - self.rate
        pull = max(0.0, l1 - self.l1) + max(0.0, l2 - self.l2) / 1.5
        quick = 10 ** (apart - pull - 0.3 * np.hypot(b1 - self.betas[0], 0.5 * (b2 - self.betas[1])))
        way = np.cumsum(np.minimum(quick, 6.0)) * (50 / self.steps)
        gone = 1 / (1 + (way / self.far) ** -2.0)  # nothing for long, then most of the way
        left = self.floor + 0.05 * pull + 0.08 * np.maximum(0.0, apart / self.tight) ** 2
        left = left + 0.03 * float(np.hypot(b1 - self.betas[0], b2 - self.betas[1]))
        curve = self.start - gone * np.maximum(self.start - left, -0.8)
        curve = curve + self.overfit * np.maximum(0.0, np.log(np.maximum(way / (6 * self.far), 1.0))) * gone
        wild = float(apart.max()) > 2.2 * self.tight + 0.6
        curve = np.where(wild, self.start + rng.uniform(0.0, 0.8), curve)
        jitter = 0.004 * gone + 0.001 * np.minimum(1.0, way / self.far) + 5e-4
        return np.minimum(curve + jitter * rng.standard_normal(self.steps), 1.5)


CURVES: Mapping[str, Callable[[], Problem]] = {
    "own/plain": lambda: Synthetic("own/plain", 1, crossing=0.3),
    "own/crossing": lambda: Synthetic("own/crossing", 2, crossing=2.5),
    "own/sharp": lambda: Synthetic("own/sharp", 3, steps=81, dim=8, crossing=1.0),
    "own/short": lambda: Synthetic("own/short", 4, steps=12, dim=6, crossing=1.5),
    "own/noisy": lambda: Synthetic("own/noisy", 5, crossing=1.0, noise=0.03),
    "own/uneven": lambda: Synthetic("own/uneven", 6, dim=9, uneven=True),
    "own/cliff": lambda: Synthetic("own/cliff", 7, dim=7, cliff=0.4, crossing=2.0),
    "own/wide": lambda: Synthetic("own/wide", 8, dim=14, crossing=0.8),
    "own/optimizer": lambda: Optimizing("own/optimizer", 1),
    "own/plateau": lambda: Optimizing("own/plateau", 2, far=12.0),
    "own/overfit": lambda: Optimizing("own/overfit", 3, far=2.0, overfit=0.1),
    "own/edge": lambda: Optimizing("own/edge", 4, far=6.0, tight=0.35, overfit=0.03),
}
