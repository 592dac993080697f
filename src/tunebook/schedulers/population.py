"""Population-based training: trials train side by side, and the worst go on from copies of the best.

M. Jaderberg, V. Dalibard, S. Osindero, W. Czarnecki, J. Donahue, A. Razavi, O. Vinyals, T. Green, I. Dunning,
K. Simonyan, C. Fernando, K. Kavukcuoglu, "Population based training of neural networks", arXiv 1711.09846 (2017):
truncation selection (section 4.1.1). How a copy's configuration differs is the sampler's part (``Sampler.explore``).
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunebook.errors import SettingError
from tunebook.schedulers.base import Copy, Plan, Resume, Scheduler
from tunebook.space import Config
from tunebook.trial import Context, Goal, Status, Trial


class PopulationScheduler(Scheduler):
    """Populations of ``n`` trials, which are compared every ``interval`` steps (a tenth of the training if not given).

    At each comparison, when all have arrived, the worst ``share`` by their latest loss are left behind, and as many
    new trials begin from copies of the best ``share``, each the best one first. What failed or ended early is left
    behind first. Copies are new trials of the budget: when it allows no more, all train on to the end. Another
    population begins when the one before is finished, as long as new trials may come.

    A trial can only be copied from a checkpoint: the objective has to save one in ``run.folder``. Raises SettingError.
    """

    def __init__(
        self, goal: Goal, steps: int, n: int = 8, interval: int | None = None, share: float = 0.25
    ) -> None:
        super().__init__(goal, steps)
        self.n, self.share = n, share
        self.interval = max(1, round(steps / 10)) if interval is None else interval
        for name, value in (("n", self.n), ("interval", self.interval)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise SettingError(f"{name} of a population", where=name, got=repr(value), expected="1 or more")
        if not 0 < share <= 0.5:
            raise SettingError("the share that is replaced", where="share", got=repr(share), expected="0 to 0.5")
        self.marks = (*range(self.interval, steps, self.interval), steps)

    def plan(self, trials: Sequence[Trial], free: int, left: int) -> Plan:
        if free < 1:
            return Plan()
        founders = [t for t in trials if t.parent is None]
        for start in range(0, len(founders) + 1, self.n):
            first = founders[start : start + self.n]
            if len(first) < self.n and left:
                resume = self._onward(first, self.marks[0])[:free]
                fresh = max(0, min(free - len(resume), left, self.n - len(first)))
                return Plan(resume, (self.marks[0],) * fresh)
            plan = self._population(first, trials, free, left)
            if plan is not None:
                return plan
        return self._rescued(trials)

    def _rescued(self, trials: Sequence[Trial]) -> Plan:
        """Where all died who were not left behind, the one of those that came furthest goes on to the end."""
        if any(t.step >= self.steps or t.status in (Status.RUNNING, Status.WAITING) for t in trials):
            return Plan()
        left = [t for t in trials if t.status is Status.PAUSED]
        first = sorted(left, key=lambda t: (-t.step, self._at(t, t.step), t.number))[:1]
        return Plan(tuple(Resume(t.number, self.steps) for t in first))

    def _population(self, members: list[Trial], trials: Sequence[Trial], free: int, left: int) -> Plan | None:
        """What a whole population needs next; None when it is finished."""
        family = {t.number for t in members}
        for mark, following in zip(self.marks, (*self.marks[1:], None), strict=True):
            if any(t.status in (Status.RUNNING, Status.WAITING) and t.until <= mark for t in members):
                return Plan(self._onward(members, mark)[:free])
            waiting = self._onward(members, mark)
            if waiting:
                return Plan(waiting[:free])
            if following is None:
                return None
            copies = [t for t in trials if t.parent in family and t.start == mark]
            going = any(t.until > mark for t in members)
            worst, best = self._selected(members, mark)
            wanted = [] if going else self._wanted(worst, best, len(copies), following)
            if wanted and left:
                return Plan((), (), tuple(wanted[: min(free, left)]))
            replaced = {t.number for t in worst[: len(copies)]}
            members = [t for t in members if t.number not in replaced and self._alive(t, mark)] + copies
            family |= {t.number for t in copies}
        return None

    def _selected(self, members: Sequence[Trial], mark: int) -> tuple[list[Trial], list[Trial]]:
        """Who is left behind at a mark, the worst first, and whose place they take, the best first."""
        gone = [t for t in members if not self._alive(t, mark)]
        alive = sorted((self._at(t, mark), t.number, t) for t in members if self._alive(t, mark))
        sound = [t for _, _, t in alive]
        many = math.floor(len(members) * self.share)
        best = sound[: max(1, many)]
        worst = (gone + [t for t in reversed(sound) if t not in best])[: max(many, len(gone))]
        return (worst, best) if best else ([], [])

    def _wanted(self, worst: Sequence[Trial], best: Sequence[Trial], done: int, until: int) -> list[Copy]:
        donors = [t for t in best if t.status is Status.PAUSED]
        if not donors:
            return []
        return [Copy(donors[i % len(donors)].number, until) for i in range(done, len(worst))]

    def _alive(self, trial: Trial, mark: int) -> bool:
        """Whether a trial came to a mark and could go on from there, whatever became of it later."""
        return trial.step >= mark and not (trial.status.over and trial.until <= mark)

    def _at(self, trial: Trial, mark: int) -> float:
        """The latest loss at a mark: what a population is compared by is where it is, not what it once had."""
        at = bisect_right(trial.curve, mark, key=lambda m: m.step) - 1
        return self.goal.loss(trial.curve[at].metrics[self.goal.metric]) if at >= 0 else math.inf

    def _onward(self, members: Iterable[Trial], mark: int) -> tuple[Resume, ...]:
        waiting = [t for t in members if t.status is Status.PAUSED and t.step < mark]
        return tuple(Resume(t.number, mark) for t in sorted(waiting, key=lambda t: t.number))

    def expected_steps(self, n: int) -> int:
        """About: copies train in the place of those that are left behind, and count here as one step each."""
        copied = math.floor(self.n * self.share) * (len(self.marks) - 1)
        whole, rest = divmod(n, self.n + copied)
        return whole * (self.n * self.steps + copied) + min(rest, self.n) * self.steps + max(0, rest - self.n)

    def why(self, trials: Sequence[Trial]) -> str:
        many = math.floor(self.n * self.share)
        return (f"{self.n} trials train side by side; every {self.interval} steps the worst {many} go on from copies of"
                " the best with hyperparameters changed a little.")  # fmt: skip


# the schedule that was found


@dataclass(frozen=True)
class Stretch:
    """A configuration, from after step ``start`` to step ``until``."""

    start: int
    until: int
    config: Config


def schedule_of(trials: Mapping[int, Trial] | Sequence[Trial], number: int) -> tuple[Stretch, ...]:
    """The configurations that led to a trial, along its parents, from step 0 to its last. Raises SettingError."""
    by = dict(trials) if isinstance(trials, Mapping) else {t.number: t for t in trials}
    if number not in by:
        raise SettingError("no such trial", where="schedule_of", got=str(number))
    out: list[Stretch] = []
    at: int | None = number
    until = by[number].step
    while at is not None:
        t = by[at]
        out.append(Stretch(t.start, until, dict(t.config)))
        at, until = t.parent, t.start
    return tuple(reversed(out))


def save_schedule(schedule: Sequence[Stretch], path: Path) -> None:
    """Write a schedule as JSON: a list of {"start", "until", "config"}."""
    rows = [{"start": s.start, "until": s.until, "config": dict(s.config)} for s in schedule]
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def load_schedule(path: Path) -> tuple[Stretch, ...]:
    """Read what ``save_schedule`` wrote. Raises SettingError."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return checked(tuple(Stretch(int(r["start"]), int(r["until"]), dict(r["config"])) for r in rows))
    except (OSError, ValueError, KeyError, TypeError) as bad:
        raise SettingError("this is no schedule", where=str(path), got=str(bad),
                           expected='a list of {"start", "until", "config"}') from bad  # fmt: skip


def checked(schedule: tuple[Stretch, ...]) -> tuple[Stretch, ...]:
    """The schedule, if its stretches follow each other from step 0 on. Raises SettingError."""
    at = 0
    for s in schedule:
        if s.start != at or s.until <= s.start:
            raise SettingError("the stretches of a schedule follow each other", where="schedule",
                               got=f"steps {s.start} to {s.until}", expected=f"from step {at} on")  # fmt: skip
        at = s.until
    if not schedule:
        raise SettingError("a schedule is empty", where="schedule")
    return schedule


class ReplayScheduler(Scheduler):
    """Trains along a schedule that was found: each stretch is a trial that goes on from a copy of the one before.

    ``Search.runs`` is to be ``runs(context)``; a replay takes as many trials as there are stretches.

    Raises SettingError.
    """

    def __init__(self, goal: Goal, steps: int, schedule: Sequence[Stretch]) -> None:
        super().__init__(goal, steps)
        self.schedule = checked(tuple(schedule))
        if self.schedule[-1].until > steps:
            raise SettingError("the schedule is longer than the training", where="schedule",
                               got=str(self.schedule[-1].until), expected=f"at most {steps}")  # fmt: skip

    def runs(self, context: Context) -> tuple[tuple[Config, Context], ...]:
        """What the study lists: all stretches, as it makes no more trials than it has runs."""
        return tuple((s.config, context) for s in self.schedule)

    def plan(self, trials: Sequence[Trial], free: int, left: int) -> Plan:
        last = trials[-1] if trials else None
        if free < 1 or (last is not None and last.status is Status.RUNNING):
            return Plan()
        if last is not None and last.status is Status.PAUSED:
            # a stretch may have been cut short by a budget of steps
            until = next((s.until for s in self.schedule if s.start == last.start), last.step)
            if last.step < until:
                return Plan((Resume(last.number, until),))
            following = [s for s in self.schedule if s.start == last.step]
            if following:
                return Plan((), (), (Copy(last.number, following[0].until, following[0].config, last.context),)[:left])
        return Plan((), (self.schedule[0].until,)[:left])
