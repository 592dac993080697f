"""What a study came to, from its record.

The chapters are not kept: the playbook is played again over the record, and concludes what it concluded when the
trials ran. Nothing is run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunebook.playbook import Base, Baseline, Chapter, Confirm, Exploit, Explore, Finalize, Refine, Round, Stage, play
from tunebook.playbook.base import fit
from tunebook.record import PLAN, TEST, Record
from tunebook.report.story import Story, TestLook
from tunebook.space import Space
from tunebook.trial import Goal, Trials


def stages(cycle: int, final: bool) -> list[Stage]:
    """The playbook: the baseline in the first cycle only, a last training only of what leaves a model behind."""
    first: list[Stage] = [Baseline()] if cycle == 1 else []
    return [*first, Explore(), Refine(), Exploit(), Confirm(), *([Finalize()] if final else [])]


def plan_of(base: Base) -> dict[str, Any]:
    """What a playbook starts from, as plain JSON: enough to play it again. Its budget makes the first cycle."""
    cycle = {
        "trials": base.total,
        "seconds": None if math.isinf(base.seconds) else base.seconds,
        "space": base.space.as_dict(),
        "before": 0,
        "spent": 0.0,
    }
    told = {
        "goal": base.goal.as_dict(),
        "steps": base.steps,
        "seed": base.seed,
        "workers": base.workers,
        "chance": base.chance,
        "final": base.final,
        **({"folds": base.folds} if base.folds else {}),
        "cycles": [cycle],
    }
    plain: dict[str, Any] = json.loads(json.dumps(told))  # as it comes back from the record: lists, no tuples
    return plain


def base_of(plan: Mapping[str, Any]) -> Base:
    """The start of a playbook's first cycle from ``plan_of``."""
    cycle = plan["cycles"][0]
    space = Space.from_dict(cycle["space"])
    return Base(space, space.default, Goal.from_dict(plan["goal"]), plan["steps"], cycle["trials"], plan["seed"],
                _seconds(cycle), plan["workers"], plan["chance"], plan["final"],
                folds=plan.get("folds", 0))  # fmt: skip


def extended(plan: Mapping[str, Any], asked: Mapping[str, Any], trials: Trials) -> dict[str, Any]:
    """The plan with the budget and the space of another (of one cycle), if those are larger or another.

    A cycle that has not come further than exploring is only made larger; else there will be another one after it, so
    that what was concluded stays.
    """
    last, new = plan["cycles"][-1], asked["cycles"][0]
    more = new["trials"] > last["trials"] or _seconds(new) > _seconds(last)
    if not more and new["space"] == last["space"]:
        return dict(plan)
    number = len(plan["cycles"])
    early = {Baseline.name, replace(base_of(plan), cycle=number).called(Explore.name)}
    late = [name for name in trials.opened if trials.count(name) and trials.of(name)[0].number >= last["before"]]
    if set(late) <= early:
        return {**plan, "cycles": [*plan["cycles"][:-1], {**new, "before": last["before"], "spent": last["spent"]}]}
    return {**plan, "cycles": [*plan["cycles"], {**new, "before": len(trials), "spent": trials.spent}]}


def chapters(
    plan: Mapping[str, Any], trials: Trials, run: Callable[[Round, float, float], Trials]
) -> Iterator[Chapter]:
    """Play all cycles of a plan. ``run`` runs a round: it launches until so many seconds were spent on the study in
    all, and ends when so many were.

    A fit cannot be paused: what is measured by folds may end after its round's share, while there is time at all.
    ``trials`` are those of the study, and are advanced by ``run``.
    """
    base, seen = base_of(plan), set[str]()
    for number, cycle in enumerate(plan["cycles"], 1):
        if number > 1:
            base = _continued(base, plan, number)
        for chapter in play(stages(number, base.final), base, _within(cycle, run, base), trials.only(seen)):
            seen.add(chapter.round.name)
            base = chapter.conclusion.base
            yield chapter


def _continued(base: Base, plan: Mapping[str, Any], number: int) -> Base:
    """Where another cycle starts: in the refined space, unless another one was asked for."""
    before, cycle = plan["cycles"][number - 2 : number]
    space = base.space if cycle["space"] == before["space"] else Space.from_dict(cycle["space"])
    config = fit(space, base.config)
    return replace(base, space=space, config=config, confirmed=config if base.adopted else None,
                   baseline=fit(space, base.baseline), total=cycle["trials"], seconds=_seconds(cycle),
                   cycle=number, before=cycle["before"])  # fmt: skip


def _seconds(cycle: Mapping[str, Any]) -> float:
    return math.inf if cycle["seconds"] is None else float(cycle["seconds"])


def _within(
    cycle: Mapping[str, Any], run: Callable[[Round, float, float], Trials], base: Base
) -> Callable[[Round], Trials]:
    """``run`` with each round's share of the time that the cycle has."""
    spent, seconds = cycle["spent"], _seconds(cycle)

    def within(round: Round) -> Trials:
        until = spent + round.share * (seconds - spent)
        return run(round, until, max(until, seconds) if base.folds else until)

    return within


def story_in(record: Record) -> Story | None:
    """The story of a record, as far as it has come; None before its first round was opened."""
    trials = record.trials
    plan = trials.notes.get(PLAN)
    if plan is not None:
        return story_of(record, played(plan, trials), base_of(plan))
    if not trials.opened:
        return None
    # its owner asks for trials and tells what they gave: no playbook
    opened = list(trials.opened.values())[-1]
    space = Space.from_dict(opened.space)
    steps = int(opened.about.get("steps", 1))
    base = Base(space, space.default, opened.goal, steps, max(1, len(trials)), final=False, baseline=space.default)
    return story_of(record, (), base)


class _Over(Exception):
    """The record has not more."""


def played(plan: Mapping[str, Any], trials: Trials) -> list[Chapter]:
    """The chapters that the record already has: the playbook until the first round that is not over."""
    told: list[Chapter] = []

    def run(round: Round, until: float, last: float) -> Trials:
        if round.name not in trials.closed:
            raise _Over
        return trials

    try:
        for chapter in chapters(plan, trials, run):
            told.append(chapter)
    except _Over:
        pass
    return told


def story_of(record: Record, chapters: Sequence[Chapter], base: Base) -> Story:
    """All that a report tells of; ``base`` is where the playbook started."""
    base = chapters[-1].conclusion.base if chapters else replace(base, baseline=base.space.default)
    trained = model_of(record.folder, chapters)
    look = look_of(record.trials.notes.get(TEST), trained)
    model = trained if trained is not None and trained.is_dir() else None
    return Story(record.name, base.goal, base, record.trials, chapters, look, model, finished=record.finished,
                 asked=record.asked)  # fmt: skip


def model_of(folder: Path, chapters: Sequence[Chapter]) -> Path | None:
    """Where the last training left its model; None without one of the configuration to use."""
    last = next((c for c in reversed(chapters) if c.stage == Finalize.name and not c.conclusion.stop), None)
    if last is None or last.round.runs[0][0] != chapters[-1].conclusion.base.config:
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
