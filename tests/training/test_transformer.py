"""Transformer encoders against torch's own layer with the same weights, and what attention must be blind to."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from tunebook.training.models import ACTIVATIONS, Inputs, transformer
from tunebook.training.models.transformer import POOLS, POSITIONS, Block, sinusoids


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.mark.parametrize("shape", [(9,), (3, 9), (2, 6, 5)])
def test_every_choice_builds_and_learns(shape: tuple[int, ...]) -> None:
    x, y = torch.randn(6, *shape), torch.arange(6) % 4
    for pool, positions, before, heads, patch in itertools.product(POOLS, POSITIONS, (True, False), (1, 3), (1, 2, 20)):
        config = {"pool": pool, "positions": positions, "pre_norm": before, "heads": heads, "patch": patch}
        model = transformer({**config, "head_units": 4, "dropout": 0.1}, shape, 4)
        outputs = model(x)
        assert outputs.shape == (6, 4), config
        nn.functional.cross_entropy(outputs, y).backward()  # type: ignore[no-untyped-call]
        assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in model.parameters()), config


@pytest.mark.parametrize("pre_norm", [True, False])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_a_block_is_torchs_encoder_layer(pre_norm: bool, activation: str) -> None:
    ours = Block(12, 3, 20, ACTIVATIONS[activation](), 0.0, pre_norm)
    theirs = nn.TransformerEncoderLayer(12, 3, 20, 0.0, activation, batch_first=True, norm_first=pre_norm)
    pairs = {
        theirs.self_attn.in_proj_weight: ours.read.weight,
        theirs.self_attn.in_proj_bias: ours.read.bias,
        theirs.self_attn.out_proj.weight: ours.write.weight,
        theirs.self_attn.out_proj.bias: ours.write.bias,
        theirs.linear1.weight: ours.widen.weight,
        theirs.linear1.bias: ours.widen.bias,
        theirs.linear2.weight: ours.narrow.weight,
        theirs.linear2.bias: ours.narrow.bias,
    }
    with torch.no_grad():
        for theirs_is, ours_is in pairs.items():
            assert theirs_is is not None
            theirs_is.copy_(ours_is)
        for norm in (ours.norm1, ours.norm2):
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.uniform_(-0.5, 0.5)
        theirs.norm1.load_state_dict(ours.norm1.state_dict())
        theirs.norm2.load_state_dict(ours.norm2.state_dict())
    x = torch.randn(4, 7, 12)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("pool", ["class", "mean", "max"])
def test_only_positions_tell_the_order(pool: str) -> None:
    x = torch.randn(5, 3, 8)
    shuffled = x[:, :, torch.randperm(8)]
    blind = transformer({"positions": "none", "pool": pool}, (3, 8), 2).eval()
    torch.testing.assert_close(blind(shuffled), blind(x))
    for positions in ("learned", "sinusoidal"):
        seeing = transformer({"positions": positions, "pool": pool}, (3, 8), 2).eval()
        assert float((seeing(shuffled) - seeing(x)).detach().abs().max()) > 1e-3


def test_sinusoids_are_those_of_the_paper() -> None:
    table = sinusoids(9, 6)
    for place, i in itertools.product(range(9), range(3)):
        angle = place / 10000 ** (2 * i / 6)
        assert table[place, 2 * i] == pytest.approx(math.sin(angle), abs=1e-6)
        assert table[place, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-6)
    assert sinusoids(4, 5).shape == (4, 5)


def test_patches_are_cut_as_unfold_cuts_them() -> None:
    model = transformer({"patch": 3, "head_units": 4}, (2, 7, 5), 2)
    segments = model[0][0]  # type: ignore[index]
    x = torch.randn(4, 2, 7, 5)
    padded = nn.functional.pad(x, (0, 1, 0, 2))
    expected: Tensor = nn.functional.unfold(padded, 3, stride=3).transpose(1, 2)
    torch.testing.assert_close(segments(x), expected)
    # the layout of the loop gives the same
    torch.testing.assert_close(segments(x.contiguous(memory_format=torch.channels_last)), expected)


def test_the_parameters_are_those_of_the_closed_form() -> None:
    depth, heads, size, factor, steps = 3, 2, 5, 4, 4
    width = heads * size
    config = {"depth": depth, "heads": heads, "head_units": size, "factor": factor, "patch": 2, "pool": "class"}
    model = transformer({**config, "positions": "learned"}, (3, 7), 6)
    block = 4 * width * width + 4 * width + 2 * factor * width * width + (factor + 1) * width + 4 * width
    start = (3 * 2 + 1) * width + width + (steps + 1) * width  # segments, class step, positions
    assert sum(p.numel() for p in model.parameters()) == start + depth * block + 2 * width + (width + 1) * 6


def test_dropout_is_off_when_it_predicts() -> None:
    model = transformer({"dropout": 0.5}, (1, 20), 3)
    x = torch.randn(4, 1, 20)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_token_ids() -> None:
    model = transformer({"pool": "mean", "positions": "none"}, Inputs((6,), vocabulary=5), 3).eval()
    ids = torch.tensor([[0, 1, 2, 3, 4, 4]])
    torch.testing.assert_close(model(ids), model(ids.flip(1)))
    assert not torch.allclose(model(ids), model(torch.zeros_like(ids)))
