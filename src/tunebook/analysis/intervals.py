"""Intervals of a score on rows that were not trained on, where resampling rows alone is too sure of itself.

Means of few skewed losses are covered too seldom by percentiles of a bootstrap, corrected or not; so are recalls of
classes that have a handful of rows.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from tunebook.metrics import wilson
from tunebook.space import Array

RESAMPLES = 2_000
CELLS = 4_000_000  # of a block of resamples


def mean_interval_of(losses: Array, level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Interval of the mean of losses (n,) that are at least 0, by a studentised bootstrap of its logarithm.

    B. Efron, R. Tibshirani, "An introduction to the bootstrap", 1993, section 12.5; the logarithm keeps it above 0 and
    takes most of the skew out. A single value for losses that are all the same.
    """
    n, mean = len(losses), float(losses.mean())
    error = float(losses.std(ddof=1)) / np.sqrt(n) if n > 1 else 0.0
    if mean <= 0 or error == 0:
        return mean, mean
    rng, pivots = np.random.default_rng([seed, 11]), list[Array]()
    for size in np.full(RESAMPLES // (each := max(1, min(RESAMPLES, CELLS // n))), each):
        drawn = losses[rng.integers(0, n, (size, n))]
        means, errors = drawn.mean(axis=1), drawn.std(axis=1, ddof=1) / np.sqrt(n)
        sound = (means > 0) & (errors > 0)
        pivots.append(np.log(means[sound] / mean) / (errors[sound] / means[sound]))
    low, high = np.quantile(np.concatenate(pivots), [(1 - level) / 2, (1 + level) / 2])
    widest = 4 * ndtri((1 + level) / 2)  # where resamples that miss the one large loss make the pivot explode
    low, high = max(low, -widest), min(high, widest)
    return float(mean * np.exp(-high * error / mean)), float(mean * np.exp(-low * error / mean))


def balanced_accuracy_interval(truth: Array, labels: Array) -> tuple[float, float]:
    """95 % interval of the mean of the classes' recalls: from Wilson's interval of each, by the method of variance
    estimates recovery (G. Zou, A. Donner, Statistics in Medicine 27, 2008), which is made for few rows a class."""
    told = []
    for code in np.unique(truth):
        rows = truth == code
        hits, many = int((labels[rows] == code).sum()), int(rows.sum())
        told.append((hits / many, *wilson(hits, many)))
    recall, low, high = np.array(told).T
    mean = float(recall.mean())
    down = float(np.sqrt(((recall - low) ** 2).sum())) / len(recall)
    up = float(np.sqrt(((high - recall) ** 2).sum())) / len(recall)
    return max(0.0, mean - down), min(1.0, mean + up)
