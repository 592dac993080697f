"""What an ensemble is worth: fitted on some rows, scored on others, beside the best single candidate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tunebook.ensembles.base import TIE, Array, Draws, Method, Predictions, losses
from tunebook.ensembles.combine import average, best, vote, weighted
from tunebook.ensembles.greedy import greedy
from tunebook.ensembles.stacking import stacking
from tunebook.errors import DataError
from tunebook.metrics import METRICS, Metric

FOLDS = 5
RESAMPLES = 1_000
BAGGING = "bagging"
METHODS: Mapping[str, Method] = {
    "best single": best,
    "majority vote": vote,
    "average": average,
    "weighted average": weighted,
    "greedy selection": greedy,
    "stacking": stacking,
}


@dataclass(frozen=True)
class Judged:
    """A method's score on rows it was not fitted on, its difference from the best single one, both with intervals of
    95 % (percentiles of bootstraps of the rows), how many models must be run for it, and which candidates those are."""

    method: str
    value: float
    low: float
    high: float
    difference: float
    difference_low: float
    difference_high: float
    models: int
    members: tuple[int, ...] = ()

    @property
    def separable(self) -> bool:
        """Whether the difference from the best single model is more than noise."""
        return self.difference_low > 0 or self.difference_high < 0


def cross_fitted(method: Method, told: Predictions, metric: Metric, seed: int = 0) -> Array:
    """Predictions for all rows, each by a combination that was fitted without it: (n, k) or (n,)."""
    n = len(told.truth)
    if n < 2 * FOLDS:
        raise DataError("too few rows to judge an ensemble on", got=f"{n} rows", expected=f"{2 * FOLDS} or more")
    order = np.random.default_rng([seed, 6]).permutation(n)
    if told.classes:  # each class in each fold, as far as there are rows
        order = order[np.argsort(told.truth[order], kind="stable")]
    fold = np.empty(n, dtype=np.int64)
    fold[order] = np.arange(n) % FOLDS
    out = np.empty(told.P.shape[1:])
    for f in range(FOLDS):
        combination = method(told.rows(np.flatnonzero(fold != f)), metric)
        out[fold == f] = combination.predict(told.P[:, fold == f])
    return out


def compared(told: Predictions, metric: Metric, methods: Mapping[str, Method] = METHODS, seed: int = 0) -> list[Judged]:
    """Every method beside the best single candidate, which is chosen without the rows it is scored on as well."""
    predicted = {name: cross_fitted(method, told, metric, seed) for name, method in methods.items()}
    first = next(iter(predicted))
    draws = _draws(metric, told.truth, predicted, seed)
    out = []
    for name, p in predicted.items():
        value = metric(told.truth, p)
        gaps = draws[name] - draws[first]
        low, high = np.nanquantile(draws[name], [0.025, 0.975])
        below, above = np.nanquantile(gaps, [0.025, 0.975])
        members = methods[name](told, metric).members
        base = metric(told.truth, predicted[first])
        out.append(Judged(name, value, float(low), float(high), value - base, float(below), float(above),
                          len(members), members))  # fmt: skip
    return out


def bagged(told: Draws, metric: Metric, models: int, seed: int = 0) -> Judged:
    """Bagging (Breiman 1996): models of one configuration, each trained on other rows, beside one such model.

    The mean of what the draws of the folds predicted for a row is what so many models say that were trained without it;
    the score of one model is the mean over the draws. ``models`` is how many are to be trained.
    """
    alone = {str(i): p for i, p in enumerate(told.P)}
    resampled = _draws(metric, told.truth, {**alone, "bag": told.P.mean(axis=0)}, seed)
    single = np.mean([resampled[i] for i in alone], axis=0)
    value = metric(told.truth, told.P.mean(axis=0))
    low, high = np.nanquantile(resampled["bag"], [0.025, 0.975])
    below, above = np.nanquantile(resampled["bag"] - single, [0.025, 0.975])
    gain = value - float(np.mean([metric(told.truth, p) for p in told.P]))
    return Judged(BAGGING, value, float(low), float(high), gain, float(below), float(above), models)


def corrected(
    told: Predictions, metric: Metric, folds: int, resamples: int = 200, seed: int = 0
) -> tuple[float, float, float]:
    """What the best candidate, trained on all rows, will score on new ones, and an interval of about 95 %.

    That it was chosen does not flatter it: bootstrap bias-corrected cross-validation chooses on a bootstrap of the
    rows and scores on the rows that it left out (I. Tsamardinos, E. Greasidou, G. Borboudakis, "Bootstrapping the
    out-of-sample predictions for efficient and accurate cross-validation", Machine Learning 107, 2018, algorithm 5).
    And that its ``folds`` trained on fewer rows does not belittle it: see ``with_all_rows``.
    """
    rng, n = np.random.default_rng([seed, 7]), len(told.truth)
    scores, each = [], _row_losses(told, metric)
    for _ in range(resamples):
        drawn = rng.integers(0, n, n)
        count = np.bincount(drawn, minlength=n)
        out = np.flatnonzero(count == 0)
        try:
            if each is None:
                scores.append(metric(told.truth[out], best(told.rows(drawn), metric).predict(told.P[:, out])))
            else:
                scores.append(metric(told.truth[out], told.P[int(np.argmin(each @ count)), out]))
        except DataError:  # a class that is not in the draw
            continue
    if not scores:
        raise DataError("the metric is not defined on draws of these rows", got=f"{n} rows")
    low, high = np.quantile(scores, [0.025, 0.975])
    return with_all_rows(metric, float(np.mean(scores)), float(low), float(high), folds)


def _row_losses(told: Predictions, metric: Metric) -> Array | None:
    """(m, n) losses of rows whose mean ranks candidates as the metric does; None where none do."""
    if metric.name not in ("accuracy", "log_loss", "brier", "rmse", "mae", "r2"):
        return None
    each = np.stack([losses(metric, told.truth, p) for p in told.P])
    if metric.name == "accuracy":
        each += TIE * np.stack([losses(METRICS["brier"], told.truth, p) for p in told.P])
    return each


def with_all_rows(metric: Metric, value: float, low: float, high: float, folds: int) -> tuple[float, float, float]:
    """A score of cross-validation and its interval, for a model that is trained on the rows of all folds.

    Learning curves are powers of the rows above a level that is not known (Viering and Loog 2021, arXiv:2103.10948).
    With the usual power of 1/2 a share 1 - sqrt(1 - 1 / folds) of what a score lacks to perfect goes where nothing but
    the rows is lacking, and none of it where more of them teach nothing. So the better end of the interval moves by
    all of that share, the value by half of it, and the worse end stays.
    """
    share = 1 - math.sqrt(1 - 1 / folds)
    perfect = metric.most if metric.direction == "maximize" else metric.least
    if not math.isfinite(perfect):
        return value, low, high

    def moved(score: float, part: float) -> float:
        return score + part * share * (perfect - score)

    if metric.direction == "maximize":
        return moved(value, 0.5), low, moved(high, 1.0)
    return moved(value, 0.5), moved(low, 1.0), high


def _draws(metric: Metric, truth: Array, predicted: Mapping[str, Array], seed: int) -> dict[str, Array]:
    """The metric of each method on the same bootstraps of the rows; NaN where it is not defined."""
    rng, n = np.random.default_rng([seed, 8]), len(truth)
    draws = [rng.integers(0, n, n) for _ in range(RESAMPLES if n <= 5_000 else RESAMPLES // 5)]

    def score(p: Array, rows: Array) -> float:
        try:
            return metric(truth[rows], p[rows])
        except DataError:
            return float("nan")

    return {name: np.array([score(p, rows) for rows in draws]) for name, p in predicted.items()}
