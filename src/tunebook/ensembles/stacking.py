"""Stacking: a linear model of the candidates' out-of-fold predictions (Wolpert 1992; Breiman 1996)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tunebook.ensembles.base import Array, Combination, Predictions
from tunebook.errors import MissingExtraError
from tunebook.metrics import Metric

TINY = 1e-6


@dataclass(frozen=True, eq=False)
class Stacked(Combination):
    """A ridge or logistic regression on top; ``centers`` and ``gains`` standardise its inputs."""

    model: Any
    centers: Array
    gains: Array
    classes: int

    def predict(self, P: Array) -> Array:
        inputs = (_features(P) - self.centers) * self.gains
        if not self.classes:
            return np.asarray(self.model.predict(inputs))
        out = np.zeros((P.shape[1], self.classes))
        out[:, self.model.classes_] = self.model.predict_proba(inputs)
        return out

    @property
    def members(self) -> tuple[int, ...]:
        return tuple(range(len(self.centers) // max(1, self.classes)))


def stacking(told: Predictions, metric: Metric) -> Combination:
    """Logistic regression on log-probabilities, or ridge regression on values, with a penalty of usual strength."""
    try:
        from sklearn.linear_model import LogisticRegression, Ridge  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtraError.of("scikit-learn", "data", "stacking") from error
    inputs = _features(told.P)
    centers, spread = inputs.mean(axis=0), inputs.std(axis=0)
    gains = 1 / np.where(spread > TINY, spread, 1.0)
    model: Any = LogisticRegression(C=0.1, max_iter=1000) if told.classes else Ridge(alpha=10.0)
    return Stacked(model.fit((inputs - centers) * gains, told.truth), centers, gains, told.classes)


def _features(P: Array) -> Array:
    """(n, m * k) log-probabilities, or (n, m) values."""
    if P.ndim == 2:
        return np.asarray(P.T)
    return np.asarray(np.log(np.clip(P, TINY, 1.0)).transpose(1, 0, 2).reshape(P.shape[1], -1))
