"""What goals and limits name is measured: further metrics, and what a model costs."""

import re
from pathlib import Path

import pytest

from tunebook.data import Folds, Split
from tunebook.errors import DataError, SettingError
from tunebook.goal import Goal, Limit
from tunebook.learners import learner_named
from tunebook.objective import Objective, Run, play
from tunebook.space import Config
from tunebook.subject import model_subject
from tunebook.trial import Ended, Measured

LIMITS = [Limit("latency", most=1e6), Limit("f1_macro", least=0.1)]
CHEAP: dict[str, Config] = {"mlp": {"layers": 1, "units": 32}, "histgb": {"rounds_per_step": 5, "rounds": 20}}


def measured(objective: Objective, folder: Path, config: Config) -> dict[str, float]:
    *told, ended = play(objective, Run(0, config, 2, folder, 0, metric="accuracy"))
    assert isinstance(ended, Ended) and ended.failure is None, ended.failure
    assert isinstance(told[-1], Measured)
    return dict(told[-1].measurement.metrics)


def test_a_network_tells_its_size_and_further_scores(tmp_path: Path) -> None:
    goal = Goal("accuracy", "max", also=[Goal("parameters"), Goal("brier")], limits=LIMITS)  # type: ignore[arg-type]
    learner = learner_named("mlp")
    told = measured(learner.objective("sklearn:digits", Split(), goal, 2), tmp_path / "a", CHEAP["mlp"])
    assert told["parameters"] == (64 * 32 + 32) + (32 * 10 + 10)
    assert 0 < told["latency"] < 1000 and 0 < told["brier"] < 1 and 0 < told["f1_macro"] < 1
    plain = measured(learner.objective("sklearn:digits", Split(), Goal("accuracy", "max"), 2),  # type: ignore[arg-type]
                     tmp_path / "b", CHEAP["mlp"])  # fmt: skip
    assert told.keys() - plain.keys() == {n for x in ("brier", "f1_macro") for n in (x, f"train_{x}")} | {
        "parameters", "latency"}  # fmt: skip
    assert all(told[n] == plain[n] for n in plain), "to look at a model changes nothing about its training"


@pytest.mark.parametrize("folds", [None, Folds(2)])
def test_a_classic_model_tells_how_quick_it_is(tmp_path: Path, folds: Folds | None) -> None:
    goal = Goal("accuracy", "max", "last", limits=LIMITS)  # type: ignore[arg-type]
    learner = learner_named("histgb")
    objective = learner.objective("sklearn:iris", Split(), goal, 2, **({"folds": folds} if folds else {}))
    told = measured(objective, tmp_path, {k: v for k, v in CHEAP["histgb"].items() if folds or k != "rounds"})
    assert 0 < told["latency"] < 1000 and 0.5 < told["f1_macro"] <= 1


@pytest.mark.parametrize(
    ("model", "data", "goal", "says"),
    [
        ("mlp", "digits", Goal("accuracy", also=[Goal("second")]), "also.*second.*did you mean 'seconds'.*parameters"),
        ("mlp", "digits", Goal("accuracy", limits=[Limit("recall", least=1)]), "limits.*recall.*one of: accuracy"),
        ("mlp", "digits", Goal("seconds"), "metric.*seconds.*make the cost a further goal"),
        ("histgb", "digits", Goal("accuracy", also=[Goal("parameters")]), "parameters.*one of: .*latency"),
        ("kmeans", "iris", Goal("silhouette", limits=[Limit("latency", most=1)]), "clustering.*inertia, seconds, mem"),
        ("linear", "diabetes", Goal("rmse", also=[Goal("accuracy")]), "no metric of a regression"),
    ],
)
def test_what_no_trial_would_report_is_refused_before_any(model: str, data: str, goal: Goal, says: str) -> None:
    with pytest.raises(SettingError) as bad:
        model_subject(model, f"sklearn:{data}", goal, None, 10)
    assert re.search(says, " ".join(str(bad.value).split())), str(bad.value)


def test_a_score_that_the_data_has_no_value_of_is_refused_before_any_trial() -> None:
    with pytest.raises(DataError, match="two classes"):
        model_subject("mlp", "sklearn:digits", Goal("accuracy", limits=[Limit("f1", least=0.5)]), None, 10)
