"""How large a model is, and what it has learned, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Capacity:
    """Size of a model: trained numbers, bytes of weights and buffers, multiplications of one example's forward pass."""

    parameters: int
    bytes: int
    multiplications: int


@dataclass(frozen=True)
class LearnedTensor:
    """A learned tensor: its name, the kind of layer it belongs to, its shape and what its values look like."""

    name: str
    layer: str
    shape: tuple[int, ...]
    count: int
    mean: float
    std: float
    norm: float


def capacity(model: nn.Module, shape: tuple[int, ...]) -> Capacity:
    """Size of a model for examples of ``shape``; multiplications are those of linear and convolutional layers."""
    work = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal work
        weight = layer.weight
        assert isinstance(weight, Tensor)
        positions = output[0].numel() // weight.shape[0]
        work += weight.numel() * positions

    kinds = nn.Linear | nn.Conv1d | nn.Conv2d
    hooks = [layer.register_forward_hook(count) for layer in model.modules() if isinstance(layer, kinds)]
    training = model.training
    try:
        model.eval()
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        with torch.no_grad():
            model(torch.zeros(1, *shape, device=device))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    held = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    return Capacity(sum(p.numel() for p in model.parameters() if p.requires_grad), held, work)


def learned(model: nn.Module) -> list[LearnedTensor]:
    """What training changed, as opposed to the hyperparameters that were set before: one row a tensor."""
    layers = dict(model.named_modules())
    rows = []
    for name, tensor in model.named_parameters():
        values = tensor.detach().double()
        owner = type(layers[name.rpartition(".")[0]]).__name__
        std = float(values.std(correction=0))
        rows.append(
            LearnedTensor(
                name, owner, tuple(tensor.shape), tensor.numel(), float(values.mean()), std, float(values.norm())
            )
        )
    return rows
