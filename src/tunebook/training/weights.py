"""Weights from files of several kinds, as tensors by name. Nothing that a file holds is ever run."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from tunebook.errors import CheckpointError
from tunebook.sealed import CARD, CHECKPOINT, read_bytes, read_card, read_file
from tunebook.training.checkpoint import read_checkpoint
from tunebook.training.model_file import WEIGHTS
from tunebook.training.state import best_weights
from tunebook.training.tensor_file import unpack

Weights = dict[str, Tensor]
INDEX = "model.safetensors.index.json"
NESTED = ("state_dict", "model_state_dict", "model", "weights")  # where training scripts keep the weights in a file
PICKLED = (".pt", ".pth", ".bin", ".ckpt")


def read_weights(path: Path | str) -> Weights:
    """The weights in a file or folder, on the CPU.

    folder of a saved model         ``model.json`` beside ``model.safetensors``
    folder of a run                 the best weights of its newest checkpoint
    folder of another library       ``model.safetensors``, whole or in shards
    *.safetensors                   a checkpoint of tunebook's, or any other
    *.pt, *.pth, *.bin, *.ckpt      a state dict that ``torch.save`` wrote, also as one entry of a dictionary; read with
                                    ``weights_only``, which refuses what could run code

    Raises CheckpointError for what is not there, is damaged, or holds no weights.
    """
    path = Path(path)
    if path.is_dir():
        return _in_folder(path)
    if not path.is_file():
        raise CheckpointError("there are no weights here", where=str(path), got="no such file or folder")
    if CHECKPOINT.fullmatch(path.name):
        return best_weights(read_checkpoint(path))[1]
    if path.suffix == ".safetensors":
        return _safetensors(path)
    if path.suffix in PICKLED:
        return _state_dict(path)
    raise CheckpointError(
        "this is no file of weights",
        where=str(path),
        got=repr(path.suffix),
        expected=", ".join((".safetensors", *PICKLED)),
    )


def _in_folder(folder: Path) -> Weights:
    if (folder / CARD).is_file():
        data = read_file(folder, read_card(folder), WEIGHTS)
        return unpack(data, str(folder / WEIGHTS))[0].get("weights", {})
    checkpoints = sorted((m[1], p) for p in folder.iterdir() if (m := CHECKPOINT.fullmatch(p.name)))
    if checkpoints:
        return best_weights(read_checkpoint(checkpoints[-1][1]))[1]
    if (folder / WEIGHTS).is_file():
        return _safetensors(folder / WEIGHTS)
    if (folder / INDEX).is_file():
        return _shards(folder)
    raise CheckpointError(
        "there are no weights in this folder",
        where=str(folder),
        got=", ".join(sorted(p.name for p in folder.iterdir())[:5]) or "nothing",
        expected=f"a saved model, a checkpoint, or {WEIGHTS}",
    )


def _shards(folder: Path) -> Weights:
    try:
        names = sorted(set(json.loads(read_bytes(folder / INDEX))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError("an index of shards cannot be read", where=str(folder / INDEX)) from error
    odd = [n for n in names if not isinstance(n, str) or Path(n).name != n]
    if odd:
        raise CheckpointError("an index names a file outside its folder", where=str(folder / INDEX), got=repr(odd[0]))
    return {name: tensor for shard in names for name, tensor in _safetensors(folder / shard).items()}


def _safetensors(path: Path) -> Weights:
    try:
        tensors: Weights = load(read_bytes(path))
    except SafetensorError as error:
        raise CheckpointError("a file of weights is damaged", where=str(path), got=str(error)[:200]) from error
    own = {name.removeprefix("weights/"): t for name, t in tensors.items() if name.startswith("weights/")}
    return own or tensors


def _state_dict(path: Path) -> Weights:
    try:
        held: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(
            "a file of weights is damaged, or holds more than weights",
            where=str(path),
            got=str(error).partition("\n")[0][:200],
            fix="save model.state_dict() alone, best with safetensors.torch.save_file",
        ) from error
    for name in NESTED:
        if isinstance(held, Mapping) and isinstance(held.get(name), Mapping):
            held = held[name]
    weights = {n: t for n, t in held.items() if isinstance(t, Tensor)} if isinstance(held, Mapping) else {}
    if not weights:
        raise CheckpointError(
            "a file holds no weights", where=str(path), got=type(held).__name__, expected="a state dict"
        )
    return weights
