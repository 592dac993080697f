"""Pieces that the models share: activations by name, initialisation, normalisation."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "leaky_relu": nn.LeakyReLU,
}
GAINS: Mapping[str, float] = {  # what keeps the spread of activations from layer to layer
    "relu": 2.0**0.5,
    "leaky_relu": (2.0 / (1 + 0.01**2)) ** 0.5,
    "gelu": 2.0**0.5,
    "silu": 2.0**0.5,
    "tanh": 5.0 / 3.0,
    "sigmoid": 4.0,
}


def initialise(model: nn.Module, activation: str) -> None:
    """Draw the weights for the activation, from torch's generator; biases 0.

    ReLU and its kin: normal with variance 2 / fan-in (He et al. 2015, arXiv:1502.01852, eq. 10). tanh and sigmoid:
    uniform with variance gain^2 * 2 / (fan-in + fan-out) (Glorot and Bengio 2010, eq. 16; a sigmoid has a quarter of
    tanh's slope at 0). The last layer gets gain 1: its outputs start small, so the loss starts near that of chance.
    """
    layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv1d | nn.Conv2d)]
    for layer in layers:
        gain = 1.0 if layer is layers[-1] else GAINS[activation]
        if activation in ("tanh", "sigmoid") or layer is layers[-1]:
            nn.init.xavier_uniform_(layer.weight, gain)
        else:
            fan_in = layer.weight[0].numel()
            nn.init.normal_(layer.weight, 0.0, gain / fan_in**0.5)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
