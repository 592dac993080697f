"""What the tests of the command line share: objectives, a space, and calls in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

OBJECTIVES = '''
import functools
import math
import threading
import time
import tunebook
from tunebook import Measurement


def quick(run):
    """Has its best at x = 3; gets there in steps."""
    for step in range(1, run.until + 1):
        yield Measurement(step, {"loss": (run.config["x"] - 3.0) ** 2 + 1 / step + run.seed % 3 / 100})


@tunebook.objective
def reporting(run):
    for step in range(1, run.until + 1):
        run.report(step, loss=(run.config["x"] - 3.0) ** 2 + 1 / step)


def plain(run):
    return (run.config["x"] - 3.0) ** 2


def diverging(run):
    yield Measurement(1, {"loss": math.nan})


def broken(run):
    raise KeyError("no such column")


def slow(run):
    for step in range(1, run.until + 1):
        time.sleep(0.1)
        yield Measurement(step, {"loss": run.config["x"] ** 2 + 1 / step})


def stuck(run):
    yield Measurement(1, {"loss": 1.0})
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass


def no_argument():
    return 1.0


not_a_function = 3
LOCK = threading.Lock()
held = functools.partial(lambda run, lock: 1.0, lock=LOCK)
'''
SPACE = 'x = { type = "float", low = -5.0, high = 10.0 }\ny = { type = "int", low = 1, high = 9 }\n'
QUICK = ("run", "work.py:quick", "--space", "space.toml", "--metric", "loss", "--steps", "4", "--seed", "1")


def furnish(folder: Path) -> Path:
    (folder / "work.py").write_text(OBJECTIVES)
    (folder / "space.toml").write_text(SPACE)
    return folder


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("TUNEBOOK_") and k not in ("CI", "FORCE_COLOR")}
    return {**kept, **more}


def tunebook(folder: Path, *words: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "tunebook.cli.main", *words],
        cwd=folder, env=environment(**env), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
