"""What the Trainer of transformers trains is tuned by one callback: with the real Trainer, and no network."""

import json
import pickle
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tunebook import objective
from tunebook.schedulers import PopulationScheduler
from tunebook.trial import Context, Status

pytestmark = [pytest.mark.slow]
EPOCHS, ROWS = 4, 160


def texts():
    """Sentences of numbers, labelled by the most frequent of three words: (rows, 12) ids and labels."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, ROWS + 90)
    ids = np.where(rng.random((len(labels), 12)) < 0.5, labels[:, None] + 1, rng.integers(1, 20, (len(labels), 12)))
    return [{"input_ids": row.tolist(), "labels": int(label)} for row, label in zip(ids, labels, strict=True)]


def fitted(run, *callbacks, **told):
    import transformers

    from tunebook.interop.huggingface import TunebookCallback

    transformers.set_seed(run.seed)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    config = transformers.BertConfig(vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                                     intermediate_size=32, max_position_embeddings=12, num_labels=3)  # fmt: skip
    tuned = TunebookCallback(run)
    args = {"output_dir": str(run.folder), "num_train_epochs": EPOCHS, "eval_strategy": "epoch",
            "logging_strategy": "epoch", "save_strategy": "no", "per_device_train_batch_size": 16,
            "per_device_eval_batch_size": 90, "learning_rate": run.config["lr"], "weight_decay": run.config["lr"] / 10,
            "seed": run.seed, "use_cpu": True, "report_to": [], "disable_tqdm": True,
            "dataloader_pin_memory": False}  # fmt: skip
    trainer = transformers.Trainer(
        transformers.BertForSequenceClassification(config),
        transformers.TrainingArguments(**args | told),
        train_dataset=texts()[:ROWS],
        eval_dataset=texts()[ROWS:],
        compute_metrics=lambda p: {"accuracy": float((p.predictions.argmax(1) == p.label_ids).mean())},
        callbacks=[tuned, *callbacks],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train(resume_from_checkpoint=tuned.checkpoint)
    groups = trainer.optimizer.param_groups
    with (run.folder / "after.jsonl").open("a") as file:  # what comes after train is reached, also when it was stopped
        about = {"until": run.until, "steps": trainer.state.global_step, "began": groups[0]["initial_lr"]}
        file.write(json.dumps(about | {"decay": groups[0]["weight_decay"]}) + "\n")


@objective
def train(run):
    fitted(run)


@objective
def by_steps(run):
    fitted(run, eval_strategy="steps", eval_steps=5)


@objective
def crashing(run):
    import transformers

    class Crash(transformers.TrainerCallback):
        def on_step_begin(self, args, state, control, **more):
            if state.global_step == 15 * run.attempt:
                raise OSError("the disk has gone")

    fitted(run, Crash())


@objective
def patient(run):
    import transformers

    fitted(run, transformers.EarlyStoppingCallback(1, 10.0), metric_for_best_model="loss", save_strategy="epoch",
           load_best_model_at_end=True)  # fmt: skip


@objective
def elsewhere(run):
    fitted(run, output_dir=str(run.folder.parent / "elsewhere"))


@objective
def unevaluated(run):
    fitted(run, eval_strategy="no")


def after(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "after.jsonl").read_text().splitlines()]


def saved(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))


def test_pauses_leave_no_trace_in_the_curve(desk) -> None:
    whole = desk.unbroken(train, EPOCHS)
    broken, ends = desk.attempts(train, 1, 3, 3, EPOCHS)
    assert {e.status for e in ends} == {Status.COMPLETED}, ends
    assert broken == whole and sorted(whole) == list(range(1, EPOCHS + 1))
    assert set(whole[1]) == {"loss", "accuracy", "train_loss"}
    assert whole[4]["accuracy"] > 0.6
    folder = desk.folder / f"run-{desk.made}"
    assert [told["steps"] for told in after(folder)] == [10, 30, 40]
    assert len(saved(folder)) == 2


def test_crashes_leave_no_trace_in_the_curve(desk) -> None:
    whole = desk.unbroken(train, EPOCHS)
    broken, ends = desk.attempts(crashing, EPOCHS, EPOCHS, EPOCHS)
    assert [e.status for e in ends] == [Status.FAILED, Status.FAILED, Status.COMPLETED]
    assert broken == whole


def test_a_step_may_be_an_evaluation(desk) -> None:
    curve, ends = desk.attempts(by_steps, 1, 3)
    assert {e.status for e in ends} == {Status.COMPLETED} and sorted(curve) == [1, 2, 3]
    assert [told["steps"] for told in after(desk.folder / "run-1")] == [5, 15]


def test_a_study_promotes_from_checkpoints(desk) -> None:
    assert {*desk.promoted(train, 3, EPOCHS)} == {2, EPOCHS}


def test_a_scheduler_stops_the_training(desk) -> None:
    for step, folder in desk.stopped(train, EPOCHS, r_min=1):
        assert [told["steps"] for told in after(folder)] == [10 * step]


def test_early_stopping_of_the_trainer_is_no_failure(desk) -> None:
    curve, (end,) = desk.attempts(patient, EPOCHS)
    assert end.status is Status.STOPPED, end.failure
    assert end.note == "Hugging Face Trainer stopped the training after epoch 2" and sorted(curve) == [1, 2]
    assert len(saved(desk.folder / "run-1")) == 2, "what somebody asked the Trainer to save is left alone"


def test_a_copy_goes_on_with_settings_of_its_own(desk) -> None:
    trials = desk.study(train, partial(PopulationScheduler, n=2, interval=1, share=0.5), 3, 2)
    (copy,) = (t for t in trials.values() if t.parent is not None)
    state = after(desk.folder / "study" / "trials" / str(copy.number))[-1]
    assert copy.start == 1 and copy.step == 2 and state["steps"] == 20
    assert state["began"] == pytest.approx(copy.config["lr"])
    assert state["decay"] == pytest.approx(copy.config["lr"] / 10)
    assert copy.config["lr"] != trials[copy.parent].config["lr"]
    _, (end,) = desk.attempts(train, 4, parent=(copy.config, Context()), start=2)
    assert end.status is Status.FAILED and "goes on from is not there" in end.failure.message


def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_used(desk) -> None:
    whole = desk.unbroken(train, EPOCHS)
    folder = desk.folder / "damaged"
    desk.attempts(train, 1, 2, folder=folder)
    _, newest = saved(folder)
    weights = bytearray((newest / "model.safetensors").read_bytes())
    weights[-9] ^= 1
    (newest / "model.safetensors").write_bytes(weights)
    shutil.copytree(saved(folder)[0], folder / "checkpoint-30")
    (folder / "checkpoint-30" / "model.json").unlink()  # one that was killed while it was written
    rest, (end,) = desk.attempts(train, 3, folder=folder)
    assert end.status is Status.COMPLETED and rest == {2: whole[2], 3: whole[3]}
    assert (folder / "corrupt-checkpoint-20").exists()


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_no_code_of_a_file_is_run(desk) -> None:
    """Neither where the seal tells, nor where somebody has sealed a bad file as well."""
    from tunebook.sealed import read_card, seal_folder

    folder, sprung = desk.folder / "trapped", desk.folder / "sprung"
    desk.attempts(train, 1, folder=folder)
    (only,) = saved(folder)
    card = read_card(only)
    (only / "optimizer.pt").write_bytes(pickle.dumps(Trap(sprung)))
    pickle.loads((only / "optimizer.pt").read_bytes())
    assert sprung.exists(), "the trap works"
    sprung.unlink()
    seal_folder(only, {"identity": card["identity"], "step": card["step"], "ours": True})
    _, (end,) = desk.attempts(train, 2, folder=folder)
    assert end.status is Status.FAILED and "weights_only" in str(end.failure).lower()
    (only / "scheduler.pt").write_bytes(pickle.dumps(Trap(sprung)))  # and now the seal is broken
    curve, (end,) = desk.attempts(train, 2, folder=folder)
    assert end.status is Status.COMPLETED and sorted(curve) == [1, 2]
    assert not sprung.exists()


def test_mistakes_are_told(desk) -> None:
    _, (end,) = desk.attempts(elsewhere, 2)
    assert "output_dir" in end.failure.message and "output_dir=run.folder" in end.failure.message
    _, (end,) = desk.attempts(unevaluated, 2)
    assert 'eval_strategy="epoch"' in end.failure.message


@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true:UserWarning")
def test_the_example_of_the_docs(desk, monkeypatch) -> None:
    monkeypatch.chdir(desk.folder)
    trials = desk.doc("Hugging Face Trainer").trials.values()
    assert len(trials) >= 3 and {t.status for t in trials} <= {Status.COMPLETED, Status.STOPPED, Status.PAUSED}
    assert (desk.folder / "tunebook-runs" / "huggingface" / "report.html").exists()
