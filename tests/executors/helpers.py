"""What the tests of executors share."""

import time
from collections.abc import Callable
from pathlib import Path

from tunebook.executors.base import Executor
from tunebook.objective import Run
from tunebook.trial import Ended, Event, Measured

PATIENCE = 60.0


def until(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait for something that other processes do."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
        time.sleep(0.005)


class Desk:
    """Submits runs in a folder and keeps what comes back."""

    def __init__(self, executor: Executor, folder: Path) -> None:
        self.executor, self.folder, self.events, self.trials = executor, folder, list[Event](), 0

    def submit(self, until: int = 3, trial: int | None = None, attempt: int = 1, **config: str | float) -> int:
        trial = self.trials if trial is None else trial
        self.trials = max(self.trials, trial + 1)
        self.executor.submit(Run(trial, config, until, self.folder / str(trial), attempt=attempt))
        return trial

    def poll(self) -> list[Event]:
        events = self.executor.poll(0.1)
        self.events += events
        return events

    def until(self, condition: Callable[[], object], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            self.poll()
            assert time.monotonic() < end, what

    def ends(self, trial: int, attempt: int = 1) -> list[Ended]:
        return [e for e in self.events if isinstance(e, Ended) and (e.number, e.attempt) == (trial, attempt)]

    def measured(self, trial: int, attempt: int = 1) -> list[Measured]:
        return [e for e in self.events if isinstance(e, Measured) and (e.number, e.attempt) == (trial, attempt)]

    def steps(self, trial: int, attempt: int = 1) -> list[int]:
        return [e.measurement.step for e in self.measured(trial, attempt)]

    def pid(self, trial: int, attempt: int = 1) -> int:
        return int(self.measured(trial, attempt)[-1].measurement.metrics["pid"])

    def end(self, trial: int, attempt: int = 1) -> Ended:
        """Wait for the end of a run; there must be one, and nothing after it."""
        self.until(lambda: self.ends(trial, attempt), f"trial {trial} has no end")
        (ended,) = self.ends(trial, attempt)
        own = [e for e in self.events if isinstance(e, Measured | Ended) and (e.number, e.attempt) == (trial, attempt)]
        assert own[-1] is ended
        return ended
