"""Saved models: the same predictions in another process, and no file that was changed is taken."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tunebook.data import Dataset, Preprocessor
from tunebook.errors import CheckpointError
from tunebook.sealed import read_card, write_sealed
from tunebook.training import Card, load_model, save_model
from tunebook.training.model_file import WEIGHTS
from tunebook.training.models import BUILDERS

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(700, 1, 8, 8)).astype(np.float32) * 3 + 1
CONFIG = {"channels": 4, "units": 8, "dropout": 0.5}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def saved(folder: Path) -> Path:
    data = Dataset(IMAGES, np.arange(700) % 3, "image", "classification", ("cat", "dog", "eel"))
    torch.manual_seed(0)
    model = BUILDERS["cnn"](CONFIG, (1, 8, 8), 3)
    model(torch.randn(50, 1, 8, 8))  # moves the running statistics
    card = Card(
        "cnn", CONFIG, (1, 8, 8), data.classes, Preprocessor.fit(data), None, 7, {"loss": 0.5, "x": float("nan")}
    )
    return save_model(folder, card, model.state_dict())


def test_predicts(tmp_path: Path) -> None:
    model = load_model(saved(tmp_path / "model"))
    probabilities, labels = model.predict_proba(IMAGES), model.predict(IMAGES)
    assert probabilities.shape == (700, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    assert labels.tolist() == [("cat", "dog", "eel")[i] for i in probabilities.argmax(axis=1)]
    assert len(set(labels.tolist())) > 1
    np.testing.assert_array_equal(model.predict_proba(IMAGES), probabilities)  # dropout is off
    assert model.card.epoch == 7
    assert dict(model.card.metrics) == {"loss": 0.5}
    assert sum(row.count for row in model.parameters()) == sum(p.numel() for p in model.network.parameters())


@pytest.mark.parametrize(("classes", "label_type"), [(("3", "5", "7"), "int64"), (("0.5", "1.0", "2.0"), "float32")])
def test_labels_have_the_type_of_the_targets(tmp_path: Path, classes: tuple[str, ...], label_type: str) -> None:
    card = read_card(saved(tmp_path / "model"))
    own = {k: v for k, v in card.items() if k not in ("files", "digest")}
    weights = (tmp_path / "model" / WEIGHTS).read_bytes()
    told = {**own, "classes": list(classes), "label_type": label_type}
    model = load_model(write_sealed(tmp_path / "typed", told, {WEIGHTS: weights}))
    labels = model.predict(IMAGES)
    assert labels.dtype == np.dtype(label_type)
    assert labels.tolist() == [float(classes[i]) for i in model.predict_proba(IMAGES).argmax(axis=1)]

    del told["label_type"]  # a card of an earlier version
    assert load_model(write_sealed(tmp_path / "old", told, {WEIGHTS: weights})).predict(IMAGES).dtype.kind == "U"


def test_the_preprocessing_is_that_of_training(tmp_path: Path) -> None:
    model = load_model(saved(tmp_path / "model"))
    by_hand = torch.from_numpy((IMAGES - IMAGES.mean()) / IMAGES.std())
    with torch.no_grad():
        expected = torch.softmax(model.network(by_hand), dim=1).numpy()
    np.testing.assert_allclose(model.predict_proba(IMAGES), expected, atol=1e-5)


def test_a_new_process_predicts_the_same_bits(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model")
    here = load_model(folder).predict_proba(IMAGES)
    np.save(tmp_path / "x.npy", IMAGES)
    script = "import sys, numpy as np, torch; torch.set_num_threads(1); from tunebook.training import load_model; "
    script += "np.save(sys.argv[3], load_model(sys.argv[1]).predict_proba(np.load(sys.argv[2])))"
    there = tmp_path / "y.npy"
    subprocess.run(
        [sys.executable, "-c", script, str(folder), str(tmp_path / "x.npy"), str(there)], check=True, timeout=120
    )
    assert np.load(there).tobytes() == here.tobytes()


def test_regression_answers_in_the_units_of_the_data(tmp_path: Path) -> None:
    x = RNG.normal(size=(50, 2))
    data = Dataset(x, x @ [300.0, -100.0] + 5000.0, "table", "regression")
    preprocessor = Preprocessor.fit(data)
    model = BUILDERS["mlp"]({"layers": 0}, (2,), 1)
    solved, *_ = np.linalg.lstsq(preprocessor.apply(x), preprocessor.apply_targets(data.targets), rcond=None)
    with torch.no_grad():
        last = model[1]
        assert isinstance(last, nn.Linear)
        last.weight.copy_(torch.from_numpy(solved)[None])
        last.bias.zero_()
    folder = save_model(tmp_path / "m", Card("mlp", {"layers": 0}, (2,), (), preprocessor), model.state_dict())
    loaded = load_model(folder)
    np.testing.assert_allclose(loaded.predict(x), data.targets, rtol=1e-4)
    with pytest.raises(CheckpointError, match="no probabilities"):
        loaded.predict_proba(x)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_changed_file_is_refused(tmp_path: Path, name: str) -> None:
    whole = saved(tmp_path / "model")
    data = (whole / name).read_bytes()
    changes = [data[:-1], data + b" ", b"", b"<html>", pickle.dumps({"weights": 1})]
    changes += [
        data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :] for at in range(0, len(data), 211) for bit in (1, 32)
    ]
    for changed in changes:
        (whole / name).write_bytes(changed)
        if name == "model.json" and _same_json(changed, data):
            continue  # a space more
        with pytest.raises(CheckpointError, match="damaged or was edited"):
            load_model(whole)


def _same_json(a: bytes, b: bytes) -> bool:
    try:
        return bool(json.loads(a) == json.loads(b))
    except ValueError:
        return False


def test_an_edited_card_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model")
    told = json.loads((folder / "model.json").read_text())
    told["classes"] = ["dog", "cat", "eel"]
    (folder / "model.json").write_text(json.dumps(told))
    with pytest.raises(CheckpointError, match="damaged or was edited"):
        load_model(folder)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    one, other = saved(tmp_path / "one"), saved(tmp_path / "other")
    card = load_model(other).card
    save_model(other, card, BUILDERS["cnn"](CONFIG, (1, 8, 8), 3).state_dict())
    shutil.copy(other / "model.safetensors", one / "model.safetensors")
    with pytest.raises(CheckpointError, match="damaged or was edited"):
        load_model(one)


def test_saving_again_replaces(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model")
    card = load_model(folder).card
    weights = BUILDERS["cnn"](CONFIG, (1, 8, 8), 3).state_dict()
    save_model(folder, card, weights)
    assert torch.equal(load_model(folder).network.state_dict()["0.weight"], weights["0.weight"])
    assert os.listdir(tmp_path) == ["model"]


def test_a_model_of_ones_own_needs_its_builder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    data = Dataset(IMAGES, np.arange(700) % 3, "image", "classification", ("a", "b", "c"))
    card = Card("", {"width": 64}, (1, 8, 8), data.classes, Preprocessor.fit(data))
    folder = save_model(tmp_path / "own", card, model.state_dict())
    with pytest.raises(CheckpointError, match="build=your_function"):
        load_model(folder)
    loaded = load_model(
        folder, build=lambda config: nn.Sequential(nn.Flatten(), nn.Linear(int(str(config["width"])), 3))
    )
    assert loaded.predict(IMAGES).shape == (700,)
    with pytest.raises(CheckpointError, match="do not fit"):
        load_model(folder, build=lambda config: nn.Sequential(nn.Flatten(), nn.Linear(64, 4)))


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no model here"):
        load_model(tmp_path)
