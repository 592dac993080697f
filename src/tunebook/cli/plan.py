"""``tunebook run --dry-run``: what would be done, without doing it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from tunebook.cli.job import Job
from tunebook.cli.toml import to_toml
from tunebook.cli.words import as_json, clean, table, tell
from tunebook.jobs import advice_on
from tunebook.playbook import Base
from tunebook.playbook.budget import split
from tunebook.settings import Settings
from tunebook.space import Choice, Parameter, Space
from tunebook.trial import Goal


def tell_plan(job: Job, folder: Path, settings: Settings, goal: Goal, space: Space, json: bool) -> None:
    """Print the resolved job, the stages with their part of the budget, and the space."""
    base = Base(space, space.default, goal, settings.steps, settings.trials, settings.seed, settings.seconds,
                max(1, settings.capacity), final=job.model is not None)  # fmt: skip
    stages = split(base)
    if json:
        tell(as_json({"job": job.model_dump(exclude={"space", "cwd"}), "folder": str(folder), "stages": stages,
                      "workers": settings.capacity, "space": space.as_dict(), "default": space.default}))  # fmt: skip
        return
    told = job.model_dump(exclude={"space", "cwd", "folder", "study"}) | {
        "metric": goal.metric,
        "direction": str(goal.direction),
        "steps": settings.steps,
        "workers": settings.capacity,
        "folder": str(folder),
    }
    tell(to_toml(told))
    tell(table(("stage", "trials at most"), stages.items()))
    if advice := advice_on(base):
        tell(advice)
    if not math.isinf(settings.seconds):
        tell(f"or fewer: it ends after {settings.seconds:g} s of work")
    tell("")
    tell(table(("hyperparameter", "kind", "values", "default", "only when"), _rows(space)))
    tell("\nnothing was run (--dry-run)")


def _rows(space: Space) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for name, p in space.parameters.items():
        when = "; ".join(
            f"{parent} is {' or '.join(map(str, ok))}" for parent, ok in space.conditions.get(name, {}).items()
        )
        rows.append((name, p.type, _values(p), p.start, when))
    rows += [(name, "constant", value, value, "") for name, value in space.constants.items()]
    return rows


def _values(p: Parameter) -> str:
    told: dict[str, Any] = p.as_dict()
    if isinstance(p, Choice):
        return clean(", ".join(map(str, told["options"])), 50)
    scale = ", log" if told.get("log") else ""
    step = f", step {told['step']}" if told.get("step") else ""
    return f"{told['low']} to {told['high']}{scale}{step}"
