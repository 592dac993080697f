"""Schedules against closed forms and against torch's schedulers."""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler as theirs

from tunebook.errors import SettingError
from tunebook.space import Config
from tunebook.training.schedules import SCHEDULES, cosine, linear, reduction_of, schedule_of, step, warmed
from tunebook.trial import Goal, Measurement

TOTAL = 60


def torch_rates(make: Callable[[torch.optim.Optimizer], theirs.LRScheduler], steps: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, rates = make(optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def measured(scores: list[float], name: str = "score") -> list[Measurement]:
    return [Measurement(epoch, {name: value}, 0.0) for epoch, value in enumerate(scores, 1)]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize(
    "told",
    [
        {"plateau_patience": 2},
        {"plateau_patience": 0, "gamma": 0.5},
        {"plateau_patience": 1, "cooldown": 3, "gamma": 0.5, "floor": 0.1},
        {"plateau_patience": 1, "threshold": 0.1, "gamma": 0.3},
    ],
)
def test_plateau_as_torch_has_it(seed: int, direction: Literal["minimize", "maximize"], told: Config) -> None:
    """On curves with noise and holes; the factor of an epoch is that after all measurements before it."""
    rng = np.random.default_rng(seed)
    scores = (1 / (1 + 0.3 * np.arange(40)) + 0.1 * rng.random(40) + 0.01).tolist()
    scores = [1 / s for s in scores] if direction == "maximize" else scores
    for hole in rng.integers(1, 40, 3):
        scores[hole] = math.nan
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = theirs.ReduceLROnPlateau(
        optimizer,
        "min" if direction == "minimize" else "max",
        float(told.get("gamma") or 0.1),
        int(told.get("plateau_patience") or 0),
        float(told.get("threshold") or 1e-4),
        cooldown=int(told.get("cooldown") or 0),
        min_lr=float(told.get("floor") or 0.0),
    )
    ours = reduction_of({"schedule": "plateau", **told}, Goal("score", direction))
    factors = []
    for epoch in range(40):
        factors.append(optimizer.param_groups[0]["lr"])
        assert ours(measured(scores[:epoch])) == pytest.approx(factors[-1], rel=1e-9, abs=1e-8)
        scheduler.step(scores[epoch])
    assert len(set(factors)) > 2


def test_plateau_without_a_validation_part_looks_at_the_training_part() -> None:
    ours = reduction_of({"schedule": "plateau", "plateau_patience": 1}, Goal("score"))
    assert ours(measured([3.0, 2.0, 2.0, 2.0], "train_score")) == pytest.approx(0.1)
    assert ours(measured([3.0, 2.0, 2.0], "train_score")) == 1.0
    assert reduction_of({"schedule": "cosine"}, Goal("score"))(measured([3.0] * 30)) == 1.0


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
        ({"schedule": "exponential"}, lambda o: theirs.ExponentialLR(o, 0.01 ** (1 / TOTAL))),
        ({"schedule": "exponential", "floor": 0.5}, lambda o: theirs.ExponentialLR(o, 0.5 ** (1 / TOTAL))),
        ({"schedule": "one_cycle"}, lambda o: theirs.OneCycleLR(o, 1.0, TOTAL, cycle_momentum=False)),
        (
            {"schedule": "one_cycle", "rise": 0.45, "bottom": 0.1, "schedule.one_cycle.floor": 0.001},
            lambda o: theirs.OneCycleLR(
                o, 1.0, TOTAL, pct_start=0.45, div_factor=10, final_div_factor=100, cycle_momentum=False
            ),
        ),
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
    if name == "one_cycle":  # up once more
        falling = falling[falling.index(max(falling)) :] if falling else []
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
