"""Gradients of a batch: mixed, in parts, when memory ends, penalised and clipped; each against what it should be."""

import copy
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from tunebook.errors import SettingError
from tunebook.objective import Run, play
from tunebook.space import Config
from tunebook.training import Part, Task, classification, regression, train
from tunebook.training.gradients import Targets, add_l1, adjustments_of, gradients_of, mixing_of
from tunebook.training.seeds import seeded
from tunebook.trial import Context, Ended, FailureKind, Measured, Status


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


def part(n: int, seed: int) -> Part:
    torch.manual_seed(seed)
    return Part(torch.randn(n, 6), torch.randint(0, 3, (n,)))


def gradient(config: Config, x: torch.Tensor, targets: Targets, task: Task) -> list[torch.Tensor]:
    model = network()
    gradients_of(config, task, model).compute(x, targets)
    return [p.grad for p in model.parameters() if p.grad is not None]


TASK = classification(lambda config: network(), part(40, 0), part(20, 1), epochs=3)


@pytest.mark.parametrize("rows", [1, 7, 16, 31, 32, 100])
@pytest.mark.parametrize("config", [{}, {"class_weights": 1.0, "label_smoothing": 0.1}, {"loss": "focal"}])
def test_parts_add_up_to_the_batch(rows: int, config: Config) -> None:
    batch = part(32, 2)
    other = batch.y.flip(0)
    targets = [(0.3, batch.y), (0.7, other)]
    whole, model = gradient(config, batch.x, targets, TASK), network()
    loss = TASK.loss(config)
    (0.3 * loss(model(batch.x), batch.y) + 0.7 * loss(model(batch.x), other)).backward()
    in_parts = gradient({**config, "micro_batch": rows}, batch.x, targets, TASK)
    for a, b, p in zip(whole, in_parts, model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(a, p.grad, rtol=1e-5, atol=1e-7)


def test_a_training_in_parts_is_as_a_whole_one(tmp_path: Path) -> None:
    curves = []
    for rows in (0, 5):
        config: Config = {"batch_size": 20, "micro_batch": rows, "lr": 0.01}
        told = train(TASK, Run(0, config, 3, tmp_path / str(rows), 1, Context(seed=1), metric="accuracy"))
        curves.append([m.metrics["loss"] for m in told])
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)


class Small(nn.Module):
    """A network on a device with memory for so many rows of training at a time."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.inner, self.room = network(), room
        self.seen: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.seen.append(len(x))
            if len(x) > self.room:
                raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to take {len(x)} rows")
        out: torch.Tensor = self.inner(x)
        return out


def small(tmp_path: Path, room: int, **told: str) -> tuple[Task, Run, list[Small]]:
    made: list[Small] = []

    def build(config: Config) -> nn.Module:
        made.append(Small(room))
        return made[-1]

    task = replace(TASK, build=build, **told)
    return task, Run(0, {"batch_size": 20, "lr": 0.01}, 3, tmp_path, 1, Context(seed=1), metric="accuracy"), made


def test_out_of_memory_is_a_typed_failure(tmp_path: Path) -> None:
    task, run, _ = small(tmp_path, 12)
    ended = list(play(lambda r: train(task, r), run))[-1]
    assert isinstance(ended, Ended)
    assert ended.failure is not None
    assert ended.failure.kind is FailureKind.OOM_GPU
    assert "20 rows" in ended.failure.message


def test_out_of_memory_halves_the_rows_at_a_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """From 20 to 10 to 5 rows; the curve is that of whole batches, and a resumed run goes on with 5."""
    task, run, made = small(tmp_path / "a", 6)
    run = replace(run, config={**run.config, "on_oom": "halve"})
    with caplog.at_level(logging.WARNING, logger="tunebook"):
        events = list(play(lambda r: train(task, r), replace(run, until=2)))
    assert isinstance(events[-1], Ended)
    assert events[-1].status is Status.COMPLETED
    assert made[0].seen[:6] == [20, 10, 5, 5, 5, 5]
    assert set(made[0].seen[2:]) == {5}
    assert caplog.text.count("out of memory") == 2
    events += list(play(lambda r: train(task, r), run))
    assert set(made[1].seen) == {5}
    told = [e.measurement for e in events if isinstance(e, Measured)][-3:]
    whole, room, _ = small(tmp_path / "b", 1000)
    expected = [m.metrics["loss"] for m in train(whole, room)]
    assert [m.metrics["loss"] for m in told] == pytest.approx(expected, rel=1e-4)


def test_no_room_for_a_row_is_a_failure_all_the_same(tmp_path: Path) -> None:
    task, run, _ = small(tmp_path, 0, on_oom="halve")
    ended = list(play(lambda r: train(task, r), run))[-1]
    assert isinstance(ended, Ended)
    assert ended.failure is not None
    assert ended.failure.kind is FailureKind.OOM_GPU
    with pytest.raises(SettingError, match="on_oom"):
        replace(TASK, on_oom="retry")  # type: ignore[arg-type]


def test_mixup_mixes_pairs_in_one_proportion() -> None:
    batch = part(64, 3)
    with seeded(1, 1, "cpu") as drawn:
        x, ((share, y), (rest, other)) = mixing_of({"mixup": 0.4})(batch.x, batch.y, drawn)
    assert share + rest == pytest.approx(1.0)
    assert torch.equal(y, batch.y)
    # what was added is (1 - share) times a row of the batch: find which, and whose label it has
    added = (x - share * batch.x) / rest
    partner = torch.cdist(added, batch.x).argmin(dim=1)
    torch.testing.assert_close(added, batch.x[partner], rtol=1e-3, atol=1e-4)
    assert sorted(partner.tolist()) == list(range(64))
    assert torch.equal(other, batch.y[partner])


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixups_shares_are_of_the_beta_distribution(alpha: float) -> None:
    batch, shares = part(2, 0), []
    mix = mixing_of({"mixup": alpha})
    with seeded(7, 1, "cpu") as drawn:
        for _ in range(2000):
            _, ((share, _), _) = mix(batch.x, batch.y, drawn)
            shares.append(share)
    assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 0.01
    assert np.mean(shares) == pytest.approx(0.5, abs=4 * np.std(shares) / 2000**0.5)


def test_mixed_cross_entropy_is_that_of_mixed_labels() -> None:
    """As the paper has it: the loss of the mixed one-hot targets (equation 1)."""
    batch, model = part(16, 4), network()
    with seeded(2, 1, "cpu") as drawn:
        x, targets = mixing_of({"mixup": 1.0})(batch.x, batch.y, drawn)
    told = gradient({}, x, targets, TASK)
    mixed = sum(share * nn.functional.one_hot(y, 3).float() for share, y in targets)
    assert isinstance(mixed, torch.Tensor)
    nn.functional.cross_entropy(model(x), mixed).backward()
    for ours, p in zip(told, model.parameters(), strict=True):
        torch.testing.assert_close(ours, p.grad, rtol=1e-4, atol=1e-6)


def test_without_mixup_a_batch_is_as_it_is() -> None:
    batch = part(8, 0)
    with seeded(0, 1, "cpu") as drawn:
        x, targets = mixing_of({})(batch.x, batch.y, drawn)
        with pytest.raises(SettingError, match="mixup needs inputs that can be mixed"):
            mixing_of({"mixup": 1.0})(batch.y, batch.y, drawn)
    assert x is batch.x
    assert [(share, y is batch.y) for share, y in targets] == [(1.0, True)]


def test_l1_adds_the_gradient_of_its_penalty() -> None:
    """Against autograd of the penalty; biases are spared, and what has no gradient is left alone."""
    model, batch = network(), part(16, 0)
    with torch.no_grad():
        model.get_parameter("0.weight")[0] = 0.0
    loss = nn.functional.cross_entropy(model(batch.x), batch.y)
    weights = [p for p in model.parameters() if p.ndim > 1]
    penalised = copy.deepcopy(model)
    loss.backward()
    add_l1(weights, 0.3)
    loss = nn.functional.cross_entropy(penalised(batch.x), batch.y)
    (loss + 0.3 * sum(p.abs().sum() for p in penalised.parameters() if p.ndim > 1)).backward()
    for ours, theirs in zip(model.parameters(), penalised.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
    weights[0].grad = None
    add_l1(weights, 0.3)
    assert weights[0].grad is None


def test_l1_brings_weights_that_are_of_no_use_to_zero(tmp_path: Path) -> None:
    """Least squares with an L1 penalty has the soft threshold as its solution where the inputs are orthogonal."""
    torch.manual_seed(0)
    x = torch.linalg.qr(torch.randn(64, 4))[0] * 8  # so that x'x / n is the identity
    y = x @ torch.tensor([1.0, -0.5, 0.05, 0.0])
    model = nn.Linear(4, 1, bias=False)
    task = regression(lambda config: model, Part(x, y), Part(x, y), epochs=150)
    config: Config = {"optimizer": "sgd", "lr": 0.1, "batch_size": 64, "l1": 0.2, "schedule": "linear"}
    list(train(task, Run(0, config, 150, tmp_path, metric="rmse")))
    found = model.weight.detach().flatten()
    # the loss is |w - v|^2 + 0.2 |w|: shrunk by 0.1, and 0 where it is less
    torch.testing.assert_close(found, torch.tensor([0.9, -0.4, 0.0, 0.0]), rtol=0, atol=0.01)


def test_clipping_comes_after_the_penalty() -> None:
    model, batch = network(), part(16, 0)
    nn.functional.cross_entropy(model(batch.x), batch.y).backward()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for adjust in adjustments_of({"l1": 5.0, "clip_norm": 0.5}, optimizer):
        adjust()
    norm = sum(float(p.grad.square().sum()) for p in model.parameters() if p.grad is not None) ** 0.5
    assert norm == pytest.approx(0.5, rel=1e-4)
    assert adjustments_of({}, optimizer) == []
