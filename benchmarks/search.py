"""How good are samplers? Problems x seeds x methods, tunebook's beside its peers', all in one run.

    python benchmarks/search.py --suite FOLDER --track bb --methods tunebook:gp,tunebook:tpe,optuna:tpe --seeds 5
    python benchmarks/search.py --suite own --track fn          problems of our own, the only ones to develop on

FOLDER is benchmark data as ``problems.py`` reads it. Trials are one after the other. In each, the regret of the
configuration that would be handed over then, without noise: the one with the best loss observed. Reported: mean regret
at 25, 50, 100 trials and at the end, mean rank among the methods over all pairs of a problem and a seed, how often the
first method is ahead of each other at 100 trials (or the end) with the p-value of Wilcoxon's signed-rank test over
these pairs, and milliseconds of CPU time a suggestion, telling included. All run in one thread.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402  (after the number of threads is settled)

from own import OWN, OWN_TRIALS  # noqa: E402  (beside this file)
from problems import Problem, filed, open_filed  # noqa: E402
from tunebook.jobs import SAMPLERS  # noqa: E402
from tunebook.space import Choice, Config, Float, Int, Space, Value  # noqa: E402
from tunebook.trial import Goal, Measurement, Status, Trial  # noqa: E402

GOAL = Goal("loss")
MARKS = (25, 50, 100)
Job = tuple[str, str, str, str, int, int]


class Method(Protocol):
    """A search that is asked for one configuration at a time."""

    def ask(self) -> Config: ...

    def tell(self, config: Config, loss: float) -> None: ...


class Tunebook:
    """A sampler of ours, by its name in a job."""

    def __init__(self, space: Space, seed: int, kind: str) -> None:
        self.sampler, self.number = SAMPLERS[kind](space, GOAL, seed), 0

    def ask(self) -> Config:
        return self.sampler.ask(1, [], self.number)[0]

    def tell(self, config: Config, loss: float) -> None:
        curve = (Measurement(1, {"loss": loss}),)
        self.sampler.tell([Trial(self.number, "search", config, status=Status.COMPLETED, until=1, curve=curve)])
        self.number += 1


class Optuna:
    """An Optuna sampler as it comes."""

    def __init__(self, space: Space, seed: int, kind: str) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        logging.getLogger("optuna").setLevel(logging.ERROR)
        makes: Mapping[str, Callable[..., Any]] = {
            "tpe": optuna.samplers.TPESampler,
            "gp": optuna.samplers.GPSampler,
            "cmaes": optuna.samplers.CmaEsSampler,
            "random": optuna.samplers.RandomSampler,
        }
        self.space, self.study = space, optuna.create_study(sampler=makes[kind](seed=seed))
        self.trial: Any = None

    def ask(self) -> Config:
        self.trial = self.study.ask()
        config: dict[str, Value] = dict(self.space.constants)
        for name, p in self.space.parameters.items():
            if not self.space.active(name, config):
                continue
            if isinstance(p, Float):
                config[name] = self.trial.suggest_float(name, p.low, p.high, log=p.log, step=p.step)
            elif isinstance(p, Int):
                config[name] = self.trial.suggest_int(name, int(p.low), int(p.high), log=p.log, step=int(p.step or 1))
            elif isinstance(p, Choice):
                options = p.ladder()
                ordered = not p.unordered
                at = self.trial.suggest_int(name, 0, len(options) - 1) if ordered else None
                config[name] = options[at] if ordered else self.trial.suggest_categorical(name, options)
        return config

    def tell(self, config: Config, loss: float) -> None:
        self.study.tell(self.trial, loss)


FAMILIES: Mapping[str, Callable[[Space, int, str], Method]] = {"tunebook": Tunebook, "optuna": Optuna}


def opened(suite: str, track: str, name: str) -> Problem:
    problem: Problem = OWN[track][name]() if suite == "own" else open_filed(Path(suite), name)
    return problem


def run(job: Job) -> dict[str, Any]:
    """One problem, one seed, one method."""
    suite, track, name, method, seed, trials = job
    warnings.simplefilter("ignore")
    problem = opened(suite, track, name)
    problem.reset()
    family, _, kind = method.partition(":")
    search = FAMILIES[family](problem.space, seed, kind)
    rng = np.random.default_rng(10_000 + seed)
    best, spent, regrets = math.inf, 0.0, []
    now = 1.0
    for _ in range(trials):
        start = time.process_time()
        config = search.ask()
        spent += time.process_time() - start
        loss = problem.loss(config, int(rng.integers(1 << 30)) if problem.noisy else None)
        if loss < best:
            best, now = loss, problem.regret(problem.loss(config, None))
        regrets.append(now)
        start = time.process_time()
        search.tell(config, loss)
        spent += time.process_time() - start
    regret = {str(m): regrets[m - 1] for m in MARKS if m <= trials} | {"end": regrets[-1]}
    return {"problem": name, "seed": seed, "method": method, "regret": regret, "ms": 1e3 * spent / trials}


def table(records: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> Iterable[str]:
    """The report's lines."""
    from scipy.stats import rankdata, wilcoxon

    cells: dict[tuple[str, int], dict[str, Mapping[str, Any]]] = {}
    for r in records:
        cells.setdefault((r["problem"], r["seed"]), {})[r["method"]] = r
    whole = [c for c in cells.values() if len(c) == len(methods)]
    marks = [m for m in (*map(str, MARKS), "end") if any(m in r["regret"] for r in records)]
    yield (
        "| method | "
        + " | ".join(f"regret {m}" for m in marks)
        + " | "
        + " | ".join(f"rank {m}" for m in marks)
        + " | ms |"
    )
    yield "|---" * (2 * len(marks) + 2) + "|"
    scores = {
        m: np.array([[c[k]["regret"][m] for k in methods] for c in whole if m in c[methods[0]]["regret"]])
        for m in marks
    }
    ranks = {m: rankdata(s, axis=1).mean(axis=0) for m, s in scores.items()}
    for i, method in enumerate(methods):
        ms = np.mean([c[method]["ms"] for c in whole])
        parts = [f"{scores[m][:, i].mean():.4f}" for m in marks] + [f"{ranks[m][i]:.2f}" for m in marks]
        yield f"| {method} | " + " | ".join(parts) + f" | {ms:.1f} |"
    mark = "100" if "100" in marks else "end"
    for i, other in enumerate(methods[1:], start=1):
        gap = scores[mark][:, i] - scores[mark][:, 0]
        won, lost = int((gap > 1e-12).sum()), int((gap < -1e-12).sum())
        p = float(wilcoxon(gap).pvalue) if won + lost else 1.0
        even = len(gap) - won - lost
        yield f"{methods[0]} against {other} at {mark}: {won} won, {lost} lost, {even} equal, p = {p:.2g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="own", help="a folder with problems.json, or own")
    parser.add_argument("--track", default="bb", choices=("bb", "fn", "rl"))
    parser.add_argument("--methods", default="tunebook:gp,tunebook:tpe,tunebook:random,optuna:tpe")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--trials", type=int, help="instead of what the suite says")
    parser.add_argument("--only", default="", help="problems whose name holds this")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--json", type=Path, help="where the raw records go")
    told = parser.parse_args()
    names = (
        [(n, OWN_TRIALS[told.track]) for n in OWN[told.track]]
        if told.suite == "own"
        else filed(Path(told.suite), told.track)
    )
    methods = told.methods.split(",")
    seeds = range(told.first_seed, told.first_seed + told.seeds)
    jobs = [(told.suite, told.track, name, method, seed, told.trials or trials)
            for name, trials in names if told.only in name for seed in seeds for method in methods]  # fmt: skip
    with multiprocessing.get_context("spawn").Pool(told.jobs) as pool:
        records = []
        for record in pool.imap_unordered(run, jobs):
            records.append(record)
            print(f"\r{len(records)} of {len(jobs)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    if told.json:
        told.json.write_text(json.dumps(records, indent=1), "utf-8")
    for problem in dict.fromkeys(n for n, _ in names if told.only in n):
        means = [
            np.mean([r["regret"]["end"] for r in records if r["problem"] == problem and r["method"] == m])
            for m in methods
        ]
        print(f"{problem:32}" + "".join(f" {m} {v:.4f} " for m, v in zip(methods, means, strict=True)))
    print("\n".join(["", *table(records, methods)]))


if __name__ == "__main__":
    main()
