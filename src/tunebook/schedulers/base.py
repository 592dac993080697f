"""What a scheduler is: a pure rule that says which trial goes how far.

It has no state, clock, executor or sampler: everything it decides follows from the trials of its round. Full training,
synchronous halving, ASHA, Hyperband, median stopping and population-based training are all this one type.

The law, tested by ``tunebook.testing.check_scheduler``: a study always ends; nothing is planned beyond ``free``
and ``left``; failed trials count as arrived; decisions depend on nothing but the arguments.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter
from typing import final

import numpy as np

from tunebook.errors import SettingError
from tunebook.schedulers.ahead import Means, ahead, means
from tunebook.space import Config
from tunebook.trial import Context, Goal, Measurement, Status, Trial


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
class Copy:
    """Begin a new trial from a copy of what paused trial ``parent`` has at its last step, and let it go to ``until``.

    Its configuration is what the sampler's ``explore`` makes of the parent's, and its context that of a new trial,
    unless they are given.
    """

    parent: int
    until: int
    config: Config | None = None
    context: Context | None = None


@dataclass(frozen=True)
class Plan:
    """What to launch now: paused trials to resume, for each new trial its first target step, and new trials that go on
    from a paused one. Copies are made before anything is resumed; they count as new trials of the budget."""

    resume: tuple[Resume, ...] = ()
    fresh: tuple[int, ...] = ()
    copies: tuple[Copy, ...] = ()


class Scheduler(ABC):
    """Decides from the trials of a round (in the order of their numbers) and nothing else.

    ``steps`` is the length of a full training. Of several goals the first decides, of limits those on costs do: see
    ``Goal.early``.
    """

    def __init__(self, goal: Goal, steps: int) -> None:
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise SettingError(
                "steps must be a positive whole number", where="steps", got=repr(steps), code="CONFIG-056"
            )
        self.goal, self.steps = goal.early, steps
        self._known: dict[tuple[int, int], tuple[int, Measurement, float]] = {}
        self._thirds: dict[tuple[int, int], tuple[Measurement, Means | None]] = {}

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

    def expected_steps(self, n: int) -> int:
        """Steps that ``n`` trials take in all if none of them fails; of help when a budget is planned."""
        return n * self.steps

    def why(self, trials: Sequence[Trial]) -> str:
        """In a sentence, what is done with the trials of a round and why; empty where the name says it."""
        return ""

    @final
    def loss_at(self, trial: Trial, rung: int) -> float:
        """The loss at the first measurement from step ``rung`` on (or the last there is), so that ranks compare like
        with like, however often an objective reports; inf for a failed trial."""
        if trial.status is Status.FAILED or not trial.curve:
            return math.inf
        known = self._known.get((trial.number, rung))
        if known is not None:  # what was measured does not change, so reading a curve again would only cost time
            at, m, loss = known
            if at < len(trial.curve) and trial.curve[at] is m and (m.step >= rung or at == len(trial.curve) - 1):
                return loss
        at = min(bisect_left(trial.curve, rung, key=lambda m: m.step), len(trial.curve) - 1)
        loss = trial.loss(self.goal, upto=trial.curve[at].step)
        self._known[trial.number, rung] = (at, trial.curve[at], loss)
        return loss

    @final
    def ranked(self, trials: Iterable[Trial], rung: int) -> list[Trial]:
        """The trials that did not fail, best first by what they had reached at ``rung``; ties by number."""
        sound = [(self.loss_at(t, rung), t.number, t) for t in trials if t.status is not Status.FAILED]
        return [t for _, _, t in sorted(sound, key=itemgetter(0, 1))]

    @final
    def foreseen(self, trials: Iterable[Trial], rungs: Sequence[int], k: int) -> list[Trial]:
        """The same by what they are believed to end with, from their curves up to ``rungs[k]``: see ``ahead``."""
        sound = [t for t in trials if t.status is not Status.FAILED]
        ends = {t.number: self.loss_at(t, rungs[k]) for t in sound}
        here = {t.number: m for t in sound if (m := self._means(t, rungs[k])) is not None}
        before = {t.number: m for t in sound if k and (m := self._means(t, rungs[k - 1])) is not None}
        known = [n for n in here if n in before or not before]
        if k < len(rungs) - 1 and known:
            told = np.array([here[n] for n in known])
            earlier = np.array([before[n] for n in known]) if before else None
            gains = ahead(told, earlier, (rungs[k - 1] if k else 0, rungs[k], rungs[-1]))
            for n, end in zip(known, (told[:, 3] - gains).tolist(), strict=True):
                ends[n] = min(ends[n], end)
        return sorted(sound, key=lambda t: (ends[t.number], t.number))

    def _means(self, trial: Trial, rung: int) -> Means | None:
        """The thirds of a curve up to a rung, None before it has come there; kept, as what was measured stays."""
        if trial.step < rung:
            return None
        key = trial.number, rung
        known = self._thirds.get(key)
        if known is None or known[0] is not trial.curve[0]:
            upto = trial.curve[: bisect_left(trial.curve, rung, key=lambda m: m.step) + 1]
            losses = [self.goal.loss(m.metrics.get(self.goal.metric, math.nan)) for m in upto]
            told = means([m.step for m in upto], losses, max(rung, upto[-1].step))
            known = self._thirds[key] = (trial.curve[0], told)
        return known[1]


def arrived(trial: Trial, rung: int) -> bool:
    """Whether what the trial has to say about step ``rung`` is known: it is over, rests there, or has gone beyond."""
    beyond = trial.status is Status.PAUSED or trial.until > rung
    return trial.status.over or (trial.step >= rung and beyond)


def rungs(steps: int, eta: int, r_min: int | None = None) -> tuple[int, ...]:
    """Steps at which trials are compared: ``r_min * eta**k``, and at last ``steps``.

    ``r_min`` is steps/16 if not given: ranks after less training say little. A rung so close to the end that stopping
    there would save less than the factor sqrt(eta) is left out. Raises SettingError.

    >>> rungs(50, 3)
    (3, 9, 27, 50)
    >>> rungs(30, 3, r_min=1)
    (1, 3, 9, 30)
    """
    if isinstance(eta, bool) or not isinstance(eta, int) or eta < 2:
        raise SettingError("eta must be a whole number above 1", where="eta", got=repr(eta), fix="eta=3")
    first = max(1, round(steps / 16)) if r_min is None else r_min
    if isinstance(first, bool) or not isinstance(first, int) or not 1 <= first <= steps:
        raise SettingError("r_min must be a step of the training", where="r_min", got=repr(r_min),
                           expected=f"1 to {steps}")  # fmt: skip
    out: list[int] = []
    while first * first * eta <= steps * steps or not out:
        out.append(first)
        first *= eta
    return (*out, steps) if out[-1] < steps else tuple(out)


def halved(n: int, rungs: Sequence[int], eta: int) -> int:
    """Steps in all when of ``n`` trials the best 1/``eta``, at least one, go on from each rung."""
    reach = [max(1, n // eta**k) if k else n for k in range(len(rungs))]
    return sum(many * (a - b) for many, a, b in zip(reach, rungs, (0, *rungs), strict=False)) if n else 0
