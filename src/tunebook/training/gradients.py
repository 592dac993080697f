"""Gradients of a batch: mixed targets, parts that fit into memory, and what is done to gradients before the update.

mixup         alpha of the Beta distribution from which the shares of two mixed examples are drawn; 0 for none
              (Zhang et al. 2018, arXiv:1710.09412)
micro_batch   rows at a time, 0 for all: a batch is taken in parts whose gradients add up to those of the batch, to
              rounding. Batch norm sees the parts, so its statistics are those of fewer rows
l1            penalty on the sum of the absolute values of the weights (tensors of two or more axes)
clip_norm     largest L2 norm of all gradients together, after the penalty; 0 for none
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from tunebook.errors import SettingError
from tunebook.objective import failure_of
from tunebook.space import Config
from tunebook.training.losses import Loss
from tunebook.training.optimizers import clip
from tunebook.training.precision import Cast, cast_of, scaler_of
from tunebook.training.seeds import Drawn
from tunebook.training.settings import real, whole, word
from tunebook.training.task import ON_OOM, Task
from tunebook.trial import FailureKind

Targets = Sequence[tuple[float, Tensor]]  # what a batch is to answer, each with its share of the loss
Mix = Callable[[Tensor, Tensor, Drawn], tuple[Tensor, Targets]]
OUT_OF_MEMORY = (FailureKind.OOM_CPU, FailureKind.OOM_GPU)
log = logging.getLogger("tunebook")


def mixing_of(config: Config) -> Mix:
    """(inputs, targets, generators) -> (inputs, shared targets), as ``mixup`` says.

    All rows of a batch are mixed in one proportion with those of a permutation of the batch, as in the paper. The
    model sees mixed examples alone, so batch norm's statistics are of one kind, and the two losses are mixed instead
    of the targets, so any loss will do.
    """
    alpha = real(config, "mixup", 0.0)

    def mix(x: Tensor, y: Tensor, drawn: Drawn) -> tuple[Tensor, Targets]:
        if not x.is_floating_point():
            raise SettingError("mixup needs inputs that can be mixed", where="mixup", got=f"inputs of {x.dtype}",
                               expected="floating-point numbers")  # fmt: skip
        share = float(drawn.numbers.beta(alpha, alpha))
        other = torch.randperm(len(x), generator=drawn.batch, device=x.device)
        return torch.lerp(x[other], x, share), [(share, y), (1.0 - share, y[other])]

    return mix if alpha else lambda x, y, drawn: (x, [(1.0, y)])


class Gradients:
    """Computes the gradients of batches.

    rows    of a batch at a time, 0 for all; halved when memory ends, if ``halve``
    """

    def __init__(
        self, model: nn.Module, loss: Loss, cast: Cast, scaler: GradScaler, rows: int = 0, *, halve: bool = False
    ) -> None:
        self.model, self.loss, self.cast, self.scaler, self.rows, self.halve = model, loss, cast, scaler, rows, halve
        self.parameters = list(model.parameters())

    def compute(self, x: Tensor, targets: Targets) -> None:
        """Set the gradients of the model's parameters to those of the mean loss of a batch."""
        while not self._computed(x, targets):
            pass

    def _computed(self, x: Tensor, targets: Targets) -> bool:
        """Whether memory was enough; if not, fewer rows are taken at a time from now on."""
        for p in self.parameters:
            p.grad = None
        rows = self.rows or len(x)
        try:
            if rows >= len(x):
                self._backward(x, targets, 1.0)
                return True
            for at in range(0, len(x), rows):
                part = slice(at, at + rows)
                self._backward(x[part], [(share, y[part]) for share, y in targets], len(x[part]) / len(x))
        except RuntimeError as error:
            if not self.halve or rows == 1 or failure_of(error).kind not in OUT_OF_MEMORY:
                raise
            self.rows = math.ceil(min(rows, len(x)) / 2)
        else:
            return True
        log.warning(
            "out of memory with %d rows at a time: from here on %d, added up to the same batch", rows, self.rows
        )
        return False

    def _backward(self, x: Tensor, targets: Targets, of_batch: float) -> None:
        with self.cast():
            outputs = self.model(x)
        if outputs.dtype.itemsize < 4:
            outputs = outputs.float()
        (share, y), *others = targets
        loss = self.loss(outputs, y)
        for other, z in others:
            loss, share = share * loss + other * self.loss(outputs, z), 1.0
        self.scaler.scale(loss if of_batch == 1.0 else loss * of_batch).backward()  # type: ignore[no-untyped-call]


def gradients_of(config: Config, task: Task, model: nn.Module) -> Gradients:
    """What computes the gradients of a task's loss, in the precision and the parts that the configuration says."""
    cast, scaler = cast_of(config, task.device), scaler_of(config, task.device)
    rows, on_oom = whole(config, "micro_batch", 0), word(config, "on_oom", task.on_oom, ON_OOM)
    return Gradients(model, task.loss(config), cast, scaler, rows, halve=on_oom == "halve")


def adjustments_of(config: Config, optimizer: Optimizer) -> list[Callable[[], object]]:
    """What is done to the gradients before each update: the L1 penalty is added, then all are clipped."""
    found: list[Callable[[], object]] = []
    parameters: list[Tensor] = [p for group in optimizer.param_groups for p in group["params"]]
    weights = [p for p in parameters if p.ndim > 1]
    penalty, largest = real(config, "l1", 0.0), real(config, "clip_norm", 0.0)
    if penalty:
        found.append(lambda: add_l1(weights, penalty))
    if largest:
        found.append(lambda: clip(parameters, largest))
    return found


@torch.no_grad()
def add_l1(weights: Sequence[Tensor], penalty: float) -> None:
    """Add the gradient of ``penalty`` times the sum of |w|: its sign, 0 at 0. Weights without a gradient are frozen."""
    trained = [(w, w.grad) for w in weights if w.grad is not None]
    if trained:
        torch._foreach_add_([g for _, g in trained], torch._foreach_sign([w for w, _ in trained]), alpha=penalty)
