"""The benchmark of training loops: its loops do the same work, and its figures are what they say."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from loops import LOOPS, Case, Watch, followed, missing
from training import flops, lines, parts, reached
from tunebook.training import Part


@pytest.fixture(scope="module")
def case() -> Case:
    """Two classes that a linear model tells apart."""
    x = torch.randn(300, 6, generator=torch.Generator().manual_seed(0))
    whole = Part(x, (x @ torch.arange(6.0) > 0).long())
    told = parts(whole.x.numpy(), whole.y.numpy(), 100)
    return Case("toy", "", lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2)), *told, 20, 8, 0.8, 3e-2)


@pytest.mark.parametrize("name", LOOPS)
def test_every_loop_trains_the_same_model(name: str, case: Case) -> None:
    if why := missing(name):
        pytest.skip(f"{name}: {why}")
    watch = followed(name, case, 1)
    assert len(watch.accuracy) == len(watch.cpu) == 8 and sorted(watch.wall) == watch.wall
    assert watch.accuracy[-1] > 0.9
    assert followed(name, replace(case, lr=0.0, epochs=1), 1).accuracy == [first(case)]


def first(case: Case) -> float:
    """The accuracy of the model as a seed draws it: every loop must begin there."""
    model = case.model(1).eval()
    right = (model(case.valid.x).argmax(1) == case.valid.y).float().mean()
    return pytest.approx(float(right), abs=1e-6)  # type: ignore[no-any-return]


def watch(*, cpu: list[float], accuracy: list[float]) -> Watch:
    told = Watch()
    told.cpu, told.wall, told.accuracy = cpu, [2 * t for t in cpu], accuracy
    return told


def test_lines_are_paired_by_round(case: Case) -> None:
    quick = [watch(cpu=[9.0, 10.0, 11.0], accuracy=[0.5, 0.9, 0.9]), watch(cpu=[1.0, 3.0, 5.0], accuracy=[0.1] * 3)]
    slow = [watch(cpu=[0.0, 3.0, 6.0], accuracy=[0.8, 0.9, 0.9]), watch(cpu=[0.0, 4.0, 8.0], accuracy=[0.9] * 3)]
    ours, plain = lines(case, {"tunebook": quick, "plain": slow}, 1e9)
    assert plain.times == plain.times_wall == (2.5, 2.0, 3.0)
    assert plain.met and plain.target == 1.0 and ours.met is None
    assert ours.samples == pytest.approx(200 * (1 / 2 + 1 / 4) / 2)
    assert ours.cpu == pytest.approx(1e6 / (200 * (1 + 1 / 2) / 2))
    assert reached(quick[0], 0.8, "cpu") == 10.0 and reached(quick[0], 0.8, "wall") == 20.0
    assert math.isnan(reached(quick[1], 0.8, "cpu"))
    small = replace(case, name="mlp-digits")
    assert [line.target for line in lines(small, {"tunebook": quick, "plain": slow, "keras": slow}, 1.0)] == [
        None,
        2.0,
        1.5,
    ]


def test_the_work_of_a_sample_is_counted(case: Case) -> None:
    forward = 2 * (6 * 8 + 8 * 2)
    backward = 2 * (6 * 8) + 2 * 2 * (8 * 2)  # of the first layer's inputs no gradient is taken
    assert flops(case) == forward + backward
