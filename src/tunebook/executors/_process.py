"""A worker process as the driver sees it: started in a group of its own, and ended together with its children."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from tunebook.executors._wire import READY, Inbox, packed

PIPE_BYTES = 1 << 20  # thousands of measurements: workers go on while the driver is busy
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
PLACE_VARIABLE = "TUNEBOOK_PLACE"
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from tunebook.executors._worker import main; main(*map(int, sys.argv[2:]))"
)
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)


class Worker:
    """One worker process. ``setup`` is the open file that it begins with; ``log`` takes what it prints until a run.

    ``place`` says which of how many it is; it finds that in its environment, for those who share out devices.

    ``events`` and ``sentinel`` (None where the system has none) are to be waited for; the sentinel becomes readable
    when the process ends. Raises OSError if it cannot be started.
    """

    def __init__(self, setup: int, log: Path, place: tuple[int, int] = (0, 1)) -> None:
        self.place = place
        self.ready = False
        self.runs = 0
        self.usual = 0  # bytes resident after its first run
        self.silent = False  # it closed its end of the pipe
        self._inbox = Inbox()
        (commands, self._commands), (self.events, events), (life, self._life) = _pipes(3)
        self.sentinel: int | None = None
        try:
            self._process = _start(setup, log, (commands, events, life), place)
            self.pid = self._process.pid
            if sys.platform == "linux":
                _kill_when_closed(life, self.pid)
                _enlarge(events)
                self.sentinel = _sentinel(self.pid)
        except BaseException:
            for fd in (self._commands, self.events, self._life):
                os.close(fd)  # whatever was started does not outlive these
            raise
        finally:
            for fd in (commands, events, life):
                os.close(fd)
        os.set_blocking(self.events, False)

    def send(self, message: object) -> bool:
        """Hand a message over; False if nobody is there to read it."""
        rest = memoryview(packed(message))
        try:
            while rest:
                rest = rest[os.write(self._commands, rest) :]
        except BrokenPipeError:
            return False
        return True

    def messages(self) -> Iterator[Any]:
        """What the worker has said since the last call; that it is ready only sets ``ready``."""
        more = True
        while more:
            try:
                piece = os.read(self.events, PIPE_BYTES)
            except BlockingIOError:
                return
            self.silent = not piece
            more = len(piece) == PIPE_BYTES
            self._inbox.feed(piece)
            for message in chain.from_iterable(self._inbox.messages()):
                if message == READY:
                    self.ready = True
                else:
                    yield message

    @property
    def dead(self) -> bool:
        """Whether the process ended. Its number stays taken until ``reap``, so that no stranger is killed instead."""
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # the program ignores SIGCHLD, or has waited for any child
            return True

    def dump_stacks(self) -> None:
        """Let it write where its threads are into its log, also while native code holds the interpreter."""
        _signal(os.kill, self.pid, signal.SIGUSR1)

    def dismiss(self) -> None:
        """Ask it to end: now if it is idle, else when its run ends, which is asked to stop."""
        if self._commands >= 0:
            os.close(self._commands)
            self._commands = -1

    def kill(self) -> None:
        """Kill it with all its children."""
        _signal(os.killpg, self.pid, signal.SIGKILL)
        _signal(os.kill, self.pid, signal.SIGKILL)  # if it has left its group

    def reap(self) -> int:
        """Kill what is left of it, wait for that, give everything back. Returns minus the signal, or the exit code."""
        self.kill()
        code = self._process.wait()
        self.dismiss()
        for fd in (self.events, self._life, self.sentinel):
            if fd is not None:
                os.close(fd)
        return code


def words_for(code: int) -> str:
    """How a process ended, of what ``Worker.reap`` returned.

    >>> words_for(-11)
    'crashed with SIGSEGV in native code'
    """
    if code == -signal.SIGKILL:
        return "was killed by SIGKILL: by somebody, or by the system because memory ran out"
    if -code in _CRASHES:
        return f"crashed with {signal.Signals(-code).name} in native code"
    if code < 0:
        return f"was killed by signal {-code} ({signal.strsignal(-code)})"
    return f"exited with code {code}"


def _pipes(n: int) -> list[tuple[int, int]]:
    """Read and write ends of ``n`` pipes, or OSError and none open."""
    made: list[tuple[int, int]] = []
    try:
        for _ in range(n):
            made.append(os.pipe())
    except OSError:
        for fd in (fd for pair in made for fd in pair):
            os.close(fd)
        raise
    return made


def _start(setup: int, log: Path, pipes: tuple[int, int, int], place: tuple[int, int]) -> subprocess.Popen[bytes]:
    commands, events, life = pipes
    path = json.dumps([entry for entry in sys.path if isinstance(entry, str)])
    told = (commands, events, setup, life, os.getpid())
    with open(log, "ab") as out:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", _START, path, *map(str, told)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**dict.fromkeys(THREAD_VARIABLES, os.environ.get("OMP_NUM_THREADS", "1")), **os.environ,
                 PLACE_VARIABLE: f"{place[0]}/{place[1]}"},
            pass_fds=(commands, events, setup, life),
            process_group=0,
        )


def _signal(send: Callable[[int, int], None], pid: int, number: int) -> None:
    try:
        send(pid, number)
    except (ProcessLookupError, PermissionError):  # it is gone (macOS says the latter of a zombie)
        return


if sys.platform == "linux":
    import fcntl

    def _kill_when_closed(fd: int, group: int) -> None:
        """Have the kernel kill the group when the other end of pipe ``fd`` closes, as it does when this process dies.

        Nothing in the worker has to run for that, neither its interpreter, which native code may hold, nor a thread.
        """
        try:
            fcntl.fcntl(fd, fcntl.F_SETOWN, -group)
            fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGKILL)
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)
        except OSError:  # a sandbox that only looks like Linux: the worker sees that, and watches the pipe itself
            return

    def _enlarge(fd: int) -> None:
        try:
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        except OSError:  # the person's share of pipe memory is used up: the usual 64 KB do as well
            return

    def _sentinel(pid: int) -> int | None:
        try:
            return os.pidfd_open(pid)
        except OSError:  # a kernel before 5.3, or a sandbox
            return None
