"""The loop: what a study does with trials, budgets, failures, interruptions and resumption."""

import math
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tunebook.errors import FailingStudy, ObjectiveError, SettingError, StudyBusy, StudyMismatch
from tunebook.executors.serial import SerialExecutor
from tunebook.executors.simulated import SimulatedExecutor
from tunebook.jobs import open_study, tune
from tunebook.objective import EarlyStop, objective
from tunebook.samplers import GridSampler, QuasiSampler, TPESampler
from tunebook.schedulers import AshaScheduler, FullScheduler, HalvingScheduler
from tunebook.schedulers.base import Scheduler, Verdict
from tunebook.space import Choice, Float, Int, Space
from tunebook.stores.memory import MemoryStore
from tunebook.stores.sql import SqlStore
from tunebook.study import Interrupted, Search, Study
from tunebook.trial import Created, Ended, FailureKind, Goal, Launched, Measured, Measurement, Opened, Status

GOAL = Goal("loss")
SPACE = Space(x=Float(-5.0, 10.0), y=Float(0.0, 15.0))


def branin(run):
    """A curve that falls to the Branin function (Dixon and Szego 1978)."""
    x, y = run.config["x"], run.config["y"]
    b, c = 5.1 / (4 * math.pi**2), 5 / math.pi
    value = (y - b * x**2 + c * x - 6) ** 2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10
    for step in range(1, run.until + 1):
        yield Measurement(step, {"loss": value + 50 / step}, seconds=1.0)


def search(sampler=QuasiSampler, scheduler=FullScheduler, steps=9, space=SPACE, round="search", **about):
    return Search(round, space, GOAL, sampler(space, GOAL, 0), scheduler(GOAL, steps), **about)


def table(trials):
    """What must be equal between two runs of one study: everything but the clock."""
    return [
        (t.number, t.round, dict(t.config), t.context, t.status, t.until, [(m.step, dict(m.metrics)) for m in t.curve])
        for t in trials.values()
    ]


def study_on(store, folder, executor, **about):
    return Study(store, folder, executor, **about)


@pytest.mark.parametrize("scheduler", [FullScheduler, HalvingScheduler, AshaScheduler])
@pytest.mark.parametrize("sampler", [QuasiSampler, TPESampler])
@pytest.mark.parametrize("capacity", [1, 4])
def test_the_budget_is_exact_and_the_study_ends(tmp_path, sampler, scheduler, capacity):
    with Study(MemoryStore(), tmp_path, SimulatedExecutor(branin, capacity)) as study:
        trials = study.run(search(sampler, scheduler), 20)
    assert len(trials) == 20
    assert all(t.status in (Status.COMPLETED, Status.PAUSED) for t in trials.values())
    assert any(t.step == 9 for t in trials.values())
    assert trials.closed["search"].reason == "trials"


def test_the_same_seed_gives_the_same_table_with_one_worker(tmp_path):
    tables = []
    for _ in range(2):
        with Study(MemoryStore(), tmp_path, SimulatedExecutor(branin), seed=3) as study:
            tables.append(table(study.run(search(TPESampler, AshaScheduler), 15)))
    assert tables[0] == tables[1]


def test_quasi_random_points_do_not_depend_on_parallelism(tmp_path):
    points = []
    for capacity in (1, 5):
        with Study(MemoryStore(), tmp_path, SimulatedExecutor(branin, capacity)) as study:
            points.append({tuple(t.config.values()) for t in study.run(search(), 16).values()})
    assert points[0] == points[1]


@pytest.mark.parametrize("after", [1, 2, 3, 7, 20, 40])
def test_an_interrupted_study_ends_like_an_unbroken_one(tmp_path, after):
    def run(store, stop_after=None):
        seen = [0]

        def listen(events, trials):
            seen[0] += len(events)
            if stop_after is not None and seen[0] >= stop_after:
                study.interrupt()

        with Study(store, tmp_path, SimulatedExecutor(branin), seed=1, listener=listen) as study:
            return table(study.run(search(TPESampler, HalvingScheduler), 9))

    whole = run(MemoryStore())
    store = MemoryStore()
    with pytest.raises(Interrupted) as caught:
        run(store, after)
    assert caught.value.code == 130
    assert run(store) == whole


def test_a_study_is_given_more_trials_and_a_wider_space_later(tmp_path):
    store = SqlStore(f"sqlite:///{tmp_path / 'book.db'}", "s")
    with Study(store, tmp_path, SimulatedExecutor(branin)) as study:
        first = study.run(search(TPESampler), 12)
        assert len(first) == 12
        assert len(study.run(search(TPESampler), 12)) == 12, "a closed round is not run again"
    wider = Space(x=Float(-10.0, 15.0), y=Float(0.0, 15.0), extra=Choice(["a", "b"], default="b"))
    with Study(SqlStore(f"sqlite:///{tmp_path / 'book.db'}", "s"), tmp_path, SimulatedExecutor(branin)) as study:
        told = search(TPESampler, space=wider)
        trials = study.run(told, 20)
        assert len(trials) == 20
        assert len(told.sampler.history) == 20, "trials of the narrower space keep counting"
        assert [t.config.get("extra") for t in trials.values()][:12] == [None] * 12
        assert all(wider.contains(t.config) for t in list(trials.values())[12:])
        assert trials.opened["search"].space == wider.as_dict()


def test_an_exhausted_space_ends_the_round(tmp_path):
    space = Space(a=Int(1, 3), b=Choice(["u", "v"]))

    def run(run):
        yield Measurement(1, {"loss": run.config["a"]})

    with Study(MemoryStore(), tmp_path, SimulatedExecutor(run, 2)) as study:
        trials = study.run(search(GridSampler, steps=1, space=space), 50)
    assert len(trials) == 6
    assert trials.closed["search"].reason == "space"


def test_what_runs_when_time_is_up_may_end_until_the_last_second(tmp_path):
    for last, whole in ((None, False), (100.0, True), (21.0, False)):
        with Study(MemoryStore(), tmp_path, SimulatedExecutor(branin, 2)) as study:
            trials = study.run(search(), 100, seconds=20.0, last=last)
        assert trials.closed["search"].reason == "time"
        assert all(t.started < 20.5 + min(x.started for x in trials.values()) for t in trials.values())
        assert all(t.status is Status.COMPLETED for t in trials.values()) is whole
        assert not trials.with_status(Status.RUNNING)


def test_time_ends_a_study_and_counts_over_sessions(tmp_path):
    store = MemoryStore()
    with Study(store, tmp_path, SimulatedExecutor(branin)) as study:
        trials = study.run(search(), 100, seconds=30.0)
    assert trials.closed["search"].reason == "time"
    assert 29.0 <= trials.spent <= 31.0
    n = len(trials)
    with Study(store, tmp_path, SimulatedExecutor(branin)) as study:
        assert len(study.run(search(), 100, seconds=30.0)) == n, "the time was spent"
        trials = study.run(search(), 100, seconds=60.0)
    assert 59.0 <= trials.spent <= 61.0 and len(trials) > n


def test_a_second_driver_is_refused(tmp_path):
    url = f"sqlite:///{tmp_path / 'book.db'}"
    with Study(SqlStore(url, "s"), tmp_path), pytest.raises(StudyBusy, match=r"pid|process"):
        Study(SqlStore(url, "s"), tmp_path).__enter__()


def test_the_goal_of_a_study_cannot_change(tmp_path):
    store = MemoryStore()
    with Study(store, tmp_path, SimulatedExecutor(branin)) as study:
        study.run(search(), 2)
        other = Goal("loss", "maximize")
        with pytest.raises(StudyMismatch, match="goal"):
            study.run(Search("search", SPACE, other, QuasiSampler(SPACE, other), FullScheduler(other, 9)), 4)


def test_failures_are_typed_and_do_not_stop_the_study(tmp_path):
    def odd(run):
        if run.trial % 4 == 1:
            raise ValueError("a rare case")
        if run.trial % 4 == 2:
            yield Measurement(1, {"loss": math.nan})
        if run.trial % 4 == 3:
            yield Measurement(1, {"loss": 1.0})
            return EarlyStop("flat")
        yield Measurement(1, {"loss": 1.0})
        yield Measurement(2, {"loss": 0.5})

    with Study(MemoryStore(), tmp_path, SimulatedExecutor(odd)) as study:
        trials = study.run(search(steps=2), 8)
    kinds = [t.failure.kind if t.failure else t.status for t in trials.values()]
    assert kinds == [Status.COMPLETED, FailureKind.USER_ERROR, FailureKind.DIVERGED, Status.STOPPED] * 2
    assert trials[3].note == "flat"


def test_the_circuit_breaker(tmp_path):
    @objective
    def broken(run):
        raise KeyError("no such column")

    with Study(MemoryStore(), tmp_path, SerialExecutor(broken)) as study:
        with pytest.raises(FailingStudy, match="no such column"):
            study.run(search(), 50)
        assert len(study.trials) == 3


def test_the_circuit_breaker_sees_through_numbers(tmp_path):
    @objective
    def broken(run):
        raise ValueError(f"shapes (64, {run.trial}) and ({run.trial + 1}, 10) do not fit")

    @objective
    def unlike(run):
        raise ValueError("abcdefghij"[run.trial])

    with Study(MemoryStore(), tmp_path / "a", SerialExecutor(broken)) as study:
        with pytest.raises(FailingStudy, match="do not fit"):
            study.run(search(), 50)
        assert len(study.trials) == 3
    with Study(MemoryStore(), tmp_path / "b", SerialExecutor(unlike)) as study:
        study.run(search(), 6)
        assert len(study.trials) == 6


class Stopping(Scheduler):
    """Stops every trial at its second step."""

    def plan(self, trials, free, left):
        from tunebook.schedulers.base import Plan

        return Plan(fresh=(self.steps,) * min(free, left))

    def judge(self, trial, trials):
        return Verdict.STOP if trial.step >= 2 else Verdict.GO


def test_a_judged_trial_is_stopped(tmp_path):
    with Study(MemoryStore(), tmp_path, SimulatedExecutor(branin)) as study:
        trials = study.run(search(scheduler=Stopping), 5)
    assert {t.status for t in trials.values()} == {Status.STOPPED}
    assert all(2 <= t.step < 9 for t in trials.values())


def test_ask_and_tell(tmp_path):
    store = MemoryStore()
    with Study(store, tmp_path) as study:
        study.begin(search(TPESampler, steps=3))
        a, b = study.ask(2)
        assert a.config != b.config and a.until == 3
        study.tell(a.number, step=1, loss=2.0)
        assert study.tell(a.number, loss=1.0).status is Status.COMPLETED
        assert study.tell(b.number, failed="the robot fell over").status is Status.FAILED
        with pytest.raises(SettingError, match="open"):
            study.tell(a.number, loss=3.0)
    with Study(store, tmp_path) as study:
        study.begin(search(TPESampler, steps=3))
        assert len(study._begun().sampler.history) == 2
        assert study.ask()[0].number == 2


LOOP = """
import os, signal, sys
from tunebook import Float, Goal, Space, open_study

folder, die = sys.argv[1], int(sys.argv[2])
space = Space(x=Float(-5, 5), y=Float(-5, 5))
with open_study(space, Goal("loss"), sampler="tpe", folder=folder) as study:
    if not study.trials:
        study.try_first({"x": 4.0})
    while sum(t.status.over for t in study.trials.values()) < 15:
        for trial in study.ask(3):
            if trial.number == die and trial.attempt == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            study.tell(trial, loss=trial.config["x"] ** 2 + trial.config["y"] ** 2)
    print([(t.number, t.round, dict(t.config), t.value(Goal("loss"))) for t in study.trials.values()])
"""


def test_what_was_asked_and_not_told_before_a_kill_is_handed_out_again(tmp_path):
    def loop(name, die):
        return subprocess.run([sys.executable, "-c", LOOP, str(tmp_path / name), str(die)], capture_output=True,
                              text=True, check=False)  # fmt: skip

    whole = loop("whole", -1)
    assert whole.returncode == 0 and "(14, " in whole.stdout, whole.stderr
    for die in (0, 13):
        name = f"killed-{die}"
        assert loop(name, die).returncode == -signal.SIGKILL
        assert loop(name, -1).stdout == whole.stdout


def test_an_ask_after_a_lost_process_begins_with_its_trials(tmp_path):
    store = MemoryStore()
    with Study(store, tmp_path) as study:
        study.begin(search(steps=3))
        a, b, c = study.ask(3)
        study.tell(b, step=1, loss=2.0)
        study.tell(c, loss=3.0)
    with Study(store, tmp_path) as study:
        study.begin(search(steps=3))
        assert [(t.number, t.attempt, t.config) for t in study.ask(1)] == [(0, 2, a.config)]
        again = study.ask(3)
        assert [(t.number, t.attempt, t.step) for t in again] == [(1, 2, 1)], "and no new ones beside them"
        assert study.tell(b, step=1, loss=9.0).curve[0].metrics == {"loss": 2.0}, "what is known stays"
        study.tell(b, step=2, loss=1.0)
        with pytest.raises(ObjectiveError, match="loss"):
            study.tell(b, step=3, accuracy=1.0)
        assert study.ask(1)[0].number == 3
    with Study(store, tmp_path) as study:
        study.begin(search(steps=3))
        assert study.tell(0, loss=1.0).status is Status.COMPLETED, "what was lost may be told of without asking"
        assert [t.number for t in study.ask(9)] == [1, 3]


def test_a_study_is_asked_and_told_inside_its_with_block(tmp_path):
    study = open_study(SPACE, GOAL, folder=tmp_path)
    with pytest.raises(SettingError, match="with open_study"):
        study.ask()
    with study:
        trial = study.ask()[0]
        study.tell(trial, loss=1.0)
        other = study.ask()[0]
    for what in (study.ask, lambda: study.tell(other, loss=1.0), lambda: study.try_first({"x": 1.0})):
        with pytest.raises(SettingError, match="with open_study"):
            what()
    assert study.front == [study.trials[0]] and study.best() is not None and len(study.trials) == 2


@pytest.mark.parametrize("n", [-1, 1.5, True, "2"])
def test_an_odd_number_of_trials_is_refused(n, tmp_path):
    with open_study(SPACE, GOAL, folder=tmp_path) as study, pytest.raises(SettingError, match="whole number"):
        study.ask(n)
    assert study.trials == {}


class Losing(SerialExecutor):
    """Says of the first attempts at each trial that its worker was lost, after one measurement."""

    def poll(self, timeout=1.0):
        from tunebook.trial import Failure

        events = super().poll(timeout)
        out = []
        for e in events:
            if isinstance(e, Measured) and e.attempt <= self.attempts_lost and e.measurement.step == 2:
                super().stop(e.number)
                out.append(Ended(e.number, e.attempt, Status.FAILED, Failure(FailureKind.WORKER_LOST, "killed")))
            else:
                out.append(e)
        return out


@pytest.mark.parametrize(("lost", "status"), [(1, Status.COMPLETED), (3, Status.COMPLETED), (4, Status.FAILED)])
def test_a_lost_worker_is_retried_three_times(tmp_path, lost, status):
    executor = Losing(branin)
    executor.attempts_lost = lost
    with Study(MemoryStore(), tmp_path, executor) as study:
        trials = study.run(search(), 1)
    assert trials[0].status is status
    steps = [m.step for m in trials[0].curve]
    assert steps == (list(range(1, 10)) if status is Status.COMPLETED else [1])


def test_the_log_never_holds_a_trial_without_a_target(tmp_path):
    store = MemoryStore()
    with Study(store, tmp_path, SimulatedExecutor(branin, 3)) as study:
        study.run(search(scheduler=HalvingScheduler), 9)
    events = store.read()
    created = [i for i, e in enumerate(events) if type(e).__name__ == "Created"]
    assert created and all(isinstance(events[i + 1], Launched) for i in created)


@pytest.mark.parametrize("trials", [0, -1, 1.5, "100", True])
def test_odd_budgets_are_refused(tmp_path, trials):
    with Study(MemoryStore(), tmp_path, SerialExecutor(branin)) as study, pytest.raises(SettingError, match="trials"):
        study.run(search(), trials)


def test_runs_have_a_folder_of_their_own(tmp_path):
    def writes(run):
        (Path(run.folder) / "note.txt").write_text(str(run.trial))
        yield Measurement(1, {"loss": 0.0})

    with Study(MemoryStore(), tmp_path, SerialExecutor(writes)) as study:
        study.run(search(steps=1), 2)
    assert (tmp_path / "trials" / "1" / "note.txt").read_text() == "1"


def test_a_trial_that_was_to_be_stopped_when_the_driver_was_lost_is_not_run_again(tmp_path):
    store = MemoryStore()
    store.append([Opened("search", SPACE.as_dict(), GOAL), Created(0, "search", SPACE.default), Launched(0, 1, 9)])
    store.append([Measured(0, 1, Measurement(step, {"loss": 1.0})) for step in (1, 2)])
    with Study(store, tmp_path, SimulatedExecutor(branin)) as study:
        trials = study.run(search(scheduler=Stopping), 1)
    assert trials[0].status is Status.STOPPED and trials[0].step == 2 and trials[0].attempt == 1


def test_an_asked_study_refuses_a_space_that_does_not_go_together(tmp_path):
    with open_study(Space(a=Float(0, 1), b=Float(0, 1)), GOAL, folder=tmp_path / "s") as study:
        study.tell(study.ask()[0].number, loss=1.0)
    with pytest.raises(StudyMismatch, match="b"), open_study(Space(a=Float(0, 1)), GOAL, folder=tmp_path / "s"):
        pass
    with open_study(Space(a=Float(0, 2), b=Float(0, 1), c=Int(1, 3)), GOAL, folder=tmp_path / "s") as study:
        assert study.ask()[0].number == 1


def test_the_time_of_an_asked_study_is_counted(tmp_path):
    with open_study(SPACE, GOAL, folder=tmp_path) as study:
        for failed in (None, "fell over"):
            trial = study.ask()[0]
            study.tell(trial.number, failed=failed) if failed else study.tell(trial.number, loss=1.0)
        trials = study.trials
    assert 0 <= trials.spent < 3600
    assert trials.clock >= max(t.ended for t in trials.values()) > 1.7e9 and trials[1].ended >= trials[0].started


def test_best_is_by_all_trials_not_the_luckiest(tmp_path: Path) -> None:
    """One trial far from all good ones was lucky; a model of all of them does not hand it over."""
    with open_study(Space(x=Float(0, 1)), GOAL, sampler="quasi", folder=tmp_path / "s") as study:
        assert study.best() is None
        for i, trial in enumerate(sorted(study.ask(40), key=lambda t: float(t.config["x"]))):  # type: ignore[arg-type]
            x = float(trial.config["x"])  # type: ignore[arg-type]
            study.tell(trial.number, loss=-0.2 if i == 37 else (x - 0.3) ** 2 + 0.1 * math.sin(900 * x))
        assert float(study.front[0].config["x"]) > 0.9  # type: ignore[arg-type]
        told = study.best()
        assert told is not None and abs(float(told.config["x"]) - 0.3) < 0.25  # type: ignore[arg-type]
        assert told.low < told.mean < told.high and told.config == study.trials[told.trial].config


@pytest.mark.parametrize(
    ("space", "goal", "says"),
    [(SPACE, "loss", r"the goal is not a Goal(.|\n)*try: Goal\('loss'\)"),
     ({"x": Float(0, 1)}, GOAL, "the space is not a Space"), (SPACE, None, "the goal is not a Goal")],
)  # fmt: skip
def test_what_is_no_space_or_goal_is_refused(space, goal, says, tmp_path):
    with pytest.raises(SettingError, match=says):
        open_study(space, goal, folder=tmp_path / "s")
    with pytest.raises(SettingError, match=says):
        tune(branin, space, goal, folder=tmp_path / "s")
    assert not (tmp_path / "s").exists()
