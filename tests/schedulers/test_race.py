"""Racing on folds."""

import numpy as np

from tunebook.schedulers.base import Verdict
from tunebook.schedulers.race import RaceStop
from tunebook.testing import check_scheduler
from tunebook.trial import Goal, Measurement, Status, Trial

GOAL = Goal("accuracy", "maximize", pick="last")  # type: ignore[arg-type]


def trial(number: int, scores: list[float], status: Status = Status.COMPLETED) -> Trial:
    means = np.cumsum(scores) / np.arange(1, len(scores) + 1)
    curve = tuple(Measurement(i, {"accuracy": float(m)}) for i, m in enumerate(means, 1))
    return Trial(number, "explore", {"c": number}, status=status, until=5, curve=curve)


def test_racing_keeps_the_law() -> None:
    check_scheduler(RaceStop)


def test_a_configuration_far_behind_is_stopped_after_one_fold_and_one_that_is_close_is_not() -> None:
    hard = np.array([0.0, -0.1, 0.05, 0.0, -0.05])  # folds are hard or easy for all alike
    rng = np.random.default_rng(0)
    done = [trial(i, list(0.9 - 0.004 * i + hard + rng.normal(0, 0.005, 5))) for i in range(5)]
    race = RaceStop(GOAL, 5)
    near = max(t.curve[0].metrics["accuracy"] for t in done) - 0.004
    bad, close = trial(5, [0.80], Status.RUNNING), trial(6, [near], Status.RUNNING)
    assert race.judge(bad, [*done, bad]) is Verdict.STOP
    assert race.judge(close, [*done, close]) is Verdict.GO
    assert race.judge(bad, [*done[:3], bad]) is Verdict.GO  # too little is known yet


def test_good_configurations_are_hardly_ever_stopped() -> None:
    rng = np.random.default_rng(1)
    stopped, saved = 0, 0
    for _ in range(300):
        hard = rng.normal(0, 0.05, 5)
        done = [trial(i, list(0.85 + 0.02 * rng.normal() + hard + rng.normal(0, 0.01, 5))) for i in range(8)]
        best = max(t.curve[-1].metrics["accuracy"] for t in done)
        winner = list(best + 0.01 + (hard - hard.mean()) + rng.normal(0, 0.01, 5))
        loser = list(best - 0.10 + (hard - hard.mean()) + rng.normal(0, 0.01, 5))
        race = RaceStop(GOAL, 5)
        stops = [race.judge(trial(9, winner[:k], Status.RUNNING), done) is Verdict.STOP for k in range(1, 5)]
        stopped += any(stops)
        saved += race.judge(trial(9, loser[:1], Status.RUNNING), done) is Verdict.STOP
    assert stopped <= 0.05 * 300
    assert saved >= 0.8 * 300
