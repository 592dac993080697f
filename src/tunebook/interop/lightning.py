"""Lightning modules tuned with one callback.

    @tunebook.objective
    def train(run):
        tuned = TunebookCallback(run)
        trainer = Trainer(max_epochs=EPOCHS, callbacks=[tuned])
        trainer.fit(Module(run.config), train_loader, valid_loader, ckpt_path=tuned.checkpoint)
"""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.io import CheckpointIO

from tunebook.interop._session import TRAINING, Session, named, one_process
from tunebook.interop._state import packed, unpacked
from tunebook.interop.torch import own_settings, rebase, seed_all
from tunebook.objective import Run
from tunebook.training.checkpoint import Checkpoint

NOT_STATE = ("hyper_parameters", "hparams_name", "hparams_type", "datamodule_hyper_parameters",
             "datamodule_hparams_name", "datamodule_hparams_type")  # fmt: skip


class TunebookCallback(Callback):  # type: ignore[misc]
    """Reports each epoch of ``fit`` to the run, stops it when the study says so, and goes on where a run was left.

    ``max_epochs`` of the trainer is the length of a full training; the callback ends it at ``run.until``. What was
    logged is reported: ``val_loss`` as ``loss``, ``train_loss`` as it is, other names as they are.

    After each epoch, and after it was reported, Lightning's checkpoint goes into the run's folder, unless that would
    cost more than 5 % of the time: with loops, callbacks, optimizers and schedules, without hyperparameters. It is
    written as a sealed safetensors file instead of a pickle, and only data is read from it. Give ``checkpoint`` to
    ``fit`` as ``ckpt_path``. With ``seeded``, all generators are seeded from the run's seed and the epoch, so that on a
    deterministic device a resumed run has the curve of an unbroken one.

    One process a trial. Raises ObjectiveError for a run that cannot report, or a fit that is not where the checkpoint
    was; SettingError for several processes; CheckpointError for a state that holds more than data.
    """

    def __init__(self, run: Run, *, seeded: bool = True) -> None:
        self._session = Session(run, "Lightning", "fit(..., ckpt_path=callback.checkpoint)")
        self._seeded = seeded
        self._found = self._session.resume()
        self._own: list[Any] = []
        self._began = self._validates = self._judged = False

    @property
    def checkpoint(self) -> str | None:
        """What ``fit`` is to go on from: its ``ckpt_path``. None to begin."""
        return None if self._found is None else self._path

    @property
    def _path(self) -> str:
        return str(self._session.run.folder / "tunebook")

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let Lightning's checkpoints of this run be read and written as safetensors."""
        one_process(trainer.world_size, "Lightning")
        if stage == "fit":
            others = trainer.strategy.checkpoint_io
            trainer.strategy.checkpoint_io = _SealedIO(self._path, self._session, self._found, others)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember what the configuration has set, before a state is restored."""
        self._own = [own_settings(thing) for thing in _stateful(trainer)]
        trainer.should_stop = self._session.over  # there may be nothing left to do

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A trial that goes on from another one's state has settings of its own."""
        if self._session.inherited:
            for thing, settings in zip(_stateful(trainer), self._own, strict=True):
                rebase(thing, settings)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what the last epoch has left, then seed this one."""
        # here and not at the end of the epoch, where schedules have not yet stepped
        if self._began and self._session.due:
            trainer.save_checkpoint(self._path)
        seed = self._session.starts(trainer.current_epoch + 1)
        if self._seeded:
            seed_all(seed)
            if not self._began:  # the first iterator of a process was made before, later ones are made after this
                iter(trainer.fit_loop._data_fetcher)
        self._began = True

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember that this epoch was judged: the trainer shows old metrics in those that are not."""
        self._validates = self._judged = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report, then stop if there is no more to do."""
        session, logs = self._session, trainer.callback_metrics
        if self._validates and not self._judged:
            logs = {name: value for name, value in logs.items() if name.startswith(TRAINING)}
        session.report(trainer.current_epoch + 1, named(logs, session.run.metric, rest_is_training=not self._validates))
        self._judged = False
        if session.over:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what the last epoch has left; tell the run when something else has stopped ``fit``, such as Lightning's
        EarlyStopping."""
        if self._began and self._session.over:
            trainer.save_checkpoint(self._path)
        self._session.ended(trainer.should_stop)


class _SealedIO(CheckpointIO):  # type: ignore[misc]
    """Reads and writes the checkpoints of a session, and leaves all others to whoever did it before."""

    def __init__(self, path: str, session: Session, found: Checkpoint | None, others: CheckpointIO) -> None:
        self.path, self.session, self.found, self.others = path, session, found, others

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        if str(path) != self.path:
            self.others.save_checkpoint(checkpoint, path, storage_options)
            return
        state = {name: value for name, value in checkpoint.items() if name not in (*NOT_STATE, "state_dict")}
        for progress in state["loops"]["fit_loop"]["epoch_progress"].values():
            progress["ready"] = progress["completed"]  # the epoch that begins now is to begin again
        self.session.save(*packed(checkpoint["state_dict"], state))

    def load_checkpoint(self, path: Any, *more: Any, **named: Any) -> dict[str, Any]:
        if str(path) != self.path or self.found is None:
            told: dict[str, Any] = self.others.load_checkpoint(path, *more, **named)
            return told
        weights, state = unpacked(self.found)
        return {**state, "state_dict": weights}

    def remove_checkpoint(self, path: Any) -> None:
        self.others.remove_checkpoint(path)

    def teardown(self) -> None:
        self.others.teardown()


def _stateful(trainer: Trainer) -> list[Any]:
    return [*trainer.optimizers, *(config.scheduler for config in trainer.lr_scheduler_configs)]
