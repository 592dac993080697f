"""Noise, level and slope of one curve, without assuming a shape."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from tunebook.space import Array

MAD = 1.4826
SHORTEST = 4


def step_noise(curve: Array) -> float:
    """Standard deviation of the step-to-step noise of a curve (n,), robust to a smooth trend; NaN below 4 points.

    From second differences, which a straight line does not touch; for independent noise their variance is 6 times that
    of the noise. Noise that is alike from step to step is underestimated.
    """
    if len(curve) < SHORTEST:
        return math.nan
    bends = np.abs(curve[2:] - 2.0 * curve[1:-1] + curve[:-2])
    # the median of few absolute values is a poor estimate: the mean is kept as a floor where it says less
    robust = MAD * float(np.median(bends)) / math.sqrt(6.0)
    plain = math.sqrt(float(np.mean(bends**2)) / 6.0)
    return plain if len(bends) < 5 else min(plain, max(robust, 0.5 * plain))


def smooth(curve: Array, window: int) -> Array:
    """Centred running mean of a curve (n,), the window cut off at the ends."""
    n, half = len(curve), window // 2
    total = np.concatenate([[0.0], np.cumsum(curve)])
    start, end = np.maximum(np.arange(n) - half, 0), np.minimum(np.arange(n) + half + 1, n)
    return np.asarray((total[end] - total[start]) / (end - start))


@dataclass(frozen=True)
class Slope:
    """Theil-Sen slope in units a step, and the one-sided p-values of Kendall's test for a fall and for a rise."""

    value: float
    falls: float
    rises: float


def slope(steps: Array, curve: Array) -> Slope:
    """Slope of a curve (n,) over its steps (n,); p-values are 1 below 4 points."""
    n = len(curve)
    if n < SHORTEST:
        return Slope(math.nan, 1.0, 1.0)
    i, j = np.triu_indices(len(curve), 1)
    value = float(np.median((curve[j] - curve[i]) / (steps[j] - steps[i])))  # Theil (1950), Sen (1968)
    signs = np.sign(curve[:, None] - curve[None, :])
    s = float(np.sum(np.tril(signs, -1)))
    spread = math.sqrt(n * (n - 1) * (2 * n + 5) / 18.0)
    return Slope(value, float(ndtr((s + 1.0) / spread)), float(ndtr((1.0 - s) / spread)))
