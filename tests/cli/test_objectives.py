"""Objectives named on a command line: files, modules, and everything that can be wrong with them."""

import sys

import pytest

from tunebook.cli.objectives import objective_named, study_name
from tunebook.errors import TunebookError
from tunebook.objective import Run, play
from tunebook.trial import Measured


def values(objective, tmp_path):
    run = Run(0, {"x": 2.0}, 2, tmp_path, metric="loss")
    return [e.measurement.metrics["loss"] for e in play(objective, run) if isinstance(e, Measured)]


@pytest.mark.parametrize("name", ["work.py:quick", "./work.py:quick", "work:quick"])
def test_a_generator_function_by_file_and_by_module(folder, name, tmp_path):
    found = objective_named(name)
    assert found is sys.modules["work"].quick
    assert len(values(found, tmp_path)) == 2


def test_a_decorated_function_is_taken_as_it_is_and_a_plain_one_is_wrapped(folder, tmp_path):
    assert objective_named("work.py:reporting") is sys.modules["work"].reporting
    assert values(objective_named("work.py:plain"), tmp_path) == [1.0]


def test_a_file_finds_the_modules_beside_it(folder, tmp_path):
    below = folder / "project"
    below.mkdir()
    (below / "beside.py").write_text("LOSS = 4.5\n")
    (below / "entry.py").write_text("from beside import LOSS\ndef f(run):\n    return LOSS\n")
    assert values(objective_named("project/entry.py:f"), tmp_path) == [4.5]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("work.py", ["has no function", "try: work.py:train"]),
        ("work.py:", ["there is no function ''"]),
        (":quick", ["has no function"]),
        ("work.py:quikc", ["there is no function 'quikc'", "did you mean 'quick'?"]),
        ("work.py:quick.more", ["there is no function"]),
        ("wrok.py:quick", ["no such file", "did you mean 'work.py'?"]),
        ("folder.py:quick", ["this is a folder"]),
        ("wrok:quick", ["no such module", "did you mean 'work'?"]),
        ("a.b.c:quick", ["no such module"]),
        ("work.py:not_a_function", ["cannot be called", "int"]),
        ("work.py:no_argument", ["must take one argument", "no_argument()"]),
        ("random.py:f", ["the name of another module", "my_random.py"]),
        ("json:dumps2", ["there is no function"]),
    ],
)
def test_wrong_names(folder, name, parts):
    (folder / "random.py").write_text("def f(run): return 1.0\n")
    (folder / "folder.py").mkdir()
    with pytest.raises(TunebookError) as caught:
        objective_named(name)
    assert caught.value.exit_code == 2
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("import no_such_package\n", ["ModuleNotFoundError: No module named 'no_such_package'", "bad.py:1"]),
        ("x = 1\nraise ValueError('not ready')\n", ["ValueError: not ready", "bad.py:2"]),
        ("def f(run:\n    pass\n", ["SyntaxError", "bad.py:1"]),
        ("import sys\nsys.exit(3)\n", ["SystemExit", "__main__"]),
    ],
)
def test_what_a_file_raises_when_it_is_imported_comes_first(here, folder, text, parts):
    (folder / "bad.py").write_text(text)
    for name in ("bad.py:f", "bad:f"):
        code, _, err = here("run", name, "--space", "space.toml", "--metric", "loss")
        assert code == 2 and "Traceback" not in err
        for part in parts:
            assert part in err
    assert not (folder / "tunebook-runs").exists()


def test_names_of_studies():
    assert [study_name(n) for n in ("a/b/train.py:f", "pkg.models:f", "pkg:f")] == ["train", "models", "pkg"]
