"""Forecasts: what they say on curves of known ends, how often they are right, and what they refuse to say."""

import numpy as np
import pytest

from tunebook.schedulers.forecast import Curves, Forecast

STEPS = 40
Told = list[tuple[list[int], list[float]]]


def falling(end: float, rate: float = 0.5, steps: int = STEPS) -> list[float]:
    return [end + (1.0 - end) * t**-rate for t in range(1, steps + 1)]


def study(seed: int, n: int, noise: float = 0.003) -> np.ndarray:
    """Curves (n, STEPS) of three kinds, as tunings have them: power laws, exponentials, some that blow up."""
    rng = np.random.default_rng(seed)
    t = np.arange(1, STEPS + 1)
    out = []
    for _ in range(n):
        end, rate = rng.uniform(0.1, 0.6), rng.uniform(0.2, 1.0)
        curve = end + (1 - end) * (t**-rate if rng.random() < 0.5 else np.exp(-rate * t / 4))
        if rng.random() < 0.1:
            curve = np.where(t > rng.integers(2, STEPS), 1.2, curve)
        out.append(curve + noise * rng.standard_normal(STEPS))
    return np.array(out)


def cut(curve: list[float], at: int) -> tuple[list[int], list[float]]:
    return list(range(1, at + 1)), list(curve[:at])


def test_where_others_went_to_the_end_it_says_what_they_did() -> None:
    """Of curves that agree up to step 10, those of a study that turn there turn in its forecasts."""
    late = [[*falling(0.3)[:20], *np.linspace(0.45, 0.05, STEPS - 20)] for _ in range(12)]
    steady = [falling(0.3 + 0.001 * i) for i in range(12)]
    said = []
    for others in (late, steady):
        curves = Curves([*(cut(c, STEPS) for c in others), cut(falling(0.3), 10)], STEPS)
        said.append(curves.forecast(12).quantile(0.5))
    assert said[0] < 0.15
    assert abs(said[1] - falling(0.3)[-1]) < 0.03


def test_intervals_cover_and_predictions_beat_the_last_value() -> None:
    """50 curves at a third, 10 of them known to the end: 90 % intervals cover about 90 %; errors are smaller."""
    inside, error, naive = [], [], []
    for seed in range(12):
        table = study(seed, 50)
        curves = Curves([cut(c, STEPS if i < 10 else STEPS // 3) for i, c in enumerate(table.tolist())], STEPS)
        for i in range(10, 50):
            told = curves.forecast(i)
            inside.append(told.quantile(0.05) <= table[i, -1] <= told.quantile(0.95))
            error.append(abs(told.quantile(0.5) - table[i, -1]))
            naive.append(abs(table[i, STEPS // 3 - 1] - table[i, -1]))
    assert 0.85 <= np.mean(inside) <= 0.96
    assert np.median(error) < 0.5 * np.median(naive)


def test_it_knows_less_early() -> None:
    table = study(3, 30).tolist()

    def width(done: int, at: int) -> float:
        told = Curves([cut(c, STEPS if i < done else at) for i, c in enumerate(table)], STEPS)
        return float(np.mean([told.forecast(i).sd for i in range(20, 30)]))

    assert width(20, 25) < 0.7 * width(20, 5)
    assert width(0, 25) < 0.7 * width(0, 5)


def test_scale_and_shift_do_not_matter() -> None:
    table = study(4, 20)
    told = [
        Curves([cut(c, STEPS if i < 8 else 12) for i, c in enumerate(t.tolist())], STEPS).forecast(15)
        for t in (table, 1000 * table - 77)
    ]
    np.testing.assert_allclose(1000 * told[0].values - 77, told[1].values, rtol=1e-6)


def test_nobody_is_promised_what_nobody_reached() -> None:
    """A curve that falls steeply is not carried on to where a power law would lead."""
    steep = [1.0, 0.9, 0.7, 0.4, 0.2]
    curves = Curves([cut(falling(0.15), 20), cut(falling(0.3), STEPS), (list(range(1, 6)), steep)], STEPS)
    assert curves.forecast(2).quantile(0.05) > -0.15


def test_one_curve_alone_and_odd_values() -> None:
    alone = Curves([cut(falling(0.2), 3)], STEPS).forecast(0)
    assert alone.sd > 0.01 and alone.quantile(0.5) < falling(0.2)[2]
    flat = Curves([([1], [0.5])], STEPS).forecast(0)
    assert np.isfinite(flat.values).all() and flat.weights.sum() == pytest.approx(1.0)
    wild = Curves([([1, 2, 3], [0.5, float("nan"), float("inf")]), ([2, 4], [1e30, 2e30]), ([], [])], STEPS)
    assert np.isfinite(wild.forecast(0).values).all()


def test_at_the_end_there_is_nothing_to_foresee() -> None:
    told = Curves([cut(falling(0.2), STEPS)], STEPS).forecast(0)
    assert told.mean == falling(0.2)[-1] and told.sd == 0
    assert Curves([cut(falling(0.2), STEPS)], STEPS).forecast(0, step=10).sd > 0  # as it was seen then


def test_rare_reports_are_read_between() -> None:
    whole, rare = falling(0.2), falling(0.2)
    every = Curves([cut(whole, 20), cut(falling(0.4), STEPS)], STEPS).forecast(0)
    some = Curves([(list(range(4, 21, 4)), rare[3:20:4]), cut(falling(0.4), STEPS)], STEPS).forecast(0)
    assert some.quantile(0.5) == pytest.approx(every.quantile(0.5), abs=0.05)


def test_quantiles_and_probabilities() -> None:
    told = Forecast(np.array([0.0, 1.0, 2.0, 3.0]), np.full(4, 0.25))
    assert told.mean == 1.5 and told.quantile(0.5) == 1.5
    assert told.below(-1) == 0 and told.below(4) == 1 and told.below(1.5) == pytest.approx(0.5)
