"""The laws of the log: a study is the fold of its events, whatever comes late, twice or in other batches."""

import json
import math
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tunebook.errors import SettingError, StoreError
from tunebook.trial import (
    Closed,
    Context,
    Created,
    Direction,
    Ended,
    Event,
    Failure,
    FailureKind,
    Goal,
    Launched,
    Looked,
    Measured,
    Measurement,
    Noted,
    Opened,
    Status,
    Trial,
    Trials,
    apply,
    config_key,
    finished,
    replay,
)

LOSS = Goal("loss")
ACCURACY = Goal("accuracy", Direction.MAXIMIZE)


def seen(trials: Trials) -> object:
    """All that is known of a study, for comparisons."""
    rounds = sorted({t.round for t in trials.values()} | set(trials.opened))
    return (
        dict(trials),
        {name: [t.number for t in trials.of(name)] for name in rounds},
        trials.opened,
        trials.closed,
        trials.looks,
        trials.notes,
        trials.spent,
        [t.number for t in trials.with_status(*Status)],
        [t.number for t in trials.with_status(Status.WAITING, Status.RUNNING, Status.PAUSED)],
        trials.next_number,
    )


# the fold, against a model that knows nothing of events


class Log(RuleBasedStateMachine):
    """Valid and stale events in any order; a plain dictionary says what they should have made of the trials."""

    @initialize()
    def start(self) -> None:
        self.trials = Trials()
        self.log: list[Event] = []
        self.model: list[dict[str, Any]] = []
        self.clock, self.since, self.spent = 0.0, None, 0.0
        self.views = {name: self.trials.of(name) for name in ("a", "b")}

    def happens(self, *events: Event) -> None:
        assert apply(self.trials, events) is self.trials
        self.log += events

    def ticks(self) -> float:
        self.clock += 0.5
        if self.since is not None:
            self.spent += self.clock - self.since
        self.since = self.clock
        return self.clock

    def pick(self, data: st.DataObject, *statuses: str) -> dict[str, Any] | None:
        found = [t for t in self.model if t["status"] in statuses]
        return data.draw(st.sampled_from(found)) if found else None

    @rule(name=st.sampled_from("ab"), idle=st.floats(0, 100))
    def opens(self, name: str, idle: float) -> None:
        self.clock += idle
        self.since = self.clock
        self.happens(Opened(name, {}, LOSS, self.clock))

    @rule(name=st.sampled_from("ab"))
    def closes(self, name: str) -> None:
        self.happens(Closed(name, "trials"))

    @rule(name=st.sampled_from("ab"), until=st.integers(1, 5))
    def creates(self, name: str, until: int) -> None:
        number, at = len(self.model), self.ticks()
        self.happens(Created(number, name, {"x": number}, Context(seed=number)), Launched(number, 1, until, at))
        self.model.append({"number": number, "round": name, "status": "running", "attempt": 1, "until": until,
                           "steps": [], "started": at, "ended": 0.0})  # fmt: skip

    @rule(name=st.sampled_from("ab"))
    def creates_without_a_launch(self, name: str) -> None:
        self.happens(Created(len(self.model), name, {}))
        self.model.append({"number": len(self.model), "round": name, "status": "waiting", "attempt": 0, "until": 0,
                           "steps": [], "started": 0.0, "ended": 0.0})  # fmt: skip

    @rule(data=st.data())
    def launches_again(self, data: st.DataObject) -> None:
        t = self.pick(data, "waiting", "running", "paused")
        if t is None:
            return
        at = self.ticks()
        if not t["attempt"]:
            t["started"] = at
        t["attempt"] += 1
        t["until"] += 3
        t["status"] = "running"
        self.happens(Launched(t["number"], t["attempt"], t["until"], at))

    @rule(data=st.data(), ahead=st.integers(1, 3), value=st.floats())
    def measures(self, data: st.DataObject, ahead: int, value: float) -> None:
        t = self.pick(data, "running")
        if t is None:
            return
        step = (t["steps"][-1] if t["steps"] else 0) + ahead
        t["steps"].append(step)
        self.happens(Measured(t["number"], t["attempt"], Measurement(step, {"loss": value}, 1.0)))

    @rule(data=st.data(), back=st.integers(0, 3))
    def measures_a_known_step(self, data: st.DataObject, back: int) -> None:
        t = self.pick(data, "running")
        if t is not None and t["steps"]:
            late = Measured(t["number"], t["attempt"], Measurement(t["steps"][-1] - back, {"loss": -1.0}))
            assert not self.trials.accepts(late)
            self.happens(late)

    @rule(data=st.data(), status=st.sampled_from(["completed", "paused", "stopped", "failed"]))
    def ends(self, data: st.DataObject, status: str) -> None:
        t = self.pick(data, "running")
        if t is None:
            return
        failure = Failure(FailureKind.USER_ERROR, "x") if status == "failed" else None
        t["ended"] = self.ticks()
        t["status"] = status
        self.happens(Ended(t["number"], t["attempt"], Status(status), failure, t["ended"]))

    @rule(data=st.data(), off=st.sampled_from([-1, 1]), step=st.integers(1, 99))
    def a_superseded_attempt_speaks(self, data: st.DataObject, off: int, step: int) -> None:
        t = self.pick(data, "waiting", "running", "paused", "completed", "stopped", "failed")
        if t is None:
            return
        attempt = t["attempt"] + (off if t["status"] == "running" else 0)
        stale = [Measured(t["number"], attempt, Measurement(step, {"loss": -1.0})),
                 Ended(t["number"], attempt, Status.FAILED, at=self.clock + 1000)]  # fmt: skip
        assert not any(self.trials.accepts(e) for e in stale)
        self.happens(*stale)

    @rule(data=st.data())
    def contradicts(self, data: st.DataObject) -> None:
        over = self.pick(data, "completed", "stopped", "failed")
        n = len(self.model)
        wrong: list[Event] = [Created(n + 1, "a", {}), Launched(n, 1, 5)]
        wrong += [Created(n - 1, "a", {})] if n else []
        wrong += [Launched(over["number"], over["attempt"] + 1, 9)] if over else []
        before = seen(self.trials)
        with pytest.raises(StoreError, match="the log contradicts itself"):
            apply(self.trials, [data.draw(st.sampled_from(wrong))])
        assert seen(self.trials) == before

    @precondition(lambda self: self.log)
    @rule(data=st.data())
    def another_study_reads_the_log_in_other_batches(self, data: st.DataObject) -> None:
        cuts = sorted(data.draw(st.lists(st.integers(0, len(self.log)), max_size=3)))
        other = Trials()
        for a, b in zip([0, *cuts], [*cuts, len(self.log)], strict=True):
            apply(other, self.log[a:b])
        assert seen(other) == seen(self.trials) == seen(replay(iter(self.log)))

    @invariant()
    def the_trials_are_the_models(self) -> None:
        if not hasattr(self, "model"):
            return
        assert len(self.trials) == self.trials.next_number == len(self.model)
        for t in self.model:
            trial = self.trials[t["number"]]
            told = (
                trial.number,
                trial.round,
                str(trial.status),
                trial.attempt,
                trial.until,
                trial.started,
                trial.ended,
            )
            assert told == tuple(t[k] for k in ("number", "round", "status", "attempt", "until", "started", "ended"))
            assert [m.step for m in trial.curve] == t["steps"]
            assert trial.seconds == len(t["steps"])
        assert self.trials.spent == pytest.approx(self.spent)
        for name, view in self.views.items():  # taken before anything happened
            assert [x.number for x in view] == [t["number"] for t in self.model if t["round"] == name]
            assert len(view) == self.trials.count(name)
            assert list(view) == [view[i] for i in range(len(view))] == list(view[:])
        for status in Status:
            expected = [t["number"] for t in self.model if t["status"] == status]
            assert sorted(x.number for x in self.trials.with_status(status)) == expected


Log.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestLog = Log.TestCase


def study() -> Trials:
    return replay([
        Opened("explore", {"lr": {}}, LOSS, at=100.0),
        Created(0, "explore", {"lr": 0.1}),
        Launched(0, 1, 3, at=101.0),
        Measured(0, 1, Measurement(1, {"loss": 2.0}, 1.5)),
        Measured(0, 1, Measurement(2, {"loss": 1.0}, 1.5)),
        Launched(0, 2, 3, at=105.0, why="the worker was lost"),
        Measured(0, 1, Measurement(3, {"loss": 0.0})),
        Measured(0, 2, Measurement(2, {"loss": 9.0})),
        Measured(0, 2, Measurement(3, {"loss": 3.0}, 2.0)),
        Ended(0, 2, Status.COMPLETED, at=110.0),
        Closed("explore", "trials"),
        Looked("the end"),
        Noted("versions", {"numpy": "2"}),
    ])  # fmt: skip


def test_a_lost_worker_leaves_what_it_measured_and_says_no_more() -> None:
    trial = study()[0]
    assert [(m.step, m.metrics["loss"]) for m in trial.curve] == [(1, 2.0), (2, 1.0), (3, 3.0)]
    assert (trial.attempt, trial.started, trial.ended, trial.seconds) == (2, 101.0, 110.0, 5.0)


def test_looks_notes_and_rounds_are_kept() -> None:
    trials = study()
    assert (trials.looks, trials.notes) == ([Looked("the end")], {"versions": {"numpy": "2"}})
    assert trials.closed["explore"].reason == "trials"
    apply(trials, [Opened("explore", {"lr": {}}, LOSS, at=500.0)])
    assert trials.closed == {}
    assert trials.only(["explore"])[0] == trials[0] and not trials.only(["other"])


def test_time_is_spent_while_a_driver_is_at_work_only() -> None:
    trials = study()
    assert trials.spent == 10.0
    apply(trials, [Opened("explore", {}, LOSS, at=9000.0), Created(1, "explore", {}), Launched(1, 1, 1, at=9002.0)])
    assert trials.spent == 12.0
    apply(trials, [Ended(1, 1, Status.STOPPED, at=8000.0)])  # a clock that goes back takes nothing away
    assert trials.spent == 12.0
    apply(trials, [Opened("explore", {}, LOSS, at=8500.0)])
    assert trials.spent == 12.0


@pytest.mark.parametrize("status", [Status.WAITING, Status.RUNNING])
def test_an_attempt_cannot_end_as_one_that_did_not(status: Status) -> None:
    trials = apply(study(), [Created(1, "explore", {}), Launched(1, 1, 1)])
    with pytest.raises(StoreError, match="the log contradicts itself"):
        apply(trials, [Ended(1, 1, status)])


@pytest.mark.parametrize("attempt", [0, 1, 2])
def test_attempts_go_up(attempt: int) -> None:
    trials = apply(study(), [Created(1, "explore", {}), Launched(1, 1, 1), Launched(1, 2, 1)])
    with pytest.raises(StoreError, match="the log contradicts itself"):
        apply(trials, [Launched(1, attempt, 1)])


def test_a_contradiction_is_told_with_the_way_out() -> None:
    with pytest.raises(StoreError) as caught:
        apply(study(), [Launched(0, 3, 5)])
    (problem,) = caught.value.problems
    assert problem.where == "trial 0 is launched" and problem.got and problem.expected and problem.fix


def test_trials_and_events_are_frozen() -> None:
    trials = study()
    with pytest.raises(FrozenInstanceError):
        trials[0].status = Status.FAILED  # type: ignore[misc]
    before = trials[0]
    apply(trials, [Created(1, "explore", {})])
    assert trials[0] is before


def test_finished_trials_are_those_that_teach_something() -> None:
    trials = study()
    apply(trials, [Created(1, "explore", {}), Launched(1, 1, 3), Created(2, "explore", {}), Launched(2, 1, 3),
                   Measured(2, 1, Measurement(1, {"loss": 1.0})), Ended(2, 1, Status.PAUSED)])  # fmt: skip
    assert [t.number for t in finished(trials.values())] == [0, 2]


# goals


VALUES = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1.0])


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("goal", [LOSS, ACCURACY])
def test_what_is_not_finite_is_never_best(odd: float, goal: Goal) -> None:
    assert goal.loss(odd) == math.inf
    assert goal.better(-1e300, odd) and goal.better(1e300, odd)
    assert not goal.better(odd, 0.0) and not goal.better(odd, -odd)
    curve = tuple(Measurement(i + 1, {goal.metric: v}) for i, v in enumerate([odd, 0.5, odd]))
    assert Trial(0, "r", {}, curve=curve).value(goal) == 0.5


@given(VALUES, VALUES, st.sampled_from([LOSS, ACCURACY]))
def test_better_is_a_strict_order_in_which_only_finite_values_win(a: float, b: float, goal: Goal) -> None:
    assert not (goal.better(a, b) and goal.better(b, a))
    if goal.better(a, b):
        assert math.isfinite(a)
    if math.isfinite(a) and not math.isfinite(b):
        assert goal.better(a, b)
    if math.isfinite(a) and math.isfinite(b):
        assert goal.better(a, b) == (a < b if goal is LOSS else a > b)
        assert goal.value(goal.loss(a)) == a
    else:
        assert goal.loss(a) == math.inf or math.isfinite(a)


@given(st.lists(VALUES, max_size=8), st.sampled_from([LOSS, ACCURACY]), st.integers(0, 9) | st.none())
def test_what_counts_is_the_best_finite_step_so_far(values: list[float], goal: Goal, upto: int | None) -> None:
    curve = tuple(Measurement(i + 1, {goal.metric: v}) for i, v in enumerate(values))
    trial = Trial(0, "r", {}, status=Status.COMPLETED, curve=curve)
    sound = [v for i, v in enumerate(values) if math.isfinite(v) and (upto is None or i < upto)]
    best = (min if goal is LOSS else max)(sound, default=math.nan)
    last = replace(goal, pick="last")
    assert trial.value(goal, upto) == best or math.isnan(best)
    assert trial.value(last, upto) == (sound[-1] if sound else pytest.approx(math.nan, nan_ok=True))
    assert (trial.scored(goal, upto) is None) == (not sound)
    assert trial.loss(goal, upto) == (goal.sign * best if sound else math.inf)
    assert replace(trial, status=Status.FAILED).loss(goal, upto) == math.inf


def test_the_first_of_equal_steps_counts() -> None:
    curve = tuple(Measurement(i, {"loss": 1.0}) for i in (1, 2, 3))
    counted = Trial(0, "r", {}, curve=curve).scored(LOSS)
    assert counted is not None
    assert counted.step == 1


@pytest.mark.parametrize(
    ("told", "direction"),
    [
        ("min", "minimize"),
        ("minimise", "minimize"),
        ("MAX", "maximize"),
        ("maximise", "maximize"),
        ("maximize", "maximize"),
    ],
)
def test_directions_as_people_write_them(told: Any, direction: str) -> None:
    assert Goal("loss", told).direction == direction


@pytest.mark.parametrize(
    ("about", "code"),
    [
        ({"direction": "down"}, "CONFIG-047"),
        ({"pick": "first"}, "CONFIG-047"),
        ({"metric": ""}, "CONFIG-048"),
        ({"metric": None}, "CONFIG-048"),
    ],
)
def test_a_goal_that_cannot_be_meant_is_refused(about: dict[str, Any], code: str) -> None:
    with pytest.raises(SettingError) as caught:
        Goal(**{"metric": "loss", **about})
    (problem,) = caught.value.problems
    assert problem.code == code and problem.where and problem.got and problem.expected and problem.fix


def test_a_key_is_the_configuration_whatever_its_order() -> None:
    assert config_key({"b": 1, "a": 0.5}) == config_key({"a": 0.5, "b": 1})
    assert len({config_key({"a": v}) for v in (1, 1.5, True, "1", None)}) == 5
    assert json.loads(Trial(0, "r", {"a": None}).key) == {"a": None}


def test_the_machines_failures_are_retried_and_the_persons_are_not() -> None:
    assert {k for k in FailureKind if k.retried} == {"preempted", "worker_lost", "storage", "stalled", "interrupted"}
    assert {s for s in Status if s.over} == {"completed", "stopped", "failed"}
