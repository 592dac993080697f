"""16-bit training, the scale of its loss, and compiled models."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler

from tunebook.errors import SettingError
from tunebook.objective import Run, play
from tunebook.training import Part, Task, classification, train
from tunebook.training.gradients import Gradients
from tunebook.training.precision import SMALLEST_SCALE, cast_of, check_scale, compiled, scaler_of
from tunebook.trial import Context, Ended, FailureKind


class Watched(nn.Module):
    """Tells the type in which its layer computes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)
        self.seen: set[tuple[bool, torch.dtype]] = set()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(x)
        self.seen.add((self.training, out.dtype))
        return out


def task_of(model: nn.Module, epochs: int = 3) -> Task:
    torch.manual_seed(0)
    x = torch.randn(60, 6)
    part = Part(x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long())
    return classification(lambda config: model, part, part, epochs=epochs)


def test_bf16_computes_in_16_bits_and_judges_in_32(tmp_path: Path) -> None:
    model = Watched()
    run = Run(0, {"precision": "bf16", "lr": 0.05}, 3, tmp_path, 1, Context(seed=1), metric="accuracy")
    told = list(train(task_of(model), run))
    assert model.seen == {(True, torch.bfloat16), (False, torch.float32)}
    assert model.layer.weight.dtype == torch.float32
    assert told[-1].metrics["loss"] < told[0].metrics["loss"]


def test_bf16_gradients_are_those_of_autocast() -> None:
    model = task_of(Watched()).build({})
    batch = task_of(model).train
    with cast_of({"precision": "bf16"}, "cpu")():
        ours = model(batch.x)
    theirs = (batch.x.bfloat16() @ model.get_parameter("layer.weight").bfloat16().T).float()
    theirs = theirs + model.get_parameter("layer.bias")
    torch.testing.assert_close(ours.float(), theirs, rtol=2**-7, atol=2**-7)
    assert not torch.equal(ours.float(), model(batch.x))


def test_fp16_on_a_cpu_is_refused() -> None:
    with pytest.raises(SettingError, match="got fp16 on a CPU"):
        cast_of({"precision": "fp16"}, "cpu")
    with pytest.raises(SettingError, match="unknown precision"):
        cast_of({"precision": "fb16"}, "cpu")
    assert not scaler_of({"precision": "bf16"}, "cpu").is_enabled()


def test_a_scale_that_collapses_is_a_diverged_run() -> None:
    """The scaler's own rule on the CPU: halved at each gradient that is not finite, and no update made."""
    weight = nn.Parameter(torch.ones(3))
    optimizer, scaler = torch.optim.SGD([weight], 0.1), GradScaler("cpu", init_scale=1.0)
    for k in range(12):
        check_scale(scaler)
        optimizer.zero_grad()
        scaler.scale((weight * math.inf).sum()).backward()  # type: ignore[no-untyped-call]
        scaler.step(optimizer)
        scaler.update()
        assert scaler.get_scale() == 0.5 ** (k + 1)
        if scaler.get_scale() < SMALLEST_SCALE:
            break
    assert torch.equal(weight, torch.ones(3))
    with pytest.raises(FloatingPointError, match=r"scale of the fp16 loss has fallen to 0.000488281"):
        check_scale(scaler)

    def diverging(run: Run) -> object:
        check_scale(scaler)
        yield

    ended = list(play(diverging, Run(0, {}, 1, Path())))[-1]  # type: ignore[arg-type]
    assert isinstance(ended, Ended)
    assert ended.failure is not None
    assert ended.failure.kind is FailureKind.DIVERGED


def test_a_scaled_loss_gives_the_same_gradients() -> None:
    """The loop's path of fp16, in float32 on the CPU: scaled, in parts, added up, brought back."""
    grads = []
    for scaler in (GradScaler("cpu", enabled=False), GradScaler("cpu", init_scale=2.0**10)):
        torch.manual_seed(0)
        model = nn.Linear(6, 3)
        part, optimizer = task_of(model).train, torch.optim.SGD(model.parameters(), 0.1, fused=True)
        gradients = Gradients(model, nn.functional.cross_entropy, cast_of({}, "cpu"), scaler, 7)
        gradients.compute(part.x, [(1.0, part.y)])
        scaler.unscale_(optimizer)
        grads.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
        scaler.step(optimizer)
        scaler.update()
    for plain, scaled in zip(*grads, strict=True):
        torch.testing.assert_close(plain, scaled, rtol=1e-6, atol=1e-8)
    resumed = GradScaler("cpu")
    resumed.load_state_dict(json.loads(json.dumps(scaler.state_dict())))
    assert resumed.get_scale() == 2.0**10


def test_without_a_compiler_a_model_is_not_compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler")
    model = Watched()
    with pytest.raises(SettingError, match="none of no-such-compiler"):
        compiled(model, {"compile": True}, "cpu")
    assert compiled(model, {}, "cpu") is model


@pytest.mark.skipif("not __import__('shutil').which('g++')", reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, while it imports its compiler
def test_a_compiled_model_trains_as_a_plain_one(tmp_path: Path) -> None:
    losses = []
    for name, told in (("plain", False), ("compiled", True)):
        torch.manual_seed(0)
        run = Run(0, {"compile": told, "batch_size": 20, "lr": 0.05}, 2, tmp_path / name, 1, metric="accuracy")
        losses.append([m.metrics["loss"] for m in train(task_of(nn.Linear(6, 3), 2), run)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
