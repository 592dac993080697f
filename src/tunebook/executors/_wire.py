"""What the driver and its worker processes say to each other.

A message is its length in 4 bytes and a pickle. To a worker: a Run, or (STOP, trial, attempt); the end of the pipe
means to end. From a worker lists of: READY or (BROKEN, Failure) once, then for each run BEGAN, (step, metrics, seconds,
memory) per measurement, and (ENDED, status, failure, note, resident bytes). Both ends are processes of one person that
run one version of the code; nothing that is stored or comes from elsewhere is read this way.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator
from typing import Any

from tunebook.executors.base import OWN_FILES

READY = ("ready",)
BEGAN = ("began",)
BROKEN = "broken"
ENDED = "ended"
STOP = "stop"
LOG = OWN_FILES[0]
_LENGTH = struct.Struct("<I")


def packed(message: object) -> bytes:
    """A message as it goes through the pipe."""
    payload = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(payload)) + payload


class Inbox:
    """Puts messages together from the pieces in which a pipe delivers them."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, piece: bytes) -> None:
        """Add what was read."""
        self._data += piece

    def messages(self) -> Iterator[Any]:
        """The messages that are there as a whole."""
        start, data = 0, self._data
        try:
            while len(data) - start >= _LENGTH.size:
                end = start + _LENGTH.size + _LENGTH.unpack_from(data, start)[0]
                if end > len(data):
                    break
                start, begin = end, start + _LENGTH.size
                yield pickle.loads(memoryview(data)[begin:end])
        finally:
            del data[:start]
