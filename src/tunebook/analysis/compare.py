"""Is one configuration better than another? Differences of means over seeds or folds, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from tunebook.errors import SettingError
from tunebook.space import Array
from tunebook.trial import Goal

MOST_SEEDS = 1000


@dataclass(frozen=True)
class Comparison:
    """``difference`` is mean(a) - mean(b) in units of the metric, [``low``, ``high``] its interval at ``level``.

    ``separable``: the interval excludes 0. ``better``: "a", "b" or "" by the means. ``p`` is two-sided. ``needed`` is
    the number of values on each side with which the interval would exclude 0 if mean and spread stayed as they are
    (0: already so; -1: more than 1,000, or unknown). ``paired``: values were taken pair by pair.
    """

    difference: float
    low: float
    high: float
    level: float
    p: float
    separable: bool
    better: str
    needed: int
    a: int
    b: int
    paired: bool

    @property
    def adopt(self) -> bool:
        """Whether ``a`` is better than ``b`` by more than chance would explain."""
        return self.separable and self.better == "a"


def compare(
    a: Sequence[float],
    b: Sequence[float],
    goal: Goal,
    level: float = 0.95,
    *,
    paired: bool = False,
    looks: int = 1,
    overlap: float = 0.0,
) -> Comparison:
    """Compare the metric of two configurations over fresh seeds or folds; never one chosen for its value.

    ``paired``: a[i] and b[i] share seed, fold and data order (equal lengths): a paired t interval, else Welch's.
    Pairing pays where seeds move both alike, and costs degrees of freedom where they do not. ``looks``: how often the
    comparison may be repeated as seeds come in ("until separable"); each look is then made at 1 - (1 - level) / looks,
    which keeps the chance of ever being wrong below 1 - level. ``overlap``: of paired scores on parts of one data set,
    rows of a test part over those of its training part; training parts have rows in common, so the variance of the mean
    is (1/n + overlap) times that of the differences (C. Nadeau and Y. Bengio, "Inference for the generalization error",
    Machine Learning 52, 2003, section 3).

    With fewer than two values on a side nothing is separable. Equal values throughout (a deterministic objective) are
    told apart by any difference.

    >>> compare([0.91, 0.93, 0.92], [0.80, 0.82, 0.84], Goal("accuracy", "maximize")).separable
    True
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if paired and len(x) != len(y):
        raise SettingError("paired values come in pairs", where="compare", got=f"{len(x)} and {len(y)} values")
    if not 0.0 < level < 1.0 or looks < 1:
        raise SettingError("level must lie between 0 and 1, looks be 1 or more", got=f"level={level}, looks={looks}")
    bar = 1.0 - (1.0 - level) / looks
    if paired:
        difference, error, dof = _paired(x - y, overlap)
    else:
        difference, error, dof = _welch(x, y)
    half = _half(error, dof, bar)
    p = _p_value(difference, error, dof)
    apart = bool(math.isfinite(half) and abs(difference) > half)
    loss = goal.sign * difference
    return Comparison(
        difference=difference,
        low=difference - half,
        high=difference + half,
        level=bar,
        p=p,
        separable=apart,
        better="a" if loss < 0 else "b" if loss > 0 else "",
        needed=0 if apart else _needed(x, y, paired, bar),
        a=len(x),
        b=len(y),
        paired=paired,
    )


def race(
    finalists: Mapping[str, Sequence[float]],
    baseline: Sequence[float],
    goal: Goal,
    level: float = 0.95,
    *,
    paired: bool = False,
    looks: int = 1,
) -> dict[str, tuple[Comparison, bool]]:
    """Each finalist against the baseline: the comparison, and whether it is better after Holm's correction for them
    all.

    The chance that any finalist which is no better than the baseline is called better stays below 1 - level.
    """
    told = {name: compare(v, baseline, goal, level, paired=paired, looks=looks) for name, v in finalists.items()}
    kept = holm([c.p * looks for c in told.values()], level)
    return {name: (c, ok and c.better == "a") for (name, c), ok in zip(told.items(), kept, strict=True)}


def holm(p: Sequence[float], level: float = 0.95) -> list[bool]:
    """Which hypotheses are rejected by Holm's step-down procedure (1979) at family-wise error 1 - level.

    >>> holm([0.01, 0.04, 0.03])
    [True, False, False]
    """
    out = [False] * len(p)
    for i, at in enumerate(sorted(range(len(p)), key=lambda k: p[k])):
        if not p[at] <= (1.0 - level) / (len(p) - i):
            break
        out[at] = True
    return out


def mean_interval(
    values: Sequence[float], level: float = 0.95, overlap: float = 0.0
) -> tuple[float, float, float]:
    """Mean of the values and its t interval (mean, low, high); infinite with one value, NaN with none.

    ``overlap`` is for scores of folds: see ``compare``.
    """
    x = np.asarray(values, dtype=np.float64)
    if len(x) == 0:
        return math.nan, math.nan, math.nan
    mean, error, dof = _paired(x, overlap)
    half = _half(error, dof, level)
    return mean, mean - half, mean + half


def _mean(x: Array) -> float:
    return float(np.mean(x)) if len(x) else math.nan


def _paired(d: Array, overlap: float = 0.0) -> tuple[float, float, float]:
    """Mean, its standard error and degrees of freedom."""
    n = len(d)
    return _mean(d), (float(np.std(d, ddof=1)) * math.sqrt(1 / n + overlap) if n > 1 else math.inf), float(n - 1)


def _welch(x: Array, y: Array) -> tuple[float, float, float]:
    """Difference of means, its standard error and the degrees of freedom of Welch (1947)."""
    if len(x) < 2 or len(y) < 2:
        return _mean(x) - _mean(y), math.inf, 0.0
    u, v = float(np.var(x, ddof=1)) / len(x), float(np.var(y, ddof=1)) / len(y)
    if u + v == 0.0:
        return _mean(x) - _mean(y), 0.0, float(len(x) + len(y) - 2)
    dof = (u + v) ** 2 / (u**2 / (len(x) - 1) + v**2 / (len(y) - 1))
    return _mean(x) - _mean(y), math.sqrt(u + v), dof


def _half(error: float, dof: float, level: float) -> float:
    if not math.isfinite(error) or dof <= 0:
        return math.inf
    return error * float(stdtrit(dof, 0.5 + 0.5 * level))


def _p_value(difference: float, error: float, dof: float) -> float:
    if not math.isfinite(error) or not math.isfinite(difference) or dof <= 0:
        return 1.0
    if error == 0.0:
        return 1.0 if difference == 0.0 else 0.0
    return float(2.0 * stdtr(dof, -abs(difference) / error))


def _needed(x: Array, y: Array, paired: bool, level: float) -> int:
    """Values on each side at which the half-width falls below the difference that was seen; -1 if never."""
    if min(len(x), len(y)) < 2:
        return -1
    gap = abs(_mean(x) - _mean(y))
    spread = float(np.var(x - y, ddof=1)) if paired else float(np.var(x, ddof=1) + np.var(y, ddof=1))
    for n in range(min(len(x), len(y)) + 1, MOST_SEEDS + 1):
        if _half(math.sqrt(spread / n), float((n - 1) * (1 if paired else 2)), level) < gap:
            return n
    return -1
