"""Studies begun, taken up, extended and shown."""

import csv
import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from clidesk import QUICK, environment, tunebook
from sklearn.datasets import load_iris

from tunebook import Float, Goal, Space, open_study

ASKED = (*QUICK, "-j", "0", "-q")


def table(here, name="work"):
    code, out, err = here("export", name, "--format", "json", "--curves", "--no-times")
    assert code == 0, err
    return json.loads(out)["trials"]


def test_a_run_leaves_a_study_that_tells_everything(here, folder):
    code, out, _ = here(*ASKED, "-n", 20, "--json")
    assert code == 0
    told = json.loads(out)
    assert told["finished"] and told["trials"] <= 20 and told["model"] is None
    place = folder / "tunebook-runs" / "work"
    assert (place / ".gitignore").read_text() == "*\n"
    assert {"book.db", "config.resolved.toml", "report.html", "report.md"} <= {p.name for p in place.iterdir()}
    code, out, _ = here("show", "work", "--json")
    assert code == 0
    shown = json.loads(out)
    assert shown["status"] == "finished" and shown["trials"] == told["trials"]
    assert [r["name"] for r in shown["rounds"]][:2] == ["baseline", "explore"]
    assert not any(r["name"] == "finalize" for r in shown["rounds"]), "an own objective leaves no model"
    assert {d["round"] for d in shown["decisions"]} >= {r["name"] for r in shown["rounds"]}
    assert json.loads(here("best", "work", "--json")[1])["config"] == told["config"]
    assert here("show", str(place))[1] == here("show", "work")[1]
    listed = json.loads(here("list", "--json")[1])
    assert listed[0]["study"] == "work" and listed[0]["status"] == "finished" and listed[0]["active"]


def test_the_best_is_told_honestly(here, shelf, monkeypatch):
    monkeypatch.chdir(shelf)
    done = json.loads(here("best", "done", "--json")[1])
    assert done["source"] in ("confirmed", "default")
    assert done["confirmed"]["separable"] == (done["source"] == "confirmed")
    assert (
        done["confirmed"]["default"]["low"]
        <= done["confirmed"]["default"]["mean"]
        <= done["confirmed"]["default"]["high"]
    )
    words = here("best", "done")[1]
    assert ("Confirmed on seeds that the search never saw" in words) == done["confirmed"]["separable"]
    cut = json.loads(here("best", "cut", "--json")[1])
    assert (cut["finished"], cut["confirmed"]) == (False, None) and cut["source"] in ("best observed", "recommended")
    assert cut["config"] == cut["observed"]["config"] or cut["source"] == "recommended"
    assert "Not confirmed yet: the study is not finished" in here("best", "cut")[1]


def test_an_unfinished_study_is_shown_reported_and_resumed(here, shelf, folder):
    shutil.copytree(shelf / "tunebook-runs", folder / "tunebook-runs")
    assert json.loads(here("show", "cut", "--json")[1])["status"] == "unfinished"
    assert "to go on: tunebook resume cut" in here("show", "cut")[1]
    code, out, err = here("report", "cut")
    assert code == 0 and "not finished" in err
    assert (folder / out.strip()).read_text().startswith("<!")
    assert here("resume", "cut", "--quiet")[0] == 0
    assert table(here, "cut") == table(here, "done")
    assert json.loads(here("show", "cut", "--json")[1])["status"] == "finished"


def test_to_resume_what_is_finished_runs_nothing(here):
    assert here(*ASKED, "-n", 12)[0] == 0
    before = table(here)
    for again in (("resume", "work", "-q"), (*ASKED, "-n", 12), ("resume", "tunebook-runs/work", "-q", "-n", "12")):
        code, _, err = here(*again)
        assert code == 0 and err == ""
        assert table(here) == before


@pytest.mark.parametrize("more", [24, 60])
def test_a_larger_budget_extends_a_study_and_is_obeyed(here, more):
    assert here(*ASKED, "-n", 16)[0] == 0
    before = table(here)
    assert here("resume", "work", "-q", "--trials", more)[0] == 0
    after = table(here)
    assert len(before) < len(after) <= more
    assert after[: len(before)] == before, "earlier trials keep counting"
    shown = json.loads(here("show", "work", "--json")[1])
    assert shown["status"] == "finished"
    assert here("resume", "work", "-q")[0] == 0
    assert table(here) == after, "the extended budget is remembered"
    code, _, err = here("resume", "work", "--trials", 10)
    assert code == 2 and "fewer trials" in err


def test_an_extension_that_is_cut_ends_like_one_that_is_not(here, folder):
    for name in ("a", "b"):
        assert here(*ASKED, "-n", 12, "-s", name)[0] == 0
    assert here("resume", "a", "-q", "-n", 30)[0] == 0
    assert tunebook(folder, "resume", "b", "-q", "-n", "30", TUNEBOOK_FAULTS="kill:45").returncode == -9
    assert here("resume", "b", "-q")[0] == 0
    assert table(here, "a") == table(here, "b")


def test_a_study_moves_with_its_folder(here, folder, tmp_path_factory, monkeypatch):
    assert here(*ASKED, "-n", 8)[0] == 0
    moved = tmp_path_factory.mktemp("elsewhere") / "project"
    shutil.move(folder, moved)
    folder.mkdir()
    monkeypatch.chdir(moved.parent)
    sys.modules.pop("work")
    code, _, err = here("resume", "project/tunebook-runs/work", "-q", "-n", 12)
    assert code == 0, err


SCRIPT = """
import sys
import tunebook
from tunebook import Float, Goal, Space

@tunebook.objective
def train(run):
    for step in range(1, run.until + 1):
        run.report(step, loss=(run.config["x"] - 1) ** 2 + 1 / step)

if __name__ == "__main__":
    tunebook.tune(train, Space(x=Float(-5.0, 5.0)), Goal("loss"), steps=3, trials=10, workers=1,
                  folder="tunebook-runs/scripted")
    print("the script has ended", sys.argv[1])
    sys.exit(int(sys.argv[1]))
"""


def test_a_script_is_resumed_by_its_recorded_command(folder):
    (folder / "mine.py").write_text(SCRIPT)
    killed = subprocess.run(
        [sys.executable, "mine.py", "7"], cwd=folder, env=environment(TUNEBOOK_FAULTS="kill:20"), check=False
    )
    assert killed.returncode == -9
    below = folder / "below"
    below.mkdir()
    done = tunebook(below, "resume", "../tunebook-runs/scripted")
    assert done.returncode == 7, done.stderr
    assert f"cd {folder} && " in done.stderr and "mine.py 7" in done.stderr.splitlines()[0]
    assert "the script has ended 7" in done.stdout
    told = json.loads(tunebook(folder, "show", "scripted", "--json").stdout)
    assert told["status"] == "finished" and told["trials"] <= 10
    refused = tunebook(folder, "resume", "scripted", "--trials", "50")
    assert refused.returncode == 2
    assert "give it more there, and run it again" in refused.stderr and "mine.py 7" in refused.stderr


def test_a_study_without_a_command_says_what_to_do(here, folder):
    with open_study(Space(x=Float(0.0, 1.0)), Goal("loss"), folder="tunebook-runs/asked", sampler="quasi") as study:
        for trial in study.ask(3):
            study.tell(trial.number, loss=trial.config["x"])
    code, _, err = here("resume", "asked")
    assert code == 2 and "run your own loop again" in err
    told = json.loads(here("best", "asked", "--json")[1])
    assert told["source"] in ("best observed", "recommended")
    for words in (("show", "asked"), ("report", "asked"), ("report", "asked", "--format", "terminal"), ("list",)):
        assert here(*words)[0] == 0


@pytest.mark.parametrize("format", ["html", "md", "json", "terminal"])
def test_reports_go_where_they_are_told_to(here, folder, shelf, format):
    shutil.copytree(shelf / "tunebook-runs", folder / "tunebook-runs")
    code, out, _ = here("report", "done", "--format", format, "--output", "-")
    assert format != "json" or json.loads(out)["title"] == "done"
    assert code == 0 and "done" in out and "explore" in out.lower()
    code, _, _ = here("report", "done", "--format", format, "--output", "told.txt")
    assert code == 0 and "explore" in (folder / "told.txt").read_text().lower()
    code, _, err = here("report", "done", "--output", "no/such/folder.html")
    assert code == 2 and "cannot be written" in err
    code, out, _ = here("report", "done", "--format", format)
    assert code == 0
    where = folder / f"tunebook-runs/done/report.{format}"
    assert (out.strip() == str(where.relative_to(folder))) == (format != "terminal")


def test_export_as_csv(here, shelf, monkeypatch, tmp_path):
    monkeypatch.chdir(shelf)
    rows = list(csv.DictReader(io.StringIO(here("export", "done")[1])))
    trials = json.loads(here("export", "done", "--format", "json", "--curves")[1])["trials"]
    assert [int(r["trial"]) for r in rows] == [t["number"] for t in trials] == list(range(len(trials)))
    for row, t in zip(rows, trials, strict=True):
        assert float(row["config.x"]) == t["config"]["x"] and int(row["config.y"]) == t["config"]["y"]
        assert float(row["metric.loss"]) == t["value"]
        assert row["status"] == t["status"] and int(row["seed"]) == t["context"]["seed"]
    curves = list(csv.DictReader(io.StringIO(here("export", "done", "--curves")[1])))
    flat = [(t["number"], m["step"], m["metrics"]["loss"]) for t in trials for m in t["curve"]]
    assert [(int(c["trial"]), int(c["step"]), float(c["metric.loss"])) for c in curves] == flat
    bare = here("export", "done", "--no-times")[1].splitlines()[0].split(",")
    assert not {"seconds", "started", "ended", "attempt"} & set(bare)
    code, out, _ = here("export", "done", "-o", tmp_path / "out.csv")
    assert (code, out) == (0, "")
    assert (tmp_path / "out.csv").read_text().splitlines()[0].startswith("trial,round,status")


def test_hostile_names_are_shown_and_do_nothing(here, folder):
    (folder / "odd.py").write_text(
        "from tunebook import Measurement\n"
        "def f(run):\n"
        "    if run.config['=1+1'] == '@cmd':\n"
        "        raise ValueError('=HYPERLINK(\"x\")\\x1b[2J')\n"
        "    yield Measurement(1, {'loss': float('inf') if run.config['[b]k'] > 0.5 else run.config['[b]k']})\n"
    )
    (folder / "odd.toml").write_text(
        '"=1+1" = { type = "choice", options = ["-2", "@cmd", "[red]x"] }\n'
        '"[b]k" = { type = "float", low = 0.0, high = 1.0 }\n'
    )
    code, _, err = here("run", "odd.py:f", "--space", "odd.toml", "--metric", "loss", "-n", 24, "-j", 0)
    assert code == 0, err
    out = here("export", "odd")[1]
    rows = list(csv.reader(io.StringIO(out)))
    assert not [cell for row in rows for cell in row if cell[:1] in "=@+" and cell]
    assert "'@cmd" in out and "'=HYPERLINK" not in rows[0]
    told = json.loads(here("export", "odd", "--format", "json", "--curves")[1])
    assert "Infinity" in json.dumps(told)
    assert not any("NaN" in str(t["config"]) for t in told["trials"])
    for text in (err, here("show", "odd")[1], here("best", "odd")[1], here("list")[1]):
        assert "\x1b" not in text
    assert "[b]k" in here("best", "odd")[1]


def test_an_objective_that_cannot_be_sent_is_found_before_anything_is_made(here, folder):
    code, out, err = here("run", "work.py:held", "--space", "space.toml", "--metric", "loss", "-j", 1)
    assert (code, out) == (2, "")
    assert "argument 'lock'" in err and "try:" in err and "Traceback" not in err
    assert not (folder / "tunebook-runs").exists()


@pytest.mark.slow
def test_a_model_from_data_to_predictions(here, folder):
    asked = ("run", "--model", "mlp", "--data", "sklearn:iris", "--steps", "2", "-n", 8, "-j", 0, "-q", "--json")
    code, out, err = here(*asked)
    assert code == 0, err
    told = json.loads(out)
    assert told["study"] == "iris" and told["looks"] == 1
    assert 0 <= told["test"]["accuracy"]["low"] <= told["test"]["accuracy"]["value"] <= 1
    np.savez(folder / "new.npz", x=load_iris().data[:7])
    for model in ("iris", told["model"]):
        lines = here("predict", model, "new.npz", "--proba")[1].splitlines()
        assert lines[0].startswith("prediction,p(setosa)") and len(lines) == 8
    rows = json.loads(here("predict", "iris", "new.npz", "--json")[1])
    assert [r["prediction"] for r in rows] == [line.partition(",")[0] for line in lines[1:]]
    code, _, err = here("predict", "iris", "new.csv")
    assert code == 2 and "takes arrays" in err
    assert here("predict", "iris", "none.npz")[0] == 2
    code, out, err = here(*asked)
    assert code == 0 and json.loads(out) == told, "no second look"
    code, _, err = here("run", *asked[1:], "--metric", "acuracy")
    assert code == 2 and "did you mean 'accuracy'" in err
    code, _, err = here("run", "--model", "mpl", *asked[3:], "-s", "other")
    assert code == 2 and "mlp" in err
