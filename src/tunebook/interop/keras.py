"""Keras 3 models, on any backend, tuned with one callback.

    @tunebook.objective
    def train(run):
        keras.utils.set_random_seed(run.seed)
        model = build(run.config)
        model.compile(...)
        model.fit(x, y, validation_data=(xv, yv), epochs=EPOCHS, callbacks=[TunebookCallback(run)])
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
import torch

from tunebook.errors import CheckpointError, ObjectiveError
from tunebook.interop._session import Session, named
from tunebook.objective import Run
from tunebook.training.checkpoint import Checkpoint

RATE = "learning_rate"


class TunebookCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Reports each epoch of ``fit`` to the run, stops it when the study says so, and goes on where a run was left.

    ``epochs`` of ``fit`` is the length of a full training; the callback ends it at ``run.until``. Metrics are reported
    as ``loss`` (Keras' val_loss) and ``train_loss`` (Keras' loss), ``accuracy`` and ``train_accuracy``, ...

    After each epoch, and after it was reported, weights, the optimizer's state and the states of the model's random
    generators go into the run's folder as a sealed safetensors file, unless that would cost more than 5 % of the
    time. With ``seeded``, Python's, numpy's and the backend's generators are seeded from the run's seed and the epoch,
    so that on a deterministic device a resumed run has the curve of an unbroken one. Put it last in the list; what
    other callbacks have counted (EarlyStopping, ReduceLROnPlateau) is counted anew after an interruption.

    Raises ObjectiveError for a run that cannot report, or a fit that is not where the checkpoint was.
    """

    def __init__(self, run: Run, *, seeded: bool = True) -> None:
        super().__init__()
        self._session, self._seeded, self._began = Session(run, "Keras"), seeded, False

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Restore the state of the last checkpoint, if there is one, and tell ``fit`` with which epoch to go on."""
        model, optimizer = self.model, self.model.optimizer
        if not model.built:
            raise ObjectiveError(
                "the model is not built",
                where="fit",
                got=type(model).__name__,
                expected="a model that has its weights",
                fix="model.build(input_shape) before fit",
            )
        if optimizer is not None and not optimizer.built:
            optimizer.build(model.trainable_variables)
        if not self._began:
            self._began = True
            found = self._session.resume({str(i): tuple(v.shape) for i, v in enumerate(model.weights)})
            if found is not None:
                self._restore(found)
        done = self._session.step
        if done:  # the way in which Keras' own BackupAndRestore tells it to fit
            model._initial_epoch = max(done, self.params["epochs"]) if self._session.over else done

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Seed the epoch."""
        seed = self._session.starts(epoch + 1)
        if self._seeded:
            keras.utils.set_random_seed(seed)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Report, then save, then stop if there is no more to do."""
        session = self._session
        session.report(epoch + 1, named(logs or {}, session.run.metric, rest_is_training=True))
        if session.due:
            session.save({part: _tensors(variables) for part, variables in self._state().items()}, {})
        if session.over:
            self.model.stop_training = True

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Tell the run when something else has stopped ``fit``, such as Keras' EarlyStopping."""
        self._session.ended(self.model.stop_training)

    def _state(self) -> dict[str, list[Any]]:
        """The variables that make up the state of a training, by part of a checkpoint."""
        model, weights = self.model, {id(v) for v in self.model.weights}
        return {
            "weights": list(model.weights),
            "random": [v for v in model.variables if id(v) not in weights],
            "optimizer": list(model.optimizer.variables) if model.optimizer is not None else [],
        }

    def _restore(self, found: Checkpoint) -> None:
        for part, variables in self._state().items():
            values = found.part(part)
            if len(values) != len(variables):
                raise CheckpointError(
                    "a checkpoint does not fit the model",
                    where=f"{self._session.run.folder}, {part}",
                    got=f"{len(values)} variables",
                    expected=f"{len(variables)} variables",
                )
            for i, variable in enumerate(variables):
                # a trial that goes on from another one's state has a learning rate of its own
                if not (self._session.inherited and part == "optimizer" and variable.name == RATE):
                    variable.assign(values[str(i)].numpy())


def _tensors(variables: Iterable[Any]) -> dict[str, torch.Tensor]:
    """The values of variables, by their places."""
    values = (np.asarray(keras.ops.convert_to_numpy(v)) for v in variables)
    # numpy knows no bfloat16: where a backend has its own, float32 holds the same values
    told = (v.astype(np.float32) if v.dtype.kind == "V" else v for v in values)
    return {str(i): torch.tensor(v) for i, v in enumerate(told)}
