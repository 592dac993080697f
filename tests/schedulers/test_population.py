"""Population-based training: who is copied and when, schedules that are found, and real copies of real checkpoints."""

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tunebook.errors import CheckpointError, SettingError
from tunebook.executors.serial import SerialExecutor
from tunebook.objective import Run
from tunebook.record import store_of
from tunebook.samplers import RandomSampler
from tunebook.schedulers.base import Copy, Plan, Resume
from tunebook.schedulers.population import (
    PopulationScheduler,
    ReplayScheduler,
    Stretch,
    load_schedule,
    save_schedule,
    schedule_of,
)
from tunebook.space import Choice, Float, Int, Space
from tunebook.stores.memory import MemoryStore
from tunebook.study import Search, Study
from tunebook.testing.scheduler import Make, check_scheduler
from tunebook.trial import Context, Goal, Measurement, Status, Trial

GOAL = Goal("loss")
SPACE = Space(lr=Float(1e-3, 1, log=True), width=Int(4, 64), act=Choice(["a", "b"]))


@pytest.mark.parametrize("make", [PopulationScheduler, partial(PopulationScheduler, n=3, interval=5, share=0.5)])
def test_keeps_the_law(make: Make) -> None:
    check_scheduler(make)


def member(number: int, *losses: float, until: int = 0, status: Status = Status.PAUSED, start: int = 0,
           parent: int | None = None) -> Trial:  # fmt: skip
    curve = tuple(Measurement(start + i + 1, {"loss": x}) for i, x in enumerate(losses))
    return Trial(number, "r", {"x": number}, status=status, until=until or start + len(losses), curve=curve,
                 start=start, parent=parent)  # fmt: skip


def test_the_worst_go_on_from_copies_of_the_best() -> None:
    scheduler = PopulationScheduler(GOAL, 6, n=4, interval=2)
    four = [member(n, 1.0, 0.1 * (n + 1)) for n in range(4)]
    assert scheduler.plan(four, 4, 9) == Plan((), (), (Copy(0, 4),))
    copy = member(4, until=4, status=Status.RUNNING, start=2, parent=0)
    assert scheduler.plan([*four, copy], 4, 8).resume == (Resume(0, 4), Resume(1, 4), Resume(2, 4))  # not 3
    assert scheduler.plan(four, 4, 0).resume == tuple(Resume(n, 4) for n in range(4))  # the budget allows no copy
    waiting = [*four[:3], member(3, 0.9, until=2, status=Status.RUNNING)]
    assert scheduler.plan(waiting, 4, 9) == Plan()


def test_it_is_the_latest_loss_that_counts() -> None:
    scheduler = PopulationScheduler(GOAL, 6, n=4, interval=2)
    told = [member(0, 0.01, 0.9), member(1, 1, 0.5), member(2, 1, 0.4), member(3, 1, 0.3)]
    copies = scheduler.plan(told, 4, 9).copies
    assert copies == (Copy(3, 4),)
    later = member(4, until=4, status=Status.RUNNING, start=2, parent=3)
    assert 0 not in [r.trial for r in scheduler.plan([*told, later], 4, 8).resume]


def test_what_failed_is_replaced_first_and_never_copied() -> None:
    scheduler = PopulationScheduler(GOAL, 6, n=4, interval=2)
    failed = member(0, 0.01, 0.01, until=2, status=Status.FAILED)
    told = [failed, *(member(n, 1, 0.1 * n) for n in (1, 2, 3))]
    assert scheduler.plan(told, 4, 9).copies == (Copy(1, 4),)
    everyone = [member(n, 1, 1, until=2, status=Status.FAILED) for n in range(4)]
    assert scheduler.plan(everyone, 4, 9) == Plan((), (2,) * 4)  # another population


def test_what_happens_after_a_mark_does_not_change_what_was_decided_there() -> None:
    """Trial 1 went on from the mark and failed at once: trial 3, which was replaced, stays where it was left."""
    scheduler = PopulationScheduler(GOAL, 6, n=4, interval=2)
    four = [member(n, 1.0, 0.1 * (n + 1)) for n in range(4)]
    four[1] = member(1, 1.0, 0.2, until=4, status=Status.FAILED)
    copy = member(4, 0.2, 0.1, start=2, parent=0)
    rest = [member(n, 1.0, 0.1 * (n + 1), 0.3, 0.3 + 0.01 * n) for n in (0, 2)]
    plan = scheduler.plan([rest[0], four[1], rest[1], four[3], copy], 4, 0)
    assert [r.trial for r in plan.resume] == [0, 2, 4]


# with files


def training(run: Run) -> Iterator[Measurement]:
    """Gradient descent on x^2/2 from 1, with a state in a file: what a copy goes on from."""
    file = run.folder / "state.json"
    x, step = json.loads(file.read_text()) if file.exists() else (1.0, 0)
    assert step >= run.start, "the copy does not stand where it should"
    while step < run.until:
        x, step = x - float(run.config["lr"]) * x, step + 1
        yield Measurement(step, {"loss": abs(x)}, seconds=1.0)
        file.with_suffix(".new").write_text(json.dumps([x, step]))
        os.replace(file.with_suffix(".new"), file)


def search(scheduler: object) -> Search:
    return Search("population", SPACE, GOAL, RandomSampler(SPACE, GOAL), scheduler)  # type: ignore[arg-type]


def test_copies_go_on_where_their_parents_were(tmp_path: Path) -> None:
    scheduler = PopulationScheduler(GOAL, 20, n=6, interval=4, share=0.34)
    with Study(MemoryStore(), tmp_path, SerialExecutor(training)) as study:
        trials = study.run(search(scheduler), 14)
    copies = [t for t in trials.values() if t.parent is not None]
    assert len(trials) == 14 and copies
    for t in copies:
        parent = trials[t.parent or 0]
        before = next(m for m in parent.curve if m.step == t.start)
        after = before.metrics["loss"] * abs(1 - t.config["lr"])  # type: ignore[operator]
        assert t.curve[0].metrics["loss"] == pytest.approx(after) and t.curve[0].step == t.start + 1
        assert t.config["width"] == parent.config["width"] and t.config["act"] == parent.config["act"]
        assert t.config["lr"] != parent.config["lr"] and 1e-3 <= t.config["lr"] <= 1  # type: ignore[operator]
    ended = [t for t in trials.values() if t.step == 20]
    assert len(ended) == 6


def test_a_schedule_is_exported_and_replayed(tmp_path: Path) -> None:
    scheduler = PopulationScheduler(GOAL, 20, n=6, interval=4, share=0.34)
    with Study(MemoryStore(), tmp_path / "a", SerialExecutor(training)) as study:
        trials = study.run(search(scheduler), 14)
    best = min((t for t in trials.values() if t.step == 20 and t.parent is not None), key=lambda t: t.loss(GOAL))
    found = schedule_of(trials, best.number)
    assert found[0].start == 0 and found[-1].until == 20 and found[-1].config == dict(best.config)
    save_schedule(found, tmp_path / "schedule.json")
    assert load_schedule(tmp_path / "schedule.json") == found
    replay = ReplayScheduler(GOAL, 20, found)
    again = Search("replay", SPACE, GOAL, RandomSampler(SPACE, GOAL), replay, runs=replay.runs(Context()))
    with Study(MemoryStore(), tmp_path / "b", SerialExecutor(training)) as study:
        replayed = study.run(again, len(found))
    last = replayed[len(found) - 1]
    assert last.step == 20 and last.curve[-1].metrics["loss"] == best.curve[-1].metrics["loss"]


def test_a_replay_that_goes_on_later_trains_no_stretch_twice(tmp_path: Path) -> None:
    ends, rates = ((0, 4), (4, 8), (8, 20)), (0.5, 0.2, 0.1)
    found = [Stretch(a, b, {"lr": rate, "width": 8, "act": "a"}) for (a, b), rate in zip(ends, rates, strict=True)]
    replay = ReplayScheduler(GOAL, 20, found)
    listed = Search("replay", SPACE, GOAL, RandomSampler(SPACE, GOAL), replay, runs=replay.runs(Context(seed=3)))
    for most in (4, 12, math.inf, math.inf):
        with Study(store_of(tmp_path), tmp_path, SerialExecutor(training)) as study:
            trials = study.run(listed, 3, steps=most)
    assert [(t.start, t.step, t.context.seed) for t in trials.values()] == [(0, 4, 3), (4, 8, 3), (8, 20, 3)]


def test_without_a_checkpoint_there_is_no_exploit(tmp_path: Path) -> None:
    def forgets(run: Run) -> Iterator[Measurement]:
        yield from (Measurement(s, {"loss": float(run.config["lr"])}) for s in range(1, run.until + 1))

    scheduler = PopulationScheduler(GOAL, 20, n=4, interval=4)
    with Study(MemoryStore(), tmp_path, SerialExecutor(forgets)) as study:
        with pytest.raises(CheckpointError, match="has written no checkpoint"):
            study.run(search(scheduler), 14)
        assert not [t for t in study.trials.values() if t.parent is not None]


DRIVER = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from test_population import GOAL, store_of, Study, PopulationScheduler, SerialExecutor, search, training
folder = Path({folder!r})
folder.mkdir(exist_ok=True)
with Study(store_of(folder), folder, SerialExecutor(training)) as study:
    study.run(search(PopulationScheduler(GOAL, 20, n=6, interval=4, share=0.34)), 14)
"""


@pytest.mark.parametrize("at", [22, 24, 40])
def test_killed_with_9_it_resumes_to_a_valid_population(at: int, tmp_path: Path) -> None:
    """Killed at numbered points of the driver, around the first copies too: the end is that of an unbroken run."""
    with Study(MemoryStore(), tmp_path / "whole", SerialExecutor(training)) as study:
        whole = study.run(search(PopulationScheduler(GOAL, 20, n=6, interval=4, share=0.34)), 14)
    text = textwrap.dedent(DRIVER).format(here=str(Path(__file__).parent), folder=str(tmp_path / "killed"))
    env = {**os.environ, "TUNEBOOK_FAULTS": f"kill:{at}"}
    killed = subprocess.run([sys.executable, "-c", text], env=env, check=False, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = subprocess.run([sys.executable, "-c", text], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with Study(store_of(tmp_path / "killed"), tmp_path / "killed") as study:
        trials = study.trials
        assert [(t.config, t.parent, t.start, t.step) for t in trials.values()] == [
            (t.config, t.parent, t.start, t.step) for t in whole.values()]  # fmt: skip
        assert [t.loss(GOAL) for t in trials.values()] == [t.loss(GOAL) for t in whole.values()]


def test_explore_stays_inside_and_leaves_what_cannot_change() -> None:
    sampler = RandomSampler(SPACE, GOAL)
    told = [sampler.explore({"lr": 0.1, "width": 8, "act": "b"}, n) for n in range(300)]
    rates = np.array([c["lr"] for c in told], dtype=float)
    assert {(c["width"], c["act"]) for c in told} == {(8, "b")}
    moved = np.abs(np.log10(rates) + 1) / 3  # of a range of three decades; one in ten is drawn anew
    assert 0.55 < (moved < 0.15).mean() < 0.75 and moved.max() > 0.5
    assert rates.min() >= 1e-3 and rates.max() <= 1
    assert told[:9] == [sampler.explore({"lr": 0.1, "width": 8, "act": "b"}, n) for n in range(9)]
    assert sampler.explore({"lr": 1.0, "width": 8, "act": "b"}, 3)["lr"] <= 1.0  # type: ignore[operator]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([Stretch(0, 4, {}), Stretch(5, 9, {})], "follow each other"),
        ([Stretch(0, 0, {})], "follow each other"),
        ([], "empty"),
        ([Stretch(0, 99, {})], "longer than"),
    ],
)
def test_odd_schedules(rows: list[Stretch], told: str) -> None:
    with pytest.raises(SettingError, match=told):
        ReplayScheduler(GOAL, 20, rows)


def test_odd_files_and_settings(tmp_path: Path) -> None:
    (tmp_path / "odd.json").write_text('[{"from": 0}]')
    for name in ("odd.json", "gone.json"):
        with pytest.raises(SettingError, match="no schedule"):
            load_schedule(tmp_path / name)
    for settings in ({"n": 0}, {"interval": 0}, {"share": 0.6}):
        with pytest.raises(SettingError):
            PopulationScheduler(GOAL, 9, **settings)  # type: ignore[arg-type]
    assert math.isfinite(PopulationScheduler(GOAL, 9).expected_steps(10))
