"""Who trains together: one process, or several that each take a part of every batch.

Each process has the whole model and begins with the same weights. After the backward pass the gradients are added up,
each weighted by its share of the batch, so that all processes take the step that one would take on the whole batch, to
rounding. That is data parallelism as DistributedDataParallel does it, but in one message after the backward pass and
not during it; so it does not mind layers that are frozen, unfrozen or left out.

What is not the same as in one process: batch norm sees the part of a process and not the whole batch, and what is drawn
for an example (dropout, augmentation) is another draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from tunebook.errors import ObjectiveError
from tunebook.training.seeds import Drawn

T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """One process, which is first and alone."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process measures, reports and writes checkpoints."""
        return self.rank == 0

    def part(self, rows: Tensor) -> Tensor:
        """What this process takes of a batch (n,)."""
        return rows

    def merge(self, parameters: Iterable[Tensor], share: float) -> None:
        """Put into the gradients the sum over all processes of share times gradient."""

    def draw(self, drawn: Drawn) -> None:
        """Let each process draw other numbers from here on."""

    def told(self, make: Callable[[], T]) -> T:
        """What the first process makes, in all of them."""
        return make()

    def in_turn(self, make: Callable[[], T]) -> T:
        """What each process makes for itself, the first one before the others."""
        return make()


ALONE = Team()


class Together(Team):
    """One of several processes, in the default group of ``torch.distributed``."""

    @staticmethod
    def joined(rank: int, size: int, meeting: str, timeout: float, backend: str = "gloo") -> Together:
        """Meet the others at the file ``meeting``; a message that takes longer than ``timeout`` seconds is an error."""
        limit = timedelta(seconds=timeout)
        dist.init_process_group(backend, f"file://{meeting}", rank=rank, world_size=size, timeout=limit)
        return Together(rank, size)

    def part(self, rows: Tensor) -> Tensor:
        return rows.tensor_split(self.size)[self.rank]

    def merge(self, parameters: Iterable[Tensor], share: float) -> None:
        grads = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.reshape(-1) for g in grads]).mul_(share)
        dist.all_reduce(flat)
        for g, summed in zip(grads, torch.split(flat, [g.numel() for g in grads]), strict=True):
            g.copy_(summed.view_as(g))

    def draw(self, drawn: Drawn) -> None:
        if not self.first:
            torch.manual_seed(torch.initial_seed() ^ (0x9E3779B97F4A7C15 * self.rank & (1 << 63) - 1))
            drawn.batch.manual_seed(drawn.batch.initial_seed() ^ self.rank)

    def told(self, make: Callable[[], T]) -> T:
        box = [make() if self.first else None]
        dist.broadcast_object_list(box, src=0)
        return box[0]  # type: ignore[return-value]

    def in_turn(self, make: Callable[[], T]) -> T:
        if self.first:
            made = make()
            dist.barrier()
            return made
        dist.barrier()
        return make()

    def agree(self, what: Mapping[str, object]) -> None:
        """Raise ObjectiveError where this process was given something else than the first one."""
        first = self.told(lambda: dict(what))
        odd = sorted(k for k in {*first, *what} if first.get(k) != what.get(k))
        if odd:
            raise ObjectiveError(
                "the processes of a training were given different settings",
                where=f"process {self.rank}",
                got=f"{odd[0]} = {what.get(odd[0])!r}",
                expected=repr(first.get(odd[0])),
            )
