"""What the tests of all adapters do: attempts at a run, a study, and the flips of bits."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tunebook import Float, Goal, Space
from tunebook.executors.local import LocalExecutor
from tunebook.executors.serial import SerialExecutor
from tunebook.objective import Run
from tunebook.samplers import QuasiSampler
from tunebook.schedulers import AshaScheduler
from tunebook.stores.sql import SqlStore
from tunebook.study import Search, Study
from tunebook.trial import Ended, Measured, Status, Trials

SPACE = Space(lr=Float(1e-4, 3e-1, log=True, default=1e-2))
GOAL = Goal("accuracy", "maximize")


@pytest.fixture(autouse=True)
def sound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Environments of this process and of workers: Keras on torch, and nothing looks for a network."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


UNBROKEN: dict[str, dict[int, dict[str, float]]] = {}


class Desk:
    """A place to run objectives in."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.made = folder, 0

    def attempts(
        self, objective: Any, *untils: int, folder: Path | None = None, **told: Any
    ) -> tuple[dict[int, dict[str, float]], list[Ended]]:
        """What attempts at one run measure in all, by step, and how each of them ends."""
        self.made += 1
        folder = folder or self.folder / f"run-{self.made}"
        curve: dict[int, dict[str, float]] = {}
        ends = []
        with SerialExecutor(objective) as executor:
            for attempt, until in enumerate(untils, 1):
                run = {"config": {"lr": 1e-2}, "seed": 3, "metric": "accuracy", "attempt": attempt, **told}
                executor.submit(Run(0, until=until, folder=folder, **run))
                while len(ends) < attempt:
                    for event in executor.poll():
                        if isinstance(event, Measured):
                            curve[event.measurement.step] = dict(event.measurement.metrics)
                        else:
                            ends.append(event)
        return curve, ends

    def unbroken(self, objective: Any, until: int, **told: Any) -> dict[int, dict[str, float]]:
        """The curve of a run that nothing has interrupted; the same run is not run twice."""
        key = repr((objective.__module__, objective.__qualname__, until, sorted(told.items())))
        if key not in UNBROKEN:
            curve, (end,) = self.attempts(objective, until, **told)
            assert end.status is Status.COMPLETED, end.failure
            UNBROKEN[key] = curve
        return UNBROKEN[key]

    def study(
        self, objective: Any, scheduler: Callable[..., Any], trials: int, steps: int, *, workers: int = 0
    ) -> Trials:
        """The trials of a study; every one holds each of its steps once."""
        space, home = SPACE, self.folder / "study"
        with LocalExecutor(objective, workers) if workers else SerialExecutor(objective) as executor:
            store = SqlStore(home / "book.db", "s")
            with Study(store, home, executor) as study:
                sampler = QuasiSampler(space, GOAL, 0)
                found = study.run(Search("r", space, GOAL, sampler, scheduler(GOAL, steps)), trials)
        for t in found.values():
            assert [m.step for m in t.curve] == list(range(t.start + 1, t.step + 1)), t
        return found

    def promoted(self, objective: Any, trials: int, steps: int) -> list[int]:
        """The last steps of trials under ASHA; one that was paused ended with the curve of an unbroken run."""
        found = self.study(objective, partial(AshaScheduler, eta=2, r_min=2), trials, steps)
        best = next(t for t in found.values() if t.step == steps)
        assert best.attempt > 1, "it was paused"
        unbroken = self.unbroken(objective, steps, config=best.config, seed=best.context.seed)
        assert [m.metrics["accuracy"] for m in best.curve] == [unbroken[s]["accuracy"] for s in sorted(unbroken)]
        return [t.step for t in found.values()]

    def stopped(self, objective: Any, steps: int, r_min: int = 2) -> list[tuple[int, Path]]:
        """Last step and folder of each trial that ASHA's stopping form stopped before its end."""
        found = self.study(objective, partial(AshaScheduler, eta=2, r_min=r_min, form="stopping"), 4, steps)
        told = [t for t in found.values() if t.status is Status.STOPPED]
        assert told and all(t.step < steps for t in told)
        return [(t.step, self.folder / "study" / "trials" / str(t.number)) for t in told]

    def doc(self, heading: str) -> Any:
        """Run the example below a heading of docs/adapters.md, in a small budget; returns the result."""
        text = (Path(__file__).parents[2] / "docs" / "adapters.md").read_text("utf-8")
        code = text.partition(f"\n## {heading}\n")[2].partition("```python no-run\n")[2].partition("```")[0]
        assert code.count("steps=9, trials=30") == 1
        told: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(code.replace("steps=9, trials=30", "steps=2, trials=3, workers=0"), heading, "exec"), told)
        return told["result"]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)
