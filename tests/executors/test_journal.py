"""What was measured and not yet written by the driver is not lost with it."""

import json
from collections.abc import Iterator
from pathlib import Path

from acts import counts

from tunebook.executors._journal import NAME, journalled
from tunebook.objective import Run, play
from tunebook.trial import Ended, Event, FailureKind, Measured, Measurement, Status


def run_of(folder: Path, attempt: int = 1, until: int = 5) -> Run:
    return Run(0, {"pause": 0.0}, until, folder, attempt=attempt)


def steps(events: list[Event]) -> list[int]:
    return [e.measurement.step for e in events if isinstance(e, Measured)]


def test_an_attempt_begins_with_what_the_others_measured(tmp_path: Path) -> None:
    first = journalled(play(counts, run_of(tmp_path)), run_of(tmp_path))
    told = [next(first) for _ in range(3)]
    del first
    second = list(journalled(play(counts, run_of(tmp_path, 2)), run_of(tmp_path, 2)))
    assert steps(second) == [1, 2, 3, 4, 5]
    assert [e.measurement for e in second[:3]] == [e.measurement for e in told]  # type: ignore[union-attr]
    assert all(e.attempt == 2 for e in second)  # type: ignore[union-attr]
    assert isinstance(second[-1], Ended) and second[-1].status is Status.COMPLETED


def test_what_is_measured_again_is_not_told_again(tmp_path: Path) -> None:
    """The checkpoint is behind the measurements: the steps after it are trained again."""
    list(journalled(play(counts, run_of(tmp_path, until=4)), run_of(tmp_path, until=4)))
    (tmp_path / "saved").write_text("2")
    again = list(journalled(play(counts, run_of(tmp_path, 2)), run_of(tmp_path, 2)))
    assert steps(again) == [1, 2, 3, 4, 5]
    assert len((tmp_path / NAME).read_text().splitlines()) == 5


def test_a_first_attempt_begins_anew(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('[1, {"value": 9.0}, 0.0, 0.0]\n')
    events = list(journalled(play(counts, run_of(tmp_path)), run_of(tmp_path)))
    assert steps(events) == [1, 2, 3, 4, 5]
    assert [json.loads(line)[0] for line in (tmp_path / NAME).read_text().splitlines()] == [1, 2, 3, 4, 5]


def test_a_line_that_was_cut_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('[1, {"value": 9.0}, 0.5, 0.0]\n[2, {"val')
    (tmp_path / "saved").write_text("1")
    events = list(journalled(play(counts, run_of(tmp_path, 2)), run_of(tmp_path, 2)))
    assert steps(events) == [1, 2, 3, 4, 5]


def test_numbers_come_back_as_they_were(tmp_path: Path) -> None:
    values = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0, float("nan")]

    def exact(run: Run) -> Iterator[Measurement]:
        for step, value in enumerate(values, 1):
            yield Measurement(step, {"value": 1.0, "other ü": value}, seconds=0.1, memory=12.5)

    run = run_of(tmp_path, 1, len(values))
    first = list(journalled(play(exact, run), run))
    run = run_of(tmp_path, 2, len(values))
    second = list(journalled(play(exact, run), run))
    assert [repr(e.measurement) for e in first[:-1]] == [repr(e.measurement) for e in second[:-1]]  # type: ignore[union-attr]


def test_a_journal_that_cannot_be_opened_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    (ended,) = journalled(play(counts, run_of(tmp_path)), run_of(tmp_path))
    assert isinstance(ended, Ended) and ended.failure is not None and NAME in ended.failure.message
    (tmp_path / "a file").touch()
    (ended,) = journalled(iter(()), run_of(tmp_path / "a file" / "0"))
    assert isinstance(ended, Ended) and ended.failure is not None
    assert ended.failure.kind is FailureKind.USER_ERROR
