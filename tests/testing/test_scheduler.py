"""``check_scheduler`` passes what keeps the law and names what breaks it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from tunebook.schedulers.asha import AshaScheduler
from tunebook.schedulers.base import Copy, Plan, Resume, Scheduler, Verdict
from tunebook.schedulers.full import FullScheduler
from tunebook.schedulers.halving import HalvingScheduler
from tunebook.schedulers.population import PopulationScheduler
from tunebook.testing.scheduler import check_scheduler
from tunebook.trial import Goal, Status, Trial


class IgnoresTheBudget(FullScheduler):
    def plan(self, trials: Sequence[Trial], free: int, left: int) -> Plan:
        return super().plan(trials, free, 10**6)


class IgnoresTheSlots(FullScheduler):
    def plan(self, trials: Sequence[Trial], free: int, left: int) -> Plan:
        return super().plan(trials, left if free else 0, left)


class PlansWithoutASlot(FullScheduler):
    def plan(self, trials: Sequence[Trial], free: int, left: int) -> Plan:
        return super().plan(trials, max(free, 1), left)


class ResumesWhatRuns(FullScheduler):
    def plan(self, trials: Sequence[Trial], free: int, left: int) -> Plan:
        plan = super().plan(trials, free, left)
        running = [t for t in trials if t.status is Status.RUNNING]
        return Plan((Resume(running[0].number, self.steps),), plan.fresh[1:]) if running and plan.fresh else plan


class ResumesTheFailed(FullScheduler):
    def plan(self, trials: Sequence[Trial], free: int, left: int) -> Plan:
        again = [t for t in trials if t.status is Status.FAILED]
        return Plan((Resume(again[0].number, self.steps),)) if again and free else super().plan(trials, free, left)


class WaitsForTheFailed(HalvingScheduler):
    def plan(self, trials: Sequence[Trial], free: int, left: int) -> Plan:
        return super().plan([replace(t, status=Status.RUNNING) if _failed(t) else t for t in trials], free, left)


class PromotesTheWorst(HalvingScheduler):
    def __init__(self, goal: Goal, steps: int) -> None:
        super().__init__(Goal(goal.metric, "maximize" if goal.sign == 1 else "minimize"), steps)  # type: ignore[arg-type]


class ForgetsTheDirection(AshaScheduler):
    def __init__(self, goal: Goal, steps: int) -> None:
        super().__init__(Goal(goal.metric), steps)


class RemembersItsCalls(FullScheduler):
    calls = 0

    def plan(self, trials: Sequence[Trial], free: int, left: int) -> Plan:
        self.calls += 1
        return super().plan(trials, min(free, self.calls % 3 + 1) if free else 0, left)


class RemembersRounds(FullScheduler):
    """Says the same when asked again, but something else than a scheduler made anew."""

    seen: int = 0

    def plan(self, trials: Sequence[Trial], free: int, left: int) -> Plan:
        self.seen = max(self.seen, len(trials))
        return super().plan(trials, min(free, 1 + self.seen - len(trials) + (self.seen > 3)), left)

    def judge(self, trial: Trial, trials: Sequence[Trial]) -> Verdict:
        self.seen = max(self.seen, 4)
        return Verdict.GO


class SortsItsArgument(FullScheduler):
    def plan(self, trials: Sequence[Trial], free: int, left: int) -> Plan:
        if isinstance(trials, list):
            trials.sort(key=lambda t: -t.number)
        return super().plan(trials, free, left)


class GoesTooFar(FullScheduler):
    def plan(self, trials: Sequence[Trial], free: int, left: int) -> Plan:
        plan = super().plan(trials, free, left)
        return Plan(plan.resume, tuple(u + 1 for u in plan.fresh))


class NeverCompletes(FullScheduler):
    def settled(self, trial: Trial) -> Status:
        return Status.PAUSED


class NeverPromotes(FullScheduler):
    def plan(self, trials: Sequence[Trial], free: int, left: int) -> Plan:
        return Plan((), (max(1, self.steps // 2),) * min(free, left))


class StopsEverything(AshaScheduler):
    def judge(self, trial: Trial, trials: Sequence[Trial]) -> Verdict:
        return Verdict.STOP if 1 < trial.step < self.steps else Verdict.GO


class EndsEarly(HalvingScheduler):
    """One bracket and no more."""

    def plan(self, trials: Sequence[Trial], free: int, left: int) -> Plan:
        return super().plan(trials, free, max(0, min(left, self.n - len(trials))))


class CountsWrong(FullScheduler):
    def expected_steps(self, n: int) -> int:
        return self.steps


class StopsByChance(FullScheduler):
    asked = 0

    def judge(self, trial: Trial, trials: Sequence[Trial]) -> Verdict:
        self.asked += 1
        return Verdict.STOP if self.asked % 7 == 0 else Verdict.GO


class CopiesWhatRuns(PopulationScheduler):
    def plan(self, trials: Sequence[Trial], free: int, left: int) -> Plan:
        plan = super().plan(trials, free, left)
        running = [t for t in trials if t.status is Status.RUNNING and t.step < self.steps]
        return Plan((), (), (Copy(running[0].number, self.steps),)) if running and plan.fresh else plan


class CopiesBeyondTheBudget(PopulationScheduler):
    def plan(self, trials: Sequence[Trial], free: int, left: int) -> Plan:
        return super().plan(trials, free, left if len(trials) < self.n else 10**6)


class CopiesTooFar(PopulationScheduler):
    def plan(self, trials: Sequence[Trial], free: int, left: int) -> Plan:
        plan = super().plan(trials, free, left)
        return replace(plan, copies=tuple(replace(c, until=self.steps + 1) for c in plan.copies))


def _failed(trial: Trial) -> bool:
    return trial.status is Status.FAILED


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (IgnoresTheBudget, "the budget allows"),
        (IgnoresTheSlots, "free slots"),
        (PlansWithoutASlot, "no slot is free"),
        (ResumesWhatRuns, "not paused"),
        (ResumesTheFailed, "not paused"),
        (WaitsForTheFailed, "trials were allowed, but"),
        (PromotesTheWorst, "the worse trials"),
        (ForgetsTheDirection, "the worse trials"),
        (RemembersItsCalls, "another plan when asked again"),
        (RemembersRounds, "must depend on the trials only"),
        (SortsItsArgument, "changed the sequence"),
        (GoesTooFar, "is to run to"),
        (NeverCompletes, "settled as"),
        (NeverPromotes, "no trial was brought to the last step"),
        (StopsEverything, "no trial was brought to the last step"),
        (EndsEarly, "trials were allowed, but"),
        (CountsWrong, "expected_steps"),
        (StopsByChance, "something else again"),
        (CopiesWhatRuns, "copied though it is running"),
        (CopiesBeyondTheBudget, "the budget allows"),
        (CopiesTooFar, "is to run to"),
    ],
)
def test_catches(broken: Callable[[Goal, int], Scheduler], told: str) -> None:
    with pytest.raises(AssertionError, match=told):
        check_scheduler(broken)


def test_passes_a_sound_one() -> None:
    check_scheduler(FullScheduler)
