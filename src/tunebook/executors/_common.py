"""What executors share: the clock of real ones, and the checks of what is given to them."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

from tunebook.errors import SettingError
from tunebook.objective import Run
from tunebook.trial import Ended, Failure, FailureKind, Measured, Measurement, Status


def wall_clock() -> Callable[[], float]:
    """Seconds since the epoch that never go back: a step of the system's clock does not make durations negative."""
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()


def timed(event: Measured, elapsed: float) -> Measured:
    """The event, with the seconds that it took and this process's peak memory, where they were left out."""
    m = event.measurement
    told = Measurement(m.step, m.metrics, m.seconds or elapsed, m.memory or peak_memory())
    return Measured(event.number, event.attempt, told)


def peak_memory() -> float:
    """The most memory that this process has had, in MB (ru_maxrss is in bytes on macOS, in KB elsewhere)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def stopped(run: Run, note: str = "") -> Ended:
    """The end of a run that was asked to stop."""
    return Ended(run.trial, run.attempt, Status.STOPPED, note=note)


def failed(run: Run, kind: FailureKind, message: str, where: str = "", traceback: str = "") -> Ended:
    """The end of a run that failed for a reason that only its executor knows."""
    return Ended(run.trial, run.attempt, Status.FAILED, Failure(kind, message, where, traceback))


def whole(value: object, name: str) -> int:
    """``value`` as a positive whole number. Raises SettingError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SettingError(
            f"{name} must be a positive whole number",
            where=name,
            got=repr(value),
            expected="1, 2, 3, ...",
            code="CONFIG-057",
        )
    return value


def positive(value: object, name: str) -> float:
    """``value`` as a positive number (inf allowed). Raises SettingError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise SettingError(f"{name} must be a positive number", where=name, got=repr(value))
    return float(value)


def closed() -> SettingError:
    """The error of submitting to an executor that was closed."""
    return SettingError("the executor is closed", where="submit", fix="make a new one")
