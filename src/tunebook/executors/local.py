"""Runs in worker processes of this machine, which stay warm from run to run."""

from __future__ import annotations

import math
import os
import selectors
import sys
import tempfile
import time
import weakref
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path

from tunebook.errors import SettingError
from tunebook.executors._common import closed, failed, positive, stopped, wall_clock, whole
from tunebook.executors._journal import journal_of
from tunebook.executors._process import Worker, words_for
from tunebook.executors._shipping import packed_objective
from tunebook.executors._wire import BEGAN, BROKEN, LOG, STOP
from tunebook.executors.base import Executor
from tunebook.objective import Objective, Run, failure_of
from tunebook.trial import Ended, Event, Failure, FailureKind, Measured, Measurement, Status

TICK = 0.2  # seconds between looks for dead workers on systems that do not tell of them
START_LIMIT = 180.0
CLOSE_GRACE = 0.5
DUMP_SECONDS = 0.3
GROWTH = 1 << 30  # bytes that a worker may grow by before it is replaced
TAIL = 4_000
POISON = ("AcceleratorError", "CUDA error")  # after these a process cannot use its GPU any more


@dataclass
class _Busy:
    """A run on a worker and where it stands; ``until`` (of the monotonic clock) is when that has lasted too long.

    start: the worker is loading, or has not taken the run up yet; run; stop: it was asked to stop; late: it was asked
    to because its time is up; dumped: it did not, and writes its stacks.
    """

    run: Run
    where: str = "start"
    until: float = math.inf
    asked: bool = False
    step: int = 0

    def enter(self, where: str, seconds: float) -> None:
        self.where, self.until = where, time.monotonic() + seconds


class LocalExecutor(Executor):
    """``capacity`` runs side by side, each in a process of its own, on POSIX systems.

    A worker is a fresh interpreter with one numerical thread (or OMP_NUM_THREADS, if that is set); it has the working
    directory and search path of this process, ignores Ctrl-C, and dies with this process however that dies. What a run
    prints goes to ``log.txt`` in its folder. A worker that dies fails its run with WORKER_LOST, and another takes its
    place. Objectives of scripts and notebooks are sent by value, those of modules by name.

    ``time_limit`` is in seconds a run (TIMEOUT), ``memory_limit`` in bytes of data a worker (OOM_CPU). A run that was
    asked to stop and measures nothing for ``grace`` seconds is killed. A worker is replaced after ``recycle_after``
    runs, when it has grown by 1 GiB, and when memory ran out in it.

    Raises ObjectiveError, naming the variable, if the objective cannot be sent to another process; SettingError.
    """

    def __init__(
        self,
        objective: Objective,
        capacity: int = 1,
        *,
        time_limit: float | None = None,
        memory_limit: int | None = None,
        grace: float = 30.0,
        recycle_after: int = 10_000,
    ) -> None:
        if sys.platform == "win32":
            raise SettingError("worker processes need a POSIX system", fix="workers=0: SerialExecutor")
        super().__init__(objective, whole(capacity, "capacity"))
        self._time_limit = math.inf if time_limit is None else positive(time_limit, "time_limit")
        limit = None if memory_limit is None else whole(memory_limit, "memory_limit")
        self._growth = GROWTH if limit is None else min(GROWTH, limit // 4)
        self._grace, self._recycle_after = positive(grace, "grace"), whole(recycle_after, "recycle_after")
        packed = packed_objective(objective, limit)
        with tempfile.TemporaryFile() as file:  # without a name: nothing is left behind, and nobody else reads it
            file.write(packed)
            file.flush()
            self._setup = os.dup(file.fileno())
        self._clock = wall_clock()
        self._selector = selectors.DefaultSelector()
        self._queue: deque[Run] = deque()
        self._events: list[Event] = []
        self._workers: set[Worker] = set()
        self._idle: list[Worker] = []
        self._busy: dict[Worker, _Busy] = {}
        self._leaving: dict[Worker, float] = {}
        self._closed = False
        self._release = weakref.finalize(self, _release, self._workers, self._setup, os.getpid())

    def submit(self, run: Run) -> None:
        """Start a run, or queue it until a worker is free. Raises SettingError after ``close``."""
        if self._closed:
            raise closed()
        self._queue.append(run)
        self._assign()

    def warm(self) -> None:
        """Start all workers at once. Raises OSError."""
        while not self._closed and len(self._workers) < self.capacity:
            self._idle.append(self._started(Path(os.devnull)))

    def poll(self, timeout: float = 1.0) -> list[Event]:
        """What happened since the last call; waits up to ``timeout`` seconds for it while something runs."""
        end = time.monotonic() + timeout
        while not self._closed:
            patience = min([end, *(busy.until for busy in self._busy.values())]) - time.monotonic()
            self._listen(0.0 if self._events or not self._busy else max(0.0, patience))
            self._expire()
            self._assign()
            if self._events or not self._busy or time.monotonic() >= end:
                break
        events, self._events = self._events, []
        return events

    def stop(self, trial: int) -> None:
        """Ask a run to stop at its next measurement; one that waits for a worker ends at once."""
        for run in [r for r in self._queue if r.trial == trial]:
            self._queue.remove(run)
            self._end(stopped(run))
        for worker, busy in self._busy.items():
            if busy.run.trial == trial and not busy.asked:
                busy.asked = True
                worker.send((STOP, trial, busy.run.attempt))
                if busy.where == "run":
                    busy.enter("stop", self._grace)

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._clock()

    def close(self) -> None:
        """End all workers within about half a second, by force if need be."""
        if self._closed:
            return
        self._closed = True
        self._queue.clear()
        for worker in self._workers:
            worker.dismiss()
        end = time.monotonic() + CLOSE_GRACE
        while self._workers and time.monotonic() < end:
            self._listen(min(TICK, CLOSE_GRACE))
        for worker in self._workers:
            worker.kill()
        for worker in list(self._workers):
            self._bury(worker)
        self._events.clear()
        self._selector.close()
        self._release()

    # runs and workers

    def _assign(self) -> None:
        while self._queue and len(self._busy) < self.capacity:
            run = self._queue.popleft()
            try:
                worker = self._worker_for(run)
            except OSError as error:
                failure = failure_of(error)
                kind = failure.kind if failure.kind is FailureKind.STORAGE else FailureKind.WORKER_LOST
                self._end(failed(run, kind, f"no worker could be started: {failure.message}"))
                continue
            self._busy[worker] = _Busy(run)
            self._busy[worker].enter("start", START_LIMIT)

    def _worker_for(self, run: Run) -> Worker:
        """A worker that was given the run: an idle one, or a new one. Raises OSError."""
        while self._idle:
            worker = self._idle.pop()
            if not worker.dead and worker.send(run):
                return worker
            self._bury(worker)
        run.folder.mkdir(parents=True, exist_ok=True)
        worker = self._started(run.folder / LOG)
        worker.send(run)
        return worker

    def _started(self, log: Path) -> Worker:
        taken = {worker.place[0] for worker in self._workers}
        place = next(i for i in range(len(taken) + 1) if i not in taken)
        worker = Worker(self._setup, log, (place, max(self.capacity, place + 1)))
        self._workers.add(worker)
        for fd in (worker.events, worker.sentinel):
            if fd is not None:
                self._selector.register(fd, selectors.EVENT_READ, worker)
        return worker

    def _listen(self, seconds: float) -> None:
        """Wait for workers to say something or to die, and take it in."""
        unseen = [worker for worker in self._workers if worker.sentinel is None]
        told = self._selector.select(min(seconds, TICK) if unseen else seconds)
        touched = {key.data: None for key, _ in told}
        dead = {key.data for key, _ in told if key.fd == key.data.sentinel}
        for worker in touched:
            self._take_in(worker)
        dead |= {worker for worker in unseen if worker.dead}
        for worker in dead | {worker for worker in touched if worker.silent}:
            self._bury(worker)

    def _take_in(self, worker: Worker) -> None:
        for message in worker.messages():
            busy = self._busy.get(worker)
            if busy is None:
                continue
            if isinstance(message[0], int):
                busy.step = message[0]
                self._events.append(Measured(busy.run.trial, busy.run.attempt, Measurement(*message)))
            elif message == BEGAN:
                busy.enter(*(("stop", self._grace) if busy.asked else ("run", self._time_limit)))
            elif message[0] == BROKEN:
                self._broken(worker, message[1])
            else:
                self._ended(worker, *message[1:])

    def _ended(self, worker: Worker, status: Status, failure: Failure | None, note: str, resident: int) -> None:
        busy = self._busy.pop(worker)
        ended = Ended(busy.run.trial, busy.run.attempt, status, failure, note=note)
        if status is Status.STOPPED and busy.where in ("late", "dumped"):
            ended = self._late(busy, "it was stopped at a measurement")
        self._end(ended)
        worker.runs += 1
        worker.usual = worker.usual or resident
        if worker.runs >= self._recycle_after or resident - worker.usual > self._growth or _last(failure):
            self._dismiss(worker)
        else:
            self._idle.append(worker)

    def _broken(self, worker: Worker, failure: Failure) -> None:
        """The worker could not load the objective."""
        run = self._busy.pop(worker).run
        failure = replace(failure, message=f"the objective could not be loaded in a worker process: {failure.message}")
        self._end(Ended(run.trial, run.attempt, Status.FAILED, failure))
        self._dismiss(worker)

    def _dismiss(self, worker: Worker) -> None:
        worker.dismiss()
        self._leaving[worker] = time.monotonic() + self._grace

    def _end(self, ended: Ended) -> None:
        self._events.append(replace(ended, at=self.now()))

    # limits and deaths

    def _expire(self) -> None:
        """Act on what has lasted too long."""
        now = time.monotonic()
        for worker, busy in self._busy.items():
            if now < busy.until:
                continue
            if busy.where == "run":
                worker.send((STOP, busy.run.trial, busy.run.attempt))
                busy.enter("late", self._grace)
            elif busy.where == "late":
                worker.dump_stacks()
                busy.enter("dumped", DUMP_SECONDS)
            else:
                worker.kill()
                busy.until = math.inf
        for worker, until in self._leaving.items():
            if now >= until:
                worker.kill()

    def _bury(self, worker: Worker) -> None:
        """Take in what a dead worker said last, end its run, and free what it held."""
        self._take_in(worker)
        busy = self._busy.pop(worker, None)
        for fd in (worker.events, worker.sentinel):
            if fd is not None:
                self._selector.unregister(fd)
        code = worker.reap()
        self._workers.discard(worker)
        self._leaving.pop(worker, None)
        if worker in self._idle:
            self._idle.remove(worker)
        if busy is None:
            return
        if busy.where == "start" and worker.ready and not busy.asked:
            self._queue.appendleft(busy.run)  # it died idle, and this run was given to it a moment too late
            return
        if busy.where != "start":  # what it measured last may have died with it on the way
            unsent = [m for m in journal_of(busy.run) if m.step > busy.step]
            self._events += [Measured(busy.run.trial, busy.run.attempt, m) for m in unsent]
        self._end(self._lost(busy, code))

    def _lost(self, busy: _Busy, code: int) -> Ended:
        """The end of a run whose worker is dead."""
        if busy.asked:
            return stopped(busy.run, f"its worker {words_for(code)} after it was asked to stop")
        if busy.where in ("late", "dumped"):
            return self._late(busy, f"it did not stop within {self._grace:g} s and was killed")
        when = " before it could begin" if busy.where == "start" else ""
        told = _tail(busy.run.folder / LOG)
        return failed(
            busy.run, FailureKind.WORKER_LOST, f"the worker {words_for(code)}{when}", str(busy.run.folder / LOG), told
        )

    def _late(self, busy: _Busy, how: str) -> Ended:
        message = f"the run took longer than its limit of {self._time_limit:g} s; {how}"
        log = busy.run.folder / LOG
        return failed(busy.run, FailureKind.TIMEOUT, message, str(log) if log.exists() else "", _tail(log))


def _last(failure: Failure | None) -> bool:
    """Whether a process in which this happened should not, or will not, take another run."""
    if failure is None:
        return False
    ends = failure.kind in (FailureKind.OOM_CPU, FailureKind.OOM_GPU, FailureKind.PREEMPTED)
    return ends or any(sign in failure.message for sign in POISON)


def _tail(log: Path) -> str:
    """The end of what a run printed, which has the stacks of a crash or of a run that was killed."""
    if not log.exists():
        return ""
    with open(log, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
        return file.read().decode(errors="replace")


def _release(workers: set[Worker], setup: int, driver: int) -> None:
    """Free everything, also of executors that nobody closed. Forks of the driver inherit this, and must not use it."""
    if os.getpid() == driver:
        for worker in workers:
            worker.reap()
        os.close(setup)
