"""CMA-ES, evolution, differential evolution, NSGA-II and the finer grids: the law, and what each promises besides."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from cmaes import CatCMAwM

from tunebook.errors import SettingError
from tunebook.pareto import hypervolume
from tunebook.samplers._ranking import places, standing
from tunebook.samplers.base import History, Sampler
from tunebook.samplers.cmaes import SPREAD, CmaesSampler
from tunebook.samplers.de import DESampler
from tunebook.samplers.evolution import EvolutionSampler
from tunebook.samplers.grid import GridSampler
from tunebook.samplers.nsga2 import NSGA2Sampler
from tunebook.samplers.random import RandomSampler
from tunebook.space import Choice, Config, Float, Int, Parameter, Space, Value
from tunebook.testing.sampler import NET, Make, check_sampler
from tunebook.trial import Goal, Limit, Measurement, Status, Trial

GOAL = Goal("loss")
TWO = Goal("loss", also=[Goal("size")])
CUBE = Space({f"x{i}": Float(0, 1) for i in range(5)})
NESTED = Space(NET, conditions={"second": {"layers": [2, 3]}})
MIXED = Space(x=Float(0, 1), n=Int(1, 9), big=Int(1, 1000, log=True), kind=Choice(["a", "b", "c"]),
              flag=Choice([True, False]), order=Choice([1, 2, 4], ordered=True))  # fmt: skip
MAKES: dict[str, Make] = {
    "cmaes": CmaesSampler,
    "de": DESampler,
    # smaller than by default, so that the histories of the law are more than a start
    "evolution": partial(EvolutionSampler, population=10, sample=4),
    "nsga2": partial(NSGA2Sampler, population=8),
}


@pytest.mark.parametrize("name", MAKES)
def test_keeps_the_law(name: str) -> None:
    check_sampler(MAKES[name])


def trial(number: int, config: Config, **metrics: float) -> Trial:
    curve = (Measurement(1, metrics),)
    return Trial(number, "r", config, status=Status.COMPLETED, until=1, curve=curve)


def search(sampler: Sampler, n: int, objective: Callable[[Config], dict[str, float]], batch: int = 1) -> list[Trial]:
    told: list[Trial] = []
    while len(told) < n:
        new = sampler.ask(batch, [], len(told))
        trials = [trial(len(told) + i, c, **objective(c)) for i, c in enumerate(new)]
        sampler.tell(trials)
        told += trials
    return told


def bowl(config: Config) -> dict[str, float]:
    """Ill-conditioned, with its minimum at 0.3 on each axis."""
    x = np.array(list(config.values()), dtype=float) - 0.3
    return {"loss": float(x**2 @ 10.0 ** np.linspace(0, 2, len(x)))}


def best(told: list[Trial]) -> float:
    return min(t.curve[0].metrics["loss"] for t in told)


@pytest.mark.parametrize("name", ["cmaes", "de"])
def test_numbers_are_found_better_than_by_chance(name: str) -> None:
    for seed in range(2):
        mine = best(search(MAKES[name](CUBE, GOAL, seed), 200, bowl))
        assert mine < 0.2 * best(search(RandomSampler(CUBE, GOAL, seed), 200, bowl))


@pytest.mark.parametrize("name", ["cmaes", "de", "evolution", "nsga2"])
def test_goes_on_after_a_resume(name: str) -> None:
    """A sampler made anew and told the same goes on like the one that was there from the start."""

    def loss(config: Config) -> dict[str, float]:
        return {"loss": float(np.nansum((NESTED.encode([config]) - 0.3) ** 2))}

    whole = search(MAKES[name](NESTED, GOAL, 1), 60, loss, batch=3)
    again = MAKES[name](NESTED, GOAL, 1)
    again.tell(whole[:42])
    assert again.ask(3, [], 42) == [t.config for t in whole[42:45]]


# CMA-ES


def test_cmaes_is_the_packages_own_run() -> None:
    """One after the other, whole numbers and options among them, the fold draws what the package itself would draw."""
    sampler = CmaesSampler(MIXED, GOAL, 7)
    mean = np.array([MIXED.encode([MIXED.default])[0, j] for j in (0, 2, 1, 5)])
    codes = [MIXED.axes[j].parameter.every().tolist() for j in (1, 5)]
    own = CatCMAwM(x_space=[[0, 1]] * 2, z_space=codes, c_space=[3, 2], population_size=sampler.population, mean=mean,
                   sigma=SPREAD, cov=np.eye(4))  # fmt: skip
    number = 0
    for generation in range(4):
        told = []
        for _ in range(sampler.population):
            own.reseed_rng(int(np.random.SeedSequence([7, number]).generate_state(1)[0]))
            s = own.ask()
            units = np.array([s.x[0], s.z[0], s.x[1], (np.argmax(s.c[0]) + 0.5) / 3, (np.argmax(s.c[1]) + 0.5) / 2,
                              s.z[1]])  # fmt: skip
            if number:
                config = sampler.ask(1, [], number)[0]
                assert config == MIXED.decode(units[None])[0], generation
            else:  # the default, which the package would not have begun with, but may believe that it did
                config = MIXED.decode(units[None])[0]
            loss = float(((units - 0.3) ** 2).sum())
            sampler.tell([trial(number, config, loss=loss)])
            told.append((s, loss))
            number += 1
        order = np.argsort([loss for _, loss in told])
        ranked = [(told[i][0], float(place)) for place, i in enumerate(order)]
        own.tell(ranked)


def test_cmaes_learns_from_trials_that_others_proposed() -> None:
    sampler = CmaesSampler(CUBE, GOAL, 0)
    rows = 0.8 + 0.04 * np.random.default_rng(0).random((64, 5))
    sampler.tell(trial(i, c, loss=float(i % 8)) for i, c in enumerate(CUBE.decode(rows)))
    told = CUBE.encode(sampler.ask(20, [], 64))
    assert abs(np.median(told) - 0.82) < 0.05


def test_cmaes_starts_anew_where_it_has_converged() -> None:
    """The distribution ends, and the search does not end with it."""
    space = Space(x=Float(0, 1), y=Float(0, 1))
    told = search(CmaesSampler(space, GOAL, 0, population=4), 400, bowl)
    spread = [np.ptp(space.encode([t.config for t in told[i : i + 8]]), axis=0).max() for i in range(0, 400, 8)]
    converged = int(np.argmax(np.array(spread) < 1e-3))
    assert 0 < converged < 40 and max(spread[converged:]) > 0.2


@pytest.mark.parametrize("population", [0, 3])
def test_cmaes_needs_a_generation(population: int) -> None:
    with pytest.raises(SettingError, match="four members"):
        CmaesSampler(CUBE, GOAL, 0, population)


# evolution


def layered(n: int) -> Space:
    """A network of up to ``n`` layers, each with an operation of its own and a width where it has one."""
    parameters: dict[str, Parameter | Value] = {"layers": Int(1, n)}
    conditions: dict[str, dict[str, list[Value]]] = {}
    for i in range(1, n + 1):
        parameters[f"op{i}"] = Choice(["conv", "pool", "skip", "sep"])
        parameters[f"width{i}"] = Choice([16, 32, 64, 128], ordered=True)
        if i > 1:
            conditions[f"op{i}"] = {"layers": list(range(i, n + 1))}
        conditions[f"width{i}"] = {f"op{i}": ["conv", "sep"]}
    return Space(parameters, conditions=conditions)


def depth_and_order(config: Config) -> dict[str, float]:
    """Eight layers, separable convolutions that grow wider with a pool between."""
    wanted = [("sep", 16), ("sep", 32), ("pool", None), ("sep", 64)] * 2
    loss = abs(int(config["layers"]) - 8) / 8  # type: ignore[arg-type]
    for i, (op, width) in enumerate(wanted, 1):
        loss += 1.0 if config.get(f"op{i}") != op else 0.25 * (config.get(f"width{i}") != width)
    return {"loss": loss}


def test_evolution_finds_architectures() -> None:
    space = layered(10)
    for seed in range(2):
        mine = best(search(EvolutionSampler(space, GOAL, seed), 250, depth_and_order))
        assert mine < 0.6 * best(search(RandomSampler(space, GOAL, seed), 250, depth_and_order))


def test_evolution_changes_one_axis_of_the_best_of_a_sample_of_the_youngest() -> None:
    space = layered(10)
    sampler = EvolutionSampler(space, GOAL, 0, population=10, sample=10)
    configs = RandomSampler(space, GOAL, 5).ask(40, [], 0)
    sampler.tell(trial(i, c, loss=float(i) if i != 33 else 0.5) for i, c in enumerate(configs))
    # number 0 has the best loss of all, and died of age: 33 is the best of the last ten
    for child in (sampler.ask(1, [], number)[0] for number in range(40, 52)):
        before = {k: v for k, v in configs[33].items() if k in child}
        moved = [k for k, v in before.items() if child[k] != v]
        assert len(moved) == 1, (child, configs[33])


@pytest.mark.parametrize(("population", "sample"), [(0, 0), (5, 6), (5, 0)])
def test_evolution_needs_a_population(population: int, sample: int) -> None:
    with pytest.raises(SettingError, match="population"):
        EvolutionSampler(CUBE, GOAL, 0, population, sample)


# differential evolution


def test_a_slot_keeps_the_best_that_challenged_it() -> None:
    """With C = 1 the challenger is a + F (b - c) of the best of three other slots, on every axis."""
    sampler = DESampler(CUBE, GOAL, 3, population=4, C=1.0, F=0.1)
    rows = 0.4 + 0.2 * np.random.default_rng(1).random((16, 5))
    losses = np.random.default_rng(2).permutation(16)
    sampler.tell(trial(i, c, loss=float(x)) for i, (c, x) in enumerate(zip(CUBE.decode(rows), losses, strict=True)))
    held = np.array([rows[s::4][np.argmin(losses[s::4])] for s in range(4)])
    got = CUBE.encode(sampler.ask(4, [], 16))
    for slot, u in enumerate(got):
        p, q, r = (held[s] for s in range(4) if s != slot)
        mixes = [a + 0.1 * (b - c) for a, b, c in ((p, q, r), (p, r, q), (q, p, r), (q, r, p), (r, p, q), (r, q, p))]
        assert min(np.abs(m - u).max() for m in mixes) < 1e-9


@pytest.mark.parametrize("bad", [{"population": 3}, {"F": 0.0}, {"C": 1.5}])
def test_de_refuses_what_cannot_work(bad: dict[str, float]) -> None:
    with pytest.raises(SettingError, match="population, F, C"):
        DESampler(CUBE, GOAL, 0, **bad)  # type: ignore[arg-type]


# several goals


def zdt1(config: Config) -> dict[str, float]:
    x = np.array(list(config.values()), dtype=float)
    g = 1 + 9 * x[1:].mean()
    return {"loss": float(x[0]), "size": float(g * (1 - np.sqrt(x[0] / g)))}


def test_nsga2_finds_the_front() -> None:
    reference = np.array([1.1, 6.0])
    for seed in range(2):
        volumes = []
        for make in (NSGA2Sampler, RandomSampler):
            told = search(make(CUBE, TWO, seed), 200, zdt1)
            volumes.append(hypervolume(np.array([t.losses(TWO) for t in told]), reference))
        assert volumes[0] > volumes[1] + 0.15


@pytest.mark.parametrize("name", ["cmaes", "de", "evolution"])
def test_others_take_several_goals_too(name: str) -> None:
    told = search(MAKES[name](CUBE, TWO, 0), 120, zdt1)
    chance = search(RandomSampler(CUBE, TWO, 0), 120, zdt1)
    volume = [hypervolume(np.array([t.losses(TWO) for t in ts]), np.array([1.1, 6.0])) for ts in (told, chance)]
    assert volume[0] > volume[1]


def history(losses: list[tuple[float, ...]], excess: list[tuple[float, ...]], budget: list[int]) -> History:
    n, y = len(losses), np.array(losses, dtype=float)
    once = np.ones(n, dtype=np.int64)
    return History(np.arange(n), np.zeros((n, 1)), y, np.array(budget), np.isfinite(y[:, 0]), once,
                   np.array(excess, dtype=float).reshape(n, -1), np.zeros(n))  # fmt: skip


def test_standing_by_limits_then_fronts_then_crowding() -> None:
    losses = [(1, 4), (2, 2), (4, 1), (3, 3), (0, 0), (0, 1), (np.inf, np.inf), (1.9, 2.2)]
    excess = [(-1, 0), (0, 0), (-1, 0), (0, -1), (1, 0), (0, 9), (np.inf, np.inf), (0, 0)]
    told = history(losses, excess, [1] * 8)
    # beyond the limits: 1 is as far as all on the first, 9 on the second
    order = np.argsort(standing(told), kind="stable").tolist()
    assert set(order[:2]) == {0, 2} and set(order[2:4]) == {1, 7} and order[4:] == [3, 4, 5, 6]
    assert standing(told)[6] == np.inf


def test_places_put_those_that_came_far_before_the_others() -> None:
    told = history([(5.0,), (1.0,), (4.0,), (np.inf,), (0.0,)], [()] * 5, [9, 9, 9, 0, 3])
    assert places(told, least=2).tolist() == [2, 0, 1, 4, 3]


def test_a_limit_is_kept() -> None:
    """Most of what is proposed late lies within the limit, though the loss is better beyond it."""
    goal = Goal("loss", limits=[Limit("size", most=1.0)])

    def told(config: Config) -> dict[str, float]:
        x = np.array(list(config.values()), dtype=float)
        return {"loss": -float(x.sum()), "size": float(x.sum())}

    for name in ("evolution", "nsga2", "cmaes"):
        late = search(MAKES[name](CUBE, goal, 0), 150, told)[75:]
        within = [t for t in late if t.curve[0].metrics["size"] <= 1.0]
        assert len(within) > 25, name  # of 75; by chance 1 of 120
        assert min(t.curve[0].metrics["loss"] for t in within) < -0.7


# finer grids


def test_the_grid_gets_finer_around_the_best() -> None:
    space = Space(x=Float(0, 1), y=Float(1e-4, 1, log=True), n=Int(1, 50), kind=Choice(["a", "b"]))
    aim = space.encode([{"x": 0.31, "y": 0.003, "n": 37, "kind": "b"}])[0]

    def loss(config: Config) -> dict[str, float]:
        return {"loss": float(((space.encode([config])[0] - aim) ** 2).sum())}

    told = search(GridSampler(space, GOAL, 0), 300, loss, batch=4)
    coarse = [t.config for t in told[:54]]
    assert sorted(map(str, coarse)) == sorted(map(str, space.grid(3)))
    assert best(told[:54]) > 0.01 and best(told) < 1e-4
    found = min(told, key=lambda t: t.curve[0].metrics["loss"]).config
    assert (found["n"], found["kind"]) == (37, "b")


def test_the_finer_grids_end_too() -> None:
    """A lattice is exhausted around its best; others' trials and pending ones are not proposed again."""
    space = Space(n=Int(0, 20), m=Int(0, 20))
    sampler = GridSampler(space, GOAL, 0)
    told = [trial(0, {"n": 10, "m": 10}, loss=0.0)]
    sampler.tell(told)
    while configs := sampler.ask(5, [], len(told)):
        new = [trial(len(told) + i, c, loss=1.0) for i, c in enumerate(configs)]
        sampler.tell(new)
        told += new
    near = {(t.config["n"], t.config["m"]) for t in told}
    assert {(n, m) for n in (9, 10, 11) for m in (9, 10, 11)} <= near and len(near) == len(told) < 60


@pytest.mark.parametrize("finer", [-1, 21, True, 1.5])
def test_the_number_of_finer_grids(finer: int) -> None:
    with pytest.raises(SettingError, match="finer"):
        GridSampler(CUBE, GOAL, 0, 3, finer)
