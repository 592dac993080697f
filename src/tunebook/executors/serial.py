"""Runs in the calling process, one after the other: for debugging, tests, and objectives that cannot leave it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

from tunebook.executors._common import closed, failed, stopped, wall_clock
from tunebook.executors._journal import journalled
from tunebook.executors.base import Executor
from tunebook.objective import Objective, Run, follow, play
from tunebook.trial import Ended, Event, FailureKind


class SerialExecutor(Executor):
    """Each ``poll`` takes a run one measurement further. Breakpoints, print and Ctrl-C work as in any script.

    With ``raw`` an exception of the objective leaves ``poll`` as it is, with its traceback, instead of becoming a
    failed run: what a debugger wants.
    """

    def __init__(self, objective: Objective, raw: bool = False) -> None:
        super().__init__(objective, capacity=1)
        self._play = follow if raw else play
        self._clock = wall_clock()
        self._runs: deque[Run] = deque()
        self._stream: Iterator[Event] | None = None  # of the first run, when it has begun
        self._stopping: set[int] = set()
        self._unsaid: list[Event] = []
        self._closed = False

    def submit(self, run: Run) -> None:
        """Queue a run; it starts when those before it have ended. Raises SettingError after ``close``."""
        if self._closed:
            raise closed()
        self._runs.append(run)

    def poll(self, timeout: float = 1.0) -> list[Event]:
        """The next event of the first run. Takes as long as the objective takes to its next measurement."""
        if self._unsaid:
            unsaid, self._unsaid = self._unsaid, []
            return unsaid
        if not self._runs:
            return []
        run = self._runs[0]
        if self._stream is None:
            if run.trial in self._stopping:
                return [self._end(stopped(run))]
            events = self._play(self.objective, run, lambda: run.trial in self._stopping)
            self._stream = journalled(events, run)
        try:
            event = next(self._stream)
        except BaseException as error:  # Ctrl-C, or ``raw``: the run is over, as the next poll says
            kind = FailureKind.INTERRUPTED if isinstance(error, KeyboardInterrupt) else FailureKind.USER_ERROR
            self._unsaid.append(self._end(failed(run, kind, f"{type(error).__name__} was raised out of the run")))
            raise
        return [self._end(event) if isinstance(event, Ended) else event]

    def _end(self, event: Ended) -> Ended:
        self._runs.popleft()
        self._stream = None
        self._stopping.discard(event.number)
        return replace(event, at=self.now())

    def stop(self, trial: int) -> None:
        """Ask a run to stop where it is: the next ``poll`` ends it."""
        if any(run.trial == trial for run in self._runs):
            self._stopping.add(trial)

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._clock()

    def close(self) -> None:
        """Close the run that is going on at its last measurement, and forget the others."""
        self._closed = True
        if self._stream is not None:
            self._stopping.add(self._runs[0].trial)
            for _ in self._stream:
                pass
        self._stream = None
        self._runs.clear()
        self._unsaid.clear()
