"""What the best of n random trials would have been, exactly, and what more trials promise. (playbook A3)

The bootstrap of a minimum needs no random numbers: of n draws with replacement from sorted values x_1 <= ... <= x_m the
smallest is at most x_i with probability 1 - (1 - i/m)^n.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from tunebook.space import Array
from tunebook.trial import Goal


@dataclass(frozen=True)
class BestOf:
    """The metric of the best of ``n`` random trials: quantiles at 5, 25, 50, 75 and 95 % (from the worst side on) and
    the mean."""

    n: int
    worst: float
    poor: float
    median: float
    good: float
    best: float
    mean: float


def best_of(values: Sequence[float], goal: Goal, sizes: Sequence[int] = ()) -> list[BestOf]:
    """How the best of n grows with n: by default n = 1, 2, 4, ... up to the number of values. NaN counts as failed.

    Meant for trials placed without regard to each other (quasi-random, random).
    """
    loss = np.sort([goal.loss(v) for v in values])
    out = []
    for n in sizes or _doublings(len(loss)):
        worst, poor, median, good, best = (
            _value(goal, loss_of_best(loss, n, q)) for q in (0.95, 0.75, 0.5, 0.25, 0.05)
        )
        mean = _value(goal, expected_best(loss, n, replace=True))
        out.append(BestOf(n, worst, poor, median, good, best, mean))
    return out


def _doublings(most: int) -> list[int]:
    return [2**k for k in range(max(1, most).bit_length()) if 2**k <= most]


def _value(goal: Goal, loss: float) -> float:
    return goal.value(loss) if np.isfinite(loss) else float("nan")


def loss_of_best(sorted_loss: Array, n: int, quantile: float) -> float:
    """Quantile of the smallest of ``n`` draws with replacement from sorted losses (m,)."""
    m = len(sorted_loss)
    reached = 1.0 - (1.0 - np.arange(1, m + 1) / m) ** n
    return float(sorted_loss[min(m - 1, int(np.searchsorted(reached, quantile - 1e-12)))])


def expected_best(sorted_loss: Array, n: int, *, replace: bool = False) -> float:
    """Mean of the smallest of ``n`` draws from sorted losses (m,), with or without replacement (n <= m).

    Without: of all sets of n, the share whose smallest is x_i is C(m - i, n - 1) / C(m, n).
    """
    m = len(sorted_loss)
    i = np.arange(1, m + 1)
    if replace:
        weight = ((m - i + 1) / m) ** n - ((m - i) / m) ** n
    else:
        there = i <= m - n + 1
        rest = np.where(there, m - i, n - 1)
        weight = np.where(there, np.exp(_log_choose(rest, n - 1) - _log_choose(np.array(m), n)), 0.0)
    kept = weight > 1e-12
    return float(np.sum(weight[kept] * sorted_loss[kept]) / np.sum(weight[kept]))


def _log_choose(a: Array, b: int) -> Array:
    return np.asarray(gammaln(a + 1.0) - gammaln(b + 1.0) - gammaln(a - b + 1.0))


@dataclass(frozen=True)
class Doubling:
    """``gain``: by how much twice as many trials are expected to improve the best, in units of the metric, >= 0.

    ``last``: what the latest doubling brought, on average over all halves of the trials; ``before`` the one before.
    """

    gain: float
    last: float
    before: float
    n: int


def gain_of_doubling(values: Sequence[float], goal: Goal) -> Doubling | None:
    """Expected gain of doubling random trials; None with fewer than 8 successes.

    The expected best of n/4, n/2 and n of the trials are known exactly; the gains of the last two doublings are carried
    on as a geometric series. Around a smooth optimum in d dimensions the factor is 2^(-2/d), so what was seen of it is
    kept between 0.5 and 0.9. A rough figure: between a third and three times the truth in 9 of 10 cases.
    """
    loss = np.sort([goal.loss(v) for v in values])
    n = len(loss)
    if int(np.sum(np.isfinite(loss))) < 8:
        return None
    worst = loss[np.isfinite(loss)][-1]
    loss = np.where(np.isfinite(loss), loss, worst)
    quarter, half, whole = (expected_best(loss, m) for m in (n // 4, n // 2, n))
    before, last = quarter - half, half - whole
    ratio = min(max(last / before, 0.5), 0.9) if before > 0 else 0.5
    return Doubling(gain=max(0.0, ratio * last), last=last, before=before, n=n)


def interval(
    values: Sequence[float],
    statistic: Callable[[Array], float] = lambda x: float(np.mean(x)),
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """A statistic of the values and its percentile bootstrap interval (value, low, high); NaN without values."""
    x = np.asarray(values, dtype=np.float64)
    if len(x) == 0:
        return float("nan"), float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    told = [statistic(x[rng.integers(len(x), size=len(x))]) for _ in range(draws)]
    tail = 0.5 * (1.0 - level)
    low, high = np.quantile(told, [tail, 1.0 - tail])
    return statistic(x), float(low), float(high)
