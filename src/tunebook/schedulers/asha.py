"""Asynchronous successive halving (ASHA): no worker waits for a rung to fill.

L. Li, K. Jamieson, A. Rostamizadeh, E. Gonina, M. Hardt, B. Recht, A. Talwalkar, "A system for massively parallel
hyperparameter tuning", MLSys 2020: algorithm 2 is the promotion form. The stopping form is that of Syne Tune
(D. Salinas et al., AutoML 2022), which needs no checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tunebook.beginnings import jump
from tunebook.errors import SettingError, nearest
from tunebook.schedulers.base import Plan, Resume, Scheduler, Verdict, arrived, halved, rungs
from tunebook.trial import Goal, Status, Trial

FORMS = ("promotion", "stopping")


class AshaScheduler(Scheduler):
    """A trial goes on from a rung while it is among the best 1/``eta`` of those that have been there.

    ``form="promotion"``: trials pause on a rung and are resumed when they belong to its best; new ones begin only
    where there is nobody to promote. When no new ones can come and nothing runs, the best of a rung too small to
    promote anyone goes on as well, so that one trial reaches ``steps``. ``form="stopping"``: trials run on unless they
    are judged, on reaching a rung, not to be among its best so far; what was stopped does not come back, so a few
    stopped too early are the price of needing no checkpoints.

    With ``clear`` above 0 only those are promoted that are better than the median of their rung by so many times what
    measurements jump about (``beginnings.jump``), and the best 1/``eta``**2 whatever they have.

    Failed trials count on the rungs that they were to reach, and are never promoted. A trial that stopped by itself
    counts on every rung of the promotion form with the best it had. Raises SettingError.
    """

    def __init__(
        self, goal: Goal, steps: int, eta: int = 3, r_min: int | None = None, form: str = "promotion", clear: float = 0
    ) -> None:
        super().__init__(goal, steps)
        self.rungs = rungs(steps, eta, r_min)
        self.eta, self.clear = eta, clear
        if form not in FORMS:
            raise SettingError("unknown form of ASHA", where="form", got=repr(form), expected=nearest(str(form), FORMS))
        self.form = form

    def plan(self, trials: Sequence[Trial], free: int, left: int) -> Plan:
        resume = list(self.interrupted(trials))
        if self.form == "promotion":
            resume += self._promoted(trials, least=0)
        fresh = max(0, min(free - len(resume), left))
        if not resume and not left and self.form == "promotion" and not any(_busy(t) for t in trials):
            resume = list(self._promoted(trials, least=1))
        first = self.rungs[0] if self.form == "promotion" else self.steps
        return Plan(tuple(resume[:free]), (first,) * fresh)

    def judge(self, trial: Trial, trials: Sequence[Trial]) -> Verdict:
        """In the stopping form: STOP at the first measurement on a rung if the trial is not among the best there."""
        before = trial.curve[-2].step if len(trial.curve) > 1 else 0
        crossed = [r for r in self.rungs[:-1] if before < r <= trial.step]
        if self.form == "promotion" or not crossed:
            return Verdict.GO
        rung = crossed[-1]
        here = [t for t in trials if t.step >= rung]
        mine = (self.loss_at(trial, rung), trial.number)
        better = sum((self.loss_at(t, rung), t.number) < mine for t in here)
        return Verdict.GO if better < max(1, len(here) // self.eta) else Verdict.STOP

    def expected_steps(self, n: int) -> int:
        """Steps that ``n`` trials take in all if none of them fails and ranks do not change: about, since what is
        promoted depends on the order of arrival."""
        return halved(n, self.rungs, self.eta)

    def interrupted(self, trials: Sequence[Trial]) -> Iterator[Resume]:
        """Trials that were paused before they reached their target."""
        for t in trials:
            if t.status is Status.PAUSED:
                target = max(t.until, self.rungs[0]) if self.form == "promotion" else self.steps
                if t.step < min(target, self.steps):
                    yield Resume(t.number, min(target, self.steps))

    def _promoted(self, trials: Sequence[Trial], least: int) -> Iterator[Resume]:
        """Who goes on from a rung, highest rungs first; at least ``least`` a rung are among its best."""
        bar = self.clear * jump(trials, self.goal) if self.clear and not least else 0.0
        for rung, above in reversed(list(zip(self.rungs, self.rungs[1:], strict=False))):
            here = [t for t in trials if _counts(t, rung)]
            order = self.ranked(here, rung)
            best = order[: max(least, len(here) // self.eta)]
            if bar and order:
                middle, sure = self.loss_at(order[len(order) // 2], rung), len(here) // self.eta**2
                best = best[:sure] + [t for t in best[sure:] if self.loss_at(t, rung) < middle - bar]
            resting = (t for t in best if t.status is Status.PAUSED and rung <= t.step < above and t.until <= t.step)
            yield from (Resume(t.number, above) for t in resting)


def _busy(trial: Trial) -> bool:
    return trial.status in (Status.RUNNING, Status.WAITING)


def _counts(trial: Trial, rung: int) -> bool:
    """Whether the trial is one of those that have been on the rung."""
    return trial.until >= rung if trial.status is Status.FAILED else arrived(trial, rung)
