"""What the engine costs beside what it runs: tunebook and Optuna side by side, in one run on one machine.

    python benchmarks/engine.py                    the whole, about three minutes
    python benchmarks/engine.py --only open        one part of: trials, loop, append, open
    python benchmarks/engine.py --json

The objective does nothing, so that all time is the engine's. ``trials``: 10 hyperparameters, 20 reports a trial, two
worker processes, a record on disk; nothing is counted of starting the processes. Optuna is as it comes: a SQLite file
in its RDBStorage and TPE; its reports are not followed by should_prune, which would cost it about as much again. Both
have studies of 300 trials; tunebook's rate is the median over seven such studies. ``loop``: 1,000 trials of 100 steps.
``append``: a batch of two events. ``open``: a study of 100,000 trials in 200,000 batches, as two workers leave it.
"""

from __future__ import annotations

import argparse
import atexit
import json
import logging
import multiprocessing
import os
import platform
import random
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tunebook.executors.local import LocalExecutor
from tunebook.executors.serial import SerialExecutor
from tunebook.executors.simulated import SimulatedExecutor
from tunebook.objective import Objective, Run
from tunebook.samplers import QuasiSampler, RandomSampler, Sampler, TPESampler
from tunebook.schedulers import FullScheduler
from tunebook.space import Float, Space
from tunebook.stores.memory import MemoryStore
from tunebook.stores.sql import SqlStore
from tunebook.study import Search, Study
from tunebook.trial import (
    Context,
    Created,
    Ended,
    Event,
    Goal,
    Launched,
    Measured,
    Measurement,
    Status,
    Trials,
    replay,
)

DIM, REPORTS, WORKERS, STUDIES = 10, 20, 2, 7
SPACE = Space({f"x{i}": Float(0.0, 1.0) for i in range(DIM)})
GOAL = Goal("loss")
TIMES_OPTUNA, LOOP_SECONDS, APPEND_MS, OPEN_SECONDS = 50.0, 5.0, 0.3, 3.0


@dataclass(frozen=True)
class Line:
    """One measurement: ``value`` in ``unit``; where there is a target, as people read it and whether it was ``met``."""

    part: str
    what: str
    value: float
    unit: str
    target: str = ""
    met: bool | None = None


@contextmanager
def folder() -> Iterator[Path]:
    """A new folder, removed when all is measured: ext4 makes files many times as slowly for some seconds after others
    were removed, and that would be counted against whoever comes next."""
    where = Path(tempfile.mkdtemp(prefix="engine-"))
    atexit.register(shutil.rmtree, where, ignore_errors=True)
    yield where


# Optuna's half: functions of modules, because its workers are processes


def optuna_storage(kind: str, where: Path) -> Any:
    import optuna

    if kind == "journal":
        from optuna.storages.journal import JournalFileBackend

        return optuna.storages.JournalStorage(JournalFileBackend(str(where / "optuna.log")))
    return f"sqlite:///{where / 'optuna.db'}"


def optuna_sampler(kind: str, seed: int) -> Any:
    import optuna

    return optuna.samplers.RandomSampler(seed=seed) if kind == "random" else None


def optuna_objective(trial: Any) -> float:
    x = [trial.suggest_float(f"x{i}", 0.0, 1.0) for i in range(DIM)]
    for step in range(1, REPORTS + 1):
        trial.report(x[0], step)
    return float(x[0])


def optuna_worker(storage: str, sampler: str, where: Path, trials: int, start: Any) -> None:
    quiet()
    import optuna

    how = optuna_sampler(sampler, os.getpid())
    study = optuna.load_study(study_name="s", storage=optuna_storage(storage, where), sampler=how)
    start.wait()
    study.optimize(optuna_objective, n_trials=trials)


def optuna_rate(storage: str, sampler: str, trials: int) -> float:
    """Trials a second of two processes that share a study."""
    quiet()
    import optuna

    spawn = multiprocessing.get_context("spawn")
    with folder() as where:
        optuna.create_study(study_name="s", storage=optuna_storage(storage, where))
        start = spawn.Barrier(WORKERS + 1)
        share = trials // WORKERS
        workers = [
            spawn.Process(target=optuna_worker, args=(storage, sampler, where, share, start)) for _ in range(WORKERS)
        ]
        for w in workers:
            w.start()
        start.wait()
        began = time.perf_counter()
        for w in workers:
            w.join()
        seconds = time.perf_counter() - began
        done = len(optuna.load_study(study_name="s", storage=optuna_storage(storage, where)).trials)
    if done != share * WORKERS:
        raise RuntimeError(f"Optuna has {done} trials of {share * WORKERS}")
    return done / seconds


def quiet() -> None:
    import optuna

    optuna.logging.set_verbosity(logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)


# tunebook's half


def no_op(run: Run) -> Iterator[Measurement]:
    loss = float(run.config["x0"])  # type: ignore[arg-type]
    for step in range(1, run.until + 1):
        yield Measurement(step, {"loss": loss}, seconds=1e-3)


def search(sampler: type[Sampler], steps: int, round: str) -> Search:
    return Search(round, SPACE, GOAL, sampler(SPACE, GOAL, 0), FullScheduler(GOAL, steps))


def tunebook_rate(sampler: type[Sampler], trials: int, options: str = "") -> float:
    """Trials a second of two worker processes, which ran a few trials before so that they are there."""
    rates = []
    with LocalExecutor(no_op, WORKERS) as executor:
        for again in range(STUDIES + 1):
            with folder() as where:
                store = SqlStore(f"sqlite:///{where / 'book.db'}{options}", "s")
                with Study(store, where, executor) as study:
                    n = trials if again else 4 * WORKERS
                    began = time.perf_counter()
                    study.run(search(sampler, REPORTS, "r"), n)
                    rates.append(n / (time.perf_counter() - began))
                check(replay(store.read()), "r", n, REPORTS)
    return statistics.median(rates[1:])


def check(state: Trials, round: str, trials: int, steps: int) -> None:
    done = [t for t in state.of(round) if t.status is Status.COMPLETED and len(t.curve) == steps]
    if len(done) != trials:
        raise RuntimeError(f"{len(done)} whole trials of {trials} are in the record")


# parts


def trials_part(few: bool) -> Iterator[Line]:
    n = 20 if few else 300
    base = {}
    for sampler, label in (("tpe", "its defaults: TPE, SQLite"), ("random", "random search, SQLite")):
        base[sampler] = optuna_rate("sqlite", sampler, n)
        yield Line("trials", f"Optuna, {label}", base[sampler], "trials/s")
    yield Line("trials", "Optuna, TPE, JournalFile", optuna_rate("journal", "tpe", n), "trials/s")
    for kind, label, options, peer in (
        (TPESampler, "TPE, SQLite", "", "tpe"),
        (TPESampler, "TPE, SQLite with synchronous=full", "?synchronous=full", "tpe"),
        (RandomSampler, "random search, SQLite", "", "random"),
        (QuasiSampler, "quasi-random search, SQLite", "", "random"),
    ):
        rate = tunebook_rate(kind, n, options)
        times = rate / base[peer]
        target = f">= {TIMES_OPTUNA:g} x Optuna: {times:.0f} x"
        yield Line("trials", f"tunebook, {label}", rate, "trials/s", target, times >= TIMES_OPTUNA)


def loop_part(few: bool) -> Iterator[Line]:
    trials, steps = (100 if few else 1000), 100
    runs: tuple[tuple[str, Callable[[Objective], Any], bool], ...] = (
        ("serial, SQLite", SerialExecutor, True),
        ("simulated with 8 slots, SQLite", lambda o: SimulatedExecutor(o, 8), True),
        ("simulated with 8 slots, in memory", lambda o: SimulatedExecutor(o, 8), False),
    )
    for label, make, kept in runs:
        with folder() as where, make(no_op) as executor:
            store = SqlStore(where / "book.db", "s") if kept else MemoryStore()
            began = time.perf_counter()
            with Study(store, where, executor) as study:
                study.run(search(RandomSampler, steps, "r"), trials)
            seconds = time.perf_counter() - began
            check(replay(store.read()), "r", trials, steps)
        what = f"{trials:,} trials x {steps} steps, {label}"
        yield Line("loop", what, seconds, "s", f"< {LOOP_SECONDS:g} s", seconds < LOOP_SECONDS)


def batches(trials: int) -> Iterator[list[Event]]:
    """What two workers leave behind: a batch when a trial begins and one when it ends."""
    rng = random.Random(1)
    for i in range(trials):
        config = {f"x{j}": rng.random() for j in range(DIM)}
        yield [Created(i, "r", config, Context(rng.getrandbits(32))), Launched(i, 1, 1, 1.7e9 + i)]
        yield [
            Measured(i, 1, Measurement(1, {"loss": rng.random()}, 0.01)),
            Ended(i, 1, Status.COMPLETED, None, 1.7e9 + i),
        ]


def append_part(few: bool) -> Iterator[Line]:
    told = list(batches(500 if few else 5000))
    for label, options in (("", ""), (", synchronous=full", "?synchronous=full")):
        with folder() as where:
            store = SqlStore(f"sqlite:///{where / 'book.db'}{options}", "s")
            with store.claim():
                began = time.perf_counter()
                for batch in told:
                    store.append(batch)
                each = (time.perf_counter() - began) / len(told) * 1e3
        met = None if options else each < APPEND_MS
        target = "" if options else f"< {APPEND_MS:g} ms"
        yield Line("append", f"a batch of 2 events, SQLite{label}", each, "ms", target, met)
    with folder() as where:
        store = SqlStore(where / "book.db", "s")
        many = [e for batch in told for e in batch]
        with store.claim():
            began = time.perf_counter()
            for at in range(0, len(many), 256):
                store.append(many[at : at + 256])
            each = (time.perf_counter() - began) / (len(told) / 2) * 1e3
    yield Line("append", "a trial (4 events) in batches of 256, SQLite", each, "ms")


def open_part(few: bool) -> Iterator[Line]:
    trials = 5_000 if few else 100_000
    with folder() as where:
        write_quickly(where / "book.db", trials)
        store, took = SqlStore(where / "book.db", "s"), list[float]()
        for _ in range(3):
            began = time.perf_counter()
            with Study(store, where) as study:
                took.append(time.perf_counter() - began)
                if len(study.trials) != trials:
                    raise RuntimeError(f"{len(study.trials)} trials of {trials}")
            del study
    seconds = sorted(took)[1]
    what, target = f"a study of {trials:,} trials (median of 3)", f"< {OPEN_SECONDS:g} s"
    yield Line("open", what, seconds, "s", target, seconds < OPEN_SECONDS)


def write_quickly(path: Path, trials: int) -> None:
    """The batches as the store would write them, without the wait: one by one they would take half a minute."""
    from zlib import crc32

    from tunebook.stores.codec import encode

    with SqlStore(path, "s").claim():
        pass
    raw = sqlite3.connect(path)
    position = 0
    for batch in batches(trials):
        text = encode(batch)
        raw.execute("INSERT INTO batches VALUES (1, ?, ?, ?, ?)", (position, len(batch), text, crc32(text.encode())))
        position += len(batch)
    raw.execute("UPDATE studies SET events = ?, trials = ?", (position, trials))
    raw.commit()
    raw.close()


PARTS: dict[str, Callable[[bool], Iterator[Line]]] = {
    "trials": trials_part,
    "loop": loop_part,
    "append": append_part,
    "open": open_part,
}


def about() -> dict[str, str]:
    import optuna
    import sqlalchemy

    return {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "sqlalchemy": sqlalchemy.__version__,
        "optuna": optuna.__version__,
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def as_text(line: Line) -> str:
    met = {True: "met", False: "MISSED", None: ""}[line.met]
    return f"{line.part:7} {line.what:58} {line.value:10.3f} {line.unit:9} {line.target:30} {met}".rstrip()


def main() -> int:
    """Returns 1 if a target was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=PARTS, action="append", help="one part; may be given again")
    parser.add_argument("--few", action="store_true", help="a tenth of the work, to see that it runs")
    parser.add_argument("--json", action="store_true", help="JSON on the standard output")
    args = parser.parse_args()
    told, lines = about(), []
    if not args.json:
        print(", ".join(f"{k} {v}" for k, v in told.items()), flush=True)
    for part in args.only or PARTS:
        for line in PARTS[part](args.few):
            lines.append(line)
            if not args.json:
                print(as_text(line), flush=True)
    if args.json:
        print(json.dumps({"about": told, "lines": [asdict(line) for line in lines]}, indent=1))
    return int(any(line.met is False for line in lines))


if __name__ == "__main__":
    sys.exit(main())
