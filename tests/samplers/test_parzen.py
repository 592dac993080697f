"""The matrix form of the Parzen estimators against the definition, term by term."""

import math

import numpy as np
import pytest
from scipy.stats import norm, truncnorm

from tunebook.samplers._kernels import Layout, _log_mass
from tunebook.samplers._parzen import Parzen, Points, _tail
from tunebook.space import Array, Choice, Float, Int, Parameter, Space

MIXED = Space(
    x=Float(0, 1),
    lr=Float(1e-4, 1, log=True),
    n=Int(1, 1000),
    k=Int(1, 12, log=True),
    size=Choice([1, 2, 4, 8], ordered=True),
    kind=Choice(["a", "b", "c"]),
)
NESTED = Space(
    x=Float(0, 1),
    kind=Choice({"a": Space(u=Float(0, 1), v=Int(1, 4)), "b": Space(w=Float(0, 1)), "c": Space()}),
    depth=Int(1, 3),
    second=Float(0, 1),
    conditions={"second": {"depth": [2, 3]}},
)


def some(space: Space, n: int, seed: int) -> Array:
    return space.snap(np.random.default_rng(seed).random((n, space.dim)))


def mixture(space: Space, n: int = 7, seed: int = 0) -> Parzen:
    w = np.random.default_rng(seed + 1).uniform(0.5, 1.5, n)
    return around(Layout(space), some(space, n, seed), w, 2.0)


def around(layout: Layout, X: Array, w: Array, sharper: float = 1.0) -> Parzen:
    return Parzen.around(layout, [X], [w], [sharper])


def component(p: Parameter, x: float, centre: float, s: float, n: int) -> float:
    """k_ij relative to the uniform density, from its definition."""
    if math.isnan(centre):
        return 1.0
    if p.unordered:
        return p.size * (float(x == centre) + 1 / (n + 1)) / (1 + p.size / (n + 1))
    if p.size == 0 or p.size > 64:
        return float(truncnorm.pdf(x, -centre / s, (1 - centre) / s, loc=centre, scale=s))
    low, high = (float(v[0]) for v in p.slices(np.array([x])))
    mass = norm.cdf(high, centre, s) - norm.cdf(low, centre, s)
    return float(mass / (norm.cdf(1, centre, s) - norm.cdf(0, centre, s)) / (high - low))


def by_definition(m: Parzen, space: Space, x: Array) -> float:
    total = 0.0
    for i, row in enumerate(m.X):
        active = [j for j in range(space.dim) if not math.isnan(x[j])]
        terms = (component(space.axes[j].parameter, x[j], row[j], m.s[0, j], len(m.X) - 1) for j in active)
        total += m.w[0, i] * math.prod(terms)
    return math.log(total)


def log_densities(m: Parzen, x: Array) -> Array:
    """Of the upper axes, and of the rest given these; (g, m)."""
    digits, out = m.layout.digits(x), []
    for row, told in zip(x, digits, strict=True):
        logs = m.upper_logs(told[None])
        rest = m.given(logs[0]).log_density(Points(row[None], told[None]))[:, 0]
        out.append(m.upper_density(logs)[:, 0] + rest)
    return np.array(out).T


def log_density(m: Parzen, x: Array) -> Array:
    return np.asarray(log_densities(m, x)[0])


def drawn(m: Parzen, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draws of the upper axes, then of the rest given these; and their log density."""
    if not m.layout.upper:
        points = m.sample(n, rng)
        return points.X, m.log_density(points)[0]
    kinds, many = np.unique(
        np.concatenate([m.sample_upper(1, rng) for _ in range(n // 200)]), axis=0, return_counts=True
    )
    X, density = [], []
    for digits, times in zip(kinds, many.tolist(), strict=True):
        logs = m.upper_logs(digits[None])
        given = m.given(logs[0])
        points = given.sample(200 * times, rng, digits)
        X.append(points.X)
        density.append(m.upper_density(logs)[0] + given.log_density(points)[0])
    return np.concatenate(X), np.concatenate(density)


@pytest.mark.parametrize("space", [MIXED, NESTED], ids=["mixed", "nested"])
def test_density_is_that_of_the_definition(space: Space) -> None:
    m = mixture(space)
    x = some(space, 30, seed=9)
    assert log_density(m, x) == pytest.approx([by_definition(m, space, row) for row in x], abs=2e-3)


def test_density_of_very_narrow_kernels() -> None:
    """Where the product of kernels overflows single precision."""
    space = Space({f"x{i}": Float(0, 1) for i in range(40)})
    m = around(Layout(space), np.full((200, 40), 0.5), np.ones(200), 8.0)
    x = np.array([np.full(40, 0.5), np.full(40, 0.505), np.full(40, 0.9)])
    assert log_density(m, x) == pytest.approx([by_definition(m, space, row) for row in x], abs=2e-3)


@pytest.mark.parametrize("space", [MIXED, NESTED], ids=["mixed", "nested"])
def test_samples_follow_the_density(space: Space) -> None:
    """The mean of 1/p over draws from p is the volume: 1. And draws are members of the space."""
    x, density = drawn(mixture(space), 100_000, np.random.default_rng(4))
    for part in (x[:200], x[-200:]):
        assert np.array_equal(space.snap(part), part, equal_nan=True)
    assert np.exp(-density).mean() == pytest.approx(1.0, abs=0.03)


def test_what_exists_is_what_the_space_says() -> None:
    x = some(NESTED, 50, seed=3)
    layout = Layout(NESTED)
    assert np.array_equal(layout.active(layout.digits(x)), ~np.isnan(x))


def test_samples_given_the_upper_axes_have_them() -> None:
    m = mixture(NESTED)
    upper = NESTED.encode([{"x": 0.5, "kind": "b", "kind.b.w": 0.2, "depth": 3, "second": 0.5}])
    digits = m.layout.digits(upper)
    x = m.given(m.upper_logs(digits)[0]).sample(200, np.random.default_rng(0), digits[0]).X
    assert {(c["kind"], c["depth"]) for c in NESTED.decode(x)} == {("b", 3)}
    assert len(np.unique(x[:, 0])) > 100


@pytest.mark.parametrize("space", [MIXED, NESTED], ids=["mixed", "nested"])
@pytest.mark.parametrize("counts", [(5, 9), (3, 0)])
def test_two_mixtures_are_those_that_they_are_alone(space: Space, counts: tuple[int, int]) -> None:
    many, sharper, layout = sum(counts), (1.0, 4.0), Layout(space)
    X, w = some(space, many, seed=2), np.random.default_rng(3).uniform(0.5, 1.5, many)
    parts = slice(0, counts[0]), slice(counts[0], many)
    alone = [around(layout, X[p], w[p], s) for p, s in zip(parts, sharper, strict=True)]
    both = Parzen.around(layout, [X[p] for p in parts], [w[p] for p in parts], sharper)
    x = some(space, 20, seed=9)
    assert log_densities(both, x) == pytest.approx(np.array([log_density(m, x) for m in alone]), abs=1e-4)
    upper = layout.digits(x)[0] if layout.upper else None
    draws = [m.sample(50, np.random.default_rng(1), upper).X for m in (alone[0], both)]
    assert np.array_equal(*draws, equal_nan=True)
    more = both.plus(x[1])
    assert log_densities(more, x)[0] == pytest.approx(log_densities(both, x)[0], abs=1e-4)
    assert log_densities(more, x)[1] == pytest.approx(log_density(alone[1].plus(x[1]), x), abs=1e-4)


def test_plus_is_around_with_one_more() -> None:
    m, x = mixture(MIXED), some(MIXED, 1, seed=8)
    more = m.plus(x[0])
    assert len(more.X) == len(m.X) + 1 == more.w.shape[1]
    assert more.w.sum() == pytest.approx(1.0) and more.w[0, -1] == more.w[0, -2]
    assert np.array_equal(more.X[-2], x[0]) and np.isnan(more.X[-1]).all()
    assert log_density(more, x)[0] > log_density(m, x)[0]


def test_an_observation_beyond_the_range_counts_less_the_farther_it_is() -> None:
    space = Space(x=Float(0, 1))
    weights = [around(Layout(space), np.array([[x], [0.5]]), np.ones(2)).w[0, 0] for x in (1.0, 1.1, 1.5, 50.0)]
    assert weights == sorted(weights, reverse=True)
    assert weights[0] == pytest.approx(1 / 3) and weights[-1] == pytest.approx(0.0)


def test_no_observations_is_the_uniform_density() -> None:
    m = around(Layout(MIXED), np.empty((0, MIXED.dim)), np.ones(0))
    points = m.sample(500, np.random.default_rng(0))
    assert m.log_density(points)[0] == pytest.approx(np.zeros(500))
    assert abs(np.nanmean(points.X[:, 0]) - 0.5) < 0.05


def test_single_precision_tail() -> None:
    z = np.linspace(0.0, 5.0, 1000, dtype=np.float32)
    assert _tail(z) == pytest.approx(norm.cdf(-z.astype(np.float64)), abs=5e-7)


def test_mass_is_exact_in_the_lower_tail() -> None:
    a, b = np.array([-40.0, -9.0, -1.0, -0.6]), np.array([-39.0, -8.0, 1.0, -0.5])
    exact = [norm.logcdf(-39.0), math.log(norm.cdf(-8) - norm.cdf(-9)), math.log(norm.cdf(1) - norm.cdf(-1)),
             math.log(norm.cdf(-0.5) - norm.cdf(-0.6))]  # fmt: skip
    assert _log_mass(a, b) == pytest.approx(exact, rel=1e-9)
