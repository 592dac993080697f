"""Several goals and limits from end to end: studies, what is told of them, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from tunebook import Goal, Space, open_study, tune
from tunebook.cli.answer import answer_of, in_words
from tunebook.errors import FailingStudy, ObjectiveError, StudyMismatch
from tunebook.goal import Limit
from tunebook.objective import Run, objective
from tunebook.record import read_record
from tunebook.report import render_markdown
from tunebook.report.study import study_report
from tunebook.space import Float
from tunebook.story import story_in
from tunebook.trial import Status

SPACE = Space(x=Float(0, 1), y=Float(0, 1))
GOAL = Goal("loss", also=[Goal("size")], limits=[Limit("memory", most=80)])


@objective
def weigh(run: Run) -> dict[str, float]:
    x, y = float(run.config["x"]), float(run.config["y"])  # type: ignore[arg-type]
    return {"loss": x + y**2, "size": (1 - x) ** 2 + y**2, "memory": 100 * x}


@objective
def forgetful(run: Run) -> float:
    return float(run.config["x"])  # type: ignore[arg-type]


def told(folder: Path, n: int = 12) -> None:
    with open_study(SPACE, GOAL, sampler="nsga2", folder=folder) as study:
        for trial in study.ask(n):
            x, y = float(trial.config["x"]), float(trial.config["y"])  # type: ignore[arg-type]
            study.tell(trial.number, loss=x + y**2, size=(1 - x) ** 2 + y**2, memory=100 * x)
        front = study.front
    losses = [t.losses(GOAL) for t in front]
    assert front and losses == sorted(losses) and [b for _, b in losses] == sorted([b for _, b in losses], reverse=True)
    assert all(float(t.config["x"]) <= 0.8 for t in front)  # type: ignore[arg-type]


def test_a_study_hands_over_its_front(tmp_path: Path) -> None:
    told(tmp_path / "s")
    record = read_record(tmp_path / "s")
    assert record.goal == GOAL
    answer = answer_of(record, story_in(record))
    assert [t["trial"] for t in answer["front"]] == [t.number for t in record.front]
    assert record.best is not None and answer["observed"]["trial"] == record.best.number == record.front[0].number
    words = in_words(answer)
    assert "size (minimize)" in words and "memory <= 80" in words and "beats one of these" in words
    story = story_in(record)
    assert story is not None and story.recommended is not None
    assert answer["recommended"]["trial"] == story.recommended.trial and "95 % interval" in words


def test_the_report_shows_the_front(tmp_path: Path) -> None:
    told(tmp_path / "s")
    record = read_record(tmp_path / "s")
    story = story_in(record)
    assert story is not None
    text = render_markdown(study_report(story))
    assert "## The front" in text and "loss and size" in text
    assert all(f"| {t.number} |" in text for t in record.front)


def noisy(folder: Path, n: int, goal: Goal) -> None:
    """Trial 0 is very lucky."""
    rng = np.random.default_rng(0)
    with open_study(SPACE, goal, sampler="random", folder=folder) as study:
        for trial in study.ask(n):
            x, y = float(trial.config["x"]), float(trial.config["y"])  # type: ignore[arg-type]
            noise = 0.15 * rng.standard_normal() - 0.8 * (trial.number == 0)
            study.tell(trial.number, loss=(x - 0.4) ** 2 + y**2 + noise, memory=100 + x)


def test_the_report_and_the_terminal_recommend_the_same(tmp_path: Path) -> None:
    noisy(tmp_path, 40, Goal("loss"))
    record = read_record(tmp_path)
    story = story_in(record)
    assert story is not None and record.best is not None and story.recommended is not None
    assert dict(story.recommended.config) != dict(record.best.config), "the luckiest is another one"
    answer = answer_of(record, story)
    assert answer["config"] == story.config == story.recommended.config
    (said,) = [line for line in in_words(answer).splitlines() if "By all trials together" in line]
    said = said.removeprefix("Not confirmed on fresh seeds. ")
    assert "95 % interval" in said and f"(trial {record.best.number}); the best of many noisy values" in said
    report = render_markdown(study_report(story)).replace("\\", "")
    assert said in report
    assert "loop of its own" in report and "What was done" not in report, "there is no playbook to tell of"
    for name, value in story.recommended.config.items():
        assert f"| `{name}` | `{value:.6g}` |" in report


def test_where_no_trial_keeps_a_limit_the_report_says_what_the_terminal_says(tmp_path: Path) -> None:
    noisy(tmp_path, 6, Goal("loss", limits=[Limit("memory", most=80)]))
    record = read_record(tmp_path)
    story = story_in(record)
    assert story is not None
    answer = answer_of(record, story)
    assert answer["config"] is None and answer["why"].startswith("no trial keeps memory <= 80; the nearest is trial")
    report = render_markdown(study_report(story)).replace("\\", "")
    assert "No configuration keeps the limits so far" in report and answer["why"][1:] in report
    assert "Nothing keeps the limits so far: 6 trials ran" in report
    assert "6 trials beyond the limits left out." in report, "importance is of those within"


def test_a_study_with_one_goal_has_the_best_for_a_front_and_no_table(tmp_path: Path) -> None:
    with open_study(SPACE, Goal("loss"), sampler="random", folder=tmp_path) as study:
        assert study.front == []
        for trial in study.ask(4):
            study.tell(trial.number, loss=float(trial.number))
        assert [t.number for t in study.front] == [0]
    record = read_record(tmp_path)
    answer, story = answer_of(record, story_in(record)), story_in(record)
    assert story is not None and not {"front", "goals", "limits"} & answer.keys()
    assert "The front" not in render_markdown(study_report(story))


def test_what_the_goal_is_about_must_be_told(tmp_path: Path) -> None:
    with open_study(SPACE, GOAL, sampler="random", folder=tmp_path) as study:
        trial = study.ask(1)[0]
        with pytest.raises(ObjectiveError, match="also about 'size', 'memory'") as bad:
            study.tell(trial.number, loss=1.0)
        assert "OBJECTIVE-049" in str(bad.value)
        assert study.trials[trial.number].status is Status.RUNNING
        study.tell(trial.number, loss=1.0, size=2.0, memory=3.0)


def test_where_no_trial_keeps_the_limits_there_is_no_best(tmp_path: Path) -> None:
    with open_study(SPACE, Goal("loss", limits=[Limit("memory", most=80)]), sampler="quasi", folder=tmp_path) as study:
        for trial in study.ask(5):
            study.tell(trial, loss=1.0 + trial.number, memory=90.0)
        assert study.front == [] and study.best() is None
        study.tell(study.ask()[0], loss=9.0, memory=70.0)
        told = study.best()
        assert told is not None and told.trial == 5 and study.front == [study.trials[5]]


def test_another_goal_is_another_study(tmp_path: Path) -> None:
    told(tmp_path, 2)
    with (
        pytest.raises(StudyMismatch, match="another goal"),
        open_study(SPACE, Goal("loss", also=[Goal("size")]), sampler="nsga2", folder=tmp_path),
    ):
        pass


def test_the_playbook_decides_by_the_first_goal_within_the_limits(tmp_path: Path) -> None:
    goal = Goal("loss", limits=[Limit("memory", least=50)])
    result = tune(weigh, SPACE, goal, trials=12, workers=0, folder=tmp_path, quiet=True)
    best = read_record(tmp_path).best
    assert best is not None and float(best.config["x"]) >= 0.5  # type: ignore[arg-type]
    assert float(result.config["x"]) >= 0.5  # type: ignore[arg-type]
    again = tune(weigh, SPACE, goal, trials=12, workers=0, folder=tmp_path, quiet=True)
    assert again.config == result.config and len(again.trials) == len(result.trials)


def test_an_objective_that_forgets_a_metric_stops_the_study(tmp_path: Path) -> None:
    with pytest.raises(FailingStudy, match="also about 'size'"):
        tune(forgetful, SPACE, Goal("loss", also=[Goal("size"), Goal("seconds")]), trials=12, workers=0,
             folder=tmp_path, quiet=True)  # fmt: skip
