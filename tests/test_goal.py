"""Goals and limits: what they take, what they refuse, and what they are in a record."""

import math

import pytest

from tunebook.errors import SettingError
from tunebook.goal import Direction, Goal, Limit
from tunebook.outcomes import front
from tunebook.stores.codec import decode, encode
from tunebook.trial import Failure, FailureKind, Measurement, Opened, Status, Trial

SEVERAL = Goal("accuracy", "max", "last", [Goal("seconds"), Goal("f1", "max")],  # type: ignore[arg-type]
               [Limit("memory", most=500), Limit("recall", least=0.25)])  # fmt: skip


def trial(number: int, *told: dict[str, float], failed: bool = False, seconds: float = 2.0) -> Trial:
    curve = tuple(Measurement(i + 1, m, seconds, 100.0 * (i + 1)) for i, m in enumerate(told))
    failure = Failure(FailureKind.DIVERGED, "") if failed else None
    status = Status.FAILED if failed else Status.COMPLETED
    return Trial(number, "r", {"x": number}, status=status, until=len(told), curve=curve, failure=failure)


def test_a_goal_alone_is_told_and_recorded_as_ever() -> None:
    goal = Goal("loss")
    assert repr(goal) == "Goal(metric='loss', direction=<Direction.MINIMIZE: 'minimize'>, pick='best')"
    assert goal.as_dict() == {"metric": "loss", "direction": "minimize", "pick": "best"}
    assert '["loss","minimize","best"]' in encode([Opened("r", {}, goal)])
    assert goal.plain and goal.goals == (goal,) and goal.metrics == ("loss",)


@pytest.mark.parametrize("goal", [SEVERAL, Goal("a", also=Goal("b")), Goal("a", limits=[Limit("b", least=0)])])  # type: ignore[arg-type]
def test_several_goals_and_limits_come_back_from_a_record(goal: Goal) -> None:
    opened = Opened("r", {}, goal)
    assert decode(encode([opened])) == [opened]
    assert Goal.from_dict(goal.as_dict()) == goal and not goal.plain
    assert [g.metric for g in goal.goals] == list(goal.metrics) and all(g.plain for g in goal.goals)
    assert hash(goal) == hash(Goal.from_dict(goal.as_dict()))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Limit("memory"), "one finite bound"),
        (lambda: Limit("memory", most=1, least=0), "has one bound"),
        (lambda: Limit("memory", most=math.nan), "one finite bound"),
        (lambda: Limit("memory", most=True), "one finite bound"),
        (lambda: Limit("memory", most="500"), "one finite bound"),  # type: ignore[arg-type]
        (lambda: Limit("", most=1), "limit has no name"),
        (lambda: Goal("a", also=["b"]), "also holds something else than a Goal"),  # type: ignore[list-item]
        (lambda: Goal("a", limits=[("b", 1)]), "limits holds something else than a Limit"),  # type: ignore[list-item]
        (lambda: Goal("a", also=[Goal("a", "max")]), "a goal twice"),  # type: ignore[arg-type]
        (lambda: Goal("a", also=[Goal("b", also=[Goal("c")])]), "goals or limits of its own"),
        (lambda: Goal("a", "upward"), "unknown direction"),  # type: ignore[arg-type]
        (lambda: Goal("a", pick="first"), "unknown pick"),
    ],
)
def test_what_is_no_goal_is_refused(make: object, says: str) -> None:
    with pytest.raises(SettingError, match=says):
        make()  # type: ignore[operator]


def test_all_goals_are_judged_at_the_step_that_the_first_picks() -> None:
    goal = Goal("loss", also=[Goal("size"), Goal("seconds")], limits=[Limit("memory", most=150)])
    told = trial(0, {"loss": 3.0, "size": 1.0}, {"loss": 1.0, "size": 5.0}, {"loss": 2.0, "size": 0.5})
    assert told.losses(goal) == (1.0, 5.0, 4.0)
    assert told.losses(goal, upto=1) == (3.0, 1.0, 2.0)
    assert told.excess(goal) == (50.0,) and told.excess(goal, upto=1) == (-50.0,)
    # the memory of step 2 is beyond the limit: the value is what it is, the loss that counts is the worst
    assert (told.value(goal), told.loss(goal), told.loss(goal, upto=1)) == (1.0, math.inf, 3.0)


def test_what_is_reported_goes_before_what_is_known_of_itself() -> None:
    goal = Goal("loss", also=[Goal("seconds")])
    assert trial(0, {"loss": 1.0, "seconds": 0.25}).losses(goal) == (1.0, 0.25)
    assert trial(0, {"loss": 1.0}, seconds=3.0).losses(goal) == (1.0, 3.0)


def test_what_nobody_measured_is_not_nought() -> None:
    told = Trial(0, "r", {}, status=Status.COMPLETED, until=1, curve=(Measurement(1, {"loss": 1.0}),))
    goal = Goal("loss", also=[Goal("seconds")], limits=[Limit("memory", most=500)])
    assert told.missing(goal) == ["seconds", "memory"] and told.loss(goal) == math.inf


def test_metrics_that_are_missing_are_named() -> None:
    told = trial(0, {"accuracy": 0.5})
    assert told.missing(SEVERAL) == ["f1", "recall"]
    assert told.losses(SEVERAL) == (-0.5, 2.0, math.inf)
    assert told.loss(SEVERAL) == math.inf
    assert trial(0).missing(SEVERAL) == [] and trial(0).losses(SEVERAL) == (math.inf,) * 3


def test_the_front_of_trials() -> None:
    goal = Goal("loss", also=[Goal("size")], limits=[Limit("recall", least=0.5)])
    points = [(1.0, 4.0, 0.9), (2.0, 2.0, 0.9), (3.0, 3.0, 0.9), (0.5, 0.5, 0.4), (0.1, 9.0, 0.5)]
    trials = [trial(i, {"loss": a, "size": b, "recall": c}) for i, (a, b, c) in enumerate(points)]
    trials += [trial(5, {"loss": 0.0, "size": 0.0, "recall": 1.0}, failed=True), trial(6)]
    assert [t.number for t in front(trials, goal)] == [4, 0, 1]
    assert [t.number for t in front(trials, Goal("loss"))] == [4]
    assert front([], goal) == []


def test_directions_of_further_goals_count() -> None:
    goal = Goal("loss", also=[Goal("f1", Direction.MAXIMIZE)])
    told = [trial(0, {"loss": 1.0, "f1": 0.5}), trial(1, {"loss": 1.0, "f1": 0.75})]
    assert [t.number for t in front(told, goal)] == [1]


def test_a_limit_is_read_from_text() -> None:
    assert Limit.read("memory<=500") == Limit("memory", most=500)
    assert Limit.read(" my recall >= 1e-1 ") == Limit("my recall", least=0.1)
    for bad in ("memory", "memory < 500", "memory <= much", "<= 3", "a <= b >= 3", "memory == 3", ""):
        with pytest.raises(SettingError, match="this is not a limit"):
            Limit.read(bad)
    with pytest.raises(SettingError, match="one finite bound"):
        Limit.read("memory <= nan")


def test_limits_that_contradict_each_other_are_refused() -> None:
    Goal("a", limits=[Limit("b", least=1), Limit("b", most=1)])
    with pytest.raises(SettingError, match="no value keeps both") as bad:
        Goal("a", limits=[Limit("b", most=1), Limit("b", least=2)])
    assert "b >= 2, b <= 1" in str(bad.value)
    with pytest.raises(SettingError, match="two limits of one kind"):
        Goal("a", limits=[Limit("b", most=1), Limit("c", most=1), Limit("b", most=2)])


def test_a_trial_is_judged_early_by_the_first_goal_and_by_what_it_costs() -> None:
    limits = [Limit("seconds", most=9), Limit("recall", least=0.5), Limit("memory", least=1)]
    goal = Goal("loss", also=[Goal("size")], limits=limits)
    assert goal.early == Goal("loss", limits=limits[:1]) and not goal.early_enough
    assert Goal("loss", limits=limits[:1]).early_enough and not Goal("loss", limits=limits[1:2]).early_enough
    assert goal.named == ("loss", "size", "seconds", "recall", "memory")
    assert str(goal) == "minimize loss, minimize size, seconds <= 9, recall >= 0.5, memory >= 1"


def test_two_bounds_are_two_limits() -> None:
    with pytest.raises(SettingError, match=r"limits=\[Limit\('a', least=1\), Limit\('a', most=2\)\]"):
        Limit("a", most=1, least=2)
