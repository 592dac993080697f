"""What an augmentation does, to be looked at: examples, each beside what training makes of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tunebook.data.dataset import Kind
from tunebook.space import Config
from tunebook.training.augment.choose import augmentation
from tunebook.training.task import Augment

LARGEST = 48  # pixels a side
LONGEST = 400  # steps of a sequence
WIDEST = 8  # features of a table


def preview(augment: Augment, x: Tensor, samples: int = 4, seed: int = 0) -> Tensor:
    """What an augmentation does to examples (n, ...): (n, 1 + samples, ...), each after its original."""
    generator = torch.Generator(x.device).manual_seed(seed)
    return torch.stack([x, *(augment(x, generator) for _ in range(samples))], 1)


def previewed(config: Config, kind: Kind, x: Tensor, samples: int = 4) -> dict[str, Any] | None:
    """The same as plain JSON for a report, small; None where the configuration augments nothing.

    kind       of the data
    settings   what is done, with strengths above 0
    examples   for each example a list, the original first: rows of grey values 0 to 255 for an image (the mean of its
               channels, at most 48 x 48), the values of the first channel of a sequence, the first 8 features of a row
    """
    augment: Any = augmentation(config, kind)
    if augment is None:
        return None
    stacked = preview(augment, x, samples).detach().to("cpu", torch.float32)
    shown = {"image": _greys, "sequence": _curves, "table": _rows}[kind](stacked)
    return {"kind": kind, "settings": {k: v for k, v in asdict(augment).items() if v}, "examples": shown}


def _greys(stacked: Tensor) -> list[Any]:
    """Black and white are the darkest and the lightest pixel of the original."""
    grey = stacked.mean(2)
    if max(grey.shape[-2:]) > LARGEST:
        grey = F.adaptive_avg_pool2d(grey, (min(LARGEST, grey.shape[-2]), min(LARGEST, grey.shape[-1])))
    low, high = grey[:, :1].amin((2, 3), keepdim=True), grey[:, :1].amax((2, 3), keepdim=True)
    scaled = (grey - low) / (high - low).clamp(min=1e-6)
    told: list[Any] = (scaled.clamp(0, 1) * 255).round().int().tolist()
    return told


def _curves(stacked: Tensor) -> list[Any]:
    first = stacked[:, :, 0] if stacked.ndim == 4 else stacked
    return _rounded(first[..., :LONGEST])


def _rows(stacked: Tensor) -> list[Any]:
    return _rounded(stacked[..., :WIDEST])


def _rounded(values: Tensor) -> list[Any]:
    return [[[round(v, 4) for v in sample] for sample in example] for example in values.tolist()]
