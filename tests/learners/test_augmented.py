"""Augmentation and starts from other weights, through the families and the whole job."""

from pathlib import Path

import numpy as np
import pytest
import torch

import tunebook
from tunebook.data import Split, from_arrays, open_dataset, save_arrays
from tunebook.errors import SettingError
from tunebook.learners import learner_named
from tunebook.learners.spaces import augmentations
from tunebook.objective import Run
from tunebook.record import read_record
from tunebook.space import Config
from tunebook.training.transfer import fine_tuning
from tunebook.training.weights import read_weights
from tunebook.trial import Context, Goal

ACCURACY = Goal("accuracy", "maximize")  # type: ignore[arg-type]
SPLIT = Split(seed=0)
DIGITS = "sklearn:digits"


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def run_of(folder: Path, config: Config, until: int, context: Context) -> Run:
    metric = "train_accuracy" if context.final else "accuracy"
    return Run(0, config, until, folder, context.seed, context, metric=metric)


def test_a_job_that_augments_shows_what_it_did(tmp_path: Path) -> None:
    data = open_dataset(DIGITS)
    space = learner_named("mlp").space(data).updated({**augmentations(data), "augment": 0.8})
    result = tunebook.tune_model(
        "mlp", DIGITS, space=space, steps=1, trials=6, folder=tmp_path / "s", workers=0, quiet=True
    )
    told = read_record(tmp_path / "s").trials.notes["augmented"]
    assert told["settings"]["rotation"] == pytest.approx(12.0) and len(told["examples"]) == 3
    report = (tmp_path / "s" / "report.html").read_text("utf-8")
    assert "rotation 12" in report and report.count("data:image/png") == 15
    assert result.model is not None and "augmented" not in (result.model / "model.json").read_text("utf-8")


def test_a_baseline_that_does_not_augment_shows_nothing() -> None:
    data = open_dataset(DIGITS)
    learner = learner_named("cnn")
    objective = learner.objective(DIGITS, SPLIT, ACCURACY, 2)
    config = learner.space(data).updated(augmentations(data)).default
    assert config["augment"] == 0.0
    assert objective.augmented(config) is None  # type: ignore[attr-defined]
    assert objective.augmented({**config, "augment": 1.0}) is not None  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["image", "sequence", "table"])
def test_the_piece_of_a_space_fits_each_kind_of_data(kind: str, tmp_path: Path) -> None:
    shape = {"image": (60, 1, 6, 6), "sequence": (60, 2, 12), "table": (60, 5)}[kind]
    rng = np.random.default_rng(0)
    data = from_arrays(rng.normal(size=shape), rng.integers(0, 2, 60), kind=kind)  # type: ignore[arg-type]
    path = save_arrays(data, tmp_path / "data.npz")
    learner = learner_named("mlp")
    space = learner.space(data).updated(augmentations(data))
    objective = learner.objective(f"npz:{path}", SPLIT, ACCURACY, 2)
    for i, config in enumerate((space.default, {**space.default, "augment": 1.0})):
        assert len(list(objective(run_of(tmp_path / str(i), config, 2, Context())))) == 2
    with pytest.raises(SettingError, match="no augmentation of this kind"):
        list(objective(run_of(tmp_path / "x", {"shift" if kind != "sequence" else "flip": 0.1}, 2, Context())))


def test_a_family_starts_from_a_saved_model(tmp_path: Path) -> None:
    learner = learner_named("cnn")
    objective = learner.objective(DIGITS, SPLIT, ACCURACY, 2)
    small: Config = {"channels": 4, "units": 8}
    list(objective(run_of(tmp_path / "a", small, 2, Context(final=True))))
    model = tmp_path / "a" / "model"
    config = {**small, **learner.space(open_dataset(DIGITS)).updated(fine_tuning(str(model))).default}
    config = {**config, **small, "strategy": "head"}
    list(objective(run_of(tmp_path / "b", config, 2, Context(final=True))))
    before, after = read_weights(model), read_weights(tmp_path / "b" / "model")
    changed = {n for n in before if not torch.equal(before[n], after[n])}
    assert changed == {"11.weight", "11.bias"}, "the head alone"
    inputs = open_dataset(DIGITS).inputs[:4]
    assert tunebook.load(tmp_path / "b" / "model").predict(inputs).shape == (4,)
