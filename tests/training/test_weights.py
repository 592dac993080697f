"""Weights from every kind of file, and from none that could run something."""

import json
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tunebook.data import Preprocessor
from tunebook.errors import CheckpointError
from tunebook.training import Card, Checkpoints, save_model
from tunebook.training.weights import read_weights


def weights() -> dict[str, Tensor]:
    return {"0.weight": torch.arange(6.0).reshape(2, 3), "0.bias": torch.ones(2)}


def same(got: dict[str, Tensor]) -> bool:
    return got.keys() == weights().keys() and all(torch.equal(got[n], t) for n, t in weights().items())


def test_of_a_saved_model_and_of_its_file_alone(tmp_path: Path) -> None:
    card = Card("mlp", {}, (3,), ("a", "b"), Preprocessor("table", (3,), (), (), ()))
    folder = save_model(tmp_path / "model", card, weights())
    assert same(read_weights(folder)) and same(read_weights(folder / "model.safetensors"))
    (folder / "model.safetensors").write_bytes(b"x" + (folder / "model.safetensors").read_bytes()[1:])
    with pytest.raises(CheckpointError, match="damaged or was edited"):
        read_weights(folder)


def test_of_a_run_the_best_of_its_newest_checkpoint(tmp_path: Path) -> None:
    worse = {n: t + 1 for n, t in weights().items()}
    saved = Checkpoints(tmp_path)
    saved.save(1, {"weights": worse, "best": worse}, {"best_epoch": 1})
    path = saved.save(12, {"weights": worse, "best": weights()}, {"best_epoch": 7})
    assert same(read_weights(tmp_path)) and same(read_weights(str(path)))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match="damaged"):
        read_weights(path)


def test_of_other_libraries_whole_and_in_shards(tmp_path: Path) -> None:
    save_file(weights(), tmp_path / "any.safetensors")
    assert same(read_weights(tmp_path / "any.safetensors"))
    whole, sharded = tmp_path / "whole", tmp_path / "sharded"
    whole.mkdir(), sharded.mkdir()
    save_file(weights(), whole / "model.safetensors")
    assert same(read_weights(whole))
    for i, (name, tensor) in enumerate(weights().items()):
        save_file({name: tensor}, sharded / f"{i}.safetensors")
    index = {"weight_map": {"0.weight": "0.safetensors", "0.bias": "1.safetensors"}}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    assert same(read_weights(sharded))
    index["weight_map"]["0.bias"] = "../any.safetensors"
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="outside its folder"):
        read_weights(sharded)


@pytest.mark.parametrize("nested", [None, "state_dict", "model"])
@pytest.mark.parametrize("suffix", ["pt", "pth", "bin", "ckpt"])
def test_of_state_dicts(tmp_path: Path, nested: str | None, suffix: str) -> None:
    held: Any = OrderedDict(weights())
    torch.save({nested: held, "epoch": 3} if nested else held, tmp_path / f"w.{suffix}")
    assert same(read_weights(tmp_path / f"w.{suffix}"))


class Trap:
    """What a malicious file would do when it is unpickled: make a folder, here."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.mkdir, (self.mark,))


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    mark, path = tmp_path / "was here", tmp_path / "w.pt"
    for held in (Trap(mark), {"state_dict": weights(), "extra": Trap(mark)}):
        torch.save(held, path)
        with pytest.raises(CheckpointError, match="more than weights"):
            read_weights(path)
        path.write_bytes(pickle.dumps(held, protocol=2))
        with pytest.raises(CheckpointError):
            read_weights(path)
    torch.save(nn.Linear(2, 2), path)  # a whole model is a pickle of its class
    with pytest.raises(CheckpointError, match="more than weights"):
        read_weights(path)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Trap(mark)))
    assert mark.exists(), "the trap works"


def test_what_is_no_weights_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "a.safetensors").write_bytes(b"x" * 100)
    (tmp_path / "a.pt").write_bytes(b"")
    torch.save({"epoch": 3}, tmp_path / "b.pt")
    for name, said in (("nowhere", "no weights here"), ("empty", "no weights in this folder"), ("a.txt", "no file of"),
                       ("a.safetensors", "damaged"), ("a.pt", "damaged"), ("b.pt", "no weights")):  # fmt: skip
        with pytest.raises(CheckpointError, match=said):
            read_weights(tmp_path / name)
