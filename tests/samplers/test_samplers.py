"""Every sampler keeps the law, and what each promises besides."""

from collections import Counter
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunebook.errors import SettingError
from tunebook.samplers._halton import Halton
from tunebook.samplers.base import Sampler
from tunebook.samplers.grid import GridSampler
from tunebook.samplers.quasi import BLOCK, QuasiSampler
from tunebook.samplers.random import RandomSampler
from tunebook.samplers.tpe import TPESampler
from tunebook.space import Choice, Config, Float, Int, Space
from tunebook.testing.sampler import NET, Make, check_sampler
from tunebook.trial import Failure, FailureKind, Goal, Limit, Measurement, Status, Trial, config_key

GOAL = Goal("loss")
NESTED = Space(NET, conditions={"second": {"layers": [2, 3]}})
LATTICE = Space(a=Int(1, 6), b=Choice(["x", "y", "z"]), c=Float(0, 1, step=0.25))
MAKES: dict[str, Make] = {
    "grid": GridSampler,
    "random": RandomSampler,
    "sobol": QuasiSampler,
    "halton": partial(QuasiSampler, kind="halton"),
    "tpe": TPESampler,
}


@pytest.mark.parametrize("name", MAKES)
def test_keeps_the_law(name: str) -> None:
    check_sampler(MAKES[name])


def trial(number: int, config: Config, loss: float, step: int = 1) -> Trial:
    curve = (Measurement(step, {"loss": loss}),)
    return Trial(number, "r", config, status=Status.COMPLETED, until=step, curve=curve)


def study(sampler: Sampler, n: int, batch: int, first: int = 0) -> list[Config]:
    """``n`` trials in batches, told as they end."""
    out: list[Config] = []
    while len(out) < n:
        configs = sampler.ask(min(batch, n - len(out)), [], first + len(out))
        sampler.tell(trial(first + len(out) + i, c, 1.0) for i, c in enumerate(configs))
        out += configs
    return out


@pytest.mark.parametrize("space", [NESTED, LATTICE], ids=["nested", "lattice"])
@pytest.mark.parametrize("name", ["random", "sobol", "halton"])
def test_the_set_does_not_depend_on_parallelism(name: str, space: Space) -> None:
    """Also where lattice points repeat and are replaced: 64 of the lattice's 90 configurations."""
    single = study(MAKES[name](space, GOAL, 3), 64, batch=1)
    assert len({config_key(c) for c in single}) == 64
    for batch in (4, 16, 64):
        assert study(MAKES[name](space, GOAL, 3), 64, batch) == single


@pytest.mark.parametrize("name", ["random", "sobol", "halton"])
def test_a_sampler_built_again_goes_on_where_the_old_one_was(name: str) -> None:
    whole = study(MAKES[name](NESTED, GOAL, 5), 40, batch=4)
    again = MAKES[name](NESTED, GOAL, 5)
    again.tell(trial(i, c, 1.0) for i, c in enumerate(whole[:20]))
    assert study(again, 20, batch=5, first=20) == whole[20:]


@given(st.lists(st.tuples(st.integers(0, 3 * BLOCK), st.integers(0, 40)), max_size=6), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_sobol_points_can_be_had_in_any_order(asked: list[tuple[int, int]], seed: int) -> None:
    sampler = QuasiSampler(NESTED, GOAL, seed)
    every = QuasiSampler(NESTED, GOAL, seed).points(0, 3 * BLOCK + 40)
    for first, n in asked:
        assert np.array_equal(sampler.points(first, n), every[first : first + n])


def test_sobol_far_out_is_found_without_walking_there() -> None:
    far = QuasiSampler(NESTED, GOAL, 0).points(10**7, 4)
    assert np.array_equal(far[2:], QuasiSampler(NESTED, GOAL, 0).points(10**7 + 2, 2))


def test_seeds_give_other_points() -> None:
    for name in ("random", "sobol", "halton"):
        a, b = (MAKES[name](NESTED, GOAL, seed).ask(8, [], 0) for seed in (0, 1))
        assert not {config_key(c) for c in a} & {config_key(c) for c in b}


@pytest.mark.parametrize("kind", ["sobol", "halton"])
def test_quasi_random_points_fill_space_more_evenly(kind: str) -> None:
    """Worst gap of each axis after 64 points, and each option of a choice as often as its share."""
    space = Space({f"x{i}": Float(0, 1) for i in range(6)}, opt=Choice(["a", "b", "c", "d"]))
    for seed in range(5):
        units = QuasiSampler(space, GOAL, seed, kind).points(0, 64)
        gaps = np.diff(np.sort(units, axis=0), axis=0).max(axis=0)
        uniform = np.diff(np.sort(np.random.default_rng(seed).random((64, 7)), axis=0), axis=0).max(axis=0)
        assert gaps.mean() < 0.7 * uniform.mean()
        share = np.bincount((units[:, 6] * 4).astype(int), minlength=4)
        assert share.min() >= 14 and share.max() <= 18


def test_points_below_an_option_are_spread_too() -> None:
    """The 32 or so of 64 trials that use sgd cover its learning rate: no quarter of the range is left out."""
    for seed in range(5):
        configs = QuasiSampler(NESTED, GOAL, seed).ask(64, [], 0)
        rates = [np.log10(c["optimizer.sgd.lr"]) for c in configs if c["optimizer"] == "sgd"]  # type: ignore[arg-type]
        assert np.histogram(rates, bins=4, range=(-3, 0))[0].min() >= 4


def test_halton_is_stratified_in_each_base() -> None:
    """The first b**2 points have one point in each of the b**2 slices of the axis with base b."""
    points = Halton(4, np.random.default_rng(0)).points(0, 49)
    for j, base in enumerate((2, 3, 5, 7)):
        cells = np.floor(points[: base**2, j] * base**2)
        assert len(set(cells.tolist())) == base**2


def test_more_axes_than_sobol_has() -> None:
    space = Space({f"x{i}": Int(0, 1) for i in range(21_300)})
    units = QuasiSampler(space, GOAL, 0).points(0, 3)
    assert units.shape == (3, 21_300) and units.min() >= 0 and units.max() < 1


def test_unknown_sequence() -> None:
    with pytest.raises(SettingError, match="did you mean 'sobol'"):
        QuasiSampler(NESTED, GOAL, 0, "sobbol")


def test_grid_walks_the_grid_once() -> None:
    space = Space(lr=Float(1e-4, 1, log=True), n=Int(1, 50), opt=Choice({"a": Space(m=Float(0, 1)), "b": Space()}))
    for batch in (1, 5, 100):
        sampler, out = GridSampler(space, GOAL, 0, points=3, finer=0), list[Config]()
        while configs := sampler.ask(batch, [], len(out)):
            sampler.tell(trial(len(out) + i, c, 1.0) for i, c in enumerate(configs))
            out += configs
        assert sorted(map(config_key, out)) == sorted(map(config_key, space.grid(3)))


def test_grid_resumes_in_the_gaps() -> None:
    """Others evaluated some of its cells and points between; two cells are pending."""
    space = Space(x=Float(0, 1), y=Float(1e-3, 1, log=True))
    cells = list(space.grid(4))
    sampler = GridSampler(space, GOAL, 0, points=4, finer=0)
    sampler.tell([trial(0, cells[0], 1.0), trial(1, {"x": 0.2, "y": 0.5}, 1.0), trial(2, cells[5], 1.0)])
    got = sampler.ask(100, [cells[1], cells[7]], 3)
    left = [c for i, c in enumerate(cells) if i not in (0, 5, 1, 7)]
    assert sorted(map(config_key, got)) == sorted(map(config_key, left))


def test_the_first_points_of_a_grid_are_an_even_picture_of_all_axes() -> None:
    space = Space(lr=Float(1e-4, 1, log=True), n=Int(1, 20), d=Float(0, 1), a=Choice([1, 2, 3]), b=Choice(["u", "v"]))
    for seed in range(5):
        first = GridSampler(space, GOAL, seed).ask(30, [], 0)  # of 162
        for name, parameter in space.parameters.items():
            told = Counter(c[name] for c in first)
            rungs = parameter.ladder(3)
            assert set(told) == set(rungs) and min(told.values()) >= 20 / len(rungs), (seed, name, told)


def test_a_huge_grid_is_walked_and_not_built() -> None:
    space = Space({f"x{i}": Float(0, 1) for i in range(60)})
    assert len(GridSampler(space, GOAL, 0).ask(5, [], 0)) == 5


@pytest.mark.parametrize("points", [0, -1, 2.5, True])
def test_grid_needs_points(points: int) -> None:
    with pytest.raises(SettingError, match="points must be"):
        GridSampler(NESTED, GOAL, 0, points)


# what the base class does for all


def test_history_has_one_row_a_configuration() -> None:
    space = Space(x=Float(0, 1))
    sampler = RandomSampler(space, Goal("loss", "maximize"), 0)  # type: ignore[arg-type]
    failed = Trial(7, "r", {"x": 0.7}, status=Status.FAILED, failure=Failure(FailureKind.OOM_CPU, "no memory"))
    sampler.tell([failed, trial(5, {"x": 0.5}, 2.0, step=3), trial(1, {"x": 0.1}, 4.0)])
    sampler.tell([trial(3, {"x": 0.5}, 4.0, step=3), trial(9, {"x": 0.5}, 50.0, step=2)])
    h = sampler.history
    assert h.number.tolist() == [1, 3, 7]
    assert h.X[:, 0].tolist() == [0.1, 0.5, 0.7]
    assert h.y.tolist() == [-4.0, -3.0, np.inf]  # the mean of the trials that went furthest, as a loss
    assert h.budget.tolist() == [1, 3, 0]
    assert h.feasible.tolist() == [True, True, False]
    assert h.repeats.tolist() == [1, 2, 0]
    with pytest.raises(ValueError, match="read-only"):
        h.y[0] = 0.0


def test_history_of_several_goals_and_limits() -> None:
    """Means over the furthest trials, each goal as a loss; what lacks a metric counts as failed."""
    goal = Goal("score", "max", also=[Goal("size")], limits=[Limit("memory", most=10), Limit("recall", least=0.5)])
    sampler = RandomSampler(Space(x=Float(0, 1)), goal, 0)
    told = [(0.1, {"score": 1, "size": 5, "memory": 12, "recall": 0.75}), (0.2, {"score": 9, "size": 1, "memory": 1}),
            (0.1, {"score": 3, "size": 7, "memory": 6, "recall": 0.25})]  # fmt: skip
    sampler.tell(Trial(i, "r", {"x": x}, status=Status.COMPLETED, until=1, curve=(Measurement(1, m, 4.0 + 2 * i),))
                 for i, (x, m) in enumerate(told))  # fmt: skip
    h = sampler.history
    assert h.losses.tolist() == [[-2.0, 6.0], [np.inf, np.inf]] and h.y.tolist() == [-2.0, np.inf]
    assert h.excess.tolist() == [[-1.0, 0.0], [np.inf, np.inf]]
    assert h.feasible.tolist() == [True, False] and h.seconds.tolist() == [6.0, 6.0] and not h.plain
    assert len(h.at(h.feasible)) == 1 and RandomSampler(Space(x=Float(0, 1)), GOAL, 0).history.plain


def test_history_grows() -> None:
    sampler = RandomSampler(Space(x=Float(0, 1)), GOAL, 0)
    for i in range(100):
        sampler.tell([trial(99 - i, {"x": i / 100}, float(i))])
    assert sampler.history.number.tolist() == list(range(100))
    assert sampler.history.y.tolist() == [99.0 - i for i in range(100)]


def test_trials_of_another_space_keep_counting() -> None:
    sampler = RandomSampler(Space(x=Float(0, 1), kind=Choice(["a", "b"]), new=Int(1, 3, default=2)), GOAL, 0)
    sampler.tell([trial(0, {"x": 3.0, "kind": "a", "gone": 1}, 1.0), trial(1, {"x": 0.5, "kind": "c"}, 1.0)])
    assert sampler.history.X.tolist() == [[3.0, 0.25, 0.5]]


@pytest.mark.parametrize("name", ["random", "sobol"])
def test_the_last_free_configurations_are_found(name: str) -> None:
    """One axis is continuous below one of 200 options; the other 199 are used up."""
    options = {f"o{i}": Space() for i in range(199)} | {"last": Space(x=Float(0, 1))}
    space = Space(a=Choice(options))
    sampler = MAKES[name](space, GOAL, 0)
    sampler.tell(trial(i, {"a": f"o{i}"}, 1.0) for i in range(199))
    got = sampler.ask(20, [], 199)
    assert len({config_key(c) for c in got}) == 20 and all(c["a"] == "last" for c in got)


def test_a_large_finite_conditional_space_is_not_listed() -> None:
    below = {k: Space({f"n{i}": Int(0, 9) for i in range(12)}) for k in "pq"}
    space = Space(a=Choice(below))
    sampler = RandomSampler(space, GOAL, 0)
    assert len(sampler.ask(50, [], 0)) == 50
