"""The best single candidate, the vote, the mean, and the mean with the weights that fit best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tunebook.ensembles.base import Array, Combination, Predictions, Weighted, loss
from tunebook.metrics import Metric

STEPS = 200


@dataclass(frozen=True, eq=False)
class Vote(Combination):
    """The share of candidates that say each class; the median of values."""

    size: int

    def predict(self, P: Array) -> Array:
        if P.ndim == 2:
            return np.asarray(np.median(P[: self.size], axis=0))
        labels = P[: self.size].argmax(axis=2)
        shares: Array = (labels[:, :, None] == np.arange(P.shape[2])).mean(axis=0)
        return shares

    @property
    def members(self) -> tuple[int, ...]:
        return tuple(range(self.size))


def best(told: Predictions, metric: Metric) -> Combination:
    """The one candidate that scores best."""
    at = min(range(len(told.P)), key=lambda i: loss(metric, told.truth, told.P[i]))
    return Weighted(np.eye(len(told.P))[at])


def vote(told: Predictions, metric: Metric) -> Combination:
    """The majority of all candidates."""
    return Vote(len(told.P))


def average(told: Predictions, metric: Metric) -> Combination:
    """The mean of all candidates."""
    return Weighted(np.full(len(told.P), 1 / len(told.P)))


def weighted(told: Predictions, metric: Metric) -> Combination:
    """The mean with weights, at least 0 and of sum 1, that fit best: by likelihood, or by least squares.

    Probabilities are a mixture: its weights by expectation maximisation, which is monotone in a convex problem
    (Dempster, Laird and Rubin 1977). Values by non-negative least squares (Breiman, "Stacked regressions", 1996).
    """
    if told.classes:
        right = np.clip(told.P[:, np.arange(len(told.truth)), told.truth], 1e-12, 1.0)  # (m, n)
        w = np.full(len(right), 1 / len(right))
        for _ in range(STEPS):
            w = w * (right / (w @ right)).mean(axis=1)
        return Weighted(w / w.sum())
    from scipy.optimize import nnls  # noqa: PLC0415

    scale = float(np.abs(told.truth).mean()) or 1.0
    heavy = 1e3 * scale * np.sqrt(len(told.truth))  # a row that says: the weights sum to 1
    rows = np.vstack([told.P.T, np.full((1, len(told.P)), heavy)])
    w, _ = nnls(rows, np.append(told.truth, heavy))
    return Weighted(w / w.sum() if w.sum() > 0 else np.full(len(w), 1 / len(w)))
