"""Every trial is trained to the end."""

from __future__ import annotations

from collections.abc import Sequence

from tunebook.schedulers.base import Plan, Resume, Scheduler
from tunebook.trial import Trial, paused


class FullScheduler(Scheduler):
    """All trials to ``steps``, in the order of their numbers; those that were paused go on first."""

    def plan(self, trials: Sequence[Trial], free: int, left: int) -> Plan:
        waiting = [t for t in paused(trials) if t.step < self.steps]
        resume = tuple(Resume(t.number, self.steps) for t in waiting[:free])
        return Plan(resume, (self.steps,) * max(0, min(free - len(resume), left)))
