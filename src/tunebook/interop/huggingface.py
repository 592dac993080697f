"""Models that the Trainer of Hugging Face's transformers trains, tuned with one callback.

    @tunebook.objective
    def train(run):
        tuned = TunebookCallback(run)
        args = TrainingArguments(output_dir=run.folder, num_train_epochs=EPOCHS, eval_strategy="epoch", ...)
        trainer = Trainer(model, args, ..., callbacks=[tuned])
        trainer.train(resume_from_checkpoint=tuned.checkpoint)
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, IntervalStrategy, SaveStrategy

from tunebook.errors import CheckpointError, SettingError
from tunebook.interop._session import Session, named, one_process
from tunebook.objective import Run, StopRun
from tunebook.sealed import CARD, read_card, read_sealed, seal_folder
from tunebook.training.checkpoint import SHARE

KEPT = 2
SPEEDS = ("_runtime", "_per_second", "_compilation_time")
log = logging.getLogger("tunebook")


class TunebookCallback(TrainerCallback):  # type: ignore[misc]
    """Reports each evaluation to the run, stops the training when the study says so, and goes on where a run was left.

    A step of the run is an evaluation: an epoch with ``eval_strategy="epoch"``. ``num_train_epochs`` (or ``max_steps``)
    is the length of a full training, over which the learning rate is scheduled; the callback ends it at ``run.until``.
    ``eval_loss`` is reported as ``loss``, and the training loss that was logged last as ``train_loss``.

    After each evaluation, and after it was reported, the Trainer writes its checkpoint, unless that would cost more
    than 5 % of the time; it is sealed with the digests of its files, and one that is not whole is not taken up again.
    The Trainer reads weights as safetensors, and the rest with torch's loader for data only. Give ``checkpoint`` to
    ``train`` as ``resume_from_checkpoint``. On a deterministic device a resumed run has the curve of an unbroken one.

    One process a trial. Raises ObjectiveError for a run that cannot report; SettingError for arguments that would keep
    checkpoints out of the run's folder, or make them useless.
    """

    def __init__(self, run: Run) -> None:
        self._session = Session(run, "Hugging Face Trainer")
        self._found = self._latest(self._session.identity)
        if self._found is None and run.parent is not None:
            self._found = self._latest(self._session.parents_identity())
            step = 0 if self._found is None else int(read_card(self._found)["step"])
            if step != run.start:
                raise self._session.orphan(step)
            self._session.inherited = True
        if self._found is not None:
            self._session.step = int(read_card(self._found)["step"])
        self._asked = self._ours = False
        self._began = self._saved = time.perf_counter()
        self._cost = 0.0

    @property
    def checkpoint(self) -> str | None:
        """What ``train`` is to go on from: its ``resume_from_checkpoint``. None to begin."""
        return None if self._found is None else str(self._found)

    def on_init_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        """Refuse arguments with which nothing could be resumed."""
        one_process(args.world_size, self._session.framework)
        folder = self._session.run.folder.resolve()
        problems = [
            ("output_dir", args.output_dir, f"{folder}, or a folder in it", "output_dir=run.folder",
             not Path(args.output_dir).resolve().is_relative_to(folder)),
            ("eval_strategy", args.eval_strategy, "epoch or steps", 'eval_strategy="epoch"',
             args.eval_strategy == IntervalStrategy.NO),
            ("save_strategy", args.save_strategy, "no, epoch or steps", 'save_strategy="no": the callback saves',
             args.save_strategy == SaveStrategy.BEST),
            ("save_only_model", True, "False", "leave it out: the optimizer is needed too", args.save_only_model),
        ]  # fmt: skip
        for name, got, expected, fix, wrong in problems:
            if wrong:
                raise SettingError("with these arguments the run could not be resumed", where=name, got=str(got),
                                   expected=expected, fix=fix)  # fmt: skip

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        """A trial that goes on from another one's state has a learning rate and a weight decay of its own."""
        if self._session.over:
            raise StopRun  # the checkpoint is that of the last step: there is nothing left to do
        if self._session.inherited:
            _rebase(args, more["optimizer"], more["lr_scheduler"])

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """Report, then ask the Trainer to save, and to stop if there is no more to do."""
        session, step = self._session, _step_of(args, state)
        if step <= session.step or session.over:  # an evaluation that is not of the training, or is known
            return
        told = {name: value for name, value in (metrics or {}).items() if name != "epoch" and not name.endswith(SPEEDS)}
        losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
        session.report(step, named({**told, **({"train_loss": losses[-1]} if losses else {})}, session.run.metric,
                                   rest_is_training=False))  # fmt: skip
        if self._due:
            self._began = time.perf_counter()
            self._asked, self._ours, control.should_save = True, not control.should_save, True
        if session.over:
            control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        """Seal what the Trainer has saved, and remove what is not needed any more."""
        if not self._asked:
            return
        self._asked = False
        folder = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        seal_folder(folder, {"identity": self._session.identity, "step": self._session.step, "ours": self._ours})
        mine = [path for path, card in self._cards(self._session.identity) if card["ours"]]
        for old in mine[KEPT:]:
            if str(old) != str(state.best_model_checkpoint):
                shutil.rmtree(old, ignore_errors=True)
        self._saved = time.perf_counter()
        self._cost = self._saved - self._began

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        """Tell the run when something else has stopped the training, such as EarlyStoppingCallback."""
        self._session.ended(control.should_training_stop and state.global_step < state.max_steps)

    @property
    def _due(self) -> bool:
        return self._session.over or self._cost <= SHARE * (time.perf_counter() - self._saved)

    def _cards(self, identity: str) -> list[tuple[Path, dict[str, Any]]]:
        """The checkpoints of a run and what their cards say, the newest first; their files are not looked at."""
        found = []
        for path in sorted(self._session.run.folder.rglob(f"{PREFIX_CHECKPOINT_DIR}-*/{CARD}")):
            try:
                card = read_card(path.parent)
            except CheckpointError as error:
                _set_aside(path.parent, error)
                continue
            if card.get("identity") == identity:
                found.append((path.parent, card))
        return sorted(found, key=lambda pair: int(pair[1]["step"]), reverse=True)

    def _latest(self, identity: str) -> Path | None:
        """The newest checkpoint of a run that is whole."""
        for folder, _ in self._cards(identity):
            try:
                read_sealed(folder)
            except CheckpointError as error:
                _set_aside(folder, error)
                continue
            return folder
        return None


def _set_aside(folder: Path, error: CheckpointError) -> None:
    aside = folder.with_name(f"corrupt-{folder.name}")
    shutil.rmtree(aside, ignore_errors=True)
    folder.replace(aside)
    log.warning("%s\n  set aside as %s; the checkpoint before it is used", error, aside.name)


def _step_of(args: TrainingArguments, state: TrainerState) -> int:
    """How many evaluations the training has come to; 0 before it."""
    if args.eval_strategy == IntervalStrategy.STEPS:
        return int(state.global_step // state.eval_steps)
    return round(state.epoch or 0.0)


def _rebase(args: TrainingArguments, optimizer: Any, schedule: Any) -> None:
    """Put a run's own learning rate and weight decay into an optimizer and a schedule with another trial's state."""
    groups = optimizer.param_groups
    factor = args.learning_rate / groups[0].get("initial_lr", groups[0]["lr"])
    for group in groups:
        group.update({name: group[name] * factor for name in ("lr", "initial_lr") if name in group})
        if group["weight_decay"]:
            group["weight_decay"] = args.weight_decay
    schedule.base_lrs = [rate * factor for rate in schedule.base_lrs]
