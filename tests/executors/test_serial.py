"""Runs in this process: for people with a debugger."""

import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from acts import act, counts
from helpers import Desk

from tunebook.errors import ObjectiveError
from tunebook.executors.serial import SerialExecutor
from tunebook.objective import Run, objective
from tunebook.testing.executor import check_executor
from tunebook.trial import FailureKind, Measurement, Status


def test_it_keeps_the_law() -> None:
    check_executor(lambda objective, capacity: SerialExecutor(objective))


def buggy(run: Run) -> Iterator[Measurement]:
    yield Measurement(1, {"value": 1.0})
    secret = 42
    raise KeyError(secret)


@pytest.mark.parametrize("function", [buggy, objective(lambda run: next(buggy(run)) and list(buggy(run)))])
def test_raw_errors_leave_poll_with_their_frames(tmp_path: Path, function: object) -> None:
    desk = Desk(SerialExecutor(function, raw=True), tmp_path)  # type: ignore[arg-type]
    desk.submit()
    desk.submit(until=1)
    with pytest.raises(KeyError) as caught:
        desk.end(0)
    frame = list(traceback.walk_tb(caught.tb))[-1][0]
    assert frame.f_code.co_name == "buggy" and frame.f_locals["secret"] == 42
    failure = desk.end(0).failure
    assert failure is not None and failure.kind is FailureKind.USER_ERROR


def test_raw_also_raises_for_what_is_no_measurement(tmp_path: Path) -> None:
    def wrong(run: Run) -> Iterator[object]:
        yield 3

    desk = Desk(SerialExecutor(wrong, raw=True), tmp_path)  # type: ignore[arg-type]
    desk.submit()
    with pytest.raises(ObjectiveError, match="Measurement"):
        desk.poll()


def test_typed_failures_without_raw(tmp_path: Path) -> None:
    desk = Desk(SerialExecutor(buggy), tmp_path)
    desk.submit()
    failure = desk.end(0).failure
    assert failure is not None
    assert failure.message == "KeyError: 42" and failure.where.endswith("in buggy")


def test_ctrl_c_leaves_poll_and_the_run_is_over(tmp_path: Path) -> None:
    desk = Desk(SerialExecutor(act), tmp_path)
    desk.submit(does="raise_interrupt")
    desk.submit()
    with pytest.raises(KeyboardInterrupt):
        desk.end(0)
    failure = desk.end(0).failure
    assert failure is not None and failure.kind is FailureKind.INTERRUPTED
    assert desk.end(1).status is Status.COMPLETED


def test_one_measurement_a_poll(tmp_path: Path) -> None:
    desk = Desk(SerialExecutor(act), tmp_path)
    desk.submit()
    assert [len(desk.poll()) for _ in range(5)] == [1, 1, 1, 1, 0]


def test_times_are_filled_in(tmp_path: Path) -> None:
    desk = Desk(SerialExecutor(counts), tmp_path)
    desk.submit(pause=0.02)
    desk.end(0)
    assert all(m.measurement.seconds >= 0.02 for m in desk.measured(0))
