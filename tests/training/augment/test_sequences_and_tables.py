"""Sequences and tables against closed forms and statistics."""

import pytest
import torch
from torch import Generator

from tunebook.training.augment import sequences, tables


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def test_scaling_is_one_factor_a_sequence() -> None:
    x = torch.randn(4000, 2, 5, generator=seeded(1))
    factors = sequences.scaling(x, seeded(), 0.1) / x
    assert torch.allclose(factors, factors[:, :1, :1].expand_as(factors), rtol=1e-3)
    assert float(factors[:, 0, 0].mean()) == pytest.approx(1.0, abs=0.006)
    assert float(factors[:, 0, 0].std()) == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize("shape", [(9,), (2, 9)])
def test_shifted_goes_on_with_the_last_value(shape: tuple[int, ...]) -> None:
    x = torch.arange(9.0).expand(3, *shape)
    got = sequences.shifted(x, torch.tensor([[2], [0], [-3]]))
    expected = torch.tensor([[0, 0, 0, 1, 2, 3, 4, 5, 6], list(range(9)), [3, 4, 5, 6, 7, 8, 8, 8, 8]]).float()
    assert torch.equal(got, expected.reshape(3, *[1] * (len(shape) - 1), 9).expand_as(got))


def test_shifts_are_whole_and_even_up_to_their_share() -> None:
    x = torch.arange(40.0).expand(3000, 1, 40)
    got = sequences.shift(x, seeded(), 0.1)
    later = (20 - got[:, 0, 20]).long()
    counts = torch.bincount(later + 4, minlength=9)
    assert len(counts) == 9
    expected = 3000 / 9
    assert float(((counts - expected) ** 2 / expected).sum()) < 26.1  # chi-square, 8 degrees of freedom, p = 0.001


@pytest.mark.parametrize("shape", [(40,), (3, 40)])
def test_mask_takes_one_stretch_of_all_channels(shape: tuple[int, ...]) -> None:
    gone = sequences.mask(torch.ones(500, *shape), seeded(), 0.2) == 0
    flat = gone.reshape(500, -1, 40)
    assert flat.sum(2).unique().tolist() == [8]
    assert bool((flat == flat[:, :1]).all())
    first = flat[:, 0].float().argmax(1)
    assert bool(flat[:, 0].gather(1, (first + 7)[:, None]).all())  # one piece
    assert first.min() == 0 and first.max() == 32


def test_mask_of_a_table_sets_its_share_to_the_mean() -> None:
    x = torch.randn(2000, 10, generator=seeded(1)) + 5
    got = tables.mask(x, seeded(), 0.3)
    gone = got == 0
    assert float(gone.float().mean()) == pytest.approx(0.3, abs=0.012)  # 3.5 standard errors
    assert torch.equal(got[~gone], x[~gone])
    assert float(gone.float().mean(0).std()) < 0.025  # no feature more than another
