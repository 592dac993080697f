"""Several losses at once: who is beaten by nobody, and how much of the losses' space a set of points beats.

A point beats ("dominates") another if it is nowhere worse and somewhere better. All losses are minimised.

Sorting into fronts and crowding: K. Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE
Transactions on Evolutionary Computation 6 (2002), sections III-A and III-B. Hypervolume: E. Zitzler, L. Thiele, PPSN V
(1998); by what each point adds to those before it, L. While, L. Bradstreet, L. Barone, "A fast way of calculating exact
hypervolumes", IEEE Transactions on Evolutionary Computation 16 (2012).

    Y (n, m) losses    r (m,) the reference point: what is not better than r in every loss adds nothing
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def front(Y: Array) -> Mask:
    """Which rows (n,) no other row beats; equal rows stand together. A row with NaN or inf is never among them.

    >>> front(np.array([[1.0, 4.0], [2.0, 2.0], [3.0, 3.0], [2.0, 2.0]])).tolist()
    [True, True, False, True]
    """
    out: Mask = np.array(np.isfinite(Y).all(axis=1))
    left = np.flatnonzero(out)
    # who is small by his sum is beaten by nobody behind him, so that each pass is final for its first row
    left = left[np.argsort(Y[left].sum(axis=1), kind="stable")]
    while len(left):
        y, rest = Y[left[0]], left[1:]
        # rounding may make sums of unequal rows equal: then the row may be beaten by one behind it
        if _beats(Y[rest], y).any():
            out[left[0]] = False
        beaten = _beats(y[None], Y[rest])
        out[rest[beaten]] = False
        left = rest[~beaten]
    return out


def _beats(A: Array, B: Array) -> Mask:
    """Whether rows of A beat rows of B; shapes broadcast."""
    return np.asarray((A <= B).all(axis=1) & (A < B).any(axis=1))


def ranks(Y: Array, enough: int | None = None) -> Index:
    """The front (n,) that each row belongs to: 0 unbeaten, 1 unbeaten without those, and so on.

    When ``enough`` rows have their front, all others get the next number. Rows with NaN or inf are in the last front.
    """
    out = np.full(len(Y), -1, dtype=np.int64)
    left = np.flatnonzero(np.isfinite(Y).all(axis=1))
    rank, settled = 0, 0
    while len(left) and (enough is None or settled < enough):
        best = front(Y[left])
        out[left[best]] = rank
        settled += int(best.sum())
        left, rank = left[~best], rank + 1
    out[out < 0] = rank + (len(left) > 0)
    out[left] = rank
    return out


def crowding(Y: Array) -> Array:
    """How much room (n,) each row of one front has: the sum over losses of the distance of its neighbours, in units of
    the front's range; inf at the ends."""
    n = len(Y)
    out = np.zeros(n)
    for y in Y.T:
        order = np.argsort(y, kind="stable")
        span = y[order[-1]] - y[order[0]] if n else 0.0
        out[order[:1]] = out[order[-1:]] = np.inf
        if n > 2 and span > 0:
            out[order[1:-1]] += (y[order[2:]] - y[order[:-2]]) / span
    return out


def standing_for(Y: Array, n: int) -> Index:
    """At most n rows that stand for a front Y: the best in the first loss, the knee, then those furthest from them all.

    The knee is nearest to the best of each loss, in units of the front's range (M. Zeleny, 1973); those furthest are
    the other ends, then what lies in the largest gaps.

    >>> standing_for(np.array([[0.0, 9.0], [1.0, 8.0], [2.0, 2.0], [9.0, 0.0]]), 3).tolist()
    [0, 2, 3]
    """
    span = np.ptp(Y, axis=0) if len(Y) else np.ones(Y.shape[1])
    unit = (Y - Y.min(axis=0, initial=np.inf)) / np.where(span > 0, span, 1.0)
    out: list[int] = []
    for k in range(min(n, len(Y))):
        if k == 0:
            score = np.lexsort(unit.T[::-1]).argsort().astype(np.float64)
        elif k == 1:
            score = np.linalg.norm(unit, axis=1)
        else:
            score = -np.linalg.norm(unit[:, None] - unit[out], axis=2).min(axis=1)
        score[out] = np.inf
        out.append(int(np.argmin(score)))
    return np.array(out, dtype=np.int64)


def hypervolume(Y: Array, r: Array) -> float:
    """The volume that the rows beat, up to the reference point; exact, for any number of losses.

    Takes n log n steps for two losses, n^2 for three; more for more.

    >>> hypervolume(np.array([[1.0, 2.0], [2.0, 1.0]]), np.array([3.0, 3.0]))
    3.0
    """
    Y, r = np.asarray(Y, dtype=np.float64), np.asarray(r, dtype=np.float64)
    Y = Y[(r > Y).all(axis=1)]
    return _volume(np.unique(Y[front(Y)], axis=0), r)


def _volume(Y: Array, r: Array) -> float:
    """Of distinct rows that do not beat each other, in the order of their first loss."""
    n, m = Y.shape
    if n == 0:
        return 0.0
    if m == 1:
        return float(r[0] - Y.min())
    if m == 2:
        widths = np.append(Y[1:, 0], r[0]) - Y[:, 0]
        return float(widths @ (r[1] - Y[:, 1]))
    total = 0.0
    Y = Y[np.argsort(-Y[:, -1], kind="stable")]
    for i in range(n):
        # what a row adds to those behind it: its box, less what they have of it. Cut to the box they all have its last
        # loss, so that one loss fewer is left to look at
        behind = np.maximum(Y[i + 1 :, :-1], Y[i, :-1])
        rest = _volume(np.unique(behind[front(behind)], axis=0), r[:-1])
        total += float(r[-1] - Y[i, -1]) * (float(np.prod(r[:-1] - Y[i, :-1])) - rest)
    return total


def boxes(Y: Array, r: Array) -> tuple[Array, Array]:
    """The region below ``r`` that no row beats, as disjoint boxes: lower (-inf where open) and upper ends, (k, m).

    For two losses k = n + 1 strips. For more, slices of the last loss, each with the boxes of those rows that lie
    below it: of the order of n^(m - 1).
    """
    Y = Y[(r > Y).all(axis=1)]
    Y = np.unique(Y[front(Y)], axis=0)
    m = len(r)
    if len(Y) == 0:
        return np.full((1, m), -np.inf), r[None].astype(np.float64)
    if m == 1:
        return np.array([[-np.inf]]), Y[:1]
    if m == 2:
        # strip i lies left of row i (the last one left of r), below row i - 1
        low = np.column_stack([np.append(-np.inf, Y[:, 0]), np.full(len(Y) + 1, -np.inf)])
        high = np.column_stack([np.append(Y[:, 0], r[0]), np.append(r[1], Y[:, 1])])
        return low, high
    levels = np.append(-np.inf, np.append(np.unique(Y[:, -1]), r[-1]))
    lows, highs = [], []
    for a, b in pairwise(levels):
        low, high = boxes(Y[Y[:, -1] <= a, :-1], r[:-1])
        lows.append(np.column_stack([low, np.full(len(low), a)]))
        highs.append(np.column_stack([high, np.full(len(high), b)]))
    return np.concatenate(lows), np.concatenate(highs)
