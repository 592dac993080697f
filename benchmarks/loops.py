"""Training loops that are compared: tunebook's, the one that people write, and three frameworks', over one case each.

All of them get the same model with the same first weights, the same parts in memory, batch size, Adam, cross-entropy
and number of epochs, and after each epoch the accuracy on the whole validation part is taken, in batches of 512.
``Watch.epoch`` is told it. What a framework does beside that (progress bars, summaries, checkpoints, loggers) is
switched off; tunebook's loop does all that it does in a study: it also measures the training part each epoch, and
writes checkpoints.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from tunebook.objective import Run
from tunebook.training import Part, classification, train

JUDGED = 512  # rows at a time in evaluation


@dataclass(frozen=True, eq=False)
class Case:
    """What is trained: ``build`` makes the model; ``target`` is the accuracy to which the time is told."""

    name: str
    says: str
    build: Callable[[], nn.Module]
    train: Part
    valid: Part
    batch_size: int
    epochs: int
    target: float
    lr: float = 1e-3
    device: str = "cpu"

    def model(self, seed: int) -> nn.Module:
        """The model with the weights of a seed."""
        torch.manual_seed(seed)
        return self.build().to(self.device)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example."""
        return tuple(self.train.x.shape[1:])


@dataclass
class Watch:
    """Wall and CPU seconds since the start, and the validation accuracy, at the end of each epoch."""

    device: str = "cpu"
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def epoch(self, accuracy: float) -> None:
        """An epoch is over, its evaluation included."""
        if self.device != "cpu":
            torch.cuda.synchronize()
        self.wall.append(time.perf_counter() - self._wall)
        self.cpu.append(time.process_time() - self._cpu)
        self.accuracy.append(float(accuracy))


def tunebook(case: Case, seed: int, watch: Watch) -> None:
    """``training.train``, with its measurements of the training part and its checkpoints."""
    from dataclasses import replace

    task = classification(lambda config: case.model(seed), case.train, case.valid, epochs=case.epochs)
    task = replace(task, batch_size=case.batch_size, device=case.device)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(0, {"lr": case.lr}, case.epochs, Path(folder), seed, metric="accuracy")
        for m in train(task, run):
            watch.epoch(m.metrics["accuracy"])


def plain(case: Case, seed: int, watch: Watch) -> None:
    """What people write: a DataLoader over a TensorDataset, ``loss.item()`` each step, and its loop for validation."""
    model = case.model(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=case.lr)
    loader = DataLoader(TensorDataset(case.train.x, case.train.y), batch_size=case.batch_size, shuffle=True)
    judged = DataLoader(TensorDataset(case.valid.x, case.valid.y), batch_size=JUDGED)
    for _ in range(case.epochs):
        model.train()
        total = 0.0
        for x, y in loader:
            x, y = x.to(case.device), y.to(case.device)  # noqa: PLW2901
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
        model.eval()
        right = 0
        with torch.no_grad():
            for x, y in judged:
                right += (model(x.to(case.device)).argmax(1) == y.to(case.device)).sum().item()
        watch.epoch(right / len(case.valid))


def skorch(case: Case, seed: int, watch: Watch) -> None:
    """skorch's NeuralNetClassifier with a fixed validation part, and the callbacks that it comes with but printing."""
    from skorch import NeuralNetClassifier
    from skorch.callbacks import Callback
    from skorch.dataset import Dataset
    from skorch.helper import predefined_split

    class Told(Callback):
        def on_epoch_end(self, net: Any, **_: Any) -> None:
            watch.epoch(net.history[-1, "valid_acc"])

    net = NeuralNetClassifier(
        case.model(seed),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=case.lr,
        batch_size=case.batch_size,
        max_epochs=case.epochs,
        iterator_train__shuffle=True,
        iterator_valid__batch_size=JUDGED,
        train_split=predefined_split(Dataset(case.valid.x, case.valid.y)),
        callbacks=[("told", Told())],
        callbacks__print_log=None,
        device=case.device,
    )
    net.fit(case.train.x, case.train.y)


def lightning(case: Case, seed: int, watch: Watch) -> None:
    """A LightningModule with training and validation step, and the Trainer without bars, loggers and checkpoints."""
    import lightning as pl

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = case.model(seed)

        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            loss = F.cross_entropy(self.model(batch[0]), batch[1])
            self.log("train_loss", loss)
            return loss

        def validation_step(self, batch: list[Tensor], index: int) -> None:
            self.log("accuracy", (self.model(batch[0]).argmax(1) == batch[1]).float().mean(), batch_size=len(batch[1]))

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=case.lr)

    class Told(pl.Callback):
        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            watch.epoch(trainer.callback_metrics["accuracy"].item())

    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            default_root_dir=folder,
            max_epochs=case.epochs,
            accelerator="cpu" if case.device == "cpu" else "gpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            callbacks=[Told()],
        )
        loader = DataLoader(TensorDataset(case.train.x, case.train.y), batch_size=case.batch_size, shuffle=True)
        judged = DataLoader(TensorDataset(case.valid.x, case.valid.y), batch_size=JUDGED)
        trainer.fit(Module(), loader, judged)


def keras(case: Case, seed: int, watch: Watch) -> None:
    """Keras on torch: the same torch module in a TorchModuleWrapper, compiled and fitted on arrays."""
    import keras as k

    class Told(k.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            watch.epoch(logs["val_accuracy"])

    class Wrapped(k.Model):
        def __init__(self) -> None:
            super().__init__()
            self.inner = k.layers.TorchModuleWrapper(case.model(seed))

        def call(self, x: Tensor) -> Any:
            return self.inner(x)

    model = Wrapped()
    loss = k.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(k.optimizers.Adam(case.lr), loss, metrics=["accuracy"])
    model.fit(
        case.train.x.numpy(),
        case.train.y.numpy(),
        batch_size=case.batch_size,
        epochs=case.epochs,
        verbose=0,
        validation_data=(case.valid.x.numpy(), case.valid.y.numpy()),
        validation_batch_size=JUDGED,
        callbacks=[Told()],
    )


LOOPS: Mapping[str, Callable[[Case, int, Watch], None]] = {
    "tunebook": tunebook,
    "plain": plain,
    "skorch": skorch,
    "lightning": lightning,
    "keras": keras,
}


def followed(name: str, case: Case, seed: int) -> Watch:
    """One training by a loop. Raises RuntimeError when it did not report each epoch."""
    watch = Watch(case.device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of frameworks, about workers and loggers that are not wanted here
        LOOPS[name](case, seed, watch)
    if len(watch.wall) != case.epochs:
        raise RuntimeError(f"{name} told of {len(watch.wall)} epochs of {case.epochs} of {case.name}")
    return watch


def missing(name: str) -> str:
    """Why a loop cannot be run here; "" if it can."""
    if name in ("tunebook", "plain"):
        return ""
    try:
        __import__(name)
    except Exception as error:  # noqa: BLE001  (frameworks break in many ways on import; the benchmark goes on)
        return f"{type(error).__name__}: {error}"
    return ""
