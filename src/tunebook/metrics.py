"""Scores of predictions, with their direction and what they need; intervals; what chance would score.

Notation: n examples, k classes; truth (n,) holds codes 0..k-1 or values, labels (n,) predicted codes,
probabilities (n, k) rows that sum to 1, values (n,) predicted numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tunebook.errors import DataError, SettingError, nearest

Array = NDArray[Any]
Needs = Literal["labels", "probabilities", "values"]
TINY = float(np.finfo(np.float64).eps)
MIN_DEFINED = 0.9
MAX_JACKKNIFE = 500


def accuracy(truth: ArrayLike, labels: ArrayLike) -> float:
    """Share of examples whose label is right."""
    t, p = _labels(truth, labels)
    return float((t == p).mean())


def balanced_accuracy(truth: ArrayLike, labels: ArrayLike) -> float:
    """Mean over the classes present in the truth of the share of their examples that are labelled right."""
    matrix = _counts(*_labels(truth, labels))
    support = matrix.sum(axis=1)
    seen = support > 0
    return float((matrix.diagonal()[seen] / support[seen]).mean())


def f1(truth: ArrayLike, labels: ArrayLike) -> float:
    """2 TP / (2 TP + FP + FN) of class 1, for two classes; 0 where class 1 is neither true nor predicted.

    Raises DataError for codes other than 0 and 1.
    """
    t, p = _labels(truth, labels)
    if max(t.max(), p.max()) > 1:
        raise DataError("f1 is for two classes", got=f"code {max(t.max(), p.max())}", fix="use f1_macro")
    both = t.sum() + p.sum()
    return float(2 * (t * p).sum() / both) if both else 0.0


def f1_macro(truth: ArrayLike, labels: ArrayLike) -> float:
    """Mean F1 over the classes that are true or predicted somewhere."""
    matrix = _counts(*_labels(truth, labels))
    both = matrix.sum(axis=0) + matrix.sum(axis=1)
    seen = both > 0
    return float((2 * matrix.diagonal()[seen] / both[seen]).mean())


def log_loss(truth: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean of -ln p(true class) in nats; probabilities below 2.2e-16 count as 2.2e-16."""
    t, p = _probabilities(truth, probabilities)
    return float(-np.log(np.clip(p[np.arange(len(t)), t], TINY, 1.0)).mean())


def brier(truth: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean squared distance to the 0/1 vector of the true class (Brier 1950): 0 to 2, halved for two classes."""
    t, p = _probabilities(truth, probabilities)
    distance = ((p - np.eye(p.shape[1])[t]) ** 2).sum(axis=1).mean()
    return float(distance / 2 if p.shape[1] == 2 else distance)


def roc_auc(truth: ArrayLike, probabilities: ArrayLike) -> float:
    """Chance that an example of a class is scored above one of another, ties half (Mann and Whitney 1947).

    For more than two classes the unweighted mean over the classes, each against the rest.

    Raises DataError when a class has no example: the score is not defined then.
    """
    t, p = _probabilities(truth, probabilities)
    k = p.shape[1]
    counts = np.bincount(t, minlength=k)
    if (counts == 0).any():
        raise DataError(
            "ROC-AUC needs examples of every class",
            got=f"none of class {int(np.argmin(counts))}",
            fix="a larger or stratified part, or another metric",
        )
    return float(np.mean([_auc(t == c, p[:, c]) for c in ([1] if k == 2 else range(k))]))


def average_precision(truth: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean of the precision at each true example of a class, from the surest prediction down; ties count as one step.

    Of the second of two classes; for more the unweighted mean over the classes. It says more than ROC-AUC where a class
    is rare (Davis and Goadrich 2006). Raises DataError when a class has no example: the score is not defined then.
    """
    t, p = _probabilities(truth, probabilities)
    k = p.shape[1]
    counts = np.bincount(t, minlength=k)
    wanted = [1] if k == 2 else list(range(k))
    if (counts[wanted] == 0).any():
        raise DataError("average precision needs examples of every class",
                        got=f"none of class {wanted[int(np.argmin(counts[wanted]))]}",
                        fix="a larger or stratified part, or another metric")  # fmt: skip
    return float(np.mean([_precision(t == c, p[:, c]) for c in wanted]))


def matthews(truth: ArrayLike, labels: ArrayLike) -> float:
    """Correlation of truth and labels, from -1 to 1; 0 where one is constant.

    Matthews 1975; for more classes Gorodkin 2004.
    """
    matrix = _counts(*_labels(truth, labels)).astype(np.float64)
    n, right = matrix.sum(), matrix.trace()
    true, told = matrix.sum(axis=1), matrix.sum(axis=0)
    spread = float((n * n - (true**2).sum()) * (n * n - (told**2).sum()))
    return float((right * n - true @ told) / math.sqrt(spread)) if spread > 0 else 0.0


def rmse(truth: ArrayLike, values: ArrayLike) -> float:
    """Root of the mean squared error, in the units of the target."""
    t, p = _values(truth, values)
    return float(np.sqrt(((t - p) ** 2).mean()))


def mae(truth: ArrayLike, values: ArrayLike) -> float:
    """Mean absolute error, in the units of the target."""
    t, p = _values(truth, values)
    return float(np.abs(t - p).mean())


def r2(truth: ArrayLike, values: ArrayLike) -> float:
    """1 - squared error / squared error of the mean of these targets: 1 is perfect, 0 as good as that mean.

    Raises DataError when the targets do not vary.
    """
    t, p = _values(truth, values)
    spread = ((t - t.mean()) ** 2).sum()
    if spread == 0:
        raise DataError("R2 is not defined for targets that are all equal", got=f"{len(t)} targets of {t[0]:g}")
    return float(1 - ((t - p) ** 2).sum() / spread)


@dataclass(frozen=True)
class Metric:
    """A score: its function (truth, predicted) -> float, which way is better, what ``predicted`` must be, and the least
    and the most that it can be."""

    name: str
    function: Callable[[ArrayLike, ArrayLike], float]
    direction: Literal["maximize", "minimize"]
    needs: Needs
    least: float = -math.inf
    most: float = math.inf

    @property
    def task(self) -> Literal["classification", "regression"]:
        return "regression" if self.needs == "values" else "classification"

    @property
    def definition(self) -> str:
        """The first line of the function's docstring."""
        return (self.function.__doc__ or "").partition("\n")[0]

    def __call__(self, truth: ArrayLike, predicted: ArrayLike) -> float:
        """The score. Where labels are needed, probabilities (n, k) are taken by their largest entry.

        NaN where a prediction is NaN: the model has diverged, and that is not an error of the caller.
        """
        given = np.asarray(predicted)
        if given.dtype.kind == "f" and np.isnan(given).any():
            return math.nan
        if self.needs == "labels" and given.ndim == 2:
            given = given.argmax(axis=1)
        return self.function(truth, given)


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        m.name: m
        for m in (
            Metric("accuracy", accuracy, "maximize", "labels", 0.0, 1.0),
            Metric("balanced_accuracy", balanced_accuracy, "maximize", "labels", 0.0, 1.0),
            Metric("f1", f1, "maximize", "labels", 0.0, 1.0),
            Metric("f1_macro", f1_macro, "maximize", "labels", 0.0, 1.0),
            Metric("log_loss", log_loss, "minimize", "probabilities", 0.0),
            Metric("brier", brier, "minimize", "probabilities", 0.0, 2.0),
            Metric("roc_auc", roc_auc, "maximize", "probabilities", 0.0, 1.0),
            Metric("average_precision", average_precision, "maximize", "probabilities", 0.0, 1.0),
            Metric("matthews", matthews, "maximize", "labels", -1.0, 1.0),
            Metric("rmse", rmse, "minimize", "values", 0.0),
            Metric("mae", mae, "minimize", "values", 0.0),
            Metric("r2", r2, "maximize", "values", most=1.0),
        )
    }
)


def possible(name: str, interval: tuple[float, float, float]) -> tuple[float, float, float]:
    """A mean and its interval (mean, low, high), cut to what the metric of that name can be.

    As it is where the name is not known, or the mean is on another scale (an accuracy in percent).

    >>> possible("accuracy", (0.99, 0.97, 1.01)), possible("accuracy", (99.0, 97.0, 101.0))
    ((0.99, 0.97, 1.0), (99.0, 97.0, 101.0))
    """
    known, (mean, low, high) = METRICS.get(name), interval
    if known is None or not known.least <= mean <= known.most:
        return interval
    return mean, max(low, known.least), min(high, known.most)


def metric(name: str) -> Metric:
    """The metric of that name. Raises SettingError with the nearest name.

    >>> metric("accuracy").direction
    'maximize'
    """
    if name not in METRICS:
        raise SettingError("unknown metric", where="metric", got=repr(name), fix=nearest(name, METRICS))
    return METRICS[name]


def confusion_matrix(truth: ArrayLike, labels: ArrayLike, classes: int = 0) -> Array:
    """(k, k) counts: row the true class, column the predicted one. ``classes`` is k; 0 takes the largest code.

    Raises DataError for codes beyond ``classes``.
    """
    return _counts(*_labels(truth, labels), classes)


@dataclass(frozen=True)
class ClassScore:
    """One class: precision and recall (0 where there is nothing to divide by), F1, and its true examples."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


def class_report(truth: ArrayLike, labels: ArrayLike, classes: tuple[str, ...]) -> tuple[ClassScore, ...]:
    """Precision, recall, F1 and support of each class, in order."""
    matrix = confusion_matrix(truth, labels, len(classes))
    right, predicted, true = matrix.diagonal(), matrix.sum(axis=0), matrix.sum(axis=1)

    def share(part: int, whole: int) -> float:
        return float(part / whole) if whole else 0.0

    return tuple(
        ClassScore(
            label,
            share(right[c], predicted[c]),
            share(right[c], true[c]),
            share(2 * right[c], predicted[c] + true[c]),
            int(true[c]),
        )
        for c, label in enumerate(classes)
    )


def wilson(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of a proportion: the values that a score test at 1 - level does not reject (Wilson 1927).

    >>> low, high = wilson(95, 100)
    >>> round(low, 4), round(high, 4)
    (0.8882, 0.9785)
    """
    _check_level(level)
    if n < 1 or not 0 <= successes <= n:
        raise DataError("no such proportion", got=f"{successes} of {n}", expected="0 <= successes <= n, n > 0")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, shrink = successes / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (0.0 if successes == 0 else middle - half), (1.0 if successes == n else middle + half)


def bootstrap_interval(
    function: Callable[..., float],
    *arrays: ArrayLike,
    seed: int = 0,
    resamples: int = 2000,
    level: float = 0.95,
    method: Literal["bca", "percentile"] = "bca",
) -> tuple[float, float]:
    """Bootstrap interval of ``function(*arrays)``; rows of all arrays are drawn together.

    bca corrects the percentiles for bias and skew (Efron 1987; acceleration from the jackknife, over 500
    groups of rows where there are more rows). A resample in which the function is not
    defined (it raises DataError or gives NaN) is left out.

    Raises DataError when more than 10 % are, or for arrays of unequal length or fewer than two rows.
    """
    _check_level(level)
    rows = [np.asarray(a) for a in arrays]
    sizes = {len(a) for a in rows}
    if len(sizes) != 1 or min(sizes) < 2 or resamples < 100:
        raise DataError(
            "nothing to resample",
            got=f"arrays of {sorted(sizes)} rows, {resamples} resamples",
            expected="arrays of one length, at least 2 rows and 100 resamples",
        )
    n = sizes.pop()
    if method not in ("bca", "percentile"):
        raise SettingError("unknown bootstrap method", got=repr(method), expected="bca or percentile")
    rng = np.random.default_rng(seed)
    draws = np.array([_score(function, [a[i] for a in rows]) for i in _draws(rng, n, resamples)])
    scores = np.sort(draws[~np.isnan(draws)])
    if len(scores) < MIN_DEFINED * resamples:
        raise DataError(
            "the score is not defined in most resamples" if len(scores) == 0 else "the score is often not defined",
            got=f"{resamples - len(scores)} of {resamples} resamples without a score",
            fix="more rows of the rare class, or another metric",
        )
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "bca" and scores[0] < scores[-1]:
        tails = _bca_tails(function, rows, scores, tails)
    low, high = np.quantile(scores, tails)
    return float(low), float(high)


def chance_level(targets: ArrayLike, task: str, name: str = "", learned_from: ArrayLike | None = None) -> float:
    """What a model scores that ignores its inputs: the commonest class, the class shares, or the mean.

    targets        (n,) the part that is scored
    name           metric; default accuracy for a classification, rmse for a regression
    learned_from   (m,) the training targets, from which the constant is taken; default ``targets``
    """
    chosen = metric(name or ("rmse" if task == "regression" else "accuracy"))
    if chosen.task != task:
        raise SettingError(f"{chosen.name} is not a metric of a {task}", got=chosen.name)
    truth = np.asarray(targets)
    source = truth if learned_from is None else np.asarray(learned_from)
    if len(truth) == 0 or len(source) == 0:
        raise DataError("no targets to score", got=f"{len(truth)} targets, learned from {len(source)}")
    if chosen.needs == "values":
        return chosen(truth, np.full(len(truth), source.mean()))
    k = max(2, int(max(truth.max(), source.max())) + 1)
    shares = np.bincount(source, minlength=k) / len(source)
    return chosen(truth, np.tile(shares, (len(truth), 1)))


def _score(function: Callable[..., float], arrays: list[Array]) -> float:
    try:
        return float(function(*arrays))
    except DataError:
        return math.nan


def _draws(rng: np.random.Generator, n: int, resamples: int) -> Any:
    return (rng.integers(0, n, n) for _ in range(resamples))


def _bca_tails(function: Callable[..., float], rows: list[Array], scores: Array, tails: Array) -> Array:
    """The percentiles to read instead of ``tails``: shifted by z0, scaled by the acceleration."""
    normal = NormalDist()
    n = len(rows[0])
    whole = _score(function, rows)
    below = ((scores < whole).sum() + 0.5 * (scores == whole).sum()) / len(scores)
    half_draw = 0.5 / len(scores)
    z0 = normal.inv_cdf(float(np.clip(below, half_draw, 1 - half_draw)))
    groups = np.array_split(np.arange(n), min(n, MAX_JACKKNIFE))
    left = np.array([_score(function, [np.delete(a, g, axis=0) for a in rows]) for g in groups])
    left = left[~np.isnan(left)]
    pulls = left.mean() - left if len(left) else np.zeros(1)
    spread = (pulls**2).sum()
    acceleration = float((pulls**3).sum() / (6 * spread**1.5)) if spread > 0 else 0.0
    shifted = []
    for tail in tails:
        z = z0 + normal.inv_cdf(float(tail))
        shifted.append(normal.cdf(z0 + z / (1 - acceleration * z)))
    return np.array(shifted)


def _auc(positive: Array, scores: Array) -> float:
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    p = int(positive.sum())
    return float((ranks[positive].sum() - p * (p + 1) / 2) / (p * (len(scores) - p)))


def _precision(positive: Array, scores: Array) -> float:
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(positive[order])
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # the last row of each group of ties
    gained = np.diff(np.append(0, hits[ends]))
    return float((gained * hits[ends] / (ends + 1)).sum() / hits[-1])


def _counts(truth: Array, labels: Array, classes: int = 0) -> Array:
    top = int(max(truth.max(), labels.max())) + 1
    k = classes or top
    if top > k:
        raise DataError("a code is beyond the classes", got=f"code {top - 1}", expected=f"0 to {k - 1}")
    counts: Array = np.bincount(truth * k + labels, minlength=k * k).reshape(k, k)
    return counts


def _codes(codes: ArrayLike, what: str) -> Array:
    array = np.asarray(codes)
    if array.ndim != 1 or len(array) == 0 or array.dtype.kind not in "biu":
        raise DataError(
            f"{what} must be codes of classes",
            got=f"shape {array.shape}, dtype {array.dtype}",
            expected="(n,) integers, n > 0",
            fix="probabilities.argmax(axis=1)" if array.ndim == 2 else "",
        )
    array = array.astype(np.int64)
    if array.min() < 0:
        raise DataError(f"{what} must be codes of classes", got=f"{array.min()}", expected="0 or more")
    return array


def _labels(truth: ArrayLike, labels: ArrayLike) -> tuple[Array, Array]:
    t, p = _codes(truth, "the truth"), _codes(labels, "predicted labels")
    return _same_length(t, p)


def _probabilities(truth: ArrayLike, probabilities: ArrayLike) -> tuple[Array, Array]:
    t, p = _codes(truth, "the truth"), np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or p.shape[1] < 2:
        raise DataError(
            "probabilities have the wrong shape",
            got=str(p.shape),
            expected="(n, classes), two columns also for two classes",
            fix="numpy.column_stack([1 - p, p])" if p.ndim == 1 else "",
        )
    _same_length(t, p)
    if t.max() >= p.shape[1]:
        raise DataError("a true class has no probability", got=f"code {t.max()}, {p.shape[1]} columns")
    off = ~(np.abs(p.sum(axis=1) - 1) < 1e-3) | (p < 0).any(axis=1)
    if off.any():
        row = int(np.argmax(off))
        raise DataError(
            "rows of probabilities must be positive and sum to 1",
            where=f"row {row}",
            got=f"sum {p[row].sum():g}, least {p[row].min():g}",
            fix="apply softmax to logits first",
        )
    return t, p


def _values(truth: ArrayLike, values: ArrayLike) -> tuple[Array, Array]:
    t, p = np.asarray(truth, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if p.ndim == 2 and p.shape[1] == 1:
        p = p[:, 0]
    if t.ndim != 1 or p.ndim != 1 or len(t) == 0:
        raise DataError("predicted values have the wrong shape", got=f"{t.shape} and {p.shape}", expected="(n,), n > 0")
    return _same_length(t, p)


def _same_length(truth: Array, predicted: Array) -> tuple[Array, Array]:
    if len(truth) != len(predicted):
        raise DataError("truth and predictions do not go together", got=f"{len(truth)} and {len(predicted)} rows")
    return truth, predicted


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise SettingError("the level of an interval lies between 0 and 1", got=repr(level), fix="0.95")
