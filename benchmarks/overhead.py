"""What a suggestion costs: tunebook's samplers beside Optuna's, after 100, 300 and 1,000 finished trials.

    python benchmarks/overhead.py                        about five minutes, most of it Optuna's GPSampler
    python benchmarks/overhead.py --methods tunebook:gp,tunebook:tpe --trials 100,1000

Ten real hyperparameters, and 14 mixed ones, seven of them conditional. The history is random; then a suggestion is
asked for and its outcome told, a dozen times (Optuna's GPSampler: three). Median milliseconds of CPU time in one
thread, telling included, and in brackets the mean, which holds what is only done now and then. Two suggestions before
these are not counted.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402  (after the number of threads is settled)

from search import FAMILIES, GOAL, Method, Optuna, Tunebook  # noqa: E402  (beside this file)
from tunebook.space import Choice, Config, Float, Int, Parameter, Space, Value  # noqa: E402
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


def after(method: Method, space: Space, n: int) -> None:
    """Tell a method ``n`` random trials."""
    configs = space.decode(np.random.default_rng(0).random((n, space.dim)))
    losses = [loss(space, c) for c in configs]
    if isinstance(method, Tunebook):
        method.sampler.tell(
            Trial(i, "search", c, status=Status.COMPLETED, until=1, curve=(Measurement(1, {GOAL.metric: y}),))
            for i, (c, y) in enumerate(zip(configs, losses, strict=True))
        )
        method.number = n
    elif isinstance(method, Optuna):
        import optuna

        kinds = distributions(space.parameters)
        for c, y in zip(configs, losses, strict=True):
            mine = {k: kinds[k] for k in c}
            told = {k: kinds[k].options.index(v) if isinstance(kinds[k], _Ordered) else v for k, v in c.items()}
            plain = {k: d.steps if isinstance(d, _Ordered) else d for k, d in mine.items()}
            method.study.add_trial(optuna.create_trial(params=told, distributions=plain, value=y))


class _Ordered:
    """An ordered choice as Optuna sees it: the number of the option."""

    def __init__(self, options: list[Value]) -> None:
        import optuna

        self.options, self.steps = options, optuna.distributions.IntDistribution(0, len(options) - 1)


def distributions(parameters: dict[str, Parameter]) -> dict[str, object]:
    import optuna.distributions as d

    out: dict[str, object] = {}
    for name, p in parameters.items():
        if isinstance(p, Float):
            out[name] = d.FloatDistribution(p.low, p.high, log=p.log)
        elif isinstance(p, Int):
            out[name] = d.IntDistribution(int(p.low), int(p.high), log=p.log)
        else:
            out[name] = d.CategoricalDistribution(p.ladder()) if p.unordered else _Ordered(p.ladder())
    return out


def timed(name: str, space: Space, n: int) -> list[float]:
    """Milliseconds of each of the suggestions after ``n`` trials."""
    family, _, kind = name.partition(":")
    method = FAMILIES[family](space, 0, kind)
    after(method, space, n)
    out: list[float] = []
    many = 3 if name == "optuna:gp" else 12
    for _ in range(2 + many):
        start = time.process_time()
        config = method.ask()
        spent = time.process_time() - start
        value = loss(space, config)
        start = time.process_time()
        method.tell(config, value)
        out.append(1e3 * (spent + time.process_time() - start))
    return out[2:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default="tunebook:gp,tunebook:tpe,optuna:tpe,optuna:gp")
    parser.add_argument("--trials", default="100,300,1000")
    told = parser.parse_args()
    warnings.simplefilter("ignore")
    sizes = [int(n) for n in told.trials.split(",")]
    print("| method | space | " + " | ".join(f"{n:,}" for n in sizes) + " |\n" + "|---" * (len(sizes) + 2) + "|")
    for name in told.methods.split(","):
        for words, space in (("10-D", TEN), ("14-D mixed", MIXED)):
            cells = [timed(name, space, n) for n in sizes]
            text = " | ".join(f"{np.median(c):.1f} ({np.mean(c):.1f})" for c in cells)
            print(f"| {name} | {words} | {text} |", flush=True)


if __name__ == "__main__":
    main()
