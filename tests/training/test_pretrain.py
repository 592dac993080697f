"""Starts compared over seeds: against trainings made by hand, and on a problem where pretraining must help."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from tunebook.errors import SettingError
from tunebook.objective import Run
from tunebook.space import Config
from tunebook.training import Part, Task, classification, train
from tunebook.training.models import mlp
from tunebook.training.pretrain import FRESH, Starts, compare_starts
from tunebook.training.transfer import fine_tuned, start_from
from tunebook.training.weights import read_weights
from tunebook.trial import Context, Goal

LAST = Goal("accuracy", "maximize", pick="last")  # type: ignore[arg-type]
CONFIG: Config = {"layers": 2, "units": 16, "lr": 0.01, "batch_size": 32}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def task(count: int, seed: int, epochs: int = 10) -> Task:
    """The sign of a product of two of ten inputs."""
    drawn = torch.Generator().manual_seed(seed)
    x = torch.randn(count + 400, 10, generator=drawn)
    y = (x[:, 0] * x[:, 1] > 0).long()
    parts = (Part(x[:count], y[:count]), Part(x[count:], y[count:]))
    return classification(lambda config: mlp(config, (10,), 2), *parts, epochs=epochs, goal=LAST)


def few(seed: int) -> Task:
    return task(24, 100 + seed)


def many(seed: int) -> Task:
    return task(1200, 200 + seed)


def test_learning_from_more_of_the_same_helps_and_is_told(tmp_path: Path) -> None:
    told = compare_starts(few, {"large set": many}, CONFIG, seeds=3, folder=tmp_path)
    comparison, better = told.gains()["large set"]
    assert better and comparison.adopt and comparison.difference > 0.1
    assert told.interval(FRESH)[2] < told.interval("large set")[1], "the intervals lie apart"
    text = str(told)
    assert "3 seeds" in text and text.count("better") == 1 and f"{comparison.difference:+.4f}" in text
    again = compare_starts(few, {"large set": many}, CONFIG, seeds=3, folder=tmp_path)
    assert again.values == told.values, "what is there is taken up"


def test_equals_trainings_made_by_hand(tmp_path: Path) -> None:
    tuning: Config = {"strategy": "gradual", "layer_decay": 0.5, "lr": 0.02}
    told = compare_starts(few, {"s": many}, CONFIG, seeds=[7, 3], tuning=tuning, folder=tmp_path / "a")
    assert told.seeds == (7, 3)
    for seed, fresh, started in zip(told.seeds, told.values[FRESH], told.values["s"], strict=True):

        def value(task: Task, config: Config, name: str, seed: int = seed) -> float:
            run = Run(0, config, 10, tmp_path / f"{name}{seed}", seed, Context(seed=seed), metric="accuracy")
            return list(train(task, run))[-1].metrics["accuracy"]

        assert fresh == value(few(seed), CONFIG, "fresh")
        value(many(seed), CONFIG, "source")
        weights = read_weights(tmp_path / f"source{seed}")

        def build(config: Config, weights: dict[str, torch.Tensor] = weights) -> torch.nn.Module:
            model = mlp(config, (10,), 2)
            start_from(model, weights)
            return fine_tuned(model, config)

        # where the weights lie is part of a configuration, so of a run's identity, but of nothing that is drawn
        assert started == value(replace(few(seed), build=build), {**CONFIG, **tuning}, "target")


def test_gains_are_paired_intervals_with_holms_correction() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(0.5, 0.1, 6)
    better, same = base + rng.normal(0.05, 0.01, 6), base + rng.normal(0.0, 0.05, 6)
    values = {FRESH: tuple(base), "better": tuple(better), "same": tuple(same)}
    told = Starts(LAST, tuple(range(6)), values)
    gains = told.gains()
    for name, v in (("better", better), ("same", same)):
        comparison, _ = gains[name]
        reference = stats.ttest_rel(v, base)
        assert comparison.p == pytest.approx(reference.pvalue)
        low, high = reference.confidence_interval()
        assert (comparison.low, comparison.high) == (pytest.approx(low), pytest.approx(high))
    assert gains["better"][1] and not gains["same"][1]
    mean, low, high = told.interval(FRESH)
    half = stats.t.ppf(0.975, 5) * base.std(ddof=1) / math.sqrt(6)
    assert (mean, low, high) == (
        pytest.approx(base.mean()), pytest.approx(base.mean() - half), pytest.approx(base.mean() + half)
    )  # fmt: skip
    assert "worse" in str(Starts(LAST, tuple(range(6)), {FRESH: tuple(better), "bad": tuple(base)}))


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    for sources, seeds in (({}, 3), ({"a": many}, 1), ({"a": many}, [2, 2]), ({FRESH: many}, 3)):
        with pytest.raises(SettingError, match="starts are compared"):
            compare_starts(few, sources, CONFIG, seeds=seeds, folder=tmp_path)  # type: ignore[arg-type]
