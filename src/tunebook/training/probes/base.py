"""What a probe is: short trainings of one configuration, and what they say about it before a study is paid for.

A probe takes a subject and returns a reading: figures, the curves behind them as data, and findings with proposals, as
the checks of ``tunebook.diagnose`` give them. What a probe decides from its figures is a pure function beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tunebook.diagnose.base import Finding
from tunebook.space import Array, Config
from tunebook.training.averaging import average_of
from tunebook.training.evaluate import channels_last, fast_layout
from tunebook.training.gradients import adjustments_of, gradients_of, mixing_of
from tunebook.training.optimizers import OPTIMIZERS, THEIRS, clip, optimizer_of
from tunebook.training.precision import compiled
from tunebook.training.schedules import reduction_of, schedule_of
from tunebook.training.seeds import seeded
from tunebook.training.settings import picked, real, whole
from tunebook.training.task import Task

Curve = tuple[Sequence[float], Sequence[float]]


@dataclass(frozen=True)
class Reading:
    """What a probe found: a sentence, the figures, curves (x, y) by name to plot, and findings."""

    probe: str
    says: str
    figures: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Curve] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, eq=False)
class Subject:
    """A task under a configuration. Its trainings always begin with the same weights, on the same batches."""

    task: Task
    config: Config
    seed: int = 0

    @property
    def batch_size(self) -> int:
        """Of training."""
        return min(whole(self.config, "batch_size", self.task.batch_size, 1), len(self.task.train))

    @property
    def batches(self) -> int:
        """Steps of an epoch."""
        return math.ceil(len(self.task.train) / self.batch_size)

    @property
    def total(self) -> int:
        """Steps of a full training."""
        return self.task.epochs * self.batches

    @property
    def optimizer(self) -> tuple[str, Config]:
        """Its name and its settings; whether torch has one of that name, ``optimizer_of`` says."""
        name = str(self.config.get("optimizer"))
        return picked(self.config, "optimizer", "adam", [*OPTIMIZERS, *([name] if name.startswith(THEIRS) else [])])

    @property
    def rate_name(self) -> str:
        """What the learning rate of the optimizer is called in the configuration."""
        nested = f"optimizer.{self.optimizer[0]}.lr"
        return nested if nested in self.config else "lr"

    @property
    def rate(self) -> float:
        """The learning rate; the optimizer's own where the configuration has none."""
        _, told = self.optimizer
        usual = optimizer_of(self.config, nn.ParameterList([torch.zeros(1)])).param_groups[0]["lr"]
        return real(told, "lr", float(usual))

    def at(self, rate: float) -> Subject:
        """The same with another learning rate."""
        return self.told(**{self.rate_name: rate})

    def told(self, **changes: object) -> Subject:
        """The same with other hyperparameters."""
        return replace(self, config={**self.config, **changes})  # type: ignore[dict-item]

    def model(self) -> nn.Module:
        """The model with its first weights, on the device."""
        with seeded(self.seed, 0, self.task.device):
            return channels_last(self.task.build(self.config).to(self.task.device))


@dataclass(frozen=True, eq=False)
class Step:
    """A step that was just taken: its number from 0, the loss before it, the norm of the gradient before clipping.

    The gradients are still with the parameters.
    """

    number: int
    loss: float
    norm: float
    model: nn.Module
    optimizer: Optimizer


@dataclass(frozen=True, eq=False)
class Trace:
    """A short training: the loss of each batch (n,), the gradient's L2 norm before clipping (n,), and the model.

    It ends where the loss is not finite, with that value.
    """

    losses: Array
    norms: Array
    model: nn.Module


def traced(
    subject: Subject,
    steps: int,
    factor: Callable[[int], float] = lambda t: 1.0,
    watch: Callable[[Step], None] = lambda step: None,
) -> Trace:
    """Train for some steps; the learning rate of step t is that of the configuration times ``factor(t)``.

    The schedule and warm-up of the configuration are left out: a probe asks about the rate itself.
    """
    task, config, model = subject.task, subject.config, subject.model()
    loss, optimizer, augment = task.loss(config), optimizer_of(config, model), task.augment(config)
    largest, rates = real(config, "clip_norm", 0.0), [group["lr"] for group in optimizer.param_groups]
    fitted = task.train.to(task.device)
    losses, norms = list[float](), list[float]()
    with seeded(subject.seed, 1, task.device) as drawn:
        rows = _rows(len(fitted), subject.batches, drawn.order)
        for t in range(steps):
            picks = next(rows).to(task.device)
            x, y = fitted.x.index_select(0, picks), fitted.y.index_select(0, picks)
            x = x if augment is None else augment(x, drawn.batch)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor(t)
            optimizer.zero_grad()
            value = loss(model.train()(fast_layout(x)), y)
            value.backward()  # type: ignore[no-untyped-call]
            grads = [p.grad for p in model.parameters() if p.grad is not None]
            norms.append(float(nn.utils.get_total_norm(grads)))
            losses.append(float(value.detach()))
            if not math.isfinite(losses[-1]):
                break
            if largest:
                clip(model.parameters(), largest)
            optimizer.step()
            watch(Step(t, losses[-1], norms[-1], model, optimizer))
    return Trace(np.array(losses), np.array(norms), model)


def check_settings(subject: Subject) -> None:
    """Raise what a run of the configuration would raise before its first update: probes read only some settings."""
    task, config, model = subject.task, subject.config, subject.model()
    schedule_of(config, subject.total)
    reduction_of(config, task.goal)
    average_of(config, model, task.epochs)
    adjustments_of(config, optimizer_of(config, model))
    gradients_of(config, task, compiled(model, config, task.device))
    task.augment(config)
    x, y = sample(subject, 2)
    with seeded(subject.seed, 1, task.device) as drawn:
        mixing_of(config)(x, y, drawn)


def by_step(values: Array) -> Curve:
    """Values (n,) of steps as a curve."""
    return list(range(len(values))), values.tolist()


def _rows(n: int, batches: int, generator: torch.Generator) -> Iterator[Tensor]:
    for _ in count():
        yield from torch.randperm(n, generator=generator).tensor_split(batches)


def sample(subject: Subject, most: int) -> tuple[Tensor, Tensor]:
    """At most ``most`` examples of the training part, always the same ones, on the device."""
    part = subject.task.train
    rows = torch.randperm(len(part), generator=torch.Generator().manual_seed(subject.seed))[:most]
    return part.x[rows].to(subject.task.device), part.y[rows].to(subject.task.device)
