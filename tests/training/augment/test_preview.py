"""What a report shows of an augmentation."""

import json

import pytest
import torch
from torch import Generator

from tunebook.space import Config
from tunebook.training.augment import augmentation, preview, previewed

IMAGES: Config = {"flip": 1.0, "noise": 0.0, "rotation": 0.0, "fill": "edge"}


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=Generator().manual_seed(3))


@pytest.mark.parametrize(
    ("kind", "x"), [("image", drawn(3, 2, 8, 6)), ("sequence", drawn(3, 2, 20)), ("table", drawn(3, 20))]
)
def test_each_example_and_what_becomes_of_it(kind: str, x: torch.Tensor) -> None:
    augment = augmentation({"noise": 0.5}, kind)  # type: ignore[arg-type]
    assert augment is not None
    shown = preview(augment, x, samples=4, seed=2)
    assert shown.shape == (3, 5, *x.shape[1:])
    assert torch.equal(shown[:, 0], x) and torch.equal(shown, preview(augment, x, samples=4, seed=2))
    assert len({tuple(sample.flatten().tolist()) for sample in shown[0]}) == 5


def test_images_are_grey_from_their_darkest_to_their_lightest() -> None:
    x = drawn(2, 3, 5, 7)
    told = previewed(IMAGES, "image", x, samples=2)
    assert told is not None and told == json.loads(json.dumps(told))
    assert (told["kind"], told["settings"]) == ("image", {"flip": 1.0, "fill": "edge"})
    original, *samples = (torch.tensor(picture) for picture in told["examples"][1])
    assert original.shape == (5, 7) and (int(original.min()), int(original.max())) == (0, 255)
    mean = x[1].mean(0)
    expected = (mean - mean.min()) / (mean.max() - mean.min()) * 255
    assert (original - expected).abs().max() <= 0.5
    assert all(torch.equal(sample, original.flip(-1)) for sample in samples) and len(samples) == 2


def test_what_is_large_is_shown_small() -> None:
    told = previewed(IMAGES, "image", drawn(1, 1, 200, 20))
    assert told is not None and torch.tensor(told["examples"]).shape == (1, 5, 48, 20)
    told = previewed({"mask": 0.1}, "sequence", drawn(1, 2, 900))
    assert told is not None and torch.tensor(told["examples"]).shape == (1, 5, 400)
    told = previewed({"mask": 0.1}, "table", drawn(2, 30))
    assert told is not None and torch.tensor(told["examples"]).shape == (2, 5, 8)
    flat = previewed({"noise": 0.1}, "image", torch.zeros(1, 1, 4, 4))
    assert flat is not None and torch.tensor(flat["examples"])[0, 0].unique().tolist() == [0]


def test_nothing_is_shown_where_nothing_is_done() -> None:
    assert previewed({"noise": 0.1, "augment": 0.0}, "table", drawn(2, 3)) is None
