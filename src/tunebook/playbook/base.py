"""The playbook's nouns: a round is one question with its design, a stage designs rounds and draws conclusions.

A stage is pure: it runs nothing. ``play`` hands each round to a function that runs it (the loop lives elsewhere), so a
playbook that was interrupted is played again from its record and comes to the same conclusions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tunebook.diagnose.base import Finding
from tunebook.space import Config, Space, Value
from tunebook.trial import Context, Goal, Trial, Trials


@dataclass(frozen=True)
class Round:
    """One question and the trials that are to answer it.

    Either ``runs`` lists what to evaluate, or ``sampler`` and ``scheduler`` (names) search ``space`` with ``trials`` new
    trials. ``scientific`` names what the round is about, ``fixed`` what every conclusion is conditional on.
    """

    name: str
    question: str
    space: Space
    goal: Goal
    steps: int
    trials: int
    sampler: str = "quasi"
    scheduler: str = "full"
    runs: tuple[tuple[Config, Context], ...] = ()
    scientific: tuple[str, ...] = ()
    fixed: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Base:
    """Where the playbook stands: the space and the configuration that the next stage builds on, and what was decided.

    ``left`` is the number of trials that the budget still allows.
    """

    space: Space
    config: Config
    goal: Goal
    steps: int
    left: int
    seed: int = 0
    finalists: tuple[Config, ...] = ()
    baseline: Config = field(default_factory=dict)


@dataclass(frozen=True)
class Conclusion:
    """What a round taught: sentences, findings, the base that the next stage starts from, and whether to run again."""

    says: tuple[str, ...]
    base: Base
    findings: tuple[Finding, ...] = ()
    again: bool = False
    stop: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Chapter:
    """A finished round as the report tells it."""

    stage: str
    round: Round
    trials: Sequence[Trial]
    conclusion: Conclusion


class Stage(ABC):
    """One step of the playbook."""

    name: str

    @abstractmethod
    def design(self, base: Base, trials: Trials) -> Round | None:
        """The next round of this stage, or None if there is nothing to ask (or no budget)."""

    @abstractmethod
    def conclude(self, base: Base, round: Round, trials: Trials) -> Conclusion:
        """What the round's trials say, and what follows."""


def play(stages: Sequence[Stage], base: Base, run: Callable[[Round], Trials], trials: Trials) -> Iterator[Chapter]:
    """Play the stages one after the other; yields a chapter as each round ends. ``run`` evaluates a round."""
    for stage in stages:
        again = True
        while again:
            round = stage.design(base, trials)
            if round is None:
                break
            trials = run(round)
            conclusion = stage.conclude(base, round, trials)
            yield Chapter(stage.name, round, trials.of(round.name), conclusion)
            base, again = conclusion.base, conclusion.again
            if conclusion.stop:
                return
