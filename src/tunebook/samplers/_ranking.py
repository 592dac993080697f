"""Which configurations of a history are better than others: by loss, by steps, by limits, by several losses at once.

Limits first, then fronts, then crowding: K. Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II",
IEEE Transactions on Evolutionary Computation 6 (2002), sections III and VI.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tunebook.pareto import crowding, ranks
from tunebook.samplers._budget import level
from tunebook.samplers.base import History
from tunebook.space import Array

TOLD_APART = 200
AT_LEVEL = 10


def standing(history: History) -> Array:
    """One number (n,) a configuration, the smaller the better, inf where infeasible.

    The loss, if there is one and no limit. Else a place: those within the limits by front and then by crowding (the
    best 200; the others are alike), then those beyond by the sum of their excesses, in units of each one's mean.
    """
    if history.plain:
        return history.y
    out = np.full(len(history), np.inf)
    beyond = np.maximum(history.excess, 0.0)
    within = history.feasible & (beyond <= 0.0).all(axis=1)
    rows = np.flatnonzero(within)
    Y = history.losses[rows]
    told = ranks(Y, TOLD_APART)
    room = np.zeros(len(rows))
    for rank in range(int(told.max(initial=-1)) + 1):
        same = told == rank
        room[same] = crowding(Y[same])
    out[rows[np.lexsort((-room, told))]] = np.arange(len(rows))
    rest = np.flatnonzero(history.feasible & ~within)
    if len(rest):
        unit = beyond[rest].mean(axis=0)
        total = (beyond[rest] / np.where(unit > 0, unit, 1.0)).sum(axis=1)
        out[rest[np.argsort(total, kind="stable")]] = len(rows) + np.arange(len(rest))
    return out


def places(history: History, least: int = AT_LEVEL) -> npt.NDArray[np.int64]:
    """The place (n,) of each configuration, 0 the best.

    First those that came to the furthest step that ``least`` came to, then the others by how far they came; among
    equals by ``standing``; what failed is last.
    """
    way = np.where(history.feasible, np.minimum(history.budget, level(history, least)), -1)
    out = np.empty(len(history), dtype=np.int64)
    out[np.lexsort((history.number, standing(history), -way))] = np.arange(len(history))
    return out
