"""FLOPs and memory against closed forms."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from tunebook.training.models import BUILDERS, Inputs, capacity, cnn, mlp, rnn, transformer
from tunebook.training.models.capacity import flops, step_memory
from tunebook.training.optimizers import optimizer_of


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def test_flops_of_linear_layers_and_convolutions() -> None:
    assert flops(mlp({"layers": 2, "units": 11}, (2, 3), 4), (2, 3)) == 2 * (6 * 11 + 11 * 11 + 11 * 4)
    model = cnn({"blocks": 1, "channels": 8, "kernel_size": 5, "units": 0, "residual": True}, (3, 8, 8), 4)
    convolutions = (3 * 8 * 25 + 8 * 8 * 25 + 3 * 8) * 64
    assert flops(model, (3, 8, 8)) == 2 * (convolutions + 8 * 16 * 4)


@pytest.mark.parametrize(("cell", "gates"), [("gru", 3), ("lstm", 4), ("rnn", 1)])
@pytest.mark.parametrize("ways", [1, 2])
def test_flops_of_recurrent_layers(cell: str, gates: int, ways: int) -> None:
    size, units, steps = 3, 5, 7
    model = rnn({"cell": cell, "units": units, "layers": 2, "bidirectional": ways == 2}, (size, steps), 4)
    layers = ways * gates * units * (size + units + ways * units + units)
    assert flops(model, (size, steps)) == 2 * (steps * layers + ways * units * 4)


def test_flops_of_attention() -> None:
    heads, size, factor, steps = 2, 4, 3, 10
    width = heads * size
    config = {"depth": 2, "heads": heads, "head_units": size, "factor": factor, "pool": "mean"}
    model = transformer(config, (3, steps), 2)
    linear = steps * (4 * width * width + 2 * factor * width * width)
    scores = 2 * heads * steps * steps * size
    assert flops(model, (3, steps)) == 2 * (steps * 3 * width + 2 * (linear + scores) + width * 2)


def test_memory_of_a_step_is_what_is_kept() -> None:
    model = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 3))
    weights, batch, hidden = 220 + 63, 8 * 10, 8 * 20  # the outputs of ReLU are what both their neighbours keep
    assert step_memory(model, (10,), 8) == 4 * (2 * weights + batch + hidden)
    adam = step_memory(model, (10,), 8, lambda m: torch.optim.Adam(m.parameters()))
    assert adam == 4 * (4 * weights + batch + hidden + 4)  # two moments a weight, a count a tensor
    sgd = step_memory(model, (10,), 8, lambda m: torch.optim.SGD(m.parameters(), momentum=0.9))
    assert sgd == 4 * (3 * weights + batch + hidden)


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_the_model_is_left_as_it_is(name: str) -> None:
    shape = (1, 12)
    model = BUILDERS[name]({"norm": "batch", "dropout": 0.2}, shape, 3)
    model[-1].eval()  # type: ignore[index, operator]
    before, drawn = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    size = capacity(model, shape, 4, lambda m: optimizer_of({}, m))
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert model.training and all(p.grad is None for p in model.parameters())
    larger = capacity(model, shape, 40, lambda m: optimizer_of({}, m))
    assert 0 < size.memory < larger.memory < 10 * size.memory
    assert size.flops == larger.flops > 0


def test_token_ids_have_a_size_too() -> None:
    inputs = Inputs((6,), vocabulary=5)
    size = capacity(rnn({"units": 4, "embedding": 3}, inputs, 2), inputs, 2)
    assert size.flops == 2 * (6 * 3 * 4 * (3 + 4) + 4 * 2)
    assert size.parameters == 6 * 3 + 3 * 4 * (3 + 4 + 2) + 4 * 2 + 2


@pytest.mark.parametrize(("name", "config"), [("cnn", {"residual": True}), ("rnn", {}), ("transformer", {})])
def test_the_estimate_is_near_what_the_allocator_reached(name: str, config: dict[str, bool]) -> None:
    shape, count = (1, 40), 64
    model = BUILDERS[name](config, shape, 10)
    weights = 4 * sum(p.numel() for p in model.parameters())
    optimizer, x = torch.optim.Adam(model.parameters()), torch.randn(count, *shape)

    def step() -> None:
        model.zero_grad(set_to_none=False)
        model(x).sum().backward()
        optimizer.step()

    step()  # from here on gradients and moments are there
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as seen:
        step()
    assert seen.profiler is not None and seen.profiler.kineto_results is not None
    found = [e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = np.cumsum([e.nbytes() for e in sorted(found, key=lambda e: e.start_ns())]).max()
    reached = float(held) + 4 * weights + x.nbytes
    told = step_memory(model, shape, count, lambda m: torch.optim.Adam(m.parameters()))
    assert 0.55 * reached < told < 1.02 * reached
