"""Objectives: what a person wants tuned, and how one run of it becomes a stream of events.

The native form is a generator of measurements; ``objective`` adapts plain functions:

    def train(run):                              # generator: pausing is to stop iterating
        for epoch in range(1, run.until + 1):
            yield Measurement(epoch, {"loss": ...})

    @tunebook.objective
    def train(run):                              # a function that reports, as any framework's loop can
        for epoch in range(1, run.until + 1):
            run.report(epoch, loss=...)

    @tunebook.objective
    def score(run):                              # a function that returns a number, or a mapping of metrics
        return cross_val_score(...).mean()
"""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, fields
from functools import update_wrapper
from pathlib import Path
from typing import Any

from tunebook.errors import CheckpointError, ObjectiveError
from tunebook.space import Config
from tunebook.trial import Context, Ended, Event, Failure, FailureKind, Measured, Measurement, Status

LONGEST_TEXT = 8_000
MOST_METRICS = 1_000


@dataclass(frozen=True)
class Run:
    """One attempt to bring a trial to step ``until``.

    ``folder`` is the trial's own and outlives attempts: checkpoints go there and are looked for there. ``seed`` is
    what all randomness of the run comes from. ``metric`` is the one optimised.
    """

    trial: int
    config: Config
    until: int
    folder: Path
    seed: int = 0
    context: Context = field(default_factory=Context)
    attempt: int = 1
    metric: str = "value"


@dataclass(frozen=True)
class EarlyStop:
    """What an objective returns when it ends before ``until`` on purpose."""

    reason: str


Objective = Callable[[Run], Iterator[Measurement]]


def play(objective: Objective, run: Run, stopped: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """One run as a stream of events: Measured in order, then exactly one Ended. Never raises but KeyboardInterrupt.

    Every executor runs objectives through this function, so that failures look the same on all of them. ``stopped`` is
    asked after each measurement; when it says yes the objective is closed there, and the run ends STOPPED.
    """
    try:
        yield from follow(objective, run, stopped)
    except (GeneratorExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001  (a failed run is information, not a crash: it becomes an event)
        yield Ended(run.trial, run.attempt, Status.FAILED, failure_of(error))


def follow(objective: Objective, run: Run, stopped: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """``play`` for debugging: what the objective raises is raised, and then there is no Ended."""
    step, ended = 0, None
    with closing(_Stream(objective(run))) as stream:
        for m in stream:
            if step >= run.until:  # it was let go on after its last step to save its checkpoint, not to train further
                break
            checked = check_measurement(m, step, run.metric)
            step = checked.step
            yield Measured(run.trial, run.attempt, checked)
            if not math.isfinite(checked.metrics[run.metric]):
                ended = _diverged(run, checked)
                break
            if step < run.until and stopped():
                ended = Ended(run.trial, run.attempt, Status.STOPPED)
                break
    yield ended or _end(run, step, stream.returned)


class _Stream:
    """An iterator of measurements that keeps what the generator returned."""

    def __init__(self, inner: object) -> None:
        if not isinstance(inner, Iterator):
            raise ObjectiveError(
                "the objective did not return a stream of measurements",
                got=type(inner).__name__,
                expected="a generator that yields Measurement(step, metrics)",
                fix="decorate a plain function with @tunebook.objective",
                code="OBJECTIVE-061",
            )
        self.inner: Iterator[Any] = inner
        self.returned: object = None

    def __iter__(self) -> Iterator[Any]:
        while True:
            try:
                item = next(self.inner)
            except StopIteration as end:
                self.returned = end.value
                return
            yield item

    def close(self) -> None:
        close = getattr(self.inner, "close", None)
        if close is not None:
            close()


def _end(run: Run, step: int, returned: object) -> Ended:
    if step >= run.until:
        return Ended(run.trial, run.attempt, Status.COMPLETED)
    if isinstance(returned, EarlyStop):
        return Ended(run.trial, run.attempt, Status.STOPPED, note=returned.reason)
    # without this a scheduler would resume the trial for ever
    if step:
        message = (
            f"the run ended at step {step}, before step {run.until}: go on to run.until, or return EarlyStop(reason)"
        )
    else:
        message = "the run reported nothing and returned nothing: forgot run.report(step, ...) or the return?"
    return Ended(run.trial, run.attempt, Status.FAILED, Failure(FailureKind.USER_ERROR, message))


def _diverged(run: Run, m: Measurement) -> Ended:
    message = f"{run.metric} is {m.metrics[run.metric]} at step {m.step}"
    return Ended(run.trial, run.attempt, Status.FAILED, Failure(FailureKind.DIVERGED, message))


def failure_of(error: BaseException) -> Failure:
    """A typed failure of an exception: what kind, its first line, the place in the user's code, the traceback."""
    try:
        text = str(error)
    except Exception as odd:  # noqa: BLE001  (an exception whose __str__ is broken must not hide itself)
        text = f"(its message cannot be shown: {type(odd).__name__})"
    message = f"{type(error).__name__}: {text}" if text else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in frames if "/tunebook/" not in f.filename.replace("\\", "/")] or frames
    where = f"{theirs[-1].filename}:{theirs[-1].lineno} in {theirs[-1].name}" if theirs else ""
    lines = "".join(traceback.format_tb(error.__traceback__)) + message
    return Failure(_kind(error, text), _short(message), where, _short(lines))


def _short(text: str) -> str:
    return (
        text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT // 2] + "\n[...]\n" + text[-LONGEST_TEXT // 2 + 8 :]
    )


# what PyTorch, C++ and the system say when memory ends; torch raises a plain RuntimeError on the CPU
_NO_MEMORY = ("allocate memory", "not enough memory", "std::bad_alloc", "can't start new thread")
_NO_GPU_MEMORY = ("out of memory", "cublas_status_alloc_failed")


def _kind(error: BaseException, text: str) -> FailureKind:
    name, text = type(error).__name__, text.lower()
    if isinstance(error, MemoryError) or any(sign in text for sign in _NO_MEMORY):
        return FailureKind.OOM_CPU
    if name == "OutOfMemoryError" or any(sign in text for sign in _NO_GPU_MEMORY):
        return FailureKind.OOM_GPU
    if isinstance(error, CheckpointError):
        return FailureKind.CHECKPOINT
    if isinstance(error, OSError) and error.errno in (28, 27, 5, 122):  # ENOSPC, EFBIG, EIO, EDQUOT
        return FailureKind.STORAGE
    if isinstance(error, FloatingPointError):
        return FailureKind.DIVERGED
    return FailureKind.USER_ERROR


def check_measurement(m: object, after: int, metric: str) -> Measurement:
    """A measurement with plain floats, or ObjectiveError saying what is wrong with it.

    ``after`` is the step before, ``metric`` the name that must be there.
    """
    if not isinstance(m, Measurement):
        raise ObjectiveError(
            "the objective yielded something else than a Measurement",
            got=f"{m!r:.200}",
            expected="Measurement(step, {'loss': 0.1})",
            code="OBJECTIVE-061",
        )
    step = m.step
    if isinstance(step, bool) or not isinstance(step, int) or step < 1:
        raise ObjectiveError(
            "a step is not a positive whole number",
            where="report",
            got=f"step={step!r}",
            expected="1, 2, 3, ...",
            code="OBJECTIVE-075",
        )
    if step <= after:
        raise ObjectiveError(
            "steps must go up",
            where="report",
            got=f"step {step} after step {after}",
            fix="report each step once, in order",
            code="OBJECTIVE-075",
        )
    if len(m.metrics) > MOST_METRICS:
        raise ObjectiveError(
            "too many metrics in a step",
            got=f"{len(m.metrics):,}",
            expected=f"at most {MOST_METRICS:,}",
            code="OBJECTIVE-077",
        )
    metrics = {name: number(value, name) for name, value in m.metrics.items()}
    if metric not in metrics:
        raise ObjectiveError(
            f"the metric that is optimised, {metric!r}, was not reported",
            where=f"step {step}",
            got=", ".join(metrics) or "no metrics",
            fix=f"report {metric}=..., or choose another metric",
            code="OBJECTIVE-049",
        )
    return Measurement(step, metrics, float(m.seconds), float(m.memory))


def number(value: Any, name: str) -> float:
    """A metric as a float; 0-d arrays and tensors are taken. Raises ObjectiveError, with the way out, for all else."""
    if not isinstance(name, str) or not name or len(name) > 256 or not name.isprintable():
        raise ObjectiveError("a metric's name is not a short printable text", got=f"{name!r:.80}", code="OBJECTIVE-077")
    hints = {
        type(None): ("OBJECTIVE-061", "forgot the return, or the value?"),
        bool: ("OBJECTIVE-067", "float(x) if it is meant as a number"),
        str: ("OBJECTIVE-065", "float(x)"),
        bytes: ("OBJECTIVE-065", "float(x)"),
        complex: ("OBJECTIVE-068", "its absolute value?"),
        tuple: ("OBJECTIVE-071", "name the metrics: report(step, loss=a, accuracy=b)"),
        list: ("OBJECTIVE-070", "its mean?"),
        dict: ("OBJECTIVE-072", "report(step, **metrics)"),
    }
    if type(value) in hints:
        code, fix = hints[type(value)]
        raise ObjectiveError(
            f"metric {name!r} is not a number",
            got=f"{value!r:.80} ({type(value).__name__})",
            expected="a number",
            fix=fix,
            code=code,
        )
    shape = getattr(value, "shape", ())
    if tuple(shape) != ():
        raise ObjectiveError(
            f"metric {name!r} is an array",
            got=f"shape {tuple(shape)}",
            expected="one number",
            fix="x.item() or x.mean()",
            code="OBJECTIVE-070",
        )
    try:
        return float(value.detach() if callable(getattr(value, "detach", None)) else value)
    except OverflowError as huge:
        raise ObjectiveError(
            f"metric {name!r} is too large for a float", got=f"about 10**{len(str(value)) - 1}", code="OBJECTIVE-073"
        ) from huge
    except (TypeError, ValueError) as bad:
        raise ObjectiveError(
            f"metric {name!r} is not a number",
            got=type(value).__name__,
            expected="a number",
            fix="x.item() for a tensor",
            code="OBJECTIVE-069",
        ) from bad


# plain functions


class StopRun(BaseException):
    """Raised inside ``run.report`` when the run is to stop; passes through ``except Exception``, runs ``finally``."""


@dataclass(frozen=True)
class ReportingRun(Run):
    """A Run with ``report``, for objectives that are plain functions."""

    _channel: _Channel = field(
        default_factory=lambda: _Channel(),  # noqa: PLW0108
        repr=False,
        compare=False,
    )

    def report(self, step: int, /, **metrics: Any) -> None:
        """Report the metrics of a step (1, 2, 3, ...); returns when the loop may go on.

        Save a checkpoint after this call, not before: then a step that was reported is never lost. Raises StopRun
        when the trial is stopped, and ObjectiveError in the run for something that is not a measurement.
        """
        self._channel.hand_over(step, metrics)


class _Channel:
    """Hands measurements from the user's thread to the stream, one at a time: each side waits for the other."""

    def __init__(self) -> None:
        self.wanted = threading.Semaphore(0)
        self.given = threading.Semaphore(0)
        self.item: Measurement | None = None
        self.returned: object = None
        self.error: BaseException | None = None
        self.over = False
        self.closing = False
        self.clock = time.perf_counter()

    def hand_over(self, step: int, metrics: Mapping[str, Any]) -> None:
        if self.closing:
            raise StopRun
        now = time.perf_counter()
        self.item = Measurement(step, metrics, now - self.clock)
        self.given.release()
        self.wanted.acquire()
        self.clock = time.perf_counter()
        if self.closing:
            raise StopRun


class _FromFunction:
    """A plain function as an Objective. It runs in a thread of its own, which waits inside ``report``."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function
        update_wrapper(self, function)

    def __call__(self, run: Run) -> Generator[Measurement, None, object]:
        live = ReportingRun(**{f.name: getattr(run, f.name) for f in fields(Run)})
        channel = live._channel
        thread = threading.Thread(target=self._work, args=(live,), name=f"trial-{run.trial}", daemon=True)
        thread.start()
        try:
            while True:
                channel.given.acquire()
                if channel.over:
                    break
                if channel.item is not None:
                    yield channel.item
                channel.wanted.release()
        finally:
            channel.closing = True
            channel.wanted.release()
            thread.join()
        if channel.error is not None:
            raise channel.error
        return channel.returned

    def _work(self, live: ReportingRun) -> None:
        channel = live._channel
        try:
            returned = self.function(live)
            if returned is None or isinstance(returned, EarlyStop):
                channel.returned = returned
            else:
                metrics = returned if isinstance(returned, Mapping) else {live.metric: returned}
                channel.hand_over(live.until, metrics)
        except StopRun:
            pass
        except BaseException as error:  # noqa: BLE001  (carried over to the stream, which raises it there)
            channel.error = error
        channel.over = True
        channel.given.release()


def objective(function: Callable[[Any], Any]) -> Objective:
    """A plain function as an objective; usable as a decorator.

    The function takes one argument, the run, and either calls ``run.report(step, **metrics)`` for each step up to
    ``run.until``, or returns a number (the metric that is optimised) or a mapping of metrics, or an EarlyStop. An
    error in it is a failed trial with the function's own traceback.
    """
    if not callable(function):
        raise ObjectiveError(
            "the objective cannot be called",
            got=type(function).__name__,
            expected="a function of one argument, the run",
            code="OBJECTIVE-053",
        )
    return _FromFunction(function)
