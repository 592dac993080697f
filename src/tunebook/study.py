"""The one loop of tunebook, and the only writer of a study's record.

    plan -> ask -> log -> submit -> poll -> log -> judge -> tell -> plan ...

What a study knows is the fold of its log, so to resume is to construct: trials that were running when a driver was
lost are launched again, everything else is where it was. With one worker an interrupted study ends exactly like one
that was never interrupted.
"""

from __future__ import annotations

import math
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import numpy as np

from tunebook.errors import FailingStudy, ObjectiveError, SettingError, SpaceError, StudyMismatch, shown
from tunebook.executors.base import Executor
from tunebook.faults import point
from tunebook.measurement import check_measurement
from tunebook.objective import Run
from tunebook.outcomes import front
from tunebook.samplers.base import Sampler
from tunebook.samplers.recommend import Recommendation, recommended
from tunebook.schedulers.base import Copy, Plan, Scheduler, Verdict
from tunebook.space import Config, Space, Value
from tunebook.stores.base import Store
from tunebook.trial import (
    Closed,
    Context,
    Created,
    Ended,
    Event,
    Failure,
    FailureKind,
    Goal,
    Launched,
    Looked,
    Measured,
    Measurement,
    Noted,
    Opened,
    Status,
    Trial,
    Trials,
    apply,
    config_key,
)

MOST_LOSSES = 3
SAME_FAILURES = 3
FIRST = "first"  # the topic of the note on what is to be tried first
STOPPED = "stopped early by the scheduler"
LOST = "the driver was lost"
MOST_WAITING = 256
MOST_SECONDS = 0.5
POLL_SECONDS = 0.25
GRACE_SECONDS = 30.0

_GOING = (Status.WAITING, Status.RUNNING)

Listener = Callable[[Sequence[Event], Trials], None]


class Interrupted(SystemExit):
    """The study was asked to stop; what was measured is in the record, and it can be resumed.

    Left alone it ends the process with code 130 (143 after SIGTERM), without a traceback.
    """

    def __init__(self, by: int = signal.SIGINT) -> None:
        super().__init__(128 + by)


@dataclass(frozen=True)
class Search:
    """What a round of the loop needs: its name, where configurations come from, and how far each is trained.

    ``runs`` lists configurations and contexts to evaluate instead of asking the sampler. ``about`` is kept in the
    record. ``metric`` is what runs are told to report, where it is not the goal's (a final training has no validation).
    """

    round: str
    space: Space
    goal: Goal
    sampler: Sampler
    scheduler: Scheduler
    runs: tuple[tuple[Config, Context], ...] = ()
    metric: str | None = None
    about: Mapping[str, Any] = field(default_factory=dict)


class Study:
    """A study: a record (``store``), a folder for what runs write, and an executor for those who have one.

    Use it in a ``with`` block: that claims the record, so that there is one driver. Raises StudyBusy if there is one.
    """

    def __init__(
        self,
        store: Store,
        folder: Path | str,
        executor: Executor | None = None,
        *,
        seed: int = 0,
        listener: Listener | None = None,
        on_stop: Callable[[int], None] | None = None,
    ) -> None:
        self.store, self.folder, self.executor, self.seed = store, Path(folder), executor, seed
        self.listener, self.on_stop = listener, on_stop
        self.trials = Trials()
        self._search: Search | None = None
        self._interrupted = threading.Event()
        self._signal: int = signal.SIGINT
        self._failures: list[str] = []
        self._waiting: list[Event] = []
        self._since = 0.0
        self._held = ExitStack()
        self._driving = False
        self._lost: list[int] = []

    def __enter__(self) -> Self:
        self._held.enter_context(self.store.claim())
        self.trials = self.store.trials()
        self._driving = True
        self._lost = [t.number for t in self.trials.with_status(Status.RUNNING)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._driving = False
        self._held.close()

    def interrupt(self) -> None:
        """Ask ``run`` to stop as soon as the running trials have measured once more; it then raises Interrupted."""
        self._interrupted.set()

    # the loop

    def run(
        self, search: Search, trials: int, seconds: float = math.inf, steps: float = math.inf, last: float | None = None
    ) -> Trials:
        """Run a round until it has ``trials`` trials and its scheduler plans no more, or ``seconds`` or ``steps`` are
        spent.

        ``seconds`` counts the time that drivers worked on the whole study (``Trials.spent``): then nothing more is
        launched, and what runs is asked to stop; with ``last`` it may go on until so many are spent. ``steps`` is what
        all trials of the round are trained, exactly: nothing is launched further than the budget allows, and the last
        launches are shortened to it. A round that was closed is not run again unless more is asked for. Raises
        Interrupted, FailingStudy (the first trials all failed in the same way), StoreError.
        """
        if isinstance(trials, bool) or not isinstance(trials, int) or trials < 1:
            raise SettingError("the number of trials must be a positive whole number", where="trials", got=repr(trials),
                               code="CONFIG-044")  # fmt: skip
        if self.executor is None:
            raise SettingError("this study has no executor", fix="Study(..., executor=...), or ask() and tell()")
        if not steps >= 1:
            raise SettingError("the budget of steps must be a positive number", where="steps", got=repr(steps))
        if self._over(search, trials, seconds, steps):
            return self.trials
        self.begin(search)
        with self._signals():
            reason = _Loop(self, search, self.executor, trials, (seconds, steps), last).run()
        self._log([Closed(search.round, reason)])
        return self.trials

    def _over(self, search: Search, trials: int, seconds: float, steps: float) -> bool:
        """Whether the round was closed and nothing is asked for that would let it go on."""
        closed = self.trials.closed.get(search.round)
        if closed is None or self.trials.opened[search.round].space != search.space.as_dict():
            return False
        return {
            "trials": not self._missing(search) if search.runs else self.trials.count(search.round) >= trials,
            "time": self.trials.spent >= seconds,
            "steps": committed(self.trials.of(search.round)) >= steps,
            "space": True,
        }[closed.reason]

    def begin(self, search: Search) -> None:
        """Open a round, for ``ask`` and ``tell``; ``run`` does it by itself.

        An earlier round of this name may have had another space: its trials keep counting. Raises StudyMismatch when
        the goal is another one.
        """
        before = self.trials.opened.get(search.round)
        if before is not None and before.goal != search.goal:
            raise StudyMismatch(f"round {search.round!r} was opened with another goal", got=str(search.goal),
                                expected=str(before.goal), fix="give the study another name")  # fmt: skip
        self._search, self._failures = search, []
        self._log([Opened(search.round, search.space.as_dict(), search.goal, self._now(), dict(search.about))])
        search.sampler.tell(t for t in self.trials.values() if t.status not in _GOING and not t.context.final)

    def note(self, topic: str, about: Mapping[str, Any]) -> None:
        """Keep a fact in the record that does not follow from the trials."""
        self._log([Noted(topic, dict(about))])

    def look(self, reason: str) -> int:
        """Record, before it happens, that the test part is looked at; returns how many looks that makes."""
        self._log([Looked(reason)])
        return len(self.trials.looks)

    def _log(self, events: Sequence[Event]) -> None:
        """Fold events into the state and write them to the record; nothing acts on them before that."""
        self._check_driving()
        apply(self.trials, events)
        self._waiting.extend(events)
        self._flush()

    def _await(self, events: Sequence[Event]) -> None:
        """Let what a run told wait for company: the rest of its measurements, and the next trial's beginning.

        A transaction a measurement would cost more than quick trials themselves. What waits is safe: workers keep a
        journal of what they measured until it is in the record, and a run whose end was lost ends in the same way.
        """
        now = time.monotonic()  # not the executor's clock: waiting is about real disks, also where time is simulated
        if not self._waiting:
            self._since = now
        self._waiting.extend(events)
        if len(self._waiting) >= MOST_WAITING or now >= self._since + MOST_SECONDS:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        batch, self._waiting = self._waiting, []
        point()
        self.store.append(batch)
        point()
        if self.listener is not None:
            self.listener(batch, self.trials)

    def context(self, number: int) -> Context:
        """The context of a new trial: its own seed, so that no two trials share their luck."""
        return Context(seed=int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0]))

    def try_first(self, *configs: Config, space: Space | None = None) -> None:
        """Have configurations evaluated before the sampler is asked; what they lack has its default.

        They are kept in the record. Call ``begin`` first, or tell the space. Raises SpaceError for what is not in it.
        """
        space = self._begun().space if space is None else space
        whole: list[dict[str, Value]] = []
        for config in configs:
            whole.append(space.completed(config))
            found = space.complaints(whole[-1])
            if found:
                raise SpaceError(found)
        self.note(FIRST, {"configs": [*self.trials.notes.get(FIRST, {"configs": []})["configs"], *whole]})

    def _listed(self, search: Search) -> list[Config]:
        """What is to be tried first and was not yet, of what has a place in the round's space."""
        told = self.trials.notes.get(FIRST)
        if told is None:
            return []
        tried = {t.key for t in self.trials.values()}
        fitting = [c for c in (search.space.adapt(c) for c in told["configs"]) if c is not None]
        return [c for c in fitting if search.space.contains(c) and config_key(c) not in tried]

    # people who own their loop

    def ask(self, n: int = 1) -> list[Trial]:
        """Up to ``n`` trials for one's own loop; fewer, or none, when the space is exhausted. Call ``begin`` first.

        Trials that a process before this one asked for and did not tell of come first, with their numbers, as a new
        attempt. An ask that gives such trials gives no new ones beside them: then batches, and what is proposed after
        them, are what they would have been. Raises SettingError for an ``n`` below 0 and outside of the ``with`` block.
        """
        if isinstance(n, bool) or not isinstance(n, int) or n < 0:
            raise SettingError("the number of trials must be a whole number", where="ask", got=shown(n),
                               expected="0 or more", fix="study.ask(1)")  # fmt: skip
        search, now = self._begun(), self._now()
        lost = map(self.trials.__getitem__, self._lost)
        again = [t for t in lost if t.round == search.round and t.status is Status.RUNNING][:n]
        events: list[Event] = [Launched(t.number, t.attempt + 1, t.until, now, LOST) for t in again]
        if not again:
            events = self._fresh(search, (search.scheduler.steps,) * n, now)
        self._log(events)
        self._lost = [number for number in self._lost if number not in {t.number for t in again}]
        return [self.trials[e.number] for e in events if isinstance(e, Launched)]

    def tell(
        self, trial: int | Trial, /, *, step: int | None = None, failed: str | None = None, **metrics: float
    ) -> Trial:
        """Report metrics of an asked trial (or its number) at ``step``, or that it failed; returns it as it is then.

        Without a ``step`` that is its last, which ends it. Steps that the record has from an attempt before are passed
        over. Raises SettingError for a trial that is not open, ObjectiveError for what is no measurement.
        """
        number = trial.number if isinstance(trial, Trial) else trial
        return self._told(number, step, failed, metrics)

    def _told(self, number: int, step: int | None, failed: str | None, metrics: Mapping[str, float]) -> Trial:
        search = self._begun()
        trial = self.trials.get(number)
        if trial is None or trial.status is not Status.RUNNING:
            raise SettingError("no such trial is open", where="tell", got=shown(number),
                               expected="a trial that ask() gave and that was not ended")  # fmt: skip
        if number in self._lost:
            self._lost.remove(number)
        if step is not None and trial.attempt > 1 and failed is None and step <= trial.step:
            return trial
        events: list[Event] = []
        at, now = trial.until if step is None else step, self._now()
        if failed is not None:
            failure = Failure(FailureKind.USER_ERROR, failed)
            events.append(Ended(number, trial.attempt, Status.FAILED, failure, now))
        else:
            m = check_measurement(Measurement(at, metrics), trial.step, search.metric or search.goal.metric)
            if at >= trial.until and (lacking := _lacking(replace(trial, curve=(*trial.curve, m)), search)):
                raise ObjectiveError(lacking, where=f"tell({number}, ...)", fix="tell all metrics at one step",
                                     code="OBJECTIVE-049")  # fmt: skip
            events.append(Measured(number, trial.attempt, m))
            if not math.isfinite(m.metrics[search.metric or search.goal.metric]):
                failure = Failure(FailureKind.DIVERGED, "not finite")
                events.append(Ended(number, trial.attempt, Status.FAILED, failure, now))
            elif at >= trial.until:
                events.append(Ended(number, trial.attempt, Status.COMPLETED, at=now))
        self._log(events)
        if self.trials[number].status.over:
            search.sampler.tell([self.trials[number]])
        return self.trials[number]

    def best(self) -> Recommendation | None:
        """The configuration to hand over, by a model of all trials, with an interval; None if none succeeded, or none
        keeps the limits (``study.trials`` has what they came to).

        Under noise that is not the trial with the best single value (``front``), which was lucky. Call ``begin`` first.
        """
        search = self._begun()
        return recommended(self.trials, search.space, search.goal)

    @property
    def front(self) -> list[Trial]:
        """The trials that no other beats in all of the goals, within the limits, the best by the first goal first.

        With one goal that is the best trial. Single values: some may have been lucky.
        """
        opened = list(self.trials.opened.values())
        return front(self.trials.values(), opened[-1].goal) if opened else []

    def _now(self) -> float:
        return self.executor.now() if self.executor is not None else time.time()

    def _begun(self) -> Search:
        if self._search is None:
            self._check_driving()
            raise SettingError("no round is open", fix="study.begin(search) first")
        return self._search

    def _check_driving(self) -> None:
        if not self._driving:
            raise SettingError("the study is not open: its 'with' block has ended, or was never entered",
                               where=str(self.folder), fix="with open_study(...) as study: ...")  # fmt: skip

    def _fresh(self, search: Search, targets: Sequence[int], now: float, after: int = 0) -> list[Event]:
        """Created and Launched of new trials as one batch: apart, a kill between them leaves a trial with no target."""
        first = self.trials.next_number + after
        if search.runs:
            pairs = self._missing(search)[: len(targets)]
        else:
            pending = [t.config for t in self.trials.with_status(Status.RUNNING)]
            listed = self._listed(search)[: len(targets)]
            configs = listed + search.sampler.ask(len(targets) - len(listed), pending + listed, first + len(listed))
            pairs = [(c, self.context(first + i)) for i, c in enumerate(configs)]
        events: list[Event] = []
        for i, ((config, context), until) in enumerate(zip(pairs, targets, strict=False)):
            events.append(Created(first + i, search.round, config, context))
            events.append(Launched(first + i, 1, until, now))
        return events

    def _copied(self, search: Search, copies: Sequence[Copy], now: float) -> list[Event]:
        """Created and Launched of trials that go on from others, whose files are there when it is logged.

        A trial is only copied from what it has on disk. Raises CheckpointError where that is nothing.
        """
        events: list[Event] = []
        for number, copy in enumerate(copies, self.trials.next_number):
            parent = self.trials[copy.parent]
            if self.executor is not None:
                self.executor.copy(self.trial_folder(parent.number), self.trial_folder(number))
            config = copy.config if copy.config is not None else search.sampler.explore(parent.config, number)
            context = copy.context or self.context(number)
            events.append(Created(number, search.round, config, context, parent.number, parent.step))
            events.append(Launched(number, 1, copy.until, now))
        return events

    def trial_folder(self, number: int) -> Path:
        """Where a trial's runs write."""
        return self.folder / "trials" / str(number)

    def _missing(self, search: Search) -> list[tuple[Config, Context]]:
        """Listed runs that the round does not have: it may have others, from when its study had a smaller budget."""
        done = {(t.key, t.context) for t in self.trials.of(search.round)}
        return [(config, context) for config, context in search.runs if (config_key(config), context) not in done]

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM ask the loop to stop; a second one ends the process's patience at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: FrameType | None) -> None:
            if self._interrupted.is_set():
                raise KeyboardInterrupt
            self._signal = number
            self._interrupted.set()
            if self.on_stop is not None:
                self.on_stop(len(self.trials.with_status(Status.RUNNING)))

        before = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for s, old in before.items():
                signal.signal(s, old)


def _lacking(trial: Trial, search: Search) -> str:
    """What a trial did not report of what the goal is about, in words; empty where nothing is missing."""
    missing = [] if trial.context.final else trial.missing(search.goal)
    if not missing:
        return ""
    told = ", ".join(map(repr, trial.curve[-1].metrics))
    return f"the goal is also about {', '.join(map(repr, missing))}, which was not reported; reported was {told}"


def _sort_of(failure: Failure | None) -> str:
    """What failures that have one reason have in common: all but numbers; empty for one that is no bug."""
    broken = failure is not None and failure.kind in (FailureKind.USER_ERROR, FailureKind.CHECKPOINT)
    return re.sub(r"\d+", "#", f"{failure.message}\n{failure.where}") if failure is not None and broken else ""


def committed(trials: Iterable[Trial]) -> int:
    """Steps that trials were trained, or are on the way to."""
    return sum((t.until if t.status is Status.RUNNING else t.step) - t.start for t in trials)


class _Loop:
    """One call of ``Study.run``."""

    def __init__(
        self, study: Study, search: Search, executor: Executor, trials: int, budget: tuple[float, float],
        last: float | None,
    ) -> None:  # fmt: skip
        seconds, steps = budget
        self.study, self.search, self.executor = study, search, executor
        self.most, self.steps, self.poor = trials, steps, False
        if search.runs:
            self.most = study.trials.count(search.round) + len(study._missing(search))
        self.deadline = executor.now() + seconds - study.trials.spent
        self.end = self.deadline if last is None else max(self.deadline, executor.now() + last - study.trials.spent)
        self.round = study.trials.of(search.round)
        self.running: set[int] = set()
        self.stopping: set[int] = set()
        self.losses: dict[int, int] = {}
        self.exhausted = False
        self.failing: Failure | None = None

    def run(self) -> str:
        """Returns why the round is over: trials, time, steps or space."""
        self._take_up(self.study.trials.with_status(Status.RUNNING))
        planning = True
        while True:
            if planning:
                if not self._must_stop() and not self._late():
                    self._plan()
                self.study._flush()
            if not self.running:
                break
            planning = self._take_in(self.executor.poll(self._patience()))
            if self._must_stop():
                self._wind_down()
                break
        if self.study._interrupted.is_set():
            raise Interrupted(self.study._signal)
        if self.failing:
            raise FailingStudy(
                f"the first {self._alike()} trials all failed in the same way",
                where=self.failing.where,
                got=self.failing.line,
                fix="mend the objective, then resume the study",
            )
        return "time" if self._late() else "steps" if self.poor else "space" if self.exhausted else "trials"

    def _alike(self) -> int:
        """How many trials there were of which all failed alike: those of the rounds before count if they did."""
        told = [t.failure for t in self.study.trials.values() if t.status.over]
        same = {_sort_of(failure) for failure in told}
        return len(told) if len(same) == 1 else SAME_FAILURES

    def _take_up(self, lost: Sequence[Trial]) -> None:
        """Launch again what ran when a driver was lost, unless it was to be stopped after its last measurement."""
        now = self._now()
        judged = [t.curve and self.search.scheduler.judge(t, self.round) is Verdict.STOP for t in lost]
        stopped = [t for t, stop in zip(lost, judged, strict=True) if stop]
        again = [t for t, stop in zip(lost, judged, strict=True) if not stop]
        self.study._log([Ended(t.number, t.attempt, Status.STOPPED, at=now, note=STOPPED) for t in stopped])
        self._launch([Launched(t.number, t.attempt + 1, t.until, now, LOST) for t in again])

    def _now(self) -> float:
        return self.executor.now()

    def _late(self) -> bool:
        return self._now() >= self.deadline

    def _must_stop(self) -> bool:
        return self.study._interrupted.is_set() or self._now() >= self.end or bool(self.failing)

    def _patience(self) -> float:
        return min(POLL_SECONDS, max(0.0, self.end - self._now()))

    def _plan(self) -> None:
        free = self.executor.capacity - len(self.running)
        if free < 1:
            return
        left = 0 if self.exhausted else max(0, self.most - len(self.round))
        plan = self._afforded(self.search.scheduler.plan(self.round, free, left))
        now = self._now()
        trials = self.study.trials
        copies = self.study._copied(self.search, plan.copies, now)
        events: list[Event] = [Launched(r.trial, trials[r.trial].attempt + 1, r.until, now) for r in plan.resume]
        fresh = self.study._fresh(self.search, plan.fresh, now, len(plan.copies)) if plan.fresh else []
        self._launch([*copies, *events, *fresh])
        if len(fresh) < 2 * len(plan.fresh):
            self.exhausted = True
            if not self.running:
                self._plan()  # the scheduler may have more to do with the trials that there are

    def _afforded(self, plan: Plan) -> Plan:
        """What the budget of steps allows of a plan."""
        if math.isinf(self.steps):
            return plan
        left, trials = int(self.steps) - committed(self.round), self.study.trials

        def short(start: int, until: int) -> int:
            nonlocal left
            to = min(until, start + max(0, left))
            left -= to - start
            self.poor |= to < until
            return to

        copies = [replace(c, until=short(trials[c.parent].step, c.until)) for c in plan.copies]
        resume = [replace(r, until=short(trials[r.trial].step, r.until)) for r in plan.resume]
        fresh = [short(0, until) for until in plan.fresh]
        return Plan(
            tuple(r for r in resume if r.until > trials[r.trial].step),
            tuple(until for until in fresh if until),
            tuple(c for c in copies if c.until > trials[c.parent].step),
        )

    def _launch(self, events: Sequence[Event]) -> None:
        self.study._log(events)
        for event in events:
            if isinstance(event, Launched):
                self.running.add(event.number)
                self.executor.submit(self._as_run(self.study.trials[event.number]))
                point()

    def _as_run(self, trial: Trial) -> Run:
        parent = None if trial.parent is None else self.study.trials[trial.parent]
        return Run(trial.number, trial.config, trial.until, self.study.trial_folder(trial.number), trial.context.seed,
                   trial.context, trial.attempt, self.search.metric or self.search.goal.metric,
                   None if parent is None else (parent.config, parent.context), trial.start)  # fmt: skip

    def _take_in(self, events: Sequence[Event]) -> bool:
        """Fold what came, judge what measured, then log the batch and act on what ended; whether something ended."""
        trials, log = self.study.trials, []
        for event in events:
            if not trials.accepts(event) or (isinstance(event, Measured) and event.number in self.stopping):
                continue  # a run that was stopped may have run ahead: how far is a matter of timing, not of the trial
            told = self._settle(event) if isinstance(event, Ended) else event
            apply(trials, [told])
            log.append(told)
            if isinstance(told, Measured):
                self._judge(told.number)
        self.study._await(log)
        if any(isinstance(event, Launched) for event in log):
            self.study._flush()  # before it is launched again
        for event in log:
            if isinstance(event, Launched):
                self.executor.submit(self._as_run(trials[event.number]))
            elif isinstance(event, Ended):
                self._ended(trials[event.number])
        return any(isinstance(event, Ended) for event in log)

    def _ended(self, trial: Trial) -> None:
        self.running.discard(trial.number)
        self.stopping.discard(trial.number)
        self._watch(trial)
        if not trial.context.final:
            self.search.sampler.tell([trial])

    def _judge(self, number: int) -> None:
        trial = self.study.trials[number]
        if number not in self.stopping and self.search.scheduler.judge(trial, self.round) is Verdict.STOP:
            self.stopping.add(number)
            self.executor.stop(number)

    def _settle(self, event: Ended) -> Ended | Launched:
        """What an ended attempt means for its trial."""
        trial, now = self.study.trials[event.number], self._now()
        if event.failure is not None and event.failure.kind.retried:
            self.losses[trial.number] = self.losses.get(trial.number, 0) + 1
            if self.losses[trial.number] <= MOST_LOSSES:
                return Launched(trial.number, trial.attempt + 1, trial.until, now, event.failure.message)
        status, note = event.status, event.note
        if event.failure is None and (lacking := _lacking(trial, self.search)):
            return replace(event, status=Status.FAILED, failure=Failure(FailureKind.USER_ERROR, lacking), at=now)
        if event.failure is None and trial.number in self.stopping:
            status, note = Status.STOPPED, STOPPED
        elif event.status is Status.COMPLETED:
            status = self.search.scheduler.settled(trial)
        return replace(event, status=status, at=now, note=note)

    def _watch(self, trial: Trial) -> None:
        """The circuit breaker: a study whose first trials all fail alike, but for numbers, has a bug, not bad luck."""
        seen = self.study._failures
        seen.append(_sort_of(trial.failure))
        if len(seen) == SAME_FAILURES and seen[0] and len(set(seen)) == 1:
            self.failing = trial.failure

    def _wind_down(self) -> None:
        """Let running trials reach their next measurement, then leave.

        After an interruption they stay RUNNING in the record and are launched again on resume; when time is up they
        are PAUSED for good.
        """
        for number in self.running:
            self.executor.stop(number)
        resumable, patience = self.study._interrupted.is_set(), self._now() + GRACE_SECONDS
        while self.running and self._now() < patience:
            for event in self.executor.poll(POLL_SECONDS):
                if isinstance(event, Ended):
                    self.running.discard(event.number)
                if self.study.trials.accepts(event) and not (resumable and isinstance(event, Ended)):
                    self.study._log([self._end_late(event) if isinstance(event, Ended) else event])
        self.study._flush()
        if not resumable:
            for number in sorted(self.running):
                self.study._log([self._end_late(Ended(number, self.study.trials[number].attempt, Status.STOPPED))])

    def _end_late(self, event: Ended) -> Ended:
        if event.failure is not None:
            return replace(event, at=self._now())
        if event.status is Status.COMPLETED:
            return replace(event, status=self.search.scheduler.settled(self.study.trials[event.number]), at=self._now())
        return replace(event, status=Status.PAUSED, at=self._now(), note="time was up")
