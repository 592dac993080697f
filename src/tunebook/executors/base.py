"""What an executor is: the place where runs happen and the only clock.

The law, which ``tunebook.testing.check_executor`` tests:

each submitted run yields its Measured events in order and then exactly
one Ended, whatever happens to it; no process is left behind after ``close``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from tunebook.objective import Objective, Run
from tunebook.trial import Event


class Executor(ABC):
    """Runs an objective, ``capacity`` runs at a time."""

    def __init__(self, objective: Objective, capacity: int = 1) -> None:
        self.objective, self.capacity = objective, capacity

    @abstractmethod
    def submit(self, run: Run) -> None:
        """Start a run, in a folder that is made if it is not there. The caller keeps at most ``capacity`` going."""

    @abstractmethod
    def poll(self, timeout: float = 1.0) -> list[Event]:
        """Events since the last call, in order for each run; waits up to ``timeout`` seconds for the first."""

    @abstractmethod
    def stop(self, trial: int) -> None:
        """Ask a run to stop at its next measurement; its Ended(STOPPED) comes through ``poll``. Others are ignored."""

    @abstractmethod
    def now(self) -> float:
        """Seconds by this executor's clock (since the epoch on real ones)."""

    @abstractmethod
    def close(self) -> None:
        """Stop everything that runs and free all processes. May be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
