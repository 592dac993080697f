"""How trainings begin: noise, plateaus, and who stands out."""

import numpy as np
import pytest

from tunebook.beginnings import best_stands_out, jump, stuck
from tunebook.samplers.auto import AutoSampler
from tunebook.samplers.base import Sampler
from tunebook.samplers.gp import GPSampler
from tunebook.samplers.quasi import QuasiSampler
from tunebook.space import Float, Space
from tunebook.trial import Goal, Measurement, Status, Trial

GOAL = Goal("loss")
SPACE = Space(x=Float(0, 1), y=Float(0, 1))


def trial(number: int, losses: object, status: Status = Status.PAUSED, sign: int = 1) -> Trial:
    curve = tuple(Measurement(i + 1, {"loss": sign * float(v)}) for i, v in enumerate(losses))  # type: ignore[call-overload]
    config = {"x": number / 1000, "y": 0.5}
    return Trial(number, "r", config, status=status, until=len(curve), curve=curve)


def flat(n: int, noise: float = 0.001, seed: int = 0, steps: int = 3) -> list[Trial]:
    rng = np.random.default_rng(seed)
    return [trial(i, 0.7 + noise * rng.standard_normal(steps)) for i in range(n)]


@pytest.mark.parametrize("slope", [0.0, 0.5])
def test_jump_is_the_noise_whatever_the_slope(slope: float) -> None:
    rng = np.random.default_rng(1)
    trials = [trial(i, 5 - slope * np.arange(9) + 0.02 * rng.standard_normal(9)) for i in range(60)]
    assert jump(trials, GOAL) == pytest.approx(0.02, rel=0.2)
    assert jump([], GOAL) == 0.0 and jump([trial(0, [1.0, 0.5])], GOAL) == 0.0


@pytest.mark.parametrize("sign", [1, -1])
def test_plateaus_are_told_from_slopes_and_from_noise(sign: int) -> None:
    goal = GOAL if sign == 1 else Goal("loss", "maximize")  # type: ignore[arg-type]
    losses = [[m.metrics["loss"] for m in t.curve] for t in flat(12)]
    trials = [trial(i, v, sign=sign) for i, v in enumerate(losses)]
    assert stuck(trials, goal, 3) and not best_stands_out(trials, goal, 3)
    assert not stuck(trials[:7], goal, 3)
    falling = [trial(i, np.array(v) - 0.01 * np.arange(3), sign=sign) for i, v in enumerate(losses)]
    assert not stuck(falling, goal, 3)
    rough = [trial(i, 0.7 + 200 * (np.array(v) - 0.7), sign=sign) for i, v in enumerate(losses)]
    assert not stuck(rough, goal, 3)
    learner = [*trials, trial(20, [0.7, 0.65, 0.6], sign=sign)]
    assert stuck(learner, goal, 3) and best_stands_out(learner, goal, 3)
    assert not best_stands_out([*trials, trial(21, [0.7, 0.1, 0.1], Status.FAILED, sign)], goal, 3)


def test_a_drift_is_next_to_nothing_beside_what_one_has_learned() -> None:
    drifting = [trial(i, 0.7 - 0.001 * i - 0.002 * np.arange(3)) for i in range(9)]
    assert not stuck(drifting, GOAL, 3)
    assert stuck([*drifting, trial(9, [0.7, 0.5, 0.3])], GOAL, 3)
    assert not stuck([*drifting, trial(9, [0.7, 0.68, 0.66])], GOAL, 3)


@pytest.mark.parametrize("make", [GPSampler, AutoSampler])
def test_the_gp_draws_points_while_there_is_nothing_to_model(make: type[Sampler]) -> None:
    """Of 30 trials that were cut short at 1 or 3 steps all lie on a plateau: what follows is the sequence of points.
    With one that learned it is the model again."""
    dark = [*flat(10), *(trial(10 + i, [0.7 + 1e-4 * i]) for i in range(20))]
    gp, points = make(SPACE, GOAL, 3), QuasiSampler(SPACE, GOAL, 3)
    gp.tell(dark)
    drawn = gp.ask(3, [], 33)
    assert drawn == points.ask(3, [], 33)
    gp.tell([trial(30, [0.68, 0.6, 0.5])])
    assert gp.ask(3, [], 33) != drawn
    many = make(SPACE, GOAL, 3)
    many.tell([*flat(10), *(trial(10 + i, [0.7 + 1e-4 * i]) for i in range(100))])
    assert many.ask(3, [], 113) != points.ask(3, [], 113)
