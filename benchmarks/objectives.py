"""Several goals: how much hypervolume do searches find? Problems x seeds x methods, tunebook's beside Optuna's.

    python benchmarks/objectives.py --suite FOLDER --methods tunebook:gp,optuna:default --seeds 10 --trials 100
    python benchmarks/objectives.py --methods tunebook:gp,tunebook:nsga2,optuna:default      without a suite: functions

ZDT1-3 (30 axes, two losses; E. Zitzler, K. Deb, L. Thiele, Evolutionary Computation 8 (2000)) and DTLZ2 (12 axes, three
losses; K. Deb et al., CEC 2002), and from a suite (see ``problems.py``) the surrogates that tell how long a training
takes: loss and the logarithm of seconds. Reported is the hypervolume of what was evaluated, as a share of the box
between the ideal and the reference point (both fixed for each problem: for functions as below, for surrogates the
best and the median of 2,000 random configurations in each loss), its mean over seeds, how many seeds the first method
is ahead in with the p-value of Wilcoxon's signed-rank test over all pairs, and milliseconds of CPU time a suggestion.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402  (after the number of threads is settled)

from problems import Array, open_filed  # noqa: E402  (beside this file)
from tunebook.pareto import hypervolume  # noqa: E402
from tunebook.samplers import SAMPLERS  # noqa: E402
from tunebook.space import Choice, Config, Float, Int, Space, Value  # noqa: E402
from tunebook.trial import Goal, Measurement, Status, Trial  # noqa: E402

TIMED = {"lcbench": ("time", 0), "rbv2_xgboost": ("timetrain", 6), "rbv2_svm": ("timetrain", 4)}
SURROGATES = ("lcbench/167168", "rbv2_xgboost/1063")
MARKS = (25, 50, 100)
Job = tuple[str | None, str, str, int, int]


class Problem:
    """``losses`` of a configuration, between an ideal point and the reference point."""

    def __init__(self, space: Space, losses: Callable[[Config], Array], ideal: Array, reference: Array) -> None:
        self.space, self.losses, self.ideal, self.reference = space, losses, ideal, reference

    def share(self, Y: Array) -> float:
        return hypervolume(Y, self.reference) / float(np.prod(self.reference - self.ideal))


def _cube(dim: int) -> Space:
    return Space({f"x{i}": Float(0, 1) for i in range(dim)})


def zdt(number: int) -> Problem:
    def losses(config: Config) -> Array:
        x = np.array(list(config.values()), dtype=np.float64)
        g = 1 + 9 * x[1:].mean()
        r = x[0] / g
        h = {1: 1 - np.sqrt(r), 2: 1 - r**2, 3: 1 - np.sqrt(r) - r * np.sin(10 * np.pi * x[0])}[number]
        return np.array([x[0], g * h])

    return Problem(_cube(30), losses, np.array([0.0, -0.8 if number == 3 else 0.0]), np.array([1.1, 6.0]))


def dtlz2() -> Problem:
    def losses(config: Config) -> Array:
        x = np.array(list(config.values()), dtype=np.float64)
        g = 1 + ((x[2:] - 0.5) ** 2).sum()
        a, b = 0.5 * np.pi * x[:2]
        return np.asarray(g * np.array([np.cos(a) * np.cos(b), np.cos(a) * np.sin(b), np.sin(a)]))

    return Problem(_cube(12), losses, np.zeros(3), np.full(3, 2.0))


def surrogate(folder: Path, name: str) -> Problem:
    problem: Any = open_filed(folder, name)
    session, which = problem.session, TIMED[name.partition("/")[0]][1]
    last: list[Array] = []

    class Heard:
        """The network, with its answer kept: the loader takes one number of it."""

        def run(self, *told: Any) -> Any:
            out = session.run(*told)
            last[:] = [out[0][0]]
            return out

    problem.session = Heard()

    def losses(config: Config) -> Array:
        loss = problem.loss(config, None)
        return np.array([loss, np.log10(max(float(last[0][which]), 1e-3))])

    drawn = problem.space.decode(np.random.default_rng(0).random((2000, problem.space.dim)))
    Y = np.array([losses(c) for c in drawn])
    return Problem(problem.space, losses, Y.min(axis=0), np.median(Y, axis=0))


FUNCTIONS: Mapping[str, Callable[[], Problem]] = {
    "zdt1": lambda: zdt(1), "zdt2": lambda: zdt(2), "zdt3": lambda: zdt(3), "dtlz2": dtlz2,
}  # fmt: skip


class Ours:
    def __init__(self, problem: Problem, seed: int, kind: str) -> None:
        metrics = [f"loss{j}" for j in range(len(problem.ideal))]
        self.metrics, self.number = metrics, 0
        goal = Goal(metrics[0], also=[Goal(m) for m in metrics[1:]])
        self.sampler = SAMPLERS[kind](problem.space, goal, seed)

    def ask(self) -> Config:
        return self.sampler.ask(1, [], self.number)[0]

    def tell(self, config: Config, losses: Array) -> None:
        told = Measurement(1, dict(zip(self.metrics, losses.tolist(), strict=True)))
        self.sampler.tell([Trial(self.number, "r", config, status=Status.COMPLETED, until=1, curve=(told,))])
        self.number += 1


class Optuna:
    """Optuna as it comes for a study of several directions, or one of its samplers."""

    def __init__(self, problem: Problem, seed: int, kind: str) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        logging.getLogger("optuna").setLevel(logging.ERROR)
        kinds = optuna.samplers
        # a study of several directions takes NSGA-II unless told otherwise
        makes = {"default": kinds.NSGAIISampler, "tpe": kinds.TPESampler, "gp": kinds.GPSampler}
        directions = ["minimize"] * len(problem.ideal)
        self.space = problem.space
        self.study = optuna.create_study(sampler=makes[kind](seed=seed), directions=directions)
        self.trial: Any = None

    def ask(self) -> Config:
        self.trial = self.study.ask()
        config: dict[str, Value] = dict(self.space.constants)
        for name, p in self.space.parameters.items():
            if not self.space.active(name, config):
                continue
            if isinstance(p, Float):
                config[name] = self.trial.suggest_float(name, p.low, p.high, log=p.log)
            elif isinstance(p, Int):
                config[name] = self.trial.suggest_int(name, int(p.low), int(p.high), log=p.log)
            elif isinstance(p, Choice):
                config[name] = self.trial.suggest_categorical(name, p.ladder())
        return config

    def tell(self, config: Config, losses: Array) -> None:
        self.study.tell(self.trial, losses.tolist())


def opened(suite: str | None, name: str) -> Problem:
    return FUNCTIONS[name]() if name in FUNCTIONS else surrogate(Path(str(suite)), name)


def run(job: Job) -> dict[str, Any]:
    suite, name, method, seed, trials = job
    warnings.simplefilter("ignore")
    problem = opened(suite, name)
    family, _, kind = method.partition(":")
    search = (Ours if family == "tunebook" else Optuna)(problem, seed, kind)
    spent, Y, shares = 0.0, [], {}
    for i in range(1, trials + 1):
        start = time.process_time()
        config = search.ask()
        spent += time.process_time() - start
        Y.append(problem.losses(config))
        start = time.process_time()
        search.tell(config, Y[-1])
        spent += time.process_time() - start
        if i in MARKS or i == trials:
            shares[str(i)] = problem.share(np.array(Y))
    return {"problem": name, "seed": seed, "method": method, "share": shares, "ms": 1e3 * spent / trials}


def table(records: Sequence[Mapping[str, Any]], methods: Sequence[str], end: str) -> None:
    from scipy.stats import wilcoxon

    told = {(r["problem"], r["seed"], r["method"]): r for r in records}
    pairs = sorted({(p, s) for p, s, _ in told})
    names = list(dict.fromkeys(r["problem"] for r in sorted(records, key=lambda r: r["problem"])))
    print("| method | " + " | ".join(names) + " | ms |\n" + "|---" * (len(names) + 2) + "|")
    for m in methods:
        means = [np.mean([r["share"][end] for r in records if (r["problem"], r["method"]) == (n, m)]) for n in names]
        ms = np.mean([r["ms"] for r in records if r["method"] == m])
        print(f"| {m} | " + " | ".join(f"{x:.4f}" for x in means) + f" | {ms:.1f} |")
    for other in methods[1:]:
        gap = np.array([told[*p, methods[0]]["share"][end] - told[*p, other]["share"][end] for p in pairs])
        ahead = {n: int(sum(g > 0 for g, p in zip(gap, pairs, strict=True) if p[0] == n)) for n in names}
        p = float(wilcoxon(gap).pvalue) if gap.any() else 1.0
        print(f"{methods[0]} ahead of {other}: {ahead} of {len(pairs) // len(names)} seeds each, p = {p:.2g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", help="a folder with problems.json; without it functions only")
    parser.add_argument("--methods", default="tunebook:gp,tunebook:nsga2,optuna:default")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--only", default="", help="problems whose name holds this")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--json", type=Path, help="where the raw records go")
    told = parser.parse_args()
    names = [n for n in (*FUNCTIONS, *(SURROGATES if told.suite else ())) if told.only in n]
    methods = told.methods.split(",")
    seeds = range(told.first_seed, told.first_seed + told.seeds)
    jobs = [(told.suite, n, m, s, told.trials) for n in names for s in seeds for m in methods]
    records = []
    with multiprocessing.get_context("spawn").Pool(told.jobs) as pool:
        for record in pool.imap_unordered(run, jobs):
            records.append(record)
            print(f"\r{len(records)} of {len(jobs)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    if told.json:
        told.json.write_text(json.dumps(records, indent=1), "utf-8")
    table(records, methods, str(told.trials))


if __name__ == "__main__":
    main()
