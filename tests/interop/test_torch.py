"""Plain torch loops: three changed lines, and nothing is lost."""

import random
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from tunebook import objective
from tunebook.errors import CheckpointError
from tunebook.executors.serial import SerialExecutor
from tunebook.interop._state import joined, split
from tunebook.interop.torch import Epochs
from tunebook.objective import Run
from tunebook.schedulers import PopulationScheduler
from tunebook.trial import Context, Status

EPOCHS = 6


def loop(run, each=lambda epoch, step: None, **told):
    """Somebody's loop: shuffled batches, dropout, noise from numpy and Python, momentum, warm-up and a plateau."""
    digits = load_digits()
    x, y = torch.tensor(digits.data / 16, dtype=torch.float32), torch.tensor(digits.target)
    torch.manual_seed(run.seed)
    model = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.BatchNorm1d(16), nn.Dropout(0.2), nn.Linear(16, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=run.config["lr"], weight_decay=run.config["lr"] / 10)
    warm = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: min(1.0, (epoch + 1) / 3))
    epochs = Epochs(run, model, optimizer, warm, **told)
    for epoch in epochs:
        model.train()
        for step, rows in enumerate(torch.randperm(500).split(50)):
            each(epoch, step)
            noise = np.random.normal(0, 0.1, (len(rows), 64)).astype("float32") * random.random()
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x[rows] + torch.tensor(noise)), y[rows])
            loss.backward()
            optimizer.step()
        warm.step()
        model.eval()
        accuracy = (model(x[500:900]).argmax(1) == y[500:900]).float().mean()
        epochs.report(accuracy=accuracy, train_loss=loss)
    with (run.folder / "after.txt").open("a") as file:  # what comes after the loop is reached, also when it was stopped
        group = optimizer.param_groups[0]
        print(run.until, int(optimizer.state_dict()["state"][0]["step"]), group["lr"], group["weight_decay"], file=file)


@objective
def train(run):
    loop(run)


@objective
def crashing(run):
    def crash(epoch, step):
        if (epoch, step) == (2 * run.attempt, 4):
            raise OSError("the disk has gone")

    loop(run, crash)


@objective
def silent(run):
    for _ in Epochs(run, nn.Linear(1, 1)):
        pass


@objective
def opaque(run):
    class Opaque:
        def state_dict(self):
            return {"kept": [0, self]}

    epochs = Epochs(run, nn.Linear(1, 1), Opaque())
    for _ in epochs:
        epochs.report(accuracy=0.5)


def after(folder):
    return [[float(word) for word in line.split()] for line in (folder / "after.txt").read_text().splitlines()]


def test_pauses_leave_no_trace_in_the_curve(desk) -> None:
    whole = desk.unbroken(train, EPOCHS)
    broken, ends = desk.attempts(train, 1, 3, 3, EPOCHS, EPOCHS)
    assert {e.status for e in ends} == {Status.COMPLETED}, ends
    assert broken == whole and sorted(whole) == list(range(1, EPOCHS + 1))
    assert whole[6]["accuracy"] > 0.7
    told = after(desk.folder / f"run-{desk.made}")
    assert [t[:2] for t in told] == [[u, 10 * u] for u in (1, 3, 3, 6, 6)]


def test_a_study_promotes_from_checkpoints(desk) -> None:
    assert {*desk.promoted(train, 4, EPOCHS)} >= {2, EPOCHS}


def test_a_scheduler_stops_the_loop(desk) -> None:
    for step, folder in desk.stopped(train, EPOCHS):
        assert [told[1] for told in after(folder)] == [10 * step]


def test_crashes_leave_no_trace_in_the_curve(desk) -> None:
    broken, ends = desk.attempts(crashing, 5, 5, 5)
    assert [e.status for e in ends] == [Status.FAILED, Status.FAILED, Status.COMPLETED]
    assert ends[0].failure.message == "OSError: the disk has gone"
    whole = desk.unbroken(train, EPOCHS)
    assert broken == {step: whole[step] for step in range(1, 6)}


def test_a_run_that_is_stopped_is_saved_where_it_stopped(desk) -> None:
    with SerialExecutor(train) as executor:
        executor.submit(Run(0, {"lr": 1e-2}, EPOCHS, desk.folder / "stopped", seed=3, metric="accuracy"))
        steps = [event.measurement.step for _ in range(3) for event in executor.poll()]
        executor.stop(0)
        (end,) = executor.poll()
    assert steps == [1, 2, 3] and end.status is Status.STOPPED
    assert (desk.folder / "stopped" / "after.txt").exists(), "the function came to its end"
    rest, _ = desk.attempts(train, EPOCHS, folder=desk.folder / "stopped")
    whole = desk.unbroken(train, EPOCHS)
    assert rest == {step: whole[step] for step in (4, 5, 6)}


def test_a_copy_goes_on_with_settings_of_its_own(desk) -> None:
    trials = desk.study(train, partial(PopulationScheduler, n=2, interval=2, share=0.5), 3, 4)
    (copy,) = (t for t in trials.values() if t.parent is not None)
    (_, steps, lr, decay) = after(desk.folder / "study" / "trials" / str(copy.number))[-1]
    assert copy.start == 2 and copy.step == 4 and steps == 40
    assert lr == pytest.approx(copy.config["lr"]) and decay == pytest.approx(copy.config["lr"] / 10)
    assert copy.config["lr"] != trials[copy.parent].config["lr"]
    _, (end,) = desk.attempts(train, 4, parent=(copy.config, Context()), start=2)
    assert end.status is Status.FAILED and "goes on from is not there" in end.failure.message


def test_mistakes_are_told(desk) -> None:
    _, (end,) = desk.attempts(silent, 2)
    assert "an epoch was not reported" in end.failure.message
    _, (end,) = desk.attempts(opaque, 2)
    assert "holds something that is not data" in end.failure.message and "kept" in end.failure.message


def test_a_state_comes_back_as_it_was() -> None:
    tree = {
        0: {"step": torch.tensor(3.0), "moments": [torch.arange(6.0).view(2, 3), None]},
        "groups": [{"lr": 0.1, "betas": (0.9, 0.999), "fused": True, "name": "a"}],
        (1, "b"): {"rows": np.arange(3), "inf": float("inf"), "number": np.float64(0.5), "empty": {}, "none": ()},
    }
    plain, tensors = split(tree, "state")
    told = joined(plain, tensors)
    assert list(told) == list(tree)
    assert told[0]["step"] == 3.0 and told[0]["moments"][1] is None
    assert torch.equal(told[0]["moments"][0], tree[0]["moments"][0])
    assert told["groups"] == tree["groups"] and isinstance(told["groups"][0]["betas"], tuple)
    rest = told[(1, "b")]
    assert isinstance(rest["rows"], np.ndarray) and rest["rows"].tolist() == [0, 1, 2]
    assert (rest["inf"], rest["number"], rest["empty"], rest["none"]) == (float("inf"), 0.5, {}, ())
    for odd in (object(), {"a": [print]}, b"bytes", {1, 2}):
        with pytest.raises(CheckpointError, match="state"):
            split(odd, "state")


def test_the_example_of_the_docs(desk, monkeypatch) -> None:
    monkeypatch.chdir(desk.folder)
    trials = desk.doc("Plain PyTorch").trials.values()
    assert len(trials) >= 3 and {t.status for t in trials} <= {Status.COMPLETED, Status.STOPPED, Status.PAUSED}
    assert (desk.folder / "tunebook-runs" / "torch" / "report.html").exists()
