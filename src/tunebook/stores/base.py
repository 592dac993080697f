"""What a store is: an append-only log of the events of one study, with one writer.

The law, which ``tunebook.testing.check_store`` tests:

what ``append`` returned from is there after any crash; a batch is there
whole or not at all; ``read`` gives every event in the order it was written, equal to what was appended; a claim is
exclusive, and is free again when its holder is gone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager

from tunebook.trial import Event


class Store(ABC):
    """The record of one study."""

    @abstractmethod
    def append(self, events: Sequence[Event]) -> int:
        """Write a batch as a whole; returns the length of the log. Durable against a crash of the process on return.

        Raises StoreError when it cannot be written (with the free space and the path), StudyBusy when another driver
        took the study over.
        """

    @abstractmethod
    def read(self, since: int = 0) -> list[Event]:
        """Events from position ``since`` on, oldest first."""

    @abstractmethod
    def claim(self, driver: str = "") -> AbstractContextManager[None]:
        """Hold the study as its only writer for the duration of a ``with`` block; re-entrant for the same store object.

        Raises StudyBusy naming the holder's host, process and since when.
        """
