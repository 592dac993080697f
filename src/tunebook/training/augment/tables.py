"""Augmentation of the rows of a table (n, features), standardised by feature."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def mask(x: Tensor, generator: Generator, share: float) -> Tensor:
    """Set each value, with probability ``share``, to 0, the mean of its feature: as if it were not known."""
    if not share:
        return x
    return x.masked_fill(torch.rand(x.shape, generator=generator, device=x.device) < share, 0.0)
