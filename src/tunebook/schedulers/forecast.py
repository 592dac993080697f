"""Where a learning curve will end: a distribution of the final loss, from how this study's other curves went on.

A method of analogues. For a curve at step t of T, every curve of the study is looked at where it had as much left to
go, in the ratio: from t' to t' T/t, best from t itself where it went to the end. Learning curves are about
self-similar in that (a power law is exactly so). What each analogue gained from there on is a draw of what this one
will gain, the likelier the more alike they are: in the gain of the last half of its way, in its level among the curves
at the same step, in t, and in how much of the way ahead was seen. A few draws of a power law that goes on, wide, stand
for what is not known while there are few analogues.

Beside freeze-thaw Gaussian processes (K. Swersky, J. Snoek, R. Adams, arXiv 1406.3896) this needs no fit, takes curves
that blow up or drop late for what they are, and is calibrated by construction where curves of the study are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tunebook.space import Array

ANCHORS = 6
DECAY = 0.5
# of the prior: what a power law goes on to gain, in gains of the last half, and a chance of the other way
PRIOR = np.concatenate([np.linspace(0.0, 3.0, 13), [-1.0, -0.3, 6.0]])
PRIOR_WEIGHT = 0.7
# a gain seen early is a bound for a later one rather than a draw of it: trainings settle sooner than power laws
SHARES = (1.0, 0.5, 0.15)
# trials that went to the end say more than earlier stretches, and leave less to what was never seen: late drops
KNOWN = 1.0
UNSEEN = np.linspace(0.05, 0.95, 10)
UNSEEN_WEIGHT = 0.05
BEYOND = 0.3


@dataclass(frozen=True)
class Forecast:
    """Weighted draws of the loss at the end: ``values`` (d,) ascending, ``weights`` (d,) that sum to one."""

    values: Array
    weights: Array

    @property
    def mean(self) -> float:
        return float(self.weights @ self.values)

    @property
    def sd(self) -> float:
        return float(np.sqrt(self.weights @ (self.values - self.mean) ** 2))

    def quantile(self, level: float) -> float:
        """The loss below which the end is with probability ``level``."""
        middle = np.cumsum(self.weights) - 0.5 * self.weights
        return float(np.interp(level, middle, self.values))

    def below(self, loss: float) -> float:
        """The probability that the end is below ``loss``."""
        middle = np.cumsum(self.weights) - 0.5 * self.weights
        return float(np.interp(loss, self.values, middle, left=0.0, right=1.0))


class Curves:
    """The curves of a study on a grid of steps (in log of the step), to forecast from.

    ``curves`` are (steps, losses) pairs, steps ascending; ``steps`` is the length of a full training. Losses that are
    not finite count as the worst finite one. A curve may be empty.
    """

    def __init__(self, curves: Sequence[tuple[Sequence[int], Sequence[float]]], steps: int) -> None:
        self.steps = steps
        self.last = np.array([s[-1] if len(s) else 0 for s, _ in curves], dtype=np.float64)
        told = np.array([v for _, losses in curves for v in losses], dtype=np.float64)
        finite = told[np.isfinite(told)]
        self.worst = float(finite.max()) if len(finite) else 0.0
        self.scale = _spread(finite)
        self.grid = np.arange(1, steps + 1, dtype=np.float64)
        self.table = np.full((len(curves), steps), np.nan)
        for i, (s, losses) in enumerate(curves):
            if len(s):
                upto = min(int(s[-1]), steps)
                v = np.array(losses, dtype=np.float64)
                v[~np.isfinite(v)] = self.worst
                self.table[i, :upto] = np.interp(self.grid[:upto], s, v)
        self.middle = _medians(self.table)
        self.whole = float((self.last >= steps).sum())
        self.lowest = float(np.nanmin(self.table)) if len(finite) else 0.0
        self.gained = max((float(self.middle[0]) - self.lowest) / self.scale, 0.1)

    def _at(self, rows: Array, steps: Array) -> Array:
        """Losses (n,) of rows (n,) at steps (n,), by interpolation."""
        low = np.clip(np.floor(steps), 1, self.steps).astype(np.int64)
        high = np.clip(low + 1, 1, self.steps)
        part = np.clip(steps - low, 0.0, 1.0)
        a, b = self.table[rows, low - 1], self.table[rows, high - 1]
        return np.asarray(np.where(part > 1e-9, a + part * (b - a), a))

    def _features(self, rows: Array, steps: Array) -> Array:
        """(n, 2): the gain since half of the way, and the level among the curves there, in units of the spread."""
        now = self._at(rows, steps)
        before = self._at(rows, np.maximum(1.0, steps / 2))
        middle = np.interp(steps, self.grid, self.middle)
        return np.asarray(np.column_stack([before - now, now - middle]) / self.scale)

    def forecast(self, which: int, step: int | None = None) -> Forecast:
        """The end of curve ``which``, seen up to ``step`` (its last if not given). It must not be empty."""
        t = float(self.last[which] if step is None else step)
        now = float(self.table[which, int(t) - 1])
        if t >= self.steps:
            return Forecast(np.array([now]), np.ones(1))
        ratio = self.steps / t
        me = self._features(np.array([which]), np.array([t]))[0]
        gains, weights = self._draws(which, t, ratio, me)
        usual = PRIOR * max(me[0], 0.02) * _stretch(ratio, 2.0)
        gains = np.concatenate([gains, usual])
        weights = np.concatenate([weights, np.full(len(PRIOR), PRIOR_WEIGHT / len(PRIOR))])
        # nobody gets far below what the best of all has reached
        room = max((now - self.lowest) / self.scale, 0.0) + BEYOND * self.gained
        gains = np.where(gains > 0, room * np.tanh(gains / room), gains)
        unseen = UNSEEN_WEIGHT / (1 + self.whole / 3)
        gains = np.concatenate([gains, room * UNSEEN])
        weights = np.concatenate([(1 - unseen) * weights / weights.sum(), np.full(len(UNSEEN), unseen / len(UNSEEN))])
        ends = now - gains * self.scale
        order = np.argsort(ends, kind="stable")
        return Forecast(ends[order], weights[order])

    def _draws(self, which: int, t: float, ratio: float, me: Array) -> tuple[Array, Array]:
        """Gains that analogues made, in units of the spread, and how alike each is."""
        rows, starts, ends = self._analogues(which, t, ratio)
        seen = ends / starts
        gain = _stretch(ratio, seen) * (self._at(rows, starts) - self._at(rows, ends)) / self.scale
        far = np.log(ratio / seen) ** 2 / 0.5 + np.log(t / starts) ** 2 / 2.0
        apart = (_squash(self._features(rows, starts)) - _squash(me)) / np.array([0.25, 0.5])
        weight = np.exp(-0.5 * (apart**2).sum(axis=1) - far)
        whole = ends >= self.steps
        weight = np.where(whole, weight, weight / (1 + self.whole / KNOWN)) / len(SHARES)
        shares = np.where(whole, 1.0, np.array(SHARES)[:, None])
        return (shares * gain).ravel(), np.tile(weight, len(SHARES))

    def _analogues(self, which: int, t: float, ratio: float) -> tuple[Array, Array, Array]:
        """Rows and steps from and to which they are looked at."""
        every = np.arange(len(self.table))
        others = every != which
        done = every[(self.last >= self.steps) & others]
        found = [(done, np.full(len(done), t), np.full(len(done), float(self.steps)))]
        for share in np.geomspace(1.0, 0.3, ANCHORS):
            end = np.where(others, self.last, t) * share
            start = np.maximum(end / ratio, 1.0)
            sound = (end >= 1.3 * start) & (end >= 2) & (self.last < self.steps)
            found.append((every[sound], start[sound], end[sound]))
        rows, starts, ends = (np.concatenate(part) for part in zip(*found, strict=True))
        return rows, starts, ends


def _stretch(ratio: float, seen: Array | float) -> Array:
    """How much more a power law gains over ``ratio`` than over ``seen``."""
    return np.asarray((1 - ratio**-DECAY) / (1 - seen**-DECAY))


def _squash(x: Array) -> Array:
    return np.asarray(np.arcsinh(3 * x))


def _spread(values: Array) -> float:
    """The middle 80 % of the losses, wide enough to divide by."""
    if len(values) < 2:
        return 1.0
    low, high = np.quantile(values, [0.1, 0.9])
    return float(max(high - low, 1e-9 * max(1.0, abs(float(high))), 1e-300))


def _medians(table: Array) -> Array:
    """The median of each column of those that have it; beyond the last curve the last one."""
    many = np.sum(~np.isnan(table), axis=0)
    upto = int(np.sum(many > 0))
    if not upto:
        return np.zeros(table.shape[1])
    ordered = np.sort(table[:, :upto], axis=0)
    column, low, high = np.arange(upto), (many[:upto] - 1) // 2, many[:upto] // 2
    out = 0.5 * (ordered[low, column] + ordered[high, column])
    return np.concatenate([out, np.full(table.shape[1] - upto, out[-1])])


@dataclass(frozen=True)
class Fan:
    """Where a curve is foreseen to go: at ``steps`` (p,) the median and a 90 % interval, all (p,), as losses."""

    steps: tuple[int, ...]
    low: tuple[float, ...]
    middle: tuple[float, ...]
    high: tuple[float, ...]


def fan(curves: Sequence[tuple[Sequence[int], Sequence[float]]], which: int, steps: int, points: int = 8) -> Fan:
    """The forecast of a curve from its last step on, which is where the fan opens, to ``steps``."""
    at, losses = curves[which]
    here, now = int(at[-1]), float(losses[-1])
    ahead = np.unique(np.geomspace(here + 1, max(steps, here + 1), points).astype(np.int64)).tolist()
    ahead = [step for step in ahead if step <= steps]
    told = [Curves(curves, step).forecast(which) for step in ahead]
    low, middle, high = ((now, *(f.quantile(level) for f in told)) for level in (0.05, 0.5, 0.95))
    return Fan((here, *ahead), low, middle, high)
