"""From flags, environment and files to one job: who wins, what is refused, and that a resolved job comes back."""

import math
import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunebook.cli.files import read_data
from tunebook.cli.job import Job, environment, folder_of, read_resolved, resolve, resolved_text, unknown_variables
from tunebook.cli.run import subject
from tunebook.cli.toml import to_toml
from tunebook.errors import TunebookError
from tunebook.record import RESOLVED
from tunebook.space import Int, Space

FILE = """
objective = "work.py:quick"
metric = "loss"
trials = 11
seed = 5
workers = 1

[space]
x = { type = "float", low = 0.0, high = 1.0 }
"""


@pytest.fixture
def file(folder):
    path = folder / "job.toml"
    path.write_text(FILE)
    return path


def told(bad):
    """The text of the error that a call raises."""
    with pytest.raises(TunebookError) as caught:
        bad()
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_flags_win_over_environment_over_file_over_defaults(file, monkeypatch):
    monkeypatch.setenv("TUNEBOOK_TRIALS", "22")
    monkeypatch.setenv("TUNEBOOK_SEED", "6")
    job = resolve({"trials": 33}, file, ["space.x.high=0.5"], None)
    assert (job.trials, job.seed, job.workers, job.time_limit) == (33, 6, 1, None)
    assert job.space == {"x": {"type": "float", "low": 0.0, "high": 0.5}}
    monkeypatch.delenv("TUNEBOOK_SEED")
    assert resolve({}, file, [], None).seed == 5
    assert resolve({}, file, [], None).trials == 22


def test_the_command_line_shows_the_same(here, file, monkeypatch):
    monkeypatch.setenv("TUNEBOOK_STEPS", "7")
    code, out, _ = here("run", "--config", file, "-n", 40, "--set", "direction=maximize", "--dry-run")
    assert code == 0
    for line in ("trials = 40", "steps = 7", "seed = 5", 'direction = "maximize"', "explore", "0.0 to 1.0"):
        assert line in out
    assert not (file.parent / "tunebook-runs").exists(), "a dry run writes nothing"


def test_a_higher_source_displaces_what_excludes_it(file, monkeypatch):
    monkeypatch.setenv("TUNEBOOK_FOLDER", "somewhere")
    assert resolve({"study": "mine"}, file, [], None).folder is None
    other = resolve({"model": "mlp", "data": "sklearn:iris"}, file, [], None)
    assert (other.objective, other.model) == (None, "mlp")


def test_a_space_file_may_have_its_table_or_not(folder):
    (folder / "two.toml").write_text("[space]\nx = {type = 'float', low = 0.0, high = 1.0}\n")
    flags = {"objective": "work.py:quick", "metric": "loss"}
    assert list(resolve(flags, None, [], folder / "two.toml").space) == ["x"]
    assert list(resolve(flags, None, [], folder / "space.toml").space) == ["x", "y"]


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("trails = 3", ["unknown key", "job.toml: trails", "did you mean 'trials'?"]),
        ('trials = "100"', ["whole number", "'100'", "job.toml: trials"]),
        ("trials = 1.5", ["whole number", "1.5"]),
        ("trials = true", ["whole number", "True"]),
        ("metric = 3", ["metric has the wrong type", "text"]),
        ("space = 3", ["a table"]),
        ('model = "cnn"', ["objective and model exclude each other"]),
    ],
)
def test_wrong_keys_of_a_file(file, line, parts):
    name = line.partition(" ")[0]
    lines = [x for x in FILE.splitlines() if not x.startswith(f"{name} =")]
    if name == "space":
        lines = lines[: lines.index("[space]")]
    file.write_text("\n".join([line, *lines]))
    message = told(lambda: resolve({}, file, [], None))
    for part in parts:
        assert part in message


def test_all_problems_of_a_file_at_once(file):
    file.write_text('trials = "many"\nseeds = 3\nmetric = 4\n' + 'objective = "work.py:quick"\n')
    message = told(lambda: resolve({}, file, [], None))
    for part in ("'many'", "did you mean 'seed'?", "metric has the wrong type"):
        assert part in message


@pytest.mark.parametrize(
    ("write", "parts"),
    [
        (lambda p: None, ["no such file", "did you mean 'job.toml'?"]),
        (lambda p: p.mkdir(), ["this is a folder"]),
        (lambda p: p.write_text("  \n"), ["empty"]),
        (lambda p: p.write_text("trials = [1\nmetric"), ["not valid TOML", "jub.toml:2"]),
        (lambda p: p.write_text("trials = 1\ntrials = 2\n"), ["stands twice", "line 1 and line 2"]),
        (lambda p: p.write_bytes(b"metric = '\xff\xfe'"), ["not UTF-8"]),
        (lambda p: p.write_bytes(b"#" * (1 << 21)), ["too large"]),
    ],
)
def test_files_that_cannot_be_read(file, write, parts):
    path = file.with_name("jub.toml")
    write(path)
    message = told(lambda: resolve({}, path, [], None))
    for part in parts:
        assert part in message


def test_a_byte_order_mark_is_no_harm_and_yaml_is_refused(folder):
    (folder / "a.toml").write_bytes(b"\xef\xbb\xbftrials = 3\n")
    assert read_data(folder / "a.toml", "job file") == {"trials": 3}
    (folder / "a.yaml").write_text("x: 1")
    assert "TOML" in told(lambda: read_data(folder / "a.yaml", "space file"))


def test_variables(folder):
    assert environment(
        {"TUNEBOOK_TRIALS": "5", "TUNEBOOK_METRIC": "auc", "PATH": "x", "TUNEBOOK_FAULTS": "kill:1"}
    ) == {
        "trials": 5,
        "metric": "auc",
    }
    assert "TUNEBOOK_WORKERS" in told(lambda: environment({"TUNEBOOK_WORKERS": "abc"}))
    assert unknown_variables({"TUNEBOOK_TRAILS": "5", "TUNEBOOK_FAULTS": "", "TUNEBOOK_SEED": "1"}) == [
        "TUNEBOOK_TRAILS is not a setting: did you mean 'TUNEBOOK_TRIALS'?"
    ]


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ("trials", ["sets nothing", "key=value"]),
        ("=3", ["sets nothing"]),
        ("space..x=3", ["sets nothing"]),
        ("seed.x=3", ["nothing below it"]),
        ("trials=7", ["told twice"]),
        ("trail=7", ["unknown key", "--set trail", "did you mean 'trials'?"]),
    ],
)
def test_wrong_changes(file, change, parts):
    file.write_text(FILE.replace("metric", "steps = 3\nmetric"))
    message = told(lambda: resolve({"trials": 3}, file, [change], None))
    for part in parts:
        assert part in message


def test_a_change_of_a_name_with_dots_has_it_in_quotes(file):
    assert resolve({}, file, ['space."optimizer.adam.lr"=0.01'], None).space["optimizer.adam.lr"] == 0.01
    assert "sets nothing" in told(lambda: resolve({}, file, ['space."lr=3'], None))


def test_the_space_of_a_model_changes_the_familys(folder):
    (folder / "job.toml").write_text(
        'model = "mlp"\ndata = "sklearn:iris"\n[space]\nnoise = 0.1\nunits = { type = "int", low = 3, high = 5 }\n'
        'optimizer = "adam"\n"optimizer.adam.lr" = 0.01\n"optimizer.adam.beta2" = 0.9\n'
    )
    given = resolve({}, folder / "job.toml", [], None)
    usual, space = subject(Job(model="mlp", data="sklearn:iris"))[1], subject(given)[1]
    assert set(usual.parameters) - set(space.parameters) >= {"optimizer", "optimizer.adam.lr", "optimizer.sgd.lr"}
    assert space.parameters["units"] == Int(3, 5) and space.parameters["layers"] == usual.parameters["layers"]
    told = {"noise": 0.1, "optimizer": "adam", "optimizer.adam.lr": 0.01, "optimizer.adam.beta2": 0.9}
    assert told.items() <= space.constants.items() and not any("sgd" in name for name in space.constants)
    whole = resolve({}, folder / "job.toml", ["space_only=true"], None)
    assert subject(whole)[1] == Space.from_dict(given.space)


def test_a_study_from_before_goes_on_in_the_space_that_it_had(folder):
    job = Job(model="mlp", data="sklearn:iris", space={"lr": 0.1})
    text = resolved_text(job, folder)
    (folder / RESOLVED).write_text(text)
    assert read_resolved(folder).space_only is False
    (folder / RESOLVED).write_text(text.replace("space_only = false\n", ""))
    assert read_resolved(folder).space_only is True


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ('optimizer = "adam"\noptimizer.adam.lr = 0.01', '"optimizer.adam.lr" = ...'),
        ('optimizer.adam.lr = 0.01\noptimizer = "adam"', "a name with dots stands in quotes"),
        ("optimizer.adam.lr = 0.01", '"optimizer.adam.lr" = ...'),
        ('activation = ["relu", "gelu"]', "activation = { type = 'choice', options = ['relu', 'gelu'] }"),
        ('"a.b" = [1, 9]', "\"a.b\" = { type = 'choice', options = [1, 9] }, or { type = 'float', low = 1, high = 9 }"),
    ],
)
def test_mistakes_in_a_space_of_toml(folder, text, fix):
    (folder / "odd.toml").write_text(f'model = "mlp"\ndata = "sklearn:iris"\n[space]\n{text}\n')
    assert fix in told(lambda: subject(resolve({}, folder / "odd.toml", [], None)))


def test_a_change_is_read_as_toml_or_else_as_text(file):
    job = resolve({}, file, ["time_limit=10m", "trials=0x10", "space.b={type='int', low=1, high=2}"], None)
    assert (job.time_limit, job.trials) == ("10m", 16)
    assert job.space["b"] == {"type": "int", "low": 1, "high": 2}


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--trials", "0"], ["trials must be a whole number", "got 0"]),
        (["--trials", "-1"], ["got -1"]),
        (["--trials", "1000000000"], ["1 to 100,000,000"]),
        (["--seed", "-1"], ["seed"]),
        (["--steps", "0"], ["steps"]),
        (["--workers", "-2"], ["workers"]),
        (["--workers", "100000"], ["cores"]),
        (["--time-limit", "10"], ["without a unit", "10s or 10m"]),
        (["--time-limit", "1h30"], ["not a time limit", "1h30m"]),
        (["--time-limit", "0s"], ["not a time limit"]),
        (["--direction", "down"], ["unknown direction", "minimize, maximize"]),
        (["--study", "a/b"], ["not a study's name"]),
        (["--study", ".."], ["not a study's name"]),
        (["--space", "spaec.toml"], ["no such file", "did you mean 'space.toml'?"]),
        (["--store", "mysql://x"], ["SQLite", "PostgreSQL"]),
        (["--folder", "work.py/x"], ["cannot be made"]),
    ],
)
def test_wrong_flags(here, words, parts):
    code, out, err = here("run", "work.py:quick", "--space", "space.toml", "--metric", "loss", "-j", 0, *words)
    assert (code, out) == (2, ""), err
    assert "Traceback" not in err
    for part in parts:
        assert part in err


def test_what_is_missing_is_told_at_once(here):
    _, _, err = here("run", "work.py:quick")
    assert "no metric is given" in err and "no space is given" in err
    _, _, err = here("run", "--model", "mlp")
    assert "no data is given" in err


@pytest.mark.parametrize("word", ["minimise", "MIN", "max", "Maximise"])
def test_directions_as_people_spell_them(here, word):
    code, out, _ = here(
        "run", "work.py:quick", "--space", "space.toml", "--metric", "m", "--direction", word, "--dry-run"
    )
    assert code == 0 and ("maximize" in out) == ("max" in word.lower())


def test_a_known_metric_brings_its_direction(here):
    _, out, _ = here("run", "work.py:quick", "--space", "space.toml", "--metric", "accuracy", "--dry-run")
    assert 'direction = "maximize"' in out


def test_a_space_with_problems_tells_all_of_them(here, folder):
    (folder / "space.toml").write_text(
        "x = {type = 'float', low = 2.0, high = 1.0}\ny = {type = 'itn', low = 1, high = 2}\n"
    )
    code, _, err = here("run", "work.py:quick", "--space", "space.toml", "--metric", "loss")
    assert code == 2 and "space.x" in err and "did you mean 'int'?" in err


# the resolved file


@pytest.mark.parametrize("place", ["tunebook-runs/mine", "elsewhere"])
def test_a_resolved_job_comes_back(file, tmp_path_factory, place):
    place = Path(place) if place != "elsewhere" else tmp_path_factory.mktemp("elsewhere")
    job = resolve({"folder": str(place), "run_limit": 2.5}, file, [], None)
    place.mkdir(parents=True, exist_ok=True)
    (place / RESOLVED).write_text(resolved_text(job, place))
    again = read_resolved(place)
    assert again.cwd == os.getcwd()
    assert folder_of(again, "") == place.absolute()
    same = {"cwd": None, "folder": None}
    assert again.model_copy(update=same) == job.model_copy(update=same)
    # and it is a job file like any other
    assert resolve({"study": "other"}, place / RESOLVED, [], None).space == job.space


def test_a_password_is_not_kept():
    job = Job(objective="a:b", store="postgresql://ann:s3cret@db/runs")
    text = resolved_text(job, Path("x"))
    assert "s3cret" not in text and "postgresql://ann@db/runs" in text


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
values = st.recursive(
    st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(names, values, max_size=5))
def test_toml_that_is_written_is_read_back(data):
    def same(a, b):
        if isinstance(a, dict):
            return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
        if isinstance(a, list):
            return len(a) == len(b) and all(map(same, a, b))
        return type(a) is type(b) and (a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b)))

    assert same(data, tomllib.loads(to_toml(data)))


def test_a_dry_run_refuses_it_too(here):
    code, out, err = here("run", "--model", "mlp", "--data", "sklearn:iris", "--dry-run", "--set", "space.ema=2.0")
    assert (code, out) == (2, "") and "ema is out of range" in err
