"""The default scheduler: what it chooses, what it says, and that it leaves alone what should be left alone."""

import numpy as np
import pytest

from tunebook.schedulers.auto import AutoScheduler
from tunebook.schedulers.base import Verdict
from tunebook.testing.scheduler import check_scheduler, simulate
from tunebook.trial import Goal, Measurement, Status, Trial, Trials

GOAL = Goal("loss")
STEPS = 48


def curves(n: int, noise: float = 0.001, seed: int = 0) -> list[list[float]]:
    rng = np.random.default_rng(seed)
    t = np.arange(1, STEPS + 1)
    end, rate = rng.uniform(0.1, 0.9, (n, 1)), rng.uniform(0.3, 0.6, (n, 1))
    told = end + (1.2 - end) * t**-rate + noise * rng.standard_normal((n, STEPS))
    return [list(map(float, row)) for row in told]


def spent(state: Trials) -> int:
    return sum(t.step for t in state.values())


def test_keeps_the_law() -> None:
    check_scheduler(AutoScheduler)


@pytest.mark.parametrize("capacity", [1, 4])
def test_it_stops_early_and_finds_what_is_good(capacity: int) -> None:
    told = curves(60)
    done = simulate(AutoScheduler(GOAL, STEPS), told, capacity)
    assert spent(done) < 0.35 * 60 * STEPS
    best = min(t.loss(GOAL) for t in done.values())
    assert best <= sorted(min(c) for c in told)[1]
    assert "compared at steps 3, 9, 27" in AutoScheduler(GOAL, STEPS).why(list(done.values()))


def test_many_slots_are_one_bracket() -> None:
    """64 slots: all begin at once and are judged together; ASHA would promote by the order of arrival."""
    scheduler = AutoScheduler(GOAL, 81)
    assert scheduler.plan([], 64, 100).fresh == (1,) * 64
    assert scheduler.plan([], 26, 100).fresh == (5,) * 26
    paused = [
        Trial(n, "r", {"x": n}, status=Status.PAUSED, until=1, curve=(Measurement(1, {"loss": 0.01 * n}),))
        for n in range(64)
    ]
    assert [r.trial for r in scheduler.plan(paused, 64, 0).resume] == list(range(21))
    assert scheduler.plan([*paused[:-1], _running(63)], 63, 0).resume == ()  # the last is still on its way


def _running(number: int) -> Trial:
    return Trial(number, "r", {"x": number}, status=Status.RUNNING, until=1)


def test_noise_is_noticed_and_said() -> None:
    told = curves(30, noise=0.8)
    scheduler = AutoScheduler(GOAL, STEPS)
    done = simulate(scheduler, told)
    assert np.mean([t.step == STEPS for t in done.values()]) > 0.9
    assert "would be by luck" in scheduler.why(list(done.values()))
    quiet = simulate(AutoScheduler(GOAL, STEPS), curves(30))
    assert np.mean([t.step == STEPS for t in quiet.values()]) < 0.4


def test_a_slope_is_no_noise() -> None:
    steep = [[5.0 - 0.1 * s + 0.01 * n for s in range(STEPS)] for n in range(12)]
    done = simulate(AutoScheduler(GOAL, STEPS), steep)
    assert AutoScheduler(GOAL, STEPS).noise(list(done.values())) < 0.1


def test_short_and_scheduled_trainings_are_left_alone() -> None:
    for scheduler, says in ((AutoScheduler(GOAL, 8), "too few"), (AutoScheduler(GOAL, 48, scheduled=True), "a plan")):
        assert scheduler.plan([], 40, 40).fresh == (scheduler.steps,) * 40
        assert says in scheduler.why([])
        hopeless = Trial(9, "r", {"x": 9}, status=Status.RUNNING, until=48, curve=tuple(
            Measurement(s, {"loss": float(s)}) for s in range(1, 7)))  # fmt: skip
        assert scheduler.judge(hopeless, [hopeless]) is Verdict.GO
        assert scheduler.expected_steps(10) == 10 * scheduler.steps


def plateau(n: int, share: float = 0.1, noise: float = 0.001, seed: int = 0) -> list[list[float]]:
    """Most learn nothing at all; of the others each step shows a little more."""
    rng = np.random.default_rng(seed)
    t = np.arange(1, STEPS + 1) / STEPS
    end = rng.uniform(0.1, 0.4, (n, 1))
    learns = rng.random((n, 1)) < share
    told = 0.7 - learns * (0.7 - end) * (1 - np.exp(-3 * t)) + noise * rng.standard_normal((n, STEPS))
    return [list(map(float, row)) for row in told]


def test_where_most_get_nowhere_short_starts_and_only_those_that_stand_out_go_on() -> None:
    told = plateau(150)
    scheduler = AutoScheduler(GOAL, STEPS)
    state = simulate(scheduler, told)
    done = list(state.values())
    assert scheduler.stuck(done) and "got nowhere in 3 steps, so new ones get 1 step first" in scheduler.why(done)
    assert sum(t.step == 1 for t in done) > 80
    assert min(t.loss(GOAL) for t in done) <= sorted(min(c) for c in told)[2]
    assert spent(state) < 0.12 * 150 * STEPS


def test_eight_begin_before_anybody_goes_on() -> None:
    state = simulate(AutoScheduler(GOAL, STEPS), curves(8))
    scheduler = AutoScheduler(GOAL, STEPS)
    paused = [
        Trial(n, "r", {"x": n}, status=Status.PAUSED, until=3, curve=tuple(
            Measurement(s, {"loss": 1.0 / s + 0.1 * n}) for s in (1, 2, 3))) for n in range(8)
    ]  # fmt: skip
    assert scheduler.plan(paused[:7], 1, 10).fresh == (3,)
    assert [r.trial for r in scheduler.plan(paused, 2, 10).resume] == [0, 1]
    assert scheduler.plan(paused[:3], 1, 0).resume[0].trial == 0  # no more can come
    assert scheduler.plan([], 16, 100).fresh == (3,) * 16
    assert max(t.step for t in state.values()) == STEPS


def test_much_noise_is_no_plateau() -> None:
    scheduler = AutoScheduler(GOAL, STEPS)
    done = simulate(scheduler, curves(30, noise=0.8))
    assert not scheduler.stuck(list(done.values()))
