"""Synchronous successive halving: many configurations begin, the better ones go on.

K. Jamieson, A. Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS 2016.
"""

from __future__ import annotations

from collections.abc import Sequence

from tunebook.errors import SettingError
from tunebook.schedulers.base import Plan, Resume, Scheduler, arrived, halved, rungs
from tunebook.trial import Goal, Status, Trial

MOST = 81


class HalvingScheduler(Scheduler):
    """Brackets of ``n`` trials; of those on a rung the best 1/``eta`` go on to the next, when all have arrived.

    The trials of a round are taken ``n`` by ``n`` in the order of their numbers; a bracket begins when the one before
    is finished, and the last may be smaller. ``n`` is by default as many as leave one at the end (at most 81). A trial
    that failed has arrived, and is never promoted: the next best takes its place, also if it fails after it was
    promoted. A trial that stopped by itself counts on every rung with the best it had. Raises SettingError.
    """

    def __init__(self, goal: Goal, steps: int, eta: int = 3, n: int | None = None, r_min: int | None = None) -> None:
        super().__init__(goal, steps)
        self.rungs = rungs(steps, eta, r_min)
        self.eta = eta
        self.n = min(MOST, eta ** (len(self.rungs) - 1)) if n is None else n
        if isinstance(self.n, bool) or not isinstance(self.n, int) or self.n < 1:
            raise SettingError("a bracket needs trials", where="n", got=repr(n), expected="a positive whole number")

    def plan(self, trials: Sequence[Trial], free: int, left: int) -> Plan:
        start = 0
        while start + self.n <= len(trials):
            plan = self._bracket(trials[start : start + self.n], free)
            if plan is not None:
                return plan
            start += self.n
        begun = trials[start:]
        if not left:
            return self._bracket(begun, free) or Plan()
        resume = self._onward(begun, self.rungs[0])[:free]
        fresh = max(0, min(free - len(resume), left, self.n - len(begun)))
        return Plan(resume, (self.rungs[0],) * fresh)

    def _bracket(self, members: Sequence[Trial], free: int) -> Plan | None:
        """What a bracket that gets no more trials needs; None when it is finished."""
        size = len(members)
        for k, rung in enumerate(self.rungs):
            members = members if k == 0 else self.ranked(members, self.rungs[k - 1])[: self._kept(size, k)]
            if not all(arrived(t, rung) for t in members):
                return Plan(self._onward(members, rung)[:free])
        return None

    def _kept(self, size: int, k: int) -> int:
        """How many of a bracket of ``size`` reach rung ``k``."""
        return max(1, size // int(self.eta**k))

    def _onward(self, members: Sequence[Trial], rung: int) -> tuple[Resume, ...]:
        waiting = [t for t in members if t.status is Status.PAUSED and t.step < rung]
        return tuple(Resume(t.number, rung) for t in sorted(waiting, key=lambda t: t.number))

    def expected_steps(self, n: int) -> int:
        """Steps that ``n`` trials take in all if none of them fails."""
        whole, rest = divmod(n, self.n)
        return whole * halved(self.n, self.rungs, self.eta) + halved(rest, self.rungs, self.eta)
