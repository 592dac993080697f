"""A decision stump: the one cut of one axis that tells bad rows from good ones, with an honest p-value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from tunebook.space import Array, Space, Value

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Stump:
    """Rows on one side of a cut: ``side`` "high" (codes above ``cut``), "low" (below), or "is" (the option ``value``).

    ``inside`` of ``inside_of`` rows there are bad, ``outside`` of ``outside_of`` elsewhere. ``p``: the chance of a cut
    as good as this one anywhere, were the bad rows drawn at random (Bonferroni over all cuts).
    """

    axis: int
    side: str
    cut: float
    value: Value
    inside: int
    inside_of: int
    outside: int
    outside_of: int
    p: float


def best_stump(space: Space, X: Array, bad: Flags) -> Stump | None:
    """The cut with the smallest p-value over all axes; None without bad rows or without good ones."""
    n, m = len(bad), int(np.sum(bad))
    if m in (0, n):
        return None
    cuts = list(_cuts(space, X))
    best: Stump | None = None
    for axis, side, cut, value, there in cuts:
        k, of = int(np.sum(bad & there)), int(np.sum(there))
        p = min(1.0, _at_least(k, n, m, of) * len(cuts))
        if best is None or p < best.p or (p == best.p and of > best.inside_of):
            best = Stump(axis, side, cut, value, k, of, m - k, n - of, p)
    return best


def _cuts(space: Space, X: Array) -> Iterator[tuple[int, str, float, Value, Flags]]:
    """Every cut: axis, side, code, option, and which rows lie there."""
    for j, axis in enumerate(space.axes):
        column = X[:, j]
        known = np.unique(column[~np.isnan(column)])
        if len(known) < 2:
            continue
        if axis.parameter.unordered:
            for code in known:
                yield j, "is", float(code), axis.parameter.decode(float(code)), np.abs(column - code) < 1e-9
        else:
            for cut in 0.5 * (known[1:] + known[:-1]):
                yield j, "high", float(cut), None, column > cut
                yield j, "low", float(cut), None, column < cut


def _at_least(k: int, n: int, m: int, of: int) -> float:
    """P(at least k of ``of`` drawn from n are among the m marked): the tail of the hypergeometric distribution."""

    def log_choose(a: npt.NDArray[np.float64] | float, b: npt.NDArray[np.float64] | float) -> npt.NDArray[np.float64]:
        return np.asarray(gammaln(a + 1.0) - gammaln(b + 1.0) - gammaln(a - b + 1.0))

    i = np.arange(max(k, of - (n - m)), min(m, of) + 1, dtype=np.float64)
    return float(np.sum(np.exp(log_choose(m, i) + log_choose(n - m, of - i) - log_choose(n, of))))
