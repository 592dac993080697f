"""The default: stops early where that is worth it, and says what it does and why."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from tunebook.beginnings import FEWEST, begun, jump, stuck
from tunebook.errors import many
from tunebook.schedulers.asha import AshaScheduler
from tunebook.schedulers.base import Plan, Scheduler, Verdict
from tunebook.schedulers.full import FullScheduler
from tunebook.schedulers.halving import HalvingScheduler
from tunebook.schedulers.stops import Combined, DivergenceStop, ForecastStop
from tunebook.trial import Goal, Status, Trial

SHORT = 9
WIDE = 27
NOISY = 0.7
FAR, APART = 4.0, 3.0


class AutoScheduler(Scheduler):
    """Chooses by what the training is like, from nothing but its length, the slots and the trials.

    * Fewer than 9 steps, or ``scheduled``: every trial is trained to the end. Declare trainings ``scheduled`` whose
      learning rate follows a plan over all steps (cosine, one cycle): cut short they are no short trainings.
    * 27 slots or more: synchronous halving, the slots one bracket.
    * Most trials do not get anywhere in their first sixteenth: new ones get a third of that, and only those go on that
      stand out.
    * Measurements that change as much from step to step as trials differ at the first rung: all to the end, from then.
    * Else: asynchronous halving (ASHA) by promotion, when eight have begun, and trials that diverge or will hardly beat
      the best are stopped.
    """

    def __init__(self, goal: Goal, steps: int, scheduled: bool = False) -> None:
        super().__init__(goal, steps)
        self.scheduled = scheduled
        self._full = FullScheduler(goal, steps)
        stops = (DivergenceStop(goal, steps), ForecastStop(goal, steps))
        self._asha = AshaScheduler(goal, steps)
        self._stopping = Combined(self._asha, *stops)
        self._picky = AshaScheduler(goal, steps, clear=APART)
        first = self._asha.rungs[0]
        self._picky.rungs = tuple(sorted({max(1, round(first / self._asha.eta)), *self._asha.rungs}))
        self._stuck = Combined(self._picky, *stops)

    def plan(self, trials: Sequence[Trial], free: int, left: int) -> Plan:
        chosen = self._chosen(trials, free)
        if chosen is self._stopping and len(trials) < FEWEST and left:  # of fewer nobody is known to be good
            resume = tuple(self._asha.interrupted(trials))[:free]
            return Plan(resume, (self._asha.rungs[0],) * min(free - len(resume), left))
        return chosen.plan(trials, free, left)

    def judge(self, trial: Trial, trials: Sequence[Trial]) -> Verdict:
        return self._chosen(trials, 0).judge(trial, trials)

    def _chosen(self, trials: Sequence[Trial], free: int) -> Scheduler:
        if self._whole:
            return self._full
        stuck = self.stuck(trials)
        if not stuck and self.noise(trials) > NOISY:
            return self._full
        capacity = free + sum(t.status in (Status.RUNNING, Status.WAITING) for t in trials)
        if free and capacity >= WIDE:
            return self._wide(capacity)
        return self._stuck if stuck else self._stopping

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
        if self.stuck(trials):
            return (f"More than half of the first trials got nowhere in {self._start} steps, so new ones get"
                    f" {many(self._picky.rungs[0], 'step')} first, and only those that stand out go on.")  # fmt: skip
        noise = self.noise(trials)
        if noise > NOISY:
            return (f"All trials are trained to the end: at step {self._asha.rungs[0]} a trial's measurements change by"
                    f" {noise:.1f} times what trials differ by, so stopping early would be by luck.")  # fmt: skip
        rungs = ", ".join(map(str, self._asha.rungs[:-1]))
        return (f"Trials are compared at steps {rungs}; of those at a step the best third goes on first, and a trial is"
                " stopped when it diverges or when its curve says that it will hardly beat the best.")  # fmt: skip

    def noise(self, trials: Sequence[Trial]) -> float:
        """How much a trial's measurements jump about, over how much trials differ at the first rung; 0 while fewer
        than 8 trials say something about it. The first 64 trials are looked at."""
        here = begun(trials, self._start)
        if len(here) < FEWEST:
            return 0.0
        levels = [self.loss_at(t, self._asha.rungs[0]) for t in here]
        middle = median(levels)
        # where few stand out far, that is what there is to tell apart
        spread = max(median(abs(v - middle) for v in levels) / 0.6745, (middle - min(levels)) / FAR)
        return jump(here, self.goal) / spread if spread > 0 else 0.0

    def stuck(self, trials: Sequence[Trial]) -> bool:
        """Whether most of the first trials got nowhere in their beginning: see ``beginnings.stuck``."""
        return stuck(trials, self.goal, self._start)

    @property
    def _start(self) -> int:
        """The step up to which beginnings are looked at."""
        return max(3, self._asha.rungs[0])

    @property
    def _whole(self) -> bool:
        return self.scheduled or self.steps < SHORT

    def _wide(self, capacity: int) -> HalvingScheduler:
        """Many slots afford many short beginnings: about one of them a final step."""
        first = max(1, round(self.steps / max(capacity, 1)))
        return HalvingScheduler(self.goal, self.steps, n=capacity, r_min=min(first, self._asha.rungs[0]), least=2)
