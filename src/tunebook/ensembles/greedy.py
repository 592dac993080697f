"""Greedy selection with replacement.

R. Caruana, A. Niculescu-Mizil, G. Crew, A. Ksikes, "Ensemble selection from libraries of models", ICML 2004.
"""

from __future__ import annotations

import numpy as np

from tunebook.ensembles.base import Array, Combination, Predictions, Weighted, loss, losses
from tunebook.metrics import Metric

MOST = 25
MOST_ROWS = 5_000  # rows that are looked at to choose


def greedy(told: Predictions, metric: Metric) -> Combination:
    """Start from the best candidate and add, again and again, the one that helps most; a candidate may come twice.

    Of the ensembles on that path the smallest is taken whose loss on these rows is within one standard error of the
    best one's: what is gained beyond is noise.
    """
    if len(told.truth) > MOST_ROWS:
        told = told.rows(np.sort(np.random.default_rng(0).choice(len(told.truth), MOST_ROWS, replace=False)))
    path = _path(told, metric)
    sums = np.cumsum(told.P[path], axis=0) / np.arange(1, len(path) + 1).reshape((-1,) + (1,) * (told.P.ndim - 1))
    rows = np.stack([losses(metric, told.truth, p) for p in sums])  # (sizes, n)
    final = min(range(len(path)), key=lambda s: (loss(metric, told.truth, sums[s]), s))
    gaps = rows - rows[final]
    errors = gaps.std(axis=1) / np.sqrt(max(1, rows.shape[1]))
    size = next(s for s in range(len(path)) if gaps[s].mean() <= errors[s])
    counts = np.bincount(path[: size + 1], minlength=len(told.P))
    return Weighted(counts / counts.sum())


def _path(told: Predictions, metric: Metric) -> list[int]:
    """Candidates in the order in which they are added."""
    path: list[int] = []
    total: Array = np.zeros_like(told.P[0])
    for size in range(1, min(MOST, 3 * len(told.P)) + 1):
        scores = [loss(metric, told.truth, (total + p) / size) for p in told.P]
        at = int(np.argmin(scores))
        path.append(at)
        total = total + told.P[at]
    return path
