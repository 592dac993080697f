"""How a person ends a study, on a real terminal: exit codes, no traceback, nothing left behind."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clidesk import environment, tunebook

PATIENCE = 50.0
SLOW = ("run", "work.py:slow", "--space", "space.toml", "--metric", "loss", "--steps", "60", "-n", "12", "-j", "2")
STUCK = ("run", "work.py:stuck", *SLOW[2:])
CTRL_C = b"\x03"


class Terminal:
    """A process on a terminal of its own."""

    def __init__(self, folder: Path, words: list[str]) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execve(words[0], words, environment(TERM="xterm", COLUMNS="120"))
        self.shown = b""
        self.open = True

    def until(self, done) -> None:
        """Read until something is true, or the process is gone."""
        end = time.monotonic() + PATIENCE
        while self.open and not done():
            assert time.monotonic() < end, self.shown[-2000:].decode()
            if select.select([self.fd], [], [], 0.02)[0]:
                try:
                    data = os.read(self.fd, 65536)
                except OSError:
                    data = b""
                self.shown += data
                self.open = bool(data)

    def see(self, pattern: bytes) -> None:
        self.until(lambda: re.search(pattern, self.shown))
        assert self.open, self.shown[-2000:].decode()

    def type(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def ended(self) -> int:
        """The exit code."""
        self.until(lambda: False)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def command(folder, *words):
    return Terminal(folder, [sys.executable, "-m", "tunebook.cli.main", *words])


def left_behind(folder: Path) -> list[int]:
    """Processes whose working directory is the folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            here = os.readlink(place / "cwd")
            state = (place / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if here == str(folder) and state != "Z" and int(place.name) != os.getpid():
            found.append(int(place.name))
    return found


def gone(folder: Path) -> bool:
    end = time.monotonic() + 20
    while left_behind(folder) and time.monotonic() < end:
        time.sleep(0.05)
    return not left_behind(folder)


@pytest.fixture
def place(folder, monkeypatch):
    """The furnished folder; this process stands elsewhere, so that it can be told from those left behind."""
    monkeypatch.chdir("/")
    return folder


def test_ctrl_c_stops_after_the_next_step_and_says_how_to_resume(place):
    terminal = command(place, *SLOW)
    terminal.see(rb"explore +\d+/")
    terminal.type(CTRL_C)
    assert terminal.ended() == 130
    text = terminal.shown.decode()
    assert re.search(r"stopping: waiting for \d runs? to end a step and save", text)
    assert "stopped; to resume: tunebook resume work" in text
    assert "Traceback" not in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h"), "the cursor is shown again"
    assert gone(place)
    told = json.loads(tunebook(place, "show", "work", "--json").stdout)
    assert told["status"] == "unfinished" and told["statuses"].get("running", 0) >= 1
    assert "failed" not in told["statuses"]


def test_ctrl_c_twice_leaves_at_once_even_if_a_run_does_not_listen(place):
    terminal = command(place, *STUCK)
    terminal.see(rb"baseline +1/")
    terminal.type(CTRL_C)
    terminal.see(rb"Ctrl-C again leaves at once")
    terminal.type(CTRL_C)
    assert terminal.ended() == 130  # the run would have slept for a minute: longer than anything here waits
    assert "Traceback" not in terminal.shown.decode()
    assert "tunebook resume work" in terminal.shown.decode()
    assert gone(place)
    assert tunebook(place, "show", "work").returncode == 0


def test_sigterm(place):
    words = [sys.executable, "-m", "tunebook.cli.main", *SLOW]
    process = subprocess.Popen(words, cwd=place, env=environment(), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "trial 1 " in line:
            break
    process.send_signal(signal.SIGTERM)
    rest = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 143
    assert "to end a step and save" in rest
    assert "stopped; to resume: tunebook resume work" in rest and "Traceback" not in rest
    assert gone(place)


def test_a_closed_terminal_does_not_end_a_study(place):
    words = [w if w != "60" else "3" for w in SLOW]
    terminal = command(place, *words)
    terminal.see(rb"explore +\d+/")
    os.kill(terminal.pid, signal.SIGHUP)
    os.close(terminal.fd)
    assert os.waitstatus_to_exitcode(os.waitpid(terminal.pid, 0)[1]) == 0
    assert json.loads(tunebook(place, "show", "work", "--json").stdout)["status"] == "finished"


SCRIPT = """
import sys, time
import tunebook
from tunebook import Float, Goal, Space

@tunebook.objective
def train(run):
    for step in range(1, run.until + 1):
        time.sleep(0.1)
        run.report(step, loss=run.config["x"])

if __name__ == "__main__":
    tunebook.tune(train, Space(x=Float(0.0, 1.0)), Goal("loss"), steps=60, trials=12, workers=int(sys.argv[1]),
                  folder="runs/scripted")
"""


def test_a_script_in_the_midst_of_a_long_step_can_be_left_too(place):
    (place / "mine.py").write_text(SCRIPT.replace("sleep(0.1)", "sleep(60)"))
    terminal = Terminal(place, [sys.executable, "mine.py", "0"])
    terminal.see(rb"baseline +\d+/")
    terminal.type(CTRL_C)
    terminal.see(rb"Ctrl-C again leaves at once")
    terminal.type(CTRL_C)
    assert terminal.ended() == 130
    assert "Traceback" not in terminal.shown.decode() and "tunebook resume" in terminal.shown.decode()
    assert gone(place)


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_script_that_is_stopped_says_how_to_resume_too(place, workers):
    (place / "mine.py").write_text(SCRIPT)
    terminal = Terminal(place, [sys.executable, "mine.py", workers])
    terminal.see(rb"baseline +\d+/")
    terminal.type(CTRL_C)
    assert terminal.ended() == 130
    text = terminal.shown.decode()
    assert "stopped; to resume: tunebook resume runs/scripted" in text and "Traceback" not in text
    assert gone(place)


def test_ctrl_c_reaches_a_resumed_script(place):
    (place / "mine.py").write_text(SCRIPT)
    first = Terminal(place, [sys.executable, "mine.py", "1"])
    first.see(rb"baseline +\d+/")
    first.type(CTRL_C)
    assert first.ended() == 130
    again = command(place, "resume", "runs/scripted")
    again.see(rb"baseline +\d+/")
    again.type(CTRL_C)
    assert again.ended() == 130
    assert "Traceback" not in again.shown.decode()
    assert gone(place)
