"""The Bayesian sampler: its law, and each piece of its mathematics against an independent computation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad

from tunebook.samplers._acquisition import Search, log_chance, log_ei
from tunebook.samplers._budget import level
from tunebook.samplers._embedding import Embedding
from tunebook.samplers._gp import Evidence, Posterior, Priors, fit, matern, posterior, squared_distances
from tunebook.samplers._layout import Layout
from tunebook.samplers._transforms import half_rank, likeliest_power, targets, warp, warp_slopes, yeo_johnson
from tunebook.samplers.base import History
from tunebook.samplers.gp import GPSampler, refit_size
from tunebook.samplers.quasi import QuasiSampler
from tunebook.space import Array, Choice, Config, Float, Int, Space
from tunebook.testing.sampler import NET, check_sampler
from tunebook.trial import Failure, FailureKind, Goal, Measurement, Status, Trial, config_key

GOAL = Goal("loss")
FLAT = Space({f"x{j}": Float(0, 1) for j in range(4)})
NESTED = Space(NET, conditions={"second": {"layers": [2, 3]}})


def test_keeps_the_law() -> None:
    check_sampler(GPSampler)


def trial(number: int, config: Config, loss: float, step: int = 1) -> Trial:
    if not math.isfinite(loss):
        failure = Failure(FailureKind.DIVERGED, "simulated")
        return Trial(number, "r", config, status=Status.FAILED, until=step, failure=failure)
    return Trial(number, "r", config, status=Status.COMPLETED, until=step, curve=(Measurement(step, {"loss": loss}),))


def bowl(units: Array) -> float:
    return float(np.sum((np.nan_to_num(units, nan=0.5) - 0.3) ** 2))


def drawn(space: Space, n: int, seed: int = 0) -> list[Trial]:
    configs = space.decode(np.random.default_rng(seed).random((n, space.dim)))
    return [trial(i, c, bowl(u)) for i, (c, u) in enumerate(zip(configs, space.encode(configs), strict=True))]


def data(space: Space, n: int, warped: bool = True) -> tuple[Priors, Array, Array, Array]:
    rng = np.random.default_rng(n)
    X = space.mask(rng.random((n, space.dim)))
    y = np.array([bowl(u) for u in X]) + 0.01 * rng.standard_normal(n)
    return Priors(Embedding(space), float(space.dim), warped), X, targets(y, False), 1.0 / rng.integers(1, 4, n)


@pytest.mark.parametrize("space", [FLAT, NESTED], ids=["flat", "conditional"])
@pytest.mark.parametrize("warped", [False, True])
def test_gradient_of_the_evidence(space: Space, warped: bool) -> None:
    priors, X, y, v = data(space, 25, warped)
    evidence = Evidence(priors, priors.embedding.inputs(X), y, v)
    theta = priors.start(-3.0) + 0.2 * np.random.default_rng(1).standard_normal(len(priors.mean))
    free = space.dim + 2 if not warped else len(theta)
    theta[free:] = 0.0
    step = 1e-5 * np.eye(len(theta))[:free]
    numeric = [(evidence(theta + h)[0] - evidence(theta - h)[0]) / 2e-5 for h in step]
    assert np.allclose(evidence(theta)[1][:free], numeric, rtol=1e-5, atol=1e-5)


def test_evidence_is_the_density_of_the_data() -> None:
    priors, X, y, v = data(NESTED, 15)
    x = priors.embedding.inputs(X)
    theta, other = priors.start(-2.0), priors.start(-4.0)
    gaps = []
    for t in (theta, other):
        model = posterior(priors.embedding, t, x, v)
        K, _ = matern(squared_distances(model.A, model.A), model.s2)
        K += np.diag(model.noise * v)
        prior = stats.norm.logpdf(t, priors.mean, priors.sd).sum()
        gaps.append(-stats.multivariate_normal.logpdf(y, np.zeros(15), K) - prior)
    told = [Evidence(priors, x, y, v)(t)[0] for t in (theta, other)]
    assert told[0] - told[1] == pytest.approx(gaps[0] - gaps[1], abs=1e-5)


def fitted(space: Space, n: int = 30) -> tuple[Posterior, Array, Array]:
    priors, X, y, v = data(space, n)
    x = priors.embedding.inputs(X)
    theta, _ = fit(priors, x, y, v, priors.start(-6.0), 15)
    return posterior(priors.embedding, theta, x, v).told(y), X, y


@pytest.mark.parametrize("space", [FLAT, NESTED], ids=["flat", "conditional"])
def test_gradient_of_log_ei(space: Space) -> None:
    model, X, y = fitted(space)
    assert model.shapes.any()
    labels = model.told((y > 0).astype(float))
    search = Search(Layout(space), model, float(y.min()), X, labels)
    X = search.layout.real(0.1 + 0.8 * np.random.default_rng(2).random((6, space.dim)))
    value, slopes = search.with_slopes(model.embedding.inputs(X))
    assert np.allclose(value, search.value(X))
    for k in range(model.embedding.p):
        near = []
        for h in (1e-6, -1e-6):
            x = model.embedding.inputs(X)
            x.t[:, k] += h
            near.append(search.with_slopes(x)[0])
        assert np.allclose(slopes[:, k], (near[0] - near[1]) / 2e-6, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mean", [-3.0, 0.0, 1.0, 4.0, 7.0])
def test_log_ei_is_the_logarithm_of_the_expected_improvement(mean: float) -> None:
    sd, best = 0.7, 0.5
    ei, _ = quad(lambda f: (best - f) * stats.norm.pdf(f, mean, sd), best - 12, best, epsabs=0, limit=200)
    value, by_mean, by_variance = log_ei(np.array([mean]), np.array([sd**2]), best)
    assert value[0] == pytest.approx(math.log(ei), abs=1e-6)
    # dEI/dmean = -Phi(z) and dEI/dvariance = phi(z) / (2 sd)
    z = (best - mean) / sd
    assert by_mean[0] == pytest.approx(-stats.norm.cdf(z) / ei, rel=1e-5)
    assert by_variance[0] == pytest.approx(stats.norm.pdf(z) / (2 * sd) / ei, rel=1e-5)


def test_log_ei_falls_without_end() -> None:
    """Where EI itself is 0 in floating point its logarithm still says which way is up."""
    far = np.array([20.0, 1e2, 1e4, 1.001e4, 1e6, 1e9])
    value, by_mean, _ = log_ei(far, np.ones(6), 0.0)
    assert np.all(np.diff(value) < 0) and np.all(np.isfinite(value))
    assert np.allclose(value, -0.5 * far**2 - 0.5 * math.log(2 * math.pi) - 2 * np.log(far), rtol=1e-4)
    assert np.allclose(by_mean, -far, rtol=1e-2)


def test_slopes_of_the_chance() -> None:
    mean, variance, h = np.array([-1.0, 0.3, 1.0, 40.0]), np.array([0.5, 1e-9, 1.0, 0.2]), 1e-6
    value, by_mean, by_variance = log_chance(mean, variance)
    assert np.all(value < 0) and np.all(np.isfinite(value))
    numeric = (log_chance(mean + h, variance)[0] - log_chance(mean - h, variance)[0]) / (2 * h)
    assert np.allclose(by_mean, numeric, rtol=1e-4)
    numeric = (log_chance(mean, variance + 1e-10)[0] - log_chance(mean, variance)[0]) / 1e-10
    assert np.allclose(by_variance, numeric, rtol=1e-2, atol=1e-2)


@given(st.lists(st.floats(-30, 30), min_size=3, max_size=20), st.sampled_from([-2.0, -0.4, 0.0, 1.0, 2.0, 3.0]))
@settings(max_examples=50, deadline=None)
def test_yeo_johnson_is_that_of_scipy(values: list[float], lam: float) -> None:
    y = np.array(values)
    assert np.allclose(yeo_johnson(y, lam), stats.yeojohnson(y, lmbda=lam), rtol=1e-7, atol=1e-7)


def test_the_power_is_near_the_likeliest() -> None:
    y = np.random.default_rng(0).gamma(0.5, size=300)
    assert likeliest_power(y) == pytest.approx(stats.yeojohnson_normmax(y), abs=0.25)


@given(st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=30), st.booleans())
@settings(max_examples=100, deadline=None)
def test_targets_keep_the_order(values: list[float], squash: bool) -> None:
    told = targets(np.array(values), squash)
    assert np.all(np.isfinite(told)) and abs(told).max() < 10 * math.sqrt(len(values))
    assert np.all(np.diff(told[np.argsort(values)]) >= -1e-9)


def test_only_the_bad_half_is_squashed() -> None:
    y = np.array([-2.0, -1.0, 0.0, 5.0, 1e6])
    told = half_rank(y)
    assert told[:3].tolist() == [-2.0, -1.0, 0.0]
    assert told[3:] == pytest.approx(stats.norm.ppf([0.7, 0.9]))


def test_slopes_of_the_warp() -> None:
    t = np.linspace(0.05, 0.95, 7)[:, None]
    a, b, h = np.array([0.6]), np.array([1.7]), 1e-6
    by_t, by_a, by_b = warp_slopes(t, a, b)
    assert np.allclose(by_t, (warp(t + h, a, b) - warp(t - h, a, b)) / (2 * h), rtol=1e-5)
    assert np.allclose(by_a, (warp(t, a * math.exp(h), b) - warp(t, a * math.exp(-h), b)) / (2 * h), rtol=1e-5)
    assert np.allclose(by_b, (warp(t, a, b * math.exp(h)) - warp(t, a, b * math.exp(-h))) / (2 * h), rtol=1e-5)
    assert np.allclose(warp(t, np.ones(1), np.ones(1)), t)


def test_what_is_inactive_is_as_far_from_every_value() -> None:
    space = Space(kind=Choice({"on": Space(x=Float(0, 1)), "off": Space()}))
    e = Embedding(space)
    X = space.mask(np.array([[0.75, 0.0], *[[0.25, x] for x in (0.0, 0.3, 1.0)]]))
    far = squared_distances(*[e.features(e.inputs(X), np.zeros((2, e.p)))] * 2)
    assert np.allclose(far[0, 1:], 2.0)
    assert far[1, 3] < 1.0


def test_believed_rows_leave_the_mean_and_lower_the_variance() -> None:
    model, _, y = fitted(NESTED)
    at = model.scaled(model.embedding.inputs(NESTED.mask(np.random.default_rng(5).random((20, NESTED.dim)))))
    more = model.extended(at[:3], np.ones(3))
    before, after = model.predict(at), more.predict(at)
    assert np.allclose(before[0], after[0])
    assert np.all(after[1] <= before[1] + 1e-12) and np.all(after[1][:3] < 0.9 * before[1][:3])
    # what is believed is what the whole model says when told its own predictions
    whole = more.told(np.append(y, before[0][:3]))
    assert np.allclose(whole.predict(at)[0], before[0], atol=1e-6)


def test_a_block_at_a_time_is_the_whole() -> None:
    priors, X, y, v = data(NESTED, 40)
    e, theta = priors.embedding, priors.start(-4.0)
    whole = posterior(e, theta, e.inputs(X), v).told(y)
    part = posterior(e, theta, e.inputs(X[:31]), v[:31])
    part = part.extended(part.scaled(e.inputs(X[31:])), v[31:]).told(y)
    at = whole.scaled(e.inputs(NESTED.mask(np.random.default_rng(6).random((9, NESTED.dim)))))
    assert all(np.allclose(a, b, atol=1e-8) for a, b in zip(whole.predict(at), part.predict(at), strict=True))


def test_repeats_count_as_less_noise() -> None:
    priors, X, y, _ = data(FLAT, 12)
    e, theta = priors.embedding, priors.start(-1.0)
    once, often = (posterior(e, theta, e.inputs(X), np.full(12, v)).told(y) for v in (1.0, 0.01))
    at = once.scaled(e.inputs(X))
    assert np.abs(often.predict(at)[0] - y).max() < 0.2 * np.abs(once.predict(at)[0] - y).max()


def test_the_default_comes_first_and_then_an_even_start() -> None:
    sampler = GPSampler(NESTED, GOAL, 4)
    assert sampler.ask(1, [], 0) == [NESTED.default]
    assert sampler.ask(3, [], 0)[0] == NESTED.default
    sampler.tell([trial(0, NESTED.default, 1.0)])
    assert sampler.ask(2, [], 1) == NESTED.decode(QuasiSampler(NESTED, GOAL, 4).points(1, 2))


@pytest.mark.parametrize("n", [20, 155, 410])
def test_what_is_cached_changes_nothing(n: int) -> None:
    """A sampler that lived through the study proposes what one does that is told all at once."""
    trials = drawn(NESTED, n)
    lived = GPSampler(NESTED, GOAL, 1)
    for first, last in zip((0, n - 14, n - 5, n - 1), (n - 14, n - 5, n - 1, n), strict=True):
        lived.tell(trials[first:last])
        lived.ask(2, [], last)
    fresh = GPSampler(NESTED, GOAL, 1)
    fresh.tell(trials)
    assert lived.ask(2, [], n) == fresh.ask(2, [], n)
    assert refit_size(n) <= n


def test_it_learns() -> None:
    """After 30 trials on a bowl, closer than the best of 2,000 random draws."""
    space = Space(x=Float(0, 1), y=Float(0, 1), n=Int(1, 9), kind=Choice({"a": Space(z=Float(0, 1)), "b": Space()}))
    sampler, losses = GPSampler(space, GOAL), []
    for i in range(30):
        config = sampler.ask(1, [], i)[0]
        losses.append(bowl(space.encode([config])[0]))
        sampler.tell([trial(i, config, losses[-1])])
    random = min(t.curve[-1].metrics["loss"] for t in drawn(space, 2000))
    assert min(losses) < random


def test_failures_are_avoided() -> None:
    """A third of the space fails, without a hint in the losses of the rest."""
    sampler, failed = GPSampler(FLAT, GOAL, 2), []
    for i in range(40):
        config = sampler.ask(1, [], i)[0]
        u = FLAT.encode([config])[0]
        loss = math.inf if u[0] > 2 / 3 else float((u[1:] - 0.4) @ (u[1:] - 0.4))
        failed.append(math.isinf(loss))
        sampler.tell([trial(i, config, loss)])
    assert sum(failed[20:]) <= 3  # at random, 7


def test_a_small_space_is_gone_through_best_first() -> None:
    space = Space(a=Int(1, 6), b=Int(1, 6))
    sampler, seen, losses = GPSampler(space, GOAL), set(), []
    for i in range(36):
        config = sampler.ask(1, [], i)[0]
        losses.append(float((config["a"] - 2) ** 2 + (config["b"] - 5) ** 2))
        seen.add(config_key(config))
        sampler.tell([trial(i, config, losses[-1])])
    assert len(seen) == 36 and not sampler.ask(1, [], 36)
    assert losses.index(0.0) < 12


def test_the_level_is_the_furthest_that_enough_came_to() -> None:
    n = 12
    budget = np.array([1] * 6 + [3] * 4 + [9] * 2)
    feasible = np.array([True] * 11 + [False])
    flat, once = np.zeros((n, 1)), np.ones(n, dtype=np.int64)
    history = History(np.arange(n), flat, flat, budget, feasible, once, np.zeros((n, 0)), np.zeros(n))
    assert [level(history, least) for least in (1, 2, 5, 6, 99)] == [9, 3, 3, 1, 1]
    assert level(history.at(slice(11, None)), 1) == 0


def test_trials_that_came_less_far_are_not_the_best() -> None:
    """Losses that rise with the step: the model does not take the lucky early ones for better."""
    trials = drawn(FLAT, 40)
    lucky = [t.config["x0"] > 0.6 for t in trials]
    losses = [-5.0 if short else t.curve[-1].metrics["loss"] for t, short in zip(trials, lucky, strict=True)]
    early = [trial(t.number, t.config, y, 1 if s else 9) for t, y, s in zip(trials, losses, lucky, strict=True)]
    sampler = GPSampler(FLAT, GOAL)
    sampler.tell(early)
    assert np.mean([c["x0"] for c in sampler.ask(6, [], 40)]) < 0.6
