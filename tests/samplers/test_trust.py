"""The local arm: the model, the region as a fold over the history, and what it is worth."""

import numpy as np
import pytest

from tunebook.samplers import _trust
from tunebook.samplers._trust import FIRST, GROW, SHRINK, WIDTHS, Region, due, quadratic, region, step
from tunebook.samplers.gp import GPSampler
from tunebook.space import Array, Float, Int, Space
from tunebook.trial import Goal, Measurement, Status, Trial

RNG = np.random.default_rng(3)
TURN = np.linalg.qr(RNG.standard_normal((4, 4)))[0]
H = TURN @ np.diag([1.0, 3.0, 10.0, 100.0]) @ TURN.T
LEAST = np.array([0.3, 0.6, 0.45, 0.7])


def ellipsoid(X: Array) -> Array:
    return np.asarray(0.5 * np.einsum("ij,jk,ik->i", X - LEAST, H, X - LEAST))


def test_model_of_a_quadratic_is_that_quadratic() -> None:
    X = LEAST + 0.05 * RNG.standard_normal((40, 4))
    y = ellipsoid(X)
    best = int(np.argmin(y))
    g, curvature = quadratic(X, y, best, 0.2)
    true = 0.2 * H @ (X[best] - LEAST)
    scale = max(np.abs(true).max(), 0.04 * np.abs(H).max())
    assert np.allclose(g, true / scale, atol=0.01)
    assert np.allclose(curvature, 0.04 * H / scale, atol=0.01)


def test_few_values_give_no_more_curvature_than_slope() -> None:
    """d + 1 values fit many quadratics: that with the slopes of the plane through them, and as little else."""
    X = 0.5 + 0.1 * np.vstack([np.zeros(4), np.eye(4)])
    slope = np.array([1.0, -2.0, 3.0, -4.0])
    g, curvature = quadratic(X, (X - 0.5) @ slope, 0, 0.1)
    assert np.allclose(g / g[0], slope) and np.abs(curvature).max() <= np.abs(g).max() * (1 + 1e-9)


def test_step_goes_where_the_model_is_least() -> None:
    X = np.clip(LEAST + 0.2 * np.random.default_rng(5).standard_normal((40, 4)), 0, 1)
    y = ellipsoid(X)
    at = Region(int(np.argmin(y)), 0.4, 0.5, 0.5)
    found = step(X, y, at, np.empty((0, 4)), np.random.default_rng(0))
    assert found is not None and np.allclose(found, LEAST, atol=0.01)
    small = step(X, y, Region(at.best, 0.01, 0.5, 0.5), np.empty((0, 4)), np.random.default_rng(0))
    assert small is not None and np.abs(small - X[at.best]).max() <= 0.01 + 1e-12


def test_a_batch_looks_nearer_and_farther() -> None:
    X = np.random.default_rng(6).random((20, 4))
    y = X @ np.array([1.0, 2.0, 3.0, 4.0])
    at = Region(int(np.argmin(y)), 0.1, 0.5, 0.5)
    waiting = np.empty((0, 4))
    sizes = []
    for _ in WIDTHS:
        found = step(X, y, at, waiting, np.random.default_rng(0))
        assert found is not None and found.min() >= 0
        sizes.append(float(np.abs(found - X[at.best]).max()))
        waiting = np.concatenate([waiting, X[at.best][None]])
    assert all(s <= w * 0.1 + 1e-12 for s, w in zip(sizes, WIDTHS, strict=True)) and sizes[3] < sizes[0]
    assert step(X, y, at, waiting, np.random.default_rng(0)) is None


def test_no_step_from_beyond_the_space() -> None:
    X = np.array([[1.2, 0.5], [0.5, 0.5], [0.6, 0.1]])
    at = Region(0, 0.1, 0.5, 0.5)
    assert step(X, np.arange(3.0), at, np.empty((0, 2)), np.random.default_rng(0)) is None


def test_region_follows_from_the_history() -> None:
    X = np.array([[0.5], [0.9], [0.5 + 0.9 * FIRST], [0.5], [0.1]])
    y = np.array([1.0, 2.0, 0.5, 0.7, 0.1])
    start = region(X[:2], y[:2], 2)
    assert (start.best, start.radius) == (0, FIRST)
    grown = region(X[:3], y[:3], 2)
    assert (grown.best, grown.radius) == (2, min(GROW * FIRST, _trust.WIDEST)) and grown.inside > start.inside
    shrunk = region(X[:4], y[:4], 2)
    assert (shrunk.best, shrunk.radius) == (2, SHRINK * grown.radius) and shrunk.inside < grown.inside
    moved = region(X, y, 2)
    assert moved.best == 4 and moved.radius == max(shrunk.radius, FIRST) and moved.outside > shrunk.outside


def test_whose_turn_it_is() -> None:
    pays, does_not = Region(0, 0.1, 0.5, 0.2), Region(0, 0.1, 0.2, 0.5)
    assert [due(pays, n) for n in range(4)] == [False, True, True, True]
    assert [due(does_not, n) for n in range(4)] == [False, False, True, False]
    assert not any(due(Region(0, 1e-9, 0.5, 0.2), n) for n in range(4))


FLOATS = Space({f"x{j}": Float(0, 1) for j in range(4)})


@pytest.mark.parametrize("space", [FLOATS, FLOATS.updated({"x1": Int(0, 10_000)})], ids=["floats", "an integer"])
def test_a_narrow_valley_is_followed(space: Space) -> None:
    """Condition 100 and turned."""
    sampler, best = GPSampler(space, Goal("loss"), 0), np.inf
    for i in range(40):
        config = sampler.ask(1, [], i)[0]
        loss = float(ellipsoid(space.encode([config]))[0])
        best = min(best, loss)
        curve = (Measurement(1, {"loss": loss}),)
        sampler.tell([Trial(i, "r", config, status=Status.COMPLETED, until=1, curve=curve)])
    assert best < 1e-3
