"""Tensors and plain JSON as bytes of the safetensors format.

Nothing is pickled, so nothing that a file holds can run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from tunebook.errors import CheckpointError

Parts = Mapping[str, Mapping[str, Tensor]]
META = "tunebook"


def pack(parts: Parts, meta: Mapping[str, Any]) -> bytes:
    """Bytes of a safetensors file: tensor ``name`` of part ``part`` is called ``part/name``; ``meta`` is plain JSON."""
    # a copy of each: safetensors takes no two tensors that share memory, as tied weights do
    tensors = {
        f"{part}/{name}": tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for part, named in parts.items()
        for name, tensor in named.items()
    }
    data: bytes = save(tensors, {META: json.dumps(meta, sort_keys=True)})
    return data


def unpack(data: bytes, where: str) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The parts and the JSON of ``pack``. Raises CheckpointError for anything else."""
    try:
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        meta: dict[str, Any] = json.loads(header["__metadata__"][META])
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            "this is not a file that tunebook wrote", where=where, got=f"{type(error).__name__}: {error}"[:200]
        ) from error
    parts: dict[str, dict[str, Tensor]] = {}
    for full, tensor in tensors.items():
        part, _, name = full.partition("/")
        parts.setdefault(part, {})[name] = tensor
    return parts, meta
