"""Workers are killed with -9 in the middle of epochs, 20 times: nothing that was told is lost, the budget is exact."""

import json
import os
import signal
import threading
import time
from pathlib import Path

from tunebook import Float, Goal, Measurement, Space
from tunebook.executors.local import LocalExecutor
from tunebook.samplers import QuasiSampler
from tunebook.schedulers import FullScheduler
from tunebook.stores.sql import SqlStore
from tunebook.study import Search, Study
from tunebook.trial import Measured, Status

KILLS, TRIALS, STEPS = 20, 30, 12


def train(run):
    """Half of the runs keep a checkpoint, the others begin again: both must end alike."""
    saved = Path(run.folder) / "state.json"
    done = json.loads(saved.read_text()) if saved.exists() else 0
    for step in range(done + 1, run.until + 1):
        time.sleep(0.02)
        yield Measurement(step, {"loss": run.config["x"] / step})
        if run.trial % 2:
            new = saved.with_suffix(".new")
            new.write_text(json.dumps(step))
            new.replace(saved)


def test_twenty_workers_are_killed_mid_epoch(tmp_path):
    space, goal = Space(x=Float(0.0, 1.0)), Goal("loss")
    told, killed, over = [], [], threading.Event()
    with LocalExecutor(train, 2) as executor:

        def kill():
            """One worker after the other, each at work on a trial that has begun to measure."""
            while len(killed) < KILLS and not over.wait(0.05):
                busy = [(b.run.trial, w.pid) for w, b in list(executor._busy.items()) if b.where == "run" and b.step]
                known, dead = [trial for trial, _ in killed], {pid for _, pid in killed}
                fresh = [(trial, pid) for trial, pid in busy if pid not in dead and known.count(trial) < 2]
                if fresh:
                    killed.append(fresh[0])
                    os.kill(fresh[0][1], signal.SIGKILL)

        store = SqlStore(tmp_path / "book.db", "s")
        with Study(store, tmp_path, executor, listener=lambda events, trials: told.extend(events)) as study:
            killer = threading.Thread(target=kill)
            killer.start()
            try:
                study.run(Search("r", space, goal, QuasiSampler(space, goal, 0), FullScheduler(goal, STEPS)), TRIALS)
            finally:
                over.set()
                killer.join()
    assert len(killed) == KILLS
    trials = SqlStore(tmp_path / "book.db", "s").trials()
    assert len(trials) == TRIALS
    for t in trials.values():
        assert t.status is Status.COMPLETED, t.failure
        assert [m.step for m in t.curve] == list(range(1, STEPS + 1))
        assert [m.metrics["loss"] for m in t.curve] == [t.config["x"] / step for step in range(1, STEPS + 1)]
    kept = {(t.number, m.step) for t in trials.values() for m in t.curve}
    assert {(e.number, e.measurement.step) for e in told if isinstance(e, Measured)} == kept
    assert sum(t.attempt - 1 for t in trials.values()) >= KILLS - 2  # one may die after its last measurement
