"""Losses by name. A loss takes the outputs and targets of a batch and returns their mean loss, 0-d.

    classification   cross_entropy, with ``label_smoothing``; focal, with ``focal_gamma``
    regression       mse, huber (1 at ``huber_delta`` standard deviations), mae

Outputs are logits (n, classes), or standardised values (n, 1) or (n,). What is *reported* as ``loss`` is always the
plain cross-entropy or mean squared error, so that configurations with different losses can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from tunebook.space import Config
from tunebook.training.settings import picked, real

Loss = Callable[[Tensor, Tensor], Tensor]


def _cross_entropy(told: Config) -> Loss:
    smoothing = real(told, "label_smoothing", 0.0, 0.0, 1.0)
    return lambda outputs, targets: F.cross_entropy(outputs, targets, label_smoothing=smoothing)


def _focal(told: Config) -> Loss:
    gamma = real(told, "focal_gamma", 2.0)

    def focal(outputs: Tensor, targets: Tensor) -> Tensor:
        """- (1 - p)^gamma ln p of the true class: Lin et al. 2017, arXiv:1708.02002, eq. 4."""
        logs = F.log_softmax(outputs, dim=1).gather(1, targets[:, None]).squeeze(1)
        return -((1 - logs.exp()) ** gamma * logs).mean()

    return focal


def _huber(told: Config) -> Loss:
    delta = real(told, "huber_delta", 1.0, 1e-6)
    return lambda outputs, targets: F.huber_loss(flat(outputs), targets, delta=delta)


CLASSIFICATION: Mapping[str, Callable[[Config], Loss]] = {"cross_entropy": _cross_entropy, "focal": _focal}
REGRESSION: Mapping[str, Callable[[Config], Loss]] = {
    "mse": lambda told: lambda outputs, targets: F.mse_loss(flat(outputs), targets),
    "huber": _huber,
    "mae": lambda told: lambda outputs, targets: F.l1_loss(flat(outputs), targets),
}


def classification_loss(config: Config) -> Loss:
    """The loss that ``config["loss"]`` names, for classes; default cross_entropy."""
    name, told = picked(config, "loss", "cross_entropy", CLASSIFICATION)
    return CLASSIFICATION[name](told)


def regression_loss(config: Config) -> Loss:
    """The loss that ``config["loss"]`` names, for numbers; default mse."""
    name, told = picked(config, "loss", "mse", REGRESSION)
    return REGRESSION[name](told)


def flat(outputs: Tensor) -> Tensor:
    """(n, 1) or (n,) -> (n,)."""
    return outputs.squeeze(1) if outputs.ndim == 2 else outputs


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """The share of rows whose largest logit is that of the true class, 0-d."""
    return (outputs.argmax(dim=1) == targets).double().mean()


def r_squared(outputs: Tensor, targets: Tensor) -> Tensor:
    """1 - squared error / squared error of the mean of these targets, 0-d."""
    targets, values = targets.double(), flat(outputs).double()
    return 1 - ((values - targets) ** 2).sum() / ((targets - targets.mean()) ** 2).sum()


def root_mean_square(outputs: Tensor, targets: Tensor) -> Tensor:
    """Root of the mean squared error, 0-d, in the units of the targets."""
    return torch.sqrt(((flat(outputs).double() - targets.double()) ** 2).mean())
