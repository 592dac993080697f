"""Racing: trials that are measured on the same folds are compared fold by fold, and the beaten ones stopped.

O. Maron, A. Moore, "Hoeffding races", NIPS 1993; M. Birattari et al., "A racing algorithm for configuring
metaheuristics", GECCO 2002. Here the bar is learned from the trials that are complete.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.special import stdtrit

from tunebook.schedulers.stops import Stop
from tunebook.trial import Goal, Status, Trial

LEAST = 4
CHANCE = 0.02


class RaceStop(Stop):
    """Stops a trial that is further behind the best complete one, after the same steps, than complete trials ever made
    up from there: it would have to make up more than a Student t with their spread does in a share ``chance`` of cases.

    Never while fewer than ``least`` trials are complete. Losses should be means over the folds so far.
    """

    def __init__(self, goal: Goal, steps: int, chance: float = CHANCE, least: int = LEAST) -> None:
        super().__init__(goal, steps, first=1)
        self.chance, self.least = chance, least

    def stops(self, trial: Trial, trials: Sequence[Trial]) -> bool:
        done = [t for t in trials if t.status is Status.COMPLETED and t.number != trial.number]
        if len(done) < self.least:
            return False
        ends = [self._at(t, self.steps) for t in done]
        first = min(range(len(done)), key=lambda i: ends[i])
        start, end = self._at(done[first], trial.step), ends[first]
        moves = [(e - end) - (self._at(t, trial.step) - start) for t, e in zip(done, ends, strict=True)]
        sound = [m * m for i, m in enumerate(moves) if math.isfinite(m) and i != first]
        if not sound:
            return False
        behind = self._at(trial, trial.step) - start
        return behind > float(stdtrit(len(sound), 1 - self.chance)) * math.sqrt(sum(sound) / len(sound))

    def _at(self, trial: Trial, step: int) -> float:
        """The loss at the first measurement from a step on, or the last there is."""
        return self._loss(next((m for m in trial.curve if m.step >= step), trial.curve[-1]))
