"""Greedy selection with replacement.

R. Caruana, A. Niculescu-Mizil, G. Crew, A. Ksikes, "Ensemble selection from libraries of models", ICML 2004.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tunebook.ensembles.base import Array, Predictions, Weighted, loss
from tunebook.metrics import Metric

MOST = 25  # steps
MOST_ROWS = 5_000  # rows that are looked at to choose
MOST_MEMBERS = 8
CLOSE = 1e-4  # of the loss: what a larger ensemble must gain


def greedy(told: Predictions, metric: Metric, costs: Sequence[float] | None = None, budget: float = np.inf) -> Weighted:
    """Start from the best candidate and add, again and again, the one that helps most; a candidate may come twice.

    The smallest ensemble on that path is taken that is as good as any on it, of at most 8 candidates. With ``costs``
    (those of training each, in any unit) only such are taken that together cost no more than ``budget``.
    """
    if len(told.truth) > MOST_ROWS:
        told = told.rows(np.sort(np.random.default_rng(0).choice(len(told.truth), MOST_ROWS, replace=False)))
    path, losses = _path(told, metric, costs or [0.0] * len(told.P), budget)
    least = min(losses)
    size = next(s for s, value in enumerate(losses) if value <= least + CLOSE * abs(least))
    counts = np.bincount(path[: size + 1], minlength=len(told.P))
    return Weighted(counts / counts.sum())


def selection_loss(metric: Metric, truth: Array, predicted: Array) -> float:
    """What combinations are chosen by: the loss of the metric; for accuracy the Brier score.

    The few rows that change sides say little about which of two ensembles is better, all probabilities say more.
    """
    if metric.name != "accuracy":
        return loss(metric, truth, predicted)
    right = predicted[np.arange(len(truth)), truth]
    return float((np.einsum("nk,nk->n", predicted, predicted) - 2 * right + 1).mean())


def _path(told: Predictions, metric: Metric, costs: Sequence[float], budget: float) -> tuple[list[int], list[float]]:
    """Candidates in the order in which they are added, and the loss after each."""
    path: list[int] = []
    losses: list[float] = []
    total: Array = np.zeros_like(told.P[0])
    for size in range(1, min(MOST, 3 * len(told.P)) + 1):
        members = set(path)
        spent = sum(costs[i] for i in members)
        open_ = [i for i in range(len(told.P)) if i in members
                 or (len(members) < MOST_MEMBERS and spent + costs[i] <= budget)]  # fmt: skip
        if not open_:  # not even one can be paid for: the best alone, and who trains it sees that there is no time
            open_ = list(range(len(told.P)))
        scores = [selection_loss(metric, told.truth, (total + told.P[i]) / size) for i in open_]
        best = int(np.argmin(scores))
        path.append(open_[best])
        losses.append(scores[best])
        total = total + told.P[open_[best]]
    return path, losses
