"""Is it worth pretraining? The same target from a fresh start and from sources, over seeds, with intervals.

    told = compare_starts(few, {"similar task": others, "large set": many}, config, seeds=5, folder="runs/starts")
    print(told)

A source or the target is a function of a seed that gives a task, so that what is drawn of the data is drawn anew for
each seed, and the intervals hold for that as well. What a source learns from must not be in the part of the target that
judges. All models need the same layers below the head; the heads may differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tunebook.analysis.compare import Comparison, mean_interval, race
from tunebook.errors import SettingError
from tunebook.objective import Run
from tunebook.sealed import digest
from tunebook.space import Config
from tunebook.training.loop import train
from tunebook.training.state import best_epoch
from tunebook.training.task import Task
from tunebook.training.transfer import started
from tunebook.trial import Context, Goal

Draw = Callable[[int], Task]  # seed -> what is trained
FRESH = "no pretraining"


@dataclass(frozen=True)
class Starts:
    """What the target came to from each start: one value a seed, in the order of ``seeds``."""

    goal: Goal
    seeds: tuple[int, ...]
    values: Mapping[str, tuple[float, ...]]

    def interval(self, start: str) -> tuple[float, float, float]:
        """Mean over the seeds and its 95 % t interval: (mean, low, high)."""
        return mean_interval(self.values[start])

    def gains(self) -> Mapping[str, tuple[Comparison, bool]]:
        """Each source against no pretraining, seed by seed, and whether it is better after Holm's correction."""
        sources = {name: values for name, values in self.values.items() if name != FRESH}
        return race(sources, self.values[FRESH], self.goal, paired=True)

    def __str__(self) -> str:
        """A table for people."""
        gains = self.gains()
        width = max(map(len, self.values))
        lines = [f"{self.goal.metric}, {len(self.seeds)} seeds; 95 % intervals"]
        for name in self.values:
            mean, low, high = self.interval(name)
            line = f"  {name:<{width}}  {mean:.4f}  ({low:.4f} to {high:.4f})"
            if name in gains:
                c, better = gains[name]
                said = "better" if better else "worse" if c.separable and c.better == "b" else "not told apart"
                line += f"   gain {c.difference:+.4f} ({c.low:+.4f} to {c.high:+.4f}): {said}"
            lines.append(line)
        return "\n".join(lines)


def compare_starts(
    target: Draw,
    sources: Mapping[str, Draw],
    config: Config,
    *,
    seeds: int | Sequence[int] = 5,
    tuning: Config | None = None,
    folder: Path | str = "tunebook-runs/starts",
) -> Starts:
    """Train the target from a fresh start and from each source, once a seed.

    config    of every training: model, optimizer and all else
    seeds     how many (1, 2, ...), or which
    tuning    further settings of the trainings that start from a source: strategy, layer_decay, lr, ...
    folder    for checkpoints; the same call takes up what is there

    The value of a training is that of the goal metric at the step that the goal picks; with Goal(..., pick="last")
    nothing is chosen by the data that judges. Raises SettingError for fewer than two seeds or no source.
    """
    told = tuple(range(1, seeds + 1)) if isinstance(seeds, int) else tuple(seeds)
    if len(set(told)) < 2 or not sources or FRESH in sources:
        raise SettingError(
            "starts are compared over two seeds or more, each source under a name of its own",
            got=f"seeds {told}, sources {', '.join(map(repr, sources)) or 'none'}",
            expected=f"distinct seeds; at least one source, none of them {FRESH!r}",
        )
    values: dict[str, list[float]] = {FRESH: [], **{name: [] for name in sources}}
    for seed in told:
        task, place = target(seed), Path(folder) / str(seed)
        values[FRESH].append(_trained(task, config, seed, place / "fresh"))
        for name, source in sources.items():
            at = place / digest(name.encode())[:12]
            _trained(source(seed), config, seed, at / "source")
            further = {**config, **(tuning or {}), "start": str(at / "source")}
            values[name].append(_trained(_starting(task), further, seed, at / "target"))
    return Starts(task.goal, told, {name: tuple(found) for name, found in values.items()})


def _starting(task: Task) -> Task:
    """The task with models that begin where their configuration says."""
    return replace(task, build=lambda config: started(task.build(config), config))


def _trained(task: Task, config: Config, seed: int, folder: Path) -> float:
    """The value of the goal metric that a training comes to; its checkpoint is left in the folder."""
    run = Run(0, config, task.epochs, folder, seed, Context(seed=seed), metric=task.goal.metric)
    curve = list(train(task, run))
    picked = best_epoch(curve, task.goal)
    return curve[picked - 1].metrics[task.goal.metric] if picked else float("nan")
