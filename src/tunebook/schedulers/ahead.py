"""Trials on a rung, compared by where their curves are going rather than by where they are.

A curve's means over the first, second and last third of its steps so far give what an exponential has still to gain.
How much of that is believed is what such gains turned out to be worth: those foreseen on the rung before, of the trials
that are on this one, against what they gained since (least squares, 0 to 1). On the first rung, where nothing can be
looked up, they are believed if nearly all curves bend the same way, as they do where there is no noise. So curves that
cross are told apart early where they are smooth, and where they are noisy losses are compared as they are.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from tunebook.space import Array

FEWEST, MANY = 3, 8
SLOWEST, QUICKEST = 0.99, 0.05
ALIKE = 0.97
Means = tuple[float, float, float, float]


def ahead(here: Array, before: Array | None, rungs: tuple[int, int, int]) -> Array:
    """What each curve is believed to gain still, (n,), 0 or more.

    ``here`` (n, 4) are ``means`` of curves up to a rung, ``before`` those up to the rung before (None on the first),
    ``rungs`` the steps of the rung before, of this one, and of the end. Zeros while there are fewer than three.
    """
    if len(here) < FEWEST:
        return np.zeros(len(here))
    if before is not None:
        foreseen, made = _gain(before, rungs[0], rungs[1]), before[:, 3] - here[:, 3]
        away = foreseen - foreseen.mean()
        worth = float(away @ (made - made.mean()) / max(float(away @ away), 1e-300))
    else:
        bent = here[:, 0] - 2 * here[:, 1] + here[:, 2] > 0
        worth = float(len(bent) >= MANY and bent.mean() >= ALIKE)
    return np.maximum(0.0, min(max(worth, 0.0), 1.0) * _gain(here, rungs[1], rungs[2]))


def means(steps: Sequence[int], losses: Sequence[float], rung: int) -> Means | None:
    """The mean losses of each third of the way to a rung, and the last loss; None where a third has none."""
    first, second, third, end = (bisect_left(steps, s) for s in (1, rung // 3 + 1, 2 * rung // 3 + 1, rung + 1))
    if not first < second < third < end:
        return None
    parts = (losses[first:second], losses[second:third], losses[third:end])
    told = [sum(part) / len(part) for part in parts]
    return (told[0], told[1], told[2], losses[end - 1]) if np.isfinite(told).all() else None


def _gain(told: Array, rung: int, until: int) -> Array:
    """What an exponential with these means over thirds still gains from the last loss on, (n,)."""
    first, second = told[:, 0] - told[:, 1], told[:, 1] - told[:, 2]
    ratio = np.where(first > 0, second / np.where(first > 0, first, 1.0), QUICKEST)
    ratio = np.clip(ratio, QUICKEST, SLOWEST)
    length = rung / 3
    many = (until - rung) / length + 0.5 * (length - 1) / length
    end = told[:, 2] - second * ratio * (1 - ratio**many) / (1 - ratio)
    return np.asarray(told[:, 3] - end)
