"""Metrics against scikit-learn, intervals against their definition and by coverage, chance levels by hand."""

import math
import subprocess
import sys

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tunebook.errors import DataError, SettingError
from tunebook.metrics import (
    METRICS,
    bootstrap_interval,
    chance_level,
    class_report,
    confusion_matrix,
    metric,
    wilson,
)


@st.composite
def problems(draw, least_classes=2, most_classes=5):
    """Truth with every class present, and probabilities with ties."""
    k = draw(st.integers(least_classes, most_classes))
    n = draw(st.integers(k, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    truth = rng.permutation(np.concatenate([np.arange(k), rng.integers(0, k, n - k)]))
    raw = rng.integers(0, 6, size=(n, k)) + 0.25
    return truth, raw / raw.sum(axis=1, keepdims=True)


REFERENCE = {
    "accuracy": lambda t, p: reference.accuracy_score(t, p.argmax(1)),
    "balanced_accuracy": lambda t, p: reference.balanced_accuracy_score(t, p.argmax(1)),
    "f1_macro": lambda t, p: reference.f1_score(t, p.argmax(1), average="macro", zero_division=0),
    "log_loss": lambda t, p: reference.log_loss(t, p, labels=range(p.shape[1])),
    "roc_auc": lambda t, p: reference.roc_auc_score(t, p[:, 1] if p.shape[1] == 2 else p, multi_class="ovr"),
    "brier": lambda t, p: reference.brier_score_loss(t, p, labels=range(p.shape[1])),
}


@pytest.mark.parametrize("name", sorted(REFERENCE))
@settings(max_examples=50)
@given(problem=problems())
def test_classification_scores_agree_with_scikit_learn(name, problem):
    assert metric(name)(*problem) == pytest.approx(REFERENCE[name](*problem), abs=1e-9)


@given(problem=problems(2, 2))
def test_binary_f1_agrees_with_scikit_learn(problem):
    truth, p = problem
    assert metric("f1")(truth, p) == pytest.approx(reference.f1_score(truth, p.argmax(1), zero_division=0))


@given(st.integers(2, 50), st.integers(0, 2**32))
def test_regression_scores_agree_with_scikit_learn(n, seed):
    rng = np.random.default_rng(seed)
    truth, values = rng.normal(size=n), rng.normal(size=n)
    assert metric("rmse")(truth, values) == pytest.approx(reference.root_mean_squared_error(truth, values))
    assert metric("mae")(truth, values) == pytest.approx(reference.mean_absolute_error(truth, values))
    assert metric("r2")(truth, values) == pytest.approx(reference.r2_score(truth, values))
    assert metric("rmse")(truth, values[:, None]) == metric("rmse")(truth, values)


@given(problem=problems())
def test_confusion_matrix_and_report_agree_with_scikit_learn(problem):
    truth, p = problem
    k, labels = p.shape[1], p.argmax(1)
    assert (confusion_matrix(truth, labels, k) == reference.confusion_matrix(truth, labels, labels=range(k))).all()
    expected = reference.precision_recall_fscore_support(truth, labels, labels=range(k), zero_division=0)
    for row, *numbers in zip(class_report(truth, labels, tuple("abcde"[:k])), *expected, strict=True):
        assert [row.precision, row.recall, row.f1, row.support] == pytest.approx(numbers)


def test_rows_of_the_confusion_matrix_are_the_truth():
    assert confusion_matrix([0, 0, 1], [1, 1, 1], 3).tolist() == [[0, 2, 0], [0, 1, 0], [0, 0, 0]]
    assert confusion_matrix([0, 0, 1], [1, 1, 1]).shape == (2, 2)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_the_direction_is_right_and_the_definition_is_told(name):
    """A perfect prediction is better than a constant one, by the direction that the metric names."""
    chosen = metric(name)
    truth = np.array([0, 1, 0, 1, 1])
    perfect = truth if chosen.task == "regression" else np.eye(2)[truth]
    constant = np.full(5, 0.6) if chosen.task == "regression" else np.tile([0.4, 0.6], (5, 1))
    good, bad = chosen(truth, perfect), chosen(truth, constant)
    assert good > bad if chosen.direction == "maximize" else good < bad
    assert len(chosen.definition) > 20 and chosen.definition.endswith((".", ";"))


def test_classes_that_do_not_occur_do_not_count():
    assert metric("balanced_accuracy")([0, 0, 3], [0, 1, 3]) == 0.75
    assert metric("f1_macro")([0, 0, 3], [0, 0, 3]) == 1.0
    assert metric("f1_macro")([0, 0, 3], [0, 0, 1]) == pytest.approx(1 / 3)


def test_a_diverged_model_scores_nan():
    truth = np.array([0, 1])
    for chosen in METRICS.values():
        shape = (2,) if chosen.task == "regression" else (2, 2)
        assert math.isnan(chosen(truth, np.full(shape, np.nan)))
    assert metric("rmse")([0.0, 1.0], [0.0, np.inf]) == np.inf


def test_a_certain_and_wrong_prediction_costs_a_finite_amount():
    assert metric("log_loss")([0], [[0.0, 1.0]]) == pytest.approx(-math.log(np.finfo(float).eps))


@pytest.mark.parametrize(
    ("name", "truth", "predicted", "says"),
    [
        ("accuracy", [0, 1], [0], "2 and 1 rows"),
        ("accuracy", [], [], "n > 0"),
        ("accuracy", [0.5, 1], [0, 1], "codes of classes(.|\n)*float64"),
        ("accuracy", ["a", "b"], ["a", "b"], "codes of classes"),
        ("accuracy", [0, -1], [0, 1], "got -1"),
        ("accuracy", np.eye(2, dtype=int), [0, 1], r"argmax\(axis=1\)"),
        ("f1", [0, 1, 2], [0, 1, 2], "use f1_macro"),
        ("log_loss", [0, 1], [0.1, 0.9], r"column_stack"),
        ("log_loss", [0, 2], [[0.5, 0.5], [0.5, 0.5]], "code 2, 2 columns"),
        ("log_loss", [0, 1], [[0.5, 0.5], [2.0, 3.0]], "row 1(.|\n)*softmax"),
        ("brier", [0, 1], [[-0.5, 1.5], [0.5, 0.5]], "row 0"),
        ("roc_auc", [0, 0], [[0.5, 0.5], [0.5, 0.5]], "none of class 1"),
        ("rmse", [1.0, 2.0], [1.0], "2 and 1 rows"),
        ("mae", [1.0, 2.0], np.zeros((2, 3)), "wrong shape"),
        ("r2", [1.0, 1.0], [1.0, 2.0], "all equal"),
    ],
)
def test_what_is_refused(name, truth, predicted, says):
    with pytest.raises(DataError, match=says):
        metric(name)(truth, predicted)


def test_unknown_names_and_codes():
    with pytest.raises(SettingError, match="did you mean 'accuracy'"):
        metric("acuracy")
    with pytest.raises(DataError, match="code 3"):
        confusion_matrix([0, 3], [0, 1], 3)


@given(n=st.integers(1, 10_000), data=st.data(), level=st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_agrees_with_scipy(n, data, level):
    successes = data.draw(st.integers(0, n))
    expected = stats.binomtest(successes, n).proportion_ci(level, "wilson")
    low, high = wilson(successes, n, level)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert 0 <= low <= successes / n <= high <= 1


@pytest.mark.parametrize(("successes", "n", "level"), [(5, 4, 0.95), (-1, 4, 0.95), (0, 0, 0.95)])
def test_wilson_refuses(successes, n, level):
    with pytest.raises(DataError, match="no such proportion"):
        wilson(successes, n, level)


def test_levels():
    for level in (0, 1, 95):
        with pytest.raises(SettingError, match="between 0 and 1"):
            wilson(1, 2, level)
        with pytest.raises(SettingError, match="between 0 and 1"):
            bootstrap_interval(metric("rmse"), [1.0, 2.0], [1.0, 2.0], level=level)


@pytest.mark.parametrize("method", ["bca", "percentile"])
@pytest.mark.parametrize("statistic", [np.mean, np.var])
def test_bootstrap_agrees_with_scipy(method, statistic):
    """Same sample, same statistic: the ends differ by less than the noise of the resampling. The variance is biased."""
    sample = np.random.default_rng(0).exponential(size=30)
    ours = bootstrap_interval(statistic, sample, seed=1, resamples=8000, method=method)
    told = {"n_resamples": 8000, "method": "BCa" if method == "bca" else method, "rng": np.random.default_rng(1)}
    theirs = stats.bootstrap((sample,), statistic, **told).confidence_interval
    noise = 0.03 * (theirs.high - theirs.low)
    assert ours == pytest.approx((theirs.low, theirs.high), abs=noise)


def test_bootstrap_covers_as_often_as_it_says():
    """The mean of 40 normal values: a 90 % interval holds the true mean in 90 % of 300 samples, give or take."""
    rng = np.random.default_rng(3)
    hits = 0
    for seed in range(300):
        low, high = bootstrap_interval(np.mean, rng.normal(size=40), seed=seed, resamples=300, level=0.9)
        hits += low <= 0 <= high
    assert 0.83 <= hits / 300 <= 0.95


def test_bootstrap_keeps_rows_together_and_is_seeded():
    truth = np.arange(50) % 2
    score = metric("accuracy")
    assert bootstrap_interval(score, truth, truth) == (1.0, 1.0)
    flipped = np.where(np.arange(50) < 10, 1 - truth, truth)
    one, same, other = (bootstrap_interval(score, truth, flipped, seed=s, resamples=500) for s in (1, 1, 2))
    assert one == same and one[0] < 0.8 < one[1] and other[0] < 0.8 < other[1]
    many = np.random.default_rng(0).normal(size=2000)
    low, high = bootstrap_interval(np.mean, many, resamples=200)
    assert low < many.mean() < high


def test_bootstrap_of_a_score_that_is_not_always_defined():
    truth = np.zeros(200, dtype=int)
    truth[:5] = 1
    p = np.random.default_rng(0).random(200)
    probabilities = np.column_stack([1 - p, p])
    low, high = bootstrap_interval(metric("roc_auc"), truth, probabilities, resamples=500)
    assert 0 <= low < high <= 1
    truth[1:5] = 0
    with pytest.raises(DataError, match="often not defined"):
        bootstrap_interval(metric("roc_auc"), truth, probabilities, resamples=500)
    with pytest.raises(DataError, match="not defined in most"):
        bootstrap_interval(metric("roc_auc"), np.zeros(200, dtype=int), probabilities, resamples=100)


@pytest.mark.parametrize("arrays", [([1.0, 2.0], [1.0]), ([1.0],), ()])
def test_bootstrap_refuses(arrays):
    with pytest.raises(DataError, match="nothing to resample"):
        bootstrap_interval(np.mean, *arrays)
    with pytest.raises(SettingError, match="bca or percentile"):
        bootstrap_interval(np.mean, [1.0, 2.0], method="basic")


def test_chance_levels():
    truth = np.array([0, 0, 0, 1])
    assert chance_level(truth, "classification") == 0.75
    assert chance_level(truth, "classification", "balanced_accuracy") == 0.5
    assert chance_level(truth, "classification", "roc_auc") == 0.5
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert chance_level(truth, "classification", "log_loss") == pytest.approx(entropy)
    assert chance_level(truth, "classification", learned_from=[1, 1, 0]) == 0.25
    values = np.array([1.0, 2.0, 3.0, 6.0])
    assert chance_level(values, "regression") == pytest.approx(values.std())
    assert chance_level(values, "regression", "r2") == pytest.approx(0)
    assert chance_level(values, "regression", "mae", learned_from=[1.0, 1.0]) == pytest.approx(2.0)
    with pytest.raises(SettingError, match="not a metric of a regression"):
        chance_level(values, "regression", "accuracy")
    with pytest.raises(DataError, match="no targets"):
        chance_level([], "classification")


def test_importing_metrics_and_data_loads_nothing_heavy():
    code = (
        "import sys, tunebook.metrics, tunebook.data\n"
        "print([m for m in ('torch', 'sklearn', 'pandas', 'pyarrow', 'scipy', 'mnist1d') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
