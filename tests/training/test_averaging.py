"""Averages of weights against torch's own, and against sums written out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, update_bn

from tunebook.errors import SettingError
from tunebook.objective import Run
from tunebook.space import Config
from tunebook.training import Checkpoints, Part, classification, train
from tunebook.training.averaging import Average, average_of
from tunebook.training.loop import identity_of
from tunebook.training.seeds import seeded
from tunebook.training.state import best_weights
from tunebook.trial import Context


def model_of(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))


def walk(model: nn.Module, steps: int) -> None:
    """Updates that move weights, running statistics and the count of batches."""
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for k in range(steps):
        torch.manual_seed(k)
        model(torch.randn(8, 6)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def same(ours: nn.Module, theirs: nn.Module) -> None:
    expected = theirs.state_dict()
    for name, tensor in ours.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("decay", [0.5, 0.9])
def test_moving_average_is_torchs_averaged_model_with_the_ramp(decay: float) -> None:
    """AveragedModel with buffers; its first average is a copy, and so is ours, by the ramp 1 - 1 / (t + 1)."""
    model = model_of()
    ours = Average(model, decay)

    def ramped(old: torch.Tensor, new: torch.Tensor, taken: torch.Tensor | int) -> torch.Tensor:
        keep = min(decay, float(taken) / (float(taken) + 1))
        return (old.double() * keep + new.double() * (1 - keep)).to(old.dtype)

    theirs = AveragedModel(model, avg_fn=ramped, use_buffers=True)
    for k in range(12):
        walk(model, 1 + k % 2)
        ours.after_step()
        theirs.update_parameters(model)
        count = model.get_buffer("1.num_batches_tracked")
        assert torch.equal(ours.judged.get_buffer("1.num_batches_tracked"), count)  # a count is copied, not averaged
        theirs.module.get_buffer("1.num_batches_tracked").copy_(count)
        same(ours.judged, theirs.module)
    assert ours.count == 12


def test_moving_average_forgets_as_a_geometric_series() -> None:
    model = nn.Linear(1, 1, bias=False)
    average = Average(model, 0.75)
    values = np.random.default_rng(0).normal(size=30)
    for value in values:
        with torch.no_grad():
            model.weight.fill_(value)
        average.after_step()
    expected = values[:4].mean()  # 1 / (1 - 0.75) updates count the same
    for value in values[4:]:
        expected = 0.75 * expected + 0.25 * value
    assert float(average.judged.get_parameter("weight")) == pytest.approx(expected, rel=1e-5)


def test_stochastic_weight_average_is_torchs() -> None:
    """The plain mean of the weights at the end of epochs 4 to 8; batch norm's statistics are those of ``update_bn``."""
    model, inputs = model_of(), torch.randn(50, 6)
    ours, theirs = Average(model, start=4), AveragedModel(model)
    for epoch in range(1, 9):
        walk(model, 3)
        ours.after_step()
        ours.after_epoch(epoch, inputs)
        if epoch < 4:
            assert ours.judged is model
            assert ours.state == {}
            continue
        theirs.update_parameters(model)
        update_bn([inputs], theirs)
        same(ours.judged, theirs.module)
    assert ours.count == 5


def test_without_an_average_the_model_is_judged() -> None:
    model = model_of()
    average = average_of({}, model, 10)
    average.after_step()
    average.after_epoch(1, torch.zeros(2, 6))
    assert average.judged is model


def test_a_copy_may_average_otherwise_than_its_parent() -> None:
    """A population changes settings: without an average, a copy goes on from the weights and not from their average."""
    parent, child = Average(model_of(), 0.9), Average(model_of(), 0.0)
    for _ in range(2):
        walk(parent.model, 3)
        parent.after_step()
    child.model.load_state_dict(parent.model.state_dict())
    child.restore(parent.state, parent.count)
    assert child.judged is child.model
    same(child.model, parent.model)
    again = Average(model_of(), 0.5)
    again.restore(parent.state, parent.count)
    same(again.judged, parent.judged)
    assert again.count == 2


@pytest.mark.parametrize(("share", "epochs", "start"), [(0.75, 20, 16), (0.5, 5, 3), (0.99, 10, 10), (0.01, 10, 1)])
def test_swa_begins_after_its_share(share: float, epochs: int, start: int) -> None:
    assert average_of({"swa": share}, model_of(), epochs).start == start


@pytest.mark.parametrize("config", [{"ema": 1.0}, {"swa": 1.0}, {"ema": 0.9, "swa": 0.5}, {"ema": -0.1}])
def test_what_cannot_be_is_named(config: Config) -> None:
    with pytest.raises(SettingError, match="ema"):
        average_of(config, model_of(), 10)


def data(n: int, seed: int) -> Part:
    torch.manual_seed(seed)
    x = torch.randn(n, 6)
    return Part(x, (x[:, 0] + x[:, 1] > 0).long() + (x[:, 2] > 0).long())


@pytest.mark.parametrize("config", [{"ema": 0.8}, {"swa": 0.5}])
def test_the_average_is_what_is_judged_and_saved(tmp_path: Path, config: Config) -> None:
    """A loop of one's own with AveragedModel measures what ours reports; the best epoch's weights are its average."""
    fitted, judged = data(60, 0), data(40, 1)
    made = classification(lambda told: model_of(), fitted, judged, epochs=6)
    run = Run(0, {"optimizer": "sgd", "lr": 0.2, "batch_size": 20, **config}, 6, tmp_path, 3, Context(seed=3))
    told = list(train(made, run))

    with seeded(3, 0, "cpu"):
        model = model_of()
    optimizer, scores, updates = torch.optim.SGD(model.parameters(), 0.2), [], 0
    averaged = AveragedModel(model)
    running = {name: t.clone() for name, t in model.state_dict().items()}
    for epoch in range(1, 7):
        with seeded(3, epoch, "cpu") as drawn:
            order = torch.randperm(60, generator=drawn.order)
        model.train()
        for rows in order.tensor_split(3):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(fitted.x[rows]), fitted.y[rows]).backward()
            optimizer.step()
            keep = min(0.8, updates / (updates + 1))
            updates += 1
            for name, t in model.state_dict().items():
                running[name] = running[name] * keep + t * (1 - keep) if t.is_floating_point() else t.clone()
        if "swa" in config and epoch > 3:
            averaged.update_parameters(model)
            update_bn([fitted.x], averaged)
        shown = model_of()
        weights = averaged.module.state_dict() if epoch > 3 else model.state_dict()
        shown.load_state_dict(weights if "swa" in config else running)
        with torch.no_grad():
            scores.append(float(nn.functional.cross_entropy(shown.eval()(judged.x), judged.y)))
    assert [m.metrics["loss"] for m in told] == pytest.approx(scores, rel=1e-4)

    found = Checkpoints(tmp_path, identity_of(made, run)).latest()
    assert found is not None
    epoch, weights = best_weights(found)
    shown = model_of()
    shown.load_state_dict(weights)
    with torch.no_grad():
        right = (shown.eval()(judged.x).argmax(1) == judged.y).double().mean()
    assert float(right) == told[epoch - 1].metrics["accuracy"] == max(m.metrics["accuracy"] for m in told)
