"""Trials, and the events that are the only truth about them.

A study is a log of events; its state is the fold of the log: ``replay(events)``. Nothing else changes a trial.

    Opened -> (Created + Launched -> Measured* -> Ended)* -> Closed

beside Looked, when the test part is looked at, and Noted, for facts that do not follow from the trials.

``Created`` and ``Launched`` are written in one batch, before anything runs. A trial may be launched again: to go on
after a pause (PAUSED -> RUNNING), or because a worker or the driver was lost (RUNNING -> RUNNING, a new attempt).
What a superseded attempt still says is not accepted.
"""

from __future__ import annotations

import gc
import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import takewhile
from typing import Any, overload

from tunebook.errors import StoreError
from tunebook.goal import Direction as Direction  # noqa: PLC0414  (it has its place in a trial's vocabulary)
from tunebook.goal import Goal as Goal  # noqa: PLC0414  (it has its place in a trial's vocabulary)
from tunebook.goal import Limit as Limit  # noqa: PLC0414  (it has its place in a trial's vocabulary)
from tunebook.space import Config


class Status(StrEnum):
    """Where a trial is."""

    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def over(self) -> bool:
        """Whether the trial will not run again by itself."""
        return self in _OVER


# an attribute of an Enum class is slow to look up: here are those that the fold and the loop need for each event
_RUNNING, _PAUSED = Status.RUNNING, Status.PAUSED
_OVER = (Status.COMPLETED, Status.STOPPED, Status.FAILED)


class FailureKind(StrEnum):
    """Why a run failed."""

    USER_ERROR = "user_error"
    DIVERGED = "diverged"
    OOM_CPU = "oom_cpu"
    OOM_GPU = "oom_gpu"
    TIMEOUT = "timeout"
    STALLED = "stalled"
    PREEMPTED = "preempted"
    WORKER_LOST = "worker_lost"
    STORAGE = "storage"
    CHECKPOINT = "checkpoint"
    INTERRUPTED = "interrupted"

    @property
    def retried(self) -> bool:
        """Whether the machine is to blame, so that the run is worth another attempt."""
        return self in (
            FailureKind.PREEMPTED,
            FailureKind.WORKER_LOST,
            FailureKind.STORAGE,
            FailureKind.STALLED,
            FailureKind.INTERRUPTED,
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed run: its kind, the first line a person should read, where it happened, the whole traceback."""

    kind: FailureKind
    message: str
    where: str = ""
    traceback: str = ""

    @property
    def line(self) -> str:
        """The message in one line: its first, and of an error of tunebook's what it got and expected.

        >>> Failure(FailureKind.USER_ERROR, "unknown loss\\n  --> loss\\n  got 'ms'; did you mean 'mse'?").line
        "unknown loss: got 'ms'; did you mean 'mse'?"
        """
        first, *rest = self.message.splitlines() or [""]
        detail = takewhile(lambda line: line.startswith("  "), rest)
        told = next((line.strip() for line in detail if line.startswith(("  got ", "  expected ", "  did you "))), "")
        return f"{first}: {told}" if told else first


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a run reports at a step: metrics by name.

    ``seconds`` since the measurement before (or the start of the attempt); ``memory`` the process's peak, in MB.
    """

    step: int
    metrics: Mapping[str, float]
    seconds: float = 0.0
    memory: float = 0.0


@dataclass(frozen=True, slots=True)
class Context:
    """What a configuration is evaluated under.

    ``seed`` of the training, ``fold`` of the cross-validation, ``fraction`` of the training part, and ``final`` for the
    last training, on training and validation part together.
    """

    seed: int = 0
    fold: int = 0
    fraction: float = 1.0
    final: bool = False


@dataclass(frozen=True)
class Trial:
    """One configuration under one context, as far as it has come. ``curve`` is in the order of steps.

    A trial with a ``parent`` went on from a copy of what that had at step ``start``; its curve begins after it.
    """

    number: int
    round: str
    config: Config
    context: Context = field(default_factory=Context)
    status: Status = Status.WAITING
    until: int = 0
    attempt: int = 0
    curve: tuple[Measurement, ...] = ()
    failure: Failure | None = None
    parent: int | None = None
    start: int = 0
    started: float = 0.0
    ended: float = 0.0
    note: str = ""

    @property
    def step(self) -> int:
        """The last step that was measured; before the first, the one it started from (0 unless it has a parent)."""
        return self.curve[-1].step if self.curve else self.start

    @property
    def seconds(self) -> float:
        """Seconds spent in measured steps."""
        return sum(m.seconds for m in self.curve)

    @property
    def key(self) -> str:
        """The configuration as canonical text: equal for trials of one configuration."""
        return config_key(self.config)

    def scored(self, goal: Goal, upto: int | None = None) -> Measurement | None:
        """The measurement that counts: the best (or last) finite one, of the steps up to ``upto``; None without one."""
        best, least = None, math.inf
        last = goal.pick == "last"
        for m in self.curve:
            if upto is not None and m.step > upto:
                break
            loss = goal.loss(m.metrics.get(goal.metric, math.nan))
            if loss < least or (last and loss < math.inf):
                best, least = m, loss
        return best

    def value(self, goal: Goal, upto: int | None = None) -> float:
        """The metric that counts; NaN without a finite measurement."""
        m = self.scored(goal, upto)
        return math.nan if m is None else m.metrics[goal.metric]

    def loss(self, goal: Goal, upto: int | None = None) -> float:
        """The loss that counts, minimised; inf for a failed trial, without a finite measurement, and beyond a limit."""
        if self.status is Status.FAILED or (goal.limits and max(self.excess(goal, upto)) > 0):
            return math.inf
        return goal.loss(self.value(goal, upto))

    def losses(self, goal: Goal, upto: int | None = None) -> tuple[float, ...]:
        """The loss of each goal, whatever the limits say; all inf for a failed trial and without a measurement."""
        m = None if self.status is Status.FAILED else self.scored(goal, upto)
        if m is None:
            return (math.inf,) * len(goal.metrics)
        further = (g.loss(self._told(m, g.metric)) for g in goal.also)
        return (goal.loss(m.metrics[goal.metric]), *further)

    def values(self, goal: Goal) -> dict[str, float]:
        """The metrics of all goals and limits at the measurement that counts; NaN where one was not measured."""
        m = self.scored(goal)
        return {name: math.nan if m is None else self._told(m, name) for name in goal.named}

    def excess(self, goal: Goal, upto: int | None = None) -> tuple[float, ...]:
        """How far the trial is beyond each limit, 0 or less within it; inf where that was not measured."""
        m = self.scored(goal, upto)
        return tuple(math.inf if m is None else x.excess(self._told(m, x.metric)) for x in goal.limits)

    def missing(self, goal: Goal) -> list[str]:
        """The metrics of further goals and of limits that the measurement that counts does not have."""
        m = self.scored(goal)
        wanted = (*goal.metrics[1:], *(x.metric for x in goal.limits))
        return [] if m is None else [n for n in wanted if n not in m.metrics and math.isnan(self._told(m, n))]

    def _told(self, m: Measurement, metric: str) -> float:
        """A metric at one of the trial's measurements, or what is known of the run without being reported."""
        told = m.metrics.get(metric)
        if told is None:
            before = [x for x in self.curve if x.step <= m.step] if metric in _OF_ITSELF else []
            # nought is what nobody measured
            told = (_OF_ITSELF[metric](before) if before else 0.0) or math.nan
        return told


_OF_ITSELF: Mapping[str, Callable[[Sequence[Measurement]], float]] = {
    "seconds": lambda told: sum(m.seconds for m in told),
    "memory": lambda told: max(m.memory for m in told),
}


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def config_key(config: Config) -> str:
    """Canonical text of a configuration.

    >>> config_key({"b": 1, "a": 0.5})
    '{"a":0.5,"b":1}'
    """
    return _CANONICAL.encode(config)


# events


@dataclass(frozen=True, slots=True)
class Opened:
    """A round of the study begins, or is taken up again, perhaps with another space (as ``Space.as_dict``).

    ``at`` is the executor's clock: the time between sessions does not count as spent. ``about`` is plain JSON.
    """

    round: str
    space: Mapping[str, Any]
    goal: Goal
    at: float = 0.0
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Created:
    """A trial exists: a new one, or one that begins with what trial ``parent`` had at step ``start``."""

    number: int
    round: str
    config: Config
    context: Context = field(default_factory=Context)
    parent: int | None = None
    start: int = 0


@dataclass(frozen=True, slots=True)
class Launched:
    """An attempt at the trial is about to run to step ``until``; ``why`` tells if it is not the first."""

    number: int
    attempt: int
    until: int
    at: float = 0.0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """A run reported."""

    number: int
    attempt: int
    measurement: Measurement


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt ended: COMPLETED at its ``until``, PAUSED, STOPPED or FAILED. ``note`` says why, if it is known."""

    number: int
    attempt: int
    status: Status
    failure: Failure | None = None
    at: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Closed:
    """A round is over; what was concluded from it may be relied on."""

    round: str
    reason: str


@dataclass(frozen=True, slots=True)
class Looked:
    """The locked test part is about to be looked at."""

    reason: str


@dataclass(frozen=True, slots=True)
class Noted:
    """A fact that does not follow from the trials: versions, the command, the result of a look at the test part."""

    topic: str
    about: Mapping[str, Any]


Event = Opened | Created | Launched | Measured | Ended | Closed | Looked | Noted
_OF_A_RUN = (Measured, Ended)


class _View(Sequence[Trial]):
    """The trials of a round as a sequence, without copying them."""

    def __init__(self, state: Trials, round: str) -> None:
        self._trials, self._unsettled, self._round = state._trials, state._unsettled, round
        self._numbers = state._rounds.setdefault(round, [])

    def paused(self) -> list[Trial]:
        """Those that are paused, without a look at those that are over."""
        going = map(self._trials.__getitem__, self._unsettled)
        return [t for t in going if t.status is _PAUSED and t.round == self._round]

    @overload
    def __getitem__(self, at: int) -> Trial: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Trial]: ...
    def __getitem__(self, at: int | slice) -> Trial | Sequence[Trial]:
        if isinstance(at, slice):
            return [self._trials[n] for n in self._numbers[at]]
        return self._trials[self._numbers[at]]

    def __iter__(self) -> Iterator[Trial]:
        return map(self._trials.__getitem__, self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


class Trials(Mapping[int, Trial]):
    """All trials of a study by number, and what is known of its rounds. Only ``apply`` changes it.

    It is advanced in place: copying 100,000 rows for each batch of events would make a study quadratic. The trials in
    it are frozen values. ``spent`` is the time that drivers were at work, in seconds.
    """

    def __init__(self) -> None:
        self._trials: dict[int, Trial] = {}
        self._rounds: dict[str, list[int]] = {}
        self._unsettled: dict[int, None] = {}
        self.opened: dict[str, Opened] = {}
        self.closed: dict[str, Closed] = {}
        self.looks: list[Looked] = []
        self.notes: dict[str, Mapping[str, Any]] = {}
        self.spent = 0.0
        self._clock: float | None = None

    def __getitem__(self, number: int) -> Trial:
        return self._trials[number]

    def __iter__(self) -> Iterator[int]:
        return iter(self._trials)

    def __len__(self) -> int:
        return len(self._trials)

    def of(self, round: str) -> Sequence[Trial]:
        """Trials of a round in the order of their numbers: a live view."""
        return _View(self, round)

    @property
    def clock(self) -> float | None:
        """What the executor's clock showed when something last began or ended; None before."""
        return self._clock

    def _tick(self, at: float) -> None:
        """Count the time since the event before as spent."""
        if self._clock is not None and at > self._clock:
            self.spent += at - self._clock
        self._clock = at

    def count(self, round: str) -> int:
        """Number of trials of a round."""
        return len(self._rounds.get(round, ()))

    def only(self, rounds: Collection[str]) -> Trials:
        """The trials of some rounds, as a separate object."""
        some = Trials()
        for trial in self._trials.values():
            if trial.round in rounds:
                some._put(trial)
        return some

    def with_status(self, *statuses: Status) -> list[Trial]:
        """Trials with one of the statuses; quick for those that are not over."""
        numbers: Iterable[int] = self._trials if any(s.over for s in statuses) else self._unsettled
        return [self._trials[n] for n in numbers if self._trials[n].status in statuses]

    @property
    def next_number(self) -> int:
        """The number of the next trial to be created."""
        return len(self._trials)

    def accepts(self, event: Event) -> bool:
        """Whether an event of a run still counts: of the current attempt of a running trial, and of a new step."""
        if isinstance(event, _OF_A_RUN):
            trial = self._trials.get(event.number)
            if trial is None or trial.status is not _RUNNING or trial.attempt != event.attempt:
                return False
            return isinstance(event, Ended) or event.measurement.step > trial.step
        return True

    def _put(self, trial: Trial) -> None:
        if trial.number not in self._trials:
            self._rounds.setdefault(trial.round, []).append(trial.number)
        self._trials[trial.number] = trial
        if trial.status in _OVER:
            self._unsettled.pop(trial.number, None)
        else:
            self._unsettled[trial.number] = None


def apply(trials: Trials, events: Iterable[Event]) -> Trials:
    """Advance the trials by events, in order; the only place where a trial changes. Returns the same object.

    Events of superseded attempts and steps that are known already are passed over. Raises StoreError if the log
    contradicts itself (a trial created twice, or launched that is over or was never created, or in an attempt before).
    """
    for event in events:
        _APPLY[type(event)](trials, event)
    return trials


def _changed(trial: Trial, changes: Mapping[str, object]) -> Trial:
    """``dataclasses.replace``, in a sixth of its time: this is done for every event of every log."""
    new = object.__new__(Trial)
    values = new.__dict__
    values.update(trial.__dict__)
    values.update(changes)
    return new


_BLANK = Trial(-1, "", {})


def _contradiction(number: int, what: str, got: str, expected: str) -> StoreError:
    return StoreError("the log contradicts itself", where=f"trial {number} {what}", got=got, expected=expected,
                      fix="tunebook doctor")  # fmt: skip


def _created(trials: Trials, event: Created) -> None:
    if event.number != trials.next_number:
        raise _contradiction(event.number, "is created", f"number {event.number}", f"number {trials.next_number}")
    of = {"number": event.number, "round": event.round, "config": event.config, "context": event.context}
    trials._put(_changed(_BLANK, {**of, "parent": event.parent, "start": event.start}))


def _launched(trials: Trials, event: Launched) -> None:
    trial = trials._trials.get(event.number)
    if trial is None or trial.status in _OVER or event.attempt <= trial.attempt:
        state = "no such trial" if trial is None else f"attempt {event.attempt}, {trial.status} in {trial.attempt}"
        raise _contradiction(event.number, "is launched", state, "the next attempt at a trial that is not over")
    trials._tick(event.at)
    began = trial.started if trial.attempt else event.at
    changes = {"status": _RUNNING, "attempt": event.attempt, "until": event.until, "started": began}
    trials._trials[event.number] = _changed(trial, changes)


def _measured(trials: Trials, event: Measured) -> None:
    if trials.accepts(event):
        trial = trials._trials[event.number]
        trials._trials[event.number] = _changed(trial, {"curve": (*trial.curve, event.measurement)})


def _ended(trials: Trials, event: Ended) -> None:
    if trials.accepts(event):
        if event.status not in _OVER and event.status is not _PAUSED:
            raise _contradiction(event.number, "ends", event.status, "completed, paused, stopped or failed")
        trials._tick(event.at)
        changes = {"status": event.status, "failure": event.failure, "ended": event.at, "note": event.note}
        trials._trials[event.number] = _changed(trials._trials[event.number], changes)
        if event.status in _OVER:
            del trials._unsettled[event.number]


def _opened(trials: Trials, event: Opened) -> None:
    trials._clock = event.at
    trials.opened[event.round] = event
    trials.closed.pop(event.round, None)


def _closed(trials: Trials, event: Closed) -> None:
    trials.closed[event.round] = event


def _looked(trials: Trials, event: Looked) -> None:
    trials.looks.append(event)


def _noted(trials: Trials, event: Noted) -> None:
    trials.notes[event.topic] = event.about


_APPLY: Mapping[type[Event], Callable[[Trials, Any], None]] = {
    Opened: _opened,
    Created: _created,
    Launched: _launched,
    Measured: _measured,
    Ended: _ended,
    Closed: _closed,
    Looked: _looked,
    Noted: _noted,
}


def replay(events: Iterable[Event]) -> Trials:
    """The state of a study from its log."""
    with uncollected():
        return apply(Trials(), events)


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection for a while: what a long log is read into is no garbage, and looking doubles the time."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@dataclass(frozen=True)
class Group:
    """The trials of one configuration (its repeats over seeds and folds): analysis sees one row a configuration."""

    config: Config
    trials: tuple[Trial, ...]

    def values(self, goal: Goal, upto: int | None = None) -> list[float]:
        """The finite metric values of the trials that did not fail."""
        told = (t.value(goal, upto) for t in self.trials if t.status is not Status.FAILED)
        return [v for v in told if math.isfinite(v)]

    def mean(self, goal: Goal, upto: int | None = None) -> float:
        """Mean metric over the trials; NaN without one."""
        values = self.values(goal, upto)
        return sum(values) / len(values) if values else math.nan


def groups(trials: Iterable[Trial]) -> list[Group]:
    """Trials gathered by configuration, in the order of first appearance."""
    found: dict[str, list[Trial]] = {}
    for t in trials:
        found.setdefault(t.key, []).append(t)
    return [Group(ts[0].config, tuple(ts)) for ts in found.values()]


def is_whole(trial: Trial, goal: Goal) -> bool:
    """Whether a trial's value may be called the best of a study: where the last step counts, as of a cross-validation,
    only that of a whole one does."""
    return goal.pick != "last" or (trial.step >= trial.until and trial.status is not Status.STOPPED)


def paused(trials: Sequence[Trial]) -> list[Trial]:
    """The paused ones of a round's trials, in order: at once where ``trials`` comes from ``Trials.of``."""
    return trials.paused() if isinstance(trials, _View) else [t for t in trials if t.status is _PAUSED]


def finished(trials: Iterable[Trial]) -> Sequence[Trial]:
    """Trials that measured something and are not running: those from which something can be learned."""
    return [t for t in trials if t.curve and t.status not in (Status.RUNNING, Status.WAITING)]
