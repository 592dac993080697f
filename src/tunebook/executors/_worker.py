"""The worker process of LocalExecutor: takes runs from one pipe, hands their events over through another."""

from __future__ import annotations

import ctypes
import faulthandler
import fcntl
import math
import os
import pickle
import resource
import select
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from tunebook.executors._common import failed
from tunebook.executors._journal import journalled
from tunebook.executors._wire import BEGAN, BROKEN, ENDED, LOG, READY, STOP, Inbox, packed
from tunebook.objective import Objective, Run, failure_of, play
from tunebook.trial import Ended, Failure, FailureKind, Measured, Status

_PR_SET_PDEATHSIG = 1
QUICK = 0.001  # seconds between measurements below which to wake the driver costs more than what it is told of
TOGETHER = 0.005  # seconds that such a measurement may wait for others
_libc = ctypes.CDLL(None)


def main(commands: int, events: int, setup: int, life: int, driver: int) -> None:
    """Serve the driver (process ``driver``) until it closes the pipe; all other arguments are open file descriptors."""
    _die_with(driver, life)
    faulthandler.enable(file=2)
    faulthandler.register(signal.SIGUSR1, file=2)
    link = Link(commands, events)
    try:
        objective = _load(setup)
    except BaseException as error:  # noqa: BLE001  (whatever importing people's code raises is told to them)
        link.send((BROKEN, failure_of(error)))
        return
    link.send(READY)
    log = _Log()
    try:
        while (run := link.next_run()) is not None:
            link.send(BEGAN)
            ended = _perform(objective, run, link, log)
            link.send((ENDED, ended.status, ended.failure, ended.note, resident()))
    finally:
        log.close()


def _die_with(driver: int, life: int) -> None:
    """Let no way of dying of the driver leave this process behind.

    Where the driver could arrange it, the kernel kills the group when the pipe ``life`` closes; elsewhere a thread
    waits for that. The signal at the parent's death is for when a fork of the driver holds the pipe open. It comes
    already when the thread that started this process ends: the one in which the study runs.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver, which winds its workers down
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if sys.platform != "linux" or fcntl.fcntl(life, fcntl.F_GETSIG) != signal.SIGKILL:
        threading.Thread(target=_watch, args=(life,), daemon=True).start()
    if os.getppid() != driver:
        os._exit(1)


def _watch(life: int) -> NoReturn:
    os.read(life, 1)
    os.killpg(os.getpgid(0), signal.SIGKILL)
    os._exit(1)


def _load(setup: int) -> Objective:
    """The objective, from the file that the driver wrote; before it the limit of memory, so that it counts too."""
    size = os.fstat(setup).st_size
    data = bytearray()
    while len(data) < size:
        data += os.pread(setup, 1 << 30, len(data))
    os.close(setup)
    limit, by_name, blob = pickle.loads(data)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    sys.argv = [""]
    if by_name is not None:
        module, name = by_name
        found: Objective = attrgetter(name)(import_module(module))
        return found
    loaded: Objective = pickle.loads(blob)
    return loaded


class Link:
    """The two pipes to the driver."""

    def __init__(self, commands: int, events: int) -> None:
        self._commands, self._events, self._pid = commands, events, os.getpid()
        self._poll = select.poll()
        self._poll.register(commands, select.POLLIN)
        self._inbox, self._unread = Inbox(), deque[Any]()
        self._outbox: list[object] = []
        self._sent, self._posted, self._quick = -math.inf, -math.inf, 0
        self._writing, self._waits = threading.Lock(), threading.Event()
        self._carrier: threading.Thread | None = None
        self._idle = self._stop = False
        self.terminated = False
        signal.signal(signal.SIGTERM, self._terminate)

    def send(self, message: object) -> None:
        """Hand a message over, after those that wait: from here on it is in the kernel, and survives this process."""
        self._add(message)
        self._flush()

    def post(self, message: object) -> None:
        """Hand a measurement over; after several quick ones, together with what comes within ``TOGETHER`` seconds.

        What waits is in the journal. Native code that holds the interpreter would let it wait for longer, therefore
        only those wait whose kind has been quick.
        """
        self._add(message)
        now = time.monotonic()
        self._quick, self._posted = self._quick + 1 if now < self._posted + QUICK else 0, now
        if self._quick < 2 or now >= self._sent + TOGETHER:
            self._flush()
            return
        if self._carrier is None:
            self._carrier = threading.Thread(target=self._carry, daemon=True)
            self._carrier.start()
        self._waits.set()

    def _add(self, message: object) -> None:
        if os.getpid() != self._pid:  # a fork that the objective made must not speak for its parent
            os._exit(1)
        with self._writing:
            self._outbox.append(message)

    def _flush(self) -> None:
        try:
            with self._writing:
                told, self._outbox = self._outbox, []
                rest = memoryview(packed(told)) if told else memoryview(b"")
                while rest:
                    rest = rest[os.write(self._events, rest) :]
                self._sent = time.monotonic()
        except OSError:  # the driver is gone, and so is everybody who would want to know
            os._exit(1)

    def _carry(self) -> NoReturn:
        """The thread that takes along what was posted and not followed by anything."""
        while True:
            self._waits.wait()
            time.sleep(TOGETHER)
            self._waits.clear()
            self._flush()

    def next_run(self) -> Run | None:
        """Wait for the next run; None when the driver closed the pipe or this process was told to terminate."""
        self._stop, self._posted = False, -math.inf
        self._idle = True
        try:
            while not self.terminated:
                message = self._receive()
                if message is None or isinstance(message, Run):
                    return message
        finally:
            self._idle = False
        return None

    def stop_asked(self, run: Run) -> bool:
        """Whether the driver, or a signal, has asked this run to stop. Does not wait."""
        while not self._stop and (self._unread or self._poll.poll(0)):
            self._stop = self._receive() in (None, (STOP, run.trial, run.attempt))
        return self._stop or self.terminated

    def _receive(self) -> Any:
        """The next message from the driver; None at the end of the pipe."""
        while not self._unread:
            piece = os.read(self._commands, 1 << 16)
            if not piece:
                return None
            self._inbox.feed(piece)
            self._unread.extend(self._inbox.messages())
        return self._unread.popleft()

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self.terminated = True
        if self._idle:
            sys.exit(0)


def _perform(objective: Objective, run: Run, link: Link, log: _Log) -> Ended:
    """Run it, hand its measurements over, and return how it ended. Raises nothing."""
    ended = failed(run, FailureKind.USER_ERROR, "the run had no end")
    try:
        with log.of(run.folder):
            for event in journalled(play(objective, run, lambda: link.stop_asked(run)), run):
                if isinstance(event, Measured):
                    m = event.measurement
                    link.post((m.step, m.metrics, m.seconds, m.memory))
                elif isinstance(event, Ended):
                    ended = event
    except BaseException as error:  # noqa: BLE001  (also a KeyboardInterrupt that the objective raised, or a full disk)
        return replace(ended, status=Status.FAILED, failure=failure_of(error))
    if ended.status is Status.STOPPED and link.terminated:
        failure = Failure(FailureKind.PREEMPTED, "the worker was told to terminate (SIGTERM)")
        return replace(ended, status=Status.FAILED, failure=failure)
    return ended


class _Log:
    """What this process and its children print goes to ``log.txt`` in the folder of the run.

    To make a file and remove it again costs more than a quick run, so an empty log moves on from run to run; between
    them it is hidden beside their folders.
    """

    def __init__(self) -> None:
        self._spare: Path | None = None
        self._is: tuple[int, int] | None = None

    @contextmanager
    def of(self, folder: Path) -> Iterator[None]:
        """The log of a run, empty ones excepted: those are not left behind."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / LOG
        if not self._moved(path):
            with open(path, "ab", buffering=0) as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            self._is = _identity(1)
        sys.stdout = out = open(1, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
        sys.stderr = err = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
        try:
            yield
        finally:
            for stream in (out, err):
                if not stream.closed:
                    stream.flush()
            _libc.fflush(None)  # what C libraries printed
            if os.fstat(1).st_size == 0:
                self._put_by(path)

    def _moved(self, path: Path) -> bool:
        """Whether the spare log could be moved to ``path``. The objective may have turned its output elsewhere."""
        spare, self._spare = self._spare, None
        if spare is None or path.exists() or not self._is == _identity(1) == _identity(2):
            return False
        try:
            spare.rename(path)
        except OSError:  # somebody tidied up, or it is another disk
            return False
        return True

    def _put_by(self, path: Path) -> None:
        spare = path.parent.parent / f".{os.getpid()}.{LOG}"
        try:
            path.rename(spare)
            self._spare = spare
        except FileNotFoundError:  # the objective removed it
            return

    def close(self) -> None:
        """Leave nothing behind."""
        if self._spare is not None:
            self._spare.unlink(missing_ok=True)


def _identity(fd: int) -> tuple[int, int]:
    told = os.fstat(fd)
    return told.st_dev, told.st_ino


def resident() -> int:
    """Bytes of memory that this process holds now (its peak, where there is no /proc)."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
