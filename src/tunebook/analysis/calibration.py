"""Are probabilities what they say, and from which one on should the second class be predicted?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from tunebook.errors import DataError
from tunebook.metrics import Metric, wilson
from tunebook.space import Array

BINS = 10
FOLDS, STEPS = 5, 100
ISOTONIC_FROM = 1_000
TINY = 1e-7


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


@dataclass(frozen=True)
class Calibrator:
    """A monotone map of probabilities to calibrated ones; plain numbers, so that it is kept as JSON.

    sigmoid    p = sigmoid(slope * logit(p) + shift) for two classes (Platt 1999, on log-odds); for more, one
               temperature for all of them: softmax(slope * log p) (Guo et al. 2017, arXiv:1706.04599)
    isotonic   two classes: steps ``x`` -> ``y``, linear in between (Zadrozny and Elkan 2002)
    """

    kind: str
    slope: float = 1.0
    shift: float = 0.0
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()

    def apply(self, probabilities: Array) -> Array:
        """(n, k) -> (n, k), rows sum to 1."""
        if self.kind == "isotonic":
            second = np.clip(np.interp(probabilities[:, 1], self.x, self.y), TINY, 1 - TINY)
            return np.stack([1 - second, second], axis=1)
        scores = self.slope * np.log(np.clip(probabilities, TINY, 1.0))
        if probabilities.shape[1] == 2:
            scores[:, 1] += self.shift
        scores -= scores.max(axis=1, keepdims=True)
        told: Array = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        return told

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Calibrator:
        """Of ``dataclasses.asdict``."""
        return cls(told["kind"], told["slope"], told["shift"], tuple(told["x"]), tuple(told["y"]))


def sigmoid_fit(truth: Array, probabilities: Array) -> Calibrator:
    """The sigmoid, or temperature, of the largest likelihood, with a weak pull to leaving all as it is."""
    two = probabilities.shape[1] == 2
    logs, at = np.log(np.clip(probabilities, TINY, 1.0)), np.arange(len(truth))

    def cost(told: Array) -> tuple[float, Array]:
        scores = np.exp(told[0]) * logs
        if two:
            scores[:, 1] += told[1]
        scores -= scores.max(axis=1, keepdims=True)
        p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        gap = p.copy()
        gap[at, truth] -= 1.0
        slope = float((gap * logs).sum() * np.exp(told[0]) + 2 * told[0])
        shift = float(gap[:, 1].sum() + 2 * told[1]) if two else 0.0
        value = -np.log(np.clip(p[at, truth], TINY, 1.0)).sum() + (told**2).sum()
        return float(value), np.array([slope, shift])

    found = minimize(cost, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[(-4.0, 4.0), (-8.0, 8.0)])
    return Calibrator("sigmoid", float(np.exp(found.x[0])), float(found.x[1]) if two else 0.0)


def isotonic_fit(truth: Array, probabilities: Array) -> Calibrator:
    """The monotone map of least squares for two classes (pool adjacent violators), at most 100 steps of it."""
    order = np.argsort(probabilities[:, 1], kind="stable")
    p, hits = probabilities[order, 1], (truth[order] == 1).astype(np.float64)
    blocks: list[list[float]] = []  # mean of p, mean of hits, rows
    for parts in np.array_split(np.arange(len(p)), max(1, min(STEPS, len(p) // 10))):
        blocks.append([float(p[parts].mean()), float(hits[parts].mean()), float(len(parts))])
        while len(blocks) > 1 and blocks[-2][1] >= blocks[-1][1]:
            (a, ya, na), (b, yb, nb) = blocks[-2:]
            blocks[-2:] = [[(a * na + b * nb) / (na + nb), (ya * na + yb * nb) / (na + nb), na + nb]]
    return Calibrator("isotonic", x=tuple(b[0] for b in blocks), y=tuple(b[1] for b in blocks))


def calibrator(truth: Array, probabilities: Array, seed: int = 0) -> tuple[Calibrator | None, float]:
    """What makes probabilities for rows that were not trained on the most likely, and by how much it lowers log-loss.

    Sigmoid, and from 1,000 rows of two classes on isotonic; each is fitted on four fifths of the rows and judged on the
    last. None where neither lowers log-loss by more than a standard error of the difference.
    """
    fits = [sigmoid_fit, *([isotonic_fit] if probabilities.shape[1] == 2 and len(truth) >= ISOTONIC_FROM else [])]
    fold = np.random.default_rng([seed, 9]).permutation(len(truth)) % FOLDS
    at = np.arange(len(truth))
    before = -np.log(np.clip(probabilities[at, truth], TINY, 1.0))
    best: tuple[Calibrator | None, float] = (None, 0.0)
    for fit in fits:
        after = np.empty(len(truth))
        for f in range(FOLDS):
            mine, others = fold == f, fold != f
            p = fit(truth[others], probabilities[others]).apply(probabilities[mine])
            after[mine] = -np.log(np.clip(p[np.arange(len(p)), truth[mine]], TINY, 1.0))
        gain = before - after
        sure = gain.mean() > gain.std() / np.sqrt(len(gain))
        if sure and gain.mean() > best[1]:
            best = (fit(truth, probabilities), float(gain.mean()))
    return best


def safe_threshold(truth: Array, probabilities: Array, metric: Metric, seed: int = 0) -> float:
    """``best_threshold`` where it gains on rows that it was not chosen on, 0.5 elsewhere."""
    fold = np.random.default_rng([seed, 10]).permutation(len(truth)) % FOLDS
    labels = np.empty(len(truth), dtype=np.int64)
    for f in range(FOLDS):
        at, _ = best_threshold(truth[fold != f], probabilities[fold != f], metric)
        labels[fold == f] = probabilities[fold == f, 1] >= at
    sign = 1.0 if metric.direction == "maximize" else -1.0
    plain = metric(truth, (probabilities[:, 1] >= 0.5).astype(np.int64))
    return best_threshold(truth, probabilities, metric)[0] if sign * (metric(truth, labels) - plain) > 0 else 0.5


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
