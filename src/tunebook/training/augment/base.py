"""What the augmentations of every kind of data share."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def uniform(shape: tuple[int, ...], x: Tensor, generator: Generator) -> Tensor:
    """Numbers in [-1, 1), float32, on the device of ``x``."""
    return torch.rand(shape, generator=generator, device=x.device) * 2 - 1


def noise(x: Tensor, generator: Generator, deviation: float) -> Tensor:
    """Add normal noise of a standard deviation, in units of the standardised inputs; any shape.

    With noise of variance v, training is like adding v/2 times the squared norm of the model's slope to the loss
    (Bishop 1995, "Training with noise is equivalent to Tikhonov regularization").
    """
    if not deviation:
        return x
    return x + deviation * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)


def laid_out(made: Tensor, like: Tensor) -> Tensor:
    """The same values with channels last in memory if ``like`` has them so, else first."""
    last = like.is_contiguous(memory_format=torch.channels_last) and not like.is_contiguous()
    return made.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
