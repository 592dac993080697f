"""Schedules against closed forms and against torch's schedulers."""

import math
from collections.abc import Callable

import pytest
import torch
from torch.optim import lr_scheduler as theirs

from tunebook.errors import SettingError
from tunebook.space import Config
from tunebook.training.schedules import SCHEDULES, cosine, linear, schedule_of, step, warmed

TOTAL = 60


def torch_rates(make: Callable[[torch.optim.Optimizer], theirs.LRScheduler], steps: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, rates = make(optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def warm_then_cosine(optimizer: torch.optim.Optimizer) -> theirs.LRScheduler:
    warm = theirs.LinearLR(optimizer, 1 / 10, 1.0, 9)
    return theirs.SequentialLR(optimizer, [warm, theirs.CosineAnnealingLR(optimizer, TOTAL - 10)], [10])


@pytest.mark.parametrize(
    ("config", "make"),
    [
        ({"schedule": "cosine"}, lambda o: theirs.CosineAnnealingLR(o, TOTAL)),
        ({"schedule": "cosine", "floor": 0.1}, lambda o: theirs.CosineAnnealingLR(o, TOTAL, eta_min=0.1)),
        ({"schedule": "step"}, lambda o: theirs.StepLR(o, TOTAL // 3, 0.1)),
        ({"schedule": "step", "drops": 4, "gamma": 0.5}, lambda o: theirs.StepLR(o, TOTAL // 5, 0.5)),
        ({"schedule": "linear", "floor": 0.2}, lambda o: theirs.LinearLR(o, 1.0, 0.2, TOTAL)),
        ({"schedule": "constant"}, lambda o: theirs.ConstantLR(o, 1.0)),
    ],
)
def test_as_torch_has_it(config: Config, make: Callable[[torch.optim.Optimizer], theirs.LRScheduler]) -> None:
    ours = schedule_of(config, TOTAL)
    assert [ours(t) for t in range(TOTAL)] == pytest.approx(torch_rates(make, TOTAL), abs=1e-9)


@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")
def test_warm_up_comes_first_and_the_rest_follows() -> None:
    ours = schedule_of({"schedule": "cosine", "warmup": 1 / 6}, TOTAL)
    assert [ours(t) for t in range(TOTAL)] == pytest.approx(torch_rates(warm_then_cosine, TOTAL), abs=1e-9)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
@pytest.mark.parametrize("total", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5, 1.0])
def test_any_length_gives_factors_in_range(name: str, total: int, warmup: float) -> None:
    ours = schedule_of({"schedule": name, "warmup": warmup}, total)
    factors = [ours(t) for t in range(total)]
    assert all(0.0 < f <= 1.0 for f in factors)
    rising = factors[: round(warmup * total)]
    assert rising == sorted(rising)
    falling = factors[len(rising) :]
    assert falling == sorted(falling, reverse=True)


def test_closed_forms() -> None:
    assert [step(6)(t) for t in range(6)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert cosine(4)(2) == pytest.approx(0.5)
    assert cosine(8, 0.5)(2) == pytest.approx(0.5 + 0.25 * (1 + math.cos(math.pi / 4)))
    assert linear(10, 0.5)(5) == pytest.approx(0.75)
    assert [warmed(linear(2), 4)(t) for t in range(6)] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 0.5])


def test_a_schedule_is_a_function_of_the_step_alone() -> None:
    ours = schedule_of({"schedule": "cosine", "warmup": 0.2}, TOTAL)
    assert [ours(t) for t in reversed(range(TOTAL))][::-1] == [ours(t) for t in range(TOTAL)]


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(SettingError, match="did you mean 'cosine'"):
        schedule_of({"schedule": "cosinus"}, TOTAL)
    with pytest.raises(SettingError, match="warmup is out of range"):
        schedule_of({"warmup": 5}, TOTAL)
