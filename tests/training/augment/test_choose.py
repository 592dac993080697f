"""Every augmentation through a configuration: off is off, a seed is a batch, and it helps where it should."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from tunebook.data import Preprocessor, open_dataset
from tunebook.errors import DataError, SettingError
from tunebook.objective import Run
from tunebook.space import Config
from tunebook.training import Part, Task, classification, train
from tunebook.training.augment import NAMES, augmentation
from tunebook.training.augment.choose import MOST
from tunebook.training.models import cnn, mlp
from tunebook.trial import Context, Goal

STRENGTHS: dict[str, dict[str, Any]] = {
    "image": {
        "rotation": 20.0,
        "translation": 0.2,
        "scaling": 0.2,
        "flip": 0.5,
        "crop": 2,
        "noise": 0.1,
        "cutout": 0.2,
    },
    "sequence": {"noise": 0.1, "scaling": 0.2, "shift": 0.2, "mask": 0.2},
    "table": {"noise": 0.1, "mask": 0.2},
}
SHAPES: dict[str, tuple[int, ...]] = {"image": (16, 2, 8, 6), "sequence": (16, 2, 20), "table": (16, 20)}
EACH = [(kind, name) for kind, told in STRENGTHS.items() for name in told]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def batch(kind: str) -> Tensor:
    return torch.randn(SHAPES[kind], generator=Generator().manual_seed(3))


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def made(config: Config, kind: str) -> Callable[[Tensor, Generator], Tensor]:
    found = augmentation(config, kind)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_every_setting_is_tried_here() -> None:
    assert {kind: set(told) for kind, told in STRENGTHS.items()} == {kind: set(most) for kind, most in MOST.items()}
    assert {name for _, name in EACH} | {"augment", "fill"} == set(NAMES)


@pytest.mark.parametrize("kind", STRENGTHS)
def test_without_strength_nothing_is_done(kind: str) -> None:
    off = dict.fromkeys(STRENGTHS[kind], 0)
    assert augmentation({}, kind) is None and augmentation(off, kind) is None  # type: ignore[arg-type]
    assert augmentation({**STRENGTHS[kind], "augment": 0.0}, kind) is None  # type: ignore[arg-type]
    x = batch(kind)
    silent = type(made(STRENGTHS[kind], kind))()  # all strengths at their defaults, called all the same
    assert torch.equal(silent(x, seeded()), x)


@pytest.mark.parametrize(("kind", "name"), EACH)
def test_a_seed_is_a_batch(kind: str, name: str) -> None:
    x, augment = batch(kind), made({name: STRENGTHS[kind][name]}, kind)
    kept = x.clone()
    first = augment(x, seeded())
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    again = pickle.loads(pickle.dumps(augment))(x, seeded())
    assert torch.equal(first, again) and torch.equal(x, kept), "same seed, same batch; the original is not touched"
    assert not torch.equal(first, x) and not torch.equal(first, augment(x, seeded(1)))
    assert torch.equal(torch.random.get_rng_state(), before), "torch's own generator is not used"


@pytest.mark.parametrize("kind", STRENGTHS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_shape_type_and_layout_stay(kind: str, dtype: torch.dtype) -> None:
    x, augment = batch(kind).to(dtype), made(STRENGTHS[kind], kind)
    got = augment(x, seeded())
    assert got.shape == x.shape and got.dtype == dtype and got.device == x.device and got.is_contiguous()
    assert not got.requires_grad and bool(torch.isfinite(got).all())
    if kind == "image":
        last = x.contiguous(memory_format=torch.channels_last)
        also = augment(last, seeded())
        assert also.is_contiguous(memory_format=torch.channels_last)
        assert torch.allclose(also.float(), got.float(), atol=1e-5 if dtype != torch.bfloat16 else 0.05)


def test_one_factor_scales_all() -> None:
    half = made({**STRENGTHS["image"], "augment": 0.5, "fill": "edge"}, "image")
    told = {**{k: v / 2 for k, v in STRENGTHS["image"].items()}, "crop": 1, "fill": "edge"}
    assert vars(half) == told


@pytest.mark.parametrize(
    ("config", "kind", "where"),
    [
        ({"rotation": -1.0}, "image", "rotation"),
        ({"rotation": 181.0}, "image", "rotation"),
        ({"flip": 1.5}, "image", "flip"),
        ({"crop": 1.5}, "image", "crop"),
        ({"crop": 2, "fill": "egde"}, "image", "fill"),
        ({"mask": 0.1}, "image", "mask"),
        ({"rotation": 10.0}, "table", "rotation"),
        ({"shift": 2.0}, "sequence", "shift"),
        ({"augment": -0.1}, "table", "augment"),
    ],
)
def test_what_cannot_be_is_refused(config: Config, kind: str, where: str) -> None:
    with pytest.raises(SettingError, match=where):
        augmentation(config, kind)  # type: ignore[arg-type]


def test_token_ids_are_refused() -> None:
    with pytest.raises(DataError, match="token ids"):
        made({"noise": 0.1}, "sequence")(torch.ones(2, 5, dtype=torch.int64), seeded())


def digits(seed: int) -> tuple[Part, Part]:
    """200 digits to learn from, and 400 that are moved by up to one pixel each way."""
    data = open_dataset("sklearn:digits")
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(data))
    learned = Preprocessor.fit(data, rows[:200])

    def part(inputs: np.ndarray, rows: np.ndarray) -> Part:
        return Part(torch.from_numpy(learned.apply(inputs)), torch.from_numpy(data.targets[rows].copy()))

    moved = np.stack([np.roll(image, rng.integers(-1, 2, 2), (1, 2)) for image in data.inputs[rows[200:600]]])
    return part(data.inputs[rows[:200]], rows[:200]), part(moved, rows[200:600])


def accuracy(task: Task, config: Config, seed: int, folder: Path) -> float:
    *_, last = train(task, Run(0, config, task.epochs, folder, seed, Context(seed=seed), metric="accuracy"))
    return last.metrics["accuracy"]


def test_translation_helps_where_digits_are_moved(tmp_path: Path) -> None:
    gains = []
    for seed in range(3):
        parts = digits(seed)
        goal = Goal("accuracy", "maximize", pick="last")  # type: ignore[arg-type]
        task = classification(lambda c: mlp(c, (1, 8, 8), 10), *parts, epochs=15, goal=goal)
        task = replace(task, augment=partial(augmentation, kind="image"))
        plain, helped = (
            accuracy(task, {"lr": 3e-3, "batch_size": 32, "translation": t}, seed, tmp_path / f"{seed}-{t}")
            for t in (0.0, 0.15)
        )
        gains.append(helped - plain)
    assert min(gains) > 0.03, gains


def test_a_broken_run_with_augmentation_is_as_an_unbroken_one(tmp_path: Path) -> None:
    train_part, valid = digits(0)
    config: Config = {**STRENGTHS["image"], "batch_size": 64, "channels": 4, "units": 8}
    task = classification(lambda c: cnn(c, (1, 8, 8), 10), train_part, valid, epochs=4)
    task = replace(task, augment=partial(augmentation, kind="image"))

    def run(folder: str) -> Run:
        return Run(0, config, 4, tmp_path / folder, 1, Context(seed=1), metric="accuracy")

    unbroken = [dict(m.metrics) for m in train(task, run("a"))]
    for _ in range(2):
        stream = train(task, run("b"))
        list(islice(stream, 2))
        stream.close()
    assert [dict(m.metrics) for m in train(task, run("b"))] == unbroken
    plain = [dict(m.metrics) for m in train(replace(task, augment=lambda c: None), run("c"))]
    assert plain != unbroken
