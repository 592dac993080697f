"""Recurrent networks, LSTM and GRU among them, for sequences, images row by row, and token ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from tunebook.space import Config
from tunebook.training.models.inputs import Inputs, Segments, Shape, Tokens
from tunebook.training.models.layers import ACTIVATIONS, INITS, draw, initialise
from tunebook.training.settings import flag, real, whole, word

NAMES = (
    "cell", "units", "layers", "bidirectional", "dropout", "pool", "patch", "head_units", "activation", "init",
    "embedding",
)  # fmt: skip
CELLS: Mapping[str, Callable[..., nn.RNNBase]] = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}
POOLS = ("last", "mean", "max", "flatten")


def rnn(config: Config, shape: Shape, outputs: int) -> nn.Module:
    """Recurrent layers over the steps of a sequence, pooled, then a dense head: (n, *shape) -> (n, outputs).

    cell           gru (Cho et al. 2014), lstm (Hochreiter and Schmidhuber 1997) or rnn (Elman's, tanh); default gru
    units          of a layer, in each direction; default 32
    layers         default 1
    bidirectional  whether a second set of units reads from the end to the start; default False
    dropout        share dropped between layers and before each dense layer; default 0
    pool           what goes on from the steps: the last state (of each direction), their mean, their maximum, or all of
                   them (flatten: each step has weights of its own in the head); default last
    patch          positions, or rows of an image, that a step takes together; default 1
    head_units     of a dense layer before the last; 0 for none; default 0
    activation     of that dense layer: relu, tanh, sigmoid, gelu, silu or leaky_relu; default relu
    init           auto, he, xavier, orthogonal or torch; auto draws input weights as xavier and makes recurrent ones
                   orthogonal, and an LSTM's forget gate starts open (Jozefowicz et al. 2015); default auto
    embedding      numbers of the vectors that stand for token ids, where inputs are these; default 32

    Raises SettingError for values that cannot be, DataError for a shape that has no steps.
    """
    inputs = Inputs.of(shape)
    start, steps, size = _start(config, inputs)
    dropout, units = real(config, "dropout", 0.0, 0.0, 1.0), whole(config, "units", 32, 1)
    layers, cell = whole(config, "layers", 1, 1), word(config, "cell", "gru", CELLS)
    both, pool = flag(config, "bidirectional", False), word(config, "pool", "last", POOLS)
    reader = CELLS[cell](
        size, units, layers, batch_first=True, bidirectional=both, dropout=dropout if layers > 1 else 0.0
    )
    features = units * (1 + both) * (steps if pool == "flatten" else 1)
    activation, dense = word(config, "activation", "relu", ACTIVATIONS), whole(config, "head_units", 0)
    stack: list[nn.Module] = [start, Recurrent(reader, pool)]
    stack += [nn.Dropout(dropout)] if dropout else []
    if dense:
        stack += [nn.Linear(features, dense), ACTIVATIONS[activation]()]
        stack += [nn.Dropout(dropout)] if dropout else []
        features = dense
    model = nn.Sequential(*stack, nn.Linear(features, outputs))
    scheme = word(config, "init", "auto", INITS)
    initialise(model, activation, scheme)
    if scheme != "torch":
        _initialise_gates(reader, scheme)
    return model


def _start(config: Config, inputs: Inputs) -> tuple[nn.Module, int, int]:
    """What makes steps of the examples; then how many there are, and how many numbers each holds."""
    if inputs.vocabulary:
        units = whole(config, "embedding", 32, 1)
        return Tokens(inputs, units), inputs.shape[-1], units
    segments = Segments(inputs.shape, whole(config, "patch", 1, 1))
    return segments, segments.steps, segments.size


class Recurrent(nn.Module):
    """Recurrent layers and what becomes of their outputs: (n, steps, size) -> (n, features)."""

    def __init__(self, reader: nn.RNNBase, pool: str) -> None:
        super().__init__()
        self.reader, self.pool = reader, pool

    def forward(self, x: Tensor) -> Tensor:
        states, final = self.reader(x)
        if self.pool == "flatten":
            return torch.flatten(states, 1)
        if self.pool == "mean":
            return torch.mean(states, 1)
        if self.pool == "max":
            return torch.amax(states, 1)
        last = final[0] if isinstance(self.reader, nn.LSTM) else final
        directions = 2 if self.reader.bidirectional else 1
        return torch.cat(list(last[-directions:]), dim=1)


def _initialise_gates(reader: nn.RNNBase, scheme: str) -> None:
    """Draw each gate's matrix by itself, with gain 1; torch's order in an LSTM is input, forget, cell, output."""
    gates = {"GRU": 3, "LSTM": 4}.get(reader.mode, 1)
    for name, weight in reader.named_parameters():
        if name.startswith("bias"):
            nn.init.zeros_(weight)
            if gates == 4 and name.startswith("bias_ih"):
                nn.init.ones_(weight.detach().chunk(4)[1])
            continue
        usual = "orthogonal" if name.startswith("weight_hh") else "xavier"
        for part in weight.detach().chunk(gates):
            draw(part, usual if scheme == "auto" else scheme, 1.0)
