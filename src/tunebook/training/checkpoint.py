"""Checkpoints of a run: they survive a kill at any instant, and damage to them is noticed.

A checkpoint is one safetensors file, ``checkpoint-<step>-<sha256 of the file>.safetensors``: written under another
name, then renamed. The one before is kept. A file whose bytes do not have the digest in its name is set aside as
``*.corrupt`` and the one before is used.

To write costs time, and to wait for the disk more: 1 to 100 ms. So while a run goes on, it writes only when that costs
at most 2 % of the time since the last one, and where it pauses it waits for the disk only when that costs at most 2 %
of the work that a power cut would destroy; a run that was only killed finds its file in any case. The last checkpoint
of a training waits for the disk always. Whatever is lost is trained again, and comes out the same.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from tunebook.errors import CheckpointError
from tunebook.sealed import CHECKPOINT as NAME
from tunebook.sealed import digest, write_whole
from tunebook.training.tensor_file import Parts, pack, unpack

SHARE = 0.02
USUAL_COST = 0.01  # seconds to write a checkpoint, or to wait for the disk, before that was measured
log = logging.getLogger("tunebook")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A run as it was after ``step``: tensors by part and name, and plain JSON."""

    step: int
    parts: Mapping[str, Mapping[str, Tensor]]
    meta: Mapping[str, Any]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors of a part by name; empty if there are none."""
        return dict(self.parts.get(name, {}))


class Checkpoints:
    """The checkpoints in a run's folder. ``identity`` says what run they are of: those of another are not taken up."""

    def __init__(self, folder: Path, identity: str = "", keep: int = 2) -> None:
        self.folder, self.identity, self.keep = folder, identity, keep
        self._good: list[Path] = []
        self._saved = self._lasting = time.perf_counter()
        self._cost = self._wait = USUAL_COST

    @property
    def due(self) -> bool:
        """Whether so much time has passed since the last one that saving costs at most 2 % of it."""
        return self._cost <= SHARE * (time.perf_counter() - self._saved)

    def save(self, step: int, parts: Parts, meta: Mapping[str, Any], *, last: bool = False) -> Path:
        """Write the checkpoint after ``step``; older ones than the one before are removed, all others if ``last``."""
        began = time.perf_counter()
        self.folder.mkdir(parents=True, exist_ok=True)
        data = pack(parts, {**meta, "step": step, "identity": self.identity})
        path = self.folder / f"checkpoint-{step:07d}-{digest(data)}.safetensors"
        self._write(path, data, lasting=last or self._wait <= SHARE * (began - self._lasting))
        self._good = [path] if last else [path, *(p for p in self._good if p != path)][: self.keep]
        for old in self._files():
            if old not in self._good:
                old.unlink(missing_ok=True)
        self._saved = time.perf_counter()
        self._cost = self._saved - began
        return path

    def _write(self, path: Path, data: bytes, *, lasting: bool) -> None:
        began = time.perf_counter()
        write_whole(path, data, lasting=lasting)
        if lasting:
            self._lasting = time.perf_counter()
            self._wait = self._lasting - began

    def latest(self, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Checkpoint | None:
        """The newest sound checkpoint of this run; None without one.

        ``shapes`` of the model's weights: a checkpoint with others is set aside like a damaged one.
        """
        for left in self._entries():
            if left.name.startswith(".tmp-"):  # of an attempt that was killed while it wrote
                left.unlink(missing_ok=True)
        for path in self._files():
            try:
                found = read_checkpoint(path)
                if shapes is not None:
                    _check_fit(found, shapes, path)
            except CheckpointError as error:
                aside = path.with_name(path.name + ".corrupt")
                path.replace(aside)
                log.warning("%s\n  set aside as %s; the checkpoint before it is used", error, aside.name)
                continue
            if found.meta.get("identity") == self.identity:
                self._good = [path]
                return found
        return None

    def _files(self) -> list[Path]:
        """Checkpoint files, the newest first."""
        named = ((m, p) for p in self._entries() if (m := NAME.fullmatch(p.name)))
        return [p for _, p in sorted(named, key=lambda pair: int(pair[0][1]), reverse=True)]

    def _entries(self) -> list[Path]:
        return list(self.folder.iterdir()) if self.folder.is_dir() else []


def read_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in a file, of whatever run. Raises CheckpointError for one that is damaged or was edited."""
    name = NAME.fullmatch(path.name)
    data = path.read_bytes()
    if name is None or digest(data) != name[2]:
        raise CheckpointError(
            "a checkpoint is damaged",
            where=str(path),
            got=f"{len(data):,} bytes, sha256 {digest(data)[:12]}",
            expected=f"sha256 {path.name.split('-')[-1][:12]}",
        )
    parts, meta = unpack(data, str(path))
    if meta.get("step") != int(name[1]):
        raise CheckpointError("a checkpoint's step is not that of its name", where=str(path), got=str(meta.get("step")))
    return Checkpoint(int(name[1]), parts, meta)


def _check_fit(found: Checkpoint, shapes: Mapping[str, tuple[int, ...]], path: Path) -> None:
    there = {name: tuple(tensor.shape) for name, tensor in found.part("weights").items()}
    if there != dict(shapes):
        odd = sorted({n for n in {*there, *shapes} if there.get(n) != shapes.get(n)})
        raise CheckpointError(
            "a checkpoint does not fit the model",
            where=str(path),
            got=f"{odd[0]} of shape {there.get(odd[0])}",
            expected=f"shape {shapes.get(odd[0])}",
        )
