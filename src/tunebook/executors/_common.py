"""What executors share: the clock of real ones, and the checks of what is given to them."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from tunebook.errors import SettingError
from tunebook.objective import Run
from tunebook.trial import Ended, Failure, FailureKind, Measured, Measurement, Status

MEMORY_SECONDS = 0.05  # between looks at the memory: one costs as much as a very quick measurement


def wall_clock() -> Callable[[], float]:
    """Seconds since the epoch that never go back: a step of the system's clock does not make durations negative."""
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()


class Meter:
    """Fills in what a measurement leaves out: the seconds that it took, and this process's peak memory since the meter
    was made (on Linux; elsewhere since the process began)."""

    def __init__(self) -> None:
        if sys.platform == "linux":
            with suppress(OSError), open("/proc/self/clear_refs", "wb", buffering=0) as file:
                file.write(b"5")  # or a run would begin with the peak of those before it in this process
        self._memory, self._read, self._began = 0.0, -math.inf, time.perf_counter()

    def go_on(self) -> None:
        """The objective works from here."""
        self._began = time.perf_counter()

    def timed(self, event: Measured) -> Measured:
        """The event, filled in."""
        now, m = time.perf_counter(), event.measurement
        if now - self._read > MEMORY_SECONDS and not m.memory:
            self._memory, self._read = peak_memory(), now
        told = Measurement(m.step, m.metrics, m.seconds or now - self._began, m.memory or self._memory)
        return Measured(event.number, event.attempt, told)


def peak_memory() -> float:
    """The most memory that this process has had since a meter was made last, in MB."""
    if sys.platform == "linux":  # ru_maxrss would begin with the peak of the process that started this one
        with open("/proc/self/status", "rb", buffering=0) as file:
            _, _, rest = file.read(4096).partition(b"VmHWM:")
        return int(rest.split(maxsplit=1)[0]) / 2**10
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
