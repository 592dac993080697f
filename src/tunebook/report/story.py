"""What a report tells of: a study's trials and chapters, what came of them, and what to use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tunebook.outcomes import Outcome, best_single
from tunebook.playbook.base import Base, Chapter
from tunebook.playbook.confirm import searched
from tunebook.report.base import Table
from tunebook.samplers.recommend import Recommendation, recommended
from tunebook.space import Config, Space
from tunebook.trial import Goal, Trial, Trials


@dataclass(frozen=True)
class TestLook:
    """What the one look at the test part gave: metric values with intervals, and the confusion matrix for classes."""

    __test__ = False  # the name is not a test's

    metrics: Mapping[str, tuple[float, float, float]]
    rows: int
    classes: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Story:
    """All that a report tells of."""

    name: str
    goal: Goal
    base: Base
    trials: Trials
    chapters: Sequence[Chapter]
    look: TestLook | None = None
    model: Path | None = None
    parameters: Table | None = field(default=None)
    finished: bool = True
    asked: bool = False

    @property
    def search(self) -> list[Trial]:
        """The trials that searched: not the final training."""
        return [t for t in self.trials.values() if not t.context.final]

    @cached_property
    def recommended(self) -> Recommendation | None:
        """The configuration to hand over by a model of all trials, with an interval; None if none succeeded."""
        opened = list(self.trials.opened.values())
        return recommended(self.trials, Space.from_dict(opened[-1].space), self.goal) if opened else None

    @property
    def config(self) -> Config:
        """The configuration to use: what the playbook came to, and before that what is recommended."""
        best = None if self.finished else self.recommended
        return self.base.config if best is None else best.config

    @property
    def best(self) -> Trial | None:
        """The trial with the best single value of the first goal, within the limits; it may have been lucky."""
        return best_single(self.search, self.goal)

    @property
    def space(self) -> Space:
        """The space as it was told last, before it was refined: that of the last cycle's first round that searched."""
        searched = [c for c in self.chapters if not c.round.runs]
        last = [c.round.space for c in searched if c.conclusion.base.cycle == searched[-1].conclusion.base.cycle]
        return last[0] if last else self.base.space

    @property
    def searched(self) -> list[Trial]:
        """The trials that proposed: no repeats of what was to be confirmed, and not the final training."""
        return self.search if self.asked else searched(self.search)

    @property
    def confirmation(self) -> Mapping[str, list[float]] | None:
        """Values of baseline and winner over fresh seeds."""
        told = [
            c.conclusion.figures for c in self.chapters if c.stage == "confirm" and "winner" in c.conclusion.figures
        ]
        return {k: list(told[-1][k]) for k in ("baseline", "winner")} if told else None

    @property
    def outcomes(self) -> Sequence[Outcome]:
        """What baseline and finalists came to on fresh seeds, where there are several goals or limits."""
        told = [c.conclusion.figures.get("outcomes", ()) for c in self.chapters if c.stage == "confirm"]
        return told[-1] if told else ()

    @property
    def beyond(self) -> str:
        """Why there is nothing to use, where nothing keeps the limits."""
        return self.chapters[-1].conclusion.beyond if self.chapters else ""

    @property
    def unit(self) -> str:
        """What values of the confirmation are of: a seed, a fold, or a part of the rows that are validated on."""
        told = [c.conclusion.figures.get("unit", "seed") for c in self.chapters if c.stage == "confirm"]
        return str(told[-1]) if told else "fold" if self.base.folds else "seed"
