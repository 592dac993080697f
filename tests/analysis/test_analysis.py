"""Numbers from trials: rows, progress, curves, importance, slices, isolation, best of n, noise."""

import math

import numpy as np
import pytest

from tunebook.analysis.bootstrap import best_of, expected_best, gain_of_doubling, interval
from tunebook.analysis.curves import band, best_so_far, best_steps, curves, history, top
from tunebook.analysis.importance import importance, needed
from tunebook.analysis.isolation import isolation
from tunebook.analysis.noise import late, within
from tunebook.analysis.rows import tabulate
from tunebook.analysis.slices import slices
from tunebook.analysis.trend import slope, smooth, step_noise
from tunebook.errors import SettingError
from tunebook.space import Choice, Float, Int, Space
from tunebook.trial import Context, Failure, FailureKind, Goal, Measurement, Status, Trial

LOSS = Goal("loss")
ACC = Goal("acc", "maximize")
SPACE = Space(
    lr=Float(1e-4, 1e-1, log=True),
    units=Int(1, 8),
    idle=Float(0.0, 1.0),
    opt=Choice({"sgd": Space(momentum=Float(0.0, 0.99)), "adam": Space()}),
)


def trial(number, config, values, status=Status.COMPLETED, metric="loss", **more):
    curve = tuple(Measurement(k + 1, {metric: float(v)}, 2.0) for k, v in enumerate(values))
    return Trial(number, "r", config, status=status, until=len(values), curve=curve, **more)


def failed(number, config):
    return Trial(number, "r", config, status=Status.FAILED, failure=Failure(FailureKind.DIVERGED, "nan"))


def drawn(n, effect, seed=0, sd=0.0, space=SPACE):
    """Trials of random configurations whose loss is ``effect(code row)`` plus noise."""
    rng = np.random.default_rng(seed)
    configs = space.decode(rng.random((n, space.dim)))
    codes = space.encode(configs)
    return [trial(i, c, [effect(u) + sd * rng.normal()]) for i, (c, u) in enumerate(zip(configs, codes, strict=True))]


# rows


def test_rows_gather_repeats_and_leave_out_what_says_nothing():
    space = Space(x=Float(0.0, 1.0))
    a, b = {"x": 0.25}, {"x": 0.5}
    told = [
        trial(0, a, [1.0]),
        trial(1, a, [3.0], context=Context(seed=1)),
        trial(2, b, [0.0], context=Context(final=True)),
        trial(3, b, [5.0]),
        trial(4, {"x": 0.75}, [0.0], status=Status.RUNNING),
        failed(5, {"x": 1.0}),
    ]
    rows = tabulate(told, space, LOSS)
    assert rows.numbers == ((0, 1), (3,), (5,))
    assert rows.loss.tolist() == [2.0, 5.0, math.inf]
    assert rows.place.tolist() == [1.0, 2.0, 3.0]
    assert rows.best(5).tolist() == [0, 1]


def test_a_paused_trial_stands_behind_one_that_went_on_whatever_its_loss():
    space = Space(x=Float(0.0, 1.0))
    told = [
        trial(0, {"x": 0.1}, [0.1], status=Status.PAUSED),
        trial(1, {"x": 0.2}, [0.5, 0.4, 0.3]),
        trial(2, {"x": 0.3}, [0.2], status=Status.STOPPED),  # stopped for good: its loss is what it is
    ]
    assert tabulate(told, space, LOSS).place.tolist() == [3.0, 2.0, 1.0]


def test_rows_take_over_trials_of_an_earlier_wider_space():
    told = [trial(0, {"x": 2.0, "old": 1.0}, [1.0]), trial(1, {"x": 0.5, "old": 1.0}, [2.0])]
    rows = tabulate(told, Space(x=Float(0.0, 1.0), new=Int(1, 3)), LOSS)
    assert rows.X[:, 0].tolist() == [2.0, 0.5]
    assert rows.configs[0]["new"] == 2


def test_nothing_gives_nothing():
    assert len(tabulate([], SPACE, LOSS)) == 0
    assert importance([], SPACE, LOSS) == []
    assert best_so_far([], LOSS).best.shape == (0,)
    assert history([], LOSS) == []
    assert curves([], "loss").values.shape == (0, 0)
    assert band(curves([], "loss")).values.shape == (5, 0)
    assert [s.values for s in slices([], SPACE, LOSS)] == [()] * 5
    assert all(math.isnan(c.best) for c in isolation([], SPACE, LOSS, "lr"))
    assert gain_of_doubling([], LOSS) is None
    assert within([], LOSS).dof == 0
    assert top([], SPACE, LOSS, 3) == []


# progress and curves


def test_best_so_far_goes_the_way_of_the_goal_and_passes_over_failures():
    told = [
        failed(0, {"lr": 1.0}),
        trial(1, {"lr": 0.1}, [0.5], metric="acc"),
        trial(2, {"lr": 0.2}, [0.4], metric="acc"),
        trial(3, {"lr": 0.3}, [0.9], metric="acc"),
    ]
    got = best_so_far(told, ACC)
    assert np.isnan(got.best[0])
    assert got.best[1:].tolist() == [0.5, 0.5, 0.9]
    assert got.value[1:].tolist() == [0.5, 0.4, 0.9]
    assert got.seconds.tolist() == [0.0, 2.0, 4.0, 6.0]


def test_history_counts_the_seconds_to_each_improvement():
    told = [trial(0, {"x": 1}, [3.0, 2.0, 2.5]), trial(1, {"x": 2}, [4.0, 1.0])]
    assert history(told, LOSS) == [(2.0, 3.0), (4.0, 2.0), (10.0, 1.0)]


def test_curves_meet_on_common_steps_and_the_band_counts_who_is_there():
    told = curves([trial(0, {"x": 1}, [1.0, 2.0, 3.0]), trial(1, {"x": 2}, [3.0, math.inf])], "loss")
    assert told.steps.tolist() == [1, 2, 3]
    assert np.isnan(told.values[1, 1:]).all()
    spread = band(told, (0.5,))
    assert spread.values[0].tolist() == [2.0, 2.0, 3.0]
    assert spread.count.tolist() == [2, 1, 1]


def test_best_steps_are_those_of_the_best_checkpoint_even_if_the_last_counts():
    got = best_steps([trial(0, {"x": 1}, [3.0, 1.0, 2.0, 2.0])], Goal("loss", pick="last"))
    assert got.fraction.tolist() == [0.5]


def test_trend_figures_of_a_line_with_noise():
    rng = np.random.default_rng(0)
    steps = np.arange(400.0)
    curve = 5.0 - 0.01 * steps + 0.3 * rng.normal(size=400)
    assert step_noise(curve) == pytest.approx(0.3, rel=0.15)
    told = slope(steps, curve)
    assert told.value == pytest.approx(-0.01, rel=0.1)
    assert told.falls < 1e-6
    assert told.rises > 0.99
    assert smooth(np.array([1.0, 2.0, 6.0]), 3).tolist() == [1.5, 3.0, 4.0]
    assert math.isnan(step_noise(np.ones(3)))


# importance, slices, isolation


def test_importance_finds_what_matters_and_what_does_not():
    told = drawn(60, lambda u: 3.0 * (u[0] - 0.6) ** 2 + 0.4 * u[1], sd=0.02)
    got = {i.name: i for i in importance(told, SPACE, LOSS)}
    assert list(got)[:2] == ["lr", "units"]
    assert got["lr"].value > 0.5
    assert got["idle"].high < 0.05
    assert all(0.0 <= i.low <= i.value <= i.high <= 1.0 for i in got.values())


def test_importance_sees_a_pure_interaction():
    space = Space(a=Float(0.0, 1.0), b=Float(0.0, 1.0), c=Float(0.0, 1.0))
    told = drawn(80, lambda u: (u[0] - 0.5) * (u[1] - 0.5), space=space)
    got = {i.name: i for i in importance(told, space, LOSS)}
    assert min(got["a"].value, got["b"].value) > 0.5
    assert got["a"].main < 0.1
    assert got["c"].value < 0.05


def test_importance_of_a_conditional_axis_and_of_the_choice_above_it():
    told = drawn(80, lambda u: 0.5 if math.isnan(u[4]) else 2.0 * abs(u[4] - 0.3), sd=0.02)
    got = {i.name: i.value for i in importance(told, SPACE, LOSS)}
    assert max(got, key=lambda n: got[n]) == "opt.sgd.momentum"
    assert got["idle"] < 0.05


def test_importance_is_a_function_of_its_arguments_and_blind_to_failures():
    told = drawn(40, lambda u: u[0], sd=0.1)
    lost = [failed(100 + i, t.config | {"lr": 0.09 + 1e-4 * i}) for i, t in enumerate(told[:5])]
    assert importance(told, SPACE, LOSS) == importance([*told, *lost], SPACE, LOSS)


def test_importance_says_nothing_with_too_few_or_equal_trials():
    few = drawn(needed(SPACE) - 1, lambda u: u[0])
    assert importance(few, SPACE, LOSS) == []
    assert importance(drawn(40, lambda u: 1.0), SPACE, LOSS) == []
    assert importance(drawn(40, lambda u: 1.0, space=Space(x=3)), Space(x=3), LOSS) == []


def test_a_monotone_change_of_the_metric_changes_no_importance():
    told, bent = drawn(40, lambda u: u[0] + u[1]), drawn(40, lambda u: math.exp(5 * (u[0] + u[1])))
    assert importance(told, SPACE, LOSS) == importance(bent, SPACE, LOSS)


def test_slices_hold_the_rows_in_which_the_axis_exists():
    told = [*drawn(30, lambda u: u[0]), failed(30, SPACE.default)]
    got = {s.name: s for s in slices(told, SPACE, LOSS)}
    assert got["lr"].log and not got["units"].log
    assert len(got["lr"].values) == 31
    assert math.isnan(got["lr"].metric[-1])
    with_momentum = [t for t in told if "opt.sgd.momentum" in t.config]
    assert got["opt.sgd.momentum"].numbers == tuple(t.number for t in with_momentum)


def test_isolation_tells_which_option_is_best_and_counts_each_cell():
    told = drawn(60, lambda u: u[0] + (0.5 if math.isnan(u[4]) else 0.0))
    cells = isolation(told, SPACE, LOSS, "opt")
    assert [c.label for c in cells] == ["sgd", "adam"]
    assert sum(c.n for c in cells) == 60
    assert cells[0].wins > 0.95
    assert cells[0].low <= cells[0].best <= cells[0].high
    assert sum(c.wins for c in cells) == pytest.approx(1.0)


def test_isolation_is_fair_to_a_cell_with_fewer_trials():
    space = Space(opt=Choice(["a", "b"]), x=Float(0.0, 1.0))
    rng = np.random.default_rng(0)
    told = [trial(i, {"opt": "a" if i < 60 else "b", "x": i / 70}, [v]) for i, v in enumerate(rng.random(68))]
    a, b = isolation(told, space, LOSS, "opt")
    assert a.best < a.fair
    assert b.best == b.fair


def test_isolation_of_numbers_and_of_an_unknown_name():
    told = drawn(50, lambda u: u[0])
    assert [c.label for c in isolation(told, SPACE, LOSS, "units")] == [str(k) for k in range(1, 9)]
    cells = isolation(told, SPACE, LOSS, "lr", buckets=3)
    assert len(cells) == 3
    assert sorted(cells, key=lambda c: c.best) == cells
    with pytest.raises(SettingError, match="did you mean"):
        isolation(told, SPACE, LOSS, "unit")


# best of n, noise


def test_expected_best_agrees_with_brute_force():
    rng = np.random.default_rng(1)
    loss = np.sort(rng.random(9))
    drawn_without = [loss[rng.permutation(9)[:4]].min() for _ in range(20_000)]
    drawn_with = [loss[rng.integers(9, size=4)].min() for _ in range(20_000)]
    assert expected_best(loss, 4) == pytest.approx(np.mean(drawn_without), abs=0.005)
    assert expected_best(loss, 4, replace=True) == pytest.approx(np.mean(drawn_with), abs=0.005)
    assert expected_best(loss, 9) == loss[0]


def test_best_of_grows_with_n_in_the_direction_of_the_goal():
    got = best_of(list(np.random.default_rng(0).random(40)), ACC)
    assert [b.n for b in got] == [1, 2, 4, 8, 16, 32]
    assert sorted(b.median for b in got) == [b.median for b in got]
    assert all(b.worst <= b.poor <= b.median <= b.good <= b.best for b in got)


def test_the_gain_of_doubling_is_smaller_once_nothing_is_left_to_gain():
    rng = np.random.default_rng(0)
    open_end = gain_of_doubling(list(rng.normal(size=32)), LOSS)
    flat = gain_of_doubling([1.0] * 16 + [2.0] * 16, LOSS)
    assert open_end is not None and flat is not None
    assert open_end.gain > 0.05
    assert flat.gain < 1e-3


def test_interval_of_a_mean_holds_it():
    value, low, high = interval(list(np.random.default_rng(0).normal(3.0, 1.0, 100)))
    assert low < value < high
    assert low < 3.0 < high
    assert math.isnan(interval([])[0])


def test_pooled_noise_over_repeats():
    rng = np.random.default_rng(0)
    told = [
        trial(5 * i + k, {"x": i}, [10.0 * i + 0.5 * rng.normal()], context=Context(seed=k))
        for i in range(40)
        for k in range(5)
    ]
    got = within(told, LOSS)
    assert got.dof == 160
    assert got.low < 0.5 < got.high
    assert late([trial(0, {"x": 1}, [1.0, 1.0])], "loss")[0] != 0.0
