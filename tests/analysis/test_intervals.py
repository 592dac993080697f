"""Intervals of means of skewed losses and of recalls of rare classes hold what they say."""

import numpy as np
import pytest

from tunebook.analysis.intervals import balanced_accuracy_interval, mean_interval_of
from tunebook.metrics import METRICS, bootstrap_interval


@pytest.mark.parametrize("spread", [0.5, 1.2])
def test_a_mean_of_skewed_losses_is_covered(spread: float) -> None:
    hits, plain = [], []
    for seed in range(120):
        losses = np.random.default_rng(seed).lognormal(0.0, spread, 60)
        true = np.exp(spread**2 / 2)
        low, high = mean_interval_of(losses)
        assert 0 < low < losses.mean() < high
        hits.append(low <= true <= high)
        low, high = bootstrap_interval(lambda x: float(x.mean()), losses, resamples=200, method="percentile")
        plain.append(low <= true <= high)
    assert 0.90 <= np.mean(hits) <= 0.99
    assert spread < 1 or np.mean(hits) > np.mean(plain)


def test_losses_that_are_all_alike_have_no_interval() -> None:
    assert mean_interval_of(np.full(10, 0.3)) == (pytest.approx(0.3), pytest.approx(0.3))
    assert mean_interval_of(np.zeros(10)) == (0.0, 0.0)


def test_recalls_of_rare_classes_are_covered() -> None:
    recalls, sizes = np.array([0.9, 0.6, 0.4]), (60, 20, 4)
    hits = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        truth = np.repeat(np.arange(3), sizes)
        labels = np.where(rng.random(len(truth)) < recalls[truth], truth, (truth + 1) % 3)
        low, high = balanced_accuracy_interval(truth, labels)
        assert low <= METRICS["balanced_accuracy"](truth, labels) <= high
        hits.append(low <= recalls.mean() <= high)
    assert 0.92 <= np.mean(hits) <= 0.99
