"""TPE finds what random search does not, in every kind of space, and keeps its rules. All is fixed by seeds."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from tunebook.errors import SettingError
from tunebook.samplers.base import Sampler
from tunebook.samplers.quasi import QuasiSampler
from tunebook.samplers.random import RandomSampler
from tunebook.samplers.tpe import TPESampler
from tunebook.space import Choice, Config, Float, Int, Space
from tunebook.trial import Failure, FailureKind, Goal, Measurement, Status, Trial, config_key

GOAL = Goal("loss")
Loss = Callable[[Config], float]
MIXED = Space(
    lr=Float(1e-5, 1, log=True),
    units=Int(8, 512, log=True),
    layers=Int(1, 6),
    act=Choice(["relu", "tanh", "gelu", "elu"]),
    batch=Choice([16, 32, 64, 128], ordered=True),
)
BRANCHES = Space(
    kind=Choice(
        {
            "plain": Space(a=Float(0, 1)),
            "rich": Space(a=Float(0, 1), b=Float(0, 1), c=Int(1, 9), d=Float(1e-4, 1, log=True)),
            "none": Space(),
        }
    ),
    shared=Float(0, 1),
)


def number(config: Config, name: str) -> float:
    return float(config[name])  # type: ignore[arg-type]


def mixed(c: Config) -> float:
    lr, units = math.log10(number(c, "lr")) + 3, math.log2(number(c, "units")) - 6
    bad = {"relu": 0.0, "gelu": 0.1, "elu": 0.4, "tanh": 0.8}[str(c["act"])]
    return lr**2 + 0.2 * units**2 + 0.1 * (number(c, "layers") - 3) ** 2 + bad + 0.1 * abs(number(c, "batch") - 32) / 16


def branches(c: Config) -> float:
    """The plain branch holds the best, behind a narrow valley; the rich one has the better average."""
    shared = (number(c, "shared") - 0.3) ** 2
    if c["kind"] == "plain":
        return shared + 2 * (number(c, "kind.plain.a") - 0.8) ** 2
    if c["kind"] == "rich":
        return 0.3 + shared + 0.2 * (number(c, "kind.rich.a") - 0.5) ** 2 + 0.02 * abs(number(c, "kind.rich.c") - 5)
    return 0.7 + shared


def told(number: int, config: Config, loss: float | None, step: int = 1) -> Trial:
    if loss is None:
        return Trial(number, "r", config, status=Status.FAILED, failure=Failure(FailureKind.DIVERGED, "simulated"))
    return Trial(number, "r", config, status=Status.COMPLETED, until=step,
                 curve=(Measurement(step, {"loss": loss}),))  # fmt: skip


def search(sampler: Sampler, loss: Callable[[Config], float | None], n: int, batch: int = 1) -> list[Trial]:
    trials: list[Trial] = []
    while len(trials) < n:
        configs = sampler.ask(min(batch, n - len(trials)), [], len(trials))
        new = [told(len(trials) + i, c, loss(c)) for i, c in enumerate(configs)]
        sampler.tell(new)
        trials += new
    return trials


def best(trials: list[Trial]) -> float:
    return min(t.loss(GOAL) for t in trials)


@pytest.mark.parametrize(("space", "loss"), [(MIXED, mixed), (BRANCHES, branches)], ids=["mixed", "branches"])
def test_beats_random_and_quasi_random(space: Space, loss: Loss) -> None:
    ours, others = [], []
    for seed in range(8):
        ours.append(best(search(TPESampler(space, GOAL, seed), loss, 60)))
        others.append(min(best(search(kind(space, GOAL, seed), loss, 60)) for kind in (RandomSampler, QuasiSampler)))
    assert np.median(ours) < 0.5 * np.median(others)
    assert sum(a < b for a, b in zip(ours, others, strict=True)) >= 6


def test_goes_to_the_right_branch_though_another_has_more_axes() -> None:
    share = []
    for seed in range(6):
        late = search(TPESampler(BRANCHES, GOAL, seed), branches, 80)[50:]
        share.append(np.mean([t.config["kind"] == "plain" for t in late]))
    assert np.mean(share) > 0.7


def test_a_batch_of_16_keeps_most_of_the_gain() -> None:
    alone, batch = ([best(search(TPESampler(MIXED, GOAL, s), mixed, 80, batch=n)) for s in range(8)] for n in (1, 16))
    chance = [best(search(RandomSampler(MIXED, GOAL, s), mixed, 80)) for s in range(8)]
    assert np.mean(batch) - np.mean(alone) < 0.5 * (np.mean(chance) - np.mean(alone))


def test_failures_are_avoided_not_ignored() -> None:
    """Half of the space diverges; a sampler that ignored failures would go there in half of the cases."""
    space = Space(x=Float(0, 1), y=Float(0, 1))

    def loss(c: Config) -> float | None:
        return None if number(c, "x") > 0.5 else abs(number(c, "x") - 0.4) + 0.1 * number(c, "y")

    share = []
    for seed in range(8):
        late = search(TPESampler(space, GOAL, seed), loss, 60)[20:]
        share.append(np.mean([t.status is Status.FAILED for t in late]))
    assert np.mean(share) < 0.2


def test_starts_quasi_random_until_enough_was_told() -> None:
    sampler, quasi = TPESampler(MIXED, GOAL, 3, startup=5), QuasiSampler(MIXED, GOAL, 3)
    first = sampler.ask(16, [], 0)
    assert first == quasi.ask(16, [], 0)  # sixteen workers at once: nothing was told yet
    sampler.tell(told(i, c, mixed(c)) for i, c in enumerate(first[:4]))
    assert sampler.ask(1, [], 16) == quasi.ask(1, [], 16)
    sampler.tell([told(4, first[4], mixed(first[4]))])
    assert sampler.ask(1, [], 16) != quasi.ask(1, [], 16)


def test_what_is_pending_pushes_away() -> None:
    """Twelve trials run around the best point: fewer proposals go there than if nothing ran."""
    space = Space(x=Float(0, 1), y=Float(0, 1))
    close = {"free": 0, "crowded": 0}
    for seed in range(30):
        sampler = TPESampler(space, GOAL, seed)
        trials = search(sampler, lambda c: (number(c, "x") - 0.4) ** 2 + (number(c, "y") - 0.6) ** 2, 30)
        top = np.array([number(min(trials, key=lambda t: t.loss(GOAL)).config, k) for k in "xy"])
        crowd = [{"x": float(a), "y": float(b)} for a, b in top + np.random.default_rng(seed).normal(0, 0.02, (12, 2))]
        for name, pending in (("free", []), ("crowded", crowd)):
            got = sampler.ask(1, pending, 30)[0]
            close[name] += bool(np.hypot(*(np.array([number(got, k) for k in "xy"]) - top)) < 0.1)
    assert close["crowded"] < 0.5 * close["free"]


def test_a_resumed_trial_counts_by_what_it_showed() -> None:
    sampler = TPESampler(MIXED, GOAL, 0)
    trials = search(sampler, mixed, 20)
    top = min(trials, key=lambda t: t.loss(GOAL))
    assert sampler.ask(4, [top.config], 20) == sampler.ask(4, [], 20)


def test_the_largest_budget_that_enough_have_reached_counts() -> None:
    """Twelve trials at step 9 say that large x is good; thirty at step 1 said the opposite, with lower losses."""
    space = Space(x=Float(0, 1))
    rng = np.random.default_rng(0)
    low = [told(i, {"x": x}, x - 5, step=1) for i, x in enumerate(rng.random(30).tolist())]
    high = [told(30 + i, {"x": x}, 1 - x, step=9) for i, x in enumerate(np.linspace(0, 1, 12).tolist())]
    drawn = []
    for seed in range(10):
        sampler = TPESampler(space, GOAL, seed)
        sampler.tell([*low, *high])
        drawn += [number(c, "x") for c in sampler.ask(3, [], 42)]
    assert np.mean(drawn) > 0.7
    few = TPESampler(space, GOAL, 0)
    few.tell([*low, *high[:2]])  # two are not enough to judge by
    assert np.mean([number(c, "x") for c in few.ask(8, [], 42)]) < 0.4


def test_of_many_others_the_next_best_count_each_and_some_of_the_rest_for_all() -> None:
    sampler = TPESampler(MIXED, GOAL)
    configs = MIXED.decode(np.random.default_rng(0).random((900, MIXED.dim)))
    losses = np.random.default_rng(1).permutation(900).astype(float)
    sampler.tell(told(i, c, y) for i, (c, y) in enumerate(zip(configs, losses, strict=True)))
    best, others, weights = sampler._split(sampler.history)
    losses = sampler.history.y
    assert losses[best].tolist() == sorted(losses)[:25]
    assert sorted(losses[others[:128]]) == sorted(losses)[25:153] and (weights[:128] == 1).all()
    assert len({*others.tolist(), *best.tolist()}) == 25 + 256 and weights.sum() == pytest.approx(875)
    assert np.ptp(weights[128:]) == 0 and 450 < np.median(losses[others[128:]]) < 600


def test_lattices_are_walked_without_repeats_and_best_first() -> None:
    """240 configurations: the best is found well before half of them were tried, and none is tried twice."""
    space = Space(a=Int(1, 10), b=Choice(["p", "q", "r", "s"]), c=Choice([1, 2, 3, 4, 5, 6], ordered=True))
    for seed in range(4):

        def loss(c: Config) -> float:
            return abs(number(c, "a") - 7) + 3 * (c["b"] != "r") + abs(number(c, "c") - 2)

        trials = search(TPESampler(space, GOAL, seed), loss, 100)
        assert len({config_key(t.config) for t in trials}) == 100
        assert best(trials[:60]) == 0


@pytest.mark.parametrize("wrong", [{"startup": 0}, {"candidates": 0}, {"gamma": 0.0}, {"gamma": 1.0}])
def test_settings_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingError):
        TPESampler(MIXED, GOAL, 0, **wrong)  # type: ignore[arg-type]
