"""Explore by a bandit: it goes where the loss falls fastest, and to what is not known."""

import numpy as np

from tunebook.samplers.bandit import BanditSampler
from tunebook.samplers.base import Sampler
from tunebook.space import Choice, Float, Int, Space
from tunebook.testing.sampler import check_sampler
from tunebook.trial import Goal, Measurement, Status, Trial

SPACE = Space(lr=Float(0, 1), decay=Float(0, 1), width=Int(1, 9), act=Choice(["a", "b"]))
GOAL = Goal("loss")


def stretch(number: int, lr: float, rate: float, start: int = 0, decay: float = 0.5) -> Trial:
    """Four steps in which the loss falls by ``rate`` each."""
    curve = tuple(Measurement(start + s, {"loss": 5.0 - rate * s}) for s in range(1, 5))
    config = {"lr": lr, "decay": decay, "width": 3, "act": "a"}
    return Trial(number, "r", config, status=Status.PAUSED, until=start + 4, curve=curve, start=start)


def rates(trials: list[Trial], n: int = 40) -> np.ndarray:
    sampler = BanditSampler(SPACE, GOAL)
    sampler.tell(trials)
    config = {"lr": 0.1, "decay": 0.5, "width": 3, "act": "a"}
    told = [sampler.explore(config, number) for number in range(100, 100 + n)]
    assert {(c["width"], c["act"]) for c in told} == {(3, "a")}
    return np.array([c["lr"] for c in told], dtype=float)


def test_keeps_the_law() -> None:
    check_sampler(BanditSampler)


def grid(best: float, start: int = 0, first: int = 0) -> list[Trial]:
    axis = np.linspace(0, 1, 6)
    pairs = [(float(lr), float(decay)) for lr in axis for decay in axis]
    return [stretch(first + i, lr, 1 - 2 * abs(lr - best), start, decay) for i, (lr, decay) in enumerate(pairs)]


def test_it_goes_where_the_loss_falls_fastest() -> None:
    assert abs(np.median(rates(grid(0.8))) - 0.8) < 0.12
    assert abs(np.median(rates(grid(0.2))) - 0.2) < 0.12


def test_what_was_seen_lately_counts_more() -> None:
    """At first 0.8 was good and now 0.2 is, as learning rates are."""
    late = [stretch(100 + t.number, float(t.config["lr"]) + 1e-3 if float(t.config["lr"]) < 1 else 0.999,  # type: ignore[arg-type]
                    1 - 2 * abs(float(t.config["lr"]) - 0.2), 36, float(t.config["decay"]))  # type: ignore[arg-type]
            for t in grid(0.8)]  # fmt: skip
    assert np.median(rates([*grid(0.8), *late])) < 0.4


def test_with_little_known_it_perturbs() -> None:
    few = [stretch(n, 0.1 * n, 1.0) for n in range(3)]
    plain, bandit = Sampler.explore, BanditSampler(SPACE, GOAL)
    bandit.tell(few)
    config = {"lr": 0.5, "decay": 0.5, "width": 3, "act": "a"}
    assert bandit.explore(config, 7) == plain(bandit, config, 7)
    assert bandit.explore(config, 7) == bandit.explore(config, 7)
