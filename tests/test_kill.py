"""The driver is killed with -9 at numbered points; the resumed study must end like the unbroken one."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

OBJECTIVE = '''
import math, json
from pathlib import Path
from tunebook import Measurement

def train(run):
    """Branin's function reached in steps, with a checkpoint: what a resumed run must not lose or repeat."""
    saved = Path(run.folder) / "state.json"
    done = json.loads(saved.read_text())["step"] if saved.exists() else 0
    x, y = run.config["x"], run.config["y"]
    value = (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2 + 10 * math.cos(x) + run.seed % 7
    for step in range(done + 1, run.until + 1):
        yield Measurement(step, {"loss": value + 50 / step})
        temporary = saved.with_suffix(".new")
        temporary.write_text(json.dumps({"step": step}))
        temporary.replace(saved)
'''
SPACE = '[x]\ntype = "float"\nlow = -5.0\nhigh = 10.0\n\n[y]\ntype = "float"\nlow = 0.0\nhigh = 15.0\n'
TRIALS, POINTS = 24, 25


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kill")
    (folder / "train.py").write_text(OBJECTIVE)
    (folder / "space.toml").write_text(SPACE)
    return folder


def tunebook(work, *words, faults=""):
    env = {**os.environ, "TUNEBOOK_FAULTS": faults}
    return subprocess.run(  # noqa: PLW1510  (its exit code is what the tests look at)
        [sys.executable, "-m", "tunebook.cli.main", *words],
        cwd=work,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )


def started(work, name, faults=""):
    return tunebook(work, "run", "train.py:train", "--space", "space.toml", "--metric", "loss", "--steps", "9",
                    "--trials", str(TRIALS), "--workers", "1", "--seed", "5", "--study", name, "--quiet",
                    faults=faults)  # fmt: skip


def table(work, name):
    told = tunebook(work, "export", name, "--format", "json", "--curves", "--no-times")
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


@pytest.fixture(scope="module")
def unbroken(work):
    done = started(work, "unbroken", f"count:{work / 'points'}")
    assert done.returncode == 0, done.stderr
    trials = table(work, "unbroken")["trials"]
    assert len(trials) <= TRIALS
    return trials, int(Path(work / "points").read_text())


@pytest.mark.parametrize("share", range(POINTS))
def test_killed_at_a_point_and_resumed(work, unbroken, share):
    trials, points = unbroken
    at = 1 + (points - 1) * share // (POINTS - 1)
    name = f"killed-{at}"
    died = started(work, name, f"kill:{at}")
    assert died.returncode == -signal.SIGKILL, died.stderr
    resumed = tunebook(work, "resume", name, "--quiet")
    assert resumed.returncode == 0, resumed.stderr
    after = table(work, name)["trials"]
    assert after == trials
