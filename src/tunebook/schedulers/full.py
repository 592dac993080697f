"""Every trial is trained to the end."""

from __future__ import annotations

from collections.abc import Sequence

from tunebook.schedulers.base import Plan, Resume, Scheduler
from tunebook.trial import Status, Trial


class FullScheduler(Scheduler):
    """All trials to ``steps``, in the order of their numbers; those that were paused go on first."""

    def plan(self, trials: Sequence[Trial], free: int, left: int) -> Plan:
        stopped = Status.PAUSED  # a look-up in an Enum class for each trial would be most of the time of a long round
        paused = [t for t in trials if t.status is stopped and t.step < self.steps]
        resume = tuple(Resume(t.number, self.steps) for t in paused[:free])
        return Plan(resume, (self.steps,) * max(0, min(free - len(resume), left)))
