"""Commands as people type them: help, misuse, exit codes, places of output."""

import json
import os
import signal
import subprocess
import sys
from datetime import datetime

import pytest
from clidesk import QUICK, environment, tunebook
from typer.testing import CliRunner

from tunebook import Float, Goal, Int, Space, open_study
from tunebook.cli.main import app
from tunebook.errors import StudyBusy
from tunebook.record import read_record

COMMANDS = ("run", "resume", "list", "show", "best", "report", "export", "predict", "version")
HEAVY = ("torch", "sqlalchemy", "scipy", "sklearn", "pandas", "pydantic")


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom tunebook.cli.main import call\nassert call(['--help']) == 0\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"
    assert "Usage: tunebook" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_answers_with_examples(command):
    told = CliRunner().invoke(app, [command, "--help"])
    assert told.exit_code == 0
    assert f"Usage: tunebook {command}" in told.output.replace("root", "tunebook")
    assert "Examples:" in told.output and f"  tunebook {command}" in told.output


def test_no_command_gives_help(here):
    code, out, err = here()
    assert (code, err) == (0, "")
    assert "Commands:" in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["rnu"], ["no such command", "rnu", "did you mean 'run'", "try: tunebook --help"]),
        (["show", "x", "--jsno"], ["no such flag", "--jsno", "did you mean '--json'", "tunebook show --help"]),
        (["run", "--worker", "2"], ["no such flag", "did you mean '--workers'"]),
        (["run", "--trials", "many"], ["many", "try: tunebook run --help"]),
        (["run", "--trials"], ["--trials", "requires an argument"]),
        (["show"], ["Missing argument", "tunebook show"]),
        (["show", "a", "b"], ["unexpected extra argument", "b"]),
        (["export", "done", "--format", "xls"], ["unknown format", "xls", "csv"]),
        (["report", "done", "--format", "pdf"], ["unknown format", "html"]),
        (["show", ""], ["not a study's name"]),
        (["show", "dnoe"], ["there is no study 'dnoe'", "tunebook-runs/dnoe", "tunebook list"]),
        (["run"], ["nothing to tune", "FILE.py:FUNCTION"]),
    ],
)
def test_misuse_is_told_in_house_style(here, words, says):
    code, out, err = here(*words)
    assert (code, out) == (2, "")
    assert err.startswith("error")
    assert len(err.splitlines()) <= 8 and "Traceback" not in err
    for part in says:
        assert part.lower() in err.lower()


def test_nearest_study_is_named(shelf):
    done = tunebook(shelf, "best", "dune")
    assert done.returncode == 2
    assert "did you mean 'done'?" in done.stderr


def test_the_first_line_of_an_error_is_red_on_request_and_never_with_no_color(shelf):
    red, plain = "\x1b[1;31m", environment()
    words = [sys.executable, "-m", "tunebook.cli.main", "show", "x"]
    told = [subprocess.run(words, cwd=shelf, env={**plain, **more}, capture_output=True, text=True, check=False).stderr
            for more in ({}, {"FORCE_COLOR": "1"}, {"FORCE_COLOR": "1", "NO_COLOR": "1"})]  # fmt: skip
    assert [t.startswith(red) for t in told] == [False, True, False]


# exit codes, each for real: 0 and 2 are everywhere in these tests, 130 and 143 in test_signals.py


def test_1_a_bug_or_a_broken_installation(folder, tmp_path):
    package = tmp_path / "broken" / "scipy"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('this scipy is broken')")
    done = tunebook(folder, "show", "x", PYTHONPATH=str(package.parent))
    assert done.returncode == 1
    assert "this scipy is broken" in done.stderr and "Traceback" not in done.stderr
    done = tunebook(folder, "show", "x", "--debug", PYTHONPATH=str(package.parent))
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_3_no_trial_succeeded(here):
    code, out, err = here("run", "work.py:diverging", "--space", "space.toml", "--metric", "loss", "-n", 8, "-j", 0)
    assert code == 3
    assert "no trial succeeded" in err
    code, out, _ = here("best", "work", "--json")
    assert code == 3
    assert json.loads(out)["config"] is None


def test_4_busy(folder):
    words = ["run", "work.py:slow", "--space", "space.toml", "--metric", "loss", "--steps", "200", "-j", "1"]
    first = subprocess.Popen(
        [sys.executable, "-m", "tunebook.cli.main", *words],
        cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert first.stderr is not None
        assert "round baseline" in first.stderr.readline()
        before = (folder / "tunebook-runs" / "work" / "config.resolved.toml").read_text()
        second = tunebook(folder, *words, "--trials", "60")
        assert second.returncode == 4
        assert f"process {first.pid}" in second.stderr and "kill" in second.stderr
        assert (folder / "tunebook-runs" / "work" / "config.resolved.toml").read_text() == before
        # those who only read are not in its way
        told = json.loads(tunebook(folder, "list", "--json").stdout)
        assert [(t["study"], t["status"]) for t in told] == [("work", "running")]
        shown = tunebook(folder, "show", "work")
        assert shown.returncode == 0 and f"running by process {first.pid}" in shown.stdout
    finally:
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=60)
    assert first.returncode == 143


def test_5_the_first_trials_fail_alike(here):
    code, out, err = here("run", "work.py:broken", "--space", "space.toml", "--metric", "loss", "-j", 0, "-q")
    assert (code, out) == (5, "")
    assert "the first 4 trials all failed in the same way" in err, "that of the baseline, and three"
    assert "KeyError: 'no such column'" in err and "work.py:" in err and "Traceback" not in err
    told = json.loads(here("show", "work", "--json")[1])["failures"]
    assert [(f["kind"], f["message"], f["trials"]) for f in told] == [("user_error", "KeyError: 'no such column'", 4)]
    assert "4 failed (user_error): KeyError: 'no such column'" in here("show", "work")[1]
    one = here("show", "work", "--trial", 1)[1]
    assert "trial 1 of round explore: failed" in one and "work.py" in one and "in broken" in one
    assert json.loads(here("show", "work", "-t", 1, "--json")[1])["failure"]["traceback"]
    code, _, err = here("show", "work", "--trial", 99)
    assert code == 2 and "0 to 3" in err


def test_6_the_record_does_not_go_together_with_what_is_asked(here):
    asked = (*QUICK, "-n", 8, "-j", 0, "-q")
    assert here(*asked)[0] == 0
    assert here(*asked)[0] == 0
    changed = [w if w != "1" else "2" for w in asked]
    code, _, err = here(*changed)
    assert code == 6
    assert "seed" in err and "try:" in err
    code, _, err = here("run", "work.py:plain", *asked[2:])
    assert code == 6
    assert "work.py:plain" in err and "work.py:quick" in err


def test_74_the_record_cannot_be_read(here, folder):
    place = folder / "tunebook-runs" / "odd"
    place.mkdir(parents=True)
    (place / "book.db").write_bytes(b"PK\x03\x04" + b"\0" * 200)
    code, out, err = here("show", "odd")
    assert (code, out) == (74, "")
    assert "a zip file" in err and "Traceback" not in err
    code, out, err = here("list")
    assert code == 0 and "not a SQLite database" in out
    (place / "book.db").write_bytes(b"")
    assert here("show", "odd")[0] == 74


def test_74_stdout_is_full(shelf):
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tunebook.cli.main", "export", "done", "--format", "json"],
            cwd=shelf, env=environment(), stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 74
    assert "No space left" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("words", ["export done --format json --curves", "show done", "list"])
def test_a_broken_pipe_is_silent(shelf, words):
    line = f"{sys.executable} -m tunebook.cli.main {words} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line], cwd=shelf, env=environment(), capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_results_on_stdout_the_rest_on_stderr(here):
    asked = (*QUICK, "-n", 8, "-j", 0)
    code, out, err = here(*asked, "--json")
    assert code == 0
    assert json.loads(out)["study"] == "work"
    assert "round baseline" in err and "trial 0 completed" in err
    code, out, err = here(*asked, "--quiet")
    assert code == 0 and "report: " in out and err == ""
    code, out, _ = here("version", "--json")
    assert code == 0 and {"tunebook", "python", "numpy"} <= json.loads(out).keys()
    assert here("version")[1].startswith("tunebook ")


def test_reading_writes_nothing(here, folder):
    assert here(*QUICK, "-n", 6, "-j", 0, "-q")[0] == 0
    place = folder / "tunebook-runs" / "work"
    before = {p.name: p.read_bytes() for p in place.iterdir() if p.is_file()}
    for words in (("show", "work"), ("best", "work"), ("list",), ("export", "work"), ("report", "work", "-o", "-")):
        assert here(*words)[0] == 0
    assert {name: (place / name).read_bytes() for name in before} == before


def test_a_study_that_is_asked_is_told_of_as_one(here, folder):
    with open_study(Space(x=Float(0.0, 1.0)), Goal("loss"), folder="tunebook-runs/asked") as study:
        for trial in study.ask(4):
            study.tell(trial.number, loss=trial.config["x"])
    _, out, _ = here("show", "asked")
    assert "asked: open; 4 trials (4 completed)" in out and "not finished" not in out
    assert "run your own loop again: open_study(" in out and "tunebook resume" not in out
    chosen = "Proposals by Gaussian processes, steps of a local model"
    assert chosen in out and chosen in here("report", "asked", "--format", "md", "-o", "-")[1]
    assert json.loads(here("show", "asked", "--json")[1])["rounds"][0]["sampler"] == "auto"
    said = here("best", "asked")[1]
    assert said.startswith("Not confirmed on fresh seeds. By all trials together the best is trial")
    assert "The best single value was" in said
    code, _, err = here("resume", "asked")
    assert code == 2 and "no command to run again" in err and "open_study(" in err
    assert here("report", "asked", "--format", "md", "-o", "-")[2] == ""


def test_show_tells_of_a_warm_start_and_of_a_space_with_nothing_left(here, folder):
    space = Space(n=Int(1, 4))
    with open_study(space, Goal("loss"), folder="tunebook-runs/first") as study:
        for trial in study.ask(2):
            study.tell(trial.number, loss=trial.config["n"])
    with open_study(space, Goal("loss"), folder="tunebook-runs/next", warm_start=["tunebook-runs/first"]) as study:
        for trial in study.ask(9):
            study.tell(trial.number, loss=trial.config["n"])
    first, last = (here("show", name)[1] for name in ("first", "next"))
    assert "exhausted" not in first and "earlier studies" not in first
    assert "the space is exhausted" in last and "what earlier studies taught: first (2 configurations)" in last
    told = json.loads(here("show", "next", "--json")[1])
    assert told["exhausted"] and told["warm_start"][0]["taken"] == 2


def test_of_many_studies_the_nearest_few_are_named(here, folder):
    for i in range(30):
        (folder / f"tunebook-runs/a{i:03}").mkdir(parents=True)
        (folder / f"tunebook-runs/a{i:03}/book.db").touch()
    code, _, err = here("show", "zzzz7")
    assert code == 2 and "the nearest of 30" in err and err.count("a0") == 5 and "a007" in err


def test_a_study_that_is_open_here_is_not_to_be_killed(folder):
    with (
        open_study(Space(x=Float(0.0, 1.0)), Goal("loss"), folder="mine"),
        pytest.raises(StudyBusy, match="this study is open in this process already") as busy,
        open_study(Space(x=Float(0.0, 1.0)), Goal("loss"), folder="mine"),
    ):
        pass
    assert "kill" not in str(busy.value) and "'tune'" not in str(busy.value)


def test_last_activity_is_what_the_record_tells(here, folder, shelf):
    row = json.loads(here("list", shelf / "tunebook-runs", "--json")[1])[0]
    trials = read_record(shelf / "tunebook-runs" / row["study"]).trials
    told = datetime.fromisoformat(row["active"]).timestamp()
    os.utime(shelf / "tunebook-runs" / row["study"] / "book.db", (0, 0))
    assert abs(told - max(t.ended for t in trials.values())) <= 1
    assert json.loads(here("list", shelf / "tunebook-runs", "--json")[1])[0]["active"] == row["active"]
