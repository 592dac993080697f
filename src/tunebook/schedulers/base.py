"""What a scheduler is: a pure rule that says which trial goes how far.

It has no state, clock, executor or sampler: everything it decides follows from the trials of its round. Full training,
synchronous halving, ASHA, Hyperband, median stopping and population-based training are all this one type.

The law, tested by ``tunebook.testing.check_scheduler``: a study always ends; nothing is planned beyond ``free``
and ``left``; failed trials count as arrived; decisions depend on nothing but the arguments.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tunebook.errors import SettingError
from tunebook.trial import Goal, Status, Trial


class Verdict(StrEnum):
    """What ``judge`` says of a running trial."""

    GO = "go"
    STOP = "stop"


@dataclass(frozen=True)
class Resume:
    """Let a paused trial go on to step ``until``."""

    trial: int
    until: int


@dataclass(frozen=True)
class Plan:
    """What to launch now: paused trials to resume, and for each new trial its first target step."""

    resume: tuple[Resume, ...] = ()
    fresh: tuple[int, ...] = ()


class Scheduler(ABC):
    """Decides from the trials of a round (in the order of their numbers) and nothing else.

    ``steps`` is the length of a full training.
    """

    def __init__(self, goal: Goal, steps: int) -> None:
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise SettingError(
                "steps must be a positive whole number", where="steps", got=repr(steps), code="CONFIG-056"
            )
        self.goal, self.steps = goal, steps

    @abstractmethod
    def plan(self, trials: Sequence[Trial], free: int, left: int) -> Plan:
        """What to launch on ``free`` slots when the budget allows ``left`` more new trials.

        Called when something ended and at the start. An empty plan with nothing running ends the round.
        """

    def judge(self, trial: Trial, trials: Sequence[Trial]) -> Verdict:
        """Whether a running trial should go on after its latest measurement."""
        return Verdict.GO

    def settled(self, trial: Trial) -> Status:
        """What a trial is that reached its ``until``: PAUSED or COMPLETED."""
        return Status.COMPLETED if trial.step >= self.steps else Status.PAUSED
