"""What a suggestion costs: tunebook's samplers beside Optuna's, after 100 to 10,000 finished trials.

    python benchmarks/overhead.py                        ten minutes, most of it Optuna's GPSampler
    python benchmarks/overhead.py --methods tunebook:gp,tunebook:tpe --trials 100,1000

Ten real hyperparameters, and 14 mixed ones, seven of them conditional. The history is random; then a suggestion is
asked for and its outcome told, a dozen times (Optuna's GPSampler: three). Median milliseconds of CPU time in one
thread, telling included, and in brackets the mean, which holds what is only done now and then. Two suggestions before
these are not counted. A method that took more than a second (--limit) is not tried after more trials: "-".
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402  (after the number of threads is settled)

from bridge import Optuna  # noqa: E402  (beside this file)
from methods import GOAL, Tunebook, axes  # noqa: E402
from tunebook.space import Choice, Config, Float, Int, Space  # noqa: E402
from tunebook.trial import Measurement, Status, Trial  # noqa: E402

TEN = Space({f"x{i}": Float(0, 1) for i in range(10)})
MIXED = Space(
    {
        "optimizer": Choice({
            "sgd": Space(lr=Float(1e-3, 1, log=True), momentum=Float(0, 0.99), nesterov=Choice([True, False])),
            "adam": Space(lr=Float(1e-5, 1e-1, log=True), beta1=Float(0.8, 0.99), beta2=Float(0.9, 0.9999)),
        }),
        "layers": Int(1, 4), "first": Int(8, 512, log=True), "second": Int(8, 512, log=True),
        "act": Choice(["relu", "gelu", "tanh"]), "dropout": Float(0, 0.5), "decay": Float(1e-6, 1e-1, log=True),
        "batch": Choice([16, 32, 64, 128], ordered=True),
    },
    conditions={"second": {"layers": [2, 3, 4]}},
)  # fmt: skip


def loss(space: Space, config: Config) -> float:
    u = np.nan_to_num(space.encode([config])[0], nan=0.2)
    return float(np.sum((u - 0.4) ** 2 + 0.3 * np.sin(5 * u)))


class Timed(Protocol):
    """A method with a history it did not propose; ``once`` is a suggestion and its outcome told, in CPU seconds."""

    def once(self) -> float: ...


class Ours:
    """A sampler of ours."""

    def __init__(self, space: Space, kind: str, configs: Sequence[Config], losses: Sequence[float]) -> None:
        self.method, self.space = Tunebook(space, 0, kind), space
        self.method.sampler.tell(
            Trial(i, "search", c, status=Status.COMPLETED, until=1, curve=(Measurement(1, {GOAL.metric: y}),))
            for i, (c, y) in enumerate(zip(configs, losses, strict=True))
        )
        self.method.number = len(configs)

    def once(self) -> float:
        before = self.method.ms
        config = self.method.ask()
        self.method.tell(config, loss(self.space, config))
        return (self.method.ms - before) / 1e3


class Theirs:
    """An Optuna sampler, in this process."""

    def __init__(self, space: Space, kind: str, configs: Sequence[Config], losses: Sequence[float]) -> None:
        self.peer, self.space = Optuna(axes(space), 0, len(configs), True, kind), space
        for config, y in zip(configs, losses, strict=True):
            self.peer.add(dict(config), y)

    def once(self) -> float:
        start = time.process_time()
        trial, found = self.peer.ask()
        spent = time.process_time() - start
        value = loss(self.space, self.peer.config(found))
        start = time.process_time()
        self.peer.tell(trial, value)
        return spent + time.process_time() - start


FAMILIES: Mapping[str, Callable[[Space, str, Sequence[Config], Sequence[float]], Timed]] = {
    "tunebook": Ours,
    "optuna": Theirs,
}


def timed(name: str, space: Space, n: int) -> list[float]:
    """Milliseconds of each of the suggestions after ``n`` trials."""
    family, _, kind = name.partition(":")
    configs = space.decode(np.random.default_rng(0).random((n, space.dim)))
    method = FAMILIES[family](space, kind, configs, [loss(space, c) for c in configs])
    out = [method.once() for _ in range(2 + (3 if name == "optuna:gp" else 12))]
    return [1e3 * spent for spent in out[2:]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default="tunebook:gp,tunebook:tpe,optuna:tpe,optuna:gp")
    parser.add_argument("--trials", default="100,300,1000,10000")
    parser.add_argument("--limit", type=float, default=1000.0, help="milliseconds")
    told = parser.parse_args()
    warnings.simplefilter("ignore")
    sizes = [int(n) for n in told.trials.split(",")]
    print("| method | space | " + " | ".join(f"{n:,}" for n in sizes) + " |\n" + "|---" * (len(sizes) + 2) + "|")
    for name in told.methods.split(","):
        for words, space in (("10-D", TEN), ("14-D mixed", MIXED)):
            texts, slow = list[str](), False
            for n in sizes:
                cell = [] if slow else timed(name, space, n)
                slow = slow or float(np.median(cell)) > told.limit
                texts.append(f"{np.median(cell):.1f} ({np.mean(cell):.1f})" if cell else "-")
            print(f"| {name} | {words} | {' | '.join(texts)} |", flush=True)


if __name__ == "__main__":
    main()
