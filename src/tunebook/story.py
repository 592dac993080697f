"""What a study came to, from its record.

The chapters are not kept: the playbook is played again over the record, and concludes what it concluded when the
trials ran. Nothing is run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunebook.playbook import Base, Baseline, Chapter, Confirm, Exploit, Explore, Finalize, Refine, Round, Stage, play
from tunebook.record import PLAN, TEST, Record
from tunebook.report.study import Story, TestLook
from tunebook.space import Space
from tunebook.trial import Goal, Trials


def stages(final: bool) -> list[Stage]:
    """The playbook; without its last stage for an objective that leaves no model behind."""
    return [Baseline(), Explore(), Refine(), Exploit(), Confirm(), *([Finalize()] if final else [])]


def plan_of(base: Base) -> dict[str, Any]:
    """What a playbook starts from, as plain JSON: enough to play it again."""
    goal = {"metric": base.goal.metric, "direction": str(base.goal.direction), "pick": base.goal.pick}
    told = {
        "space": base.space.as_dict(),
        "goal": goal,
        "steps": base.steps,
        "trials": base.total,
        "seed": base.seed,
        "seconds": None if math.isinf(base.seconds) else base.seconds,
        "workers": base.workers,
        "chance": base.chance,
        "final": base.final,
        "used": dict(base.used),
    }
    plain: dict[str, Any] = json.loads(json.dumps(told))  # as it comes back from the record: lists, no tuples
    return plain


def base_of(plan: Mapping[str, Any]) -> Base:
    """The start of a playbook from ``plan_of``."""
    space = Space.from_dict(plan["space"])
    seconds = math.inf if plan["seconds"] is None else plan["seconds"]
    return Base(space, space.default, Goal(**plan["goal"]), plan["steps"], plan["trials"], plan["seed"], seconds,
                plan["workers"], plan["chance"], plan["final"], used=plan["used"])  # fmt: skip


def story_in(record: Record) -> Story | None:
    """The story of a record, as far as it has come; None before its first round was opened."""
    trials = record.trials
    plan = trials.notes.get(PLAN)
    if plan is not None:
        base = base_of(plan)
        return story_of(record, played(base, trials), base)
    if not trials.opened:
        return None
    # its owner asks for trials and tells what they gave: no playbook
    opened = list(trials.opened.values())[-1]
    space = Space.from_dict(opened.space)
    steps = int(opened.about.get("steps", 1))
    base = Base(space, space.default, opened.goal, steps, max(1, len(trials)), final=False, baseline=space.default)
    return story_of(record, (), base if record.best is None else replace(base, config=record.best.config))


class _Over(Exception):
    """The record has not more."""


def played(base: Base, trials: Trials) -> list[Chapter]:
    """The chapters that the record already has: the playbook until the first round that is not over."""
    chapters: list[Chapter] = []

    def run(round: Round) -> Trials:
        if round.name not in trials.closed:
            raise _Over
        return trials

    try:
        for chapter in play(stages(base.final), base, run):
            chapters.append(chapter)
    except _Over:
        pass
    return chapters


def story_of(record: Record, chapters: Sequence[Chapter], base: Base) -> Story:
    """All that a report tells of; ``base`` is where the playbook started."""
    base = chapters[-1].conclusion.base if chapters else replace(base, baseline=base.space.default)
    trained = model_of(record.folder, chapters)
    look = look_of(record.trials.notes.get(TEST), trained)
    model = trained if trained is not None and trained.is_dir() else None
    return Story(record.name, base.goal, base, record.trials, chapters, look, model, finished=record.finished)


def model_of(folder: Path, chapters: Sequence[Chapter]) -> Path | None:
    """Where the last training left its model; None without one."""
    last = chapters[-1] if chapters else None
    if last is None or last.stage != Finalize.name or last.conclusion.stop:
        return None
    return folder / "trials" / str(last.conclusion.figures["trial"]) / "model"


def look_of(told: Mapping[str, Any] | None, model: Path | None) -> TestLook | None:
    """What a look at the test part gave, from the record; None if that was a look with another model."""
    if told is None or model is None or told["trial"] != int(model.parent.name):
        return None
    return TestLook(
        {k: (v[0], v[1], v[2]) for k, v in told["metrics"].items()},
        told["rows"],
        tuple(told["classes"]),
        tuple(tuple(r) for r in told["confusion"]),
    )
