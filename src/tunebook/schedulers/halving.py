"""Synchronous successive halving: many configurations begin, the better ones go on. Hyperband: several such brackets.

K. Jamieson, A. Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS 2016.
L. Li, K. Jamieson, G. DeSalvo, A. Rostamizadeh, A. Talwalkar, "Hyperband", JMLR 18 (2018), algorithm 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

from tunebook.errors import SettingError
from tunebook.schedulers.base import Plan, Resume, Scheduler, arrived, halved, rungs
from tunebook.trial import Goal, Status, Trial

MOST = 81


@dataclass(frozen=True)
class Bracket:
    """``n`` trials begin; on each of the ``rungs`` the best 1/``eta`` of them go on to the next."""

    n: int
    rungs: tuple[int, ...]


class _Brackets(Scheduler):
    """Brackets one after the other, the given ones again and again.

    The trials of a round fill them in the order of their numbers; a bracket begins when the one before is finished,
    and the last may be smaller. Of those on a rung the best 1/``eta`` go on to the next, when all have arrived. A trial
    that failed has arrived, and is never promoted: the next best takes its place, also if it fails after it was
    promoted. A trial that stopped by itself counts on every rung with the best it had.
    """

    def __init__(self, goal: Goal, steps: int, eta: int, brackets: Sequence[Bracket], least: int = 1) -> None:
        super().__init__(goal, steps)
        self.eta, self.brackets, self.least = eta, tuple(brackets), least
        self.ahead = least > 1

    def plan(self, trials: Sequence[Trial], free: int, left: int) -> Plan:
        start = 0
        for bracket in cycle(self.brackets):
            members = trials[start : start + bracket.n]
            if len(members) < bracket.n and left:
                resume = _onward(members, bracket.rungs[0])[:free]
                fresh = max(0, min(free - len(resume), left, bracket.n - len(members)))
                return Plan(resume, (bracket.rungs[0],) * fresh)
            plan = self._within(members, bracket.rungs, free)
            if plan is not None or not members:
                return plan or Plan()
            start += bracket.n
        raise AssertionError("a cycle has no end")

    def _within(self, members: Sequence[Trial], rungs: Sequence[int], free: int) -> Plan | None:
        """What a bracket that gets no more trials needs; None when it is finished."""
        size = len(members)
        for k, rung in enumerate(rungs):
            if k:
                order = self.foreseen(members, rungs, k - 1) if self.ahead else self.ranked(members, rungs[k - 1])
                members = order[: self._kept(size, k, len(rungs))]
            if not all(arrived(t, rung) for t in members):
                return Plan(_onward(members, rung)[:free])
        return None

    def _kept(self, size: int, k: int, rungs: int) -> int:
        """How many of a bracket of ``size`` come to rung ``k`` of ``rungs``."""
        return max(self.least + (rungs - 1 - k if self.least > 1 else 0), size // int(self.eta**k))

    def expected_steps(self, n: int) -> int:
        """Steps that ``n`` trials take in all if none of them fails (about, with ``least`` above 1)."""
        return sum(halved(many, bracket.rungs, self.eta) for many, bracket in self._filled(n))

    def _filled(self, n: int) -> Iterator[tuple[int, Bracket]]:
        for bracket in cycle(self.brackets):
            if n <= 0:
                return
            yield min(n, bracket.n), bracket
            n -= bracket.n


def _onward(members: Sequence[Trial], rung: int) -> tuple[Resume, ...]:
    waiting = [t for t in members if t.status is Status.PAUSED and t.step < rung]
    return tuple(Resume(t.number, rung) for t in sorted(waiting, key=lambda t: t.number))


class HalvingScheduler(_Brackets):
    """Brackets of ``n`` trials, all from the first rung on.

    ``n`` is by default as many as leave one at the end (at most 81). With ``least`` above 1 so many come to the end,
    and one more to each rung before it, and trials are compared by where their curves are going (see ``ahead``): where
    curves cross, ranks near the end are worth most. Raises SettingError.
    """

    def __init__(
        self, goal: Goal, steps: int, eta: int = 3, n: int | None = None, r_min: int | None = None, least: int = 1
    ) -> None:
        self.rungs = rungs(steps, eta, r_min)
        self.n = min(MOST, eta ** (len(self.rungs) - 1)) if n is None else n
        if isinstance(self.n, bool) or not isinstance(self.n, int) or self.n < 1:
            raise SettingError("a bracket needs trials", where="n", got=repr(n), expected="a positive whole number")
        super().__init__(goal, steps, eta, (Bracket(self.n, self.rungs),), least)


class HyperbandScheduler(_Brackets):
    """Brackets that begin on every rung in turn, each of about the same cost: many trials that are judged early, down
    to a few that are trained to the end, in case early ranks mislead. ``r_min`` is 1 as in the paper. Raises
    SettingError.
    """

    def __init__(self, goal: Goal, steps: int, eta: int = 3, r_min: int = 1) -> None:
        self.rungs = rungs(steps, eta, r_min)
        last = len(self.rungs) - 1
        # the paper's n = ceil((s_max + 1) / (s + 1) * eta^s) with s + 1 rungs in a bracket
        sizes = [-(-(last + 1) * eta**s // (s + 1)) for s in range(last, -1, -1)]
        super().__init__(goal, steps, eta, [Bracket(n, self.rungs[k:]) for k, n in enumerate(sizes)])
