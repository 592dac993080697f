"""What an executor is: the place where runs happen and the only clock.

The law, which ``tunebook.testing.check_executor`` tests:

each submitted run yields its Measured events in order and then exactly
one Ended, whatever happens to it; no process is left behind after ``close``.
"""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from tunebook.errors import CheckpointError
from tunebook.objective import Objective, Run
from tunebook.trial import Event

OWN_FILES = ("log.txt", "measured.jsonl")


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

    def warm(self) -> None:
        """Get ready for as many runs as fit, where that takes a while, so that none waits for the one before it."""
        return

    def copy(self, parent: Path, child: Path) -> None:
        """Give a trial that has not begun the files of another one, which rests, but not what executors write.

        They are copied under another name first, so that a folder that is there is whole; one that is there already is
        replaced. Raises CheckpointError if the other trial has written none.
        """
        if not parent.is_dir() or not set(os.listdir(parent)) - set(OWN_FILES):
            raise CheckpointError("a trial is to go on from another one that has written no checkpoint",
                                  where=str(parent), got="no file",
                                  expected="what the other trial's run saved in run.folder",
                                  fix="save a checkpoint after each report, or take another scheduler")  # fmt: skip
        half = child.with_name(f".{child.name}.copy")
        for old in (half, child):
            shutil.rmtree(old, ignore_errors=True)
        shutil.copytree(parent, half, ignore=shutil.ignore_patterns(*OWN_FILES, ".*"))
        half.replace(child)

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
