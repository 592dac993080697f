"""The loop against a plain one, and against itself when it is interrupted."""

import math
import shutil
from contextlib import closing
from dataclasses import replace
from itertools import cycle, islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tunebook.errors import CheckpointError, SettingError
from tunebook.objective import EarlyStop, Run, play
from tunebook.space import Config
from tunebook.training import Checkpoints, Part, Task, classification, regression, train
from tunebook.training.loop import identity_of, seeded
from tunebook.training.models import cnn
from tunebook.training.optimizers import OPTIMIZERS
from tunebook.training.schedules import SCHEDULES
from tunebook.training.state import best_weights, history_of
from tunebook.trial import Context, Ended, FailureKind, Goal, Measured, Measurement, Status

EVERYTHING: Config = {
    "optimizer": "sgd",
    "optimizer.sgd.lr": 0.05,
    "optimizer.sgd.momentum": 0.9,
    "optimizer.sgd.nesterov": True,
    "optimizer.sgd.weight_decay": 1e-3,
    "schedule": "cosine",
    "warmup": 0.2,
    "label_smoothing": 0.1,
    "clip_norm": 1.0,
    "dropout": 0.3,
    "channels": 4,
    "units": 8,
    "batch_size": 16,
}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def part(n: int, seed: int) -> Part:
    """Images of 2 x 6 x 6 whose brightest quarter is their class."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, n)
    x = rng.normal(size=(n, 2, 6, 6))
    for i, code in enumerate(codes):
        x[i, :, 3 * (code // 2) : 3 * (code // 2) + 3, 3 * (code % 2) : 3 * (code % 2) + 3] += 0.6
    return Part(torch.from_numpy(x).float(), torch.from_numpy(codes))


def task(epochs: int = 6, patience: int = 0) -> Task:
    def build(config: Config) -> nn.Module:
        return cnn(config, (2, 6, 6), 4)

    return classification(build, part(90, 0), part(50, 1), epochs=epochs, patience=patience)


def run_to(folder: Path, until: int, config: Config = EVERYTHING, seed: int = 5, context: Context | None = None) -> Run:
    return Run(0, config, until, folder, seed, context or Context(seed=seed), metric="accuracy")


def curve(measurements: list[Measurement]) -> list[tuple[int, dict[str, float]]]:
    return [(m.step, dict(m.metrics)) for m in measurements]


def test_equals_a_plain_loop(tmp_path: Path) -> None:
    made, run = task(), run_to(tmp_path, 6, {**EVERYTHING, "dropout": 0.0})
    ours = list(train(made, run))

    with seeded(run.seed, 0, "cpu"):
        model = made.build(run.config)
    weights = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": weights, "weight_decay": 1e-3}, {"params": others}]
    optimizer = torch.optim.SGD(groups, 0.05, 0.9, nesterov=True)
    steps = math.ceil(90 / 16)
    total, warm = 6 * steps, round(0.2 * 6 * steps)

    def factor(t: int) -> float:
        return (t + 1) / warm if t < warm else 0.5 * (1 + math.cos(math.pi * (t - warm) / (total - warm)))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    for epoch in range(1, 7):
        with seeded(run.seed, epoch, "cpu") as drawn:
            order = torch.randperm(90, generator=drawn.order)
        model.train()
        for rows in np.array_split(order.numpy(), steps):
            optimizer.zero_grad()
            criterion(model(made.train.x[rows]), made.train.y[rows]).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
        model.eval()
        with torch.no_grad():
            assert made.valid is not None
            for name, x, y in (("", made.valid.x, made.valid.y), ("train_", made.train.x, made.train.y)):
                outputs = model(x)
                told = ours[epoch - 1].metrics
                assert told[f"{name}accuracy"] == pytest.approx(float((outputs.argmax(1) == y).double().mean()))
                assert told[f"{name}loss"] == pytest.approx(float(nn.CrossEntropyLoss()(outputs, y)), rel=1e-4)


def test_learns(tmp_path: Path) -> None:
    config = {**EVERYTHING, "dropout": 0.0, "channels": 8}
    last = list(train(task(epochs=15), run_to(tmp_path, 15, config)))[-1]
    assert set(last.metrics) == {"train_loss", "train_accuracy", "loss", "accuracy"}
    assert last.metrics["train_accuracy"] > 0.6  # a quarter by chance
    assert last.seconds > 0


COMBINED = [*zip(sorted(OPTIMIZERS), cycle(sorted(SCHEDULES)), strict=False), ("torch:Adamax", "plateau")]


@pytest.mark.parametrize(("optimizer", "schedule"), COMBINED)
def test_interrupted_after_each_epoch_is_as_unbroken(tmp_path: Path, optimizer: str, schedule: str) -> None:
    told = {"optimizer": optimizer, f"optimizer.{optimizer}.lr": 0.02, "momentum": 0.8, "plateau_patience": 0}
    config = {**EVERYTHING, **told, "schedule": schedule}
    unbroken = curve(list(train(task(), run_to(tmp_path / "a", 6, config))))
    for until in range(1, 7):
        torch.manual_seed(until)  # what else goes on in the process is of no account
        with closing(train(task(), run_to(tmp_path / "b", 6, config))) as stream:
            broken = curve(list(islice(stream, until)))
        assert broken == unbroken[:until]


def test_resumed_to_a_later_epoch_is_as_unbroken(tmp_path: Path) -> None:
    unbroken = curve(list(train(task(), run_to(tmp_path / "a", 6))))
    for until in (2, 3, 6):
        assert curve(list(train(task(), run_to(tmp_path / "b", until)))) == unbroken[:until]


def test_two_runs_side_by_side_do_not_disturb_each_other(tmp_path: Path) -> None:
    alone = curve(list(train(task(), run_to(tmp_path / "a", 4))))
    streams = [train(task(), run_to(tmp_path / name, 4)) for name in ("b", "c")]
    both = [curve([m for m, _ in pairs]) for pairs in [list(zip(*streams, strict=True))]]
    assert both == [alone]


def test_the_process_generator_is_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    list(train(task(), run_to(tmp_path, 2)))
    assert torch.equal(torch.rand(4), expected)


def test_seeds_differ_in_everything(tmp_path: Path) -> None:
    curves = [curve(list(train(task(), run_to(tmp_path / str(s), 2, seed=s)))) for s in (1, 2)]
    assert curves[0][0] != curves[1][0]
    config = {**EVERYTHING, "optimizer.sgd.lr": 0.0}
    still = [curve(list(train(task(), run_to(tmp_path / f"{s}still", 1, config, seed=s)))) for s in (1, 2)]
    assert still[0] != still[1]  # also the first weights


def test_best_weights_are_kept(tmp_path: Path) -> None:
    made = task(epochs=12)
    run = run_to(tmp_path, 12, {**EVERYTHING, "optimizer.sgd.lr": 0.3, "clip_norm": 0.0})
    told = list(train(made, run))
    scores = [m.metrics["accuracy"] for m in told]
    best = scores.index(max(scores)) + 1
    assert best < 12, "the case is of no use if the last epoch is the best"
    found = Checkpoints(tmp_path, identity_of(made, run)).latest()
    assert found is not None
    assert curve(history_of(found)) == curve(told)
    epoch, weights = best_weights(found)
    assert epoch == best
    model = made.build(run.config)
    model.load_state_dict(weights)
    model.eval()
    assert made.valid is not None
    with torch.no_grad():
        right = (model(made.valid.x).argmax(1) == made.valid.y).double().mean()
    assert float(right) == pytest.approx(max(scores))


def test_a_finished_training_keeps_one_file_without_the_optimizer(tmp_path: Path) -> None:
    list(train(task(), run_to(tmp_path, 4)))
    assert len(list(tmp_path.iterdir())) <= 2
    list(train(task(), run_to(tmp_path, 6)))
    found = Checkpoints(tmp_path, identity_of(task(), run_to(tmp_path, 6))).latest()
    assert found is not None
    assert found.step == 6
    assert set(found.parts) == {"weights", "best"}
    assert len(list(tmp_path.iterdir())) == 1


def test_early_stopping(tmp_path: Path) -> None:
    config = {**EVERYTHING, "optimizer.sgd.lr": 0.0}
    made = task(epochs=20, patience=3)
    events = list(play(lambda run: train(made, run), run_to(tmp_path, 20, config)))
    ended = events[-1]
    # batch norm's statistics still move a little, so the best epoch need not be the first
    scores = [e.measurement.metrics["accuracy"] for e in events if isinstance(e, Measured)]
    best = scores.index(max(scores)) + 1
    assert isinstance(ended, Ended)
    assert ended.status is Status.STOPPED
    assert ended.note == f"accuracy has not improved for 3 epochs since epoch {best}"
    assert len(scores) == best + 3 < 20
    again = list(play(lambda run: train(made, run), run_to(tmp_path, 20, config)))
    assert [e.measurement.metrics for e in again if isinstance(e, Measured)] == [
        e.measurement.metrics for e in events if isinstance(e, Measured)
    ]
    assert again[-1] == ended


def test_patience_outlives_an_interruption(tmp_path: Path) -> None:
    config = {**EVERYTHING, "optimizer.sgd.lr": 0.0}
    made = task(epochs=20, patience=3)
    unbroken = list(train(made, run_to(tmp_path / "a", 20, config)))
    for until in range(1, 21):
        stream = train(made, run_to(tmp_path / "b", until, config))
        told = []
        while True:
            try:
                told.append(next(stream))
            except StopIteration as end:
                returned = end.value
                break
        assert len(told) == min(until, len(unbroken))
    assert isinstance(returned, EarlyStop)


def test_divergence_is_nan_and_a_failed_run(tmp_path: Path) -> None:
    config = {**EVERYTHING, "optimizer.sgd.lr": 1e30, "clip_norm": 0.0, "norm": "none"}
    *before, ended = list(play(lambda run: train(task(), run), run_to(tmp_path, 6, config)))
    assert isinstance(ended, Ended)
    assert ended.failure is not None
    assert ended.failure.kind is FailureKind.DIVERGED
    last = before[-1]
    assert isinstance(last, Measured)
    assert all(math.isnan(v) for v in last.measurement.metrics.values())


def test_final_training_has_no_validation(tmp_path: Path) -> None:
    whole = task().final()
    assert len(whole.train) == 140
    run = replace(run_to(tmp_path, 3, context=Context(final=True)), metric="train_accuracy")
    events = list(play(lambda r: train(whole, r), run))
    assert isinstance(events[-1], Ended)
    assert events[-1].status is Status.COMPLETED
    assert isinstance(events[0], Measured)
    assert set(events[0].measurement.metrics) == {"train_loss", "train_accuracy"}
    found = Checkpoints(tmp_path, identity_of(whole, run)).latest()
    assert found is not None
    epoch, weights = best_weights(found)
    assert epoch == 3
    assert set(weights) == set(whole.build(EVERYTHING).state_dict())


def test_a_checkpoint_of_another_training_is_not_taken_up(tmp_path: Path) -> None:
    first = curve(list(train(task(), run_to(tmp_path, 3))))
    other = curve(list(train(task(), run_to(tmp_path, 3, seed=6))))
    assert other != first
    assert other == curve(list(train(task(), run_to(tmp_path / "alone", 3, seed=6))))


def test_no_batch_is_larger_than_told_and_none_is_a_leftover(tmp_path: Path) -> None:
    seen: list[int] = []

    class Watch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(72, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                seen.append(len(x))
            out: torch.Tensor = self.inner(x.flatten(1))
            return out

    made = classification(lambda config: Watch(), part(91, 0), part(50, 1), epochs=2)
    list(train(made, run_to(tmp_path, 1, {"batch_size": 30})))
    assert seen == [23, 23, 23, 22]


def test_regression_reaches_the_plane(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    y = x @ np.array([1.0, -2.0, 0.5]) + 0.3
    whole = Part(torch.from_numpy(x).float(), torch.from_numpy(y).float())
    fitted, judged = Part(whole.x[:150], whole.y[:150]), Part(whole.x[150:], whole.y[150:])
    made = regression(lambda config: nn.Linear(3, 1), fitted, judged, epochs=40)
    told = list(train(made, Run(0, {"optimizer": "adam", "lr": 0.05, "batch_size": 20}, 40, tmp_path, metric="rmse")))
    assert set(told[-1].metrics) == {f"{p}{m}" for p in ("", "train_") for m in ("loss", "rmse", "r2")}
    assert told[-1].metrics["rmse"] < 0.01
    assert told[-1].metrics["r2"] > 0.999
    assert told[-1].metrics["loss"] == pytest.approx(told[-1].metrics["rmse"] ** 2, rel=1e-3)


def test_tied_weights_go_through_a_checkpoint(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.last = nn.Linear(72, 72), nn.Linear(72, 72), nn.Linear(72, 4)
            self.second.weight = self.first.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.last(self.second(torch.tanh(self.first(x.flatten(1)))))
            return out

    made = classification(lambda config: Tied(), part(40, 0), part(20, 1), epochs=4)
    unbroken = curve(list(train(made, run_to(tmp_path / "a", 4, {"lr": 0.01}))))
    list(train(made, run_to(tmp_path / "b", 2, {"lr": 0.01})))
    assert curve(list(train(made, run_to(tmp_path / "b", 4, {"lr": 0.01})))) == unbroken


def test_what_cannot_be_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="beyond the full training"):
        list(train(task(epochs=3), run_to(tmp_path, 4)))
    with pytest.raises(SettingError, match="batch_size"):
        list(train(task(), run_to(tmp_path, 3, {"batch_size": 0})))
    with pytest.raises(SettingError, match="goal is not among the metrics"):
        replace(task(), goal=Goal("rmse"))
    with pytest.raises(SettingError, match="epochs"):
        task(epochs=0)


def test_a_copy_goes_on_from_its_parents_checkpoint(tmp_path: Path) -> None:
    """Epochs 4 to 6 on a copy of another trial's folder, with its seed, are those of that trial, weights and all; with
    another learning rate they are not, and what is before epoch 4 is the parent's."""
    context, plain = Context(seed=9), {**EVERYTHING, "schedule": "constant"}

    def run(folder: str, until: int, config: Config = plain, copied: bool = False, seed: int = 9) -> Run:
        told = Run(0, config, until, tmp_path / folder, seed, Context(seed=seed))
        return replace(told, parent=(plain, context), start=3) if copied else told

    whole = list(train(task(), run("whole", 6)))
    list(train(task(), run("parent", 3)))
    for child in ("same", "faster", "none"):
        shutil.copytree(tmp_path / ("parent" if child != "none" else "whole"), tmp_path / child)
    same = list(train(task(), run("same", 6, copied=True)))
    assert [m.metrics for m in same] == [m.metrics for m in whole]
    faster = list(train(task(), run("faster", 6, {**plain, "optimizer.sgd.lr": 0.2}, copied=True, seed=4)))
    assert [m.metrics for m in faster[:3]] == [m.metrics for m in whole[:3]]
    assert faster[3].metrics != whole[3].metrics
    again = list(train(task(), run("faster", 6, {**plain, "optimizer.sgd.lr": 0.2}, copied=True, seed=4)))
    assert [m.metrics for m in again] == [m.metrics for m in faster]  # its own checkpoint by now
    with pytest.raises(CheckpointError, match="one of step 6"):
        list(train(task(), run("none", 6, {**plain, "optimizer.sgd.lr": 0.2}, copied=True, seed=4)))


def noisy(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return x + 0.5 * torch.randn(x.shape, generator=generator)


def test_each_training_batch_is_augmented(tmp_path: Path) -> None:
    """Training sees what the augmentation made, other noise in each epoch, the same in each run; judging sees data."""
    seen: dict[bool, list[torch.Tensor]] = {True: [], False: []}

    class Watch(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen[self.training].append(x.detach().clone())
            return super().forward(x.flatten(1))

    made = classification(lambda config: Watch(72, 4), part(40, 0), part(30, 1), epochs=3)
    made = replace(made, augment=lambda config: noisy if config.get("noise") else None)
    config: Config = {"batch_size": 20, "noise": True, "lr": 0.0}
    list(train(made, run_to(tmp_path, 3, config)))
    for epoch in (1, 2, 3):
        with seeded(5, epoch, "cpu") as drawn:
            order = torch.randperm(40, generator=drawn.order)
            expected = [noisy(made.train.x[rows], drawn.batch) for rows in order.tensor_split(2)]
        assert all(torch.equal(a, b) for a, b in zip(seen[True][2 * epoch - 2 : 2 * epoch], expected, strict=True))
    assert made.valid is not None
    assert {len(x) for x in seen[False]} == {40, 30}
    assert all(torch.equal(x, (made.train if len(x) == 40 else made.valid).x) for x in seen[False])


class Staged(nn.Module):
    """A body that is frozen in the first two epochs, and learns at a tenth of the head's rate then."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(72, 6), nn.Linear(6, 4)
        self.begin_epoch(1, 5)

    def parameter_groups(self, config: Config) -> list[dict[str, object]]:
        return [{"params": self.body.parameters(), "lr_scale": 0.1}, {"params": self.head.parameters()}]

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        self.body.requires_grad_(epoch > 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(torch.tanh(self.body(x.flatten(1))))
        return out


def test_a_model_thaws_as_it_says(tmp_path: Path) -> None:
    models: list[Staged] = []

    def build(config: Config) -> nn.Module:
        models.append(Staged())
        return models[-1]

    made = classification(build, part(40, 0), part(30, 1), epochs=5)
    config: Config = {"lr": 0.01, "weight_decay": 0.1, "schedule": "cosine"}
    bodies = []
    for m in train(made, run_to(tmp_path / "a", 5, config)):
        bodies.append(models[0].body.weight.detach().clone())
        assert m.step == len(bodies)
    assert [torch.equal(a, b) for a, b in pairwise(bodies)] == [True, False, False, False]
    unbroken = curve(list(train(made, run_to(tmp_path / "a", 5, config))))
    for until in range(1, 6):
        assert curve(list(train(made, run_to(tmp_path / "b", until, config)))) == unbroken[:until]
