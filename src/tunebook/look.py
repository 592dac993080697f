"""What a model scores on rows that nothing has seen, with intervals: the look at the test part."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tunebook.analysis.intervals import balanced_accuracy_interval, mean_interval_of
from tunebook.ensembles.base import losses
from tunebook.report.story import TestLook

if TYPE_CHECKING:
    from tunebook.metrics import Metric

MANY_ROWS = 2_000
MEANS = ("rmse", "mae", "log_loss", "brier")  # means of a loss a row, or a root of one


def measured(model: Any, inputs: Any, targets: Any, metric: str) -> TestLook:
    """What a model scores, the metric that was optimised among the usual ones."""
    from tunebook.metrics import METRICS, confusion_matrix, wilson  # noqa: PLC0415

    if not model.card.classes:
        values = model.predict(inputs)
        names = dict.fromkeys(("rmse", "mae", "r2", *([metric] if metric in METRICS else [])))
        return TestLook({n: _with_interval(METRICS[n], targets, values) for n in names},
                        len(targets))  # fmt: skip
    probabilities = model.predict_proba(inputs)
    labels = codes_of(model, inputs)
    right = int((labels == targets).sum())
    metrics = {"accuracy": (right / len(targets), *wilson(right, len(targets)))}
    names = dict.fromkeys(("log_loss", *([metric] if metric in METRICS else [])))
    for name in [n for n in names if n not in metrics]:
        predicted = labels if METRICS[name].needs == "labels" else probabilities
        metrics[name] = _with_interval(METRICS[name], targets, predicted)
    matrix = confusion_matrix(targets, labels, len(model.card.classes))
    return TestLook(metrics, len(targets), model.card.classes, tuple(tuple(int(v) for v in row) for row in matrix))


def codes_of(model: Any, inputs: Any) -> Any:
    """(n,) codes of the labels that a classifier predicts, in the order of its classes."""
    code = {name: i for i, name in enumerate(model.card.classes)}
    return np.array([code[str(name)] for name in model.predict(inputs)], dtype=np.int64)


def _with_interval(metric: Metric, targets: Any, predicted: Any) -> tuple[float, float, float]:
    """A metric's value and the ends of its interval, by what kind of statistic it is."""
    from tunebook.metrics import bootstrap_interval  # noqa: PLC0415

    value = metric(targets, predicted)
    if metric.name in MEANS and math.isfinite(value):
        rows = losses(metric, targets, predicted)
        low, high = mean_interval_of(rows)
        if metric.name == "rmse":
            return value, math.sqrt(low), math.sqrt(high)
        unit = value / rows.mean() if value else 1.0  # a Brier score of two classes is half the sum of squares
        return value, low * unit, high * unit
    if metric.name == "balanced_accuracy":
        return value, *balanced_accuracy_interval(targets, predicted)
    # the correction of BCa is of the order 1/n, and its price of the order n
    if len(targets) > MANY_ROWS:
        return value, *bootstrap_interval(metric, targets, predicted, resamples=500, method="percentile")
    return value, *bootstrap_interval(metric, targets, predicted)
