"""The default: stops early where that is worth it, and says what it does and why."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from tunebook.schedulers.asha import AshaScheduler
from tunebook.schedulers.base import Plan, Scheduler, Verdict
from tunebook.schedulers.full import FullScheduler
from tunebook.schedulers.halving import HalvingScheduler
from tunebook.schedulers.stops import Combined, DivergenceStop, ForecastStop
from tunebook.trial import Goal, Status, Trial

SHORT = 9
WIDE = 27
NOISY = 0.7
FEWEST, LOOKED_AT = 8, 64


class AutoScheduler(Scheduler):
    """Chooses by what the training is like, from nothing but its length, the slots and the trials.

    * Fewer than 9 steps, or ``scheduled``: every trial is trained to the end. Declare trainings ``scheduled`` whose
      learning rate follows a plan over all steps (cosine, one cycle): cut short they are no short trainings.
    * Measurements that change as much from step to step as trials differ at the first rung: likewise, from then on.
    * 27 slots or more: synchronous halving, the slots one bracket.
    * Else: asynchronous halving (ASHA) by promotion, and trials that diverge or will hardly beat the best are stopped.
    """

    def __init__(self, goal: Goal, steps: int, scheduled: bool = False) -> None:
        super().__init__(goal, steps)
        self.scheduled = scheduled
        self._full = FullScheduler(goal, steps)
        stops = (DivergenceStop(goal, steps), ForecastStop(goal, steps))
        self._asha = AshaScheduler(goal, steps)
        self._stopping = Combined(self._asha, *stops)

    def plan(self, trials: Sequence[Trial], free: int, left: int) -> Plan:
        if self._whole or self.noise(trials) > NOISY:
            return self._full.plan(trials, free, left)
        running = sum(t.status in (Status.RUNNING, Status.WAITING) for t in trials)
        if free + running >= WIDE:
            return self._wide(free + running).plan(trials, free, left)
        return self._stopping.plan(trials, free, left)

    def judge(self, trial: Trial, trials: Sequence[Trial]) -> Verdict:
        if self._whole or self.noise(trials) > NOISY:
            return Verdict.GO
        return self._stopping.judge(trial, trials)

    def expected_steps(self, n: int) -> int:
        """About, and for few slots: see ``AshaScheduler``."""
        return (self._full if self._whole else self._asha).expected_steps(n)

    def why(self, trials: Sequence[Trial]) -> str:
        if self.steps == 1:
            return ""
        if self.steps < SHORT:
            return f"All trials are trained to the end: {self.steps} steps are too few to judge a trial earlier."
        if self.scheduled:
            return ("All trials are trained to the end: the learning rate follows a plan over all steps, so a training"
                    " that is cut short says little about a whole one.")  # fmt: skip
        noise = self.noise(trials)
        if noise > NOISY:
            return (f"All trials are trained to the end: at step {self._asha.rungs[0]} a trial's measurements change by"
                    f" {noise:.1f} times what trials differ by, so stopping early would be by luck.")  # fmt: skip
        rungs = ", ".join(map(str, self._asha.rungs[:-1]))
        return (f"Trials are compared at steps {rungs}; of those at a step the best third goes on first, and a trial is"
                " stopped when it diverges or when its curve says that it will hardly beat the best.")  # fmt: skip

    def noise(self, trials: Sequence[Trial]) -> float:
        """How much a trial's measurements jump about, over how much trials differ at the first rung; 0 while fewer
        than 8 trials say something about it. The first 64 trials are looked at.

        The jumps are second differences (6 times the variance of independent noise), so that a slope does not count.
        """
        rung = self._asha.rungs[0]
        here = [t for t in trials[:LOOKED_AT] if t.step >= rung and t.status is not Status.FAILED and len(t.curve) >= 3]
        if len(here) < FEWEST:
            return 0.0
        jumps, levels = [], []
        for t in here:
            a, b, c = (self.goal.loss(m.metrics[self.goal.metric]) for m in t.curve[-3:])
            jumps.append(abs(a - 2 * b + c))
            levels.append(self.loss_at(t, rung))
        middle = median(levels)
        spread = median(abs(v - middle) for v in levels)
        jump = median(jumps) / 6**0.5
        return jump / spread if spread > 0 else 0.0

    @property
    def _whole(self) -> bool:
        return self.scheduled or self.steps < SHORT

    def _wide(self, capacity: int) -> HalvingScheduler:
        """Many slots afford many short beginnings: about one of them a final step."""
        first = max(1, round(self.steps / max(capacity, 1)))
        return HalvingScheduler(self.goal, self.steps, n=capacity, r_min=min(first, self._asha.rungs[0]), least=2)
