"""A store in memory: for tests, simulations and studies that nobody wants to keep."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tunebook.errors import StudyBusy
from tunebook.stores.base import Holder, Store, busy
from tunebook.trial import Event


@dataclass
class Log:
    """What several MemoryStores of one process may share: the events, and who writes them."""

    events: list[Event] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    holder: Holder | None = None


class MemoryStore(Store):
    """The record of one study in a list. Give two of them one ``log`` and they are two handles of one study."""

    def __init__(self, log: Log | None = None) -> None:
        self.log = Log() if log is None else log
        self._holder: Holder | None = None
        self._depth = 0

    def append(self, events: Sequence[Event]) -> int:
        """Write a batch; returns the length of the log. Raises StudyBusy while another handle holds the study."""
        with self.log.lock, self.claim():
            self.log.events.extend(list(events))
            return len(self.log.events)

    def read(self, since: int = 0) -> list[Event]:
        """Events from position ``since`` on, oldest first."""
        with self.log.lock:
            return self.log.events[max(0, since) :]

    @contextmanager
    def claim(self, driver: str = "") -> Iterator[None]:
        """Hold the study as its only writer; re-entrant for the same object. Raises StudyBusy."""
        with self.log.lock:
            if self._depth == 0:
                self._take(driver)
            self._depth += 1
        try:
            yield
        finally:
            with self.log.lock:
                self._depth -= 1
                if self._depth == 0 and self.log.holder is self._holder:
                    self.log.holder = None

    def _take(self, driver: str) -> None:
        if self.log.holder is not None:
            raise StudyBusy(busy("in memory", "in this process", self.log.holder))
        self._holder = self.log.holder = Holder(socket.gethostname(), os.getpid(), time.time(), driver)
