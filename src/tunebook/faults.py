"""Numbered points in the driver where a test may kill it, as SQLite's anomaly tests do.

``TUNEBOOK_FAULTS=kill:7`` kills the process with SIGKILL at the seventh point it passes; ``count:FILE`` writes how many
points it passed into FILE. Without the variable a point costs one comparison.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

_told = os.environ.get("TUNEBOOK_FAULTS", "")
_passed = 0


def point() -> None:
    """A place where a process may die."""
    if _told:
        _at_point()


def _at_point() -> None:
    global _passed  # noqa: PLW0603  (a count of this process, and of nothing else)
    _passed += 1
    what, _, where = _told.partition(":")
    if what == "count":
        Path(where).write_text(str(_passed))
    elif what == "kill" and _passed == int(where):
        os.kill(os.getpid(), signal.SIGKILL)
