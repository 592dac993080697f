"""The composition root: what is noted, what is refused, and how a study is given more."""

import json
import math
import traceback
from dataclasses import replace

import pytest

import tunebook
from tunebook import Choice, Float, Goal, Int, Space, tune
from tunebook.cli.show import show
from tunebook.errors import FailingStudy, SettingError, StudyMismatch, TunebookError
from tunebook.executors.serial import SerialExecutor
from tunebook.jobs import advice_on, search_of
from tunebook.origin import without_password
from tunebook.playbook import Base, Confirm, Round
from tunebook.playbook.budget import smallest, split
from tunebook.playbook.confirm import FEWEST_SEEDS
from tunebook.record import JOB, PLAN, RESULT, Record, read_record, resume_command, store_of
from tunebook.report import render_html, render_markdown
from tunebook.report.study import study_report
from tunebook.settings import Settings, seconds, settings_of
from tunebook.stores.memory import MemoryStore
from tunebook.story import base_of, plan_of, story_in
from tunebook.study import Study
from tunebook.trial import Context, Failure, FailureKind, Measurement, Status, Trials, apply

GOAL = Goal("loss", "minimize")
SPACE = Space(x=Float(-5.0, 10.0), y=Int(1, 9), act=Choice(["relu", "tanh"]))


def objective(run):
    for step in range(1, run.until + 1):
        yield Measurement(step, {"loss": (run.config["x"] - 3.0) ** 2 + 1 / step + run.seed % 5 / 100})


def tuned(folder, space=SPACE, goal=GOAL, **options):
    told = {"steps": 3, "trials": 16, "quiet": True, **options}
    return tune(objective, space, goal, folder=folder, workers=0, **told)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return tuned(tmp_path_factory.mktemp("jobs") / "done")


def test_what_is_noted(done):
    notes = read_record(done.folder).trials.notes
    job = notes[JOB]
    assert job["argv"][1:] and job["cwd"] and job["versions"]["tunebook"] and job["settings"]["trials"] == 16
    assert notes[RESULT] == {"trials": len(done.trials), "config": done.config, "adopted": done.adopted}
    assert base_of(notes[PLAN]).space == SPACE


@pytest.mark.parametrize(
    "space",
    [
        SPACE,
        Space(
            opt=Choice({"sgd": Space(m=Float(0.0, 0.9)), "adam": Space()}), lr=Float(1e-5, 1.0, log=True), c=3, n="x"
        ),
    ],
)
@pytest.mark.parametrize("limit", [math.inf, 90.0])
def test_a_plan_comes_back_from_json(space, limit):
    base = Base(space, space.default, Goal("a", "max", "last"), 9, 40, 3, limit, 2, 0.1, False)
    plan = plan_of(base)
    assert json.loads(json.dumps(plan)) == plan
    assert base_of(plan) == base


def test_a_record_cut_anywhere_can_be_told_of(done):
    events = store_of(done.folder).read()
    whole = story_in(read_record(done.folder))
    assert whole.finished and len(whole.chapters) == len(done.chapters)
    told = []
    for end in [*range(0, len(events), 9), len(events) - 1]:
        record = Record(done.folder, apply(Trials(), events[:end]))
        story = story_in(record)
        if story is None:
            assert end < 4
            continue
        report = study_report(story)
        assert len(render_html(report)) > 1000 and "not finished" in render_markdown(report)
        assert not record.finished
        for mine, theirs in zip(story.chapters, done.chapters, strict=False):
            assert mine.conclusion.says == theirs.conclusion.says, "a chapter is concluded as it was when it ran"
        told.append(len(story.chapters))
    assert told == sorted(told) and told[0] == 0 and told[-1] >= len(done.chapters) - 1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"steps": 4}, "steps"),
        ({"seed": 1}, "seed"),
        ({"goal": Goal("loss", "maximize")}, "goal"),
        ({"goal": Goal("other")}, "goal"),
        ({"space": Space(x=Float(-5.0, 10.0), y=Int(1, 9), activation=Choice(["relu", "tanh"]))}, "renamed"),
        ({"space": Space(x=Choice(["a", "b"]), y=Int(1, 9), act=Choice(["relu", "tanh"]))}, "another type"),
    ],
)
def test_what_does_not_go_together_with_the_record_is_refused(done, change, named):
    before = store_of(done.folder).read()
    with pytest.raises(StudyMismatch, match=named) as caught:
        tuned(done.folder, **change)
    assert caught.value.exit_code == 6
    assert store_of(done.folder).read() == before, "nothing was written"


def test_the_same_call_again_runs_and_notes_nothing(done):
    before = store_of(done.folder).read()
    again = tuned(done.folder)
    assert (again.config, again.adopted) == (done.config, done.adopted)
    opened = [e for e in store_of(done.folder).read()[len(before) :] if type(e).__name__ != "Closed"]
    assert opened == []


@pytest.mark.parametrize("more", [17, 20, 31, 64])
def test_more_trials_than_before_are_an_exact_budget(tmp_path, more):
    first = tuned(tmp_path)
    second = tuned(tmp_path, trials=more)
    assert len(first.trials) <= 16 and len(first.trials) <= len(second.trials) <= more
    if more == 64:
        assert len(second.trials) > 40, "most of it is spent"
        assert {"explore.2", "confirm.2"} <= set(second.trials.opened)
    told = [c.conclusion.says for c in second.chapters]
    assert told[: len(first.chapters)] == [c.conclusion.says for c in first.chapters], "what was concluded stays"
    third = tuned(tmp_path, trials=more)
    assert len(third.trials) == len(second.trials)
    assert (third.config, third.adopted) == (second.config, second.adopted)


def test_a_budget_that_grows_while_exploring_is_one_cycle(tmp_path):
    class Enough(Exception):
        pass

    def listen(events, trials):
        if len(trials) == 4:
            raise Enough

    with pytest.raises(Enough):
        tuned(tmp_path, listener=listen)
    told = tuned(tmp_path, trials=40)
    assert len(told.trials) <= 40 and told.trials.count("explore") == 16
    assert [c.stage for c in told.chapters].count("explore") == 1


def test_what_was_confirmed_stays_unless_it_is_beaten(tmp_path):
    first = tuned(tmp_path, trials=30)
    assert first.adopted
    second = tuned(tmp_path, trials=34)
    assert second.adopted and second.config == first.config, "four more trials confirm nothing"
    third = tuned(tmp_path, trials=80)
    assert third.adopted
    assert first.config in [t.config for t in third.trials.of("confirm.2")]


def test_an_earlier_confirmation_is_not_lost_to_one_that_had_no_time(tmp_path):
    goal = Goal("loss")

    def run(study, round, runs):
        search = search_of(replace(round, runs=round.runs[:runs]), 0)
        return study.run(search, runs)

    w, baseline = {"x": 3.0, "y": 1, "act": "relu"}, SPACE.default
    base = Base(SPACE, w, goal, 3, 100, cycle=2, baseline=baseline, adopted=True, confirmed=w, final=False)
    with Study(MemoryStore(), tmp_path, SerialExecutor(objective)) as study:
        study.run(search_of(Round("explore", "?", SPACE, goal, 3, 6), 0), 6)
        round = Confirm().design(base, study.trials)
        assert w in [config for config, _ in round.runs]
        for few in (1, 2, 3):
            told = Confirm().conclude(base, round, run(study, round, few)).base
            assert told.adopted and told.config == w


def test_a_wider_space_keeps_the_earlier_trials(tmp_path):
    first = tuned(tmp_path)
    wider = Space(x=Float(-50.0, 100.0), y=Int(1, 9), act=Choice(["relu", "tanh"]), z=Float(0.0, 1.0, default=0.5))
    second = tuned(tmp_path, space=wider, trials=40)
    assert len(first.trials) < len(second.trials) <= 40
    assert [second.trials[n].config for n in first.trials] == [t.config for t in first.trials.values()]
    assert "z" in second.config


def test_listed_runs_that_are_there_are_not_run_again(tmp_path):
    runs = tuple(({"x": float(x), "y": 1, "act": "relu"}, Context(seed=s)) for s in (1, 2) for x in (1, 2))
    store = MemoryStore()
    for listed in (runs[:2], (*runs[2:], runs[0])):
        with Study(store, tmp_path, SerialExecutor(objective)) as study:
            trials = study.run(
                search_of(Round("confirm", "?", SPACE, GOAL, 3, len(listed), runs=listed), 0), len(listed)
            )
    assert [(t.config["x"], t.context.seed) for t in trials.values()] == [(c["x"], k.seed) for c, k in runs]
    assert all(t.status is Status.COMPLETED for t in trials.values())


@pytest.mark.parametrize(
    ("text", "value"),
    [("1h30m", 5400), ("90s", 90), ("2h", 7200), (" 1.5 m ", 90), (5, 5), (0.5, 0.5), (None, math.inf),
     ("20 at 2.50/h", 28800), ("$1.20 @ $0.01 per minute", 7200), ("3 € at 1 € an hour", 10800)],
)
def test_durations(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "10", "1h30", "m", "20 at 2", "20 at 0/h", "0 at 2/h", "-5s", "1d", "5s1h", 0, -1, True, "nan", math.nan],
)
def test_what_is_no_duration(text):
    with pytest.raises(SettingError, match="time limit"):
        seconds(text)


def test_what_was_wrong_is_told_in_a_line_wherever_failures_are(tmp_path, capfd):
    def half(run):
        if run.config["act"] == "tanh":
            raise SettingError("unknown optimizer", where="optimizer", got="'adamx'", expected="did you mean 'adam'?")
        yield from objective(run)

    folder = tmp_path / "half"
    tune(half, SPACE, GOAL, folder=folder, workers=0, steps=3, trials=16)
    line = "unknown optimizer: got 'adamx'; did you mean 'adam'?"
    assert line in capfd.readouterr().err and line in (folder / "report.md").read_text()
    assert show(str(folder), None, json=False) == 0
    assert line in capfd.readouterr().out


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("KeyError: 'x'", "KeyError: 'x'"),
        ("", ""),
        ("odd\n  --> x\n  expected 1\n  try: 2\nodd too\n  got 3", "odd: expected 1"),
        ("RuntimeError: sizes\nsaid by a library\n  got 3", "RuntimeError: sizes"),
        ("odd\n  --> x\nodd too\n  got 3", "odd"),
    ],
)
def test_a_failure_in_a_line(message, line):
    assert Failure(FailureKind.USER_ERROR, message).line == line


def test_a_space_of_constants_leaves_nothing_to_tune(tmp_path):
    fixed = Space(x=1.0, act="relu")
    result = tuned(tmp_path / "fixed", fixed)
    assert "Nothing is left to tune" in str(result) and "budget" not in str(result)
    assert "Nothing is left to tune" in (tmp_path / "fixed" / "report.md").read_text()
    assert "nothing is left to tune" in advice_on(Base(fixed, fixed.default, GOAL, 3, 16))


def test_settings_that_are_none():
    with pytest.raises(SettingError, match="did you mean 'trials'"):
        settings_of({"trails": 3})
    for odd in ({"trials": 0}, {"steps": 1.5}, {"seed": -1}, {"workers": -1}, {"workers": True}, {"trials": "9"}):
        with pytest.raises(SettingError):
            Settings(**odd)


def test_a_password_is_not_noted():
    for url in ("postgresql://a:s3cret@h/d", "postgresql://a:s3:c/r@et@h/d?password=s3cret&x=1"):
        assert "s3" not in without_password(url) and "x" in without_password(url + "&x=1")


def test_resume_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resume_command(tmp_path / "tunebook-runs" / "a b") == "tunebook resume 'a b'"
    assert resume_command(tmp_path / "x") == f"tunebook resume {tmp_path / 'x'}"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: tune(objective, SPACE, GOAL, stpes=3), "unknown setting\n  --> settings\n  got stpes=3; did you mean"),
        (lambda: tunebook.tune_model("cnn", "sklearn:digts"), "did you mean 'digits'"),
        (lambda: tunebook.load("nowhere"), "there is no model here"),
    ],
)
def test_an_error_of_a_call_leads_to_the_line_that_called(call, says):
    with pytest.raises(TunebookError) as caught:
        call()
    assert says in str(caught.value)
    shown = traceback.format_exception(caught.value)
    assert sum("src/tunebook" in line for line in shown) == 1, "where it was noticed would bury what is wrong"
    assert "direct cause" not in "".join(shown) and "During handling" not in "".join(shown)
    assert sum("src/tunebook" in line for line in caught.value.insides.format()) > 1, "--debug shows it"


def test_a_study_with_a_bug_leaves_a_report_and_the_objectives_own_traceback(tmp_path):
    def helper(config):
        return config["x"] / 0

    def broken(run):
        yield Measurement(1, {"loss": helper(run.config)})

    with pytest.raises(FailingStudy) as caught:
        tune(broken, SPACE, GOAL, folder=tmp_path / "s", workers=0, quiet=True, steps=3, trials=16)
    assert "ZeroDivisionError" in str(caught.value) and f"tunebook resume {tmp_path / 's'}" in str(caught.value)
    assert str(tmp_path / "s" / "report.html") in str(caught.value)
    note = caught.value.__notes__[0]
    assert 'config["x"] / 0' in note and "in broken" in note and "src/tunebook" not in note
    told = (tmp_path / "s" / "report.md").read_text()
    for part in ("Nothing has succeeded so far", "What failed", "ZeroDivisionError", "in helper", "resume the study"):
        assert part in told
    assert "ZeroDivisionError" in (tmp_path / "s" / "report.html").read_text()


@pytest.mark.parametrize("final", [False, True])
def test_the_smallest_sensible_budget_is_told_before_the_start(tmp_path, final, capfd):
    base = Base(SPACE, SPACE.default, GOAL, 3, 50, final=final)
    least = smallest(base)
    for n in range(least - 3, least + 30):
        part = split(replace(base, total=n))
        assert sum(part.values()) == n
        assert (part["confirm"] >= 2 * FEWEST_SEEDS) == (n >= least)
    few = replace(base, total=least - 1)
    assert f"{least} or more" in advice_on(few) and advice_on(base) == "" and "1 trial is" in advice_on(
        replace(base, total=1)
    )
    if not final:
        tuned(tmp_path / "few", trials=least - 1, quiet=False)
        first = capfd.readouterr().err.splitlines()[0]
        assert first == advice_on(few)
        enough = tuned(tmp_path / "enough", trials=least, quiet=False)
        assert "note:" not in capfd.readouterr().err and any(c.stage == "confirm" for c in enough.chapters)


def test_a_wider_space_and_more_trials_find_what_lay_outside(tmp_path):
    def loss(run):
        for step in range(1, run.until + 1):
            yield Measurement(step, {"loss": (run.config["x"] - 3) ** 2 + 1 / step + run.seed % 97 / 970})

    def tuned(high, trials):
        space = Space(x=Float(0.0, high, default=0.5))
        return tune(loss, space, Goal("loss"), steps=3, trials=trials, workers=0, quiet=True, folder=tmp_path)

    first = tuned(1.0, 24)
    assert first.adopted and first.config["x"] > 0.9
    second = tuned(5.0, 54)
    assert second.adopted and abs(second.config["x"] - 3) < 0.5
    text = second.report.with_suffix(".md").read_text()
    assert "| 0 to 5 |" in text
