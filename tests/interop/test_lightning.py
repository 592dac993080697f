"""Lightning modules are tuned by one callback: with the real Lightning."""

import logging
from functools import partial
from pathlib import Path

import pytest

from tunebook import objective
from tunebook.schedulers import PopulationScheduler
from tunebook.trial import Context, Status

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*treespec, LeafSpec.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
]
EPOCHS = 6


def module_of(config, schedule):
    """A classifier with all that has a state: dropout, batch norm's averages, Adam's moments, a schedule."""
    import lightning
    import torch
    from torch import nn
    from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau

    class Classifier(lightning.LightningModule):
        def __init__(self, lr):
            super().__init__()
            self.save_hyperparameters()
            hidden = nn.ReLU(), nn.BatchNorm1d(16), nn.Dropout(0.2)
            self.net = nn.Sequential(nn.Linear(64, 16), *hidden, nn.Linear(16, 10))

        def training_step(self, batch, number):
            loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
            self.log("train_loss", loss, on_step=False, on_epoch=True)
            return loss

        def validation_step(self, batch, number):
            outputs = self.net(batch[0])
            self.log("val_loss", nn.functional.cross_entropy(outputs, batch[1]))
            self.log("val_accuracy", (outputs.argmax(1) == batch[1]).float().mean())

        def configure_optimizers(self):
            optimizer = torch.optim.Adam(self.parameters(), lr=self.hparams["lr"])
            if schedule == "cosine":
                return [optimizer], [CosineAnnealingLR(optimizer, EPOCHS)]
            plateau = ReduceLROnPlateau(optimizer, patience=0, threshold=0.3)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "val_loss"}}

    return Classifier(config["lr"])


def fitted(run, *callbacks, schedule="cosine", go_on=True, **told):
    import lightning
    import torch
    from sklearn.datasets import load_digits
    from torch.utils.data import DataLoader, TensorDataset

    from tunebook.interop.lightning import TunebookCallback

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    digits = load_digits()
    data = TensorDataset(torch.tensor(digits.data / 16, dtype=torch.float32), torch.tensor(digits.target))
    lightning.seed_everything(run.seed, verbose=False)
    module = module_of(run.config, schedule)
    tuned = TunebookCallback(run)
    trainer = lightning.Trainer(max_epochs=EPOCHS, callbacks=[tuned, *callbacks], accelerator="cpu", logger=False,
                                enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
                                **told)  # fmt: skip
    parts = [torch.utils.data.Subset(data, range(a, b)) for a, b in ((0, 500), (500, 900))]
    loaders = DataLoader(parts[0], 50, shuffle=True), DataLoader(parts[1], 400)
    trainer.fit(module, *loaders, ckpt_path=tuned.checkpoint if go_on else None)
    with (run.folder / "after.txt").open("a") as file:  # what comes after fit is reached, also when it was stopped
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        print(run.until, trainer.current_epoch, trainer.global_step, rate, file=file)


@objective
def train(run):
    fitted(run)


@objective
def on_plateau(run):
    fitted(run, schedule="plateau")


@objective
def crashing(run):
    import lightning

    class Crash(lightning.Callback):
        def on_train_batch_start(self, trainer, module, batch, number):
            if trainer.current_epoch == 2 * run.attempt and number == 3:
                raise OSError("the disk has gone")

    fitted(run, Crash(), schedule="plateau")


@objective
def patient(run):
    from lightning.pytorch.callbacks import EarlyStopping

    fitted(run, EarlyStopping("val_loss", min_delta=10.0, patience=2))


@objective
def forgetful(run):
    fitted(run, go_on=False)


@objective
def opaque(run):
    import lightning

    class Opaque(lightning.Callback):
        def state_dict(self):
            return {"kept": [0, self]}

    fitted(run, Opaque())


@objective
def seldom(run):
    fitted(run, check_val_every_n_epoch=2)


@objective
def stubborn(run):
    fitted(run, min_epochs=EPOCHS)


def after(folder: Path) -> list[list[float]]:
    return [[float(word) for word in line.split()] for line in (folder / "after.txt").read_text().splitlines()]


@pytest.mark.parametrize("objective", [train, on_plateau])
def test_pauses_leave_no_trace_in_the_curve(desk, objective) -> None:
    whole = desk.unbroken(objective, EPOCHS)
    broken, ends = desk.attempts(objective, 1, 3, 3, EPOCHS, EPOCHS)
    assert {e.status for e in ends} == {Status.COMPLETED}, ends
    assert broken == whole and sorted(whole) == list(range(1, EPOCHS + 1))
    assert set(whole[1]) == {"loss", "accuracy", "train_loss"}
    assert whole[6]["accuracy"] > 0.7
    told = after(desk.folder / f"run-{desk.made}")
    assert [t[:3] for t in told] == [[u, u, 10 * u] for u in (1, 3, 3, 6, 6)], "epochs and steps"


def test_crashes_leave_no_trace_in_the_curve(desk) -> None:
    whole = desk.unbroken(on_plateau, EPOCHS)
    broken, ends = desk.attempts(crashing, EPOCHS, EPOCHS, EPOCHS)
    assert [e.status for e in ends] == [Status.FAILED, Status.FAILED, Status.COMPLETED]
    assert ends[0].failure.message == "OSError: the disk has gone"
    assert broken == whole


def test_a_study_promotes_from_checkpoints(desk) -> None:
    assert {*desk.promoted(train, 4, EPOCHS)} >= {2, EPOCHS}


def test_a_scheduler_stops_fit(desk) -> None:
    for step, folder in desk.stopped(train, EPOCHS):
        assert [told[1] for told in after(folder)] == [step]


def test_epochs_without_validation_are_no_measurements(desk) -> None:
    whole = desk.unbroken(train, 4)
    curve, ends = desk.attempts(seldom, 2, 4)
    assert {e.status for e in ends} == {Status.COMPLETED}
    assert curve == {2: whole[2], 4: whole[4]}
    _, (end,) = desk.attempts(seldom, 3)
    assert "'accuracy', was not reported" in end.failure.message


def test_what_goes_on_after_a_stop_is_ended(desk) -> None:
    curve, (end,) = desk.attempts(stubborn, 2)
    assert end.status is Status.COMPLETED and sorted(curve) == [1, 2]
    assert not (desk.folder / "run-1" / "after.txt").exists()


def test_lightnings_own_early_stopping_is_no_failure(desk) -> None:
    curve, (end,) = desk.attempts(patient, EPOCHS)
    assert end.status is Status.STOPPED and end.note == "Lightning stopped the training after epoch 3"
    assert sorted(curve) == [1, 2, 3]


def test_a_copy_goes_on_with_a_learning_rate_of_its_own(desk) -> None:
    trials = desk.study(train, partial(PopulationScheduler, n=2, interval=2, share=0.5), 3, 4)
    (copy,) = (t for t in trials.values() if t.parent is not None)
    parent = trials[copy.parent]
    mine, theirs = (after(desk.folder / "study" / "trials" / str(t.number))[-1] for t in (copy, parent))
    assert copy.start == 2 and copy.step == 4 and mine[:3] == theirs[:3] == [4, 4, 40]
    assert mine[3] / theirs[3] == pytest.approx(copy.config["lr"] / parent.config["lr"])
    assert copy.config["lr"] != parent.config["lr"]
    _, (end,) = desk.attempts(train, 4, parent=(copy.config, Context()), start=2)
    assert end.status is Status.FAILED and "goes on from is not there" in end.failure.message


def test_nothing_is_unpickled(desk) -> None:
    desk.attempts(train, 2)
    files = {p.name for p in (desk.folder / "run-1").iterdir()}
    assert {name.split(".")[-1] for name in files} == {"safetensors", "jsonl", "txt"}
    _, (end,) = desk.attempts(opaque, 2)
    assert "holds something that is not data" in end.failure.message and "kept" in end.failure.message


def test_mistakes_are_told(desk) -> None:
    _, (_, end) = desk.attempts(forgetful, 2, 4)
    assert "not at the epoch that comes next" in end.failure.message and "ckpt_path" in end.failure.message


def test_the_example_of_the_docs(desk, monkeypatch) -> None:
    monkeypatch.chdir(desk.folder)
    trials = desk.doc("Lightning").trials.values()
    assert len(trials) >= 3 and {t.status for t in trials} <= {Status.COMPLETED, Status.STOPPED, Status.PAUSED}
    assert (desk.folder / "tunebook-runs" / "lightning" / "report.html").exists()
