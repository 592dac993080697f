"""Convolutional network for images (channels, height, width) and sequences (channels, length)."""

from __future__ import annotations

import math

from torch import Tensor, nn

from tunebook.errors import DataError
from tunebook.space import Config
from tunebook.training.models.layers import ACTIVATIONS, initialise
from tunebook.training.settings import flag, real, whole, word

NAMES = (
    "blocks", "channels", "kernel_size", "pool_size", "pool", "batch_norm", "dropout", "units", "head", "activation",
)  # fmt: skip
POOLS = ("max", "average")
HEADS = ("flatten", "average")


def cnn(config: Config, shape: tuple[int, ...], outputs: int) -> nn.Module:
    """``blocks`` times (convolution, batch norm, activation, pooling), then a dense head: (n, *shape) -> (n, outputs).

    blocks        1 or more; default 2
    channels      of the first block; they double after each block that pools; default 16
    kernel_size   default 3; cut to 2 size - 1 where a map is smaller, beyond which a kernel sees only padding
    pool_size     default 2; an axis shorter than this is not pooled any more, so any depth fits small images
    pool          max or average; default max
    batch_norm    between each convolution and its activation; default True
    dropout       share dropped before each dense layer; default 0
    units         of the dense layer before the last; 0 for none; default 64
    head          flatten, or average over all positions; default flatten
    activation    relu, tanh, sigmoid, gelu, silu or leaky_relu; default relu

    Sequences without a channel axis, of shape (length,), count as one channel.

    Raises SettingError for values that cannot be, DataError for a shape that has no positions.
    """
    if not 1 <= len(shape) <= 3:
        raise DataError(
            "a CNN needs images or sequences",
            got=f"examples of shape {shape}",
            expected="(channels, height, width) or (channels, length)",
            fix="use an MLP for a table",
        )
    stack: list[nn.Module] = [Channel()] if len(shape) == 1 else []
    blocks, size, width = _blocks(config, shape)
    stack += blocks
    if word(config, "head", "flatten", HEADS) == "average":
        stack.append(nn.AdaptiveAvgPool2d(1) if len(size) == 2 else nn.AdaptiveAvgPool1d(1))
        size = (1,) * len(size)
    activation = word(config, "activation", "relu", ACTIVATIONS)
    dropout, units = real(config, "dropout", 0.0, 0.0, 1.0), whole(config, "units", 64)
    drop: list[nn.Module] = [nn.Dropout(dropout)] if dropout else []
    features = width * math.prod(size)
    stack += [nn.Flatten(), *drop]
    if units:
        stack += [nn.Linear(features, units), ACTIVATIONS[activation](), *drop]
        features = units
    model = nn.Sequential(*stack, nn.Linear(features, outputs))
    initialise(model, activation)
    return model


def _blocks(config: Config, shape: tuple[int, ...]) -> tuple[list[nn.Module], tuple[int, ...], int]:
    """The convolutional part, the size of its maps and their number."""
    count, width = whole(config, "blocks", 2, 1), whole(config, "channels", 16, 1)
    kernel, window = whole(config, "kernel_size", 3, 1), whole(config, "pool_size", 2, 1)
    norm, kind = flag(config, "batch_norm", True), word(config, "pool", "max", POOLS)
    activation = ACTIVATIONS[word(config, "activation", "relu", ACTIVATIONS)]
    before, size = (shape[0], shape[1:]) if len(shape) > 1 else (1, shape)
    two = len(size) == 2
    stack: list[nn.Module] = []
    for _ in range(count):
        kernels = tuple(min(kernel, 2 * s - 1) for s in size)
        stack += _convolution(before, width, kernels, bias=not norm)
        stack += [(nn.BatchNorm2d if two else nn.BatchNorm1d)(width)] if norm else []
        stack.append(activation())
        windows = tuple(window if s >= window else 1 for s in size)
        before = width
        if max(windows) > 1:
            stack.append(_pool(kind, windows))
            size = tuple(s // w for s, w in zip(size, windows, strict=True))
            width *= 2
    return stack, size, before


def _convolution(before: int, after: int, kernels: tuple[int, ...], *, bias: bool) -> list[nn.Module]:
    """A convolution whose maps are as large as its inputs; an even kernel is padded by one more on the far side."""
    one = len(kernels) == 1
    padding: list[nn.Module] = []
    around = tuple(k // 2 for k in kernels)
    if any(k % 2 == 0 for k in kernels):
        sides = tuple(side for k in reversed(kernels) for side in ((k - 1) // 2, k // 2))
        padding = [nn.ZeroPad1d(sides) if one else nn.ZeroPad2d(sides)]  # type: ignore[arg-type]
        around = (0,) * len(kernels)
    if one:
        return [*padding, nn.Conv1d(before, after, kernels[0], padding=around[0], bias=bias)]
    return [*padding, nn.Conv2d(before, after, kernels, padding=around, bias=bias)]  # type: ignore[arg-type]


def _pool(kind: str, windows: tuple[int, ...]) -> nn.Module:
    if len(windows) == 2:
        return nn.MaxPool2d(windows) if kind == "max" else nn.AvgPool2d(windows)
    return nn.MaxPool1d(windows[0]) if kind == "max" else nn.AvgPool1d(windows[0])


class Channel(nn.Module):
    """(n, length) -> (n, 1, length)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.unsqueeze(1)
