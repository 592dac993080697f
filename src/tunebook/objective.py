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

import inspect
import itertools
import math
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, fields
from errno import EDQUOT, EFBIG, EIO, ENOSPC
from functools import update_wrapper
from pathlib import Path
from typing import Any

from tunebook.errors import CheckpointError, NoSuchHyperparameter, ObjectiveError, TunebookError, nearest, shown
from tunebook.measurement import check_measurement, odd
from tunebook.space import Config, Value
from tunebook.trial import Context, Ended, Event, Failure, FailureKind, Measured, Measurement, Status

LONGEST_TEXT = 8_000
_PACKAGE = str(Path(__file__).parent)
_MACHINERY = (__file__, str(Path(__file__).parent / "executors"))  # what calls objectives: no help in their tracebacks


class Hyperparameters(dict[str, Value]):
    """The configuration of a run; a name that is not in it is answered with the nearest one."""

    def __missing__(self, name: str) -> Value:
        raise NoSuchHyperparameter(
            f"this trial has no hyperparameter {shown(name)}: {nearest(str(name), self)}",
            where="run.config",
            fix="the names of the space; one that depends on a choice is only there when that was made",
            code="OBJECTIVE-072",
        )


@dataclass(frozen=True)
class Run:
    """One attempt to bring a trial to step ``until``.

    ``folder`` is the trial's own and outlives attempts: checkpoints go there and are looked for there. ``seed`` is
    what all randomness of the run comes from. ``metric`` is the one optimised. A trial that goes on from another one
    finds a copy of that one's files in its folder; ``parent`` says under which configuration and context they were
    written, and the steps up to ``start`` are not its own.
    """

    trial: int
    config: Config
    until: int
    folder: Path
    seed: int = 0
    context: Context = field(default_factory=Context)
    attempt: int = 1
    metric: str = "value"
    parent: tuple[Config, Context] | None = None
    start: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "config", Hyperparameters(self.config))

    def report(self, step: int, /, **metrics: Any) -> None:
        """For objectives that are plain functions: see ``ReportingRun``."""
        raise ObjectiveError("this run cannot report", where=f"run.report({shown(step)}, ...)", got="a plain function",
                             expected="a generator that yields measurements, or a decorated function",
                             fix="put @tunebook.objective above the function", code="OBJECTIVE-053")  # fmt: skip


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
    listening = True
    try:
        with closing(follow(objective, run, stopped)) as events:
            for event in events:
                listening = False  # who closes the stream here does not want to hear how the objective took it
                yield event
                listening = True
    except (GeneratorExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001  (a failed run is information, not a crash: it becomes an event)
        if listening:
            yield Ended(run.trial, run.attempt, Status.FAILED, failure_of(error, _place(objective)))


def follow(objective: Objective, run: Run, stopped: Callable[[], bool] = lambda: False) -> Generator[Event, None, None]:
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
        return Ended(run.trial, run.attempt, Status.STOPPED, note=_short(str(returned.reason)))
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


def failure_of(error: BaseException, near: str = "") -> Failure:
    """A typed failure of an exception: what kind, its first line, the place in the user's code, the traceback.

    ``near`` is the place to name when no frame of the traceback is the user's.
    """
    try:
        text = str(error)
    except Exception as odd:  # noqa: BLE001  (an exception whose __str__ is broken must not hide itself)
        text = f"(its message cannot be shown: {type(odd).__name__})"
    if not isinstance(error, TunebookError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in frames if not f.filename.startswith(_PACKAGE)]
    if not theirs and (not near or near.startswith(_PACKAGE)):
        theirs = frames
    where = f"{theirs[-1].filename}:{theirs[-1].lineno} in {theirs[-1].name}" if theirs else near
    return Failure(_kind(error, text), _short(text), where, _short(_traceback(error)))


def _traceback(error: BaseException) -> str:
    try:
        told = traceback.TracebackException.from_exception(error)
        machinery = sum(1 for _ in itertools.takewhile(lambda f: f.filename.startswith(_MACHINERY), told.stack))
        del told.stack[: machinery if machinery < len(told.stack) else 0]
        return "".join(told.format())
    except Exception as odd:  # noqa: BLE001  (an exception can break its own formatting)
        frames = "".join(traceback.format_tb(error.__traceback__))
        return f"{frames}{type(error).__name__} (it cannot be shown: {type(odd).__name__})"


def _place(function: Any) -> str:
    """Where a function is written."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno} in {code.co_name}" if code else ""


def _short(text: str) -> str:
    """Text that any store takes: at most ``LONGEST_TEXT`` bytes of sound UTF-8, its middle left out if need be."""
    sound = text.replace("\0", "\\0").encode("utf-8", "backslashreplace")
    if len(sound) <= LONGEST_TEXT:
        return sound.decode()
    half = LONGEST_TEXT // 2 - 8
    return f"{sound[:half].decode(errors='ignore')}\n[...]\n{sound[-half:].decode(errors='ignore')}"


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
    if isinstance(error, OSError) and error.errno in (ENOSPC, EFBIG, EIO, EDQUOT):
        return FailureKind.STORAGE
    if isinstance(error, FloatingPointError):
        return FailureKind.DIVERGED
    return FailureKind.USER_ERROR


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
        when the trial is stopped, and ObjectiveError for something that is not a measurement.
        """
        with self._channel.lock:
            self._channel.hand_over(step, metrics, self.metric)

    def end_early(self, reason: str) -> None:
        """Say that the loop ends before ``until`` on purpose: what returning EarlyStop says, for code that is called
        by the loop and does not return from the objective itself. A number that the objective returns then does not
        count as the metric of step ``until``."""
        self._channel.early = EarlyStop(reason)


class _Channel:
    """Hands measurements from the user's thread to the stream, one at a time: each side waits for the other."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.wanted = threading.Semaphore(0)
        self.given = threading.Semaphore(0)
        self.item: Measurement | None = None
        self.step = 0
        self.returned: object = None
        self.early: EarlyStop | None = None
        self.error: BaseException | None = None
        self.over = False
        self.closing = False
        self.clock = time.perf_counter()

    def hand_over(self, step: int, metrics: Mapping[str, Any], metric: str) -> None:
        if self.closing:
            raise StopRun
        # checked here as well as in the stream: here the traceback leads to the line that reported
        self.item = check_measurement(Measurement(step, metrics, time.perf_counter() - self.clock), self.step, metric)
        self.step = self.item.step
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
        patience = None
        try:
            while True:
                channel.given.acquire()
                if channel.over:
                    break
                if channel.item is not None:
                    yield channel.item
                channel.wanted.release()
        except KeyboardInterrupt:
            patience = 0.0  # whoever types Ctrl-C a second time does not wait for the end of a step
            raise
        finally:
            channel.closing = True
            channel.wanted.release()
            thread.join(patience)
            if channel.error is not None:
                raise channel.error
        return channel.returned

    def _work(self, live: ReportingRun) -> None:
        channel = live._channel
        try:
            returned = self.function(live)
            if returned is None or isinstance(returned, EarlyStop) or channel.early is not None:
                channel.returned = returned if isinstance(returned, EarlyStop) else channel.early
            elif channel.step < live.until:  # who reported the last step as well has said it all
                metrics = returned if isinstance(returned, Mapping) else {live.metric: returned}
                channel.hand_over(live.until, metrics, live.metric)
        except StopRun:
            pass
        except KeyboardInterrupt as error:
            # no signal reaches this thread: it is the function's own doing, and nobody asked the driver to stop
            told = odd(53, "the objective raised KeyboardInterrupt", error, "an Exception", "raise another exception")
            channel.error = told.with_traceback(error.__traceback__)
        except BaseException as error:  # noqa: BLE001  (carried over to the stream, which raises it there)
            channel.error = error
        channel.over = True
        channel.given.release()


def objective(function: Callable[[Any], Any]) -> Objective:
    """A plain function as an objective; usable as a decorator.

    The function takes one argument, the run, and either calls ``run.report(step, **metrics)`` for each step up to
    ``run.until``, or returns a number (the metric that is optimised) or a mapping of metrics, or an EarlyStop. What it
    returns after it has reported the last step is not looked at. An error in it is a failed trial with the function's
    own traceback. A generator of measurements is an objective already and is returned as it is.

    Raises ObjectiveError for what cannot be called with one argument.
    """
    wanted, fix = "a function of one argument, the run", "def train(run): ..."
    if not callable(function):
        raise odd(53, "the objective cannot be called", function, wanted, fix)
    if inspect.iscoroutinefunction(function):
        raise odd(53, "the objective is an async function", function, wanted, "def train(run): asyncio.run(...)")
    try:
        inspect.signature(function).bind(None)
    except TypeError as bad:
        raise odd(53, f"the objective cannot be called with one argument: {bad}", function, wanted, fix) from None
    except ValueError:  # a built-in without a signature: calling it will tell
        pass
    return function if inspect.isgeneratorfunction(function) else _FromFunction(function)
