"""What a run has come to, and how that is put into a checkpoint and taken out again."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tunebook.objective import EarlyStop
from tunebook.training.averaging import Average
from tunebook.training.checkpoint import Checkpoint, Checkpoints
from tunebook.training.gradients import Gradients
from tunebook.training.task import Task
from tunebook.trial import Goal, Measurement


@dataclass
class State:
    """All that changes while a run trains: model, optimizer, average, loss scale, curve and the best weights so far."""

    model: nn.Module
    optimizer: Optimizer
    average: Average
    gradients: Gradients
    history: list[Measurement] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_epoch: int = 0

    def add(self, m: Measurement, goal: Goal) -> None:
        """Take in an epoch; keep the judged weights if the goal metric is better than ever before."""
        self.history.append(m)
        if goal.metric in m.metrics and best_epoch(self.history, goal) == m.step:
            weights = self.average.judged.state_dict()
            self.best = {name: tensor.detach().clone() for name, tensor in weights.items()}
            self.best_epoch = m.step

    def save(self, checkpoints: Checkpoints, *, last: bool) -> None:
        """Write a checkpoint. Of a training that is over, only the weights are kept."""
        tensors, plain = ({}, {}) if last else _optimizer_state(self.optimizer)
        parts = {
            "weights": self.model.state_dict(),
            "best": self.best,
            "averaged": self.average.state,
            "optimizer": tensors,
        }
        meta = {
            "history": [[m.step, dict(m.metrics), m.seconds] for m in self.history],
            "best_epoch": self.best_epoch,
            "optimizer": plain,
            "averaged": self.average.count,
            "scaler": self.gradients.scaler.state_dict(),
            "rows": self.gradients.rows,
        }
        checkpoints.save(len(self.history), parts, meta, last=last)

    def restore(self, found: Checkpoint | None) -> None:
        """Put everything where it was when the checkpoint was written."""
        if found is None:
            return
        self.model.load_state_dict(found.part("weights"))
        _restore_optimizer(self.optimizer, {**found.part("optimizer"), **found.meta["optimizer"]})
        self.average.restore(found.part("averaged"), int(found.meta["averaged"]))
        if found.meta["scaler"]:  # which does nothing where the loss is not scaled
            self.gradients.scaler.load_state_dict(found.meta["scaler"])
        rows, wanted = int(found.meta["rows"]), self.gradients.rows
        self.gradients.rows = min(rows, wanted) if rows and wanted else rows or wanted
        self.history, self.best = history_of(found), found.part("best")
        self.best_epoch = int(found.meta["best_epoch"])


def history_of(checkpoint: Checkpoint) -> list[Measurement]:
    """The curve that a checkpoint holds."""
    return [Measurement(step, metrics, seconds) for step, metrics, seconds in checkpoint.meta["history"]]


def best_weights(checkpoint: Checkpoint) -> tuple[int, dict[str, Tensor]]:
    """Epoch and weights of the best epoch; where none was judged, the last one's, averaged if there is an average."""
    best = checkpoint.part("best")
    if best:
        return int(checkpoint.meta["best_epoch"]), best
    return checkpoint.step, checkpoint.part("averaged") or checkpoint.part("weights")


def best_epoch(history: list[Measurement], goal: Goal) -> int:
    """The epoch that counts: the first with the best goal metric, or the last, as the goal picks; 0 without one."""
    finite = [m for m in history if math.isfinite(m.metrics.get(goal.metric, math.nan))]
    if not finite:
        return 0
    return (finite[-1] if goal.pick == "last" else min(finite, key=lambda m: goal.loss(m.metrics[goal.metric]))).step


def stalled(history: list[Measurement], task: Task) -> EarlyStop | None:
    """EarlyStop when the last ``task.patience`` epochs brought no better goal metric (Prechelt 1998, section 2.1)."""
    judged = bool(history) and task.goal.metric in history[-1].metrics
    if not task.patience or not judged:
        return None
    finite = [m for m in history if math.isfinite(m.metrics[task.goal.metric])]
    best = min(finite, key=lambda m: task.goal.loss(m.metrics[task.goal.metric])).step if finite else 0
    if len(history) - best < task.patience:
        return None
    return EarlyStop(f"{task.goal.metric} has not improved for {task.patience} epochs since epoch {best}")


def shapes_of(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _optimizer_state(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The optimizer's memory as tensors and plain values, both called ``<parameter>.<key>``."""
    flat = {f"{i}.{key}": v for i, kept in optimizer.state_dict()["state"].items() for key, v in kept.items()}
    tensors = {name: v for name, v in flat.items() if isinstance(v, Tensor)}
    return tensors, {name: v for name, v in flat.items() if name not in tensors}


def _restore_optimizer(optimizer: Optimizer, kept: dict[str, Any]) -> None:
    memory: dict[int, dict[str, Any]] = {}
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for name, value in kept.items():
        at, _, key = name.partition(".")
        if isinstance(value, Tensor) and value.shape == parameters[int(at)].shape:
            value = torch.empty_like(parameters[int(at)]).copy_(value)  # noqa: PLW2901  (fused kernels need one layout)
        memory.setdefault(int(at), {})[key] = value
    optimizer.load_state_dict({"state": memory, "param_groups": optimizer.state_dict()["param_groups"]})
