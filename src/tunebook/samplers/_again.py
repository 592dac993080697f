"""When another trial of a known configuration tells more than a trial of a new one.

The best of many noisy values is mostly luck, and a process that is fitted to a few dozens of them takes noise for
structure as easily as structure for noise. What repeats of the same configuration differ by is noise for sure. So the
first turns find out how much of it there is, and where it matters the contenders are tried again, as in the optimal
allocation of simulation runs (C.-H. Chen, J. Lin, E. Yücesan, S. E. Chick, "Simulation budget allocation for further
enhancing the efficiency of ordinal optimization", Discrete Event Dynamic Systems 10, 2000).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tunebook.samplers.base import History

FROM, SAME, LITTLE, MUCH, OFTEN = 12, 4, 0.02, 0.1, 8


def turns(history: History) -> int:
    """How many of four trials go to configurations that were tried before.

    None before there are 12, nor where trials are cut short. Then one, until a repeat tells how far apart repeats are:
    none where one told the same to the last bit, if no other configuration tells that value (scores have ties), or
    four did. With the standard deviation of repeats in units of what lies between the best loss and the median one:
    none below 0.02, one below 0.1, else two.
    """
    told = history.at(history.feasible)
    if len(told) < FROM or not told.whole.all() or history.partial:
        return 0
    again = told.at(told.repeats > 1)
    values, counts = np.unique(told.y, return_counts=True)
    if ((again.spread == 0) & np.isin(again.y, values[counts == 1])).any():
        return 0
    more = int((again.repeats - 1).sum())
    if not again.spread.any():
        return int(more < SAME)
    noise = math.sqrt(float(again.spread.sum()) / more)
    share = noise / max(float(np.median(told.y) - told.y.min()), 1e-300)
    return 0 if share < LITTLE else 1 if share < MUCH else 2


def exact(history: History) -> bool:
    """Whether repeats say that values have no noise: all agree to the last bit, and there were four, or one among a
    dozen configurations of which no two tell the same (scores have ties)."""
    told = history.at(history.feasible)
    again = told.at(told.repeats > 1)
    if history.partial or not told.whole.all() or not len(again):
        return False
    # a mean of equal numbers may be off by a few of its last bits
    if (again.spread > again.repeats * (8 * np.finfo(np.float64).eps * again.y) ** 2).any():
        return False
    distinct = len(told) >= FROM and len(np.unique(told.y)) == len(told)
    return distinct or bool((again.repeats - 1).sum() >= SAME)


def settled(history: History) -> npt.NDArray[np.bool_]:
    """Which rows (n,) were tried often enough."""
    often: npt.NDArray[np.bool_] = history.repeats >= OFTEN
    return often
