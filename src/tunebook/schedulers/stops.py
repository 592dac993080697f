"""Stops: rules that end a running trial for good, by its learning curve. Trials that are not stopped run to the end.

They take no checkpoints, and compose: ``Combined(HalvingScheduler(...), DivergenceStop(...), PatienceStop(...))``.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from statistics import median
from typing import final

from tunebook.errors import SettingError, nearest
from tunebook.schedulers.base import Plan, Scheduler, Verdict
from tunebook.schedulers.forecast import Curves
from tunebook.schedulers.full import FullScheduler
from tunebook.trial import Goal, Measurement, Status, Trial

FORMS = ("average", "point")
MOST_CURVES = 200


class Stop(FullScheduler):
    """A rule that says of a running trial whether it may as well be stopped. Subclasses write ``stops``.

    It is not asked before step ``first`` (steps/16 if not given), nor at the last step. Raises SettingError.
    """

    def __init__(self, goal: Goal, steps: int, first: int | None = None) -> None:
        super().__init__(goal, steps)
        self.first = max(1, round(steps / 16)) if first is None else first
        _require("first", self.first, 1)
        self._read: dict[int, tuple[tuple[Measurement, ...], list[float], float]] = {}

    @final
    def judge(self, trial: Trial, trials: Sequence[Trial]) -> Verdict:
        asked = self.first <= trial.step < self.steps
        return Verdict.STOP if asked and self.stops(trial, trials) else Verdict.GO

    @abstractmethod
    def stops(self, trial: Trial, trials: Sequence[Trial]) -> bool:
        """Whether to stop the trial after its latest measurement; ``trials`` are all of the round, it among them."""

    def losses(self, trial: Trial) -> list[float]:
        """The loss of each measurement, inf where it is not finite."""
        return self._known_of(trial)[1]

    def best(self, trial: Trial) -> float:
        """The lowest loss so far."""
        return self._known_of(trial)[2]

    def _known_of(self, trial: Trial) -> tuple[tuple[Measurement, ...], list[float], float]:
        known = self._read.get(trial.number)
        if known is None or known[0] is not trial.curve:  # reading what did not change would only cost time
            losses = [self._loss(m) for m in trial.curve]
            known = self._read[trial.number] = (trial.curve, losses, min(losses, default=math.inf))
        return known

    def _loss(self, m: Measurement) -> float:
        return self.goal.loss(m.metrics.get(self.goal.metric, float("nan")))


class MedianStop(Stop):
    """Stops a trial whose best loss is worse than the median of what completed trials had at its step.

    ``form="average"`` compares with the running averages of their losses, all up to that step (D. Golovin et al.,
    "Google Vizier", KDD 2017, section 3.2.1), ``form="point"`` with their losses at that step. Nothing is stopped
    before ``least`` trials are complete.
    """

    def __init__(self, goal: Goal, steps: int, form: str = "average", least: int = 5, first: int | None = None) -> None:
        super().__init__(goal, steps, first)
        if form not in FORMS:
            raise SettingError("unknown form of the median", where="form", got=repr(form),
                               expected=nearest(str(form), FORMS))  # fmt: skip
        self.form, self.least = form, _require("least", least, 1)
        self._averages: dict[int, tuple[Trial, list[int], list[float]]] = {}

    def stops(self, trial: Trial, trials: Sequence[Trial]) -> bool:
        done = [t for t in trials if t.status is Status.COMPLETED]
        if len(done) < self.least:
            return False
        return self.best(trial) > median(self._at(t, trial.step) for t in done)

    def _at(self, trial: Trial, step: int) -> float:
        """What a completed trial had at a step."""
        known = self._averages.get(trial.number)
        if known is None or known[0] is not trial:  # it will not change, and is asked for at every step of every other
            losses = self.losses(trial)
            values = [s / n for n, s in enumerate(accumulate(losses), 1)] if self.form == "average" else losses
            known = self._averages[trial.number] = (trial, [m.step for m in trial.curve], values)
        _, steps, values = known
        at = bisect_right(steps, step) - 1 if self.form == "average" else bisect_left(steps, step)
        return values[min(max(at, 0), len(values) - 1)]


class PatienceStop(Stop):
    """Stops a trial that has not improved on its best loss by more than ``delta`` for ``patience`` steps (a fifth of
    the training if not given)."""

    def __init__(
        self, goal: Goal, steps: int, patience: int | None = None, delta: float = 0.0, first: int | None = None
    ) -> None:
        super().__init__(goal, steps, first)
        self.patience = _require("patience", max(1, -(-steps // 5)) if patience is None else patience, 1)
        if not delta >= 0:
            raise SettingError("delta is an improvement", where="delta", got=repr(delta), expected="0 or more")
        self.delta = delta

    def stops(self, trial: Trial, trials: Sequence[Trial]) -> bool:
        best, since = float("inf"), 0
        for m in trial.curve:
            loss = self._loss(m)
            if loss < best - self.delta or best == float("inf"):
                best, since = loss, m.step
        return trial.step - since >= self.patience


class PlateauStop(Stop):
    """Stops a trial that gained in the last ``window`` steps (a quarter of the training if not given) less than
    ``share`` of all that it has gained since its first measurement."""

    def __init__(
        self, goal: Goal, steps: int, window: int | None = None, share: float = 0.001, first: int | None = None
    ) -> None:
        super().__init__(goal, steps, first)
        self.window = _require("window", max(1, -(-steps // 4)) if window is None else window, 1)
        if not 0 <= share < 1:
            raise SettingError("share of the gain", where="share", got=repr(share), expected="0 to 1")
        self.share = share

    def stops(self, trial: Trial, trials: Sequence[Trial]) -> bool:
        before = [self._loss(m) for m in trial.curve if m.step <= trial.step - self.window]
        if not before:
            return False
        losses = self.losses(trial)
        best = min(losses)
        gain = losses[0] - best
        return gain > 0 and min(before) - best < self.share * gain


class DivergenceStop(Stop):
    """Stops a trial that has lost what it had gained: its last ``window`` losses are all worse than the first one,
    or leave less than a tenth of the way from the first to its best, while others do better at that step.

    A trial that is better than the median of the others at its step is never stopped. Losses that are not finite need
    no rule: they fail a trial.
    """

    def __init__(self, goal: Goal, steps: int, window: int = 3, first: int | None = None) -> None:
        super().__init__(goal, steps, first)
        self.window = _require("window", window, 1)

    def stops(self, trial: Trial, trials: Sequence[Trial]) -> bool:
        losses = self.losses(trial)
        if len(losses) <= self.window:
            return False
        start, best = losses[0], min(losses)
        late = losses[-self.window :]
        gone = min(late) > start if best == start else min(late) >= start - 0.1 * (start - best)
        if not gone:
            return False
        others = [t for t in trials if t.number != trial.number and t.step >= trial.step]
        others = [t for t in others if t.status is not Status.FAILED]
        return not others or losses[-1] > median(self.loss_at(t, trial.step) for t in others)


class ForecastStop(Stop):
    """Stops a trial that will hardly beat the best: whose forecast end is below the best loss of all with a probability
    of less than ``chance``.

    Never before ``first`` (a tenth of the training, at least 3 steps), never while fewer than ``least`` trials are
    complete, and never the trial that holds the best loss. The forecast is
    that of ``schedulers.forecast``, from the 200 trials that came furthest.
    """

    def __init__(self, goal: Goal, steps: int, chance: float = 0.05, least: int = 2, first: int | None = None) -> None:
        super().__init__(goal, steps, max(3, round(steps / 10)) if first is None else first)
        if not 0 < chance < 1:
            raise SettingError("chance is a probability", where="chance", got=repr(chance), expected="0 to 1")
        self.chance, self.least = chance, _require("least", least, 1)

    def stops(self, trial: Trial, trials: Sequence[Trial]) -> bool:
        told = [t for t in trials if t.curve and t.status is not Status.FAILED]
        if sum(t.step >= self.steps for t in told) < self.least:
            return False
        best = min(self.best(t) for t in told)
        if self.best(trial) <= best:
            return False
        if len(told) > MOST_CURVES:
            told = [trial, *sorted((t for t in told if t.number != trial.number), key=lambda t: (-t.step, t.number))]
            told = told[:MOST_CURVES]
        curves = Curves([([m.step for m in t.curve], self.losses(t)) for t in told], self.steps)
        which = next(i for i, t in enumerate(told) if t.number == trial.number)
        return curves.forecast(which).below(best) < self.chance


class Combined(Scheduler):
    """The first scheduler plans; a trial is stopped as soon as any of them says so. Raises SettingError."""

    def __init__(self, first: Scheduler, *stops: Scheduler) -> None:
        super().__init__(first.goal, first.steps)
        self.first, self.stops = first, stops
        if any((s.goal, s.steps) != (first.goal, first.steps) for s in stops):
            raise SettingError("schedulers of different trainings", where="Combined",
                               expected="one goal and one number of steps")  # fmt: skip

    def plan(self, trials: Sequence[Trial], free: int, left: int) -> Plan:
        return self.first.plan(trials, free, left)

    def judge(self, trial: Trial, trials: Sequence[Trial]) -> Verdict:
        stopped = any(s.judge(trial, trials) is Verdict.STOP for s in (self.first, *self.stops))
        return Verdict.STOP if stopped else Verdict.GO

    def settled(self, trial: Trial) -> Status:
        return self.first.settled(trial)

    def expected_steps(self, n: int) -> int:
        return self.first.expected_steps(n)

    def why(self, trials: Sequence[Trial]) -> str:
        return " ".join(filter(None, (s.why(trials) for s in (self.first, *self.stops))))


def _require(name: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SettingError(f"{name} is a number of steps or trials", where=name, got=repr(value),
                           expected=f"{least} or more")  # fmt: skip
    return value
