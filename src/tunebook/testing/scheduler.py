"""The law of schedulers as a test, for people who write one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tunebook.schedulers.base import Copy, Plan, Scheduler, Verdict
from tunebook.trial import (
    Created,
    Direction,
    Ended,
    Failure,
    FailureKind,
    Goal,
    Launched,
    Measured,
    Measurement,
    Status,
    Trial,
    Trials,
    apply,
)

Make = Callable[[Goal, int], Scheduler]


@dataclass(frozen=True)
class _Case:
    """What a simulated round is like; ``fails``, ``stops`` and ``pauses`` are chances a measurement."""

    seed: int
    steps: int
    budget: int
    capacity: int
    direction: Direction = Direction.MINIMIZE
    every: int = 1
    fails: float = 0.0
    stops: float = 0.0
    pauses: float = 0.0
    more: int = 0


def check_scheduler(make: Make) -> None:
    """Raises AssertionError with a sentence if schedulers of ``make(goal, steps)`` break the law of
    ``tunebook.schedulers.base``.

    Rounds are simulated with trials that arrive in any order, fail, end early by themselves or are interrupted, on 1 to
    16 slots: the round must end, use the budget of new trials exactly, resume and copy only what is paused and never
    beyond ``steps``, bring a trial to the end (unless all failed), promote the better ones, and plan the same for the
    same trials, whatever the scheduler was asked before.
    """
    for case in _cases():
        round = _Round(make, case)
        round.run(case.budget)
        if case.more:  # a study is given more trials later
            round.run(case.budget + case.more)
        round.check_end()
    _check_cost(make)


def _cases() -> Iterator[_Case]:
    yield _Case(0, steps=1, budget=1, capacity=1)
    yield _Case(1, steps=50, budget=1, capacity=4)
    yield _Case(2, steps=2, budget=3, capacity=16, direction=Direction.MAXIMIZE)
    yield _Case(3, steps=30, budget=90, capacity=1, direction=Direction.MAXIMIZE)
    yield _Case(4, steps=27, budget=60, capacity=1)
    yield _Case(5, steps=16, budget=12, capacity=3, fails=1.0)
    yield _Case(6, steps=16, budget=12, capacity=3, stops=1.0)
    rng = np.random.default_rng(20)
    for seed in range(10, 58):
        many, trouble = (int(rng.integers(2, 45)) for _ in range(2))
        yield _Case(
            seed,
            steps=int(rng.choice([3, 7, 16, 40])),
            budget=many,
            capacity=int(rng.choice([1, 2, 4, 16])),
            direction=list(Direction)[seed % 2],
            every=1 + 4 * (seed % 3 == 0),
            fails=(0.0, 0.1)[trouble % 2],
            stops=(0.0, 0.05)[trouble // 2 % 2],
            pauses=(0.0, 0.1)[trouble // 4 % 2],
            more=many // 2 if seed % 4 == 0 else 0,
        )


class _Round:
    """A round of a study in which nothing is computed: each trial has a quality, which its curve approaches."""

    def __init__(self, make: Make, case: _Case) -> None:
        self.make, self.case = make, case
        self.goal = Goal("score", case.direction)
        self.scheduler = make(self.goal, case.steps)
        self.rng = np.random.default_rng([case.seed, 1])
        self.state = Trials()
        self.trials = self.state.of("round")
        self.judged: set[int] = set()

    def require(self, sound: bool, sentence: str) -> None:
        if not sound:
            raise AssertionError(f"{type(self.scheduler).__name__}: {sentence} ({self.case})")

    def run(self, budget: int) -> None:
        plans, most = 0, 20 + 4 * budget * (self.case.steps + 2)
        while True:
            self.launch(self.planned(budget), budget)
            running = self.state.with_status(Status.RUNNING)
            if not running:
                break
            while not self.advance(running[int(self.rng.integers(len(running)))].number):
                running = self.state.with_status(Status.RUNNING)
            plans += 1
            self.require(plans < most, f"the round does not end: {most} plans for {budget} trials")
        self.require(len(self.trials) == budget, f"{budget} trials were allowed, but {len(self.trials)} were run")

    def planned(self, budget: int) -> Plan:
        """The plan, which must be the same from whoever is asked, and change nothing."""
        free = self.case.capacity - len(self.state.with_status(Status.RUNNING))
        left = budget - len(self.trials)
        given = list(self.trials)
        plan = self.scheduler.plan(given, free, left)
        self.require(given == list(self.trials), "plan() changed the sequence of trials that it was given")
        again = self.scheduler.plan(tuple(self.trials), free, left)
        self.require(plan == again, "the same trials gave another plan when asked again")
        if self.rng.random() < 0.3:
            other = self.make(self.goal, self.case.steps).plan(given, free, left)
            self.require(plan == other, "a scheduler made anew plans otherwise: it must depend on the trials only")
        self.require(self.scheduler.plan(given, 0, left) == Plan(), "something is planned although no slot is free")
        return plan

    def launch(self, plan: Plan, budget: int) -> None:
        running = self.state.with_status(Status.RUNNING)
        new = len(plan.fresh) + len(plan.copies)
        many = len(plan.resume) + new
        free, left = self.case.capacity - len(running), budget - len(self.trials)
        self.require(many <= free, f"{many} launches are planned on {free} free slots")
        self.require(new <= left, f"{new} new trials are planned, the budget allows {left}")
        for copy in plan.copies:
            self.copy(copy)
        for resume in plan.resume:
            self.require(resume.trial in self.state, f"trial {resume.trial} is resumed, which does not exist")
            trial, name = self.state[resume.trial], f"trial {resume.trial}"
            self.require(trial.status is Status.PAUSED, f"{name} is resumed though it is {trial.status}, not paused")
            self.require(resume.until > trial.step, f"{name} stands at {trial.step} and is resumed to {resume.until}")
            self.require(resume.until >= trial.until, f"{name}'s target shrinks: {trial.until} to {resume.until}")
            self.require(resume.until <= self.case.steps, f"{name} is resumed beyond the last step")
            apply(self.state, [Launched(trial.number, trial.attempt + 1, resume.until)])
        for until in plan.fresh:
            self.require(1 <= until <= self.case.steps, f"a new trial is to run to {until} of {self.case.steps} steps")
            number = self.state.next_number
            apply(self.state, [Created(number, "round", {"x": number}), Launched(number, 1, until)])

    def copy(self, copy: Copy) -> None:
        self.require(copy.parent in self.state, f"trial {copy.parent} is copied, which does not exist")
        parent, name = self.state[copy.parent], f"trial {copy.parent}"
        self.require(parent.status is Status.PAUSED, f"{name} is copied though it is {parent.status}, not paused")
        self.require(bool(parent.curve), f"{name} is copied before it has measured anything")
        sound = parent.step < copy.until <= self.case.steps
        self.require(sound, f"a copy of {name}, which stands at {parent.step}, is to run to {copy.until}")
        number = self.state.next_number
        created = Created(number, "round", {"x": number}, parent=parent.number, start=parent.step)
        apply(self.state, [created, Launched(number, 1, copy.until)])

    def advance(self, number: int) -> bool:
        """Take a running trial one measurement further; whether it ended."""
        trial, case = self.state[number], self.case
        kind = Failure(FailureKind.USER_ERROR, "simulated")
        if self.rng.random() < case.fails:
            return self.end(Ended(number, trial.attempt, Status.FAILED, kind))
        if self.rng.random() < case.pauses:
            return self.end(Ended(number, trial.attempt, Status.PAUSED))
        step = min(trial.step + case.every, trial.until)
        loss = self.quality(number) + 1.0 / step
        apply(self.state, [Measured(number, trial.attempt, Measurement(step, {"score": self.goal.value(loss)}))])
        verdict = self.judged_so(self.state[number])
        if self.rng.random() < case.stops:
            return self.end(Ended(number, trial.attempt, Status.STOPPED))
        if step == trial.until:
            return self.end(Ended(number, trial.attempt, self.settled(self.state[number])))
        if verdict is Verdict.STOP:
            self.judged.add(number)
            return self.end(Ended(number, trial.attempt, Status.STOPPED))
        return False

    def end(self, event: Ended) -> bool:
        apply(self.state, [event])
        return True

    def quality(self, number: int) -> float:
        parent = self.state[number].parent
        if parent is not None:
            return self.quality(parent)
        return float(np.random.default_rng([self.case.seed, 2, number]).random())

    def judged_so(self, trial: Trial) -> Verdict:
        verdict = self.scheduler.judge(trial, list(self.trials))
        self.require(verdict in (Verdict.GO, Verdict.STOP), f"judge() said {verdict!r}, not GO or STOP")
        self.require(self.scheduler.judge(trial, tuple(self.trials)) is verdict, "judge() said something else again")
        return verdict

    def settled(self, trial: Trial) -> Status:
        status = self.scheduler.settled(trial)
        due = Status.COMPLETED if trial.step >= self.case.steps else Status.PAUSED
        self.require(status is due, f"a trial at step {trial.step} of {self.case.steps} settled as {status}, not {due}")
        return status

    def check_end(self) -> None:
        """What must hold of a round that is over."""
        sound = [t for t in self.trials if t.status is not Status.FAILED]
        by_itself = {t.number for t in sound if t.status is Status.STOPPED} - self.judged
        ends = [t for t in sound if t.step >= self.case.steps or t.number in by_itself]
        excused = self.judged and len(sound) < len(self.trials)  # who was better failed after others were stopped
        self.require(bool(ends) or not sound or bool(excused), "no trial was brought to the last step")
        gentle = not (self.case.fails or self.case.stops or self.case.pauses)
        if gentle and self.case.capacity == 1:
            founders = [t for t in self.trials if t.parent is None]
            self.check_merit([t for t in self.trials if t.step >= self.case.steps], founders)

    def check_merit(self, done: Sequence[Trial], everyone: Sequence[Trial]) -> None:
        """Where curves do not cross, those who were let go on to the end are no worse than all are on average."""
        mean = [math.fsum(self.quality(t.number) for t in ts) / len(ts) for ts in (done, everyone)]
        self.require(mean[0] <= mean[1] + 1e-9, "the worse trials were trained to the end, not the better ones")


def _check_cost(make: Make) -> None:
    goal = Goal("score")
    for steps in (1, 16, 50):
        scheduler = make(goal, steps)
        costs = [scheduler.expected_steps(n) for n in range(1, 40)]
        for n, (a, b) in enumerate(pairwise(costs), start=1):
            if not (n <= a <= n * steps and a < b):
                raise AssertionError(
                    f"{type(scheduler).__name__}: expected_steps({n}) of {steps} steps is {a}, and of {n + 1} it is {b}"
                )


def simulate(scheduler: Scheduler, curves: Sequence[Sequence[float]], capacity: int = 1) -> Trials:
    """A round over trials whose losses a step are given, (n, steps), ``capacity`` at a time in lockstep; nothing is
    computed. What was spent is the sum of the trials' steps."""
    state = Trials()
    trials = state.of("round")
    due = True
    while True:
        if due:
            free = capacity - len(state.with_status(Status.RUNNING))
            plan = scheduler.plan(trials, free, len(curves) - len(trials))
            for r in plan.resume:
                apply(state, [Launched(r.trial, state[r.trial].attempt + 1, r.until)])
            for until in plan.fresh:
                n = state.next_number
                apply(state, [Created(n, "round", {"x": n}), Launched(n, 1, until)])
        running = state.with_status(Status.RUNNING)
        if not running:
            return state
        for t in running:
            value = scheduler.goal.value(curves[t.number][t.step])
            apply(state, [Measured(t.number, t.attempt, Measurement(t.step + 1, {scheduler.goal.metric: value}))])
        due = False
        for t in (state[r.number] for r in running):
            if t.step >= t.until:
                apply(state, [Ended(t.number, t.attempt, scheduler.settled(t))])
            elif scheduler.judge(t, trials) is Verdict.STOP:
                apply(state, [Ended(t.number, t.attempt, Status.STOPPED)])
            due = due or state[t.number].status is not Status.RUNNING
