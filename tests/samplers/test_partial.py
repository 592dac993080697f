"""Losses of trials that were cut short, carried to the end."""

from dataclasses import replace

import numpy as np
import pytest

from tunebook.samplers._partial import carried, levels
from tunebook.samplers.gp import GPSampler
from tunebook.samplers.random import RandomSampler
from tunebook.space import Float, Space
from tunebook.trial import Goal, Measurement, Status, Trial

NAN = np.nan
SPACE = Space(x=Float(0, 1))


def test_what_all_gain_is_added() -> None:
    """All that went on gained 0.2: so will the others, and the order of all is kept."""
    first = np.linspace(0.9, 0.5, 9)
    at = np.column_stack([first, np.where(first < 0.7, first - 0.2, NAN)])
    np.testing.assert_allclose(carried(at), first - 0.2, atol=1e-12)


def test_nobody_who_stayed_behind_passes_for_the_best_because_others_went_on() -> None:
    """Half of the losses are left after each level. Seen at its furthest step alone, a promoted trial looks far better
    than one that was hardly worse; carried on, they are as close as they are."""
    first = np.linspace(1.0, 0.5, 30)
    second = np.where(np.arange(30) >= 20, first / 2, NAN)
    third = np.where(np.arange(30) >= 27, first / 4, NAN)
    ends = carried(np.column_stack([first, second, third]))
    assert (np.diff(ends) < 0).all()
    np.testing.assert_allclose(ends[27:], third[27:])
    assert ends[19] < 1.5 * first[19] / 4


def test_a_level_that_says_nothing_flattens_the_order_of_those_behind() -> None:
    rng = np.random.default_rng(0)
    first, luck = rng.random(60), rng.random(60)
    onwards = first < 0.5
    ends = carried(np.column_stack([first, np.where(onwards, luck, NAN)]))
    assert np.ptp(ends[~onwards]) < 0.75 * np.ptp(first[~onwards])
    np.testing.assert_allclose(ends[onwards], luck[onwards])


def test_few_who_went_on_say_little_about_the_slope() -> None:
    """Two trials that changed places: the order of the others stays nearly what it was."""
    at = np.array([[0.1, 0.5], [0.2, 0.1], *([0.3 + 0.1 * i, NAN] for i in range(6))])
    ends = carried(at)
    assert np.ptp(ends[2:]) > 0.4 * np.ptp(at[2:, 0])


def test_nothing_in_common_counts_as_at_best_median() -> None:
    at = np.array([[-5.0, NAN], [-4.0, NAN], [NAN, 1.0], [NAN, 2.0], [NAN, 3.0]])
    assert carried(at).tolist() == [2.0, 3.0, 1.0, 2.0, 3.0]


def test_gaps_and_empty_rows() -> None:
    ends = carried(np.array([[0.5, NAN, 0.3], [0.6, 0.5, NAN], [NAN, NAN, NAN], [0.7, NAN, NAN]]))
    assert ends[0] == 0.3 and np.isnan(ends[2]) and np.isfinite(ends[[1, 3]]).all()
    assert carried(np.full((3, 2), 0.5)).tolist() == [0.5] * 3


def test_levels_are_where_trials_were_left() -> None:
    assert levels(np.array([9, 3, 3, 27, 0, 9])).tolist() == [3, 9, 27]
    many = levels(np.arange(1, 200))
    assert len(many) == 8 and many[-1] == 199


def told(number: int, *losses: float, status: Status = Status.PAUSED, metric: str = "loss") -> Trial:
    curve = tuple(Measurement(i + 1, {metric: v}) for i, v in enumerate(losses))
    return Trial(number, "r", {"x": number / 100}, status=status, until=len(losses), curve=curve)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_samplers_history_has_the_ends(sign: int) -> None:
    goal = Goal("loss", "minimize" if sign == 1 else "maximize")  # type: ignore[arg-type]
    sampler = RandomSampler(SPACE, goal)
    curves = [[0.9 - 0.05 * n, *([0.6 - 0.05 * n] if n > 3 else [])] for n in range(8)]
    sampler.tell(told(n, *(sign * v for v in c)) for n, c in enumerate(curves))
    np.testing.assert_allclose(sampler.history.ends, 0.6 - 0.05 * np.arange(8), atol=1e-9)
    np.testing.assert_allclose(sampler.history.y[:4], 0.9 - 0.05 * np.arange(4))
    # one of them goes on after all, and another fails
    sampler.tell([told(0, sign * 0.9, sign * 0.1), told(1, sign * 0.85, status=Status.FAILED)])
    assert sampler.history.ends[0] == pytest.approx(0.1) and sampler.history.ends[1] == np.inf


def test_told_at_once_or_one_by_one_is_the_same() -> None:
    trials = [told(n, *[0.5 - 0.01 * n, 0.4 - 0.02 * n, 0.3][: 1 + n % 3]) for n in range(12)]
    one, other = RandomSampler(SPACE, Goal("loss")), RandomSampler(SPACE, Goal("loss"))
    one.tell(trials)
    for t in trials:
        other.tell([t])
        _ = other.history
    np.testing.assert_array_equal(one.history.ends, other.history.ends)


def test_the_gp_goes_on_exploring_while_trials_are_cut_short() -> None:
    """Short trainings that rise towards x = 1: a model that believed them would look there and nowhere else."""
    sampler = GPSampler(SPACE, Goal("loss"))
    whole = GPSampler(SPACE, Goal("loss"))
    sampler.tell(replace(told(n, 1.0 - n / 100, *([0.5] if n > 38 else [])), config={"x": n / 40}) for n in range(40))
    whole.tell(replace(told(n, 1.0 - n / 100), config={"x": n / 40}) for n in range(40))
    far = [[float(s.ask(1, [], n)[0]["x"]) < 0.6 for n in range(40, 60)] for s in (sampler, whole)]  # type: ignore[arg-type]
    assert 2 <= sum(far[0]) <= 5 and sum(far[1]) == 0
