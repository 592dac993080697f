"""A study's record as people read it: what was planned, what was concluded, and what is over.

Reading runs nothing. The chapters are not kept in the record: the playbook is played again over it, and comes to the
conclusions that it came to when the trials ran.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tunebook.playbook import Base, Baseline, Chapter, Confirm, Exploit, Explore, Finalize, Refine, Round, Stage, play
from tunebook.report.study import Story, TestLook
from tunebook.space import Space
from tunebook.stores.base import Store
from tunebook.stores.sql import SqlStore
from tunebook.trial import Goal, Trials, replay

BOOK = "book.db"
STUDY = "tune"
PLAN, RESULT, TEST = "plan", "result", "test"


def store_of(folder: Path | str, url: str | None = None) -> Store:
    """The record of the study in a folder: SQLite there, or the database at ``url``, under the folder's name."""
    if url is None:
        return SqlStore(f"sqlite:///{Path(folder) / BOOK}", STUDY)
    return SqlStore(url, Path(folder).name)


def stages(final: bool) -> list[Stage]:
    """The playbook; without its last stage for an objective that leaves no model behind."""
    return [Baseline(), Explore(), Refine(), Exploit(), Confirm(), *([Finalize()] if final else [])]


def plan_of(base: Base) -> dict[str, Any]:
    """What a playbook starts from, as plain JSON: enough to play it again."""
    goal = {"metric": base.goal.metric, "direction": str(base.goal.direction), "pick": base.goal.pick}
    return {
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


def base_of(plan: Mapping[str, Any]) -> Base:
    """The start of a playbook from ``plan_of``."""
    space = Space.from_dict(plan["space"])
    seconds = math.inf if plan["seconds"] is None else plan["seconds"]
    return Base(space, space.default, Goal(**plan["goal"]), plan["steps"], plan["trials"], plan["seed"], seconds,
                plan["workers"], plan["chance"], plan["final"], used=plan["used"])  # fmt: skip


@dataclass(frozen=True)
class Record:
    """What the record of a study tells. ``story`` is None for one of which only trials are known, or nothing yet."""

    name: str
    trials: Trials
    goal: Goal | None
    story: Story | None

    @property
    def chapters(self) -> Sequence[Chapter]:
        """What was concluded so far."""
        return self.story.chapters if self.story else ()

    @property
    def finished(self) -> bool:
        """Whether the study came to its end, and nothing was added since."""
        told = self.trials.notes.get(RESULT)
        return told is not None and told["trials"] == len(self.trials) and _all_closed(self.trials)


def _all_closed(trials: Trials) -> bool:
    return all(name in trials.closed for name in trials.opened)


def read_study(folder: Path | str, url: str | None = None, *, conclude: bool = True) -> Record:
    """The study in a folder, read without claiming it: a driver may be at work on it.

    Without ``conclude`` the playbook is not played, which takes a moment. Raises StoreError, StudyNotFound.
    """
    folder = Path(folder)
    return recorded(folder, replay(store_of(folder, url).read()), conclude)


def recorded(folder: Path, trials: Trials, conclude: bool = True) -> Record:
    """The record that a log of a study makes."""
    plan = trials.notes.get(PLAN)
    goals = [o.goal for o in trials.opened.values()]
    if plan is None:
        return Record(folder.name, trials, goals[0] if goals else None, _unplanned(folder, trials) if goals else None)
    base = base_of(plan)
    chapters = played(base, trials) if conclude else []
    return Record(folder.name, trials, base.goal, story_of(folder, trials, chapters, base))


class _Over(Exception):
    """The next round was not run to its end."""


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


def story_of(folder: Path, trials: Trials, chapters: Sequence[Chapter], base: Base) -> Story:
    """All that a report tells of."""
    base = chapters[-1].conclusion.base if chapters else replace(base, baseline=base.config)
    trained = model_of(folder, chapters)
    look = look_of(trials.notes.get(TEST), trained)
    model = trained if trained is not None and trained.is_dir() else None
    return Story(folder.name, base.goal, base, trials, chapters, look, model)


def _unplanned(folder: Path, trials: Trials) -> Story:
    """The story of a study whose owner asks for trials and tells what they gave: no playbook, only trials."""
    opened = list(trials.opened.values())[-1]
    space = Space.from_dict(opened.space)
    steps = int(opened.about.get("steps", 1))
    base = Base(space, space.default, opened.goal, steps, max(1, len(trials)), final=False, baseline=space.default)
    return Story(folder.name, opened.goal, base, trials, ())


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
