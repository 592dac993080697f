"""Runs on a virtual clock: a parallel study of hours in seconds, and the same each time."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tunebook.executors._common import closed, failed, stopped, whole
from tunebook.executors.base import Executor
from tunebook.objective import Objective, Run, play
from tunebook.trial import Ended, Event, FailureKind, Measured


@dataclass
class _Running:
    run: Run
    stream: Iterator[Event]
    stopping: bool = False


class SimulatedExecutor(Executor):
    """``capacity`` runs side by side on a virtual clock, which ``Measurement.seconds`` move on.

    ``poll`` returns the next event in virtual time, ties in the order of submission; it never waits, however far away
    the event is. A run takes no virtual time but what its measurements say, so the objective has to give ``seconds``.
    """

    def __init__(self, objective: Objective, capacity: int = 1) -> None:
        super().__init__(objective, whole(capacity, "capacity"))
        self._time = 0.0
        self._count = 0
        self._waiting: deque[Run] = deque()
        self._due: list[tuple[float, int, Event]] = []  # a heap: the next event of each run that was taken further
        self._running: dict[int, _Running] = {}  # by order of submission
        self._last: int | None = None  # the run whose event was returned last: it stands still until the next poll
        self._closed = False

    def submit(self, run: Run) -> None:
        """Start a run now, or when a slot gets free. Raises SettingError after ``close``."""
        if self._closed:
            raise closed()
        self._waiting.append(run)

    def poll(self, timeout: float = 1.0) -> list[Event]:
        """The next event, at whose time the clock then stands; nothing when nothing runs."""
        if self._last is not None:
            last, self._last = self._last, None
            self._advance(last)
        while self._waiting and len(self._running) < self.capacity:
            self._begin(self._waiting.popleft())
        if not self._due:
            return []
        self._time, order, event = heapq.heappop(self._due)
        if isinstance(event, Ended):
            del self._running[order]
            return [replace(event, at=self._time)]
        self._last = order
        return [event]

    def _begin(self, run: Run) -> None:
        run.folder.mkdir(parents=True, exist_ok=True)
        running = _Running(run, iter(()))
        running.stream = play(self.objective, run, lambda: running.stopping)
        self._count += 1
        self._running[self._count] = running
        self._advance(self._count)

    def _advance(self, order: int) -> None:
        running = self._running[order]
        try:
            event = next(running.stream)
        except KeyboardInterrupt:
            event = failed(running.run, FailureKind.INTERRUPTED, "KeyboardInterrupt was raised out of the run")
            heapq.heappush(self._due, (self._time, order, event))
            raise
        seconds = event.measurement.seconds if isinstance(event, Measured) else 0.0
        at = self._time + (seconds if 0 < seconds < math.inf else 0.0)
        heapq.heappush(self._due, (at, order, event))

    def stop(self, trial: int) -> None:
        """Ask a run to stop at its next measurement, or where it is if it stands at one."""
        for running in self._running.values():
            running.stopping |= running.run.trial == trial
        for run in [r for r in self._waiting if r.trial == trial]:
            self._waiting.remove(run)
            self._count += 1
            heapq.heappush(self._due, (self._time, self._count, stopped(run)))
            self._running[self._count] = _Running(run, iter(()))

    def now(self) -> float:
        """Virtual seconds since the executor was made."""
        return self._time

    def close(self) -> None:
        """Close all runs at their last measurement."""
        self._closed = True
        for running in self._running.values():
            running.stopping = True
            for _ in running.stream:
                pass
        self._running.clear()
        self._waiting.clear()
        self._due.clear()
        self._last = None
