"""Are probabilities what they say, and from which one on should the second class be predicted?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tunebook.errors import DataError
from tunebook.metrics import Metric, wilson
from tunebook.space import Array

BINS = 10


@dataclass(frozen=True)
class Bin:
    """Predictions of about the same probability: their mean, the share that was right, its 95 % interval, how many."""

    predicted: float
    observed: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Calibration:
    """``error`` is the mean gap between what was predicted and what was observed, weighted by the bins' counts."""

    bins: tuple[Bin, ...]
    error: float


def calibration(truth: Array, probabilities: Array, bins: int = BINS) -> Calibration:
    """The calibration curve of (n, k) probabilities: of the second of two classes, of the predicted one of more.

    Bins hold equal numbers of rows, so that each says about as much as any other (Naeini, Cooper and Hauskrecht 2015;
    Nixon et al. 2019, arXiv:1904.01685, on why not equal widths). Raises DataError for fewer than two rows.
    """
    if len(truth) < 2 or probabilities.ndim != 2 or len(probabilities) != len(truth):
        raise DataError("nothing to calibrate", got=f"{probabilities.shape} for {len(truth)} rows")
    if probabilities.shape[1] == 2:
        p, right = probabilities[:, 1], truth == 1
    else:
        p, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    order = np.argsort(p, kind="stable")
    made = []
    for rows in np.array_split(order, max(1, min(bins, len(truth) // 5))):
        hits = int(right[rows].sum())
        made.append(Bin(float(p[rows].mean()), hits / len(rows), *wilson(hits, len(rows)), len(rows)))
    error = sum(abs(b.predicted - b.observed) * b.count for b in made) / len(truth)
    return Calibration(tuple(made), error)


def best_threshold(truth: Array, probabilities: Array, metric: Metric) -> tuple[float, float]:
    """The probability of the second class from which on it should be predicted, and what the metric is with it.

    For metrics of labels, on predictions for rows that were not trained on. 0.5 unless another one is better. Raises
    DataError for more than two classes, or a metric of something else.
    """
    if probabilities.ndim != 2 or probabilities.shape[1] != 2 or metric.needs != "labels":
        raise DataError("a threshold is for two classes and metrics of labels",
                        got=f"{probabilities.shape}, {metric.name}", expected="(n, 2); accuracy, f1, ...")  # fmt: skip
    sign = 1.0 if metric.direction == "maximize" else -1.0
    p = probabilities[:, 1]
    values = np.unique(np.quantile(p, np.linspace(0.005, 0.995, 199)))
    between = np.unique(np.append((values[1:] + values[:-1]) / 2, 0.5))

    def score(threshold: float) -> float:
        return sign * metric(truth, (p >= threshold).astype(np.int64))

    half = score(0.5)
    best = max(between.tolist(), key=lambda t: (score(t), -abs(t - 0.5)))
    chosen = best if score(best) > half else 0.5
    return chosen, sign * score(chosen)
