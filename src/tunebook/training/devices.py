"""Where a trial trains: the device of a worker, and how much of its memory.

An executor tells each of its workers its place, ``TUNEBOOK_PLACE=2/4`` for the third of four. Workers share the GPUs
that are visible (CUDA_VISIBLE_DEVICES) in turn, and the memory of each evenly: with two GPUs and four workers, workers
0 and 2 have the first one, and half of its memory each. A trial that asks for more fails as OOM_GPU, and the others go
on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from tunebook.errors import SettingError

PLACE = "TUNEBOOK_PLACE"
KEPT = 0.05  # of a shared GPU's memory: for what each process has there beside its tensors
NAMES = "auto, cpu, mps, cuda, cuda:0, ..."


@dataclass(frozen=True)
class Place:
    """A device, and the share of its memory that a process may take."""

    device: str
    memory: float = 1.0


def place_of(worker: int, workers: int, gpus: int) -> Place:
    """The place of a worker, 0 ... workers - 1, where ``gpus`` GPUs are visible.

    >>> place_of(2, 4, 2)
    Place(device='cuda:0', memory=0.475)
    >>> place_of(0, 1, 0)
    Place(device='cpu', memory=1.0)
    """
    if gpus == 0:
        return Place("cpu")
    gpu = worker % gpus
    sharing = len(range(gpu, max(workers, worker + 1), gpus))
    return Place(f"cuda:{gpu}", 1.0 if sharing == 1 else (1.0 - KEPT) / sharing)


def worker_of(variables: Mapping[str, str]) -> tuple[int, int]:
    """Number of this worker, and of all, as the environment tells; (0, 1) outside of a worker. Raises SettingError."""
    told = variables.get(PLACE, "0/1")
    number, slash, of = told.partition("/")
    if not slash or not number.isdigit() or not of.isdigit() or not int(number) < int(of):
        raise SettingError("this is not the place of a worker", where=PLACE, got=told, expected="0/4 ... 3/4",
                           code="ENV-101")  # fmt: skip
    return int(number), int(of)


def device_of(wanted: str = "auto") -> str:
    """The device to train on: a name, or "auto", which is this worker's share of the GPUs, else the CPU.

    mps is taken only by its name: it has no float64, in which metrics are computed here, and nothing was run on it.
    Sets the limit of this process's GPU memory where the GPU is shared. Raises SettingError for a device that is not
    there.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        place = place_of(*worker_of(os.environ), gpus)
        if place.memory < 1.0:
            torch.cuda.set_per_process_memory_fraction(place.memory, place.device)
        return place.device
    check_there(wanted, gpus, torch.backends.mps.is_available())
    return "cuda:0" if wanted == "cuda" else wanted


def check_there(wanted: str, gpus: int, mps: bool) -> None:
    """Raise SettingError for a device that this machine does not have."""
    kind, _, index = wanted.partition(":")
    there = {"cpu": not index, "mps": mps and not index, "cuda": gpus > 0 and (not index or index.isdigit())}
    if kind not in there:
        raise SettingError("there is no such kind of device", where="device", got=wanted, expected=NAMES)
    if not there[kind] or (kind == "cuda" and int(index or 0) >= gpus):
        found = [f"cuda:{i}" for i in range(gpus)] + (["mps"] if mps else []) + ["cpu"]
        raise SettingError("this device is not here", where="device", got=wanted, expected=", ".join(found))


def rank_device(rank: int, processes: int, wanted: str = "auto", gpus: int | None = None) -> str:
    """The device of one of several processes that train together: a GPU each, or the CPU where there are too few.

    Raises SettingError for a wanted GPU: which one, the process's number says.
    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise SettingError("processes that train together have a device each", where="device", got=wanted,
                           expected="auto, cpu or cuda")  # fmt: skip
    there = (torch.cuda.device_count() if torch.cuda.is_available() else 0) if gpus is None else gpus
    if wanted == "cuda" and there < processes:
        raise SettingError("there are fewer GPUs than processes", where="device", got=f"{there} GPUs",
                           expected=f"{processes}", fix="fewer processes, or device cpu")  # fmt: skip
    return f"cuda:{rank}" if wanted != "cpu" and there >= processes else "cpu"
