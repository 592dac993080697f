"""Transformer encoder (Vaswani et al. 2017, arXiv:1706.03762) for sequences, images in patches, and token ids."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tunebook.space import Config
from tunebook.training.models.inputs import Inputs, Segments, Shape, Tokens
from tunebook.training.models.layers import ACTIVATIONS, INITS, draw, initialise
from tunebook.training.settings import flag, real, whole, word

NAMES = (
    "depth", "heads", "head_units", "factor", "dropout", "pre_norm", "positions", "pool", "patch", "activation", "init",
)  # fmt: skip
POSITIONS = ("sinusoidal", "learned", "none")
POOLS = ("class", "mean", "max")


def transformer(config: Config, shape: Shape, outputs: int) -> nn.Module:
    """Blocks of attention and feed-forward over the steps of an example: (n, *shape) -> (n, outputs).

    depth        blocks; default 2
    heads        of attention; default 4
    head_units   width of a head; the model is heads * head_units wide, so that heads always divide it; default 16
    factor       how much wider than the model the hidden layer of a block's feed-forward part is; default 4
    dropout      share dropped of attention, of each part's output and of the first steps; default 0
    pre_norm     whether parts normalise what they read instead of what they leave: that needs no warm-up (Xiong et al.
                 2020, arXiv:2002.04745); default True
    positions    how a step knows where it is: sinusoidal, learned or none; default sinusoidal
    pool         what goes on from the steps: a class step of its own (Devlin et al. 2019), mean or max; default class
    patch        positions that a step takes together, or the side of an image's patches (Dosovitskiy et al. 2021,
                 arXiv:2010.11929); no more than there are; default 1 of a sequence, 4 of an image
    activation   of the feed-forward part: relu, tanh, sigmoid, gelu, silu or leaky_relu; default gelu
    init         auto, he, xavier, orthogonal or torch; auto is xavier with gain 1; default auto

    Raises SettingError for values that cannot be, DataError for a shape that has no steps.
    """
    inputs = Inputs.of(shape)
    heads, width = whole(config, "heads", 4, 1), whole(config, "head_units", 16, 1)
    width *= heads
    start, steps = _start(config, inputs, width)
    activation, dropout = word(config, "activation", "gelu", ACTIVATIONS), real(config, "dropout", 0.0, 0.0, 1.0)
    hidden, before = width * whole(config, "factor", 4, 1), flag(config, "pre_norm", True)
    blocks = [
        Block(width, heads, hidden, ACTIVATIONS[activation](), dropout, before)
        for _ in range(whole(config, "depth", 2, 1))
    ]
    pool = word(config, "pool", "class", POOLS)
    places = Places(
        steps + (pool == "class"), width, word(config, "positions", "sinusoidal", POSITIONS), pool == "class"
    )
    end = [nn.LayerNorm(width)] if before else []
    model = nn.Sequential(
        start, places, nn.Dropout(dropout), *blocks, *end, Pool(pool), nn.Linear(width, outputs)
    )  # fmt: skip
    scheme = word(config, "init", "auto", INITS)
    # no activation follows most of the layers
    initialise(model, "none", "xavier" if scheme == "auto" else scheme)
    if scheme != "torch":
        for block in blocks:
            for part in block.read.weight.detach().chunk(3):
                draw(part, "xavier" if scheme == "auto" else scheme, 1.0)
    return model


def _start(config: Config, inputs: Inputs, width: int) -> tuple[nn.Module, int]:
    """What makes steps (n, steps, width) of the examples, and how many there are."""
    if inputs.vocabulary:
        return Tokens(inputs, width), inputs.shape[-1]
    image = len(inputs.shape) == 3
    segments = Segments(inputs.shape, whole(config, "patch", 4 if image else 1, 1), square=image)
    return nn.Sequential(segments, nn.Linear(segments.size, width)), segments.steps


class Places(nn.Module):
    """Adds to each step where it is, after a class step was put before the first: (n, steps, width)."""

    table: Tensor

    def __init__(self, steps: int, width: int, kind: str, with_class: bool) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(1, 1, width) * 0.02) if with_class else None
        if kind == "learned":
            self.table = nn.Parameter(torch.randn(steps, width) * 0.02)
        else:
            told = sinusoids(steps, width) if kind == "sinusoidal" else torch.zeros(steps, width)
            self.register_buffer("table", told, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.first is not None:
            x = torch.cat([self.first.expand(len(x), -1, -1), x], dim=1)
        return x + self.table


def sinusoids(steps: int, width: int) -> Tensor:
    """(steps, width): sines in the even columns and cosines in the odd ones (Vaswani et al. 2017, 3.5)."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angles = torch.arange(steps)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :width]


class Block(nn.Module):
    """Attention and a feed-forward layer, each beside a shortcut: (n, steps, width) -> the same."""

    def __init__(
        self, width: int, heads: int, hidden: int, activation: nn.Module, dropout: float, pre_norm: bool
    ) -> None:
        super().__init__()
        self.heads, self.rate, self.pre_norm = heads, dropout, pre_norm
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.read, self.write = nn.Linear(width, 3 * width), nn.Linear(width, width)  # queries, keys and values in one
        self.widen, self.activation, self.narrow = nn.Linear(width, hidden), activation, nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        if self.pre_norm:
            x = x + self.dropout(self.attend(self.norm1(x)))
            y: Tensor = x + self.dropout(self.think(self.norm2(x)))
            return y
        x = self.norm1(x + self.dropout(self.attend(x)))
        y = self.norm2(x + self.dropout(self.think(x)))
        return y

    def attend(self, x: Tensor) -> Tensor:
        """Scaled dot-product attention of all heads."""
        queries, keys, values = self.read(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        rate = self.rate if self.training else 0.0
        mixed = nn.functional.scaled_dot_product_attention(queries, keys, values, dropout_p=rate)
        y: Tensor = self.write(mixed.transpose(1, 2).flatten(2))
        return y

    def think(self, x: Tensor) -> Tensor:
        """The feed-forward part."""
        y: Tensor = self.narrow(self.dropout(self.activation(self.widen(x))))
        return y


class Pool(nn.Module):
    """What goes on from the steps: (n, steps, width) -> (n, width)."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0] if self.kind == "class" else x.mean(dim=1) if self.kind == "mean" else x.amax(dim=1)
