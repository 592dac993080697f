"""Tensors and plain JSON as bytes of the safetensors format, and files that are whole or not there.

Nothing is pickled, so nothing that a file holds can run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
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


def digest(data: bytes) -> str:
    """sha256 in hex."""
    return sha256(data).hexdigest()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that after a crash or power cut there is the old one or the new one, never a part."""
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder last, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
