"""Losses by name. A loss takes the outputs and targets of a batch and returns the mean over its rows, 0-d.

    classification   cross_entropy, with ``label_smoothing``; focal, with ``focal_gamma``; both with ``class_weights``
    regression       mse, huber (1 at ``huber_delta`` standard deviations), mae
    several labels   binary_cross_entropy, with ``label_smoothing`` and ``class_weights``; focal, with ``focal_gamma``

Outputs are logits (n, classes), standardised values (n, 1) or (n,), or logits (n, labels) where each row may have any
number of labels; targets are codes (n,), values (n,), or 0 and 1 as floats (n, labels). What is *reported* as ``loss``
is always the plain cross-entropy or mean squared error, so that configurations with different losses can be compared.

``class_weights`` is a share from 0 (default: every row counts the same) to 1 (balanced: the rows of each class count as
much as those of any other, n / (classes n_c) each). In between, that weight to the power of the share. With several
labels it is the weight of the rows that have the label, (n - n_l) / n_l. The mean is over the rows, not over the
weights, so that a batch in parts adds up to the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from tunebook.errors import DataError, SettingError
from tunebook.space import Config
from tunebook.training.settings import picked, real

Loss = Callable[[Tensor, Tensor], Tensor]


def class_weights(counts: Sequence[int], share: float) -> list[float]:
    """Weight of each class: (n / (classes n_c)) ** share, 1 where no row has the class.

    >>> class_weights([75, 25], 1.0)
    [0.6666666666666666, 2.0]
    """
    n, seen = sum(counts), sum(1 for c in counts if c)
    return [(n / (seen * c)) ** share if c else 1.0 for c in counts]


def _weighted(told: Config, counts: Sequence[int], weights: Sequence[float] | None) -> Tensor | None:
    """The weights of the classes that were given, or those that the configuration asks for; None for all alike."""
    share = real(told, "class_weights", 0.0, 0.0, 1.0)
    if weights is not None:
        if any(w < 0 for w in weights) or not sum(weights):
            raise SettingError("weights of classes must not be negative", where="weights", got=str(list(weights)))
        return torch.tensor(weights, dtype=torch.float32)
    if share and not counts:
        raise SettingError(
            "class_weights need the numbers of examples of each class",
            where="class_weights",
            got=f"{share:g}",
            fix="tunebook.training.classification counts them; a loss of one's own is to weigh them itself",
        )
    return torch.tensor(class_weights(counts, share)) if share else None


def _placed(weight: Tensor | None) -> Callable[[Tensor], Tensor | None]:
    """The weight where the outputs are, copied there once."""

    def on(outputs: Tensor) -> Tensor | None:
        nonlocal weight
        if weight is not None and (weight.device != outputs.device or weight.dtype != outputs.dtype):
            weight = weight.to(outputs)
        return weight

    return on


def _cross_entropy(told: Config, weight: Tensor | None) -> Loss:
    smoothing = real(told, "label_smoothing", 0.0, 0.0, 1.0)
    if weight is None:
        return lambda outputs, targets: F.cross_entropy(outputs, targets, label_smoothing=smoothing)
    placed = _placed(weight)

    def weighted(outputs: Tensor, targets: Tensor) -> Tensor:
        w = placed(outputs)
        return F.cross_entropy(outputs, targets, w, reduction="none", label_smoothing=smoothing).mean()

    return weighted


def _focal(told: Config, weight: Tensor | None) -> Loss:
    gamma, placed = real(told, "focal_gamma", 2.0), _placed(weight)

    def focal(outputs: Tensor, targets: Tensor) -> Tensor:
        """- w (1 - p)^gamma ln p of the true class: Lin et al. 2017, arXiv:1708.02002, eq. 4 and 5."""
        logs = F.log_softmax(outputs, dim=1).gather(1, targets[:, None]).squeeze(1)
        each, w = -((1 - logs.exp()) ** gamma * logs), placed(outputs)
        return (each if w is None else each * w[targets]).mean()

    return focal


def _huber(told: Config) -> Loss:
    delta = real(told, "huber_delta", 1.0, 1e-6)
    return lambda outputs, targets: F.huber_loss(flat(outputs), targets, delta=delta)


def _binary(told: Config, weight: Tensor | None) -> Loss:
    smoothing, placed = real(told, "label_smoothing", 0.0, 0.0, 1.0), _placed(weight)

    def binary(outputs: Tensor, targets: Tensor) -> Tensor:
        smooth = targets * (1 - smoothing) + smoothing / 2 if smoothing else targets
        return F.binary_cross_entropy_with_logits(outputs, smooth, pos_weight=placed(outputs))

    return binary


def _binary_focal(told: Config, weight: Tensor | None) -> Loss:
    gamma, placed = real(told, "focal_gamma", 2.0), _placed(weight)

    def focal(outputs: Tensor, targets: Tensor) -> Tensor:
        each = F.binary_cross_entropy_with_logits(outputs, targets, pos_weight=placed(outputs), reduction="none")
        wrong = (targets - torch.sigmoid(outputs)).abs()
        return (wrong**gamma * each).mean()

    return focal


CLASSIFICATION: Mapping[str, Callable[[Config, Tensor | None], Loss]] = {
    "cross_entropy": _cross_entropy,
    "focal": _focal,
}
MULTILABEL: Mapping[str, Callable[[Config, Tensor | None], Loss]] = {
    "binary_cross_entropy": _binary,
    "focal": _binary_focal,
}
REGRESSION: Mapping[str, Callable[[Config], Loss]] = {
    "mse": lambda told: lambda outputs, targets: F.mse_loss(flat(outputs), targets),
    "huber": _huber,
    "mae": lambda told: lambda outputs, targets: F.l1_loss(flat(outputs), targets),
}


def classification_loss(config: Config, counts: Sequence[int] = (), weights: Sequence[float] | None = None) -> Loss:
    """The loss that ``config["loss"]`` names, for classes; default cross_entropy.

    counts    training rows of each class, for ``class_weights``
    weights   of each class, instead of those that follow from the counts
    """
    name, told = picked(config, "loss", "cross_entropy", CLASSIFICATION)
    return CLASSIFICATION[name](told, _weighted(told, counts, weights))


def multilabel_loss(config: Config, counts: Sequence[int] = (), rows: int = 0) -> Loss:
    """The loss that ``config["loss"]`` names, for any number of labels a row; default binary_cross_entropy.

    counts   training rows that have each label, of ``rows``, for ``class_weights``
    """
    name, told = picked(config, "loss", "binary_cross_entropy", MULTILABEL)
    share = real(told, "class_weights", 0.0, 0.0, 1.0)
    weight = torch.tensor([((rows - c) / c) ** share if 0 < c < rows else 1.0 for c in counts]) if share else None
    return MULTILABEL[name](told, weight)


def regression_loss(config: Config) -> Loss:
    """The loss that ``config["loss"]`` names, for numbers; default mse."""
    name, told = picked(config, "loss", "mse", REGRESSION)
    return REGRESSION[name](told)


def counted(targets: Tensor) -> list[int]:
    """Rows of each class, for codes (n,), or that have each label, for 0 and 1 (n, labels). Raises DataError."""
    if targets.ndim == 2:
        if not bool(((targets == 0) | (targets == 1)).all()) or not targets.is_floating_point():
            raise DataError("labels of a row must be 0 or 1", got=f"{targets.dtype}", expected="0 and 1 as floats")
        return [int(n) for n in targets.sum(dim=0).tolist()]
    return torch.bincount(targets.cpu()).tolist()


def flat(outputs: Tensor) -> Tensor:
    """(n, 1) or (n,) -> (n,)."""
    return outputs.squeeze(1) if outputs.ndim == 2 else outputs


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """The share of rows whose largest logit is that of the true class, 0-d."""
    return (outputs.argmax(dim=1) == targets).double().mean()


def label_accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """The share of right answers over all rows and labels, at probability 0.5, 0-d: 1 - Hamming loss."""
    return ((outputs > 0) == (targets > 0.5)).double().mean()


def exact_match(outputs: Tensor, targets: Tensor) -> Tensor:
    """The share of rows all of whose labels are right, 0-d."""
    return ((outputs > 0) == (targets > 0.5)).all(dim=1).double().mean()


def f1_micro(outputs: Tensor, targets: Tensor) -> Tensor:
    """2 TP / (2 TP + FP + FN) over all rows and labels, 0-d; 0 where nothing is true or predicted."""
    return _f1((outputs > 0).double().flatten()[:, None], (targets > 0.5).double().flatten()[:, None]).mean()


def f1_macro(outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean over the labels of their F1, 0-d; 0 for a label that is neither true nor predicted anywhere."""
    return _f1((outputs > 0).double(), (targets > 0.5).double()).mean()


def _f1(told: Tensor, true: Tensor) -> Tensor:
    """(n, labels) of 0 and 1 -> (labels,)."""
    both = told.sum(dim=0) + true.sum(dim=0)
    return 2 * (told * true).sum(dim=0) / both.clamp(min=1)


def r_squared(outputs: Tensor, targets: Tensor) -> Tensor:
    """1 - squared error / squared error of the mean of these targets, 0-d."""
    targets, values = targets.double(), flat(outputs).double()
    return 1 - ((values - targets) ** 2).sum() / ((targets - targets.mean()) ** 2).sum()


def root_mean_square(outputs: Tensor, targets: Tensor) -> Tensor:
    """Root of the mean squared error, 0-d, in the units of the targets."""
    return torch.sqrt(((flat(outputs).double() - targets.double()) ** 2).mean())
