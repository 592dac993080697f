"""A table and no code: from a CSV to a model in hand."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tunebook.analysis.curves import best_so_far
from tunebook.cli.main import call
from tunebook.data import from_arrays, open_dataset, save_arrays
from tunebook.errors import DataError, SettingError
from tunebook.learners import load_model
from tunebook.metrics import METRICS
from tunebook.playbook.base import ranked
from tunebook.record import read_record
from tunebook.sealed import read_card
from tunebook.tables import judge_record, table_of, tune_table
from tunebook.trial import Goal, Measurement, Status, Trial, is_whole


def wine_csv(path: Path) -> Path:
    """Wine as people have tables: gaps, a column of labels, one of dates, one that says nothing."""
    data = open_dataset("sklearn:wine")
    rng = np.random.default_rng(0)
    lines = [",".join([*(n.replace("/", " ") for n in data.feature_names), "colour", "bottled", "same", "wine"])]
    for i, (row, code) in enumerate(zip(data.inputs, data.targets, strict=True)):
        cells = [f"{v:g}" if rng.random() > 0.03 else "" for v in row]
        colour = "light" if row[9] < 4 else "dark"
        cells += [colour, f"20{10 + i % 10}-0{1 + i % 9}-11", "x", data.classes[code]]
        lines.append(",".join(cells))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    csv = wine_csv(folder / "wine.csv")
    words = ["tune", str(csv), "--target", "wine", "--families", "logistic,knn,svm", "--trials", "30", "-j", "0",
             "--budget", "120s", "--folder", str(folder / "study"), "-q", "--metric", "log_loss"]  # fmt: skip
    assert call(words) == 0
    return folder


def test_a_table_becomes_a_model_with_its_test_score(tuned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["best", str(tuned / "study"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["test"]) == {"accuracy", "log_loss"}
    assert told["test"]["accuracy"]["value"] > 0.85
    assert told["looks"] == 1
    card = (tuned / "study" / "model-card.md").read_text()
    for word in ("fingerprint", "13 numbers", "1 categories (colour)", "1 dates (bottled)", "are missing", "class_1",
                 "same", "Caveats", "95 % interval", "scikit-learn 1."):  # fmt: skip
        assert word in card, word
    assert call(["predict", str(tuned / "study"), str(tuned / "wine.csv"), "--proba"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0] == "prediction,p(class_0),p(class_1),p(class_2)"
    truth = [line.rpartition(",")[2] for line in (tuned / "wine.csv").read_text().splitlines()[1:]]
    assert np.mean([r.partition(",")[0] == t for r, t in zip(rows[1:], truth, strict=True)]) > 0.95


def test_what_was_seen_in_the_table_is_kept_and_reported(tuned: Path) -> None:
    notes = read_record(tuned / "study").trials.notes["job"]["notes"]
    assert any("locked away" in line for line in notes)
    assert "What was seen in the data" in (tuned / "study" / "report.md").read_text()


def test_the_ensemble_is_of_trials_that_were_paid_for(tuned: Path) -> None:
    record = read_record(tuned / "study")
    note = record.trials.notes["ensemble"]
    model = next(p for p in (tuned / "study" / "trials").glob("*/model") if read_card(p).get("kind") == "ensemble")
    assert note["used"]
    assert note["difference"] < 0
    ensemble = load_model(model)
    assert sum(ensemble.weights) == pytest.approx(1.0)
    data = open_dataset(f"csv:{tuned / 'wine.csv'}?target=wine")
    parts = [load_model(tuned / "study" / "trials" / str(n) / "model") for n in note["members"]]
    mean = sum(w * m.predict_proba(data.inputs) for w, m in zip(note["weights"], parts, strict=True))
    assert ensemble.predict_proba(data.inputs) == pytest.approx(mean, abs=1e-12)
    for n in note["members"]:
        assert record.trials[n].context.final
        assert any(t.key == record.trials[n].key for t in record.trials.values() if not t.context.final)


def test_probabilities_are_calibrated_for_a_metric_of_probabilities_only_where_that_helps(tuned: Path) -> None:
    decision = read_record(tuned / "study").trials.notes["decision"]
    assert decision["threshold"] == 0.5  # of three classes there is none
    model = next(p for p in (tuned / "study" / "trials").glob("*/model") if read_card(p).get("kind") == "ensemble")
    assert (load_model(model).card.calibrator is None) is (decision["calibrated"] is None)
    assert (decision["gain"] > 0) is (decision["calibrated"] is not None)


def test_a_threshold_and_outer_folds_for_two_imbalanced_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4))
    y = np.where(x[:, 0] + rng.normal(size=400) > 1.9, "rare", "common")
    path = save_arrays(from_arrays(x, y, kind="table"), tmp_path / "data.npz")
    goal = Goal("f1", "maximize")  # type: ignore[arg-type]
    result = tune_table(f"npz:{path}", goal, families=["logistic"], trials=8, workers=0, nested=2, calibrate=True,
                        folder=tmp_path / "s", quiet=True)  # fmt: skip
    notes = read_record(result.folder).trials.notes
    assert result.model is not None
    model = load_model(result.model)
    assert model.card.threshold == notes["decision"]["threshold"] != 0.5
    assert result.test is not None
    table = table_of(f"npz:{path}", 0, 0.2)
    inputs, truth = table.dataset.inputs[table.parts.test], table.dataset.targets[table.parts.test]
    codes = (model.predict_proba(inputs)[:, 1] >= model.card.threshold).astype(int)
    assert result.test.metrics["f1"][0] == pytest.approx(METRICS["f1"](truth, codes))
    assert len(notes["nested"]["scores"]) == 2
    assert notes["nested"]["low"] < notes["nested"]["mean"] < notes["nested"]["high"]
    card = (result.folder / "model-card.md").read_text()
    for words in ("'rare' is predicted from", "by nested cross-validation", "| the share of 'rare' |", "ms for 1,000"):
        assert words in card, words
    with pytest.raises(SettingError, match="outer folds"):
        tune_table(f"npz:{path}", goal, nested=1, folder=tmp_path / "t", quiet=True)
    with pytest.raises(SettingError, match="searched for one goal"):
        tune_table(f"npz:{path}", Goal("accuracy", "maximize", also=[Goal("seconds")]), folder=tmp_path / "t")


def test_the_best_of_a_study_is_a_whole_cross_validation(tuned: Path) -> None:
    record = read_record(tuned / "study")
    goal = record.goal
    assert goal is not None
    assert record.best is not None
    assert record.best.step == record.best.until == 10
    lucky = replace(record.best, number=999, status=Status.STOPPED,
                    curve=(Measurement(1, {goal.metric: 0.0}),))  # fmt: skip
    assert not is_whole(lucky, goal)
    told = best_so_far([record.best, lucky], goal)
    assert told.best.tolist() == [record.best.value(goal)] * 2
    assert ranked([lucky, record.best], goal, 10)[0] is record.best


def test_what_leads_by_far_is_used_though_there_was_no_time_for_all_folds() -> None:
    goal = Goal("rmse", "minimize", pick="last")

    def trial(number: int, *losses: float) -> Trial:
        status = Status.COMPLETED if len(losses) == 5 else Status.STOPPED
        curve = tuple(Measurement(i, {"rmse": loss}) for i, loss in enumerate(losses, 1))
        return Trial(number, "explore", {"n": number}, status=status, until=5, curve=curve)

    default, leads, close, one = trial(0, 5, 5, 6, 6, 6), trial(1, 3, 3), trial(2, 5.1, 5.1), trial(3, 1)
    assert [t.number for t in ranked([default, leads, close, one], goal, 5)] == [1, 0, 2, 3]
    many = [trial(n, 5, 5, 6, 6, 6) for n in range(4, 8)]
    assert ranked([leads, *many], goal, 5)[0] is many[0]


def test_the_report_tells_of_the_ensemble(tuned: Path) -> None:
    told = (tuned / "study" / "report.md").read_text()
    assert "It is an ensemble of" in told
    assert "looked at to choose" in told


def test_one_command_compares_the_ensembles(tuned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["ensembles", str(tuned / "study")]) == 0
    out = capsys.readouterr().out
    for name in ("best single", "majority vote", "average", "weighted average", "greedy selection", "stacking"):
        assert name in out
    judged = judge_record(tuned / "study", read_record(tuned / "study"))
    assert all(c.judged.low <= c.judged.value <= c.judged.high for c in judged)
    assert all(c.latency > 0 for c in judged)
    assert judged[3].latency >= judged[0].latency  # a weighted average runs the best single model among others
    assert judged[0].size > 0


def test_to_tune_again_changes_nothing(tuned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = len(read_record(tuned / "study").trials)
    words = ["tune", str(tuned / "wine.csv"), "--target", "wine", "--families", "logistic,knn,svm", "--trials", "30",
             "-j", "0", "--budget", "120s", "--folder", str(tuned / "study"), "-q", "--metric", "log_loss"]  # fmt: skip
    assert call([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["trials"] == before
    assert told["looks"] == 1


def test_without_a_test_part_all_rows_are_learned_from(tmp_path: Path) -> None:
    result = tune_table("sklearn:diabetes", Goal("mae"), families=["linear", "knn"], test=0, trials=14, workers=0,
                        folder=tmp_path / "s", quiet=True)  # fmt: skip
    assert result.test is None
    assert result.model is not None
    data = open_dataset("sklearn:diabetes")
    alone = result.model.with_name("single")  # where an ensemble took its place
    assert load_model(alone if alone.is_dir() else result.model).card.about["rows"] == len(data)
    assert METRICS["mae"](data.targets, load_model(result.model).predict(data.inputs)) < 50
    card = (tmp_path / "s" / "model-card.md").read_text()
    assert "no test part" in card
    assert "corrected for having chosen the best" in card


@pytest.mark.parametrize("seconds", [0.001, 0.3, 1.0])
def test_there_is_a_model_even_where_no_time_was(tmp_path: Path, seconds: float) -> None:
    result = tune_table("sklearn:wine", families=["logistic"], time_limit=seconds, workers=0, folder=tmp_path,
                        quiet=True)  # fmt: skip
    assert result.model is not None
    data = open_dataset("sklearn:wine")
    told = load_model(result.model).predict(data.inputs) == data.labels[data.targets]
    assert told.mean() > 0.9
    assert (tmp_path / "model-card.md").exists()


def test_groups_stay_together_and_time_goes_forward(tmp_path: Path) -> None:
    csv = tmp_path / "t.csv"
    rng = np.random.default_rng(0)
    rows = [f"{rng.normal():.3f},2024-0{1 + i % 9}-{1 + i % 28:02},p{i // 6},{rng.normal() + i % 2:.3f},{'ab'[i % 2]}"
            for i in range(240)]  # fmt: skip
    csv.write_text("x,day,patient,z,y\n" + "\n".join(rows) + "\n")
    grouped = tune_table(f"csv:{csv}?target=y&group=patient", families=["logistic"], trials=8, workers=0,
                         folder=tmp_path / "g", quiet=True)  # fmt: skip
    assert read_record(grouped.folder).trials.notes["job"]["folds"]["kind"] == "group"
    timed = tune_table(f"csv:{csv}?target=y&time=day", families=["logistic"], trials=8, workers=0,
                       folder=tmp_path / "t", quiet=True)  # fmt: skip
    assert read_record(timed.folder).trials.notes["job"]["folds"]["kind"] == "time"
    assert "follow each other in time" in (tmp_path / "t" / "model-card.md").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["tune", "wine.csv"], "--target"),
        (["tune", "wine.csv", "--target", "wines"], "did you mean 'wine'"),
        (["tune", "wine.csv", "--target", "wine", "--metric", "acuracy"], "did you mean 'accuracy'"),
        (["tune", "wine.csv", "--target", "wine", "--metric", "rmse"], "no metric of a classification"),
        (["tune", "wine.csv", "--target", "wine", "--families", "xgbost"], "did you mean 'xgboost'"),
        (["tune", "wine.csv", "--target", "wine", "--families", "linear"], "no family of these"),
        (["tune", "wine.csv", "--target", "wine", "--test", "0.9"], "share of the rows"),
        (["tune", "wine.csv", "--target", "wine", "--budget", "10"], "10s or 10m"),
        (["tune", "wien.csv", "--target", "wine"], "did you mean 'wine.csv'"),
        (["tune", "sklearn:digits"], "not a table"),
        (["tune", "wine.csv", "--target", "wine", "--group", "colours"], "did you mean 'colour'"),
        (["tune", "wine.csv", "--target", "wine", "--time", "colour"], "has no order"),
        (["tune", "few.csv", "--target", "y"], "folds"),
    ],
)
def test_bad_input_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    wine_csv(tmp_path / "wine.csv")
    (tmp_path / "few.csv").write_text("x,y\n1,a\n2,b\n3,a\n4,b\n5,a\n6,b\n7,a\n8,c\n9,c\n")
    assert call([*words, "-q"]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "tunebook-runs").exists()


def test_a_model_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        tune_table("sklearn:digits", trials=8, folder=tmp_path / "s")
    with pytest.raises(SettingError):
        tune_table("sklearn:wine", test=-1, trials=8, folder=tmp_path / "s")
