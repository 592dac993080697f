"""Augmentation of sequences (n, length) or (n, channels, length), standardised by channel.

Um et al. 2017 (arXiv:1706.00527) compare jitter, scaling and others on signals of sensors.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def scaling(x: Tensor, generator: Generator, deviation: float) -> Tensor:
    """Multiply each sequence, all its channels alike, by a factor that is normal around 1."""
    if not deviation:
        return x
    drawn = torch.randn((len(x), *[1] * (x.ndim - 1)), generator=generator, device=x.device, dtype=x.dtype)
    return x * (1 + deviation * drawn)


def shift(x: Tensor, generator: Generator, share: float) -> Tensor:
    """Move each sequence earlier or later by whole steps, at most a ``share`` of its length, all channels alike.

    What comes in is the first or the last value again: the end of a signal does not follow on its start.
    """
    length = x.shape[-1]
    most = round(share * length)
    if not most:
        return x
    later = torch.randint(-most, most + 1, (len(x), 1), generator=generator, device=x.device)
    return shifted(x, later)


def shifted(x: Tensor, later: Tensor) -> Tensor:
    """Move each sequence later by ``later`` (n, 1) steps."""
    length = x.shape[-1]
    source = (torch.arange(length, device=x.device) - later).clamp(0, length - 1)
    return x.gather(-1, source if x.ndim == 2 else source[:, None].expand(x.shape))


def mask(x: Tensor, generator: Generator, share: float) -> Tensor:
    """Set a stretch of each sequence, a ``share`` of its length, to 0, the mean of the data, in all channels.

    As the time masks of SpecAugment (Park et al. 2019, arXiv:1904.08779), but of a fixed length.
    """
    length = x.shape[-1]
    span = round(share * length)
    if not span:
        return x
    first = torch.randint(0, length - span + 1, (len(x), 1), generator=generator, device=x.device)
    at = torch.arange(length, device=x.device)
    chosen = (at >= first) & (at < first + span)
    return x.masked_fill(chosen if x.ndim == 2 else chosen[:, None], 0.0)
