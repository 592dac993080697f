"""How good are searches? Problems x seeds x methods, tunebook's beside its peers', each pair of a problem and a seed.

    python benchmarks/search.py --suite FOLDER --track bb --methods tunebook:auto,optuna:tpe --seeds 5 --json OUT
    python benchmarks/search.py --suite own --track fn          problems of our own, the only ones to develop on
    python benchmarks/search.py --report A.json,B.json          a comparison of records, nothing is run

FOLDER is benchmark data as ``problems.py`` reads it; methods are named as ``methods.py`` says. Trials are one after the
other, or with ``--flight 16`` sixteen are always out: the oldest ends, and the next is asked for without the outcomes
of the other fifteen; such records carry the method's name with "@16". Reported is the regret, without noise, of what
would be handed over then: what the method itself recommends on noisy problems if it recommends anything, else the
configuration with the best loss it saw. ``ms`` is CPU time a suggestion, telling included; all run in one thread.

OUT is a JSON list of {problem, seed, method, regret: {"25": r, "50": r, "100": r, "end": r}, ms}. Records are added as
they come, and a later run with the same OUT does only what is missing there, so that long comparisons can be made in
pieces; delete what is out of date. A method that cannot run is left out with the reason.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402  (after the number of threads is settled)

from compare import Kept, Record, load, report  # noqa: E402  (beside this file)
from methods import Method, NoMethod, method  # noqa: E402
from own import OWN, OWN_TRIALS  # noqa: E402
from problems import Problem, filed, open_filed  # noqa: E402
from tunebook.space import Config, Int, Space  # noqa: E402

MARKS = (25, 50, 100)
Job = tuple[str, str, str, str, int, int, int]


def opened(suite: str, track: str, name: str) -> Problem:
    problem: Problem = OWN[track][name]() if suite == "own" else open_filed(Path(suite), name)
    return problem


class Incumbent:
    """The best configuration as it was seen, and its regret without noise."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.best, self.regret = problem, math.inf, 1.0

    def see(self, config: Config, loss: float) -> None:
        if loss < self.best:
            self.best, self.regret = loss, self.problem.regret(self.problem.loss(config, None))


def trace(problem: Problem, search: Method, seed: int, trials: int, flight: int) -> dict[str, float]:
    """Run a search to its end; regret at the marks and the end."""
    problem.reset()
    rng = np.random.default_rng(10_000 + seed)
    incumbent, out = Incumbent(problem), list[tuple[Config, float]]()
    regret: dict[str, float] = {}
    asked = 0
    for done in range(1, trials + 1):
        while asked < trials and len(out) < flight:
            config = search.ask()
            out.append((config, problem.loss(config, int(rng.integers(1 << 30)) if problem.noisy else None)))
            asked += 1
        config, loss = out.pop(0)
        incumbent.see(config, loss)
        search.tell(config, loss)
        if done in MARKS or done == trials:
            told = search.recommend() if problem.noisy else None
            now = incumbent.regret if told is None else problem.regret(problem.loss(told, None))
            regret |= {str(done): now} if done in MARKS else {}
            regret |= {"end": now} if done == trials else {}
    return regret


def label(name: str, flight: int) -> str:
    return name if flight == 1 else f"{name}@{flight}"


def run(job: Job) -> Record:
    """One problem, one seed, one method: its record, or {"failed": why, ...}."""
    suite, track, name, how, seed, trials, flight = job
    warnings.simplefilter("ignore")
    told = {"problem": name, "seed": seed, "method": label(how, flight)}
    problem = opened(suite, track, name)
    try:
        search = method(how, problem.space, problem.noisy, seed, trials)
        regret = trace(problem, search, seed, trials, flight)
    except NoMethod as why:
        return told | {"failed": str(why)}
    return told | {"regret": regret, "ms": search.ms / trials}


def able(methods: Sequence[str]) -> list[str]:
    """The methods that can run here; says why of the others."""
    found = []
    for name in methods:
        try:
            method(name, Space(x=Int(0, 9)), False, 0, 30).ask()
            found.append(name)
        except NoMethod as why:
            print(f"{name} is left out: {why}", file=sys.stderr)
    return found


def jobs_of(told: argparse.Namespace, methods: Sequence[str]) -> list[Job]:
    """All there is to run, seed by seed, so that a run that is cut off has all problems."""
    if told.suite == "own":
        names = [(n, OWN_TRIALS[told.track]) for n in OWN[told.track]]
    else:
        names = filed(Path(told.suite), told.track)
    wanted = told.only.split(",")
    return [
        (told.suite, told.track, name, how, seed, told.trials or trials, told.flight)
        for seed in range(told.first_seed, told.first_seed + told.seeds)
        for name, trials in names if any(w in name for w in wanted)
        for how in methods
    ]  # fmt: skip


def ran(told: argparse.Namespace, methods: Sequence[str]) -> list[Record]:
    """Run what the file of records lacks; its records of these runs."""
    kept = Kept(told.json)
    have = {(r["problem"], r["seed"], r["method"]) for r in kept.records}
    wanted = jobs_of(told, methods)
    missing = [j for j in wanted if (j[2], j[4], label(j[3], j[6])) not in have]
    able_now = able(list(dict.fromkeys(j[3] for j in missing)))
    todo = [j for j in missing if j[3] in able_now]
    failed = 0
    for done, record in enumerate(_each(todo, told.jobs), 1):
        if "failed" in record:
            failed += 1
            told_why = f"{record['method']} on {record['problem']}, seed {record['seed']}: {record['failed']}"
            print(f"\r{told_why}", file=sys.stderr)
        else:
            kept.add(record)
        print(f"\r{done} of {len(todo)}", end="", file=sys.stderr, flush=True)
    print(f"\n{failed} runs failed" if failed else "", file=sys.stderr)
    keys = {(j[2], j[4], label(j[3], j[6])) for j in wanted}
    return [r for r in kept.records if (r["problem"], r["seed"], r["method"]) in keys]


def _each(jobs: Sequence[Job], processes: int) -> Iterable[Record]:
    if processes == 1:
        yield from map(run, jobs)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(run, jobs)


def by_problem(records: Sequence[Record], methods: Sequence[str]) -> Iterable[str]:
    """Mean regret at the end, a line a problem."""
    for problem in dict.fromkeys(r["problem"] for r in records):
        parts = []
        for name in methods:
            ends = [r["regret"]["end"] for r in records if r["problem"] == problem and r["method"] == name]
            parts += [f"{name} {np.mean(ends):.4f}"] if ends else []
        yield f"{problem:36}" + "  ".join(parts)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="own", help="a folder with problems.json, or own")
    parser.add_argument("--track", default="bb", choices=("bb", "fn", "rl"))
    parser.add_argument(
        "--methods", default="tunebook:gp,tunebook:tpe,random,optuna:tpe", help="the first is compared with each other"
    )
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--trials", type=int, help="instead of what the suite says")
    parser.add_argument("--flight", type=int, default=1, help="trials in flight")
    parser.add_argument("--only", default="", help="problems whose name holds one of these, with commas between")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--json", type=Path, help="where the raw records are kept")
    parser.add_argument("--against", default="", help="files with records to compare with, with commas between")
    parser.add_argument("--report", default="", help="files with records to report on without running anything")
    return parser.parse_args()


def main() -> None:
    told = parsed()
    asked = told.methods.split(",")
    more: list[Record] = [r for name in (told.report or told.against).split(",") if name for r in load(Path(name))]
    records = [*more, *([] if told.report else ran(told, asked))]
    have = list(dict.fromkeys(r["method"] for r in records))
    first = [n for n in (label(a, told.flight) for a in asked) if n in have]
    methods = [*first, *(m for m in have if m not in first)]
    print("\n".join([*by_problem(records, methods), "", *report(records, methods)]))


if __name__ == "__main__":
    main()
