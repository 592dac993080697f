"""Stops: each law of theirs on small curves, alone and beside a scheduler that plans."""

from collections.abc import Callable
from functools import partial

import pytest

from tunebook.errors import SettingError
from tunebook.schedulers import SCHEDULERS, scheduler_named
from tunebook.schedulers.base import Resume, Scheduler, Verdict
from tunebook.schedulers.halving import HalvingScheduler
from tunebook.schedulers.stops import Combined, DivergenceStop, ForecastStop, MedianStop, PatienceStop, PlateauStop
from tunebook.testing.scheduler import Make, check_scheduler, simulate
from tunebook.trial import Direction, Goal, Measurement, Status, Trial

GOAL = Goal("loss")
GO, STOP = Verdict.GO, Verdict.STOP
MAKES: dict[str, Make] = {
    "average": MedianStop,
    "point, at once": partial(MedianStop, form="point", least=1, first=1),
    "patience": PatienceStop,
    "plateau": PlateauStop,
    "divergence": DivergenceStop,
    "forecast": ForecastStop,
    "all in halving": lambda goal, steps: scheduler_named("halving+divergence+patience+plateau+median", goal, steps),
}


@pytest.mark.parametrize("name", MAKES)
def test_keeps_the_law(name: str) -> None:
    check_scheduler(MAKES[name])


def run(number: int, *losses: float, status: Status = Status.RUNNING, every: int = 1) -> Trial:
    curve = tuple(Measurement(every * (i + 1), {"loss": x}) for i, x in enumerate(losses))
    return Trial(number, "r", {"x": number}, status=status, until=99, curve=curve)


def done(number: int, *losses: float) -> Trial:
    return run(number, *losses, status=Status.COMPLETED)


def test_median_average_is_lenient_where_curves_fall() -> None:
    """At step 3 the completed one had 3; its running average is 6. A trial at 5 is stopped by the one form only."""
    others = [done(n, 9, 6, 3, 1) for n in range(5)]
    late = run(9, 5, 5, 5)
    average, point = (MedianStop(GOAL, 4, form=f, first=1) for f in ("average", "point"))
    assert average.judge(late, [*others, late]) is GO
    assert point.judge(late, [*others, late]) is STOP
    worse = run(9, 7, 7, 7)
    assert average.judge(worse, [*others, worse]) is STOP
    assert average.judge(run(9, 7, 7, 6), others) is GO  # as good as the median


def test_median_waits_for_enough_completed_trials_and_for_the_first_step() -> None:
    stop = MedianStop(GOAL, 9, least=3, first=2)
    bad = run(9, 9, 9)
    stopped, failed = run(5, 1, 1, status=Status.STOPPED), run(6, 1, 1, status=Status.FAILED)
    assert stop.judge(bad, [done(0, 1, 1), done(1, 1, 1), stopped, failed, bad]) is GO
    three = [done(n, 1, 1) for n in range(3)]
    assert stop.judge(bad, [*three, bad]) is STOP
    assert stop.judge(run(9, 9), three) is GO
    assert stop.judge(run(9, *[9] * 9), three) is GO  # at the last step there is nothing to save


def test_median_judges_by_the_best_and_knows_the_direction() -> None:
    stop = MedianStop(Goal("loss", Direction.MAXIMIZE), 9, least=1, first=1)
    assert stop.judge(run(9, 0.9, 0.1), [done(0, 0.5, 0.5)]) is GO
    assert stop.judge(run(9, 0.4, 0.1), [done(0, 0.5, 0.5)]) is STOP


def test_patience_counts_steps_and_not_measurements() -> None:
    stop = PatienceStop(GOAL, 40, patience=10, first=1)
    assert stop.judge(run(0, 3, 2, 2, every=5), []) is GO  # best at 10, now 15
    assert stop.judge(run(0, 3, 2, 2, 2, every=5), []) is STOP
    assert PatienceStop(GOAL, 40, patience=3, delta=0.5, first=1).judge(run(0, 3, 2.9, 2.8, 2.7), []) is STOP
    assert PatienceStop(GOAL, 40, patience=3, delta=0.05, first=1).judge(run(0, 3, 2.9, 2.8, 2.7), []) is GO


def test_plateau_is_about_the_gain_so_far() -> None:
    stop = PlateauStop(GOAL, 40, window=4, share=0.01, first=1)
    flat = [1 + 2.0**-i for i in range(12)]
    assert stop.judge(run(0, *flat), []) is STOP  # gained 1 in all, 0.007 in the last four
    assert stop.judge(run(0, *flat[:8]), []) is GO
    assert stop.judge(run(0, *[100 * x for x in flat[:8]]), []) is GO  # whatever the unit
    assert stop.judge(run(0, *[1.0] * 12), []) is GO  # has not begun to learn: that is not a plateau


def test_divergence_needs_to_last_and_to_be_worse_than_others() -> None:
    stop = DivergenceStop(GOAL, 40, first=1)
    up = run(0, 2, 1, 1.5, 2.1, 2.2, 2.3)
    assert stop.judge(up, [up]) is STOP
    assert stop.judge(run(0, 2, 1, 1.5, 2.1, 2.2), []) is GO  # two measurements: a spike
    assert stop.judge(run(0, 2, 1, 1.5, 1.6, 1.7, 1.5), []) is GO  # half of what it had gained is left
    assert stop.judge(run(0, 1, 2, 3, 4), []) is STOP  # it never was better than at first
    assert stop.judge(run(0, 1, 2, 3, 1), []) is GO
    assert stop.judge(up, [up, *(done(n, *[5.0] * 6) for n in (1, 2, 3))]) is GO  # the others are no better


def test_forecast_stops_the_hopeless_and_nobody_else() -> None:
    stop = ForecastStop(GOAL, 20, first=3)

    def curve(end: float, upto: int) -> list[float]:
        return [end + (1 - end) / (t + 1) for t in range(1, upto + 1)]

    done_ones = [done(n, *curve(0.1 + 0.05 * n, 20)) for n in range(6)]
    hopeless, rival = run(8, *curve(0.7, 8)), run(9, *curve(0.06, 8))
    assert stop.judge(hopeless, [*done_ones, hopeless]) is STOP
    assert stop.judge(rival, [*done_ones, rival]) is GO
    assert stop.judge(run(8, *curve(0.7, 2)), [*done_ones, run(8, *curve(0.7, 2))]) is GO  # before the first step
    assert stop.judge(hopeless, [done_ones[0], hopeless]) is GO  # one complete trial is no yardstick
    leader = run(8, *[0.01] * 8)
    assert stop.judge(leader, [*done_ones, leader]) is GO


def test_combined_plans_by_the_first_and_stops_by_any() -> None:
    both = Combined(HalvingScheduler(GOAL, 9, n=3, r_min=3), DivergenceStop(GOAL, 9, first=1))
    rested = [run(n, 1, 1, 0.1 * (n + 1), status=Status.PAUSED) for n in range(3)]
    assert both.plan(rested, free=3, left=0).resume == (Resume(0, 9),)
    assert both.judge(run(0, 1, 2, 3, 4), []) is STOP
    assert both.judge(run(0, 4, 3, 2, 1), []) is GO
    with pytest.raises(SettingError, match="different trainings"):
        Combined(HalvingScheduler(GOAL, 9), DivergenceStop(GOAL, 10))


def test_combined_saves_the_steps_of_what_diverges() -> None:
    """Four trials blow up: beside halving the stop ends them before their rung, and the winner is the same."""
    curves = [[1 / s + 0.01 * n for s in range(1, 28)] for n in range(5)]
    curves += [[1 + s for s in range(1, 28)] for _ in range(4)]
    alone: Scheduler = HalvingScheduler(GOAL, 27, n=9, r_min=9)
    runs = [simulate(s, curves, 9) for s in (alone, Combined(alone, DivergenceStop(GOAL, 27)))]
    spent = [sum(t.step for t in r.values()) for r in runs]
    assert spent[1] == spent[0] - 4 * (9 - 4)
    assert [[t.number for t in r.values() if t.step == 27] for r in runs] == [[0, 1, 2]] * 2


def test_by_name() -> None:
    told = scheduler_named("asha+divergence+patience", GOAL, 30)
    assert isinstance(told, Combined) and [type(s).__name__ for s in told.stops] == ["DivergenceStop", "PatienceStop"]
    for name in SCHEDULERS:
        assert scheduler_named(name, GOAL, 30).steps == 30
    with pytest.raises(SettingError, match="did you mean 'halving'"):
        scheduler_named("halfing", GOAL, 30)
    with pytest.raises(SettingError, match="does not stop"):
        scheduler_named("median+halving", GOAL, 30)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (partial(MedianStop, form="mean"), "unknown form"),
        (partial(MedianStop, least=0), "least"),
        (partial(PatienceStop, patience=0), "patience"),
        (partial(PatienceStop, delta=-1.0), "delta"),
        (partial(PlateauStop, share=1.0), "share"),
        (partial(DivergenceStop, window=True), "window"),
        (partial(DivergenceStop, first=0), "first"),
        (partial(ForecastStop, chance=0.0), "chance"),
    ],
)
def test_settings_out_of_range(make: Callable[[Goal, int], Scheduler], told: str) -> None:
    with pytest.raises(SettingError, match=told):
        make(GOAL, 9)
