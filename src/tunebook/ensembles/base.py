"""What ensembles are made of, and what they are.

Notation: m candidates, n rows, k classes. ``P`` is (m, n, k) probabilities or (m, n) values of a regression.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunebook.errors import DataError
from tunebook.metrics import Metric

Array = NDArray[Any]
TIE = 1e-4  # of what breaks ties between labels


@dataclass(frozen=True, eq=False)
class Predictions:
    """Out-of-fold predictions ``P`` of m candidates for the same n rows, and their true codes or values (n,).

    ``names`` are the candidates', best first by their own scores. Raises DataError for shapes that do not fit.
    """

    P: Array
    truth: Array
    names: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.P.ndim not in (2, 3) or self.P.shape[1] != len(self.truth) or len(self.P) == 0:
            raise DataError("predictions do not fit the truth", got=f"{self.P.shape} for {len(self.truth)} rows",
                            expected="(m, n, k) probabilities or (m, n) values, m > 0")  # fmt: skip

    @property
    def classes(self) -> int:
        """Number of classes; 0 for a regression."""
        return self.P.shape[2] if self.P.ndim == 3 else 0

    def rows(self, which: Array) -> Predictions:
        """The same candidates on some of the rows."""
        return Predictions(self.P[:, which], self.truth[which], self.names)


@dataclass(frozen=True, eq=False)
class Draws:
    """What one configuration predicted out of fold, on d draws of the folds: ``P`` (d, n, k) or (d, n)."""

    P: Array
    truth: Array


class Combination(ABC):
    """A fitted way to combine candidates."""

    @abstractmethod
    def predict(self, P: Array) -> Array:
        """(m, n, k) -> (n, k) probabilities, or (m, n) -> (n,) values."""

    @property
    @abstractmethod
    def members(self) -> tuple[int, ...]:
        """Which candidates must be run for it."""


@dataclass(frozen=True, eq=False)
class Weighted(Combination):
    """A weighted mean: ``weights`` (m,) are at least 0 and sum to 1."""

    weights: Array

    def predict(self, P: Array) -> Array:
        told: Array = np.tensordot(self.weights, P, axes=1)
        return told

    @property
    def members(self) -> tuple[int, ...]:
        return tuple(np.flatnonzero(self.weights > 0).tolist())


Method = Callable[[Predictions, Metric], Combination]


def losses(metric: Metric, truth: Array, predicted: Array) -> Array:
    """(n,) what each row contributes to a loss that goes with the metric.

    log_loss, brier and mae row by row; errors for metrics of labels and of ranks; squares for other metrics of values.
    """
    if predicted.ndim == 1:
        gap = truth - predicted
        return np.abs(gap) if metric.name == "mae" else gap**2
    at = np.arange(len(truth))
    if metric.name == "log_loss":
        told: Array = -np.log(np.clip(predicted[at, truth], np.finfo(np.float64).eps, 1.0))
        return told
    if metric.needs == "probabilities":
        squares: Array = ((predicted - np.eye(predicted.shape[1])[truth]) ** 2).sum(axis=1)
        return squares
    return np.asarray(predicted.argmax(axis=1) != truth, dtype=np.float64)


def loss(metric: Metric, truth: Array, predicted: Array) -> float:
    """The metric as a loss to minimise; ties between labels are broken by the probabilities behind them."""
    sign = -1.0 if metric.direction == "maximize" else 1.0
    value = sign * metric(truth, predicted)
    if metric.needs == "labels" and predicted.ndim == 2:
        value += TIE * float(((predicted - np.eye(predicted.shape[1])[truth]) ** 2).sum(axis=1).mean())
    return value
