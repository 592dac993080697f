"""Freeze-thaw: pause every training after a little, and go on with what is expected to gain the most by a step.

After K. Swersky, J. Snoek, R. P. Adams, "Freeze-thaw Bayesian optimization", arXiv 1406.3896, with the forecasts of
``schedulers.forecast`` in place of their Gaussian process.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tunebook.schedulers.base import Plan, Resume, Scheduler, arrived, halved, rungs
from tunebook.schedulers.forecast import Curves, Forecast
from tunebook.trial import Goal, Status, Trial

LEADERS = 1
RECENT, FEWEST = 2, 4
MOST = 60


class FreezeThawScheduler(Scheduler):
    """Of the trials that lead on each rung, that goes on to its next rung whose forecast end is expected to improve on
    the best loss of all by the most for each step that is left to it; a new one begins where the last two, on the
    first rung, were expected to improve by more for each step of a whole training.

    Where pausing and resuming is cheap. While nothing is forecast to improve, new ones begin. When no new ones can come
    and nobody has come to the end, the best goes on. Rungs begin at steps/16 and grow by ``eta``. Raises SettingError.
    """

    def __init__(self, goal: Goal, steps: int, eta: int = 3, r_min: int | None = None) -> None:
        super().__init__(goal, steps)
        self.rungs, self.eta = rungs(steps, eta, r_min), eta
        self._last: tuple[list[tuple[int, int, Status]], list[Resume]] = ([], [])

    def plan(self, trials: Sequence[Trial], free: int, left: int) -> Plan:
        resume = [Resume(t.number, t.until) for t in trials if t.status is Status.PAUSED and t.step < t.until]
        if free > len(resume):
            resume += self._thawed(trials, free - len(resume), left)
        fresh = max(0, min(free - len(resume), left))
        return Plan(tuple(resume[:free]), (self.rungs[0],) * fresh)

    def expected_steps(self, n: int) -> int:
        """About: what goes on depends on the curves."""
        return halved(n, self.rungs, self.eta)

    def _thawed(self, trials: Sequence[Trial], most: int, left: int) -> list[Resume]:
        """Who goes on, the most promising first."""
        resting = [t for t in trials if t.status is Status.PAUSED and t.until <= t.step < self.steps and t.curve]
        busy = any(t.status in (Status.RUNNING, Status.WAITING) for t in trials)
        if not left:
            done = any(t.step >= self.steps or t.status is Status.STOPPED for t in trials)
            if busy or done or not resting:
                return []
            return [Resume(min(resting, key=self._place).number, self.steps)]
        known = [(t.number, t.step, t.status) for t in trials]
        if known != self._last[0]:  # asked again of the same trials, the answer is the same
            self._last = known, self._promising(trials, resting)
        return self._last[1][:most]

    def _promising(self, trials: Sequence[Trial], resting: Sequence[Trial]) -> list[Resume]:
        """Who is expected to improve on the best by more than a new one would, a step."""
        leaders = self._leaders(resting)
        begun = [t for t in trials if t.curve and t.status is not Status.FAILED and arrived(t, self.rungs[0])]
        if not leaders or len(begun) < FEWEST:
            return []
        told = sorted(begun, key=lambda t: (-t.step, t.number))[:MOST]
        curves = Curves([([m.step for m in t.curve], self._losses(t)) for t in told], self.steps)
        best, at = curves.lowest, {t.number: i for i, t in enumerate(told)}
        news = [_gain(curves.forecast(at[t.number], self._first(t)), best) for t in begun[-RECENT:] if t.number in at]
        bar = sum(news) / max(1, len(news)) / self.steps
        known = [(curves.forecast(at[t.number]), t) for t in leaders if t.number in at]
        gains = [(_gain(forecast, best) / (self.steps - t.step), t) for forecast, t in known]
        worth = sorted((w for w in gains if w[0] > bar), key=lambda w: (-w[0], w[1].number))
        return [Resume(t.number, next(r for r in self.rungs if r > t.step)) for _, t in worth]

    def _leaders(self, resting: Sequence[Trial]) -> list[Trial]:
        """The best few of those that rest between two rungs; more forecasts would only take time."""
        out = []
        for low, high in zip(self.rungs, self.rungs[1:], strict=False):
            here = [t for t in resting if low <= t.step < high]
            out += self.ranked(here, low)[:LEADERS]
        return out

    def _first(self, trial: Trial) -> int:
        """The first rung, or as far as the trial came before it was over."""
        return min(max(self.rungs[0], trial.curve[0].step), trial.step)

    def _losses(self, trial: Trial) -> list[float]:
        return [self.goal.loss(m.metrics.get(self.goal.metric, math.nan)) for m in trial.curve]

    def _place(self, trial: Trial) -> tuple[float, int]:
        return trial.loss(self.goal), trial.number


def _gain(forecast: Forecast, best: float) -> float:
    """The expected improvement on a loss."""
    return float(forecast.weights @ (best - forecast.values).clip(min=0.0))
