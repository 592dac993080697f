"""What a store is: an append-only log of the events of one study, with one writer.

The law, which ``tunebook.testing.check_store`` tests:

what ``append`` returned from is there after any crash; a batch is there
whole or not at all; ``read`` gives every event in the order it was written, equal to what was appended; a claim is
exclusive, and is free again when its holder is gone.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from socket import gethostname
from typing import final

from tunebook.errors import Problem
from tunebook.trial import Event, Trials, apply, uncollected

ALONE = "tune"  # what a study is called that has a book of its own


class Store(ABC):
    """The record of one study."""

    @abstractmethod
    def append(self, events: Sequence[Event]) -> int:
        """Write a batch as a whole; returns the length of the log. Durable against a crash of the process on return.

        Outside of a ``claim`` it claims the study for its own duration. Raises StoreError when it cannot be written
        (with the free space and the path), StudyBusy when another driver holds the study or took it over.
        """

    @abstractmethod
    def read(self, since: int = 0) -> list[Event]:
        """Events from position ``since`` on, oldest first. Needs no claim."""

    def chunks(self, since: int = 0) -> Iterator[Sequence[Event]]:
        """What ``read`` gives, in pieces, for stores that need not hold all at once."""
        yield self.read(since)

    @final
    def trials(self) -> Trials:
        """The state of the study: the fold of its log, of which only a piece is held at a time."""
        with uncollected():
            trials = Trials()
            for events in self.chunks():
                apply(trials, events)
            return trials

    @abstractmethod
    def claim(self, driver: str = "") -> AbstractContextManager[None]:
        """Hold the study as its only writer for the duration of a ``with`` block; re-entrant for the same store object.

        Raises StudyBusy naming the holder's host, process and since when.
        """


@dataclass(frozen=True)
class Holder:
    """Who holds a study: ``since`` in seconds since the epoch, ``driver`` what it called itself."""

    host: str
    pid: int
    since: float
    driver: str = ""

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"process {self.pid} on {self.host} since {since}" + (f" ({self.driver})" if self.driver else "")


def busy(study: str, where: str, holder: Holder | None) -> Problem:
    """The problem of a study that somebody else holds, or another object of this process."""
    called = "this study" if study == ALONE else f"study {study!r}"
    what, fix = f"{called} is being run by another driver", "wait until it ends"
    if holder is not None and (holder.host, holder.pid) == (gethostname(), os.getpid()):
        what, fix = f"{called} is open in this process already", "use the one that is open, or leave its with block"
    elif holder is not None:
        fix = f"wait until it ends, or stop it: kill {holder.pid} (on {holder.host})"
    return Problem(
        what,
        where,
        str(holder) if holder else "a driver that did not say who it is",
        "one driver a study",
        fix,
        "STORE-017",
    )
