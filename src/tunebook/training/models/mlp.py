"""Multi-layer perceptron for inputs of any shape, which are flattened."""

from __future__ import annotations

import math

from torch import nn

from tunebook.space import Config
from tunebook.training.models.layers import ACTIVATIONS, initialise
from tunebook.training.settings import flag, real, whole, word

NAMES = ("layers", "units", "activation", "dropout", "batch_norm")


def mlp(config: Config, shape: tuple[int, ...], outputs: int) -> nn.Module:
    """``layers`` times (linear, batch norm, activation, dropout), then a linear layer: (n, *shape) -> (n, outputs).

    layers       hidden layers, 0 or more (0 is a linear model); default 2
    units        in each hidden layer; default 128
    activation   relu, tanh, sigmoid, gelu, silu or leaky_relu; default relu
    dropout      share of units dropped in training; default 0
    batch_norm   between each hidden layer and its activation; default False

    Raises SettingError for values that cannot be.
    """
    layers, units = whole(config, "layers", 2), whole(config, "units", 128, 1)
    activation = word(config, "activation", "relu", ACTIVATIONS)
    dropout, norm = real(config, "dropout", 0.0, 0.0, 1.0), flag(config, "batch_norm", False)
    stack: list[nn.Module] = [nn.Flatten()]
    width = math.prod(shape)
    for _ in range(layers):
        stack += [nn.Linear(width, units, bias=not norm)]
        stack += [nn.BatchNorm1d(units)] if norm else []
        stack += [ACTIVATIONS[activation]()]
        stack += [nn.Dropout(dropout)] if dropout else []
        width = units
    model = nn.Sequential(*stack, nn.Linear(width, outputs))
    initialise(model, activation)
    return model
