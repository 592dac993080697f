"""TPE: configurations that are likely among the good ones and unlikely among the others.

J. Bergstra, R. Bardenet, Y. Bengio, B. Kegl, "Algorithms for hyper-parameter optimization", NeurIPS 2011: with l(x) the
density of the good trials and g(x) that of the rest, the expected improvement grows with l(x) / g(x) (section 4.1).
Multivariate, that is with kernels over all axes at once: S. Falkner, A. Klein, F. Hutter, "BOHB", ICML 2018.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tunebook.errors import SettingError
from tunebook.samplers._belief import Belief
from tunebook.samplers._budget import level
from tunebook.samplers._kernels import Layout
from tunebook.samplers._parzen import Parzen
from tunebook.samplers._ranking import standing
from tunebook.samplers.base import History, Sampler
from tunebook.samplers.quasi import QuasiSampler
from tunebook.space import Array, Space
from tunebook.trial import Goal

Index = npt.NDArray[np.int64]

SHARPER = 4.0
MOST_GOOD = 25
MOST_NEXT, MOST_REST = 128, 128  # of the others
EVENLY = np.arange(MOST_REST)
LEAST_AT_LEVEL = 10


class TPESampler(Sampler):
    """Tree-structured Parzen estimator over all axes at once. Raises SettingError.

    The first ``startup`` configurations, counted as they are told, are quasi-random. After that the best share
    ``gamma`` of what was told (at most 25) is "good"; of ``candidates`` draws from the density of the good ones, that
    with the best ratio to the density of the others is proposed. Good trials weigh by their rank, as in CMA-ES. The
    density of the others is four times sharper: it has to push away from where they are, no farther. Of more than 256
    others the best 128 count each, and of the rest 128 for all.

    Conditions: the axes that others depend on are proposed first, by their own ratio, then the rest given these. So
    branches with many hyperparameters have no advantage over those with few, and nothing is drawn independently.
    Failed trials are never good. What is pending, and the batch so far, counts among the others ("constant liar").

    Trials with other budgets: the largest budget that at least 10 (and as many as are good) trials have reached is the
    level; those that reached it are ranked by their loss, before those that did not, and these by how far they came.
    """

    def __init__(
        self, space: Space, goal: Goal, seed: int = 0, startup: int = 10, candidates: int = 48, gamma: float = 0.2
    ) -> None:
        super().__init__(space, goal, seed)
        if startup < 1 or candidates < 1:
            raise SettingError("TPE needs a start and candidates", where="startup, candidates",
                               got=f"{startup}, {candidates}", expected="1 or more each")  # fmt: skip
        if not 0 < gamma < 1:
            raise SettingError("gamma is a share of the trials", where="gamma", got=repr(gamma), expected="0 to 1")
        self.startup, self.candidates, self.gamma = startup, candidates, gamma
        self._quasi = QuasiSampler(space, goal, seed)
        self._layout = Layout(space)
        self._belief = Belief(space)
        values = [a.parameter.size for a in space.axes]
        self._first = sorted(range(space.dim), key=lambda j: (values[j] > 0, bool(space.axes[j].when)))
        self._lower = [j for j in range(space.dim) if j not in self._layout.upper]

    def propose(self, n: int, first: int, history: History, pending: Array, rng: np.random.Generator) -> Array:
        if len(history) < self.startup or not history.feasible.any() or not self.space.dim:
            return self._belief.bent(self._quasi.points(first, n))
        best, others, counts = self._split(history)
        X, many = history.X, len(best)
        rank_weights = math.log(many + 0.5) - np.log(np.arange(1, many + 1))
        rest = X.take(others, axis=0)
        if len(pending):
            new = _without(pending, X, self._first)
            rest, counts = np.concatenate([rest, new]), np.concatenate([counts, np.ones(len(new))])
        weights = rank_weights / (rank_weights.sum() / many), counts
        both = Parzen.around(self._layout, (X.take(best, axis=0), rest), weights, (1.0, SHARPER))
        taken = [X, pending] if len(pending) else [X]
        power = self._belief.weight(len(history))
        found: list[Array] = []
        for i in range(n):
            if i:
                both = both.plus(found[-1])
                taken.append(found[-1][None])
            found.append(self._best(both, taken, power, rng))
        return np.array(found, dtype=np.float64).reshape(len(found), self.space.dim)

    def _best(self, both: Parzen, taken: Sequence[Array], power: float, rng: np.random.Generator) -> Array:
        """The candidate (d,) with the best ratio that is not taken yet (or simply the best). The ratio counts times the
        belief to a power."""
        layout, upper = self._layout, None
        if layout.upper:
            digits = both.sample_upper(self.candidates, rng)
            logs = both.upper_logs(digits)
            good, rest = both.upper_density(logs)
            ratio = good - rest
            if self._belief.any:
                told = np.full((len(digits), self.space.dim), np.nan)
                told[:, layout.columns] = layout.codes(digits)
                ratio = ratio + power * self._belief.log_density(told, layout.upper)
            best = int(np.argmax(ratio))
            upper, both = digits[best], both.given(logs[best])
        points = both.sample(self.candidates, rng, upper)
        x = points.X
        good, rest = both.log_density(points)
        ratio = good - rest
        if self._belief.any:
            ratio = ratio + power * self._belief.log_density(x, self._lower)
        first = x[ratio.argmax()]
        if not any(_among(rows, first, self._first) for rows in taken):
            return np.asarray(first)
        order = x[np.argsort(-ratio, kind="stable")]
        return np.asarray(next((y for y in order if not any(_among(rows, y, self._first) for rows in taken)), first))

    def _split(self, history: History) -> tuple[Index, Index, Array]:
        """Rows of the good ones, from the best on, of the others, and the weights of these."""
        sound, budget = history.feasible, history.budget
        many = max(1, min(MOST_GOOD, math.ceil(self.gamma * len(history)), int(sound.sum())))
        loss = standing(history)
        if history.partial:
            way = np.where(sound, np.minimum(budget, level(history, max(LEAST_AT_LEVEL, many))), -1)
            order = np.lexsort((loss, -way))
            best, rest = order[:many], order[many:]
        else:
            # what is among the best is found sooner than all are sorted
            order = loss.argpartition((many - 1, min(many + MOST_NEXT, len(loss)) - 1))
            best, rest = order[:many], order[many:]
            best = best[np.lexsort((best, loss[best]))]
        next_best, far = rest[:MOST_NEXT], rest[MOST_NEXT:]
        if len(far) <= MOST_REST:
            return best, rest, np.ones(len(rest))
        weights = np.ones(MOST_NEXT + MOST_REST)
        weights[MOST_NEXT:] = len(far) / MOST_REST
        return best, np.concatenate([next_best, far[EVENLY * len(far) // MOST_REST]]), weights


def _among(rows: Array, x: Array, first: Sequence[int]) -> bool:
    """Whether one of the rows (n, d) is the configuration x (d,), up to rounding; ``first`` are the axes to
    look at first."""
    for j in first:
        if x[j] == x[j]:  # few agree on an axis that both have
            rows = rows[np.abs(rows[:, j] - x[j]) < 1e-9]
            break
    same = (np.abs(rows - x) < 1e-9) | (np.isnan(rows) & np.isnan(x)) if len(rows) else rows
    return bool(same.all(axis=1).any())


def _without(pending: Array, X: Array, first: Sequence[int]) -> Array:
    """Pending rows that were not told yet: a trial that is resumed counts by what it has shown."""
    return pending[[not _among(X, x, first) for x in pending]] if len(pending) else pending
