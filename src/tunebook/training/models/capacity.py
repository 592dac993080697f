"""How large a model is, what it costs, and what it has learned, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim import Optimizer
from torch.utils.flop_counter import FlopCounterMode

from tunebook.training.models.inputs import Inputs, Shape


@dataclass(frozen=True)
class Capacity:
    """Size of a model.

    parameters  numbers that training changes
    bytes       of weights and buffers
    flops       of one example's forward pass: two for each multiplication of a matrix product, a convolution or
                attention; what goes element by element is left out, as torch's own counter does
    memory      bytes at the peak of a training step, data included: measured on CUDA, estimated elsewhere; 0 if it was
                not asked for
    """

    parameters: int
    bytes: int
    flops: int
    memory: int = 0


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


def capacity(
    model: nn.Module,
    shape: Shape,
    batch_size: int = 0,
    optimizer: Callable[[nn.Module], Optimizer] | None = None,
) -> Capacity:
    """Size of a model for examples of ``shape``; the memory of a training step on ``batch_size`` of them, if not 0.

    ``optimizer`` makes the optimizer whose own memory counts. The model is left as it is.
    """
    inputs = Inputs.of(shape)
    held = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    memory = step_memory(model, inputs, batch_size, optimizer) if batch_size else 0
    return Capacity(parameters, held, flops(model, inputs), memory)


def flops(model: nn.Module, shape: Shape) -> int:
    """Floating-point operations of one example's forward pass, counted by torch's counter on the CPU.

    That counter does not see fused kernels: attention is taken apart, and a fused recurrent layer has a formula.
    """
    fused = {torch.ops.aten.mkldnn_rnn_layer: _recurrent_flops}
    counter = FlopCounterMode(display=False, custom_mapping=fused)
    with _lent(model), torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        model.cpu().eval()(Inputs.of(shape).example())
    return int(counter.get_total_flops())


@contextmanager
def _lent(model: nn.Module) -> Iterator[torch.device]:
    """Whatever is done to the model inside the block is undone after it; yields where the model is.

    A copy would be simpler, but not every module of people's own can be copied.
    """
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    before, training = {name: t.detach().clone() for name, t in model.state_dict().items()}, model.training
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield device
        finally:
            model.to(device).train(training).load_state_dict(before)
            model.zero_grad()


def _recurrent_flops(x: Sequence[int], inward: Sequence[int], across: Sequence[int], *_: Any, **__: Any) -> int:
    """Of a recurrent layer on (steps, n, size), or (n, steps, size), by the shapes of its two matrices."""
    return 2 * x[0] * x[1] * (math.prod(inward) + math.prod(across))


def step_memory(
    model: nn.Module, shape: Shape, batch_size: int, optimizer: Callable[[nn.Module], Optimizer] | None = None
) -> int:
    """Bytes at the peak of a training step on ``batch_size`` examples, where the model is.

    On CUDA they are measured. Elsewhere they are estimated: weights, gradients, what the optimizer keeps, the batch and
    what the forward pass keeps for the backward pass; buffers that live for one operation only are left out.
    """
    with _lent(model) as device:
        model.train()
        x = Inputs.of(shape).example(batch_size).to(device)
        made = optimizer(model) if optimizer else None
        weights = sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
        if device.type == "cuda":
            return _measured_step(model, x, made) + weights
        activations = step_bytes(model, x, made)
        gradients = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
        kept: list[Any] = [v for told in made.state.values() for v in told.values()] if made else []
        states = sum(v.numel() * v.element_size() for v in kept if isinstance(v, Tensor))
    return weights + gradients + states + activations


def step_bytes(model: nn.Module, x: Tensor, optimizer: Optimizer | None) -> int:
    """Make a training step; returns the bytes of the batch and of what its forward pass kept for the backward pass."""
    owned = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    kept: dict[int, Tensor] = {}  # by place; held, so that no place is used twice

    def keep(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in owned:
            kept[place] = tensor.detach()
        return tensor

    keep(x)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(x).sum()
    found = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    kept.clear()
    loss.backward()
    if optimizer is not None:
        optimizer.step()
    return found


def _measured_step(model: nn.Module, x: Tensor, optimizer: Optimizer | None) -> int:
    """Bytes on CUDA at the peak of two steps, weights apart; the optimizer has its memory from the first one on."""
    before = torch.cuda.memory_allocated(x.device) - x.numel() * x.element_size()
    torch.cuda.reset_peak_memory_stats(x.device)
    for _ in range(2):
        model.zero_grad()
        model(x).sum().backward()
        if optimizer is not None:
            optimizer.step()
    return int(torch.cuda.max_memory_allocated(x.device)) - int(before)


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
