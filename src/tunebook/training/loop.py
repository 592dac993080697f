"""The training loop, in one piece: a generator of measurements, so that to pause is to stop iterating.

What is random in epoch e is a function of the run's seed and of e alone: order of the examples, dropout, whatever a
model draws from torch's generator. So a run that was interrupted goes on exactly like one that was not, and two runs
in one process do not disturb each other.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Generator, Mapping
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import nn

from tunebook.errors import CheckpointError, SettingError
from tunebook.objective import EarlyStop, Run
from tunebook.sealed import digest
from tunebook.training.averaging import average_of
from tunebook.training.checkpoint import Checkpoint, Checkpoints
from tunebook.training.evaluate import channels_last, fast_layout, measure
from tunebook.training.gradients import adjustments_of, gradients_of, mixing_of
from tunebook.training.optimizers import optimizer_of, rates_of, update_of
from tunebook.training.precision import check_scale, compiled
from tunebook.training.schedules import reduction_of, schedule_of
from tunebook.training.seeds import seeded
from tunebook.training.settings import whole
from tunebook.training.state import State, shapes_of, stalled
from tunebook.training.task import Part, Task
from tunebook.trial import Measurement

FORMAT = 2  # of checkpoints
# rows on which training metrics are measured: a sixteenth, within these bounds (2 % of an epoch's computation); in a
# final training, which has no others, the most
PROBED, PROBED_SHARE = (256, 10_000), 16


def train(task: Task, run: Run) -> Generator[Measurement, None, EarlyStop | None]:
    """Train to epoch ``run.until``, from the run's checkpoint if there is one; a step is an epoch.

    Yields after each epoch the metrics of the validation part under their names and those of the training part as
    ``train_<name>``, both without dropout. Measurements that the checkpoint holds are yielded again first: whether the
    study has them already, the study knows. A trial that goes on from another one has that one's weights, optimizer and
    curve up to there. Returns EarlyStop when the goal has not improved for ``task.patience`` epochs. Outputs that are
    not finite make all metrics NaN.
    """
    config, until, team = run.config, _target(task, run), task.team
    fitted, judged, probe = _placed(task)
    batches = math.ceil(len(fitted) / whole(config, "batch_size", task.batch_size, 1))
    augment, mix = task.augment(config), mixing_of(config)
    schedule, reduction = schedule_of(config, task.epochs * batches), reduction_of(config, task.goal)
    checkpoints = Checkpoints(run.folder, identity_of(task, run))
    state = _begun(task, run)
    model, optimizer, average, gradients = state.model, state.optimizer, state.average, state.gradients
    adjustments, set_rates = adjustments_of(config, optimizer), rates_of(optimizer)
    update = update_of(optimizer, gradients.scaler)
    shapes = shapes_of(model)
    state.restore(team.in_turn(lambda: checkpoints.latest(shapes) or _inherited(task, run, shapes)))

    yield from state.history[:until]
    for epoch in range(len(state.history) + 1, until + 1):
        if stop := stalled(state.history, task):
            return stop
        began = time.perf_counter()
        with seeded(run.seed, epoch, task.device) as drawn:
            team.draw(drawn)
            _begin(model.train(), epoch, task.epochs)
            reduced = reduction(state.history)
            order = torch.randperm(len(fitted), generator=drawn.order).to(task.device).tensor_split(batches)
            for step, batch in enumerate(order, (epoch - 1) * batches):
                rows = team.part(batch)
                x, y = fitted.x.index_select(0, rows), fitted.y.index_select(0, rows)
                x = x if augment is None else augment(x, drawn.batch)
                x, targets = mix(x, y, drawn)
                gradients.compute(fast_layout(x), targets)
                team.merge(model.parameters(), len(rows) / len(batch))
                gradients.scaler.unscale_(optimizer)
                for adjust in adjustments:
                    adjust()
                set_rates(reduced * schedule(step))
                update()
                average.after_step()
            average.after_epoch(epoch, probe.x)
        check_scale(gradients.scaler)
        told = team.told(lambda: _measured(task, state, probe, judged))
        state.add(Measurement(epoch, told, time.perf_counter() - began), task.goal)

        going_on = False
        try:
            yield state.history[-1]
            going_on = epoch < until
        finally:  # after the measurement was handed over, also when that was the last thing wanted
            if team.first and (not going_on or checkpoints.due):
                state.save(checkpoints, last=epoch == task.epochs)
    return stalled(state.history, task)


def _begun(task: Task, run: Run) -> State:
    """A run before its first update."""
    with seeded(run.seed, 0, task.device):
        model = channels_last(task.build(run.config).to(task.device))
    average = average_of(run.config, model, task.epochs)
    optimizer = optimizer_of(run.config, model)
    return State(model, optimizer, average, gradients_of(run.config, task, compiled(model, run.config, task.device)))


def _measured(task: Task, state: State, probe: Part, judged: Part | None) -> dict[str, float]:
    """The metrics of an epoch: of rows of the training part, of the validation part if there is one, and the costs."""
    model, rows = state.average.judged, state.gradients.rows
    told = {f"train_{k}": v for k, v in measure(task, model, probe, rows).items()}
    told |= measure(task, model, judged, rows) if judged is not None else {}
    return told | {name: cost(model, probe.x[:1]) for name, cost in task.costs.items()}


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
        "format": FORMAT,
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
    fitted = probe = task.train.to(task.device)
    judged = task.valid.to(task.device) if task.valid is not None else None
    least, most = PROBED
    wanted = most if judged is None else min(max(least, len(fitted) // PROBED_SHARE), most)
    if len(fitted) > wanted:
        rows = torch.randperm(len(fitted), generator=torch.Generator().manual_seed(0))[:wanted].to(task.device)
        probe = Part(fitted.x[rows], fitted.y[rows])
    return fitted, judged, probe
