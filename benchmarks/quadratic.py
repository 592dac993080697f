"""Populations where a falling learning rate matters: SGD on noisy quadratics, a training in a millisecond.

    python benchmarks/quadratic.py --seeds 12

The loss is sum of h_i x_i**2 / 2 over 150 coordinates with curvatures h_i = i**-power; a gradient has noise of variance
noise * h_i (G. Zhang et al., "Which algorithmic choices matter at which batch sizes? Insights from a noisy quadratic
model", NeurIPS 2019, section 3). The 50 steps of an epoch are drawn at once, exactly. The rate is constant in the best
of many random draws (ASHA), falls along a cosine or exponentially from the best of 15 rates, or comes from populations
of 8 over 40 epochs, compared every 4; each search has 960 epochs. ``factors`` is the explore of Jaderberg et al.: times
0.8 or 1.2, or anew with a chance of 1 in 4. Of what each found, the mean loss of eight fresh seeds is told.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tunebook.executors.simulated import SimulatedExecutor
from tunebook.objective import Run
from tunebook.samplers.base import EXPLORED
from tunebook.samplers.random import RandomSampler
from tunebook.schedulers import AshaScheduler, PopulationScheduler
from tunebook.schedulers.population import schedule_of
from tunebook.space import Array, Config, Float, Space
from tunebook.stores.memory import MemoryStore
from tunebook.study import Search, Study
from tunebook.trial import Goal, Measurement

GOAL, SPACE = Goal("loss"), Space(lr=Float(1e-3, 10.0, log=True))
SIZE, STEPS, EPOCHS, BUDGET, FRESH = 150, 50, 40, 960, 8


@dataclass(frozen=True)
class Quadratic:
    """Objective: SGD on a noisy quadratic; a step is an epoch. What is measured is off by the share ``jitter``."""

    power: float
    noise: float
    jitter: float = 0.01

    def epoch(self, x: Array, rate: float, rng: np.random.Generator) -> Array:
        """Points x (..., SIZE) after an epoch."""
        h = np.arange(1, SIZE + 1) ** -self.power
        kept = 1 - rate * h
        with np.errstate(all="ignore"):
            sums = np.where(np.abs(1 - kept**2) > 1e-12, (1 - kept ** (2 * STEPS)) / (1 - kept**2), STEPS)
            far = np.sqrt(rate**2 * self.noise * h * np.abs(sums))
            return np.asarray(kept**STEPS * x + far * rng.standard_normal(x.shape))

    def loss(self, x: Array) -> Array:
        """Losses (...) at x (..., SIZE)."""
        with np.errstate(all="ignore"):
            return np.asarray((x**2 * np.arange(1, SIZE + 1) ** -self.power).sum(axis=-1) / 2)

    def __call__(self, run: Run) -> Iterator[Measurement]:
        kept, rate = run.folder / "x.npz", float(run.config["lr"])  # type: ignore[arg-type]
        x, seen = np.ones(SIZE), np.zeros(0)
        if kept.exists():
            with np.load(kept) as told:
                x, seen = told["x"], told["seen"]
        yield from (Measurement(i + 1, {"loss": float(v)}, 1.0) for i, v in enumerate(seen))
        for epoch in range(len(seen) + 1, run.until + 1):
            rng = np.random.default_rng([run.seed, epoch])
            x = self.epoch(x, rate, rng)
            value = float(self.loss(x) * math.exp(self.jitter * rng.standard_normal()))
            seen = np.append(seen, value)
            yield Measurement(epoch, {"loss": value if value < 1e6 else math.nan}, 1.0)
            if epoch == run.until:
                np.savez(kept, x=x, seen=seen)

    def fresh(self, rates: Sequence[float]) -> float:
        """The mean loss of fresh seeds at their best epoch, along a rate for each epoch."""
        x, rng, best = np.ones((FRESH, SIZE)), np.random.default_rng(77), np.full(FRESH, math.inf)
        for rate in rates:
            x = self.epoch(x, rate, rng)
            best = np.fmin(best, self.loss(x))
        return float(best.mean())


class Factors(RandomSampler):
    """Explores as Jaderberg et al. 2017 do."""

    def explore(self, config: Config, number: int) -> Config:
        rng = np.random.default_rng([self.seed, number, EXPLORED])
        low, high = 1e-3, 10.0
        anew = low * (high / low) ** rng.random()
        near = float(config["lr"]) * rng.choice([0.8, 1.2])  # type: ignore[arg-type]
        return {"lr": anew if rng.random() < 0.25 else min(max(near, low), high)}


def found(task: Quadratic, name: str, seed: int) -> list[float]:
    """The rate of each epoch that a search led to."""
    sampler = (Factors if name == "factors" else RandomSampler)(SPACE, GOAL, seed)
    scheduler = AshaScheduler(GOAL, EPOCHS) if name == "asha" else PopulationScheduler(GOAL, EPOCHS, n=8, interval=4)
    with (
        tempfile.TemporaryDirectory(prefix="quadratic-") as folder,
        SimulatedExecutor(task, 2) as executor,
        Study(MemoryStore(), folder, executor, seed=seed) as study,
    ):
        study.run(Search("search", SPACE, GOAL, sampler, scheduler), BUDGET, steps=BUDGET)
        best = min(study.trials.of("search"), key=lambda t: (t.loss(GOAL), t.number))
        stretches = schedule_of(study.trials.values(), best.number)
    return [float(s.config["lr"]) for s in stretches for _ in range(s.start, s.until)]  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=12)
    seeds = parser.parse_args().seeds
    shapes: dict[str, Callable[[float], float]] = {
        "constant": lambda t: 1.0,
        "cosine": lambda t: (1 + math.cos(math.pi * t)) / 2,
        "exponential": lambda t: 0.01**t,
    }
    for task in (Quadratic(1.0, 0.3), Quadratic(1.5, 0.3), Quadratic(1.0, 1.0, 0.03)):
        print(task)
        for name, shape in shapes.items():
            told = [task.fresh([rate * shape((e + 0.5) / EPOCHS) for e in range(EPOCHS)])
                    for rate in np.geomspace(0.01, 3, 25)]  # fmt: skip
            print(f"  {name:12} {min(told):.4f}, the best rate by hand")
        for name in ("asha", "factors", "population"):
            values = [task.fresh(found(task, name, seed)) for seed in range(seeds)]
            print(
                f"  {name:12} {np.mean(values):.4f} ({np.std(values) / math.sqrt(seeds):.4f} standard error)",
                flush=True,
            )


if __name__ == "__main__":
    main()
