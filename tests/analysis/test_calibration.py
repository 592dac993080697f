"""Calibration curves and thresholds, against their definition and scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as theirs
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tunebook.analysis.calibration import best_threshold, calibration
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
