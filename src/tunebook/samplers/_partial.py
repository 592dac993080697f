"""What trials that were cut short would have come to: losses at different steps, carried to the furthest.

On every level (a step at which trials were left) there are trials that went on. How their losses there went with their
losses on the next level is a line, fitted by least squares; along it the losses of those that stayed behind are carried
on, level by level. That uses all trials at the furthest they came to, and a level counts as much as it says about the
next: where ranks on it do not last the line is flat, and where few went on it keeps close to the slope 1.

The same idea with one level only: S. Falkner, A. Klein, F. Hutter, "BOHB", ICML 2018, section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tunebook.beginnings import best_stands_out, stuck
from tunebook.goal import Goal
from tunebook.space import Array
from tunebook.trial import Trial

MOST_LEVELS = 8
DARK = 100
PRIOR = 3.0
FLATTEST, STEEPEST = 0.2, 1.5


def levels(budget: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The steps at which trials were left (of ``budget`` (n,), their furthest steps), at most eight, ascending."""
    told = np.unique(budget[budget > 0])
    if len(told) <= MOST_LEVELS:
        return told
    return np.unique(np.quantile(budget[budget > 0], np.linspace(0, 1, MOST_LEVELS), method="nearest"))


def carried(at: Array) -> Array:
    """Losses (n,) as on the last level, from the losses ``at`` (n, levels), NaN where a trial did not come to a level.

    A row without a finite loss stays NaN.
    """
    reached = ~np.isnan(at)
    last = at.shape[1] - 1
    far = np.where(reached.any(axis=1), last - reached[:, ::-1].argmax(axis=1), -1)
    out = np.full(len(at), np.nan)
    for k in range(last + 1):
        out[far == k] = at[far == k, k]
        behind = (far >= 0) & (far <= k)
        if k < last and behind.any():
            slope, shift = _line(at[:, k], at[:, k + 1])
            out[behind] = shift + slope * out[behind]
    return out


def _line(x: Array, y: Array) -> tuple[float, float]:
    """Slope and shift of what y (n,) is of x (n,), from the rows that have both.

    Selection by x, as schedulers do it, biases neither. The slope is drawn to 1 as by ``PRIOR`` trials of the usual
    spread.
    """
    both = ~(np.isnan(x) | np.isnan(y))
    if not both.any():  # nothing is known of how they compare: those behind count as at best median
        lift = np.nanmedian(y) - np.nanmin(x) if not (np.isnan(x).all() or np.isnan(y).all()) else 0.0
        return 1.0, max(0.0, float(lift))
    weight = PRIOR * float(np.var(x[~np.isnan(x)]))
    dx, dy = x[both] - x[both].mean(), y[both] - y[both].mean()
    scale = float(dx @ dx) + weight
    slope = (float(dx @ dy) + weight) / scale if scale > 0 else 1.0
    slope = min(max(slope, FLATTEST), STEEPEST)
    return slope, float(y[both].mean() - slope * x[both].mean())


def in_the_dark(trials: Sequence[Trial], goal: Goal) -> bool:
    """Whether most of fewer than 100 trials, some cut short, got nowhere and none stands out: a model would be one of
    noise."""
    if len(trials) >= DARK:
        return False
    told = sorted(trials, key=lambda t: t.number)
    start = max(3, min((t.step for t in told if len(t.curve) >= 3), default=3))
    return stuck(told, goal, start) and not best_stands_out(told, goal, start)
