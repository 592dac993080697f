"""Multi-layer perceptron for inputs of any shape, which are flattened, and for tables with categories."""

from __future__ import annotations

import math

from torch import nn

from tunebook.errors import DataError
from tunebook.space import Config
from tunebook.training.models.inputs import Categories, Inputs, Shape
from tunebook.training.models.layers import ACTIVATIONS, INITS, NORMS, initialise, norm_of_units
from tunebook.training.settings import real, whole, word

NAMES = ("layers", "units", "activation", "dropout", "norm", "init", "embedding")


def mlp(config: Config, shape: Shape, outputs: int) -> nn.Module:
    """``layers`` times (linear, norm, activation, dropout), then a linear layer: (n, *shape) -> (n, outputs).

    layers       hidden layers, 0 or more (0 is a linear model); default 2
    units        in each hidden layer; default 128
    activation   relu, tanh, sigmoid, gelu, silu or leaky_relu; default relu
    dropout      share of units dropped in training; default 0
    norm         none, batch or layer, between each hidden layer and its activation; default none
    init         auto, he, xavier, orthogonal or torch (see ``layers.initialise``); default auto
    embedding    numbers that stand for each category of a table; default 0: its 0/1 columns as they are

    Raises SettingError for values that cannot be, DataError for token ids.
    """
    inputs = Inputs.of(shape)
    if inputs.vocabulary:
        raise DataError(
            "an MLP takes numbers that are measured, not token ids: these need an embedding",
            got=f"{inputs.vocabulary} token ids",
            fix="use the learner 'rnn', 'transformer' or 'cnn'; convert other whole numbers to float",
        )
    layers, units = whole(config, "layers", 2), whole(config, "units", 128, 1)
    activation = word(config, "activation", "relu", ACTIVATIONS)
    dropout, norm = real(config, "dropout", 0.0, 0.0, 1.0), word(config, "norm", "none", NORMS)
    embedding = whole(config, "embedding", 0)
    stack: list[nn.Module] = [nn.Flatten()]
    width = math.prod(inputs.shape)
    if embedding and inputs.categories:
        stack = [categories := Categories(inputs, embedding)]
        width = categories.width
    for _ in range(layers):
        stack += [nn.Linear(width, units, bias=norm != "batch"), *norm_of_units(norm, units)]
        stack += [ACTIVATIONS[activation]()]
        stack += [nn.Dropout(dropout)] if dropout else []
        width = units
    model = nn.Sequential(*stack, nn.Linear(width, outputs))
    initialise(model, activation, word(config, "init", "auto", INITS))
    return model
