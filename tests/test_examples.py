"""The examples, in small budgets and processes of their own: each leaves a report, and a model if it has one."""

import shutil
import subprocess
import sys
from pathlib import Path

from tunebook.cli.export import What, exported
from tunebook.record import Record, read_record
from tunebook.story import story_in

EXAMPLES = Path(__file__).parents[1] / "examples"
SMALL = ("--trials", "12", "--steps", "2")


def python(folder: Path, *words: str) -> str:
    """What a Python process in a folder prints."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def example(folder: Path, name: str, *words: str) -> str:
    return python(folder, str(EXAMPLES / name), *SMALL, *words)


def left(folder: Path, name: str) -> Record:
    """The record of a study that is finished; its report is there."""
    record = read_record(folder / "tunebook-runs" / name)
    assert record.finished and len(record.trials) <= 12
    assert (record.folder / "report.html").stat().st_size > 20_000
    return record


def looks(record: Record) -> list[str]:
    return [look.reason for look in record.trials.looks]


def test_every_example_has_a_test() -> None:
    text = Path(__file__).read_text("utf-8")
    assert [p.name for p in EXAMPLES.glob("*.py") if f'"{p.name}"' not in text] == []


def test_digits_cnn_is_the_same_again_with_one_worker(tmp_path: Path) -> None:
    tables = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        printed = example(folder, "digits_cnn.py", "--workers", "1")
        assert "report: tunebook-runs/digits-cnn/report.html" in printed and "test accuracy" in printed
        record = left(folder, "digits-cnn")
        assert looks(record) == ["final evaluation"] and len(record.trials) > 8
        tables.append(exported(record, "json", What(curves=True, times=False)))
    assert tables[0] == tables[1], "byte for byte: configurations, seeds, curves and statuses"
    story = story_in(record)
    assert story is not None and story.model is not None
    shutil.copytree(story.model, tmp_path / "elsewhere")
    code = (
        "import numpy, tunebook; from sklearn.datasets import load_digits; d = load_digits(); "
        "images = (d.images[:, None] / 16).astype('float32'); labels = tunebook.load('elsewhere').predict(images); "
        "print((labels == d.target).mean())"
    )
    assert float(python(tmp_path, "-c", code)) > 0.8


def test_own_loop(tmp_path: Path) -> None:
    printed = example(tmp_path, "own_loop.py")
    assert "hidden =" in printed
    assert looks(left(tmp_path, "own-loop")) == []


def test_table(tmp_path: Path) -> None:
    printed = example(tmp_path, "table.py")
    assert "test accuracy" in printed
    assert looks(left(tmp_path, "table")) == ["final evaluation"]
    rows = python(tmp_path, "-m", "tunebook.cli.main", "predict", "table", "tunebook-runs/wine.csv").splitlines()
    assert len(rows) == 179 and set(rows[1:]) <= {"0", "1", "2"}


def test_mnist1d(tmp_path: Path) -> None:
    printed = example(tmp_path, "mnist1d.py", "--trials", "6")
    assert printed.count("test accuracy") == 2
    for model in ("mlp", "cnn"):
        assert looks(left(tmp_path, f"mnist1d-{model}")) == ["final evaluation"]


def test_pretraining(tmp_path: Path) -> None:
    lines = python(tmp_path, str(EXAMPLES / "pretraining.py"), "--seeds", "2", "--steps", "1").splitlines()
    assert lines[0] == "accuracy, 2 seeds; 95 % intervals"
    assert [line.split("  ")[1] for line in lines[1:]] == ["no pretraining", "similar task", "large set"]
