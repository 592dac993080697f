"""Keras models are tuned by one callback: with the real Keras, on torch."""

import json
import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from tunebook import objective
from tunebook.schedulers import FullScheduler, PopulationScheduler
from tunebook.trial import Context, Status

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]
EPOCHS = 6


def build(config):
    """A classifier with all that has a state: dropout's generator, batch norm's averages, Adam's moments."""
    import keras

    layers = keras.layers
    hidden = [layers.Dense(16, activation="relu"), layers.BatchNormalization(), layers.Dropout(0.2)]
    model = keras.Sequential([layers.Input((64,)), *hidden, layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(config["lr"]), loss=loss, metrics=["accuracy"])
    return model


def fitted(run, *callbacks, epochs=EPOCHS, validation=True):
    import keras
    from sklearn.datasets import load_digits

    from tunebook.interop.keras import TunebookCallback

    digits = load_digits()
    x, y = (digits.data / 16).astype("float32"), digits.target
    keras.utils.set_random_seed(run.seed)
    model = build(run.config)
    told = {"validation_data": (x[500:900], y[500:900])} if validation else {}
    tuned = TunebookCallback(run)
    model.fit(x[:500], y[:500], epochs=epochs, batch_size=50, verbose=0, callbacks=[*callbacks, tuned], **told)
    return model


@objective
def train(run):
    model = fitted(run)
    with (run.folder / "after.jsonl").open("a") as file:  # what comes after fit is reached, also when it was stopped
        state = {"until": run.until, "epochs": int(model.optimizer.iterations) / 10}
        file.write(json.dumps(state | {"lr": float(model.optimizer.learning_rate)}) + "\n")


@objective
def killed(run):
    import keras

    class Kill(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            with (run.folder / "begun.txt").open("a") as file:
                file.write(f"{run.attempt} {epoch + 1}\n")
            time.sleep(0.3)  # shorter trainings write no checkpoint on the way

        def on_train_batch_end(self, batch, logs=None):
            if run.attempt == 1 and self.model.optimizer.iterations == 47:  # in the fifth epoch
                os.kill(os.getpid(), signal.SIGKILL)

    fitted(run, Kill())


@objective
def patient(run):
    import keras

    return fitted(run, keras.callbacks.EarlyStopping("val_loss", min_delta=10.0, patience=2)).count_params()


@objective
def blind(run):
    fitted(run, validation=False)


@objective
def short(run):
    fitted(run, epochs=3)


def after(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "after.jsonl").read_text().splitlines()]


def test_pauses_leave_no_trace_in_the_curve(desk) -> None:
    whole = desk.unbroken(train, EPOCHS)
    broken, ends = desk.attempts(train, 1, 3, 3, EPOCHS, EPOCHS)
    assert {e.status for e in ends} == {Status.COMPLETED}, ends
    assert broken == whole and sorted(whole) == list(range(1, EPOCHS + 1))
    assert set(whole[1]) == {"loss", "accuracy", "train_loss", "train_accuracy"}
    assert whole[6]["accuracy"] > 0.7
    assert [state["epochs"] for state in after(desk.folder / f"run-{desk.made}")] == [1, 3, 3, 6, 6]
    other, _ = desk.attempts(train, 1, seed=4)
    assert other[1] != whole[1]


def test_a_study_promotes_from_checkpoints(desk) -> None:
    ends = desk.promoted(train, 4, EPOCHS)
    assert max(ends) == EPOCHS and min(ends) == 2


def test_a_scheduler_stops_fit(desk) -> None:
    for step, folder in desk.stopped(train, EPOCHS):
        assert [state["epochs"] for state in after(folder)] == [step]


def test_a_worker_is_killed_in_the_fifth_epoch(desk) -> None:
    trials = desk.study(killed, FullScheduler, 1, EPOCHS, workers=1)
    (t,) = trials.values()
    assert t.status is Status.COMPLETED and t.attempt == 2, t.failure
    begun = (desk.folder / "study" / "trials" / "0" / "begun.txt").read_text().splitlines()
    again = [int(line.split()[1]) for line in begun if line.startswith("2")]
    assert 1 < again[0] <= 5 and again[-1] == EPOCHS
    unbroken = desk.unbroken(train, EPOCHS, config=t.config, seed=t.context.seed)
    assert [m.metrics["accuracy"] for m in t.curve] == [unbroken[s]["accuracy"] for s in sorted(unbroken)]


def test_keras_own_early_stopping_is_no_failure(desk) -> None:
    curve, (end,) = desk.attempts(patient, EPOCHS)
    assert end.status is Status.STOPPED and end.note == "Keras stopped the training after epoch 3"
    assert sorted(curve) == [1, 2, 3]


def test_a_copy_goes_on_with_a_learning_rate_of_its_own(desk) -> None:
    trials = desk.study(train, partial(PopulationScheduler, n=2, interval=2, share=0.5), 3, 4)
    (copy,) = (t for t in trials.values() if t.parent is not None)
    assert copy.start == 2 and copy.step == 4
    state = after(desk.folder / "study" / "trials" / str(copy.number))[-1]
    assert state["epochs"] == 4 and state["lr"] == pytest.approx(copy.config["lr"])
    assert copy.config["lr"] != trials[copy.parent].config["lr"]
    orphan, (end,) = desk.attempts(train, 4, parent=(copy.config, Context()), start=2)
    assert end.status is Status.FAILED and "goes on from is not there" in end.failure.message and not orphan


def test_a_damaged_checkpoint_is_set_aside(desk) -> None:
    whole = desk.unbroken(train, EPOCHS)
    folder = desk.folder / "damaged"
    desk.attempts(train, 2, 4, folder=folder)
    newest = sorted(folder.glob("checkpoint-*.safetensors"))[-1]
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 8
    newest.write_bytes(data)
    (folder / "after.jsonl").unlink()
    rest, (end,) = desk.attempts(train, EPOCHS, folder=folder)
    assert end.status is Status.COMPLETED and min(rest) < 5
    assert rest == {step: whole[step] for step in rest}
    assert len(list(folder.glob("*.corrupt"))) == 1


def test_mistakes_are_told(desk) -> None:
    _, (end,) = desk.attempts(blind, 2)
    assert "'accuracy', was not reported" in end.failure.message and "train_accuracy" in end.failure.message
    _, (end,) = desk.attempts(short, EPOCHS)
    assert end.failure.message.startswith("the run ended at step 3, before step 6")

    _, (end,) = desk.attempts(fitted, 2)
    assert "@tunebook.objective" in end.failure.message


def test_the_example_of_the_docs(desk, monkeypatch) -> None:
    monkeypatch.chdir(desk.folder)
    trials = desk.doc("Keras 3").trials.values()
    assert len(trials) >= 3 and {t.status for t in trials} <= {Status.COMPLETED, Status.STOPPED, Status.PAUSED}
    assert (desk.folder / "tunebook-runs" / "keras" / "report.html").exists()
