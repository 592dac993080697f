"""One trial over two processes, with real processes and gloo."""

import math
import os
import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import torch
from torch import nn

from tunebook.errors import SettingError
from tunebook.executors.local import LocalExecutor
from tunebook.objective import Run, play
from tunebook.space import Config
from tunebook.training import Checkpoints, Part, Task, classification, train
from tunebook.training.distributed import Spread, check_batches
from tunebook.trial import Ended, Measured, Measurement, Status

CONFIG: Config = {
    "optimizer": "sgd",
    "lr": 0.1,
    "momentum": 0.9,
    "batch_size": 10,
    "clip_norm": 1.0,
    "schedule": "cosine",
}


def maker(harm: Callable[[Run], None] = lambda run: None, patience: int = 0) -> Callable[[Run], Task]:
    """What makes the task in each process; self-contained, since it is sent there by value."""

    def task_of(run: Run) -> Task:
        harm(run)
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(103, 6, generator=generator)  # batches of 9 and 10: not always the same share for both
        y = (x[:, 0] + x[:, 1] > 0).long()

        def build(config: Config) -> nn.Module:
            return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 2))

        return classification(build, Part(x[:83], y[:83]), Part(x[83:], y[83:]), epochs=4, patience=patience)

    return task_of


def run_in(folder: Path, until: int = 4, config: Config = CONFIG) -> Run:
    return Run(0, config, until, folder, 3, metric="accuracy")


def curve(told: list[Measurement]) -> list[tuple[int, dict[str, float]]]:
    return [(m.step, dict(m.metrics)) for m in told]


def close(a: list[Measurement], b: list[Measurement]) -> bool:
    return len(a) == len(b) and all(
        m.metrics[k] == pytest.approx(n.metrics[k], rel=1e-4) for m, n in zip(a, b, strict=True) for k in m.metrics
    )


def test_two_processes_train_as_one_does_also_after_a_stop(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    alone = list(train(maker()(run_in(tmp_path)), run_in(tmp_path / "alone")))
    run = run_in(tmp_path / "two")
    told = list(Spread(maker(), 2, timeout=60, device="cpu")(run))
    assert close(told, alone) and told[-1].metrics["accuracy"] > 0.8
    (file,) = run.folder.glob("checkpoint-*")  # of the first process alone
    (other,) = (tmp_path / "alone").glob("checkpoint-*")
    ours, theirs = (Checkpoints(f.parent, _identity(f.parent)).latest() for f in (file, other))
    assert ours is not None and theirs is not None
    for name, weights in theirs.part("weights").items():
        torch.testing.assert_close(ours.part("weights")[name], weights, rtol=1e-4, atol=1e-6)

    # a stop reaches both; the run goes on from there, whatever the number of processes
    cut = run_in(tmp_path / "cut")
    with closing(Spread(maker(), 2, timeout=60, device="cpu")(cut)) as stream:
        first = [next(stream), next(stream)]
    assert list(cut.folder.glob("checkpoint-0000002-*"))
    again = list(train(maker()(cut), cut))
    assert curve(first) == curve(told[:2]) == curve(again[:2]) and close(again, told)


def _identity(folder: Path) -> str:
    from tunebook.training.loop import identity_of

    run = run_in(folder)
    return identity_of(maker()(run), run)


def children() -> list[int]:
    """Processes that this one has started and that are still there."""
    return [int(p) for p in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks into /proc")
def test_a_process_that_dies_is_a_failure_and_no_hang(tmp_path: Path) -> None:
    before = set(children())
    began = time.monotonic()
    stream = Spread(maker(), 2, timeout=120, device="cpu")(run_in(tmp_path))
    next(stream)
    second = sorted(set(children()) - before)[1]
    os.kill(second, signal.SIGKILL)
    events = list(play(lambda run: stream, run_in(tmp_path)))
    ended = events[-1]
    assert isinstance(ended, Ended) and ended.status is Status.FAILED and ended.failure is not None
    assert "process 1 of 2" in ended.failure.message or "process 0 of 2" in ended.failure.message
    assert time.monotonic() - began < 100, "it waited for the dead"
    assert set(children()) <= before


def test_what_a_process_raises_is_told_with_its_traceback(tmp_path: Path) -> None:
    def harm(run: Run) -> None:
        raise ValueError("no such column")

    (ended,) = play(Spread(maker(harm), 1, timeout=60, device="cpu"), run_in(tmp_path))
    assert isinstance(ended, Ended) and ended.failure is not None
    assert "no such column" in ended.failure.message and "Traceback" in ended.failure.message


def test_silence_is_a_failure(tmp_path: Path) -> None:
    def harm(run: Run) -> None:
        import time as clock

        clock.sleep(600)

    (ended,) = play(Spread(maker(harm), 1, timeout=8.0, device="cpu"), run_in(tmp_path))
    assert isinstance(ended, Ended) and ended.failure is not None and "said nothing" in ended.failure.message


def test_settings_that_cannot_be(tmp_path: Path) -> None:
    for options in ({"processes": 0}, {"timeout": 0.0}):
        with pytest.raises(SettingError):
            Spread(maker(), **options)  # type: ignore[arg-type]
    run = run_in(tmp_path, config={**CONFIG, "batch_size": 1})
    with pytest.raises(SettingError, match="fewer rows"):
        check_batches(maker()(run), run, 2)
    check_batches(maker()(run), run, 1)


def test_early_stopping_inside_a_worker_process(tmp_path: Path) -> None:
    spread = Spread(maker(patience=2), 1, timeout=60, device="cpu")
    with LocalExecutor(spread) as executor:
        executor.submit(run_in(tmp_path, config={**CONFIG, "lr": 0.0}))
        events = []
        while not any(isinstance(e, Ended) for e in events):
            events += executor.poll(60)
    ended = events[-1]
    assert ended.status is Status.STOPPED and "has not improved for 2 epochs" in ended.note
    measured = [e.measurement for e in events if isinstance(e, Measured)]
    assert [m.step for m in measured] == [1, 2, 3] and all(math.isfinite(m.metrics["loss"]) for m in measured)
