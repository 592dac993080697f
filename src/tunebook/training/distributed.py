"""One trial over several processes, each with a device of its own: see ``tunebook.training.team``.

    def task_of(run):
        return classification(build, train_part, valid_part, epochs=30)

    tunebook.tune(Spread(task_of, processes=4), space, goal, workers=1, steps=30)

The trial's process starts the others and hands their measurements on. The first of them measures, reports and writes
checkpoints; whether to go on it hears from the study, and tells the others. When one of them dies or says nothing for
``timeout`` seconds all are killed and the trial has failed: nobody waits for the dead.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Any

import cloudpickle
import torch

from tunebook.errors import ObjectiveError, SettingError
from tunebook.objective import EarlyStop, Run
from tunebook.training.devices import rank_device
from tunebook.training.loop import train
from tunebook.training.settings import whole
from tunebook.training.task import Task
from tunebook.training.team import Together
from tunebook.trial import Measurement

GRACE = 30.0  # seconds to write a checkpoint after a stop
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from tunebook.training.distributed import serve; serve(int(sys.argv[2]))"
)


@dataclass(frozen=True)
class Spread:
    """An objective that trains ``task_of(run)`` in ``processes`` processes together.

    ``device`` is auto (a GPU each while there are as many, else the CPU) or cpu. ``timeout`` is in seconds: the
    longest time without a measurement, and without an answer from another process. ``task_of`` is sent to the
    processes by value. Raises ObjectiveError when a process fails, with its traceback.
    """

    task_of: Callable[[Run], Task]
    processes: int = 2
    timeout: float = 600.0
    device: str = "auto"

    def __post_init__(self) -> None:
        if isinstance(self.processes, bool) or not isinstance(self.processes, int) or self.processes < 1:
            raise SettingError("processes must be a positive whole number", where="processes", got=repr(self.processes))
        if not self.timeout > 0:
            raise SettingError("timeout must be positive", where="timeout", got=repr(self.timeout))

    def __call__(self, run: Run) -> Generator[Measurement, None, EarlyStop | None]:
        with tempfile.TemporaryDirectory() as folder:
            crew = _Crew(self, run, Path(folder) / "meeting")
            try:
                while True:
                    kind, told = crew.hear()
                    if kind == "ended":
                        return told  # type: ignore[no-any-return]
                    going_on = False
                    try:
                        yield told
                        going_on = True
                    finally:
                        if not going_on:
                            crew.leave()
                    crew.answer(True)
            finally:
                crew.kill()


class _Crew:
    """The processes, as the trial's process sees them."""

    def __init__(self, spread: Spread, run: Run, meeting: Path) -> None:
        self.timeout = spread.timeout
        self.links: list[Connection] = []
        self.processes: list[subprocess.Popen[bytes]] = []
        try:
            for rank in range(spread.processes):
                ours, theirs = Pipe()
                self.links.append(ours)
                self.processes.append(_started(theirs))
                ours.send_bytes(cloudpickle.dumps((spread, run, rank, str(meeting))))
        except BaseException:
            self.kill()
            raise

    def hear(self, seconds: float | None = None) -> tuple[str, Any]:
        """What the first process says next. Raises ObjectiveError when one of them fails, dies or is too quiet."""
        ready = wait(self.links, self.timeout if seconds is None else seconds)
        if not ready:
            raise ObjectiveError(f"the processes of a training said nothing for {self.timeout:g} s",
                                 where=f"{len(self.links)} processes", fix="a longer timeout, if epochs are that long",
                                 code="OBJECTIVE-061")  # fmt: skip
        heard = [(link, self._from(link)) for link in ready if isinstance(link, Connection)]
        failed = [told for _, (kind, told) in heard if kind == "failed"]
        if failed:
            raise ObjectiveError(failed[0], where="a process of a training", code="OBJECTIVE-061")
        return next((told for link, told in heard if link is self.links[0]), None) or self.hear(seconds)

    def _from(self, link: Connection) -> tuple[str, Any]:
        rank = self.links.index(link)
        try:
            kind, told = link.recv()
        except (EOFError, ConnectionResetError):
            code = self.processes[rank].wait(GRACE)
            return "failed", f"process {rank} of {len(self.links)} died with code {code}"
        return kind, f"process {rank} of {len(self.links)}: {told}" if kind == "failed" else told

    def answer(self, going_on: bool) -> None:
        """Tell the first process whether to go on."""
        try:
            self.links[0].send(going_on)
        except (BrokenPipeError, ConnectionResetError):
            return  # it is dead, which ``hear`` tells

    def leave(self) -> None:
        """Let them write their checkpoint and end."""
        self.answer(False)
        try:
            self.hear(GRACE)  # "ended": the checkpoint is written
        except ObjectiveError:
            return  # the trial was stopped: nobody wants to hear how they took it

    def kill(self) -> None:
        """End what is left of them."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
        for link in self.links:
            link.close()


def _started(theirs: Connection) -> subprocess.Popen[bytes]:
    path = json.dumps([entry for entry in sys.path if isinstance(entry, str)])
    loopback = "lo" if sys.platform == "linux" else "lo0"
    with theirs:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", _START, path, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            env={"GLOO_SOCKET_IFNAME": loopback, "OMP_NUM_THREADS": "1", **os.environ},
            pass_fds=(theirs.fileno(),),
        )


def serve(fd: int) -> None:
    """One of the processes: train, report if it is the first, and leave when told to."""
    link = Connection(fd)
    spread, run, rank, meeting = pickle.loads(link.recv_bytes())
    try:
        ended = _trained(spread, run, rank, meeting, link)
    except BaseException as error:  # noqa: BLE001  (whatever it is, the trial's process is told)
        lines = traceback.format_exception(error)
        link.send(("failed", f"{type(error).__name__}: {error}\n{''.join(lines)}"))
        os._exit(1)  # the others may be waiting for it, and so would the end of torch's group
    link.send(("ended", ended))
    link.poll(None)  # until the trial's process, which knows when all are done, closes it
    os._exit(0)


def _trained(spread: Spread, run: Run, rank: int, meeting: str, link: Connection) -> EarlyStop | None:
    device = rank_device(rank, spread.processes, spread.device)
    backend = "nccl" if device.startswith("cuda") else "gloo"
    if backend == "nccl":
        torch.cuda.set_device(device)
    team = Together.joined(rank, spread.processes, meeting, spread.timeout, backend)
    team.agree({"config": dict(run.config), "seed": run.seed, "until": run.until})
    task = replace(spread.task_of(run), team=team, device=device)
    check_batches(task, run, spread.processes)
    stream = train(task, run)
    with closing(stream):
        while True:
            try:
                measurement = next(stream)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if not team.told(lambda m=measurement: _reported(link, m)):  # type: ignore[misc]
                return None


def check_batches(task: Task, run: Run, processes: int) -> None:
    """Raise SettingError where a batch has fewer rows than there are processes."""
    size = whole(run.config, "batch_size", task.batch_size, 1)
    least = len(task.train) // math.ceil(len(task.train) / size)
    if least < processes:
        raise SettingError("a batch has fewer rows than there are processes", where="batch_size", got=f"{least} rows",
                           expected=f"{processes} or more")  # fmt: skip


def _reported(link: Connection, measurement: Measurement) -> bool:
    """Hand a measurement over; whether to go on."""
    link.send(("measured", measurement))
    return bool(link.recv())
