"""The playbook under limits and with several goals: what it takes to confirmation, what it adopts, how it ends."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tunebook import Goal, Limit, Space, tune
from tunebook.cli.answer import answer_of, in_words
from tunebook.jobs import Result
from tunebook.objective import Run, objective
from tunebook.outcomes import broken, front
from tunebook.record import read_record
from tunebook.report import render_markdown
from tunebook.report.study import study_report
from tunebook.space import Float
from tunebook.story import story_in
from tunebook.trial import Measurement

SPACE = Space(x=Float(0, 1, default=0.9), y=Float(0, 1, default=0.9))
FRONT = Goal("loss", also=[Goal("size")])


@objective
def weigh(run: Run) -> dict[str, float]:
    """The front of loss and size is where y is 0; a little noise from seed to seed."""
    x, y = float(run.config["x"]), float(run.config["y"])  # type: ignore[arg-type]
    noise = 0.01 * np.random.default_rng(run.seed).standard_normal(2)
    luck = np.random.default_rng([run.seed, int(1e6 * x)]).uniform()
    return {"loss": (1 - x) ** 2 + y + noise[0], "size": x + y + noise[1], "luck": luck}


def tuned(folder: Path, goal: Goal, trials: int = 40) -> Result:
    return tune(weigh, SPACE, goal, trials=trials, workers=0, folder=folder, quiet=True)


def told(folder: Path) -> tuple[str, str]:
    """What ``tunebook best`` says, and the report."""
    record = read_record(folder)
    story = story_in(record)
    assert story is not None
    return in_words(answer_of(record, story)), render_markdown(study_report(story))


def test_the_front_is_searched_confirmed_and_shown(tmp_path: Path) -> None:
    result = tuned(tmp_path, FRONT)
    assert [c.stage for c in result.chapters] == ["baseline", "explore", "exploit", "confirm"]
    assert {c.round.scheduler for c in result.chapters if not c.round.runs} == {"full"}
    last = result.chapters[-1].conclusion
    sizes = [o.means["size"] for o in last.figures["outcomes"]]
    assert len(sizes) == 4 and min(sizes) < 0.35 and max(sizes[1:]) > 0.6, "the ends of the front are among them"
    assert all(len(o.values["size"]) >= 3 for o in last.figures["outcomes"])
    used = next(o for o in last.figures["outcomes"] if o.config == result.config)
    assert result.adopted and used.means["loss"] == min(o.means["loss"] for o in last.figures["outcomes"])
    said, report = told(tmp_path)
    assert "on the front" in said and said.count("\nused") == 1
    assert "## The front" in report and "Confirmed on fresh seeds" in report and "best in loss" in report
    assert "(95 % interval, for all finalists together, " in said
    assert "the front of the whole search, single values: tunebook report" in said
    record = read_record(tmp_path)
    searched = {t.number: t.key for c in result.chapters if c.stage != "confirm" for t in c.trials}
    keys = [searched[t.number] for t in record.front]
    assert len(set(keys)) == len(keys), "trials that searched, a configuration once"
    assert len(front(result.trials.values(), FRONT)) > len(keys), "of repeats several are on the front by themselves"
    assert f"The front of the search: {len(keys)} trials" in report
    again = tuned(tmp_path, FRONT)
    assert again.config == result.config and len(again.trials) == len(result.trials)


def test_a_default_beyond_the_limits_is_no_alternative(tmp_path: Path) -> None:
    """It has the better loss, and there is no time of day at which it could be used."""
    goal = Goal("loss", limits=[Limit("size", most=0.5)])
    result = tuned(tmp_path, goal)
    outcomes = result.chapters[-1].conclusion.figures["outcomes"]
    own, used = outcomes[0], next(o for o in outcomes if o.config == result.config)
    assert own.broken(goal) and not used.broken(goal)
    assert result.adopted and "keeps the limits, and the baseline does not: size" in str(result)
    said, report = told(tmp_path)
    assert "the default is beyond size" in said and "keeps the limits" in report and "## The limits" in report


def test_a_finalist_that_was_lucky_with_a_limit_is_not_adopted(tmp_path: Path) -> None:
    """A fifth of all runs keep the limit, so the search finds some that do; on average no configuration does."""
    goal = Goal("loss", limits=[Limit("luck", most=0.2)])
    result = tuned(tmp_path, goal, 100)
    confirmed = [c for c in result.chapters if c.stage == "confirm"]
    assert front(result.trials.values(), goal), "single trials keep it"
    assert all(o.broken(goal) for o in confirmed[-1].conclusion.figures["outcomes"]) and not result.adopted
    assert len(confirmed) == 2 and "The next best are tried." in confirmed[0].conclusion.says
    first, second = ({t.key for t in c.trials} for c in confirmed)
    assert len(first & second) == 1, "the baseline again, and others"
    assert confirmed[-1].conclusion.stop and "nor does the baseline" in str(result)
    said, report = told(tmp_path)
    assert "no finalist keeps the limits" in said and "No configuration keeps the limits" in report


def slow_to_recall(run: Run) -> Iterator[Measurement]:
    """What has the recall in the end loses to others at every step before."""
    x = float(run.config["x"])  # type: ignore[arg-type]
    for step in range(1, run.until + 1):
        yield Measurement(step, {"loss": (x - 0.6) ** 2 + 1 / step, "recall": x * step / 9, "parameters": 100 * x})


@pytest.mark.parametrize("limit", [Limit("recall", least=0.9), Limit("parameters", most=20)])
def test_what_keeps_a_limit_only_in_the_end_is_not_cut_short_before(tmp_path: Path, limit: Limit) -> None:
    goal, space = Goal("loss", limits=[limit]), Space(x=Float(0, 1))
    result = tune(slow_to_recall, space, goal, steps=9, trials=30, workers=0, folder=tmp_path, quiet=True)
    assert result.adopted and abs(float(result.config["x"]) - limit.bound / (100 if limit.most else 1)) < 0.03  # type: ignore[arg-type]
    schedulers = {c.round.scheduler for c in result.chapters if c.stage in ("explore", "exploit")}
    assert schedulers == ({"full"} if limit.least else {"halving", "auto"})


def test_a_limit_that_nothing_keeps_is_said_with_the_nearest_trial(tmp_path: Path) -> None:
    goal = Goal("loss", limits=[Limit("size", most=-1)])
    result = tuned(tmp_path, goal, 20)
    assert [c.stage for c in result.chapters] == ["baseline", "explore", "exploit", "confirm"]
    assert not result.chapters[-1].trials and not result.adopted
    nearest = min(result.trials.values(), key=lambda t: t.values(goal)["size"])
    says = f"o trial keeps size <= -1; the nearest is trial {nearest.number}: loss"
    said, report = told(tmp_path)
    assert says in str(result) and says in said and says in report.replace("\\", "")
    assert "x = " not in str(result), "there is no configuration to use"
    record = read_record(tmp_path)
    answer = answer_of(record, story_in(record))
    assert answer["config"] is None and answer["source"] == "nothing keeps the limits"
    assert tuned(tmp_path, goal, 20).trials.keys() == result.trials.keys()


@pytest.mark.parametrize(("value", "many"), [(float("nan"), 3), (3.0, 2), (2.0, 1)])
def test_limits_in_words(value: float, many: int) -> None:
    over = broken({"a": value, "b": 26122.0}, [Limit("a", most=2), Limit("a", least=1), Limit("b", least=30000)])
    assert over[-1] == "b 26,122 (limit: at least 30,000)" and len(over) == many
