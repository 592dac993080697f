"""Recurrent networks against torch's own cells, stepped by hand, and against closed forms."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from tunebook.errors import DataError, SettingError
from tunebook.training.models import Inputs, rnn
from tunebook.training.models.rnn import CELLS, POOLS, Recurrent

GATES = {"gru": 3, "lstm": 4, "rnn": 1}
ONE_STEP = {"gru": nn.GRUCell, "lstm": nn.LSTMCell, "rnn": nn.RNNCell}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def reader_of(model: nn.Module) -> nn.RNNBase:
    (found,) = [m for m in model.modules() if isinstance(m, nn.RNNBase)]
    return found


@pytest.mark.parametrize("cell", sorted(CELLS))
@pytest.mark.parametrize("shape", [(9,), (3, 9), (2, 9, 5)])
def test_every_choice_builds_and_learns(cell: str, shape: tuple[int, ...]) -> None:
    x, y = torch.randn(6, *shape), torch.arange(6) % 4
    for pool, both, layers, patch, dense in itertools.product(POOLS, (False, True), (1, 2), (1, 4, 20), (0, 5)):
        config = {"cell": cell, "pool": pool, "bidirectional": both, "layers": layers, "patch": patch, "units": 3}
        model = rnn({**config, "head_units": dense, "dropout": 0.1}, shape, 4)
        outputs = model(x)
        assert outputs.shape == (6, 4), config
        nn.functional.cross_entropy(outputs, y).backward()  # type: ignore[no-untyped-call]
        assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in model.parameters()), config


def by_hand(reader: nn.RNNBase, cell: str, x: Tensor, back: bool) -> Tensor:
    """(n, steps, size) -> (n, steps, units) states of the first layer in one direction, a cell a step."""
    one = ONE_STEP[cell](reader.input_size, reader.hidden_size)
    tail = "_reverse" if back else ""
    with torch.no_grad():
        for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(one, part).copy_(getattr(reader, f"{part}_l0{tail}"))
    state, states = None, []
    for t in range(x.shape[1])[:: -1 if back else 1]:
        state = one(x[:, t], state)
        states.append(state[0] if isinstance(state, tuple) else state)
    return torch.stack(states[:: -1 if back else 1], dim=1)


@pytest.mark.parametrize("cell", sorted(CELLS))
@pytest.mark.parametrize("pool", POOLS)
def test_both_directions_are_cells_stepped_by_hand(cell: str, pool: str) -> None:
    model = rnn({"cell": cell, "units": 5, "bidirectional": True, "pool": pool}, (3, 7), 2)
    reader, head = reader_of(model), model[-1]  # type: ignore[index]
    x = torch.randn(4, 3, 7)
    steps = x.transpose(1, 2)
    forth, back = by_hand(reader, cell, steps, False), by_hand(reader, cell, steps, True)
    states = torch.cat([forth, back], dim=2)
    told = {
        "last": torch.cat([forth[:, -1], back[:, 0]], dim=1),
        "mean": states.mean(dim=1),
        "max": states.max(dim=1).values,
        "flatten": states.flatten(1),
    }[pool]
    torch.testing.assert_close(model(x), head(told))


def test_one_direction_does_not_see_what_comes_after() -> None:
    model = rnn({"units": 4, "pool": "flatten"}, (12,), 2)
    states = nn.Sequential(*list(model.children())[:-1])
    x = torch.randn(3, 12, requires_grad=True)
    told = states(x).unflatten(1, (12, 4))
    told[:, 5].sum().backward()
    assert x.grad is not None
    assert bool((x.grad[:, :6] != 0).all())
    assert not bool(x.grad[:, 6:].any())


@pytest.mark.parametrize("cell", sorted(CELLS))
@pytest.mark.parametrize("both", [False, True])
def test_the_parameters_are_those_of_the_closed_form(cell: str, both: bool) -> None:
    size, units, outputs = 3, 6, 4
    model = rnn({"cell": cell, "units": units, "layers": 2, "bidirectional": both}, (size, 9), outputs)
    ways = 2 if both else 1
    first = ways * GATES[cell] * units * (size + units + 2)
    second = ways * GATES[cell] * units * (ways * units + units + 2)
    head = (ways * units + 1) * outputs
    assert sum(p.numel() for p in model.parameters()) == first + second + head


def test_a_patch_is_a_step() -> None:
    torch.manual_seed(1)
    pairs = rnn({"units": 4, "patch": 2}, (2, 7), 3)
    torch.manual_seed(1)
    wide = rnn({"units": 4}, (4, 4), 3)
    x = torch.randn(5, 2, 7)
    padded = nn.functional.pad(x, (0, 1)).reshape(5, 2, 4, 2)
    by_step = padded.permute(0, 1, 3, 2).reshape(5, 4, 4)  # a channel for each (channel, place in its pair)
    torch.testing.assert_close(pairs(x), wide(by_step))


def test_images_are_read_row_by_row() -> None:
    torch.manual_seed(1)
    image = rnn({"units": 4}, (2, 3, 5), 3)
    torch.manual_seed(1)
    rows = rnn({"units": 4}, (10, 3), 3)
    x = torch.randn(6, 2, 3, 5)
    torch.testing.assert_close(image(x), rows(x.permute(0, 1, 3, 2).reshape(6, 10, 3)))


def test_first_weights() -> None:
    reader = reader_of(rnn({"cell": "lstm", "units": 32}, (8, 5), 2))
    for part in reader.weight_hh_l0.detach().chunk(4):  # type: ignore[union-attr, operator]
        torch.testing.assert_close(part @ part.T, torch.eye(32), atol=1e-5, rtol=0)
    assert reader.bias_ih_l0.tolist() == [0.0] * 32 + [1.0] * 32 + [0.0] * 64  # type: ignore[union-attr, operator]
    assert not bool(reader.bias_hh_l0.any())  # type: ignore[union-attr, operator]
    bound = (6 / (8 + 32)) ** 0.5  # Glorot and Bengio, for each gate's matrix by itself
    largest = float(reader.weight_ih_l0.detach().abs().max())  # type: ignore[union-attr, operator]
    assert 0.95 * bound < largest <= bound
    torch.manual_seed(3)
    usual = nn.GRU(8, 6, batch_first=True)
    torch.manual_seed(3)
    torch.testing.assert_close(dict(reader_of(rnn({"units": 6, "init": "torch"}, (8, 5), 2)).named_parameters()),
                               dict(usual.named_parameters()))  # fmt: skip


def test_token_ids_are_looked_up() -> None:
    model = rnn({"units": 4, "embedding": 6, "pool": "mean"}, Inputs((5,), vocabulary=9), 3)
    tokens = model[0]  # type: ignore[index]
    ids = torch.tensor([[0, 8, 3, 3, 1], [2, 9, 100, 0, 0]])
    vectors = tokens(ids)
    assert vectors.shape == (2, 5, 6)
    torch.testing.assert_close(vectors[0, 1], tokens.table.weight[8])
    assert not bool(vectors[1, 1:3].any())  # ids that training never saw
    assert model(ids).shape == (2, 3)


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(SettingError, match="unknown cell"):
        rnn({"cell": "gated"}, (5,), 2)
    with pytest.raises(DataError, match="sequences or images"):
        rnn({}, (1, 2, 3, 4), 2)
    with pytest.raises(DataError, match="one axis"):
        rnn({}, Inputs((1, 5), vocabulary=9), 2)
    assert isinstance(rnn({}, (5,), 2)[1], Recurrent)  # type: ignore[index]
