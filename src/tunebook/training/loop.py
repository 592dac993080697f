"""The training loop, in one piece: a generator of measurements, so that to pause is to stop iterating.

What is random in epoch e is a function of the run's seed and of e alone: order of the examples, dropout, whatever a
model draws from torch's generator. So a run that was interrupted goes on exactly like one that was not, and two runs
in one process do not disturb each other.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from tunebook.errors import CheckpointError, SettingError
from tunebook.objective import EarlyStop, Run
from tunebook.sealed import digest
from tunebook.training.checkpoint import Checkpoint, Checkpoints
from tunebook.training.evaluate import channels_last, fast_layout, measure
from tunebook.training.optimizers import clip, optimizer_of
from tunebook.training.schedules import schedule_of
from tunebook.training.settings import real, whole
from tunebook.training.state import restored, shapes_of, stalled
from tunebook.training.task import Part, Task
from tunebook.trial import Measurement

PROBED = 10_000  # rows of the training part at most on which training metrics are measured


def train(task: Task, run: Run) -> Generator[Measurement, None, EarlyStop | None]:
    """Train to epoch ``run.until``, from the run's checkpoint if there is one; a step is an epoch.

    Yields after each epoch the metrics of the validation part under their names and those of the training part as
    ``train_<name>``, both without dropout. Measurements that the checkpoint holds are yielded again first: whether the
    study has them already, the study knows. A trial that goes on from another one has that one's weights, optimizer and
    curve up to there. Returns EarlyStop when the goal has not improved for ``task.patience``
    epochs. Outputs that are not finite make all metrics NaN.
    """
    config, until = run.config, _target(task, run)
    with seeded(run.seed, 0, task.device):
        model = channels_last(task.build(config).to(task.device))
    loss, optimizer, augment = task.loss(config), optimizer_of(config, model), task.augment(config)
    batch_size, largest_norm = whole(config, "batch_size", task.batch_size, 1), real(config, "clip_norm", 0.0)
    fitted, judged, probe = _placed(task)
    batches = math.ceil(len(fitted) / batch_size)
    schedule = schedule_of(config, task.epochs * batches)
    base_rates = [group["lr"] for group in optimizer.param_groups]
    checkpoints = Checkpoints(run.folder, identity_of(task, run))
    found = checkpoints.latest(shapes_of(model)) or _inherited(task, run, shapes_of(model))
    state = restored(found, model, optimizer)

    yield from state.history[:until]
    for epoch in range(len(state.history) + 1, until + 1):
        if stop := stalled(state.history, task):
            return stop
        began = time.perf_counter()
        with seeded(run.seed, epoch, task.device) as drawn:
            _begin(model.train(), epoch, task.epochs)
            order = torch.randperm(len(fitted), generator=drawn.order).to(task.device).tensor_split(batches)
            for step, rows in enumerate(order, (epoch - 1) * batches):
                factor = schedule(step)
                for group, rate in zip(optimizer.param_groups, base_rates, strict=True):
                    group["lr"] = rate * factor
                x, y = fitted.x.index_select(0, rows), fitted.y.index_select(0, rows)
                x = x if augment is None else augment(x, drawn.batch)
                optimizer.zero_grad()
                loss(model(fast_layout(x)), y).backward()  # type: ignore[no-untyped-call]
                if largest_norm:
                    clip(model.parameters(), largest_norm)
                optimizer.step()
        metrics = {f"train_{name}": value for name, value in measure(task, model, probe).items()}
        metrics |= measure(task, model, judged) if judged is not None else {}
        state.add(Measurement(epoch, metrics, time.perf_counter() - began), task.goal, model)

        going_on = False
        try:
            yield state.history[-1]
            going_on = epoch < until
        finally:  # after the measurement was handed over, also when that was the last thing wanted
            if not going_on or checkpoints.due:
                state.save(checkpoints, model, optimizer, last=epoch == task.epochs)
    return stalled(state.history, task)


class Drawn(NamedTuple):
    """Generators of an epoch: for the order of the examples, on the CPU; for what is done to batches, on the device."""

    order: torch.Generator
    batch: torch.Generator


@contextmanager
def seeded(seed: int, epoch: int, device: str) -> Iterator[Drawn]:
    """Seed torch's generators from (seed, epoch) inside the block, and put them back; yields two more."""
    everything, order, batch = np.random.SeedSequence([seed, epoch]).generate_state(3, np.uint64).tolist()
    with torch.random.fork_rng([] if device == "cpu" else [device]):
        torch.manual_seed(everything)
        yield Drawn(torch.Generator().manual_seed(order), torch.Generator(device).manual_seed(batch))


def _begin(model: nn.Module, epoch: int, epochs: int) -> None:
    """Tell a model that wants to know that an epoch begins: see ``tunebook.training.optimizers``."""
    tell = getattr(model, "begin_epoch", None)
    if tell is not None:
        tell(epoch, epochs)


def identity_of(task: Task, run: Run) -> str:
    """Digest of what makes two runs the same training: a checkpoint of another one is of no use."""
    told: Mapping[str, Any] = {
        "config": dict(run.config),
        "seed": run.seed,
        "context": asdict(run.context),
        "epochs": task.epochs,
        "data": task.fingerprint or [len(task.train), len(task.valid) if task.valid else 0],
    }
    return digest(json.dumps(told, sort_keys=True).encode())


def _inherited(task: Task, run: Run, shapes: dict[str, tuple[int, ...]]) -> Checkpoint | None:
    """What the run goes on from: the checkpoint of the trial that it is a copy of. Raises CheckpointError."""
    if run.parent is None:
        return None
    config, context = run.parent
    theirs = identity_of(task, replace(run, config=config, context=context, seed=context.seed))
    found = Checkpoints(run.folder, theirs).latest(shapes)
    if found is None or found.step != run.start:
        raise CheckpointError(
            "the checkpoint that this trial goes on from is not there",
            where=str(run.folder),
            got="none" if found is None else f"one of step {found.step}",
            expected=f"one of step {run.start}",
        )
    return found


def _target(task: Task, run: Run) -> int:
    if run.until > task.epochs:
        raise SettingError(
            "the run is to go beyond the full training, over which the learning-rate schedule is laid",
            where=f"trial {run.trial}",
            got=f"until epoch {run.until}",
            expected=f"at most {task.epochs}",
            fix="give the task more epochs",
        )
    return run.until


def _placed(task: Task) -> tuple[Part, Part | None, Part]:
    """Training part, validation part and what training metrics are measured on, on the task's device."""
    fitted = task.train.to(task.device)
    probe = fitted
    if len(fitted) > PROBED:
        rows = torch.randperm(len(fitted), generator=torch.Generator().manual_seed(0))[:PROBED].to(task.device)
        probe = Part(fitted.x[rows], fitted.y[rows])
    return fitted, task.valid.to(task.device) if task.valid is not None else None, probe
