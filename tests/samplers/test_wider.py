"""Several goals and limits in the GP sampler: the mathematics against its definition, and what is proposed."""

from collections.abc import Callable

import numpy as np
import pytest

from tunebook.pareto import front, hypervolume
from tunebook.samplers._wider import Array, Boxes, limit_targets, log_ehvi, log_within, scalarised
from tunebook.samplers.gp import GPSampler
from tunebook.samplers.nsga2 import NSGA2Sampler
from tunebook.samplers.tpe import TPESampler
from tunebook.space import Choice, Config, Float, Space
from tunebook.trial import Failure, FailureKind, Goal, Limit, Measurement, Status, Trial

TWO = Goal("loss", also=[Goal("size")])
CUBE = Space({f"x{i}": Float(0, 1) for i in range(4)})


def slopes_of(f: Callable[[Array], Array], at: Array, j: int, step: float = 1e-6) -> Array:
    up, down = at.copy(), at.copy()
    up[:, j] += step
    down[:, j] -= step
    return (f(up) - f(down)) / (2 * step)


@pytest.mark.parametrize("m", [2, 3])
def test_log_ehvi_is_the_mean_gain_of_hypervolume(m: int) -> None:
    rng = np.random.default_rng(m)
    Y = rng.random((6, m))
    region = Boxes.of(Y, np.ones(m))
    reference = region.high.max(axis=0)
    mean, variance = rng.random((5, m)), 0.1 * rng.random((5, m)) + 0.01
    told = np.exp(log_ehvi(mean, variance, region)[0])
    before = hypervolume(Y, reference)
    for i in range(3):
        draws = mean[i] + np.sqrt(variance[i]) * rng.standard_normal((1000, m))
        gains = [hypervolume(np.vstack([Y, y]), reference) - before for y in draws]
        assert told[i] == pytest.approx(np.mean(gains), abs=4 * np.std(gains) / np.sqrt(1000) + 1e-4)


@pytest.mark.parametrize("m", [2, 3])
def test_slopes_of_log_ehvi(m: int) -> None:
    """Also where the improvement is unlikely: forty standard deviations away the logarithm still tells the way."""
    rng = np.random.default_rng(m)
    region = Boxes.of(rng.random((5, m)), np.ones(m))
    mean = np.concatenate([rng.random((4, m)), 5.0 + rng.random((2, m))])
    variance = 0.02 * rng.random((6, m)) + 0.015
    value, by_mean, by_variance = log_ehvi(mean, variance, region)
    assert np.isfinite(value).all() and value[-1] < -300
    for j in range(m):
        assert by_mean[:, j] == pytest.approx(slopes_of(lambda a: log_ehvi(a, variance, region)[0], mean, j), rel=1e-4)
        numeric = slopes_of(lambda a: log_ehvi(mean, a, region)[0], variance, j)
        assert by_variance[:, j] == pytest.approx(numeric, rel=1e-3, abs=1e-6)


def test_many_points_are_thinned_to_the_ends_and_those_with_room() -> None:
    t = np.linspace(0, 1, 100)
    region = Boxes.of(np.column_stack([t, 1 - t]), np.ones(2))
    assert len(region.low) == 41
    assert region.high.max(axis=0) == pytest.approx([1.1, 1.1])


def test_the_chance_to_keep_a_limit() -> None:
    mean, variance = np.array([[-1.0], [0.5], [30.0]]), np.array([[0.5], [0.25], [1.0]])
    value, by_mean, by_variance = log_within(mean[:, 0], variance[:, 0], 0.5)
    assert np.exp(value[1]) == 0.5 and value[0] > value[1] > value[2] > -np.inf
    assert by_mean == pytest.approx(slopes_of(lambda a: log_within(a[:, 0], variance[:, 0], 0.5)[0], mean, 0), rel=1e-5)
    told = slopes_of(lambda a: log_within(mean[:, 0], a[:, 0], 0.5)[0], variance, 0)
    assert by_variance == pytest.approx(told, rel=1e-4, abs=1e-9)


def test_targets_of_a_limit_keep_the_sign() -> None:
    excess = np.array([-3.0, -0.1, 0.0, 0.2, 1e9])
    told, threshold = limit_targets(excess)
    assert ((told <= threshold) == (excess <= 0)).all() and (np.diff(told) > 0).all()
    assert abs(told.mean()) < 1e-12 and told.std() == pytest.approx(1.0)
    for same in (np.zeros(3), np.full(3, -2.0)):
        told, threshold = limit_targets(same)
        assert np.isfinite(told).all() and (told <= threshold).all()


def test_many_losses_as_one() -> None:
    Y = np.random.default_rng(0).random((50, 5))
    best = {int(np.argmin(scalarised(Y, np.random.default_rng(s)))) for s in range(20)}
    beaten = {i for i in range(50) if not front(np.vstack([Y[i], Y]))[0]}
    assert len(best) > 3 and not best & beaten


def search(
    make: type, goal: Goal, n: int, told: Callable[[Config], dict[str, float]], space: Space = CUBE
) -> list[Trial]:
    sampler, out = make(space, goal, 0), list[Trial]()
    while len(out) < n:
        configs = sampler.ask(2, [], len(out))
        new = []
        for i, config in enumerate(configs):
            metrics = told(config)
            failed = Failure(FailureKind.OOM_CPU, "") if not metrics else None
            curve = (Measurement(1, metrics),) if metrics else ()
            status = Status.FAILED if failed else Status.COMPLETED
            new.append(Trial(len(out) + i, "r", config, status=status, until=1, curve=curve, failure=failed))
        sampler.tell(new)
        out += new
    return out


def bow(config: Config) -> dict[str, float]:
    """The front is where x1 = x2 = x3 = 1/2."""
    x = np.array(list(config.values()), dtype=float)
    away = float(((x[1:] - 0.5) ** 2).sum())
    return {"loss": float(x[0] + away), "size": float((1 - x[0]) ** 2 + away)}


def test_gp_finds_the_front() -> None:
    reference = np.array([1.1, 1.1])
    volumes = {make: hypervolume(np.array([t.losses(TWO) for t in search(make, TWO, 40, bow)]), reference)
               for make in (GPSampler, TPESampler, NSGA2Sampler)}  # fmt: skip
    whole = 0.8  # about that of the whole front: 1.1^2 less what lies below the parabola
    assert volumes[GPSampler] > 0.97 * whole
    assert volumes[GPSampler] > max(volumes[TPESampler], volumes[NSGA2Sampler])


def test_gp_keeps_limits_and_avoids_failures() -> None:
    """The loss falls towards a corner that is beyond the limit, and one option always fails."""
    goal = Goal("loss", limits=[Limit("memory", most=500)])
    space = Space(x=Float(0, 1), y=Float(0, 1), kind=Choice(["a", "b", "c"]))

    def told(config: Config) -> dict[str, float]:
        x, y = float(config["x"]), float(config["y"])  # type: ignore[arg-type]
        return {} if config["kind"] == "c" else {"loss": 2 - x - y + (config["kind"] == "a"), "memory": 1000 * x * y}

    late = search(GPSampler, goal, 40, told, space)[20:]
    kept = [t for t in late if t.loss(goal) < np.inf]
    assert len(kept) >= 10 and sum(t.failure is not None for t in late) <= 3
    assert min(t.loss(goal) for t in kept) < 0.55  # 0.5 is the best: x = 1, y = 1/2 or the other way round


def test_gp_looks_for_what_keeps_the_limit_before_it_looks_for_more() -> None:
    goal = Goal("loss", limits=[Limit("memory", most=1)])

    def told(config: Config) -> dict[str, float]:
        x = np.array(list(config.values()), dtype=float)
        return {"loss": -float(x.sum()), "memory": 100 * float(((x - 0.15) ** 2).sum())}

    trials = search(GPSampler, goal, 40, told)
    assert sum(t.excess(goal)[0] <= 0 for t in trials[:10]) == 0 < sum(t.excess(goal)[0] <= 0 for t in trials)


def test_gp_takes_more_goals_than_boxes_are_made_for() -> None:
    goal = Goal("m0", also=[Goal(f"m{i}") for i in range(1, 5)])
    corners = np.eye(4)[:, :4]

    def told(config: Config) -> dict[str, float]:
        x = np.array(list(config.values()), dtype=float)
        far = [*((corners - x) ** 2).sum(1).tolist(), float((x**2).sum())]
        return {f"m{i}": v for i, v in enumerate(far)}

    late = search(GPSampler, goal, 30, told)[15:]
    assert np.mean([np.sort([t.losses(goal)]).sum() for t in late]) < 5.5
