"""A run that is stopped after any epoch and taken up again is as one that never was, whatever is switched on."""

from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import nn

from tunebook.objective import Run
from tunebook.space import Config
from tunebook.training import Part, Task, classification, multilabel, train
from tunebook.training.models import mlp
from tunebook.trial import Context, Measurement

EPOCHS = 6
AVERAGES: list[Config] = [{}, {"ema": 0.8}, {"swa": 0.4}, {"swa": 0.4, "swa_rate": 0.3, "swa_anneal": 0.2}]
NUMBERS: list[Config] = [{}, {"precision": "bf16"}]
SCHEDULES: list[Config] = [
    {"schedule": "plateau", "plateau_patience": 0, "gamma": 0.5},
    {"schedule": "one_cycle"},
    {"schedule": "exponential", "warmup": 0.2},
]
BATCHES: list[Config] = [{}, {"mixup": 0.4, "micro_batch": 7, "l1": 1e-3, "clip_norm": 0.5}]
COMBINED = [
    {**average, **numbers, **schedule, **batches, "noise": bool(batches)}
    for average in AVERAGES
    for numbers in NUMBERS
    for schedule in SCHEDULES
    for batches in BATCHES
]


def noisy(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return x + 0.3 * torch.randn(x.shape, generator=generator)


def part(n: int, seed: int) -> Part:
    torch.manual_seed(seed)
    x = torch.randn(n, 6)
    return Part(x, (x[:, 0] + x[:, 1] > 0).long() + (x[:, 2] > 0).long())


def task() -> Task:
    def build(config: Config) -> nn.Module:
        return mlp({"units": 8, "layers": 1, "norm": "batch", "dropout": 0.2}, (6,), 3)

    made = classification(build, part(60, 0), part(40, 1), epochs=EPOCHS)
    return replace(made, augment=lambda config: noisy if config.get("noise") else None)


def curve(measurements: list[Measurement]) -> list[tuple[int, dict[str, float]]]:
    return [(m.step, dict(m.metrics)) for m in measurements]


def check(made: Task, folder: Path, config: Config, metric: str = "accuracy") -> None:
    """Unbroken, and stopped after 1, 2, ... epochs, each time in a new generator that finds its checkpoint."""
    told: Config = {"optimizer": "adamw", "lr": 0.02, "weight_decay": 0.01, "batch_size": 20, **config}

    def run(name: str) -> Run:
        return Run(0, told, EPOCHS, folder / name, 7, Context(seed=7), metric=metric)

    unbroken = curve(list(train(made, run("whole"))))
    assert len({str(metrics) for _, metrics in unbroken}) > 1
    for until in range(1, EPOCHS + 1):
        with closing(train(made, run("broken"))) as stream:
            assert curve(list(islice(stream, until))) == unbroken[:until]


@pytest.mark.parametrize("config", COMBINED, ids=lambda c: " ".join(f"{k}={v}" for k, v in c.items()))
def test_stopped_after_each_epoch_is_as_unbroken(tmp_path: Path, config: Config) -> None:
    check(task(), tmp_path, config)


def test_several_labels_too(tmp_path: Path) -> None:
    fitted, judged = (Part(p.x, (p.x[:, :3] > 0).float()) for p in (part(60, 0), part(40, 1)))
    made = multilabel(task().build, fitted, judged, epochs=EPOCHS)
    check(made, tmp_path, {"class_weights": 0.5, "label_smoothing": 0.1, "mixup": 0.2, "ema": 0.9}, "f1_macro")
    told = list(train(made, Run(0, {"lr": 0.05, "batch_size": 10}, EPOCHS, tmp_path, metric="f1_macro")))
    assert told[-1].metrics["f1_macro"] > 0.8
    assert told[-1].metrics["exact_match"] <= told[-1].metrics["label_accuracy"]
