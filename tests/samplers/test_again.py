"""Trials of known configurations: when they are worth it, and that they are the very same configurations."""

import numpy as np
import pytest

from tunebook.samplers._again import FROM, OFTEN, SAME, settled, turns
from tunebook.samplers.auto import AutoSampler
from tunebook.samplers.base import History, Sampler
from tunebook.samplers.gp import GPSampler
from tunebook.space import Choice, Config, Float, Space
from tunebook.trial import Goal, Measurement, Status, Trial, config_key

SPACE = Space(lr=Float(1e-4, 1.0, log=True), momentum=Float(0.0, 0.99), kind=Choice(["a", "b"]))


def known(losses: list[float], repeats: dict[int, tuple[int, float]], whole: bool = True) -> History:
    """Losses, a row each; of some, how many trials there were and the sum of squares around their mean."""
    n = len(losses)
    often, spread = np.ones(n, dtype=np.int64), np.zeros(n)
    for row, (count, squares) in repeats.items():
        often[row], spread[row] = count, squares
    return History(
        np.arange(n), np.random.default_rng(0).random((n, 2)), np.array(losses)[:, None], np.ones(n, dtype=np.int64),
        np.ones(n, dtype=bool), often, np.zeros((n, 0)), np.zeros(n), spread=spread, whole=np.full(n, whole),
    )  # fmt: skip


LADDER = [float(i) for i in range(20)]  # the median lies 9.5 above the best


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        (known(LADDER[: FROM - 1], {}), 0),
        (known(LADDER, {}), 1),
        (known(LADDER, {}, whole=False), 0),
        (known(LADDER, {0: (2, 0.0)}), 0),
        (known([0.0, *LADDER], {0: (2, 0.0)}), 1),
        (known([0.0, *LADDER], {0: (1 + SAME, 0.0)}), 0),
        (known(LADDER, {0: (2, 0.1**2)}), 0),
        (known(LADDER, {0: (2, 0.5**2)}), 1),
        (known(LADDER, {0: (2, 0.5**2), 3: (3, 2 * 2.0**2)}), 2),
    ],
    ids=["few", "unknown", "cut short", "exact", "tied", "tied and always the same", "little", "some", "much"],
)
def test_turns_follow_what_repeats_differ_by(history: History, expected: int) -> None:
    assert turns(history) == expected


def test_what_was_tried_often_is_settled() -> None:
    assert np.flatnonzero(settled(known(LADDER, {2: (OFTEN, 1.0), 5: (OFTEN - 1, 1.0)}))).tolist() == [2]


def searched(sampler: Sampler, noise: float, trials: int = 40) -> list[Config]:
    rng = np.random.default_rng(1)
    configs: list[Config] = []
    for number in range(trials):
        (config,) = sampler.ask(1, [], number)
        loss = (np.log10(float(config["lr"] or 0)) + 2) ** 2 + float(config["momentum"] or 0) + noise * rng.normal()
        curve = (Measurement(1, {"loss": float(loss)}),)
        sampler.tell([Trial(number, "r", config, status=Status.COMPLETED, until=1, curve=curve)])
        configs.append(config)
    return configs


@pytest.mark.parametrize("make", [GPSampler, AutoSampler])
def test_noisy_losses_are_looked_at_again_and_exact_ones_once(make: type[Sampler]) -> None:
    goal = Goal("loss")
    noisy = [config_key(c) for c in searched(make(SPACE, goal, 0), 1.0)]
    exact = [config_key(c) for c in searched(make(SPACE, goal, 0), 0.0)]
    assert len(set(noisy[:FROM])) == FROM
    assert len(noisy) - len(set(noisy)) >= 8
    assert len(exact) - len(set(exact)) == 1


def test_a_finite_space_is_never_repeated() -> None:
    space = Space(a=Choice(list(range(8))), b=Choice(list(range(8))))
    sampler, rng = GPSampler(space, Goal("loss"), 0), np.random.default_rng(0)
    for number in range(40):
        (config,) = sampler.ask(1, [], number)
        assert config_key(config) not in {t.key for t in sampler.told}
        curve = (Measurement(1, {"loss": float(rng.normal())}),)
        sampler.tell([Trial(number, "r", config, status=Status.COMPLETED, until=1, curve=curve)])
