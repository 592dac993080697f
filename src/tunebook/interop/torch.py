"""Plain PyTorch loops, tuned with three changed lines.

    @tunebook.objective
    def train(run):
        ...                                                     # data, model, optimizer as ever
        epochs = Epochs(run, model, optimizer)                  # instead of range(EPOCHS): goes on where it was
        for epoch in epochs:
            ...                                                 # training and validation as ever
            epochs.report(accuracy=accuracy)                    # after the epoch: reports, then saves
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tunebook.errors import CheckpointError, ObjectiveError
from tunebook.interop._session import Session
from tunebook.interop._state import packed, unpacked
from tunebook.objective import Run
from tunebook.training.checkpoint import Checkpoint


class Stateful(Protocol):
    """What has a state that can be saved: optimizers, schedules, scalers, averaged models, ..."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


class Epochs:
    """The epochs of a run: 1, 2, ... up to ``run.until``, beginning behind its last checkpoint.

    ``stateful`` is whatever beside the model has a ``state_dict``: the optimizer, a schedule, a scaler. Their states
    are restored here and saved by ``report``, after the measurement was handed over, unless that would cost more than
    5 % of the time: so step a schedule before ``report``. With ``seeded``, Python's, numpy's and torch's generators are
    seeded from the run's seed and the epoch when it begins; then, on a deterministic device, a run that was interrupted
    has the curve of an unbroken one. When the study stops the run, the loop ends as if the epochs were over.

    Raises CheckpointError for a state that holds more than data; ObjectiveError for a run that cannot report.
    """

    def __init__(self, run: Run, model: nn.Module, *stateful: Stateful, seeded: bool = True) -> None:
        self._session, self._model, self._stateful, self._seeded = Session(run, "torch"), model, stateful, seeded
        shapes = {name: tuple(t.shape) for name, t in model.state_dict().items() if isinstance(t, Tensor)}
        found = self._session.resume(shapes)
        if found is not None:
            self._restore(found)

    def __iter__(self) -> Iterator[int]:
        session = self._session
        while not session.over:
            epoch = session.step + 1
            seed = session.starts(epoch)
            if self._seeded:
                seed_all(seed)
            yield epoch
            if session.step != epoch:
                raise ObjectiveError("an epoch was not reported", where=f"epoch {epoch}", got="no report",
                                     expected="one report an epoch", fix="epochs.report(...) at the end of the loop",
                                     code="OBJECTIVE-061")  # fmt: skip

    def report(self, **metrics: Any) -> None:
        """Report the metrics of this epoch, then save. Raises ObjectiveError for what is not a number."""
        session = self._session
        session.report(session.step + 1, metrics)
        if session.due:
            session.save(*packed(self._model.state_dict(), [s.state_dict() for s in self._stateful]))

    def _restore(self, found: Checkpoint) -> None:
        model, others = unpacked(found)
        if len(others) != len(self._stateful):
            raise CheckpointError("a checkpoint does not fit", where=str(self._session.run.folder),
                                  got=f"{len(others)} states beside the model's", expected=f"{len(self._stateful)}",
                                  fix="empty the folder, or give Epochs what it was given before")  # fmt: skip
        own = [own_settings(thing) for thing in self._stateful]
        self._model.load_state_dict(model)
        for thing, told in zip(self._stateful, others, strict=True):
            thing.load_state_dict(told)
        if self._session.inherited:
            for thing, settings in zip(self._stateful, own, strict=True):
                rebase(thing, settings)


def seed_all(seed: int) -> None:
    """Seed Python's, numpy's and torch's generators."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def own_settings(thing: Any) -> Any:
    """What a configuration has given to an optimizer or a schedule: it is that of the trial, whoever trained before."""
    if isinstance(thing, Optimizer):
        return [{name: value for name, value in group.items() if name != "params"} for group in thing.param_groups]
    return list(thing.base_lrs) if hasattr(thing, "base_lrs") else None


def rebase(thing: Any, settings: Any) -> None:
    """Put its own settings into an optimizer or a schedule that has taken over another trial's state.

    A learning rate that a schedule had changed changes in proportion.
    """
    if isinstance(thing, Optimizer):
        for group, own in zip(thing.param_groups, settings, strict=True):
            began = group.get("initial_lr", group["lr"])
            lr = own.get("initial_lr", own["lr"]) * (group["lr"] / began if began else 1.0)
            group.update({**own, "lr": lr})
    elif settings is not None:
        thing.base_lrs = settings
