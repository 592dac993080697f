"""Several goals and limits, as files, flags and variables tell them."""

from pathlib import Path
from typing import Any

import pytest

from tunebook.cli.goals import goal_of
from tunebook.cli.job import read_resolved, resolve, resolved_text
from tunebook.cli.main import call
from tunebook.errors import SettingError, TunebookError
from tunebook.record import RESOLVED, read_record
from tunebook.trial import Goal, Limit

GOAL = Goal("accuracy", "max", also=[Goal("seconds"), Goal("f1_macro", "max")],  # type: ignore[arg-type]
            limits=[Limit("memory", most=500), Limit("recall", least=0.9)])  # fmt: skip
IN_FILE = """
model = "logistic"
data = "sklearn:iris"
metric = "accuracy"
also = ["seconds", { metric = "f1_macro" }]
trials = 8

[limits]
memory = { most = 500 }
recall = { least = 0.9 }
"""
FLAGS = {"model": "logistic", "data": "sklearn:iris", "metric": "accuracy", "also": ["seconds", "f1_macro"],
         "limits": ["memory <= 500", "recall>=0.9"]}  # fmt: skip


def test_all_ways_to_tell_them_come_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "job.toml"
    file.write_text(IN_FILE)
    for job in (resolve({}, file, [], None), resolve(FLAGS, None, [], None)):
        assert goal_of(job) == GOAL
        (tmp_path / RESOLVED).write_text(resolved_text(job, tmp_path))
        assert goal_of(read_resolved(tmp_path)) == GOAL
    monkeypatch.setenv("TUNEBOOK_ALSO", "seconds, f1_macro")
    monkeypatch.setenv("TUNEBOOK_LIMITS", "memory<=500,recall>=0.9")
    plain = {k: v for k, v in FLAGS.items() if k not in ("also", "limits")}
    assert goal_of(resolve(plain, None, [], None)) == GOAL


def test_flags_win_and_a_part_can_be_set(tmp_path: Path) -> None:
    file = tmp_path / "job.toml"
    file.write_text(IN_FILE)
    job = resolve({"also": ["memory"]}, file, ["limits.memory.most=9", "limits.recall.most=1.0"], None)
    limits = [Limit("memory", most=9), Limit("recall", least=0.9), Limit("recall", most=1.0)]
    assert goal_of(job) == Goal("accuracy", "max", also=[Goal("memory")], limits=limits)  # type: ignore[arg-type]


def test_what_a_model_is_worth_is_known_without_being_told() -> None:
    told: dict[str, Any] = {"model": "linear", "data": "sklearn:diabetes"}
    assert goal_of(resolve(told, None, [], None)) is None
    assert goal_of(resolve(told | {"also": ["seconds"]}, None, [], None)) == Goal("rmse", also=[Goal("seconds")])
    assert goal_of(resolve(told | {"metric": "r2", "also": ["size:max"]}, None, [], None)) == Goal(
        "r2", "max", also=[Goal("size", "max")])  # type: ignore[arg-type]  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"also": ["seconds", "seconds"]}, "a goal twice"),
        ({"also": ["accuracy"]}, "a goal twice"),
        ({"also": ["seconds:down"]}, "unknown direction\n  --> also"),
        ({"also": [{"metrics": "seconds"}]}, "not a further goal"),
        ({"also": 3}, "also has the wrong type\n  --> --also"),
        ({"also": [""]}, "no name\n  --> also"),
        ({"limits": ["memory"]}, "not a limit\n  --> limits\n  got 'memory'"),
        ({"limits": {"memory": {"max": 3}}}, "not a limit\n  --> limits.memory"),
        ({"limits": {"memory": {}}}, "not a limit"),
        ({"limits": {"memory": 500}}, "limits has the wrong type\n  --> --limit"),
        ({"limits": {"memory": {"most": float("inf")}}}, "one finite bound"),
        ({"limits": ["a <= 1", "a >= 2"]}, "no value keeps both limits"),
        ({"limits": ["a <= 1", "a <= 2"]}, "two limits of one kind"),
    ],
)
def test_what_is_refused_is_said_with_its_place(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(TunebookError) as bad:
        goal_of(resolve(FLAGS | changed, None, [], None))
    assert says in str(bad.value) and str(bad.value).count("wrong type") <= 1


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(SettingError) as bad:
        goal_of(resolve(FLAGS | {"also": ["a:b"], "limits": ["c", "d"]}, None, [], None))
    assert len(bad.value.problems) == 3


def test_a_job_from_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Iris by k nearest neighbours: a limit that the default does not keep, and one that nothing does."""
    words = ["run", "--model", "knn", "--data", "sklearn:iris", "--also", "latency", "--steps", "1", "--trials", "16",
             "--workers", "0", "-q"]  # fmt: skip
    folder = str(tmp_path / "a")
    assert call([*words, "--limit", "log_loss <= 0.6", "--limit", "seconds<=60", "--folder", folder]) == 0
    assert "latency" in capsys.readouterr().out
    assert call(["best", folder]) == 0
    said = capsys.readouterr().out
    assert "within the limits log_loss <= 0.6, seconds <= 60" in said and "\nused" in said
    assert str(read_record(folder).goal) == "maximize accuracy, minimize latency, log_loss <= 0.6, seconds <= 60"
    assert "## The front" in (tmp_path / "a" / "report.md").read_text()
    assert call([*words, "--folder", folder]) != 0
    assert "maximize accuracy, minimize latency, log_loss <= 0.6" in capsys.readouterr().err

    folder = str(tmp_path / "b")
    assert call([*words, "--limit", "latency <= 1e-9", "--folder", folder]) == 3
    told = capsys.readouterr()
    assert "o trial keeps latency <= 1e-09; the nearest is trial" in told.out and "keeps the limits" in told.err
    assert call(["best", folder]) == 3
    assert "the nearest is trial" in capsys.readouterr().out
    assert call(["show", folder]) == 0


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--limit", "recall >= 0.9"], "no metric of a classification"),
        (["--also", "latancy"], "did you mean 'latency'?"),
        (["--also", "parameters"], "one of: accuracy"),
    ],
)
def test_a_metric_that_is_not_there_is_told_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], says: str
) -> None:
    folder = tmp_path / "s"
    for more in ([], ["--dry-run"]):
        assert call(["run", "--model", "knn", "--data", "sklearn:iris", "-f", str(folder), *flags, *more]) not in (0, 3)
        assert says in capsys.readouterr().err
    assert not folder.exists()
