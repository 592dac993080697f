"""The law of executors as a test, for people who write one."""

from __future__ import annotations

import math
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path

from tunebook.errors import TunebookError
from tunebook.executors.base import Executor
from tunebook.objective import EarlyStop, Objective, Run
from tunebook.trial import Ended, Event, FailureKind, Measured, Measurement, Status

Make = Callable[[Objective, int], Executor]

METRIC = "loss"
STEPS = 4
LONG = 100_000
_ENDS: dict[str, tuple[int, Status, FailureKind | None]] = {  # what a run does: steps measured, status, failure
    "works": (STEPS, Status.COMPLETED, None),
    "goes beyond": (STEPS, Status.COMPLETED, None),
    "raises": (2, Status.FAILED, FailureKind.USER_ERROR),
    "raises at once": (0, Status.FAILED, FailureKind.USER_ERROR),
    "exits": (2, Status.FAILED, FailureKind.USER_ERROR),
    "diverges": (3, Status.FAILED, FailureKind.DIVERGED),
    "says enough": (2, Status.STOPPED, None),
    "ends too early": (2, Status.FAILED, FailureKind.USER_ERROR),
    "measures nothing": (0, Status.FAILED, FailureKind.USER_ERROR),
    "yields no measurement": (2, Status.FAILED, FailureKind.USER_ERROR),
}


def scripted(run: Run) -> Generator[Measurement, None, EarlyStop | None]:
    """An objective that does what ``config["does"]`` says.

    It keeps the last step it saved in the run's folder and goes on from there; while it runs it has a file in the
    folder above, by which runs side by side are counted.
    """
    does, sign = str(run.config["does"]), run.folder.parent / f"running-{run.trial}"
    saved = run.folder / "saved"
    sign.touch()
    try:
        beside = len(list(run.folder.parent.glob("running-*")))
        if does in ("raises at once", "measures nothing"):
            return _odd(does)
        first = int(saved.read_text()) + 1 if saved.exists() else 1
        for step in range(first, (LONG if does == "goes beyond" else run.until) + 1):
            if step > 2 and does not in ("works", "goes beyond", "goes on", "diverges"):
                if does == "yields no measurement":
                    yield "a text"  # type: ignore[misc]
                return _odd(does)
            loss = math.nan if does == "diverges" and step == 3 else _loss(run.trial, step)
            yield Measurement(step, {METRIC: loss, "beside": beside}, seconds=0.5)
            saved.write_text(str(step))
            if does == "goes on":
                time.sleep(0.002)
    finally:
        sign.unlink(missing_ok=True)
    return None


def _odd(does: str) -> EarlyStop | None:
    if does.startswith("raises"):
        raise ValueError("as it was told to")
    if does == "exits":
        raise SystemExit(3)
    return EarlyStop("enough") if does == "says enough" else None


def _loss(trial: int, step: int) -> float:
    return trial + 1.0 / (3 * step)


def check_executor(make: Make, patience: float = 60.0) -> None:
    """Raises AssertionError with a sentence if executors of ``make(objective, capacity)`` break the law of
    ``tunebook.executors.base``.

    Runs succeed, raise, exit, diverge, end early and too early, are stopped, and are cut off by ``close``, one and
    three side by side: each yields its measurements in order, as they were made, and then exactly one end of the right
    kind; those after it go on. A run may save what it has after its last measurement, and the next attempt goes on
    from there. A run without news for ``patience`` seconds counts as lost. The executor may have another capacity than
    it was asked for.
    """
    for capacity in (1, 3):
        with (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
            make(scripted, capacity) as executor,
        ):
            for check in (_check_ends, _check_queue, _check_attempts, _check_stop, _check_stop_waiting, _check_close):
                own = Path(folder) / check.__name__
                own.mkdir()
                check(_Watched(executor, own, patience))


class _Watched:
    """An executor, and what it says from now on; ``events`` are by trial and attempt."""

    def __init__(self, executor: Executor, folder: Path, patience: float) -> None:
        assert executor.capacity >= 1, f"an executor has a capacity of {executor.capacity}, not of one or more"
        self.executor, self.folder, self.patience = executor, folder, patience
        self.events: defaultdict[tuple[int, int], list[Measured | Ended]] = defaultdict(list)
        self.runs: dict[tuple[int, int], Run] = {}
        self.clock = self.executor.now()

    def submit(self, trial: int, does: str, attempt: int = 1, until: int = STEPS) -> tuple[int, int]:
        run = Run(trial, {"does": does}, until, self.folder / str(trial), attempt=attempt, metric=METRIC)
        run.folder.mkdir(exist_ok=True)
        self.runs[trial, attempt] = run
        self.executor.submit(run)
        return trial, attempt

    def poll(self) -> int:
        """Take in what is new; returns how much that was."""
        try:
            events = self.executor.poll(0.2)
        except Exception as error:
            raise AssertionError(f"poll raised {type(error).__name__}: {error}; it should return events") from error
        now = self.executor.now()
        assert now >= self.clock, f"the clock went back from {self.clock} to {now}"
        for event in events:
            self._take_in(event, now)
        self.clock = now
        return len(events)

    def _take_in(self, event: Event, now: float) -> None:
        assert isinstance(event, Measured | Ended), f"poll returned {event!r}, neither Measured nor Ended"
        key = event.number, event.attempt
        assert key in self.runs, f"an event of trial {key[0]}, attempt {key[1]}, which was not submitted: {event}"
        before = self.events[key]
        if before and isinstance(before[-1], Ended):
            what = "a second end" if isinstance(event, Ended) else "a measurement after its end"
            raise AssertionError(f"trial {key[0]} had {what}")
        if isinstance(event, Ended):
            assert self.clock <= event.at <= now, f"an end is dated {event.at}, between polls at {self.clock} and {now}"
        before.append(event)

    def wait(self, condition: Callable[[], bool], what: str, *, news_help: bool = True) -> None:
        """Poll until the condition holds. Raises AssertionError, with ``what``, after ``patience``.

        With ``news_help`` that counts from the last event.
        """
        began = time.monotonic()
        while not condition():
            news = self.poll()
            if news and news_help:
                began = time.monotonic()
            assert time.monotonic() - began < self.patience, f"{what}, {self.patience:g} s later"
            time.sleep(0.0 if news else 0.001)

    def ended(self, key: tuple[int, int]) -> bool:
        return bool(self.events[key]) and isinstance(self.events[key][-1], Ended)

    def measured(self, key: tuple[int, int]) -> list[Measurement]:
        return [e.measurement for e in self.events[key] if isinstance(e, Measured)]

    def wait_for_all(self, keys: Sequence[tuple[int, int]]) -> None:
        """Until all have measured twice, side by side."""
        told = f"{len(keys)} runs do not all go on, with a capacity of {self.executor.capacity}"
        self.wait(lambda: all(len(self.measured(key)) >= 2 for key in keys), told, news_help=False)

    def wait_for_stop(self, key: tuple[int, int]) -> None:
        self.wait(lambda: self.ended(key), "a run that was asked to stop goes on", news_help=False)

    def finish(self, keys: Iterable[tuple[int, int]]) -> None:
        for key in keys:
            does = self.runs[key].config["does"]
            self.wait(lambda key=key: self.ended(key), f"trial {key[0]}, which {does}, has no end")  # type: ignore[misc]

    def check_curve(self, key: tuple[int, int], steps: Sequence[int], known: int = 0) -> None:
        """Assert what was measured, apart from repetitions of the ``known`` first steps."""
        told = self.measured(key)
        new = [m for m in told if m.step > known]
        run = self.runs[key]
        assert [m.step for m in new] == list(steps), (
            f"a run that {run.config['does']} gave steps {[m.step for m in told]} instead of {list(steps)}"
        )
        for m in told:
            expected = math.nan if run.config["does"] == "diverges" and m.step == 3 else _loss(key[0], m.step)
            got = m.metrics[METRIC]
            same = got == expected or (math.isnan(got) and math.isnan(expected))
            assert same, f"a metric {expected} came as {got}"
            assert m.seconds == 0.5, f"a measurement of 0.5 s came as one of {m.seconds} s"
            assert m.metrics["beside"] <= self.executor.capacity, (
                f"{m.metrics['beside']:.0f} runs were side by side, with a capacity of {self.executor.capacity}"
            )

    def check_end(self, key: tuple[int, int], status: Status, failure: FailureKind | None = None) -> None:
        ended = self.events[key][-1]
        assert isinstance(ended, Ended)
        kind = ended.failure.kind if ended.failure else None
        assert (ended.status, kind) == (status, failure), (
            f"a run that {self.runs[key].config['does']} ended {ended.status} ({kind}), instead of {status} ({failure})"
        )


def _check_ends(at: _Watched) -> None:
    """Runs of all kinds, each with its end, among runs that work."""
    keys: list[tuple[int, int]] = []
    for trial, does in enumerate(d for odd in _ENDS for d in (odd, "works")):
        at.wait(lambda: sum(not at.ended(k) for k in keys) < at.executor.capacity, "no run ends any more")
        keys.append(at.submit(trial, does))
    at.finish(keys)
    for key in keys:
        steps, status, failure = _ENDS[str(at.runs[key].config["does"])]
        at.check_curve(key, range(1, steps + 1))
        at.check_end(key, status, failure)
    assert at.poll() == 0, "events came after all runs had ended"


def _check_queue(at: _Watched) -> None:
    """More runs than slots: they wait."""
    keys = [at.submit(trial, "works") for trial in range(at.executor.capacity + 3)]
    at.finish(keys)
    for key in keys:
        at.check_curve(key, range(1, STEPS + 1))


def _check_attempts(at: _Watched) -> None:
    """A trial that goes on in a second attempt loses and repeats nothing."""
    first = at.submit(5, "works", until=2)
    at.finish([first])
    at.check_curve(first, [1, 2])
    saved = (at.folder / "5" / "saved").read_text()
    assert saved == "2", f"a run was cut off before it could save its last step: it has saved step {saved}"
    second = at.submit(5, "works", attempt=2)
    at.finish([second])
    at.check_curve(second, [3, 4], known=2)
    at.check_end(second, Status.COMPLETED)


def _check_stop(at: _Watched) -> None:
    """Stop stops the trial it names, and only that, and not its next attempt."""
    at.executor.stop(999)
    capacity = at.executor.capacity
    keys = [at.submit(trial, "goes on", until=LONG) for trial in range(capacity)]
    at.wait_for_all(keys)
    for n, key in enumerate(keys):
        at.executor.stop(key[0])
        at.executor.stop(key[0])
        at.wait_for_stop(key)
        at.check_end(key, Status.STOPPED)
        at.check_curve(key, range(1, len(at.measured(key)) + 1))
        assert not any(at.ended(k) for k in keys[n + 1 :]), "stopping one trial stopped another"
    again = at.submit(0, "works", attempt=2, until=len(at.measured(keys[0])) + 3)
    at.finish([again])
    at.check_end(again, Status.COMPLETED)


def _check_stop_waiting(at: _Watched) -> None:
    """A run that waits for a slot can be stopped too."""
    keys = [at.submit(trial, "goes on", until=LONG) for trial in range(at.executor.capacity + 1)]
    for key in reversed(keys):
        at.executor.stop(key[0])
    for key in keys:
        at.wait_for_stop(key)
        at.check_end(key, Status.STOPPED)


def _check_close(at: _Watched) -> None:
    """After ``close`` nothing runs and nothing comes, and the executor says so."""
    keys = [at.submit(trial, "goes on", until=LONG) for trial in range(at.executor.capacity)]
    at.wait_for_all(keys)
    at.executor.close()
    at.executor.close()
    before = _saved(at.folder)
    assert at.executor.poll(0.0) == [], "events come from a closed executor"
    time.sleep(0.05)
    assert _saved(at.folder) == before, "a run goes on after close"
    try:
        at.submit(99, "works")
    except TunebookError:
        return
    raise AssertionError("a closed executor took a run")


def _saved(folder: Path) -> dict[str, str]:
    return {str(path): path.read_text() for path in folder.glob("*/saved")}
