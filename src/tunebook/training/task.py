"""What is trained: the model's builder, its loss, the data in memory, the metrics and the length of a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from tunebook.errors import DataError, SettingError
from tunebook.space import Config
from tunebook.training.losses import (
    Loss,
    accuracy,
    classification_loss,
    counted,
    exact_match,
    f1_macro,
    f1_micro,
    label_accuracy,
    multilabel_loss,
    r_squared,
    regression_loss,
    root_mean_square,
)
from tunebook.training.team import ALONE, Team
from tunebook.trial import Direction, Goal

Metric = Callable[[Tensor, Tensor], Tensor | float]
Cost = Callable[[nn.Module, Tensor], float]  # (model, one example (1, ...))
ON_OOM = ("fail", "halve")
Augment = Callable[[Tensor, torch.Generator], Tensor]  # (inputs of a batch, generator on their device) -> such inputs


def unaugmented(config: Config) -> Augment | None:
    """No augmentation, whatever the configuration."""
    return None


@dataclass(frozen=True, eq=False)
class Part:
    """Examples in memory: ``x`` (n, ...) float32, or whole numbers for models that embed them.

    ``y`` (n,) int64 codes of classes, (n,) float32 values, or (n, labels) float32, 1 where a row has the label and 0
    elsewhere.
    """

    x: Tensor
    y: Tensor

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y) or len(self.x) == 0:
            raise DataError(
                "inputs and targets do not go together",
                got=f"{len(self.x)} inputs and {len(self.y)} targets",
                expected="as many targets as inputs, at least one",
            )

    def __len__(self) -> int:
        return len(self.y)

    def to(self, device: str) -> Part:
        """The same part on a device."""
        return Part(self.x.to(device), self.y.to(device))


@dataclass(frozen=True, eq=False)
class Task:
    """All that the training loop needs beside the configuration.

    build        configuration -> model; called with torch's generator seeded. What learns at what rate and what
                 is frozen when, a model may say itself: see ``tunebook.training.optimizers``
    loss         configuration -> loss of a batch, which is minimised
    train        what the weights are fitted to
    valid        what they are judged by; None for a final training on everything
    metrics      name -> (outputs, targets) of a whole part -> number; reported of both parts
    goal         the metric that is optimised: it picks the best epoch and stops early
    epochs       length of the full training, over which the schedule runs
    batch_size   unless the configuration has one
    patience     epochs without a better goal metric after which training stops; 0 never stops
    fingerprint  of the data, so that a checkpoint of another split is not taken up
    device       where to train
    augment      configuration -> what is done to the inputs of each training batch, (x, generator) -> x of the same
                 shape, or None. It runs on the task's device, and all its randomness is to come from the generator,
                 which is on that device and seeded from (seed, epoch); it must not change x in place
    on_oom       when memory ends: "fail", or "halve" the rows that are taken at a time, with the gradients of the parts
                 added up to those of the batch; batch norm sees the parts
    costs        name -> (model, one example (1, ...)) -> number; of the model itself, reported beside the metrics
    team         the processes that train together, of which this is one; see ``tunebook.training.distributed``
    """

    build: Callable[[Config], nn.Module]
    loss: Callable[[Config], Loss]
    train: Part
    valid: Part | None
    metrics: Mapping[str, Metric]
    goal: Goal
    epochs: int
    batch_size: int = 64
    patience: int = 0
    fingerprint: str = ""
    device: str = "cpu"
    augment: Callable[[Config], Augment | None] = unaugmented
    on_oom: Literal["fail", "halve"] = "fail"
    team: Team = ALONE
    costs: Mapping[str, Cost] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("patience", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise SettingError(f"{name} of a task", where=name, got=repr(value), expected=f"{least} or more")
        if self.on_oom not in ON_OOM:
            raise SettingError("on_oom of a task", where="on_oom", got=repr(self.on_oom), expected=" or ".join(ON_OOM))
        if self.goal.metric.removeprefix("train_") not in self.metrics:
            raise SettingError(
                "the goal is not among the metrics of the task",
                where="goal",
                got=self.goal.metric,
                expected="one of: " + ", ".join(self.metrics),
            )

    def final(self) -> Task:
        """The last training: on training and validation part together, with nothing left to judge it by."""
        if self.valid is None:
            return self
        both = Part(torch.cat([self.train.x, self.valid.x]), torch.cat([self.train.y, self.valid.y]))
        return replace(self, train=both, valid=None)


CLASSIFICATION: Mapping[str, Metric] = {"loss": classification_loss({}), "accuracy": accuracy}


MULTILABEL: Mapping[str, Metric] = {
    "loss": multilabel_loss({}),
    "label_accuracy": label_accuracy,
    "exact_match": exact_match,
    "f1_micro": f1_micro,
    "f1_macro": f1_macro,
}


def regression_metrics(scale: float = 1.0) -> Mapping[str, Metric]:
    """loss (mean squared error of the targets as they are), r2, and rmse times ``scale``, to tell it in other units."""
    return {
        "loss": regression_loss({}),
        "rmse": lambda outputs, targets: root_mean_square(outputs, targets) * scale,
        "r2": r_squared,
    }


def classification(
    build: Callable[[Config], nn.Module],
    train: Part,
    valid: Part | None,
    *,
    epochs: int,
    goal: Goal | None = None,
    patience: int = 0,
    weights: Sequence[float] | None = None,
) -> Task:
    """A task of classes: ``build`` makes models with logits (n, classes); metrics loss and accuracy.

    weights   of each class in the loss; without them the configuration's ``class_weights`` says how balanced it is
    """
    goal = goal or Goal("accuracy", Direction.MAXIMIZE)
    loss = partial(classification_loss, counts=counted(train.y), weights=weights)
    return Task(build, loss, train, valid, CLASSIFICATION, goal, epochs, patience=patience)


def multilabel(
    build: Callable[[Config], nn.Module],
    train: Part,
    valid: Part | None,
    *,
    epochs: int,
    goal: Goal | None = None,
    patience: int = 0,
) -> Task:
    """A task where a row has any number of labels: targets (n, labels) of 0.0 and 1.0, logits (n, labels).

    Metrics loss, label_accuracy, exact_match, f1_micro and f1_macro (the goal, unless another is given), at
    probability 0.5. Raises DataError for other targets.
    """
    if train.y.ndim != 2:
        raise DataError("targets of several labels", got=f"shape {tuple(train.y.shape)}", expected="(rows, labels)")
    goal = goal or Goal("f1_macro", Direction.MAXIMIZE)
    loss = partial(multilabel_loss, counts=counted(train.y), rows=len(train))
    return Task(build, loss, train, valid, MULTILABEL, goal, epochs, patience=patience)


def regression(
    build: Callable[[Config], nn.Module],
    train: Part,
    valid: Part | None,
    *,
    epochs: int,
    goal: Goal | None = None,
    patience: int = 0,
) -> Task:
    """A task of numbers: models with values (n, 1) or (n,); metrics loss, rmse and r2."""
    metrics = regression_metrics()
    return Task(build, regression_loss, train, valid, metrics, goal or Goal("rmse"), epochs, patience=patience)
