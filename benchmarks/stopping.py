"""Is early stopping worth it where networks are really trained? A search with and without it, and PBT beside ASHA.

    python benchmarks/stopping.py --track early --seeds 5 --json OUT
    python benchmarks/stopping.py --track hand --seeds 5 --json OUT
    python benchmarks/stopping.py --track schedule --seeds 5 --json OUT

early: a search of 40 trials of 27 epochs (sampler auto, two workers), once with the scheduler ``auto`` and once with
every trial trained to the end, from the same seed, one after the other. The best trial of each is trained again on five
fresh seeds; both are compared by the mean validation accuracy of these, and by the wall time of the search, in pairs.

hand, schedule: a network by SGD without momentum, on batches of 4. hand: at the best of 11 rates that stay as they are,
and of 11 that fall along a cosine; so a falling rate matters. schedule: nobody says so. Population-based training
(``population`` with random and with bandit explores) and random search with ASHA train the same number of epochs. The
schedule that was found and the best configuration are trained again on five fresh seeds, and compared by the mean
validation log-loss of these at its best epoch.

OUT is a JSON list of records; a later run with the same OUT does only what is missing there.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402  (after the number of threads is settled)

from compare import Kept, Record  # noqa: E402  (beside this file)
from tunebook.analysis.compare import mean_interval  # noqa: E402
from tunebook.data import DataRef, Split  # noqa: E402
from tunebook.executors.local import LocalExecutor  # noqa: E402
from tunebook.jobs import model_subject  # noqa: E402
from tunebook.learners import learner_named  # noqa: E402
from tunebook.samplers import SAMPLERS  # noqa: E402
from tunebook.schedulers import AshaScheduler, PopulationScheduler, scheduler_named  # noqa: E402
from tunebook.schedulers.population import ReplayScheduler, schedule_of  # noqa: E402
from tunebook.space import Config, Float, Space, Value  # noqa: E402
from tunebook.stores.memory import MemoryStore  # noqa: E402
from tunebook.study import Search, Study  # noqa: E402
from tunebook.trial import Context, Goal, Trial  # noqa: E402

TASKS: Mapping[str, tuple[str, str]] = {
    "digits, cnn": ("cnn", "sklearn:digits"),
    "mnist1d, cnn": ("cnn", "mnist1d"),
    "mnist1d, mlp": ("mlp", "mnist1d"),
}
TRIALS, STEPS, WORKERS, CONFIRM = 40, 27, 2, 5
FRESH = 10_000  # seeds of confirmation begin here: no search uses them
POPULATION, EPOCHS, INTERVAL = 8, 20, 2
BUDGET = 3 * POPULATION * EPOCHS
LOG_LOSS, ACCURACY = Goal("log_loss"), Goal("accuracy", "maximize")
SGD: Mapping[str, Value] = {"optimizer": "sgd", "momentum": 0.0, "batch_size": 4}
RATE_TASKS: Mapping[str, tuple[str, str, tuple[float, float, float], Mapping[str, Value]]] = {
    "digits, mlp by SGD": ("mlp", "sklearn:digits", (0.4, 0.6, 0.0), {"layers": 1, "units": 16, "noise": 0.7}),
}  # family, data, shares of train, valid and test, and what is not searched for
BY_HAND = tuple(10 ** (k / 4) for k in range(-10, 1))  # rates from 0.003 to 1


@contextmanager
def study_of(objective: Any, seed: int) -> Iterator[Study]:
    """A study with two worker processes."""
    with (
        tempfile.TemporaryDirectory(prefix="stopping-") as folder,
        LocalExecutor(objective, WORKERS) as executor,
        Study(MemoryStore(), folder, executor, seed=seed) as study,
    ):
        yield study


def listed(
    study: Study, name: str, space: Space, goal: Goal, runs: Sequence[tuple[Config, int]], steps: int
) -> list[Trial]:
    """Configurations trained to the end under the seeds given."""
    contexts = tuple((config, Context(seed=seed)) for config, seed in runs)
    sampler, scheduler = SAMPLERS["random"](space, goal, 0), scheduler_named("full", goal, steps)
    study.run(Search(name, space, goal, sampler, scheduler, contexts), len(contexts))
    return study.trials.of(name)


def early(task: str, seed: int, name: str) -> Record:
    """One search of 40 trials, and its best trial on fresh seeds."""
    family, data = TASKS[task]
    learner = learner_named(family)
    goal, space = model_subject(learner, data, ACCURACY, None, TRIALS)
    objective = learner.objective(str(DataRef.parse(data).pinned()), Split(seed=seed), goal, STEPS)
    with study_of(objective, seed) as study:
        listed(
            study, "start", space, goal, [(space.default, FRESH - 1 - i) for i in range(WORKERS)], STEPS
        )  # workers import
        scheduler = scheduler_named(name, goal, STEPS)
        start = time.perf_counter()
        study.run(Search("search", space, goal, SAMPLERS["auto"](space, goal, seed), scheduler), TRIALS)
        seconds = time.perf_counter() - start
        trials = study.trials.of("search")
        best = min(trials, key=lambda t: (t.loss(goal), t.number))
        again = listed(study, "confirm", space, goal, [(best.config, FRESH + i) for i in range(CONFIRM)], STEPS)
        values = [t.value(goal) for t in again]
    return {"track": "early", "task": task, "seed": seed, "method": name, "seconds": round(seconds, 2),
            "epochs": sum(t.step for t in trials), "best": best.value(goal), "values": values}  # fmt: skip


def by_sgd(task: str, seed: int) -> tuple[Any, Space]:
    """Training by SGD without momentum, and the space of its learning rate."""
    family, data, shares, plain = RATE_TASKS[task]
    split, ref = Split(*shares, seed=seed), str(DataRef.parse(data).pinned())
    objective = learner_named(family).objective(ref, split, LOG_LOSS, EPOCHS)
    return objective, Space(lr=Float(1e-3, 1.0, log=True), **SGD, **plain)


def by_hand(task: str, seed: int, name: str) -> Record:
    """Rates a quarter of a decade apart under the schedule ``name``; the best on fresh seeds."""
    objective, space = by_sgd(task, seed)
    space = space.updated({"schedule": name})
    with study_of(objective, seed) as study:
        runs = [({**space.default, "lr": lr}, seed) for lr in BY_HAND]
        trials = listed(study, "grid", space, LOG_LOSS, runs, EPOCHS)
        best = min(trials, key=lambda t: (t.loss(LOG_LOSS), t.number))
        again = listed(study, "confirm", space, LOG_LOSS, [(best.config, FRESH + i) for i in range(CONFIRM)], EPOCHS)
        values = [t.loss(LOG_LOSS) for t in again]
    return {"track": "hand", "task": task, "seed": seed, "method": name, "epochs": sum(t.step for t in trials),
            "best": best.loss(LOG_LOSS), "values": values, "rate": best.config["lr"]}  # fmt: skip


def schedule(task: str, seed: int, name: str) -> Record:
    """One search for a learning rate within the budget of epochs, and what it found on fresh seeds."""
    objective, space = by_sgd(task, seed)
    makes = {"asha": lambda: AshaScheduler(LOG_LOSS, EPOCHS)}
    scheduler = makes.get(name, lambda: PopulationScheduler(LOG_LOSS, EPOCHS, n=POPULATION, interval=INTERVAL))()
    sampler = SAMPLERS["bandit" if name == "pb2" else "random"](space, LOG_LOSS, seed)
    with study_of(objective, seed) as study:
        study.run(Search("search", space, LOG_LOSS, sampler, scheduler), BUDGET, steps=BUDGET)
        trials = study.trials.of("search")
        best = min(trials, key=lambda t: (t.loss(LOG_LOSS), t.number))
        found = schedule_of(study.trials.values(), best.number)
        values = []
        for i in range(CONFIRM):
            replay, again = ReplayScheduler(LOG_LOSS, EPOCHS, found), f"again-{i}"
            runs = replay.runs(Context(seed=FRESH + i))
            study.run(Search(again, space, LOG_LOSS, sampler, replay, runs), len(runs))
            trained = study.trials.of(again)
            assert trained[-1].step == found[-1].until
            values.append(min(t.loss(LOG_LOSS) for t in trained))
    rates = [[s.start, s.until, round(float(s.config["lr"]), 5)] for s in found]  # type: ignore[arg-type]
    epochs = sum(t.step - t.start for t in trials)
    return {"track": "schedule", "task": task, "seed": seed, "method": name, "epochs": epochs,
            "best": best.loss(LOG_LOSS), "values": values, "rates": rates}  # fmt: skip


def interval(values: Sequence[float]) -> str:
    """The mean of paired differences with its 95 % interval (Student's t)."""
    mean, low, high = mean_interval(values)
    return f"{mean:+.4f} ({low:+.4f} to {high:+.4f})"


def report(records: Sequence[Record], track: str, methods: Sequence[str]) -> Iterator[str]:
    """Lines: each method's means, and pairs of seeds against the last method."""
    told = {(r["task"], r["seed"], r["method"]): r for r in records if r["track"] == track}
    for task in dict.fromkeys(t for t, _, _ in told):
        seeds = [s for s in sorted({s for t, s, _ in told if t == task}) if all((task, s, m) in told for m in methods)]
        if not seeds:
            continue
        yield f"{task}: {len(seeds)} seeds"
        other = [told[task, s, methods[-1]] for s in seeds]
        for method in methods:
            mine = [told[task, s, method] for s in seeds]
            again, best, epochs = (np.mean([np.mean(r[of]) for r in mine]) for of in ("values", "best", "epochs"))
            line = f"  {method:6} {again:.4f} on fresh seeds, best seen {best:.4f}, {epochs:.0f} epochs"
            if track == "early":
                line += f", {np.median([r['seconds'] for r in mine]):.1f} s"
            if method != methods[-1]:
                apart = [float(np.mean(a["values"]) - np.mean(b["values"])) for a, b in zip(mine, other, strict=True)]
                line += f"; {interval(apart)} against {methods[-1]}"
                if track == "early":
                    ratios = [a["seconds"] / b["seconds"] for a, b in zip(mine, other, strict=True)]
                    line += f", in {np.median(ratios):.2f} of its time (median; {min(ratios):.2f} to {max(ratios):.2f})"
            yield line


TRACKS: Mapping[str, tuple[Callable[[str, int, str], Record], Sequence[str], Sequence[str]]] = {
    "early": (early, ("auto", "full"), tuple(TASKS)),
    "hand": (by_hand, ("cosine", "constant"), tuple(RATE_TASKS)),
    "schedule": (schedule, ("pbt", "pb2", "asha"), tuple(RATE_TASKS)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--track", choices=TRACKS, default="early")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", default="", help="tasks whose name holds this")
    parser.add_argument("--methods", help="those of the track, with commas; the others are compared with the last one")
    parser.add_argument("--json", type=Path, help="where the raw records are kept")
    told = parser.parse_args()
    run, methods, tasks = TRACKS[told.track]
    methods = told.methods.split(",") if told.methods else methods
    kept = Kept(told.json)
    done = {(r["track"], r["task"], r["seed"], r["method"]) for r in kept.records}
    for seed in range(told.seeds):
        for task in (t for t in tasks if told.only in t):
            for method in methods if seed % 2 == 0 else reversed(methods):
                if (told.track, task, seed, method) not in done:
                    record = run(task, seed, method)
                    kept.add(record)
                    print({k: v for k, v in record.items() if k != "rates"}, file=sys.stderr, flush=True)
    print("\n".join(report(kept.records, told.track, methods)))


if __name__ == "__main__":
    main()
