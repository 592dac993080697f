"""Networks as learners: what each network family shares."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, ClassVar

import torch
from torch import nn

from tunebook.data import Dataset, Split
from tunebook.errors import Problem, SettingError, nearest
from tunebook.learners.base import MODEL, Learner
from tunebook.learners.ready import Ready, ready
from tunebook.learners.spaces import with_adam_knobs
from tunebook.objective import EarlyStop, Run
from tunebook.space import Choice, Config, Space
from tunebook.training import Card, Checkpoints, Part, Task, augment, save_model, train, transfer
from tunebook.training.check import check_training
from tunebook.training.costs import COSTS
from tunebook.training.devices import device_of
from tunebook.training.loop import identity_of
from tunebook.training.losses import accuracy, classification_loss, counted, regression_loss
from tunebook.training.models import Capacity, Inputs, Shape, capacity
from tunebook.training.optimizers import THEIRS, optimizer_of, settings_of_torch
from tunebook.training.settings import whole
from tunebook.training.state import best_weights, history_of
from tunebook.trial import Context, Goal, Measurement

log = logging.getLogger("tunebook")
TRAINING = (
    "optimizer", "lr", "momentum", "dampening", "nesterov", "beta1", "beta2", "eps", "amsgrad", "momentum_decay",
    "alpha", "centered", "lr_decay", "initial_accumulator_value", "weight_decay", "decay_biases",
    "schedule", "warmup", "floor", "drops", "gamma", "rise", "bottom", "plateau_patience", "threshold", "cooldown",
    "loss", "label_smoothing", "focal_gamma", "huber_delta", "class_weights",
    "batch_size", "micro_batch", "on_oom", "mixup", "l1", "clip_norm", "ema", "swa", "swa_rate", "swa_anneal",
    "precision", "compile",
    *augment.NAMES, *transfer.NAMES,
)  # fmt: skip


class NetLearner(Learner):
    """A family of networks trained by ``tunebook.training``."""

    names: ClassVar[tuple[str, ...]]

    @abstractmethod
    def build(self, config: Config, shape: Shape, outputs: int) -> nn.Module:
        """The network for examples of ``shape``."""

    def space_for(self, dataset: Dataset, trials: int) -> Space:
        return with_adam_knobs(self.space(dataset), trials)

    def objective(
        self, data: str, split: Split, goal: Goal, steps: int, *, folds: int = 0, patience: int = 0
    ) -> NetObjective:
        """As ``Learner.objective``; a step is an epoch. With ``folds``, fold ``run.context.fold`` is validated on."""
        return NetObjective(self, data, split, goal, steps, folds, patience)

    def costs(self) -> list[str]:
        return [*super().costs(), *COSTS]

    def check(self, config: Config) -> None:
        """Raise SettingError, with the nearest name, for hyperparameters that this family does not have."""
        known = {*self.names, *TRAINING, *_of_torch(config)}
        odd = {key: next((p for p in (key.partition(".")[0], key.rpartition(".")[2]) if p not in known), "")
               for key in config}  # fmt: skip
        found = [
            Problem(f"{self.name} has no hyperparameter of this name", key, repr(config[key]), nearest(part, known))
            for key, part in odd.items()
            if part
        ]
        if found:
            raise SettingError(found)

    def check_space(self, space: Space, dataset: Dataset, goal: Goal) -> None:
        """As ``Learner.check_space``: the default of each optimizer to choose from, in milliseconds, without training.

        A setting beside the optimizer that stands below each of its options too, and so has no effect, is refused.
        """
        shadowed = [p for name in (*space.names, *space.constants) if (p := _shadow(space, name)) is not None]
        if shadowed:
            raise SettingError(shadowed)
        task = _stand_in(dataset, goal)
        optimizer = space.parameters.get("optimizer")
        options = list(optimizer.options) if isinstance(optimizer, Choice) else []
        for told in [space, *(space.updated({"optimizer": name}) for name in options[1:])]:
            config = told.default
            self.check(config)
            check_training(task, config)
        self._try_build(space.default, dataset)

    def _try_build(self, config: Config, dataset: Dataset) -> None:
        """Build the network without memory for its weights. Raises SettingError."""
        vocabulary = 0 if dataset.inputs.dtype.kind == "f" else int(dataset.inputs.max()) + 1
        shape = Inputs.read(tuple(dataset.inputs.shape[1:]), dataset.encoding, vocabulary)
        with torch.random.fork_rng([]), torch.device("meta"):
            self.build(config, shape, len(dataset.classes) or 1)


def _stand_in(dataset: Dataset, goal: Goal) -> Task:
    """A task like that of a training on the data set, of one example."""
    classes, one = len(dataset.classes), torch.zeros(1, 1)
    loss = partial(classification_loss, counts=[1] * classes) if classes else regression_loss
    y = torch.zeros(1, dtype=torch.int64 if classes else torch.float32)
    augmented = partial(augment.augmentation, kind=dataset.kind)
    return Task(lambda config: torch.nn.Linear(1, 1), loss, Part(one, y), None, {goal.metric: accuracy}, goal, 1,
                device=device_of(), augment=augmented)  # fmt: skip


def _shadow(space: Space, name: str) -> Problem | None:
    """The problem of a setting of the optimizer that is never read, if it is one."""
    optimizer = space.parameters.get("optimizer", space.constants.get("optimizer"))
    options = optimizer.options if isinstance(optimizer, Choice) else [optimizer]
    below = [f"optimizer.{option}.{name}" for option in options]
    if optimizer is None or not {*below} <= {*space.names, *space.constants}:
        return None
    return Problem(f"{name} has no effect: each optimizer has its own", name, expected=", ".join(below),
                   fix=f"optimizer = 'adam', and \"optimizer.adam.{name}\" = ...", code="CONFIG-042")  # fmt: skip


def _of_torch(config: Config) -> list[str]:
    """The settings of an optimizer of torch's that the configuration names."""
    name = str(config.get("optimizer"))
    return list(settings_of_torch(name)) if name.startswith(THEIRS) else []


@dataclass(frozen=True)
class NetObjective:
    """Trains a learner's network on named data; picklable, and small.

    The run's context says on what: its fold, the fraction of the training part, or, if ``final``, training and
    validation part together, after which the model is saved in the run's folder under ``model``. A final training has
    no validation metrics: its run is to ask for ``train_<metric>``.
    """

    learner: NetLearner
    data: str
    split: Split
    goal: Goal
    epochs: int
    folds: int = 0
    patience: int = 0

    def __call__(self, run: Run) -> Iterator[Measurement]:
        self.learner.check(run.config)
        task = self.task(run.context)
        return self._final(task, run) if run.context.final else train(task, run)

    def ready(self, context: Context) -> Ready:
        """The data of a context as tensors; the process keeps the last few."""
        return ready(self.data, self.split, self.folds, replace(context, seed=0))

    def task(self, context: Context) -> Task:
        """The training task of a context."""
        data = self.ready(context)
        return Task(
            build=lambda config: transfer.started(self.learner.build(config, data.inputs, data.outputs), config),
            loss=partial(classification_loss, counts=counted(data.train.y)) if data.classes else regression_loss,
            train=data.train,
            valid=data.valid,
            metrics=data.metrics(self.goal.named),
            goal=self.goal,
            epochs=self.epochs,
            patience=self.patience,
            fingerprint=data.fingerprint,
            device=device_of(),
            augment=partial(augment.augmentation, kind=data.preprocessor.kind),
            costs={name: COSTS[name] for name in self.goal.named if name in COSTS},
        )

    def augmented(self, config: Config) -> dict[str, Any] | None:
        """What the configuration makes of three examples of the training part, as plain JSON; None if nothing."""
        data = self.ready(Context())
        return augment.previewed(config, data.preprocessor.kind, data.train.x[:3])

    def capacity(self, config: Config, context: Context) -> Capacity:
        """Size of the network of a configuration, and the memory of one of its training steps."""
        data = self.ready(context)
        with torch.random.fork_rng([]):
            model = self.learner.build(config, data.inputs, data.outputs)
        batch = min(whole(config, "batch_size", Task.batch_size, 1), len(data.train))
        return capacity(model, data.inputs, batch, partial(optimizer_of, config))

    def _size(self, run: Run) -> dict[str, int] | None:
        """What ``capacity`` says, for a card; a module of people's own may do what the counters cannot follow."""
        try:
            return asdict(self.capacity(run.config, run.context))
        except Exception as error:  # noqa: BLE001  (whatever it is, a trained model is not lost for it)
            log.warning("size of the model of trial %d is not known: %s: %s", run.trial, type(error).__name__, error)
            return None

    def save(self, run: Run) -> None:
        """Save the best model of a run that has come to ``run.until``, in the run's folder under ``model``."""
        data = self.ready(run.context)
        found = Checkpoints(run.folder, identity_of(self.task(run.context), run)).latest()
        if found is None or found.step < run.until:
            return
        epoch, weights = best_weights(found)
        card = Card(
            self.learner.name,
            run.config,
            data.shape,
            data.classes,
            data.preprocessor,
            data.encoding,
            epoch,
            history_of(found)[epoch - 1].metrics,
            {
                **self.learner.about(),
                "data": self.data,
                "fingerprint": data.fingerprint,
                "seed": run.seed,
                "trial": run.trial,
                "capacity": self._size(run),
            },
            data.label_type,
        )
        save_model(run.folder / MODEL, card, weights)

    def _final(self, task: Task, run: Run) -> Generator[Measurement, None, EarlyStop | None]:
        try:
            return (yield from train(task, run))
        finally:
            self.save(run)
