"""The matrix form of the Parzen estimators against the definition, term by term."""

import math

import numpy as np
import pytest
from scipy.stats import norm, truncnorm

from tunebook.samplers._parzen import Layout, Parzen, _log_mass
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
    return Parzen.around(Layout(space), some(space, n, seed), w, sharper=2.0)


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
    total = m.w[-1]
    for i, row in enumerate(m.X):
        active = [j for j in range(space.dim) if not math.isnan(x[j])]
        terms = (component(space.axes[j].parameter, x[j], row[j], m.s[j], len(m.X)) for j in active)
        total += m.w[i] * math.prod(terms)
    return math.log(total)


@pytest.mark.parametrize("space", [MIXED, NESTED], ids=["mixed", "nested"])
def test_density_is_that_of_the_definition(space: Space) -> None:
    m = mixture(space)
    for x in some(space, 30, seed=9):
        features = m.layout.features(x[None])
        everything = np.ones(features.shape[1], dtype=bool)
        assert m.log_density(features, everything)[0] == pytest.approx(by_definition(m, space, x), abs=2e-3)


@pytest.mark.parametrize("space", [MIXED, NESTED], ids=["mixed", "nested"])
def test_density_integrates_to_one(space: Space) -> None:
    m = mixture(space)
    features = m.layout.features(space.mask(np.random.default_rng(3).random((200_000, space.dim))))
    density = np.exp(m.log_density(features, np.ones(features.shape[1], dtype=bool)))
    assert density.mean() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("space", [MIXED, NESTED], ids=["mixed", "nested"])
def test_samples_follow_the_density(space: Space) -> None:
    """The mean of 1/p over draws from p is the volume: 1. And draws are members of the space."""
    m = mixture(space)
    x = m.sample(100_000, np.random.default_rng(4))
    assert np.array_equal(space.snap(x[:200]), x[:200], equal_nan=True)
    features = m.layout.features(x)
    inverse = np.exp(-m.log_density(features, np.ones(features.shape[1], dtype=bool)))
    assert inverse.mean() == pytest.approx(1.0, abs=0.03)


def test_joint_is_upper_times_the_rest_given_the_upper() -> None:
    m = mixture(NESTED)
    above = m.layout.above
    for x in some(NESTED, 20, seed=5):
        f = m.layout.features(x[None])
        parts = m.log_density(f, above)[0] + m.given(f[0]).log_density(f, ~above)[0]
        assert parts == pytest.approx(by_definition(m, NESTED, x), abs=2e-3)


def test_samples_given_the_upper_axes_have_them() -> None:
    m = mixture(NESTED)
    upper = NESTED.encode([{"x": 0.5, "kind": "b", "kind.b.w": 0.2, "depth": 3, "second": 0.5}])[0]
    x = m.given(m.layout.features(upper[None])[0]).sample(200, np.random.default_rng(0), upper)
    assert {(c["kind"], c["depth"]) for c in NESTED.decode(x)} == {("b", 3)}
    assert len(np.unique(x[:, 0])) > 100


def test_plus_is_around_with_one_more() -> None:
    m, x = mixture(MIXED), some(MIXED, 1, seed=8)[0]
    more = m.plus(x)
    assert len(more.X) == len(m.X) + 1 == len(more.w) - 1
    assert more.w.sum() == pytest.approx(1.0) and more.w[-2] == more.w[-1]
    f = m.layout.features(x[None])
    part = np.ones(f.shape[1], dtype=bool)
    assert more.log_density(f, part)[0] > m.log_density(f, part)[0]


def test_an_observation_beyond_the_range_counts_less_the_farther_it_is() -> None:
    space = Space(x=Float(0, 1))
    weights = [Parzen.around(Layout(space), np.array([[x], [0.5]]), np.ones(2)).w[0] for x in (1.0, 1.1, 1.5, 50.0)]
    assert weights == sorted(weights, reverse=True)
    assert weights[0] == pytest.approx(1 / 3) and weights[-1] == pytest.approx(0.0)


def test_no_observations_is_the_uniform_density() -> None:
    m = Parzen.around(Layout(MIXED), np.empty((0, MIXED.dim)), np.ones(0))
    x = m.sample(500, np.random.default_rng(0))
    f = m.layout.features(x)
    assert m.log_density(f, np.ones(f.shape[1], dtype=bool)) == pytest.approx(np.zeros(500))
    assert abs(np.nanmean(x[:, 0]) - 0.5) < 0.05


def test_mass_is_exact_in_both_tails() -> None:
    a, b = np.array([-40.0, -1.0, 0.5, 8.0, 30.0]), np.array([-39.0, 1.0, 0.6, 9.0, 31.0])
    exact = [norm.logcdf(-39.0), math.log(norm.cdf(1) - norm.cdf(-1)), math.log(norm.cdf(0.6) - norm.cdf(0.5)),
             math.log(norm.sf(8) - norm.sf(9)), norm.logsf(30.0)]  # fmt: skip
    assert _log_mass(a, b) == pytest.approx(exact, rel=1e-9)
