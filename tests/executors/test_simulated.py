"""The virtual clock."""

import math
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from acts import act
from helpers import Desk

from tunebook.errors import SettingError
from tunebook.executors.simulated import SimulatedExecutor
from tunebook.objective import Run
from tunebook.testing.executor import check_executor
from tunebook.trial import Ended, Event, FailureKind, Measured, Measurement, Status


def test_it_keeps_the_law() -> None:
    check_executor(SimulatedExecutor)


def paced(run: Run) -> Iterator[Measurement]:
    for step in range(1, run.until + 1):
        yield Measurement(step, {"value": 1.0}, seconds=float(run.config["pace"]))


def story(executor: SimulatedExecutor, folder: Path, paces: list[float]) -> list[tuple[float, int, object]]:
    for trial, pace in enumerate(paces):
        executor.submit(Run(trial, {"pace": pace}, 2, folder))
    told: list[tuple[float, int, object]] = []
    while events := executor.poll():
        (event,) = events
        assert isinstance(event, Measured | Ended)
        what = event.measurement.step if isinstance(event, Measured) else event.status
        told.append((executor.now(), event.number, what))
    return told


def test_events_come_in_the_order_of_virtual_time(tmp_path: Path) -> None:
    done = Status.COMPLETED
    assert story(SimulatedExecutor(paced, 2), tmp_path, [3.0, 2.0, 1.0]) == [
        (2.0, 1, 1), (3.0, 0, 1), (4.0, 1, 2), (4.0, 1, done), (5.0, 2, 1), (6.0, 0, 2), (6.0, 0, done), (6.0, 2, 2),
        (6.0, 2, done),
    ]  # fmt: skip


def test_it_does_not_wait_and_is_the_same_each_time(tmp_path: Path) -> None:
    began = time.process_time()
    stories = [story(SimulatedExecutor(paced, 8), tmp_path, [3600.0 * (1 + i % 7) for i in range(50)]) for _ in "ab"]
    assert stories[0] == stories[1]
    assert stories[0][-1][0] >= 50 * 3600
    assert time.process_time() - began < 50


def test_durations_that_are_none_take_no_time(tmp_path: Path) -> None:
    assert story(SimulatedExecutor(paced), tmp_path, [math.nan, math.inf, -5.0, 0.0])[-1][0] == 0.0


def test_a_stop_is_at_the_time_at_which_it_was_asked(tmp_path: Path) -> None:
    executor = SimulatedExecutor(paced, 2)
    for trial, pace in enumerate((1.0, 5.0)):
        executor.submit(Run(trial, {"pace": pace}, 100, tmp_path))
    events: list[Event] = executor.poll()
    executor.stop(0)
    executor.stop(1)
    while new := executor.poll():
        events += new
    assert [(e.number, e.at) for e in events if isinstance(e, Ended)] == [(0, 1.0), (1, 5.0)]


def test_ctrl_c_leaves_poll_and_the_run_is_over(tmp_path: Path) -> None:
    desk = Desk(SimulatedExecutor(act), tmp_path)
    desk.submit(does="raise_interrupt")
    desk.submit()
    with pytest.raises(KeyboardInterrupt):
        desk.end(0)
    failure = desk.end(0).failure
    assert failure is not None and failure.kind is FailureKind.INTERRUPTED
    assert desk.end(1).status is Status.COMPLETED


def test_wrong_capacity() -> None:
    with pytest.raises(SettingError, match="capacity"):
        SimulatedExecutor(paced, 0)
