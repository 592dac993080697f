"""What a run may report: each measurement is checked before it counts, and what is not a number is told apart.

And how quick a model is, which families measure alike."""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Callable, Mapping
from typing import Any

from tunebook.errors import ObjectiveError, shown
from tunebook.trial import Measurement

LONGEST_NAME = 256
MOST_METRICS = 1_000


def latency(call: Callable[[], object], calls: int = 5) -> float:
    """Milliseconds of the quickest of some calls: what else the machine does only ever makes one slower."""
    told = []
    for _ in range(calls):
        began = time.perf_counter()
        call()
        told.append(time.perf_counter() - began)
    return 1000 * min(told)


def check_measurement(m: object, after: int, metric: str) -> Measurement:
    """A measurement with plain floats, or ObjectiveError saying what is wrong with it.

    ``after`` is the step before, ``metric`` the name that must be there.
    """
    if not isinstance(m, Measurement) or not isinstance(m.metrics, Mapping):
        raise odd(61, "this is not a measurement", m, "Measurement(step, {'loss': 0.1})", "yield one for each step")
    step = _step(m.step, after)
    if len(m.metrics) > MOST_METRICS:
        raise odd(77, "too many metrics in a step", len(m.metrics), f"at most {MOST_METRICS:,}", "report summaries")
    metrics = {name: number(value, name) for name, value in m.metrics.items()}
    if metric not in metrics:
        raise ObjectiveError(f"the metric that is optimised, {metric!r}, was not reported", where=f"step {step}",
                             got=shown(list(metrics)), expected=f"{metric!r} among them",
                             fix=f"report {metric}=..., or choose another metric", code="OBJECTIVE-049")  # fmt: skip
    seconds, memory = number(m.seconds, "seconds"), number(m.memory, "memory")
    if not (0 <= seconds < math.inf and 0 <= memory < math.inf):
        raise odd(75, "seconds or memory is not a number >= 0", (seconds, memory), "seconds, megabytes", "leave it out")
    return Measurement(step, metrics, seconds, memory)


def _step(told: Any, after: int) -> int:
    try:
        step = 0 if isinstance(told, bool) else operator.index(told)
    except Exception:  # noqa: BLE001  (whatever it is, it is no whole number)
        step = 0
    if not 1 <= step < 2**53:
        raise odd(75, "a step is not a positive whole number", told, "1, 2, 3, ...", "count epochs or steps from 1")
    if step <= after:
        raise ObjectiveError("steps must go up", where="report", got=f"step {step} after step {after}",
                             expected=f"step {after + 1} or later", fix="report each step once, in order",
                             code="OBJECTIVE-075")  # fmt: skip
    return step


def odd(item: int, what: str, got: object, expected: str, fix: str) -> ObjectiveError:
    """The error of something that is not what an objective should give, with the code of the list of bad inputs."""
    return ObjectiveError(what, where="report", got=f"{shown(got)} ({type(got).__name__})", expected=expected, fix=fix,
                          code=f"OBJECTIVE-{item:03}")  # fmt: skip


_NOT_NUMBERS: tuple[tuple[type | tuple[type, ...], int, str], ...] = (
    (type(None), 61, "forgot the return, or the value?"),
    (bool, 67, "float(x) if it is meant as a number"),
    ((str, bytes), 65, "float(x) if it is meant as a number"),
    (complex, 68, "its absolute value, abs(x)"),
    (tuple, 71, "name the metrics: report(step, loss=a, accuracy=b)"),
    ((list, set), 70, "its mean?"),
    (Mapping, 72, "report(step, **metrics)"),
)
_NOT_NUMERIC = {"bool": (67, "float(x) if it is meant as a number"), "complex": (68, "its absolute value, abs(x)")}


def number(value: Any, name: str) -> float:
    """A metric as a float; 0-d arrays and tensors are taken. Raises ObjectiveError, with the way out, for all else."""
    if not isinstance(name, str) or not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise odd(77, "a metric's name is not a short printable text", name, f"at most {LONGEST_NAME} characters",
                   "letters, digits, '_'")  # fmt: skip
    if type(value) is float:
        return value
    what = f"metric {name!r} is not a number"
    for kinds, item, fix in _NOT_NUMBERS:
        if isinstance(value, kinds):
            raise odd(item, what, value, "a number", fix)
    for kind, (item, fix) in _NOT_NUMERIC.items():
        if kind in str(getattr(value, "dtype", "")):
            raise odd(item, what, value, "a number", fix)
    shape = getattr(value, "shape", ())
    if isinstance(shape, tuple) and shape != ():
        raise ObjectiveError(f"metric {name!r} is an array", where="report", got=f"shape {tuple(shape)}",
                             expected="one number", fix="x.item() or x.mean()", code="OBJECTIVE-070")  # fmt: skip
    try:
        return float(value.detach() if callable(getattr(value, "detach", None)) else value)
    except OverflowError:
        raise ObjectiveError(f"metric {name!r} is too large for a float", where="report", got="more than 1.8e308",
                             expected="a float", fix="its logarithm?", code="OBJECTIVE-073") from None  # fmt: skip
    except Exception as bad:
        raise odd(69, what, value, "a number", "x.item() for a tensor") from bad
