"""What a model costs whoever uses it, as further metrics of a training."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from tunebook.measurement import latency
from tunebook.training.evaluate import predict
from tunebook.training.task import Cost


def parameters(model: nn.Module, one: Tensor) -> float:
    """How many numbers the model has, frozen ones included."""
    return float(sum(p.numel() for p in model.parameters()))


def milliseconds(model: nn.Module, one: Tensor) -> float:
    """In which the model predicts one example, where it is; the quickest of five times."""
    return latency(lambda: predict(model, one).cpu())


COSTS: Mapping[str, Cost] = {"parameters": parameters, "latency": milliseconds}
