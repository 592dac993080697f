"""Pieces that the models share: activations by name, initialisation, normalisation."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

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
    "none": 1.0,
}
NORMS = ("none", "batch", "layer")
INITS = ("auto", "he", "xavier", "orthogonal", "torch")


def norm_of_units(kind: str, width: int) -> list[nn.Module]:
    """Normalisation of (n, width): of each unit over the batch (Ioffe and Szegedy 2015), or of each example over its
    units (Ba et al. 2016, arXiv:1607.06450); nothing for none."""
    return [nn.BatchNorm1d(width)] if kind == "batch" else [nn.LayerNorm(width)] if kind == "layer" else []


def norm_of_maps(kind: str, width: int) -> list[nn.Module]:
    """The same of (n, width, height, width); layer norm of maps is group norm with one group (Wu and He 2018)."""
    return [nn.BatchNorm2d(width)] if kind == "batch" else [nn.GroupNorm(1, width)] if kind == "layer" else []


def initialise(model: nn.Module, activation: str, scheme: str = "auto") -> None:
    """Draw the weights of linear and convolutional layers from torch's generator; biases 0.

    auto        what suits the activation: xavier for tanh and sigmoid, he for ReLU and its kin
    he          normal with variance gain^2 / fan-in (He et al. 2015, arXiv:1502.01852, eq. 10; the gain is 2^0.5 there)
    xavier      uniform with variance gain^2 * 2 / (fan-in + fan-out) (Glorot and Bengio 2010, eq. 16)
    orthogonal  an orthogonal matrix times the gain (Saxe et al. 2014, arXiv:1312.6120)
    torch       as the layers come

    The gain is that of the activation (a sigmoid has a quarter of tanh's slope at 0). The last layer gets xavier, or
    orthogonal, with gain 1: its outputs start small, so the loss starts near that of chance.
    """
    if scheme == "torch":
        return
    usual = "xavier" if activation in ("tanh", "sigmoid") else "he"
    layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv1d | nn.Conv2d)]
    for layer in layers:
        last = layer is layers[-1]
        chosen = usual if scheme == "auto" else scheme
        draw(layer.weight, "xavier" if last and chosen == "he" else chosen, 1.0 if last else GAINS[activation])
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def draw(weight: Tensor, scheme: str, gain: float) -> None:
    """Fill a weight (out, in, ...) as ``initialise`` says: he, xavier or orthogonal."""
    if scheme == "he":
        nn.init.normal_(weight, 0.0, gain / float(weight[0].numel()) ** 0.5)
    elif scheme == "xavier":
        nn.init.xavier_uniform_(weight, gain)
    else:
        nn.init.orthogonal_(weight, gain)
