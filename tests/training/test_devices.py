"""Where a worker trains, as pure functions of what is there."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

from tunebook.errors import SettingError
from tunebook.executors.local import LocalExecutor
from tunebook.objective import Run
from tunebook.training.devices import Place, check_there, device_of, place_of, rank_device, worker_of
from tunebook.trial import Ended, Event, Measured, Measurement


@pytest.mark.parametrize(("workers", "gpus"), [(1, 1), (4, 4), (8, 2), (5, 2), (3, 8), (2, 1), (1, 4)])
def test_workers_share_gpus_evenly(workers: int, gpus: int) -> None:
    places = [place_of(w, workers, gpus) for w in range(workers)]
    used = Counter(p.device for p in places)
    assert len(used) == min(workers, gpus)
    assert max(used.values()) - min(used.values()) <= 1
    for device, n in used.items():
        taken = [p.memory for p in places if p.device == device]
        assert sum(taken) <= 1.0 and len(set(taken)) == 1
        assert taken[0] == 1.0 if n == 1 else taken[0] > 0.9 / n


def test_without_a_gpu_it_is_the_cpu() -> None:
    assert place_of(3, 4, 0) == Place("cpu")
    assert worker_of({}) == (0, 1) and worker_of({"TUNEBOOK_PLACE": "2/4"}) == (2, 4)
    for odd in ("4/4", "x", "1", "-1/2", ""):
        with pytest.raises(SettingError, match="place of a worker"):
            worker_of({"TUNEBOOK_PLACE": odd})


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about a machine without a GPU")
def test_a_device_that_is_not_there() -> None:
    assert device_of() == device_of("cpu") == "cpu"
    for wanted in ("cuda", "cuda:0"):
        with pytest.raises(SettingError, match="not here"):
            device_of(wanted)


def test_devices_by_name() -> None:
    check_there("cuda", 1, False)
    check_there("cuda:1", 2, False)
    check_there("mps", 0, True)
    for wanted in ("cuda:2", "cuda:x", "mps", "cpu:0"):
        with pytest.raises(SettingError, match=r"not here.*\n.*\n.*\n.*cuda:0, cuda:1, cpu|not here"):
            check_there(wanted, 2, False)
    with pytest.raises(SettingError, match="no such kind"):
        check_there("tpu", 0, False)


def test_processes_that_train_together() -> None:
    assert [rank_device(r, 2, gpus=4) for r in range(2)] == ["cuda:0", "cuda:1"]
    assert rank_device(1, 2, gpus=1) == "cpu" and rank_device(1, 2, "cpu", gpus=4) == "cpu"
    with pytest.raises(SettingError, match="fewer GPUs"):
        rank_device(0, 2, "cuda", gpus=1)
    with pytest.raises(SettingError, match="a device each"):
        rank_device(0, 2, "cuda:1", gpus=2)


def test_each_worker_has_a_place_of_its_own(tmp_path: Path) -> None:
    def place(run: Run):  # type: ignore[no-untyped-def]
        import os as system
        import time

        number, of = system.environ["TUNEBOOK_PLACE"].split("/")
        time.sleep(0.2)  # so that both are busy at once
        if run.trial == 2:
            system._exit(7)
        yield Measurement(1, {"value": float(number), "of": float(of)})

    events: list[Event] = []
    with LocalExecutor(place, 2) as executor:
        for trials in ((0, 1), (2, 3), (4, 5)):  # in the second pair a worker dies: another takes its place
            for trial in trials:
                executor.submit(Run(trial, {}, 1, tmp_path / str(trial)))
            while sum(isinstance(e, Ended) for e in events) < trials[1] + 1:
                events += executor.poll(30)
    told = {e.number: e.measurement.metrics for e in events if isinstance(e, Measured)}
    assert {m["of"] for m in told.values()} == {2.0} and 2 not in told
    assert {told[0]["value"], told[1]["value"]} == {told[4]["value"], told[5]["value"]} == {0.0, 1.0}


def test_the_command_line_knows_the_variable() -> None:
    from tunebook.cli.job import unknown_variables

    assert unknown_variables({"TUNEBOOK_PLACE": "0/2"}) == []


def test_torch_is_not_needed_to_start_a_worker() -> None:
    code = "import sys, tunebook.executors.local; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "False"
