"""Objectives for the tests of executors, importable by worker processes."""

import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tunebook.objective import Run
from tunebook.trial import Measurement

HOARD: list[bytes] = []


class BrokenText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Unpicklable(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__("unpicklable")
        self.socket = socket.socket()


class Base(BaseException):
    pass


def exit_system() -> None:
    sys.exit(3)


def exit_at_once() -> None:
    os._exit(0)


def exit_with_code() -> None:
    os._exit(7)


def crash() -> None:
    ctypes.string_at(0)


def abort() -> None:
    os.abort()


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def raise_value_error() -> None:
    raise ValueError("odd value")


def raise_interrupt() -> None:
    raise KeyboardInterrupt


def raise_generator_exit() -> None:
    raise GeneratorExit


def raise_base() -> None:
    raise Base("of its own kind")


def raise_stop_iteration() -> None:
    raise StopIteration


def raise_broken_text() -> None:
    raise BrokenText


def raise_unpicklable() -> None:
    raise Unpicklable(1, 2)


def raise_long() -> None:
    raise ValueError("x" * 10_000_000)


def raise_group() -> None:
    raise ExceptionGroup("two", [ValueError("a"), TypeError("b")])


def raise_no_memory() -> None:
    raise MemoryError


def raise_torch_cpu_memory() -> None:
    raise RuntimeError("[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory: 8 bytes")


def raise_cuda_memory() -> None:
    raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")


def raise_disk_full() -> None:
    raise OSError(28, "No space left on device")


def recurse() -> None:
    recurse()


def read_terminal() -> None:
    input("yes or no? ")


def close_everything() -> None:
    os.closerange(3, 1024)


def replace_stdout() -> None:
    sys.stdout.close()


def leave_a_child() -> None:
    subprocess.Popen(["sleep", "1000"])


def fork() -> None:
    os.fork()


def hold_the_interpreter() -> None:
    sum(range(10**13))


def sleep() -> None:
    time.sleep(1000)


def spin() -> None:
    while True:
        pass


def print_much() -> None:
    print("from Python")
    print("an error", file=sys.stderr)
    os.system("echo from a child")
    ctypes.CDLL(None).puts(b"from C")


def hoard() -> None:
    HOARD.append(b"x" * (300 << 20))


def use_memory() -> None:
    HOARD.append(b"x" * (3 << 30))


def use_300_mb() -> None:
    len(b"x" * (300 << 20))


def limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, resource.RLIM_INFINITY))


def act(run: Run):
    """Calls the function of this module that ``config["does"]`` names after the first measurement, then goes on."""
    for step in range(1, run.until + 1):
        if step == 2 and "does" in run.config:
            globals()[run.config["does"]]()
        time.sleep(run.config.get("pause", 0.0))
        threads = float(os.environ["OMP_NUM_THREADS"])
        yield Measurement(step, {"value": 1.0 / step, "pid": os.getpid(), "threads": threads})


def counts(run: Run):
    """Goes on from its checkpoint, which is saved after each step."""
    saved = Path(run.folder) / "saved"
    first = int(saved.read_text()) + 1 if saved.exists() else 1
    for step in range(first, run.until + 1):
        time.sleep(run.config.get("pause", 0.001))
        yield Measurement(step, {"value": 1.0 / step, "pid": os.getpid()})
        new = saved.with_suffix(".new")
        new.write_text(str(step))
        new.replace(saved)


def deaf(run: Run):
    """Measures once, and then does not come back."""
    yield Measurement(1, {"value": 1.0, "pid": os.getpid()})
    (run.folder / "deaf").touch()
    globals()[run.config["does"]]()
