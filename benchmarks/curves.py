"""How good is early stopping? Problems with learning curves x seeds x methods, ours beside Optuna's.

    python benchmarks/curves.py --suite FOLDER --track mf --methods tunebook:auto,optuna:tpe+hyperband --json OUT
    python benchmarks/curves.py --suite own             problems of our own, the only ones to develop on
    python benchmarks/curves.py --track lc              how well the curve model predicts where curves end
    python benchmarks/curves.py --track lockstep        64 configurations side by side, 81 epochs, crossing curves

mf: a method spends 20 full trainings, as ``workers`` runs side by side on a virtual clock, paying for each new step;
pausing and resuming is free. Regret is that of the best loss seen at any step, when 10, 25, 50, 100 % of the budget
are spent. Ours: ``tunebook:SCHEDULER`` or ``tunebook:SCHEDULER/SAMPLER`` (the sampler is auto unless given), by the
loop that runs real training, through the simulated executor. Peers: ``optuna:SAMPLER+PRUNER`` by its own API as it
comes, and ``random``, ``asha``, ``hyperband``: random draws, eta 3 from the first step on, as in the papers. ``ms`` is
CPU time of a method for each trial that it began.

OUT is a JSON list of {problem, seed, method, workers, regret: {"10": r, "25": r, "50": r, "100": r}, ms, trials,
reached: {"0.1": t, "0.03": t}}: the full trainings spent until the regret was that low, null where it never was.
Records are added as they come; a later run with the same OUT does only what is missing.

lc: 50 configurations of each problem and seed are seen for a third of their training, ``--whole`` of them to the end.
For the others: the share of final losses inside the forecast's 90 % interval, its mean squared error and log-likelihood
beside those of saying the last loss seen (normal, with the spread it has), and CPU time a forecast. Losses are scaled
to 0 for the best known and 1 for the median, and cut off at 1.5.

lockstep: 64 configurations start together and take a step at a time, for at most 81 epochs; steps in all, and regret.
"""

from __future__ import annotations

import argparse
import heapq
import logging
import math
import multiprocessing
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402  (after the number of threads is settled)

from compare import Kept, Record, report  # noqa: E402  (beside this file)
from own_curves import CURVES, FULL_RUNS  # noqa: E402
from problems import Curve, Problem, filed, open_filed  # noqa: E402
from tunebook.executors.simulated import SimulatedExecutor  # noqa: E402
from tunebook.objective import Run  # noqa: E402
from tunebook.samplers import SAMPLERS, Sampler  # noqa: E402
from tunebook.samplers.base import History  # noqa: E402
from tunebook.schedulers import (  # noqa: E402
    AshaScheduler,
    Curves,
    FullScheduler,
    HalvingScheduler,
    HyperbandScheduler,
    Scheduler,
    scheduler_named,
)
from tunebook.space import Array, Choice, Config, Float, Int, Value  # noqa: E402
from tunebook.stores.memory import MemoryStore  # noqa: E402
from tunebook.study import Interrupted, Search, Study  # noqa: E402
from tunebook.testing.scheduler import simulate  # noqa: E402
from tunebook.trial import Event, Goal, Measured, Measurement  # noqa: E402

GOAL = Goal("loss")
MARKS = (10, 25, 50, 100)
GOALS = (0.1, 0.03)
MOST = 5000
Job = tuple[str, str, str, int, int, int]


class Account:
    """What was spent, in full trainings, and the best loss by then."""

    def __init__(self, problem: Problem, budget: float) -> None:
        self.problem, self.budget, self.spent, self.best = problem, budget, 0.0, math.inf
        self.trace: list[tuple[float, float]] = []

    @property
    def over(self) -> bool:
        return self.spent >= self.budget - 1e-9

    def pay(self, cost: float, loss: float) -> None:
        if not self.over:
            self.spent += cost
            if loss < self.best:
                self.best = loss
                self.trace.append((self.spent, loss))

    def regret(self) -> dict[str, float]:
        """By percent of the budget; 1 before the first measurement."""
        out = {}
        for mark in MARKS:
            seen = [loss for spent, loss in self.trace if spent <= self.budget * mark / 100 + 1e-9]
            out[str(mark)] = self.problem.regret(seen[-1], self.problem.best_seen) if seen else 1.0
        return out

    def reached(self) -> dict[str, float | None]:
        """What was spent until the regret was no more than each of ``GOALS``; None where it never was."""
        told = [(spent, self.problem.regret(loss, self.problem.best_seen)) for spent, loss in self.trace]
        return {str(goal): next((round(s, 3) for s, r in told if r <= goal), None) for goal in GOALS}


class Training:
    """A problem as an objective that goes on where it was paused. ``seconds`` of CPU are the problem's own."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self.problem, self.seed, self.seconds = problem, seed, 0.0
        self.curves: dict[int, Curve] = {}
        self.done: dict[int, int] = {}

    def curve(self, number: int, config: Config) -> Curve:
        if number not in self.curves:
            start = time.process_time()
            self.curves[number] = self.problem.curve(config, self.seed if self.problem.noisy else None)
            self.seconds += time.process_time() - start
        return self.curves[number]

    def cost(self, number: int, step: int) -> float:
        cost = self.curves[number].cost
        return float(cost[step - 1] - (cost[step - 2] if step > 1 else 0.0))

    def __call__(self, run: Run) -> Iterator[Measurement]:
        curve = self.curve(run.trial, run.config)
        for step in range(self.done.get(run.trial, 0) + 1, run.until + 1):
            self.done[run.trial] = step
            yield Measurement(step, {"loss": float(curve.valid[step - 1])}, self.cost(run.trial, step))


class Charged(SimulatedExecutor):
    """A simulated executor that keeps the account, and ends the study when all is spent."""

    def __init__(self, training: Training, capacity: int, account: Account) -> None:
        super().__init__(training, capacity)
        self.account = account
        self.study: Study | None = None

    def poll(self, timeout: float = 1.0) -> list[Event]:
        events = super().poll(timeout)
        for event in events:
            if isinstance(event, Measured):
                self.account.pay(event.measurement.seconds, event.measurement.metrics["loss"])
        if self.account.over and self.study is not None:
            self.study.interrupt()
        return events


class Draws(Sampler):
    """Random draws: of the configurations that were trained, where the problem is a set of those."""

    pool: list[Config] = []  # noqa: RUF012  (set on the instance)

    def propose(self, n: int, first: int, history: History, pending: Array, rng: np.random.Generator) -> Array:
        if not self.pool:
            return rng.random((n, self.space.dim))
        order = np.random.default_rng(self.seed).permutation(len(self.pool))
        return self.space.encode([self.pool[order[(first + i) % len(order)]] for i in range(n)])


PLAIN: Mapping[str, Callable[[int], Scheduler]] = {
    "random": lambda steps: FullScheduler(GOAL, steps),
    "asha": lambda steps: AshaScheduler(GOAL, steps, r_min=1),
    "hyperband": lambda steps: HyperbandScheduler(GOAL, steps),
}


def ours(name: str, problem: Problem, seed: int) -> tuple[Sampler, Scheduler]:
    if name in PLAIN:
        draws = Draws(problem.space, GOAL, seed)
        draws.pool = problem.trained()
        return draws, PLAIN[name](problem.steps)
    scheduler, _, sampler = name.removeprefix("tunebook:").partition("/")
    return SAMPLERS[sampler or "auto"](problem.space, GOAL, seed), scheduler_named(scheduler, GOAL, problem.steps)


def play(name: str, training: Training, account: Account, workers: int, seed: int) -> int:
    """A method of ours; returns how many trials it began."""
    problem = training.problem
    sampler, scheduler = ours(name, problem, seed)
    executor = Charged(training, workers, account)
    with tempfile.TemporaryDirectory(prefix="curves-") as folder, Study(MemoryStore(), folder, executor) as study:
        executor.study = study
        most = len(problem.trained()) or MOST
        with suppress(Interrupted):
            study.run(Search("mf", problem.space, GOAL, sampler, scheduler), most)
        return len(study.trials)


# Optuna, by its own API


def play_optuna(kind: str, training: Training, account: Account, workers: int, seed: int) -> int:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("optuna").setLevel(logging.ERROR)
    sampler, _, pruner = kind.partition("+")
    steps, problem = training.problem.steps, training.problem
    samplers = {"tpe": lambda: optuna.samplers.TPESampler(seed=seed, constant_liar=workers > 1),
                "random": lambda: optuna.samplers.RandomSampler(seed=seed),
                "gp": lambda: optuna.samplers.GPSampler(seed=seed)}  # fmt: skip
    study = optuna.create_study(sampler=samplers[sampler](), pruner=_pruner(pruner, steps))
    due: list[tuple[float, int, int, Any]] = []  # when the next step is there: time, order, step, trial
    now, order, begun, most = 0.0, 0, 0, len(problem.trained()) or MOST
    while not account.over:
        while len(due) < workers and begun < most:
            trial = study.ask()
            training.curve(trial.number, suggested(trial, problem))
            begun, order = begun + 1, order + 1
            heapq.heappush(due, (now + training.cost(trial.number, 1), order, 1, trial))
        if not due:
            break
        now, _, step, trial = heapq.heappop(due)
        loss = float(training.curves[trial.number].valid[step - 1])
        account.pay(training.cost(trial.number, step), loss)
        if not math.isfinite(loss):
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        trial.report(loss, step)
        if step == steps:
            study.tell(trial, loss)
        elif trial.should_prune():
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            order += 1
            heapq.heappush(due, (now + training.cost(trial.number, step + 1), order, step + 1, trial))
    return begun


def _pruner(name: str, steps: int) -> Any:
    """As it comes; Hyperband is told the length of a training, so that it need not guess."""
    from optuna import pruners

    makes: Mapping[str, Callable[[], Any]] = {
        "hyperband": lambda: pruners.HyperbandPruner(max_resource=steps),
        "median": pruners.MedianPruner,
        "sha": pruners.SuccessiveHalvingPruner,
        "": pruners.NopPruner,
    }
    return makes[name]()


def suggested(trial: Any, problem: Problem) -> Config:
    config: dict[str, Value] = dict(problem.space.constants)
    for name, p in problem.space.parameters.items():
        if not problem.space.active(name, config):
            continue
        if isinstance(p, Float):
            config[name] = trial.suggest_float(name, p.low, p.high, log=p.log, step=p.step)
        elif isinstance(p, Int):
            config[name] = trial.suggest_int(name, int(p.low), int(p.high), log=p.log, step=int(p.step or 1))
        elif isinstance(p, Choice):
            options = p.ladder()
            if p.unordered:
                config[name] = trial.suggest_categorical(name, options)
            else:
                config[name] = options[trial.suggest_int(name, 0, len(options) - 1)]
    return config


# runs


def opened(suite: str, name: str) -> Problem:
    return CURVES[name]() if suite == "own" else open_filed(Path(suite), name)


def run(job: Job) -> Record:
    """One problem, one seed, one method."""
    suite, name, method, seed, workers, budget = job
    warnings.simplefilter("ignore")
    problem = opened(suite, name)
    problem.reset()
    account, training = Account(problem, budget), Training(problem, seed)
    start = time.process_time()
    if method.startswith("optuna:"):
        begun = play_optuna(method.removeprefix("optuna:"), training, account, workers, seed)
    else:
        begun = play(method, training, account, workers, seed)
    ms = 1e3 * (time.process_time() - start - training.seconds) / max(1, begun)
    return {"problem": name, "seed": seed, "method": method, "workers": workers, "regret": account.regret(),
            "ms": round(ms, 2), "trials": begun, "reached": account.reached()}  # fmt: skip


def times(records: Sequence[Record], methods: Sequence[str]) -> Iterator[str]:
    """Lines: full trainings until a regret was reached, the median over runs, and the share of runs that reached it."""
    yield "Full trainings until a regret was reached, median over runs (share of the runs that reached it):"
    yield ""
    yield "| method | runs | " + " | ".join(f"{goal:.2f}" for goal in GOALS) + " |"
    yield "|---" * (2 + len(GOALS)) + "|"
    for method in methods:
        told = [r["reached"] for r in records if r["method"] == method and "reached" in r]
        if told:
            spent = np.array([[math.inf if t[str(goal)] is None else t[str(goal)] for goal in GOALS] for t in told])
            middle, share = np.quantile(spent, 0.5, axis=0, method="higher"), np.isfinite(spent).mean(axis=0)
            cells = [f"{m:.1f} ({s:.0%})" if math.isfinite(m) else f"never ({s:.0%})"
                     for m, s in zip(middle, share, strict=True)]  # fmt: skip
            yield f"| {method} | {len(told)} | " + " | ".join(cells) + " |"
    yield ""


def label(record: Record) -> str:
    return record["method"] if record["workers"] == 1 else f"{record['method']}@{record['workers']}"


# forecasts


def sample_curves(problem: Problem, seed: int, n: int) -> Array:
    """Curves (n, steps) of random configurations, scaled."""
    problem.reset()
    rng, pool = np.random.default_rng(seed), problem.trained()
    if pool:
        configs = [pool[i] for i in rng.permutation(len(pool))[:n]]
    else:
        configs = problem.space.decode(rng.random((n, problem.space.dim)))
    raw = np.array([problem.curve(c, seed if problem.noisy else None).valid for c in configs])
    raw = np.where(np.isfinite(raw), raw, 1e30)
    return np.clip((raw - problem.best_seen) / (problem.median - problem.best_seen), 0.0, 1.5)


def forecasts(suite: str, names: Sequence[str], seeds: range, whole: int, n: int = 50) -> Iterator[str]:
    """Lines by family of problems."""
    rows: dict[str, list[tuple[float, ...]]] = {}
    for name in names:
        for seed in seeds:
            table = sample_curves(opened(suite, name), seed, n)
            steps = table.shape[1]
            seen = max(1, round(steps / 3))
            rows.setdefault(name.partition("/")[0], []).extend(_forecast_rows(table, steps, seen, whole))
    yield f"seen: a third of each training, {whole} of {n} to the end"
    yield "| family | forecasts | coverage | mse | mse of the last | log-likelihood | of the last | ms |"
    yield "|---|---|---|---|---|---|---|---|"
    for family, told in rows.items():
        m = np.mean(told, axis=0)
        yield (f"| {family} | {len(told)} | {m[0]:.3f} | {m[1]:.4f} | {m[2]:.4f} | {m[3]:.2f} | {m[4]:.2f} "
               f"| {m[5]:.2f} |")  # fmt: skip


def _forecast_rows(table: Array, steps: int, seen: int, whole: int) -> Iterator[tuple[float, ...]]:
    lengths = [steps if i < whole else seen for i in range(len(table))]
    told = [(list(range(1, m + 1)), c[:m].tolist()) for m, c in zip(lengths, table, strict=True)]
    spread = max(0.02, float(np.std(table[:, -1] - table[:, seen - 1])))
    for i in range(whole, len(table)):
        start = time.process_time()
        forecast = Curves(told, steps).forecast(i)
        ms = 1e3 * (time.process_time() - start)
        end, last = float(table[i, -1]), float(table[i, seen - 1])
        inside = forecast.quantile(0.05) - 1e-9 <= end <= forecast.quantile(0.95) + 1e-9
        width = max(0.2 * forecast.sd, 0.01)
        density = float(forecast.weights @ np.exp(-0.5 * ((end - forecast.values) / width) ** 2)) / width
        yield (float(inside), (forecast.quantile(0.5) - end) ** 2, (last - end) ** 2,
               math.log(max(density / math.sqrt(2 * math.pi), 1e-12)),
               -0.5 * ((end - last) / spread) ** 2 - math.log(spread * math.sqrt(2 * math.pi)), ms)  # fmt: skip


# batches


def crossing(seed: int, n: int = 64, epochs: int = 81) -> Array:
    """Exponential curves (n, epochs): what ends well is as often slow as quick."""
    rng = np.random.default_rng(seed)
    end, rate = rng.random(n), rng.uniform(0.02, 0.2, n)
    return np.asarray(end[:, None] + (1.5 - end[:, None]) * np.exp(-rate[:, None] * np.arange(1, epochs + 1)))


def lockstep(seeds: range) -> Iterator[str]:
    """Lines by method: epochs in all, and mean regret."""
    schedulers: Mapping[str, Callable[[], Scheduler]] = {
        "tunebook:halving, 64": lambda: HalvingScheduler(GOAL, 81, n=64, r_min=1),
        "tunebook:auto": lambda: scheduler_named("auto", GOAL, 81),
        "tunebook:halving, 64, r_min 3": lambda: HalvingScheduler(GOAL, 81, n=64, r_min=3),
        "asha-stopping": lambda: AshaScheduler(GOAL, 81, r_min=1, form="stopping"),
    }
    yield "| method | epochs | regret |"
    yield "|---|---|---|"
    for name, make in schedulers.items():
        told = []
        for seed in seeds:
            curves = crossing(seed)
            done = simulate(make(), curves.tolist(), capacity=len(curves))
            best = min(t.loss(GOAL) for t in done.values())
            told.append((sum(t.step for t in done.values()), best - curves.min()))
        yield f"| {name} | {np.mean([s for s, _ in told]):.0f} | {np.mean([r for _, r in told]):.4f} |"
    for pruner in ("hyperband", "sha", "median"):
        told = [optuna_lockstep(pruner, crossing(seed)) for seed in seeds]
        yield f"| optuna:{pruner} | {np.mean([s for s, _ in told]):.0f} | {np.mean([r for _, r in told]):.4f} |"


def optuna_lockstep(pruner: str, curves: Array) -> tuple[int, float]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), pruner=_pruner(pruner, curves.shape[1]))
    going = [(study.ask(), c) for c in curves]
    spent, best = 0, math.inf
    for step in range(1, curves.shape[1] + 1):
        for trial, c in going:
            trial.report(float(c[step - 1]), step)
            spent, best = spent + 1, min(best, float(c[step - 1]))
        left = []
        for trial, c in going:
            if step < curves.shape[1] and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            else:
                left.append((trial, c))
        going = left
    return spent, best - float(curves.min())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="own", help="a folder with problems.json, or own")
    parser.add_argument("--track", default="mf", choices=("mf", "lc", "lockstep"))
    parser.add_argument("--methods", default="tunebook:asha,optuna:tpe+hyperband,optuna:tpe+median,asha,random")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--budget", type=int, help="full trainings, instead of what the suite says")
    parser.add_argument("--only", default="", help="problems whose name holds this")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--whole", type=int, default=10, help="lc: curves that are seen to the end")
    parser.add_argument("--json", type=Path, help="where the raw records go")
    told = parser.parse_args()
    seeds = range(told.first_seed, told.first_seed + told.seeds)
    if told.track == "mf":
        compare_methods(told, seeds)
        return
    if told.track == "lockstep":
        lines = lockstep(seeds)
    else:
        names = list(CURVES) if told.suite == "own" else [n for n, _ in filed(Path(told.suite), "mf")]
        lines = forecasts(told.suite, [n for n in names if told.only in n], seeds, told.whole)
    for line in lines:
        print(line, flush=True)


def compare_methods(told: argparse.Namespace, seeds: range) -> None:
    names = [(n, FULL_RUNS) for n in CURVES] if told.suite == "own" else filed(Path(told.suite), told.track)
    methods = told.methods.split(",")
    kept = Kept(told.json)
    had = {(r["problem"], r["seed"], r["method"], r["workers"]) for r in kept.records}
    jobs = [(told.suite, name, method, seed, told.workers, told.budget or budget)
            for seed in seeds
            for name, budget in names if told.only in name
            for method in methods if (name, seed, method, told.workers) not in had]  # fmt: skip
    with multiprocessing.get_context("spawn").Pool(told.jobs) as pool:
        for done, record in enumerate(pool.imap_unordered(run, jobs), 1):
            kept.add(record)
            print(f"\r{done} of {len(jobs)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    here = [
        {**r, "method": label(r)} for r in kept.records if r["workers"] == told.workers and told.only in r["problem"]
    ]
    labels = [label({"method": m, "workers": told.workers}) for m in methods]
    print("\n".join([*report(here, labels), *times(here, labels)]))


if __name__ == "__main__":
    main()
