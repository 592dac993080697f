"""Comparisons: intervals that hold what they promise, pairs, looks, and Holm's correction."""

import numpy as np
import pytest
from scipy import stats

from tunebook.analysis.compare import compare, holm, mean_interval, race
from tunebook.errors import SettingError
from tunebook.trial import Goal

ACC, LOSS = Goal("acc", "maximize"), Goal("loss")


def test_it_is_welchs_test():
    rng = np.random.default_rng(0)
    a, b = list(rng.normal(1.0, 1.0, 7)), list(rng.normal(0.0, 3.0, 5))
    got, known = compare(a, b, ACC), stats.ttest_ind(a, b, equal_var=False)
    assert got.p == pytest.approx(known.pvalue)
    assert (got.low, got.high) == pytest.approx(tuple(known.confidence_interval(0.95)))


def test_pairs_use_what_seeds_share():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=6)
    a, b = list(shared + 0.2 + 0.05 * rng.normal(size=6)), list(shared)
    got, known = compare(a, b, ACC, paired=True), stats.ttest_rel(a, b)
    assert got.p == pytest.approx(known.pvalue)
    assert got.adopt
    assert not compare(a, b, ACC).separable


def test_the_goal_decides_which_side_is_better():
    high, low = [0.9, 0.91, 0.92], [0.5, 0.51, 0.52]
    assert compare(high, low, ACC).adopt
    assert not compare(high, low, LOSS).adopt
    assert compare(high, low, LOSS).better == "b"
    assert compare(high, low, LOSS).separable


@pytest.mark.parametrize(("a", "b"), [([], []), ([1.0], [0.0]), ([1.0, 1.1], [0.0]), ([], [1.0, 2.0])])
def test_one_value_on_a_side_is_never_enough(a, b):
    got = compare(a, b, ACC)
    assert not got.separable
    assert got.p == 1.0
    assert got.needed == -1


def test_a_deterministic_objective_is_told_apart_and_equal_values_are_not():
    assert compare([1.0, 1.0], [0.5, 0.5], ACC).adopt
    same = compare([1.0, 1.0], [1.0, 1.0], ACC)
    assert not same.separable
    assert same.better == ""


def test_needed_is_where_the_interval_would_close():
    rng = np.random.default_rng(3)
    a, b = list(rng.normal(0.6, 1.0, 4)), list(rng.normal(0.0, 1.0, 4))
    got = compare(a, b, ACC)
    assert not got.separable
    assert got.needed > 4
    more = got.needed // 4 + 1
    assert compare(a * more, b * more, ACC).separable


def test_looking_often_asks_for_more_each_time():
    a, b = [1.0, 1.4, 1.2, 1.1], [0.8, 0.9, 1.0, 0.7]
    assert compare(a, b, ACC, looks=5).high > compare(a, b, ACC).high
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(400):
        x, y = rng.normal(size=9), rng.normal(size=9)
        alarms += any(compare(list(x[:n]), list(y[:n]), ACC, looks=4).separable for n in (3, 5, 7, 9))
    assert alarms <= 0.05 * 400


def test_holm_and_the_race():
    assert holm([0.01, 0.02, 0.03]) == [True, True, True]
    assert holm([0.04, 0.02, 0.03]) == [False, False, False]
    assert holm([]) == []
    told = race({"good": [3.0, 3.1, 3.2], "same": [1.0, 1.3, 1.1], "bad": [0.1, 0.2, 0.1]}, [1.0, 1.1, 1.2], ACC)
    assert {name for name, (_, ok) in told.items() if ok} == {"good"}


def test_mean_interval_is_students():
    x = [1.0, 2.0, 4.0]
    assert mean_interval(x)[1:] == pytest.approx(stats.t.interval(0.95, 2, np.mean(x), stats.sem(x)))


def test_bad_arguments_are_refused():
    with pytest.raises(SettingError, match="pairs"):
        compare([1.0, 2.0], [1.0], ACC, paired=True)
    with pytest.raises(SettingError, match="level"):
        compare([1.0], [1.0], ACC, level=1.0)


def test_folds_of_one_data_set_are_not_independent() -> None:
    a, b = [0.90, 0.94, 0.91, 0.93, 0.92], [0.88, 0.90, 0.90, 0.89, 0.91]
    d = np.subtract(a, b)
    goal = Goal("accuracy", "maximize")  # type: ignore[arg-type]
    plain, corrected = compare(a, b, goal, paired=True), compare(a, b, goal, paired=True, overlap=0.25)
    assert plain.separable
    assert not corrected.separable  # Nadeau and Bengio 2003: sqrt((1/5 + 1/4) / (1/5)) times as wide
    width = (corrected.high - corrected.low) / (plain.high - plain.low)
    assert width == pytest.approx(1.5)
    t = stats.t.ppf(0.975, 4)
    assert corrected.high - d.mean() == pytest.approx(t * d.std(ddof=1) * (1 / 5 + 1 / 4) ** 0.5)
    mean, _, high = mean_interval(a, overlap=0.25)
    assert high - mean == pytest.approx(1.5 * (mean_interval(a)[2] - mean))
