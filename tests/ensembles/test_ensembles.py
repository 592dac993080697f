"""Ensembles of real models' out-of-fold predictions."""

from functools import cache

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from tunebook.data import open_dataset
from tunebook.ensembles import (
    Draws,
    Predictions,
    average,
    bagged,
    best,
    compared,
    corrected,
    cross_fitted,
    greedy,
    selection_loss,
    stacking,
    vote,
    weighted,
    with_all_rows,
)
from tunebook.ensembles.base import Weighted, loss
from tunebook.errors import DataError
from tunebook.metrics import METRICS

ACCURACY, LOG_LOSS, RMSE = METRICS["accuracy"], METRICS["log_loss"], METRICS["rmse"]


@cache
def cancer() -> Predictions:
    data = open_dataset("sklearn:breast_cancer")
    x = StandardScaler().fit_transform(data.inputs[:, :8])
    models = [LogisticRegression(), GaussianNB(), *(KNeighborsClassifier(k) for k in (1, 5, 25)),
              *(DecisionTreeClassifier(max_depth=d, random_state=0) for d in (1, 3, 9))]  # fmt: skip
    told = [cross_val_predict(m, x, data.targets, cv=5, method="predict_proba") for m in models]
    return Predictions(np.stack(told), data.targets)


@cache
def diabetes() -> Predictions:
    data = open_dataset("sklearn:diabetes")
    models = [LinearRegression(), make_pipeline(StandardScaler(), KNeighborsRegressor(15)),
              *(DecisionTreeRegressor(max_depth=d, random_state=0) for d in (2, 4, 8))]  # fmt: skip
    return Predictions(np.stack([cross_val_predict(m, data.inputs, data.targets, cv=5) for m in models]), data.targets)


def test_a_bag_is_judged_beside_one_of_its_models() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=400)
    noisy = np.stack([truth + rng.normal(size=400) for _ in range(6)])
    told = bagged(Draws(noisy, truth), RMSE, 5)
    assert told.value == pytest.approx(6**-0.5, rel=0.15)
    assert told.difference == pytest.approx(6**-0.5 - 1, rel=0.15)
    assert told.separable
    assert told.models == 5
    same = bagged(Draws(np.stack([noisy[0]] * 6), truth), RMSE, 5)
    assert same.difference == pytest.approx(0.0, abs=1e-12)
    assert not same.separable


@pytest.mark.parametrize("method", [best, average, weighted, greedy])
def test_weights_are_a_mean(method) -> None:  # type: ignore[no-untyped-def]
    for told, metric in ((cancer(), LOG_LOSS), (diabetes(), RMSE)):
        combination = method(told, metric)
        assert isinstance(combination, Weighted)
        assert combination.weights.min() >= 0
        assert combination.weights.sum() == pytest.approx(1.0)
        assert combination.members == tuple(np.flatnonzero(combination.weights > 0))
        predicted = combination.predict(told.P)
        assert predicted == pytest.approx(np.einsum("m,m...->...", combination.weights, told.P))


def test_fitted_weights_are_the_best_there_are() -> None:
    rng = np.random.default_rng(0)
    for told, metric in ((cancer(), LOG_LOSS), (diabetes(), RMSE)):
        mine = loss(metric, told.truth, weighted(told, metric).predict(told.P))
        for w in [*np.eye(len(told.P)), *rng.dirichlet(np.full(len(told.P), 0.5), 300)]:
            assert mine <= loss(metric, told.truth, Weighted(w).predict(told.P)) + 1e-3 * abs(mine)


def test_greedy_selection_is_better_than_the_best_and_keeps_to_a_budget() -> None:
    for told, metric in ((cancer(), LOG_LOSS), (diabetes(), RMSE)):
        combination = greedy(told, metric)
        single = best(told, metric).predict(told.P)
        assert loss(metric, told.truth, combination.predict(told.P)) <= loss(metric, told.truth, single)
    for told in (cancer(), diabetes()):
        metric = ACCURACY if told.classes else RMSE
        costs = [1.0, *range(2, len(told.P) + 1)]
        some = greedy(told, metric, costs, 4.0)
        assert sum(costs[i] for i in some.members) <= 4
        cheap = [p for p, c in zip(told.P, costs, strict=True) if c <= 4]
        mine = selection_loss(metric, told.truth, some.predict(told.P))
        assert mine <= min(selection_loss(metric, told.truth, p) for p in cheap)
    twins = Predictions(np.stack([cancer().P[0]] * 5), cancer().truth)
    assert len(greedy(twins, LOG_LOSS).members) == 1  # nothing is gained by more of the same


def test_a_vote_is_a_vote() -> None:
    P = np.array([[[0.9, 0.1]], [[0.4, 0.6]], [[0.3, 0.7]]])
    told = Predictions(P, np.array([1]))
    assert vote(told, ACCURACY).predict(P).tolist() == [[1 / 3, 2 / 3]]
    assert vote(Predictions(P[:, :, 0], np.array([1.0])), RMSE).predict(P[:, :, 0]).tolist() == [0.4]


def test_nothing_is_fitted_on_the_rows_it_is_scored_on() -> None:
    """What is true of a row has no say in what is predicted for it."""
    told = diabetes()
    truth = told.truth.copy()
    truth[7] *= 100
    for method in (stacking, weighted, greedy, best):
        seen = cross_fitted(method, told, RMSE)
        other = cross_fitted(method, Predictions(told.P, truth), RMSE)
        assert seen[7] == other[7]
    assert not (cross_fitted(stacking, told, RMSE) == cross_fitted(stacking, Predictions(told.P, truth), RMSE)).all()


def test_all_kinds_are_compared_with_the_best_single_one() -> None:
    for told, metric in ((cancer(), LOG_LOSS), (diabetes(), RMSE)):
        judged = {j.method: j for j in compared(told, metric)}
        assert next(iter(judged)) == "best single"
        assert judged["best single"].difference == 0
        for j in judged.values():
            assert j.low <= j.value <= j.high
            assert j.difference_low <= j.difference <= j.difference_high
            assert 1 <= j.models <= len(told.P)
        assert judged["greedy selection"].value <= judged["best single"].value * 1.02
    assert {j.method: j for j in compared(cancer(), LOG_LOSS)}["majority vote"].separable  # votes are no probabilities


def test_the_best_of_many_is_flattered_and_the_correction_takes_it_back() -> None:
    data = open_dataset("sklearn:breast_cancer")
    rng = np.random.default_rng(0)
    chosen, told = [], []
    for _ in range(10):  # 50 models that know nothing, on 100 rows: the best looks as if it knew something
        p = rng.random((50, 100))
        some = Predictions(np.stack([1 - p, p], axis=2), rng.permutation(data.targets)[:100])
        some = Predictions(some.P, rng.integers(0, 2, 100))
        chosen.append(max(ACCURACY(some.truth, one) for one in some.P))
        told.append(corrected(some, ACCURACY, 10**9, resamples=50)[0])  # so many folds lack no rows
    assert np.mean(chosen) > 0.58
    assert abs(np.mean(told) - 0.5) < 0.02


def test_the_rows_that_folds_lack_move_the_better_end_of_an_interval() -> None:
    share = 1 - 0.8**0.5
    assert with_all_rows(RMSE, 2.0, 1.0, 3.0, 5) == pytest.approx((2 - share, 1 - share, 3.0))
    up = with_all_rows(ACCURACY, 0.8, 0.7, 0.9, 5)
    assert up == pytest.approx((0.8 + 0.1 * share, 0.7, 0.9 + 0.1 * share))
    assert with_all_rows(RMSE, 2.0, 1.0, 3.0, 10)[0] > with_all_rows(RMSE, 2.0, 1.0, 3.0, 5)[0]
    told = cancer()
    for metric in (ACCURACY, LOG_LOSS, METRICS["roc_auc"]):
        value, low, high = corrected(told, metric, 5, resamples=50)
        assert low < value < high


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(DataError, match="do not fit"):
        Predictions(np.zeros((2, 3)), np.zeros(4))
    with pytest.raises(DataError, match="too few rows"):
        cross_fitted(best, diabetes().rows(np.arange(5)), RMSE)
