"""What the adapters to other frameworks' loops have in common.

The loop is somebody else's and calls us. After each epoch the order is always the same: the measurement is handed over,
then the state is saved, then the loop is told whether to go on. So a step that was reported is never lost, and a run
that was killed goes on behind the last checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tunebook.errors import CheckpointError, ObjectiveError, SettingError
from tunebook.objective import ReportingRun, Run, StopRun
from tunebook.sealed import digest
from tunebook.space import Config
from tunebook.training.checkpoint import Checkpoint, Checkpoints
from tunebook.training.tensor_file import Parts
from tunebook.trial import Context

VALIDATION = ("val_", "val/", "valid_", "valid/", "eval_", "eval/")
TRAINING = ("train_", "train/", "training_", "training/")


class Session:
    """One attempt at a run, inside somebody else's loop.

    ``going_on`` tells how the loop is given the epoch to begin with. ``step`` is the last epoch that is done,
    ``inherited`` whether it was another trial's, from whose checkpoint this one goes on. Raises ObjectiveError for a
    run that cannot report.
    """

    def __init__(self, run: Run, framework: str, going_on: str = "one fit for each callback") -> None:
        if not isinstance(run, ReportingRun):
            raise ObjectiveError(
                "this run cannot report from inside a loop",
                where=framework,
                got=f"{type(run).__name__}, which is given to generators and undecorated functions",
                expected="the run of a decorated function",
                fix="put @tunebook.objective above the function that trains",
                code="OBJECTIVE-053",
            )
        self.run, self.framework, self.going_on = run, framework, going_on
        self.identity = _identity(framework, run.config, run.context, run.seed)
        self.checkpoints = Checkpoints(run.folder, self.identity)
        self.step, self.stopped, self.inherited = 0, False, False

    @property
    def over(self) -> bool:
        """Whether nothing more is wanted of this attempt."""
        return self.stopped or self.step >= self.run.until

    def resume(self, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Checkpoint | None:
        """The newest sound checkpoint to go on from; None to begin. ``shapes`` of the weights must be as they were.

        Raises CheckpointError for a trial that is to go on from another one's checkpoint and finds none.
        """
        found = self.checkpoints.latest(shapes)
        if found is None and self.run.parent is not None:
            found = Checkpoints(self.run.folder, self.parents_identity()).latest(shapes)
            if found is None or found.step != self.run.start:
                raise self.orphan(0 if found is None else found.step)
            self.inherited = True
        self.step = 0 if found is None else found.step
        return found

    def parents_identity(self) -> str:
        """The identity of the checkpoints of the trial that this one is a copy of; empty without one."""
        if self.run.parent is None:
            return ""
        config, context = self.run.parent
        return _identity(self.framework, config, context, context.seed)

    def orphan(self, found: int) -> CheckpointError:
        """The error of a trial whose parent left no checkpoint of the step that it is to go on from."""
        return CheckpointError("the checkpoint that this trial goes on from is not there", where=str(self.run.folder),
                               got=f"one of step {found}" if found else "none",
                               expected=f"one of step {self.run.start}")  # fmt: skip

    def starts(self, step: int) -> int:
        """The loop begins an epoch: returns the seed for all that is random in it.

        Raises StopRun when the loop was told to stop and goes on nevertheless; ObjectiveError when it is not where the
        checkpoint was.
        """
        if self.over:
            raise StopRun
        if step != self.step + 1:
            raise ObjectiveError("the loop is not at the epoch that comes next", where=self.framework,
                                 got=f"epoch {step}", expected=f"epoch {self.step + 1}", fix=self.going_on,
                                 code="OBJECTIVE-075")  # fmt: skip
        return epoch_seed(self.run.seed, step)

    def report(self, step: int, metrics: Mapping[str, Any]) -> None:
        """The loop has ended an epoch: hand its metrics over. An epoch without validation is not a measurement, unless
        it is the last one."""
        if step < self.run.until and self.run.metric not in metrics and all(n.startswith("train_") for n in metrics):
            self.step = step
            return
        try:
            self.run.report(step, **metrics)
        except StopRun:  # the loop is told to stop in its own way, so that it closes what it has opened
            self.stopped = True
        self.step = step

    def save(self, parts: Parts, meta: Mapping[str, Any]) -> Path:
        """Write the checkpoint of the epoch that was reported."""
        return self.checkpoints.save(self.step, parts, meta)

    @property
    def due(self) -> bool:
        """Whether the epoch that was reported is to be saved: at the end, and whenever that costs little."""
        return self.over or self.checkpoints.due

    def ended(self, stopped: bool) -> None:
        """The loop is over; ``stopped`` when it ended itself, as by its own early stopping."""
        if stopped and self.step and not self.over:
            self.run.end_early(f"{self.framework} stopped the training after epoch {self.step}")


def epoch_seed(seed: int, epoch: int) -> int:
    """A seed below 2**32 for all that is random in an epoch: an interrupted run then goes on like an unbroken one."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def one_process(size: int, framework: str) -> None:
    """Raise SettingError when several processes train one model: only one of them could talk to the study."""
    if size > 1:
        raise SettingError(
            "a trial on several processes cannot be tuned by this callback",
            where=framework,
            got=f"{size} processes",
            expected="1",
            fix="one device a trial; trials run side by side",
        )


def named(logs: Mapping[str, Any], metric: str, *, rest_is_training: bool) -> dict[str, Any]:
    """The metrics of a framework under tunebook's names: ``val_loss`` is ``loss``, what is of training ``train_loss``.

    ``metric`` is the one that is optimised; a framework's own name for it does as well. What has no prefix is of the
    training part if ``rest_is_training``, or where a metric of validation has that name. Arrays are left out.

    >>> named({"loss": 0.5, "val_loss": 0.6}, "loss", rest_is_training=True)
    {'train_loss': 0.5, 'loss': 0.6}
    >>> named({"accuracy": 0.9, "train_loss": 0.5}, "accuracy", rest_is_training=False)
    {'accuracy': 0.9, 'train_loss': 0.5}
    >>> named({"acc": 0.8, "val_acc": 0.7}, "val_acc", rest_is_training=True)
    {'train_acc': 0.8, 'acc': 0.7, 'val_acc': 0.7, 'train_val_acc': 0.8}
    """
    logs = {name: value for name, value in logs.items() if name == metric or getattr(value, "shape", ()) == ()}
    judged = {bare for name in logs if (bare := _bare(name, VALIDATION))}
    told: dict[str, Any] = {}
    for name, value in logs.items():
        if bare := _bare(name, VALIDATION) or "":
            told[bare] = value
        elif bare := _bare(name, TRAINING):
            told[f"train_{bare}"] = value
        else:
            told[f"train_{name}" if rest_is_training or name in judged else name] = value
    own = _bare(metric, VALIDATION)
    if own in told and metric not in told:
        told[metric] = told[own]
        if f"train_{own}" in told:
            told[f"train_{metric}"] = told[f"train_{own}"]
    return told


def _bare(name: str, prefixes: tuple[str, ...]) -> str:
    """The name without one of the prefixes; empty where it has none."""
    return next((name.removeprefix(p) for p in prefixes if name.startswith(p)), "")


def _identity(framework: str, config: Config, context: Context, seed: int) -> str:
    """Digest of what makes two runs the same training: a checkpoint of another one is of no use."""
    told = {"framework": framework, "config": dict(config), "seed": seed, "context": asdict(context)}
    return digest(json.dumps(told, sort_keys=True).encode())
