"""Losses and scores against their formulas."""

import numpy as np
import pytest
import torch
from sklearn import metrics
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from torch.nn import functional as F

from tunebook.errors import DataError, SettingError
from tunebook.training import Part, multilabel
from tunebook.training.losses import (
    accuracy,
    class_weights,
    classification_loss,
    counted,
    exact_match,
    f1_macro,
    f1_micro,
    label_accuracy,
    multilabel_loss,
    r_squared,
    regression_loss,
    root_mean_square,
)

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


LABELS = (RNG.random((20, 4)) < [0.1, 0.4, 0.7, 0.5]).astype(float)
ANSWERS = RNG.normal(size=(20, 4)) * 2


def test_class_weights_are_those_of_scikit_learn() -> None:
    codes = np.repeat([0, 1, 2], [10, 25, 65])
    theirs = compute_class_weight("balanced", classes=np.arange(3), y=codes)
    counts = counted(torch.from_numpy(codes))
    assert counts == [10, 25, 65]
    assert class_weights(counts, 1.0) == pytest.approx(theirs)
    assert class_weights(counts, 0.5) == pytest.approx(np.sqrt(theirs))
    assert np.mean(np.array(class_weights(counts, 1.0))[codes]) == pytest.approx(1.0)
    assert class_weights([3, 0], 1.0) == [1.0, 1.0]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_weighted_cross_entropy(smoothing: float) -> None:
    """Torch's, which divides by the sum of the weights of the rows; ours divides by the rows."""
    counts = np.bincount(CODES, minlength=5).tolist()
    config = {"class_weights": 1.0, "label_smoothing": smoothing}
    told = classification_loss(config, counts)(torch.from_numpy(LOGITS), torch.from_numpy(CODES))
    weights = np.array(class_weights(counts, 1.0))
    theirs = nn.CrossEntropyLoss(torch.from_numpy(weights), label_smoothing=smoothing)
    expected = float(theirs(torch.from_numpy(LOGITS), torch.from_numpy(CODES))) * weights[CODES].mean()
    assert float(told) == pytest.approx(expected, rel=1e-6)
    given = classification_loss({"label_smoothing": smoothing}, counts, weights.tolist())
    assert float(given(torch.from_numpy(LOGITS), torch.from_numpy(CODES))) == pytest.approx(expected, rel=1e-6)


def test_weighted_focal() -> None:
    told = classification_loss({"loss": "focal"}, weights=[0.5, 1.0, 2.0, 1.0, 3.0])
    p = np.exp(log_softmax(LOGITS))[np.arange(20), CODES]
    expected = (-np.array([0.5, 1.0, 2.0, 1.0, 3.0])[CODES] * (1 - p) ** 2 * np.log(p)).mean()
    assert float(told(torch.from_numpy(LOGITS), torch.from_numpy(CODES))) == pytest.approx(expected)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_several_labels(share: float, smoothing: float) -> None:
    counts = counted(torch.from_numpy(LABELS))
    told = multilabel_loss({"class_weights": share, "label_smoothing": smoothing}, counts, 20)
    p, n = 1 / (1 + np.exp(-ANSWERS)), LABELS.sum(axis=0)
    target = LABELS * (1 - smoothing) + smoothing / 2
    expected = -(((20 - n) / n) ** share * target * np.log(p) + (1 - target) * np.log(1 - p)).mean()
    assert float(told(torch.from_numpy(ANSWERS), torch.from_numpy(LABELS))) == pytest.approx(expected, rel=1e-6)


def test_focal_of_several_labels() -> None:
    told = multilabel_loss({"loss": "focal", "focal_gamma": 1.5})
    p = 1 / (1 + np.exp(-ANSWERS))
    true = np.where(LABELS == 1, p, 1 - p)
    expected = (-((1 - true) ** 1.5) * np.log(true)).mean()
    assert float(told(torch.from_numpy(ANSWERS), torch.from_numpy(LABELS))) == pytest.approx(expected)


def test_scores_of_several_labels_are_those_of_scikit_learn() -> None:
    outputs, targets, told = torch.from_numpy(ANSWERS), torch.from_numpy(LABELS), (ANSWERS > 0).astype(float)
    assert float(label_accuracy(outputs, targets)) == pytest.approx(1 - metrics.hamming_loss(LABELS, told))
    assert float(exact_match(outputs, targets)) == pytest.approx(metrics.accuracy_score(LABELS, told))
    assert float(f1_micro(outputs, targets)) == pytest.approx(metrics.f1_score(LABELS, told, average="micro"))
    assert float(f1_macro(outputs, targets)) == pytest.approx(metrics.f1_score(LABELS, told, average="macro"))
    nothing = torch.full((3, 2), -1.0), torch.zeros(3, 2)
    assert float(f1_micro(*nothing)) == float(f1_macro(*nothing)) == 0.0


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(SettingError, match="unknown loss"):
        classification_loss({"loss": "mse"})
    with pytest.raises(SettingError, match="label_smoothing is out of range"):
        classification_loss({"label_smoothing": 2.0})
    with pytest.raises(SettingError, match="numbers of examples of each class"):
        classification_loss({"class_weights": 1.0})
    with pytest.raises(SettingError, match="must not be negative"):
        classification_loss({}, weights=[1.0, -1.0])
    with pytest.raises(DataError, match="0 or 1"):
        counted(torch.tensor([[0.0, 0.5]]))
    with pytest.raises(DataError, match="several labels"):
        multilabel(lambda config: nn.Linear(2, 2), Part(torch.zeros(4, 2), torch.zeros(4)), None, epochs=1)
