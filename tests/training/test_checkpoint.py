"""Checkpoints: damage of any kind is noticed, and nothing in a file can run."""

import json
import logging
import os
import pickle
import random
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from tunebook.errors import CheckpointError
from tunebook.objective import Run
from tunebook.sealed import digest, write_whole
from tunebook.training import Part, classification, train
from tunebook.training.checkpoint import NAME, Checkpoint, Checkpoints, read_checkpoint
from tunebook.training.tensor_file import pack, unpack

SHAPES = {"w": (3, 2), "b": (2,)}


def parts(step: int) -> dict[str, dict[str, torch.Tensor]]:
    torch.manual_seed(step)
    return {
        "weights": {"w": torch.randn(3, 2), "b": torch.randn(2)},
        "optimizer": {"0.step": torch.tensor(float(step))},
    }


def two(folder: Path) -> Path:
    """A folder with the checkpoints of steps 1 and 2; returns the newest."""
    checkpoints = Checkpoints(folder, "me")
    checkpoints.save(1, parts(1), {"told": [1]})
    return checkpoints.save(2, parts(2), {"told": [1, 2]})


def test_comes_back_as_it_was(tmp_path: Path) -> None:
    two(tmp_path)
    found = Checkpoints(tmp_path, "me").latest(SHAPES)
    assert found is not None
    assert found.step == 2
    assert found.meta["told"] == [1, 2]
    assert found.parts.keys() == parts(2).keys()
    for part, tensors in parts(2).items():
        assert found.part(part).keys() == tensors.keys()
        assert all(torch.equal(found.part(part)[name], t) for name, t in tensors.items())


def test_every_kind_of_tensor_comes_back(tmp_path: Path) -> None:
    tensors = {
        "last": torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last),
        "strided": torch.arange(12).reshape(3, 4).t(),
        "half": torch.randn(3).bfloat16(),
        "flag": torch.tensor([True, False]),
        "odd": torch.tensor([float("nan"), float("inf"), -0.0, 5e-324], dtype=torch.float64),
        "none": torch.zeros(0, 3),
        "count": torch.tensor(7),
    }
    back, meta = unpack(pack({"p": tensors}, {"x": [1.5, None, "é"]}), "")
    assert meta == {"x": [1.5, None, "é"]}
    for name, tensor in tensors.items():
        assert back["p"][name].dtype == tensor.dtype
        torch.testing.assert_close(back["p"][name], tensor.contiguous(), rtol=0, atol=0, equal_nan=True)


def test_the_one_before_is_kept_and_no_more(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "me")
    for step in range(1, 6):
        checkpoints.save(step, parts(step), {})
    steps = sorted(int(m[1]) for p in tmp_path.iterdir() if (m := NAME.fullmatch(p.name)))
    assert steps == [4, 5]
    checkpoints.save(6, parts(6), {}, last=True)
    assert [p.name.split("-")[1] for p in tmp_path.iterdir()] == ["0000006"]


def a_real_one(folder: Path) -> Path:
    """A folder with two checkpoints of a training with an optimizer, an average and a curve; returns the newest."""
    part = Part(torch.randn(12, 3), torch.arange(12) % 2)
    task = classification(lambda config: nn.Linear(3, 2), part, part, epochs=5)
    config = {"ema": 0.5, "schedule": "plateau"}
    for epochs in (1, 2):
        list(train(task, Run(0, config, epochs, folder, metric="accuracy")))
    return max(folder.iterdir())


def test_300_flipped_bits_are_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In the head, where a flip may still be well-formed JSON, in the tensors, and in the file's name."""
    whole, rng = tmp_path / "whole", random.Random(0)
    newest = a_real_one(whole)
    data, name = newest.read_bytes(), newest.name.encode()
    head = 8 + int.from_bytes(data[:8], "little")
    for i in range(300):
        folder = tmp_path / str(i)
        shutil.copytree(whole, folder)
        damaged, called = bytearray(data), bytearray(name)
        within = (range(head), range(head, len(data)), range(len(name)))[i % 3]
        at, bit = rng.choice(within), rng.randrange(8)
        (called if i % 3 == 2 else damaged)[at] ^= 1 << bit
        if i % 3 == 2 and (b"/" in called or b"\0" in called or called[at] >= 128):
            called = bytearray(name.replace(b"checkpoint", b"checkpoing"))  # what no file can be called
        (folder / newest.name).unlink()
        (folder / os.fsdecode(bytes(called))).write_bytes(damaged)
        caplog.clear()
        found = read_latest(folder)
        assert found is not None
        assert found.step == 1, f"bit {bit} of byte {at} was not noticed"
        named = NAME.fullmatch(os.fsdecode(bytes(called)))
        if named:  # else it is no checkpoint any more, by its name
            assert "set aside as" in caplog.text
            assert (folder / f"{named[0]}.corrupt").read_bytes() == bytes(damaged)


def read_latest(folder: Path) -> Checkpoint | None:
    """The newest sound checkpoint, of whatever run is in the folder."""
    identity = read_checkpoint(min(folder.glob("checkpoint-0000001-*"))).meta["identity"]
    return Checkpoints(folder, identity).latest({"weight": (2, 3), "bias": (2,)})


class Evil:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {EVIL_MARK}",)


EVIL_MARK = "evil-was-here"
TRASH = {
    "empty": b"",
    "short": b"\x08\x00",
    "zeros": bytes(500),
    "html": b"<!doctype html><html><body>404 not found</body></html>",
    "pickle": pickle.dumps(Evil()),
    "huge header": (2**60).to_bytes(8, "little") + b"{}",
    "header is no object": (2).to_bytes(8, "little") + b"[]",
    "no metadata": (2).to_bytes(8, "little") + b"{}",
}


@pytest.mark.parametrize("name", sorted(TRASH))
@pytest.mark.parametrize("signed", [False, True])
def test_trash_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, signed: bool) -> None:
    """Also when its digest is right, as that of a file that somebody made."""
    monkeypatch.chdir(tmp_path)
    newest = two(tmp_path)
    target = tmp_path / f"checkpoint-0000002-{digest(TRASH[name])}.safetensors" if signed else newest
    newest.unlink()
    target.write_bytes(TRASH[name])
    found = Checkpoints(tmp_path, "me").latest(SHAPES)
    assert found is not None
    assert found.step == 1
    assert not (tmp_path / EVIL_MARK).exists()
    with pytest.raises(CheckpointError):
        unpack(TRASH[name], "here")


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    newest = two(tmp_path)
    data = newest.read_bytes()
    for length in range(0, len(data), 7):
        newest.write_bytes(data[:length])
        found = Checkpoints(tmp_path, "me").latest(SHAPES)
        assert found is not None
        assert found.step == 1


def test_wrong_shapes_are_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = Checkpoints(tmp_path, "me")
    checkpoints.save(1, parts(1), {})
    checkpoints.save(2, {"weights": {"w": torch.zeros(2, 3), "b": torch.zeros(2)}}, {})
    found = Checkpoints(tmp_path, "me").latest(SHAPES)
    assert found is not None
    assert found.step == 1
    assert "got w of shape (2, 3); expected shape (3, 2)" in caplog.text


def test_a_renamed_step_is_noticed(tmp_path: Path) -> None:
    newest = two(tmp_path)
    newest.rename(tmp_path / newest.name.replace("0000002", "0000009"))
    found = Checkpoints(tmp_path, "me").latest(SHAPES)
    assert found is not None
    assert found.step == 1


def test_without_a_sound_one_there_is_none(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "nowhere", "me").latest() is None
    two(tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(b"?")
    assert Checkpoints(tmp_path, "me").latest() is None
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".corrupt", ".corrupt"]


def test_those_of_another_run_are_passed_over(tmp_path: Path) -> None:
    two(tmp_path)
    other = Checkpoints(tmp_path, "somebody else")
    assert other.latest() is None
    other.save(1, parts(7), {})
    assert len(list(tmp_path.iterdir())) == 1
    found = other.latest()
    assert found is not None
    assert torch.equal(found.part("weights")["w"], parts(7)["weights"]["w"])


def test_what_a_killed_writer_left_is_cleared(tmp_path: Path) -> None:
    two(tmp_path)
    (tmp_path / ".tmp-99-checkpoint-0000003-x.safetensors").write_bytes(b"half")
    found = Checkpoints(tmp_path, "me").latest()
    assert found is not None
    assert found.step == 2
    assert len(list(tmp_path.iterdir())) == 2


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")
    script = f"""
        import resource, signal
        from pathlib import Path
        from tunebook.sealed import write_whole
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_whole(Path({str(path)!r}), bytes(5000))
        except OSError as error:
            print(error.errno)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "27"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


CONDUCTOR = """
import json, os, random, signal, sys, time
from pathlib import Path
import torch
from tunebook.data import Split
from tunebook.learners import learner_named
from tunebook.objective import Run
from tunebook.trial import Context, Goal

EPOCHS, KILLS = 8, 10
torch.set_num_threads(1)
family, small = sys.argv[2], json.loads(sys.argv[3])
config = {**small, "dropout": 0.3, "optimizer": "adam", "lr": 0.003, "schedule": "plateau", "warmup": 0.1,
          "plateau_patience": 0, "gamma": 0.5, "ema": 0.9, "mixup": 0.2, "noise": 0.1, "precision": "bf16",
          "batch_size": 128}
objective = learner_named(family).objective("sklearn:digits", Split(seed=0), Goal("accuracy", "maximize"), EPOCHS)
folder, rng, seen = Path(sys.argv[1]), random.Random(1), []

def lines(name):
    for m in objective(Run(0, config, EPOCHS, folder / name, 3, Context(3), metric="accuracy")):
        yield json.dumps([m.step, dict(m.metrics)]) + "\\n"

def watch(epoch, delay):
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        with os.fdopen(into, "w") as told:
            for line in lines("broken"):
                told.write(line)
                told.flush()
        os._exit(0)
    os.close(into)
    with os.fdopen(out) as heard:
        for line in heard:
            seen.append(json.loads(line))
            if seen[-1][0] == epoch:
                time.sleep(delay)
                os.kill(pid, signal.SIGKILL)
                break
    os.waitpid(pid, 0)

unbroken = [json.loads(line) for line in lines("whole")]
for kill in range(KILLS):
    # within the next epoch, or while a checkpoint is written
    watch(1 + kill * EPOCHS // KILLS, rng.random() * 0.05)
watch(0, 0)
print(json.dumps([unbroken, seen]))
"""


@pytest.mark.parametrize(
    ("family", "small"),
    [
        ("mlp", {"units": 16}),
        ("cnn", {"channels": 4, "translation": 0.1}),
        ("rnn", {"units": 8, "cell": "gru"}),
        ("transformer", {"heads": 2, "head_units": 4, "depth": 1}),
    ],
)
def test_killed_at_any_instant_is_as_unbroken(tmp_path: Path, family: str, small: dict[str, object]) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CONDUCTOR, str(tmp_path), family, json.dumps(small)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True, timeout=200)
    unbroken, seen = json.loads(done.stdout)
    assert [step for step, _ in unbroken] == list(range(1, 9))
    assert len(seen) > 40, "the runs told again what they had told before"
    assert all(told in unbroken for told in seen)
    assert [told for told in unbroken if told not in seen] == []


def test_checkpoints_cost_little() -> None:
    """A new one is due once 50 times the last one's cost has passed, so that at most 2 % goes into them."""
    checkpoints = Checkpoints(Path(), "me")
    checkpoints._saved -= 3600.0
    assert checkpoints.due
    checkpoints._cost = 1e6
    assert not checkpoints.due


def test_the_log_tells_what_happened(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    newest = two(tmp_path)
    newest.write_bytes(b"?")
    with caplog.at_level(logging.WARNING, logger="tunebook"):
        Checkpoints(tmp_path, "me").latest()
    assert "set aside as" in caplog.text
    assert newest.name in caplog.text


def test_who_waits_for_the_disk_is_rare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is paused after less work than 50 waits are worth does not wait; the end of a training always does."""
    waits: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (waits.append(file), real(file)))
    checkpoints = Checkpoints(tmp_path, "me")
    assert not checkpoints.due
    checkpoints.save(1, parts(1), {})
    assert not waits
    checkpoints.save(2, parts(2), {}, last=True)
    assert len(waits) == 2  # the file and its folder
    checkpoints._lasting -= 3600.0
    checkpoints.save(3, parts(3), {})
    assert len(waits) == 4
