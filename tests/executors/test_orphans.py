"""However the driver dies, nothing that it started lives on, and what was measured is not lost."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from acts import counts
from helpers import Desk, until

from tunebook.executors.local import LocalExecutor

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

DRIVER = """
import os, signal, subprocess, sys, threading, time
from pathlib import Path
import acts
from tunebook.executors.local import LocalExecutor
from tunebook.objective import Run

how, folder = sys.argv[1], Path(sys.argv[2])
{how_it_is_set_up}
def main():
    executor = LocalExecutor(acts.{objective}, 2)
    for trial in range(2):
        executor.submit(Run(trial, {{"does": "{does}", "pause": 0.002}}, 10**9, folder / str(trial)))
    measured = set()
    while len(measured) < 2:
        measured |= {{event.number for event in executor.poll()}}
    {then}
main()
"""
WAIT = "print('running', flush=True); time.sleep(1000)"


class Drivers:
    """Starts driver scripts, and knows them and all that they start by a variable in their environment."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.started = folder, list[subprocess.Popen[str]]()
        self.marker = "TUNEBOOK_TEST_MARKER", f"{os.getpid()}-{time.monotonic_ns()}"

    def start(
        self, objective: str = "counts", does: str = "", then: str = WAIT, setup: str = "", subfolder: str = ""
    ) -> subprocess.Popen[str]:
        # where the tests run in the background of a shell or under nohup, Ctrl-C or a hangup is ignored, and children
        # would inherit that
        heard = (
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
            "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
        )
        script = heard + DRIVER.format(objective=objective, does=does, then=then, how_it_is_set_up=setup)
        path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
        self.started.append(
            subprocess.Popen(
                [sys.executable, "-c", script, "", str(self.folder / subfolder)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": path, self.marker[0]: self.marker[1]},
            )
        )
        return self.started[-1]

    def running(self, *words: str, **settings: str) -> subprocess.Popen[str]:
        """A driver whose two runs have measured."""
        process = self.start(*words, **settings)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == "running\n", process.stderr and process.stderr.read()
        return process

    def family(self) -> dict[int, str]:
        """Command lines of the processes that are alive."""
        marker, found = "=".join(self.marker).encode(), {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if marker in (entry / "environ").read_bytes() and ") Z " not in (entry / "stat").read_text():
                    found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")[:200]
            except OSError:  # it is gone, or somebody else's
                continue
        return found

    def none_is_left(self) -> None:
        until(lambda: not self.family(), "processes live on")

    def end_all(self) -> None:
        for pid in self.family():  # of a test that failed
            os.kill(pid, signal.SIGKILL)
        for process in self.started:
            process.communicate()


@pytest.fixture
def drivers(tmp_path: Path) -> Iterator[Drivers]:
    made = Drivers(tmp_path)
    yield made
    made.end_all()


def wait_for_end(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


@pytest.mark.parametrize(
    ("number", "whole_group"),
    [(signal.SIGKILL, False), (signal.SIGTERM, False), (signal.SIGINT, False), (signal.SIGINT, True),
     (signal.SIGHUP, True), (signal.SIGKILL, True)],
)  # fmt: skip
def test_a_driver_dies_of_a_signal(drivers: Drivers, number: signal.Signals, whole_group: bool) -> None:
    process = drivers.running()
    assert len(drivers.family()) == 3, "the driver and two workers"
    (os.killpg if whole_group else os.kill)(process.pid, number)
    drivers.none_is_left()
    code, errors = wait_for_end(process)
    assert code == -number
    assert errors.count("Traceback") == (1 if number is signal.SIGINT else 0), "only the driver says something"


@pytest.mark.parametrize("does", ["hold_the_interpreter", "sleep", "spin"])
def test_what_workers_do_does_not_matter(drivers: Drivers, does: str) -> None:
    process = drivers.running("deaf", does)
    until(lambda: all((drivers.folder / trial / "deaf").exists() for trial in "01"), "the runs do not begin")
    process.kill()
    drivers.none_is_left()
    wait_for_end(process)


def test_children_of_workers_and_frozen_workers(drivers: Drivers) -> None:
    process = drivers.running("act", "leave_a_child")
    until(lambda: sum("sleep 1000" in line for line in drivers.family().values()) == 2, "the children do not begin")
    for pid in drivers.family():
        if pid != process.pid:
            os.kill(pid, signal.SIGSTOP)
    process.kill()
    drivers.none_is_left()
    wait_for_end(process)


@pytest.mark.parametrize(
    ("then", "code"),
    [
        ("return", 0),
        ("raise ValueError('a bug of the driver')", 1),
        ("sys.exit(4)", 4),
        ("os._exit(5)", 5),
        ("threading.Thread(target=os._exit, args=(6,)).start(); time.sleep(1000)", 6),
        ("del executor; time.sleep(0); os._exit(0 if os.listdir('/proc/self/fd') else 1)", 0),
    ],
)
def test_a_driver_that_forgets_to_close(drivers: Drivers, then: str, code: int) -> None:
    process = drivers.start(then=then)
    assert wait_for_end(process)[0] == code
    drivers.none_is_left()


def test_a_driver_dies_while_its_workers_start(drivers: Drivers) -> None:
    for delay in (0.0, 0.01, 0.03, 0.1):
        then = f"executor.close(); executor = LocalExecutor(acts.counts, 2); executor.submit(Run(5, {{}}, 9, folder)); \
time.sleep({delay}); os.kill(os.getpid(), signal.SIGKILL)"
        assert wait_for_end(drivers.start(then=then, subfolder=str(delay)))[0] == -signal.SIGKILL
        drivers.none_is_left()


def test_a_child_of_the_driver_that_outlives_it(drivers: Drivers) -> None:
    """A fork has copies of the driver's ends of all pipes, and must not keep the workers alive."""
    setup = "fork = lambda: os.fork() or (time.sleep(1000), os._exit(0))"
    process = drivers.start(then="child = fork(); print(child, flush=True); time.sleep(1000)", setup=setup)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.kill()
    until(lambda: set(drivers.family()) == {child}, "workers live on", 10.0)
    os.kill(child, signal.SIGKILL)
    wait_for_end(process)


def test_a_fork_of_the_driver_that_ends_leaves_the_workers_alone(drivers: Drivers) -> None:
    then = """
    if os.fork() == 0:
        sys.exit(0)
    os.wait()
    before = sum(len(executor.poll()) for _ in range(20))
    print("alive", sorted(type(e).__name__ for e in executor.poll(5.0))[:1], flush=True)
    executor.close()
"""
    process = drivers.start(then=then)
    output, errors = process.communicate(timeout=60)
    assert (output, errors) == ("alive ['Measured']\n", "")
    drivers.none_is_left()


def test_what_the_driver_had_not_read_is_told_to_the_next(drivers: Drivers) -> None:
    """The worker is far ahead of the driver, and its checkpoint too, when both are killed."""
    process = drivers.running()
    saved = drivers.folder / "0" / "saved"
    until(lambda: saved.exists() and int(saved.read_text()) >= 40, "the run does not go on")
    process.kill()
    drivers.none_is_left()
    wait_for_end(process)
    there = int(saved.read_text())
    with LocalExecutor(counts) as executor:
        desk = Desk(executor, drivers.folder)
        desk.submit(trial=0, attempt=2, until=there + 10)
        desk.end(0, 2)
        assert desk.steps(0, 2) == list(range(1, there + 11))
