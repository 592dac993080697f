"""Calibration curves and thresholds, against their definition and scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as theirs
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tunebook.analysis.calibration import (
    Calibrator,
    best_threshold,
    calibration,
    calibrator,
    isotonic_fit,
    safe_threshold,
    sigmoid_fit,
)
from tunebook.data import open_dataset
from tunebook.errors import DataError
from tunebook.metrics import METRICS

DATA = open_dataset("sklearn:breast_cancer")


def test_a_model_that_is_too_sure_is_told_apart() -> None:
    sane = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    told = {name: calibration(DATA.targets, cross_val_predict(m, DATA.inputs, DATA.targets, method="predict_proba"))
            for name, m in {"logistic": sane, "bayes": GaussianNB()}.items()}  # fmt: skip
    assert told["logistic"].error < told["bayes"].error
    for curve in told.values():
        assert sum(b.count for b in curve.bins) == len(DATA)
        assert [b.predicted for b in curve.bins] == sorted(b.predicted for b in curve.bins)
        assert all(b.low <= b.observed <= b.high for b in curve.bins)
    wine = open_dataset("sklearn:wine")
    p = np.eye(3)[wine.targets] * 0.7 + 0.1
    assert calibration(wine.targets, p).error == pytest.approx(0.2)  # always right, and says 80 %


def test_a_threshold_is_the_best_there_is_and_one_half_without_need() -> None:
    rare = np.concatenate([np.flatnonzero(DATA.targets == 0)[:30], np.flatnonzero(DATA.targets == 1)])
    truth = 1 - DATA.targets[rare]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3))
    p = cross_val_predict(model, DATA.inputs[rare], truth, method="predict_proba")
    f1 = METRICS["f1"]
    at, value = best_threshold(truth, p, f1)
    assert at < 0.5
    assert value == pytest.approx(f1(truth, (p[:, 1] >= at).astype(int)))
    assert value > f1(truth, p.argmax(axis=1)) + 0.1
    assert value >= max(f1(truth, (p[:, 1] >= t).astype(int)) for t in np.linspace(0.02, 0.98, 25)) - 0.02
    sure = np.stack([1 - truth * 0.8 - 0.1, truth * 0.8 + 0.1], axis=1)
    assert best_threshold(truth, sure, f1) == (0.5, 1.0)
    with pytest.raises(DataError, match="two classes"):
        best_threshold(truth, p, METRICS["log_loss"])


def test_average_precision_and_matthews_are_what_scikit_learn_says() -> None:
    rng = np.random.default_rng(0)
    for k in (2, 3):
        truth = rng.integers(0, k, 200)
        p = np.round(rng.dirichlet(np.ones(k), 200) + 0.3 * np.eye(k)[truth], 1)  # with ties
        p /= p.sum(axis=1, keepdims=True)
        expected = (theirs.average_precision_score(truth, p[:, 1]) if k == 2
                    else np.mean([theirs.average_precision_score(truth == c, p[:, c]) for c in range(k)]))  # fmt: skip
        assert METRICS["average_precision"](truth, p) == pytest.approx(expected)
        assert METRICS["matthews"](truth, p) == pytest.approx(theirs.matthews_corrcoef(truth, p.argmax(axis=1)))
    assert METRICS["matthews"](np.array([0, 1, 1]), np.array([1, 1, 1])) == 0.0
    with pytest.raises(DataError, match="none of class 1"):
        METRICS["average_precision"](np.zeros(5, dtype=int), np.full((5, 2), 0.5))


def made_up(n: int, too_sure: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Labels, the probabilities that they were drawn with, and those with log-odds that are too large."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(0.3, 1.5, n)
    truth = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    told = [1 / (1 + np.exp(-odds * k)) for k in (1.0, too_sure)]
    return truth, *(np.stack([1 - p, p], axis=1) for p in told)  # type: ignore[return-value]


def test_a_sigmoid_undoes_what_was_done_to_the_odds() -> None:
    truth, right, sure = made_up(4_000, 3.0)
    found = sigmoid_fit(truth, sure)
    assert found.slope == pytest.approx(1 / 3, rel=0.1)
    assert found.apply(sure) == pytest.approx(right, abs=0.05)
    assert found.apply(sure).sum(axis=1) == pytest.approx(1.0)


def test_isotonic_is_scikit_learns_up_to_its_steps() -> None:
    truth, _, sure = made_up(3_000, 3.0)
    theirs_ = IsotonicRegression(out_of_bounds="clip").fit(sure[:, 1], truth).predict(sure[:, 1])
    mine = isotonic_fit(truth, sure)
    assert list(mine.x) == sorted(mine.x)
    assert list(mine.y) == sorted(mine.y)
    assert np.abs(mine.apply(sure)[:, 1] - theirs_).mean() < 0.02


def test_probabilities_are_calibrated_where_that_gains_on_other_rows() -> None:
    truth, _, sure = made_up(2_000, 3.0)
    told, gain = calibrator(truth, sure)
    assert told is not None
    assert gain > 0.1
    log_loss = METRICS["log_loss"]
    assert log_loss(truth, told.apply(sure)) < log_loss(truth, sure) - 0.1
    assert Calibrator.from_json({"kind": told.kind, "slope": told.slope, "shift": told.shift, "x": list(told.x),
                                 "y": list(told.y)}) == told  # fmt: skip
    helped = [calibrator(*made_up(300, 1.0, seed)[:2])[1] for seed in range(10)]
    assert max(helped) < 0.03  # there is nothing to gain


def test_three_classes_share_a_temperature() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(3_000, 3))
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    truth = np.array([rng.choice(3, p=row) for row in p])
    sharp = p**4 / (p**4).sum(axis=1, keepdims=True)
    assert sigmoid_fit(truth, sharp).slope == pytest.approx(0.25, rel=0.1)
    assert sigmoid_fit(truth, sharp).apply(sharp) == pytest.approx(p, abs=0.05)


def test_a_threshold_moves_only_where_it_gains_on_other_rows() -> None:
    truth, right, _ = made_up(2_000, 1.0)
    rare = np.stack([1 - right[:, 1] * 0.3, right[:, 1] * 0.3], axis=1)  # the second class is told too seldom
    assert safe_threshold(truth, rare, METRICS["balanced_accuracy"]) < 0.3
    noise = np.random.default_rng(1).random(60)
    still = [safe_threshold(np.random.default_rng(s).integers(0, 2, 60), np.stack([1 - noise, noise], axis=1),
                            METRICS["balanced_accuracy"]) for s in range(10)]  # fmt: skip
    assert still.count(0.5) >= 3
