"""What frameworks call a state, nested dicts and lists of tensors and plain values, as tensors and plain JSON.

Both go into a safetensors file: nothing is pickled, so nothing that a file holds can run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tunebook.errors import CheckpointError
from tunebook.training.checkpoint import Checkpoint

Tree = Any


def packed(model: Mapping[str, Any], rest: Tree) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The parts and the meta of a checkpoint: the ``state_dict`` of a model, and all other state.

    Raises CheckpointError for what is not data.
    """
    weights = {name: value for name, value in model.items() if isinstance(value, Tensor)}
    extra = {name: value for name, value in model.items() if name not in weights}
    plain, tensors = split({"model": extra, "rest": rest}, "state")
    return {"weights": weights, "state": tensors}, {"state": plain}


def unpacked(found: Checkpoint) -> tuple[dict[str, Any], Tree]:
    """What was packed."""
    told = joined(found.meta["state"], found.part("state"))
    return {**found.part("weights"), **told["model"]}, told["rest"]


def split(tree: Tree, where: str) -> tuple[Any, dict[str, Tensor]]:
    """A tree as plain JSON, and the tensors it speaks of, by number.

    Dicts, lists, tuples, numbers, texts, None, tensors and numpy's arrays are taken; subclasses come back as what they
    are derived from. Raises CheckpointError, naming the place, for anything else.
    """
    tensors: dict[str, Tensor] = {}

    def plain(value: Tree, at: str) -> Any:
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, Tensor | np.ndarray):
            kind = "tensor" if isinstance(value, Tensor) else "array"
            number = str(len(tensors))
            tensors[number] = torch.as_tensor(value)
            return {kind: number}
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, dict):
            return {"dict": [[plain(k, f"{at}: a key"), plain(v, f"{at}[{k!r}]")] for k, v in value.items()]}
        if isinstance(value, list | tuple):
            told = [plain(v, f"{at}[{i}]") for i, v in enumerate(value)]
            return told if isinstance(value, list) else {"tuple": told}
        raise CheckpointError(
            "a state holds something that is not data",
            where=at,
            got=type(value).__name__,
            expected="dicts, lists, tuples, numbers, texts, tensors",
            fix="leave it out of state_dict(), or store what it is made of",
        )

    return plain(tree, where), tensors


def joined(plain: Any, tensors: dict[str, Tensor]) -> Tree:
    """The tree that was split."""
    if isinstance(plain, list):
        return [joined(v, tensors) for v in plain]
    if not isinstance(plain, dict):
        return plain
    ((kind, told),) = plain.items()
    if kind == "tensor":
        return tensors[told]
    if kind == "array":
        return tensors[told].numpy()
    if kind == "tuple":
        return tuple(joined(v, tensors) for v in told)
    return {joined(k, tensors): joined(v, tensors) for k, v in told}
