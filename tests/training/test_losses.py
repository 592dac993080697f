"""Losses and scores against their formulas."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tunebook.errors import SettingError
from tunebook.training.losses import accuracy, classification_loss, r_squared, regression_loss, root_mean_square

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(20, 5)) * 3
CODES = RNG.integers(0, 5, 20)
VALUES, TARGETS = RNG.normal(size=20) * 2, RNG.normal(size=20)


def log_softmax(x: np.ndarray) -> np.ndarray:
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_label_smoothing(smoothing: float) -> None:
    told = classification_loss({"label_smoothing": smoothing})(torch.from_numpy(LOGITS), torch.from_numpy(CODES))
    mixed = (1 - smoothing) * np.eye(5)[CODES] + smoothing / 5  # Szegedy et al. 2016, section 7
    assert float(told) == pytest.approx(-(mixed * log_softmax(LOGITS)).sum(axis=1).mean())
    theirs = F.cross_entropy(torch.from_numpy(LOGITS), torch.from_numpy(CODES), label_smoothing=smoothing)
    assert float(told) == float(theirs)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_focal(gamma: float) -> None:
    told = classification_loss({"loss": "focal", "loss.focal.focal_gamma": gamma})
    p = np.exp(log_softmax(LOGITS))[np.arange(20), CODES]
    expected = (-((1 - p) ** gamma) * np.log(p)).mean()
    assert float(told(torch.from_numpy(LOGITS), torch.from_numpy(CODES))) == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(20,), (20, 1)])
def test_regression(shape: tuple[int, ...]) -> None:
    outputs, targets, gap = torch.from_numpy(VALUES.reshape(shape)), torch.from_numpy(TARGETS), VALUES - TARGETS
    huber = np.where(np.abs(gap) < 0.7, gap**2 / 2, 0.7 * (np.abs(gap) - 0.35))
    assert float(regression_loss({})(outputs, targets)) == pytest.approx((gap**2).mean())
    assert float(regression_loss({"loss": "mae"})(outputs, targets)) == pytest.approx(np.abs(gap).mean())
    told = regression_loss({"loss": "huber", "huber_delta": 0.7})(outputs, targets)
    assert float(told) == pytest.approx(huber.mean())
    assert float(root_mean_square(outputs, targets)) == pytest.approx(np.sqrt((gap**2).mean()))
    expected = 1 - (gap**2).sum() / ((TARGETS - TARGETS.mean()) ** 2).sum()
    assert float(r_squared(outputs, targets)) == pytest.approx(expected)


def test_accuracy() -> None:
    share = (LOGITS.argmax(axis=1) == CODES).mean()
    assert float(accuracy(torch.from_numpy(LOGITS), torch.from_numpy(CODES))) == pytest.approx(share, abs=1e-12)


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(SettingError, match="unknown loss"):
        classification_loss({"loss": "mse"})
    with pytest.raises(SettingError, match="label_smoothing is out of range"):
        classification_loss({"label_smoothing": 2.0})
