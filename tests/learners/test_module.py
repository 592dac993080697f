"""Modules of one's own, from the space to the saved model."""

import json
import shutil
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
import torch
from torch import nn

import tunebook
from tunebook.data import Split, open_dataset
from tunebook.errors import CheckpointError, SettingError
from tunebook.learners import ModuleLearner
from tunebook.objective import Ended, Measured, Run, play
from tunebook.record import read_record
from tunebook.space import Choice, Config, Float, Int, Space
from tunebook.trial import Context, Direction, Goal

ACCURACY = Goal("accuracy", Direction.MAXIMIZE)


def narrow(config: Config) -> nn.Module:
    width = int(config["width"])  # type: ignore[arg-type]
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 10))


class Wide(nn.Module):
    """A class is a function that builds, too."""

    def __init__(self, config: Config, shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.shape, self.layer = shape, nn.Linear(int(np.prod(shape)), outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layer(x.flatten(1))
        return y


def test_it_is_tuned_confirmed_saved_and_loaded(tmp_path: Path) -> None:
    learner = ModuleLearner(narrow, Space(width=Int(8, 64, log=True)))
    result = tunebook.tune_model(
        learner, "sklearn:digits", steps=3, trials=12, folder=tmp_path / "s", workers=0, quiet=True
    )
    assert result.model is not None and result.test is not None
    data = open_dataset("sklearn:digits")
    model = tunebook.load(result.model, build=narrow)
    test = Split(seed=0).parts(data).test
    right = model.predict(data.inputs[test]) == data.labels[data.targets[test]]
    assert right.mean() == pytest.approx(result.test.metrics["accuracy"][0])
    record = read_record(tmp_path / "s")
    assert record.trials.notes["job"]["build"].endswith("test_module:narrow")
    assert record.trials.notes["capacity"]["parameters"] == sum(p.numel() for p in model.network.parameters())
    assert "step of its training" in (tmp_path / "s" / "report.md").read_text("utf-8")
    assert not [p for p in (tmp_path / "s").rglob("*") if p.suffix in (".pkl", ".pt", ".pickle")]

    with pytest.raises(CheckpointError, match=r"test_module:narrow[^$]*tunebook\.load\(folder, build=narrow\)"):
        tunebook.load(result.model)
    with pytest.raises(CheckpointError, match="do not fit"):
        tunebook.load(result.model, build=Wide)
    shutil.copytree(result.model, tmp_path / "edited")
    told = json.loads((tmp_path / "edited" / "model.json").read_text())
    told["about"]["build"] = "os:system"
    (tmp_path / "edited" / "model.json").write_text(json.dumps(told))
    with pytest.raises(CheckpointError, match="damaged or was edited"):
        tunebook.load(tmp_path / "edited", build=narrow)


def test_what_the_space_does_not_say_is_added() -> None:
    data = open_dataset("sklearn:digits")
    added = ModuleLearner(narrow, Space(width=16)).space(data)
    assert added.default["optimizer.adam.lr"] == 1e-3 and added.default["batch_size"] == 64
    assert added.default["width"] == 16
    own = ModuleLearner(narrow, Space(width=16, lr=Float(0.01, 0.1), batch_size=8)).space(data)
    assert own.names == ("lr",) and own.constants["batch_size"] == 8
    knobs = {"optimizer.adam.beta1", "optimizer.adamw.beta1"}
    assert set(ModuleLearner(narrow, Space(width=16)).space_for(data, 60).names) == {*added.names, *knobs}
    given = ModuleLearner(narrow, Space(optimizer=Choice({"adam": Space(lr=Float(0.01, 0.1)), "sgd": Space()})))
    assert given.space_for(data, 60).names == ("optimizer", "optimizer.adam.lr")
    nested = Space(block=Choice({"plain": Space(depth=Int(1, 3)), "wide": Space(width=Int(4, 8))}))
    learner = ModuleLearner(narrow, nested)
    learner.check(learner.space(data).default)
    with pytest.raises(SettingError, match="did you mean 'depth'"):
        learner.check({"block": "plain", "block.plain.dept": 2})


@pytest.mark.parametrize("build", [narrow, Wide, lambda told: narrow({"width": 1 + told["width"]})])
def test_it_trains_in_a_worker_and_goes_on_after_a_stop(tmp_path: Path, build: object) -> None:
    learner = ModuleLearner(build, Space(width=Int(8, 64, default=8)))  # type: ignore[arg-type]
    objective = cloudpickle.loads(cloudpickle.dumps(learner.objective("sklearn:digits", Split(seed=0), ACCURACY, 3)))
    config = learner.space(open_dataset("sklearn:digits")).default

    def curve(folder: Path, stops: list[int]) -> list[dict[str, float]]:
        for until in stops:
            *told, ended = play(objective, Run(0, config, until, folder, 1, Context(seed=1), metric="accuracy"))
            assert isinstance(ended, Ended) and ended.failure is None, ended.failure
        return [dict(e.measurement.metrics) for e in told if isinstance(e, Measured)]

    whole = curve(tmp_path / "a", [3])
    assert curve(tmp_path / "b", [1, 3]) == whole
    assert whole[-1]["train_loss"] < whole[0]["train_loss"]


def test_what_does_not_build_is_refused(tmp_path: Path) -> None:
    for wrong in (lambda: nn.Linear(1, 1), lambda config, shape: nn.Linear(1, 1), 3, nn.Linear(2, 2)):
        with pytest.raises(SettingError, match="does not build modules"):
            ModuleLearner(wrong, Space(width=8))  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="not a space"):
        ModuleLearner(narrow, {"width": 8})  # type: ignore[arg-type]
    made = ModuleLearner(lambda config: "a module", Space(width=8))  # type: ignore[arg-type, return-value]
    task = made.objective("sklearn:digits", Split(seed=0), ACCURACY, 2).task(Context())
    with pytest.raises(SettingError, match="made no torch module"):
        task.build({})


class Picky(nn.Module):
    """A module that takes no zeros, which the counters give it."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not bool(x.any()):
            raise ValueError("nothing but zeros")
        y: torch.Tensor = self.layer(x.flatten(1))
        return y


def test_a_model_whose_size_cannot_be_told_is_saved_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    learner = ModuleLearner(Picky, Space(width=8))
    objective = learner.objective("sklearn:digits", Split(seed=0), ACCURACY, 2)
    run = Run(7, {}, 2, tmp_path, 1, Context(seed=1, final=True), metric="train_accuracy")
    *_, ended = play(objective, run)
    assert isinstance(ended, Ended) and ended.failure is None, ended.failure
    assert tunebook.load(tmp_path / "model", build=Picky).card.about["capacity"] is None
    assert "size of the model of trial 7 is not known: ValueError: nothing but zeros" in caplog.text
