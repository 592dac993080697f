"""Fans: of which trials, where they open, and which way is up."""

import numpy as np
import pytest

from tunebook.report.foreseen import fans
from tunebook.trial import Direction, Goal, Measurement, Status, Trial

STEPS = 30


def trial(number: int, end: float, upto: int, status: Status, sign: int = 1) -> Trial:
    curve = tuple(Measurement(s, {"m": sign * (end + (1 - end) * s**-0.7)}) for s in range(1, upto + 1))
    return Trial(number, "r", {"x": number}, status=status, until=upto, curve=curve)


def study(sign: int = 1) -> list[Trial]:
    done = [trial(n, 0.2 + 0.02 * n, STEPS, Status.COMPLETED, sign) for n in range(8)]
    short = [trial(8 + n, end, 8, Status.PAUSED, sign) for n, end in enumerate((0.6, 0.15, 0.7, 0.3))]
    return [*done, *short, trial(12, 0.1, 8, Status.STOPPED, sign), trial(13, 0.1, 8, Status.FAILED, sign)]


@pytest.mark.parametrize("sign", [1, -1])
def test_the_best_unfinished_trials_have_fans(sign: int) -> None:
    goal = Goal("m", Direction.MINIMIZE if sign == 1 else Direction.MAXIMIZE)
    told = fans(study(sign), goal, STEPS)
    assert [s.name.split(",")[0] for s in told] == ["trial 9", "trial 11"]
    for series, end in zip(told, (0.15, 0.3), strict=True):
        assert series.x[0] == 8 and series.x[-1] == STEPS
        assert series.lower[0] == series.y[0] == series.upper[0]  # where it opens
        assert all(lo <= y <= hi for lo, y, hi in zip(series.lower, series.y, series.upper, strict=True))
        truth = sign * (end + (1 - end) * STEPS**-0.7)
        assert series.lower[-1] <= truth <= series.upper[-1]
        assert np.ptp([series.lower[-1], series.upper[-1]]) > 0.01


def test_no_fans_where_nothing_is_left_open_or_known() -> None:
    goal = Goal("m")
    assert fans([], goal, STEPS) == []
    assert fans(study()[:8], goal, STEPS) == []
    assert fans(study()[:2] + study()[8:9], goal, STEPS) == []
    odd = Trial(0, "r", {}, status=Status.PAUSED, until=3, curve=(Measurement(1, {"m": float("nan")}),))
    assert fans([odd, *study()[:8]], goal, STEPS) == []
