"""Freeze-thaw: what is forecast to gain the most by a step goes on, and new ones begin where that promises more."""

import numpy as np

from tunebook.schedulers import FreezeThawScheduler, Plan, Resume
from tunebook.testing.scheduler import check_scheduler, simulate
from tunebook.trial import Goal, Measurement, Status, Trial

GOAL = Goal("loss")
STEPS = 48


def paused(number: int, losses: list[float], until: int = 0) -> Trial:
    curve = tuple(Measurement(i + 1, {"loss": v}) for i, v in enumerate(losses))
    return Trial(number, "r", {"x": number}, status=Status.PAUSED, until=until or len(losses), curve=curve)


def test_keeps_the_law() -> None:
    check_scheduler(FreezeThawScheduler)


def test_new_ones_begin_until_there_is_something_to_go_by_and_then_the_promising_one_goes_on() -> None:
    scheduler = FreezeThawScheduler(GOAL, STEPS)
    flat = [paused(n, [0.9, 0.89, 0.89]) for n in range(6)]
    assert scheduler.plan(flat[:3], 2, 10) == Plan(fresh=(3, 3))
    falling = paused(2, [0.9, 0.6, 0.4])
    plan = scheduler.plan([*flat[:2], falling, *flat[3:]], 2, 10)
    assert plan == Plan((Resume(2, 9),), (3,))


def test_where_nothing_promises_anything_new_ones_begin() -> None:
    """A trial at the end that the others, which have settled, will never reach."""
    scheduler = FreezeThawScheduler(GOAL, STEPS)
    best = Trial(9, "r", {"x": 9}, status=Status.COMPLETED, until=STEPS,
                 curve=tuple(Measurement(s, {"loss": 0.1 + 0.5 / s}) for s in range(1, STEPS + 1)))  # fmt: skip
    others = [paused(n, [0.9] * 9) for n in range(4)]
    assert scheduler.plan([*others, best], 1, 10) == Plan(fresh=(3,))
    assert scheduler.plan([*others, best], 1, 0) == Plan()  # and none can: it is over
    assert scheduler.plan(others, 1, 0) == Plan((Resume(0, STEPS),))  # somebody has to come to the end


def test_what_was_interrupted_goes_on_first() -> None:
    scheduler = FreezeThawScheduler(GOAL, STEPS)
    assert scheduler.plan([paused(0, [0.5], until=3)], 1, 10) == Plan((Resume(0, 3),))


def test_it_finds_one_of_the_best_at_a_fraction_of_the_steps() -> None:
    rng = np.random.default_rng(0)
    end, rate = rng.uniform(0.1, 0.9, (60, 1)), rng.uniform(0.3, 0.6, (60, 1))
    told = end + (1.2 - end) * np.arange(1, STEPS + 1) ** -rate
    done = simulate(FreezeThawScheduler(GOAL, STEPS), told.tolist())
    assert sum(t.step for t in done.values()) < 0.4 * 60 * STEPS
    assert min(t.loss(GOAL) for t in done.values()) <= sorted(told.min(axis=1))[2]
