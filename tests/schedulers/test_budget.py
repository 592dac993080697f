"""A budget of steps is used exactly, whatever the scheduler, the workers and interruptions."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tunebook.errors import SettingError
from tunebook.executors.simulated import SimulatedExecutor
from tunebook.objective import Run
from tunebook.samplers import RandomSampler
from tunebook.schedulers import scheduler_named
from tunebook.space import Float, Space
from tunebook.stores.memory import MemoryStore
from tunebook.study import Search, Study
from tunebook.trial import Goal, Measurement, Status

SPACE, GOAL, STEPS = Space(x=Float(0, 1)), Goal("loss"), 18


def training(run: Run) -> Iterator[Measurement]:
    """Goes on from where it was; a step takes longer for larger x."""
    file = run.folder / "step"
    done = int(file.read_text()) if file.exists() else 0
    for step in range(done + 1, run.until + 1):
        x = float(run.config["x"])  # type: ignore[arg-type]
        yield Measurement(step, {"loss": x + 1 / step}, seconds=0.5 + x)
        file.write_text(str(step))


def from_zero(run: Run) -> Iterator[Measurement]:
    """Keeps nothing: each attempt begins with the first step."""
    for step in range(1, run.until + 1):
        yield Measurement(step, {"loss": float(run.config["x"]) + 1 / step}, seconds=1.0)  # type: ignore[arg-type]


def search(name: str) -> Search:
    return Search("r", SPACE, GOAL, RandomSampler(SPACE, GOAL), scheduler_named(name, GOAL, STEPS))


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("name", ["full", "asha", "halving", "hyperband", "auto", "population", "median+patience"])
def test_steps_are_used_exactly(name: str, workers: int, tmp_path: Path) -> None:
    with Study(MemoryStore(), tmp_path, SimulatedExecutor(training, workers)) as study:
        trials = study.run(search(name), 500, steps=137)
        assert study.trials.closed["r"].reason == "steps"
        stopped = any(t.status is Status.STOPPED for t in trials.values())
        assert sum(t.step - t.start for t in trials.values()) == 137 or stopped
        assert sum(t.step - t.start for t in trials.values()) <= 137
        before = dict(trials)
        assert dict(study.run(search(name), 500, steps=137)) == before  # nothing is left of it
        more = study.run(search(name), 500, steps=200)
        assert 137 <= sum(t.step - t.start for t in more.values()) <= 200


def test_fewer_trials_than_steps_allow_end_by_trials(tmp_path: Path) -> None:
    with Study(MemoryStore(), tmp_path, SimulatedExecutor(training, 2)) as study:
        study.run(search("full"), 3, steps=1000)
        assert study.trials.closed["r"].reason == "trials"
        assert sum(t.step for t in study.trials.values()) == 3 * STEPS
        with pytest.raises(SettingError, match="budget of steps"):
            study.run(search("full"), 3, steps=0)


def test_what_begins_again_from_zero_is_charged(tmp_path: Path) -> None:
    """Without checkpoints a promotion repeats what it had: the clock, and so the budget of time, counts it again."""
    spent = []
    for objective in (training, from_zero):
        folder = tmp_path / objective.__name__
        with Study(MemoryStore(), folder, SimulatedExecutor(objective)) as study:
            trials = study.run(search("asha"), 12)
            seconds = sum(m.seconds for t in trials.values() for m in t.curve)
            spent.append(study.trials.spent - seconds)
    assert spent[0] == pytest.approx(0.0) and spent[1] > 0
    with Study(MemoryStore(), tmp_path / "limited", SimulatedExecutor(from_zero)) as study:
        study.run(search("asha"), 500, seconds=60)
        assert study.trials.spent <= 62 and sum(t.step for t in study.trials.values()) < 60
