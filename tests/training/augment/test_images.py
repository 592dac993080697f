"""Images against independent references: torch's own flips and turns, closed forms and statistics."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from tunebook.training.augment import images
from tunebook.training.augment.base import noise


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def pictures(n: int = 4, height: int = 7, width: int = 7, channels: int = 2) -> Tensor:
    return torch.randn(n, channels, height, width, generator=seeded(9))


def warped(
    x: Tensor, angle: float = 0.0, down: float = 0.0, right: float = 0.0, scale: float = 1.0, fill: str = "mean"
) -> Tensor:
    n = len(x)
    shift = torch.tensor([[down, right]]).expand(n, 2)
    return images.warp(x, torch.full((n,), angle), shift, torch.full((n,), scale), fill)


@pytest.mark.parametrize("quarters", [-1, 1, 2, 3])
@pytest.mark.parametrize("side", [6, 7])
@pytest.mark.parametrize("fill", images.FILLS)
def test_turned_by_quarters_as_torch_does(quarters: int, side: int, fill: str) -> None:
    x = pictures(height=side, width=side)
    assert torch.allclose(warped(x, 90.0 * quarters, fill=fill), torch.rot90(x, quarters, (2, 3)), atol=1e-5)


def test_an_oblong_image_turns_in_pixels_and_not_in_shares() -> None:
    x = pictures(height=5, width=9)
    turned = warped(x, 90.0)
    assert torch.allclose(turned[..., 2:7], torch.rot90(x[..., 2:7], 1, (2, 3)), atol=1e-5)  # the square in the middle
    assert torch.equal(turned[..., :2], torch.zeros(4, 2, 5, 2))  # what came from above the image


def test_moved_by_whole_pixels_as_padding_does() -> None:
    x = pictures()
    for down, right in ((2, -1), (-3, 0), (0, 4), (1, 1)):
        padded = F.pad(x, (7, 7, 7, 7))[..., 7 - down : 14 - down, 7 - right : 14 - right]
        assert torch.allclose(warped(x, down=down, right=right), padded, atol=1e-5)
        both = torch.tensor([[down], [right]]).expand(2, 4)[..., None]
        assert torch.equal(images.shifted(x, both[0], both[1], "mean"), padded)
        edges = F.pad(x, (7, 7, 7, 7), mode="replicate")[..., 7 - down : 14 - down, 7 - right : 14 - right]
        assert torch.allclose(warped(x, down=down, right=right, fill="edge"), edges, atol=1e-5)
        assert torch.equal(images.shifted(x, both[0], both[1], "edge"), edges)


def test_turned_first_and_moved_then() -> None:
    x = pictures()
    moved = F.pad(torch.rot90(x, 1, (2, 3)), (7, 7, 7, 7))[..., 7 - 2 : 14 - 2, 7 + 1 : 14 + 1]
    assert torch.allclose(warped(x, 90.0, down=2, right=-1), moved, atol=1e-5)


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.25, 2.0])
def test_scaling_stretches_a_plane_about_the_middle(scale: float) -> None:
    y, x = torch.meshgrid(torch.arange(9.0) - 4, torch.arange(9.0) - 4, indexing="ij")
    plane = (2 * x - 3 * y)[None, None]  # bilinear sampling is exact for it
    inside = (x.abs() / scale <= 4) & (y.abs() / scale <= 4)
    got = warped(plane, scale=scale)[0, 0]
    assert torch.allclose(got[inside], (plane[0, 0] / scale)[inside], atol=1e-4)
    assert inside.sum() >= 25


def test_what_comes_in_is_the_background() -> None:
    x = torch.full((2, 1, 6, 6), -0.5)
    x[1] = 2.0
    x[:, :, 2:4, 2:4] = 3.0
    x[:, :, 0, 0] = 7.0  # one pixel of the rim is something else
    assert images.background(x).flatten().tolist() == [-0.5, 2.0]
    assert torch.equal(images.background(x, "mean"), torch.zeros(1, 1, 1, 1))
    gone = images.shifted(x, torch.full((2, 1), 6), torch.full((2, 1), 0))
    assert torch.equal(gone, images.background(x).expand(2, 1, 6, 6))


def test_angles_shifts_and_factors_fill_their_ranges_evenly() -> None:
    """An image whose pixels tell where they are tells what map it went through."""
    y, x = torch.meshgrid(torch.arange(41.0) - 20, torch.arange(81.0) - 40, indexing="ij")
    told = torch.stack([y, x]).expand(4000, 2, 41, 81)
    got = images.affine(told, seeded(), rotation=30.0, translation=0.1, scaling=0.2)
    source, below = got[:, :, 20, 40], got[:, :, 21, 40] - got[:, :, 20, 40]  # of the middle; from there a pixel down
    angle, scale = torch.atan2(-below[:, 1], below[:, 0]), 1 / below.norm(dim=1)
    down = -scale * (torch.cos(angle) * source[:, 0] - torch.sin(angle) * source[:, 1])
    right = -scale * (torch.sin(angle) * source[:, 0] + torch.cos(angle) * source[:, 1])
    drawn = (torch.rad2deg(angle), down / 41, right / 81, torch.log(scale))
    for values, most in zip(drawn, (30.0, 0.1, 0.1, math.log(1.2)), strict=True):
        assert 0.99 * most < values.abs().max() < 1.001 * most
        assert values.mean().abs() < 0.05 * most  # more than 5 standard errors
        assert values.std() == pytest.approx(most / 3**0.5, rel=0.03)
    assert abs(np.corrcoef([v.numpy() for v in drawn])[np.triu_indices(4, 1)]).max() < 0.06


def test_flips_as_torch_does_with_its_probability() -> None:
    x = pictures(4000, 3, 4)
    got = images.flip(x, seeded(), 0.3)
    mirrored = (got == x.flip(-1)).flatten(1).all(1)
    kept = (got == x).flatten(1).all(1)
    assert bool((mirrored ^ kept).all())
    assert float(mirrored.float().mean()) == pytest.approx(0.3, abs=0.025)  # 3.5 standard errors
    assert torch.equal(images.flip(x, seeded(), 1.0), x.flip(-1))


def test_crops_are_windows_of_the_padded_image_each_as_often() -> None:
    x = pictures(1, 5, 5).expand(1800, 2, 5, 5).contiguous()
    padded = F.pad(x[:1], (1, 1, 1, 1))
    windows = torch.cat([padded[..., i : i + 5, j : j + 5] for i in range(3) for j in range(3)])
    got = images.crop(x, seeded(), 1, "mean")
    same = (got[:, None] == windows[None]).flatten(2).all(2)
    assert same.sum(1).tolist() == [1] * 1800
    expected = 200.0
    assert float(((same.sum(0) - expected) ** 2 / expected).sum()) < 26.1  # chi-square, 8 degrees of freedom, p = 0.001


@pytest.mark.parametrize("share", [0.05, 0.25, 0.6, 1.0])
def test_cutout_takes_one_rectangle_of_its_area(share: float) -> None:
    got = images.cutout(torch.ones(200, 3, 20, 40), seeded(), share)
    gone = got == 0
    high, wide = round(20 * share**0.5), round(40 * share**0.5)
    assert gone.sum((1, 2, 3)).tolist() == [3 * high * wide] * 200
    assert high * wide == pytest.approx(share * 800, rel=0.15)
    rows, columns = gone[:, 0].any(2), gone[:, 0].any(1)
    assert rows.sum(1).tolist() == [high] * 200 and columns.sum(1).tolist() == [wide] * 200
    if share == 0.25:  # each place that there is, and no other
        assert set(rows.float().argmax(1).tolist()) == set(range(11))
        assert max(columns.float().argmax(1).tolist()) == 20


def test_noise_has_its_deviation() -> None:
    x = pictures(400, 10, 10)
    added = noise(x, seeded(), 0.3) - x
    assert float(added.mean()) == pytest.approx(0.0, abs=0.005)
    assert float(added.std()) == pytest.approx(0.3, rel=0.02)
    assert float((added.abs() > 0.6).float().mean()) == pytest.approx(0.0455, abs=0.005)  # two deviations of a normal
