"""``check_executor`` names what breaks the law."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from tunebook.executors.serial import SerialExecutor
from tunebook.executors.simulated import SimulatedExecutor
from tunebook.objective import Objective, Run
from tunebook.testing.executor import check_executor
from tunebook.trial import Ended, Event, Measured, Status


class Bug(SimulatedExecutor):
    """Has one bug: what ``spoil`` does to the events of a poll."""

    def poll(self, timeout: float = 1.0) -> list[Event]:
        return [told for event in super().poll(timeout) for told in self.spoil(event)]

    def spoil(self, event: Event) -> list[Event]:
        return [event]


class LosesTheEndOfFailedRuns(Bug):
    def spoil(self, event: Event) -> list[Event]:
        return [] if isinstance(event, Ended) and event.failure else [event]


class LosesTheLastMeasurement(Bug):
    def spoil(self, event: Event) -> list[Event]:
        return [] if isinstance(event, Measured) and event.measurement.step == 4 else [event]


class EndsTwice(Bug):
    def spoil(self, event: Event) -> list[Event]:
        return [event, event] if isinstance(event, Ended) else [event]


class EndsBeforeTheLastMeasurement(Bug):
    held: Event | None = None

    def spoil(self, event: Event) -> list[Event]:
        if isinstance(event, Measured) and event.measurement.step == 4:
            self.held = event
            return []
        held, self.held = self.held, None
        return [event] if held is None else [event, held]


class CallsItsFailuresCompleted(Bug):
    def spoil(self, event: Event) -> list[Event]:
        return [replace(event, status=Status.COMPLETED, failure=None) if isinstance(event, Ended) else event]


class DatesEndsByAnotherClock(Bug):
    def spoil(self, event: Event) -> list[Event]:
        return [replace(event, at=event.at - 1e6) if isinstance(event, Ended) else event]


class RoundsMetrics(Bug):
    def spoil(self, event: Event) -> list[Event]:
        if isinstance(event, Measured):
            rounded = {name: round(value, 3) for name, value in event.measurement.metrics.items()}
            return [replace(event, measurement=replace(event.measurement, metrics=rounded))]
        return [event]


class ForgetsTheAttempt(Bug):
    def spoil(self, event: Event) -> list[Event]:
        return [replace(event, attempt=1)] if isinstance(event, Measured | Ended) else [event]


class ClockGoesBack(SimulatedExecutor):
    calls = 0

    def now(self) -> float:
        self.calls += 1
        return super().now() - (1000.0 if self.calls % 50 == 0 else 0.0)


class NeverStops(SimulatedExecutor):
    def stop(self, trial: int) -> None:
        return


class StopsAll(SimulatedExecutor):
    def stop(self, trial: int) -> None:
        for other in [running.run.trial for running in self._running.values()] + [run.trial for run in self._waiting]:
            super().stop(other)


class StopsLaterAttemptsToo(SimulatedExecutor):
    asked: frozenset[int] = frozenset()

    def stop(self, trial: int) -> None:
        self.asked |= {trial}
        super().stop(trial)

    def submit(self, run: Run) -> None:
        super().submit(run)
        if run.trial in self.asked and run.attempt > 1:
            super().stop(run.trial)


class ForgetsWhatWaits(SimulatedExecutor):
    def submit(self, run: Run) -> None:
        if len(self._waiting) + len(self._running) < self.capacity:
            super().submit(run)


class RunsTooMany(SimulatedExecutor):
    def __init__(self, objective: Objective, capacity: int) -> None:
        super().__init__(objective, capacity + 2)
        self.told = capacity

    @property
    def capacity(self) -> int:
        return self.told if "told" in vars(self) and self._slots_asked_by_others() else self._real

    @capacity.setter
    def capacity(self, value: int) -> None:
        self._real = value

    def _slots_asked_by_others(self) -> bool:
        return not self._polling

    _polling = False

    def poll(self, timeout: float = 1.0) -> list[Event]:
        self._polling = True
        try:
            return super().poll(timeout)
        finally:
            self._polling = False


class OneAfterTheOther(SimulatedExecutor):
    """Claims a capacity that it does not have."""

    def __init__(self, objective: Objective, capacity: int) -> None:
        super().__init__(objective, 1)
        self.claimed = capacity

    def poll(self, timeout: float = 1.0) -> list[Event]:
        self.capacity = 1
        try:
            return super().poll(timeout)
        finally:
            self.capacity = self.claimed


class RaisesWhatTheObjectiveRaises(SerialExecutor):
    def __init__(self, objective: Objective, capacity: int) -> None:
        super().__init__(objective, raw=True)


class DiesOfAFailure(SimulatedExecutor):
    dead = False

    def poll(self, timeout: float = 1.0) -> list[Event]:
        events = [] if self.dead else super().poll(timeout)
        self.dead |= any(isinstance(e, Ended) and e.failure is not None for e in events)
        return events


class CutsRunsOffAtTheirLastStep(SimulatedExecutor):
    """Ends a run when it has measured ``until``, before it could save that."""

    ending: Measured | None = None

    def poll(self, timeout: float = 1.0) -> list[Event]:
        if self.ending is not None:
            (order,) = [o for o, r in self._running.items() if r.run.trial == self.ending.number]
            self._running.pop(order).stream.close()  # type: ignore[attr-defined]
            ended = Ended(self.ending.number, self.ending.attempt, Status.COMPLETED, at=self.now())
            self.ending = self._last = None
            return [ended]
        events = super().poll(timeout)
        for event in events:
            if isinstance(event, Measured) and any(
                r.run.trial == event.number and event.measurement.step == r.run.until for r in self._running.values()
            ):
                self.ending = event
        return events


class SpeaksAfterClose(SimulatedExecutor):
    said: Event | None = None

    def poll(self, timeout: float = 1.0) -> list[Event]:
        events = super().poll(timeout)
        self.said = events[-1] if events else self.said
        return [self.said] if self._closed and self.said is not None else events


class TakesRunsAfterClose(SimulatedExecutor):
    def close(self) -> None:
        super().close()
        self._closed = False


class ClosesOnlyOnce(SimulatedExecutor):
    def close(self) -> None:
        if self._closed:
            raise RuntimeError("closed already")
        super().close()


SEEDED: dict[type, str] = {
    LosesTheEndOfFailedRuns: "no run ends any more|has no end",
    LosesTheLastMeasurement: r"gave steps \[1, 2, 3\]",
    EndsTwice: "a second end",
    EndsBeforeTheLastMeasurement: "a measurement after its end",
    CallsItsFailuresCompleted: "instead of failed",
    DatesEndsByAnotherClock: "dated",
    RoundsMetrics: "a metric .* came as",
    ForgetsTheAttempt: "after its end|a second end|not submitted",
    ClockGoesBack: "clock went back",
    NeverStops: "asked to stop goes on",
    StopsAll: "stopped another",
    StopsLaterAttemptsToo: "ended stopped",
    ForgetsWhatWaits: "has no end",
    RunsTooMany: "side by side, with a capacity of",
    OneAfterTheOther: "do not all go on",
    RaisesWhatTheObjectiveRaises: "poll raised",
    DiesOfAFailure: "no run ends any more|has no end",
    CutsRunsOffAtTheirLastStep: "before it could save",
    SpeaksAfterClose: "closed executor",
    TakesRunsAfterClose: "took a run",
    ClosesOnlyOnce: "closed already",
}


@pytest.mark.parametrize("bug", SEEDED, ids=lambda bug: bug.__name__)
def test_a_seeded_bug_is_caught(bug: Callable[[Objective, int], SimulatedExecutor]) -> None:
    with pytest.raises((AssertionError, RuntimeError), match=SEEDED[bug]):
        check_executor(bug, patience=0.3)


def test_what_keeps_the_law_passes() -> None:
    check_executor(Bug)


class Slow(SimulatedExecutor):
    def poll(self, timeout: float = 1.0) -> list[Event]:
        time.sleep(0.0005)
        return super().poll(timeout)


def test_patience_is_with_silence_not_with_slowness() -> None:
    check_executor(Slow, patience=0.2)
