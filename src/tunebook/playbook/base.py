"""The playbook's nouns: a round is one question with its design, a stage designs rounds and draws conclusions.

A stage is pure: it runs nothing. ``play`` hands each round to a function that runs it (the loop lives elsewhere), so
a playbook that was interrupted is played again from its record and comes to the same conclusions.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tunebook.diagnose.base import Finding
from tunebook.space import Config, Space, Value
from tunebook.trial import Context, Goal, Status, Trial, Trials, config_key, groups

FEWEST_FOLDS = 2  # that say anything of a configuration
ENOUGH = 4  # complete trials, from which on no others are looked at


@dataclass(frozen=True)
class Round:
    """One question and the trials that are to answer it.

    Either ``runs`` lists what to evaluate, or ``sampler`` and ``scheduler`` (names) search ``space`` with ``trials``
    new trials; with 0 trials the question is answered from what is there. ``scientific`` names what the round is
    about, ``fixed`` what every conclusion is conditional on. ``share`` is the part of a time budget that may be spent
    when the round ends. ``metric`` is what runs must report, if not the goal's.
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
    share: float = 1.0
    metric: str | None = None


@dataclass(frozen=True)
class Base:
    """Where the playbook stands: what the next stage builds on.

    ``total`` trials may be created in all (``seconds`` limits the time they take together on ``workers`` workers).
    ``chance`` is the metric of a model that learned nothing, if it is known; ``final`` says if a last training is
    wanted. A study that is given more after its end goes through another ``cycle``; ``before`` trials it had then,
    and ``confirmed`` is what it adopted. With ``folds`` the steps of a trial are those of a cross-validation of so many
    folds, and ``Context.fold`` numbers other draws of them.
    """

    space: Space
    config: Config
    goal: Goal
    steps: int
    total: int
    seed: int = 0
    seconds: float = math.inf
    workers: int = 1
    chance: float | None = None
    final: bool = True
    baseline: Config = field(default_factory=dict)
    adopted: bool = False
    cycle: int = 1
    before: int = 0
    confirmed: Config | None = None
    folds: int = 0

    def left(self, trials: Trials) -> int:
        """How many trials the budget still allows."""
        return max(0, self.total - len(trials))

    def part(self, share: float) -> int:
        """A share of the cycle's budget, in trials."""
        return round((self.total - self.before) * share)

    def called(self, round: str) -> str:
        """The name of a round in this cycle."""
        return round if self.cycle == 1 else f"{round}.{self.cycle}"

    def fresh_seed(self, index: int) -> int:
        """Seeds that no search trial has: for repeats (``index`` 0, 1, ...) that are compared with each other."""
        return int(np.random.SeedSequence([self.seed, 1_000_003, index]).generate_state(1)[0])


@dataclass(frozen=True)
class Conclusion:
    """What a round taught: sentences, findings, where the playbook stands now, and whether the stage goes on.

    ``stop`` ends the playbook, and says why.
    """

    says: tuple[str, ...]
    base: Base
    findings: tuple[Finding, ...] = ()
    again: bool = False
    stop: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def beyond(self) -> str:
        """Why there is nothing to use, where nothing keeps the limits; empty elsewhere."""
        return self.stop if self.figures.get("beyond") else ""


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
        """The next round of this stage, or None if there is nothing to ask (or no budget to ask it)."""

    @abstractmethod
    def conclude(self, base: Base, round: Round, trials: Trials) -> Conclusion:
        """What the round's trials say, and what follows."""


def play(
    stages: Sequence[Stage], base: Base, run: Callable[[Round], Trials], earlier: Trials | None = None
) -> Iterator[Chapter]:
    """Play the stages one after the other; yields a chapter as each round ends.

    ``earlier`` are trials of cycles before. A stage sees the trials of the rounds before it and no others, so that a
    playbook played again over a longer record decides what it decided the first time.
    """
    trials = Trials() if earlier is None else earlier
    seen = list(dict.fromkeys(t.round for t in trials.values()))
    for stage in stages:
        again = True
        while again:
            round = stage.design(base, trials)
            if round is None:
                break
            seen.append(round.name)
            if round.trials:
                trials = run(round).only(seen)
            conclusion = stage.conclude(base, round, trials)
            base, again = conclusion.base, conclusion.again
            yield Chapter(stage.name, round, list(trials.of(round.name)), conclusion)
            if conclusion.stop:
                return


def of_run(round: Round, trials: Trials) -> Trial:
    """The trial of a round's one listed run; the round may have others, from when the study had another plan."""
    key = config_key(round.runs[0][0])
    return [t for t in trials.of(round.name) if t.key == key][-1]


def ranked(trials: Sequence[Trial], goal: Goal, steps: int) -> list[Trial]:
    """Search trials from best to worst, those that were trained to the end first; failed ones are left out.

    Where the last step counts (``pick``), as of a cross-validation, the end is the last step, else also where a trial
    was stopped. There, while hardly any are complete, a trial that had no time for more than some folds stands where it
    would if it lost as much on the others as any complete one did: with a wider lead it is the better bet all the same.
    Runs of a final training do not count: they have no validation part.
    """
    sound = [t for t in trials if not t.context.final and math.isfinite(t.loss(goal))]
    full = [t for t in sound if t.status is Status.COMPLETED and t.context.fold == 0]
    few = goal.pick == "last" and 0 < len(full) < ENOUGH

    def order(trial: Trial) -> tuple[bool, int, float]:
        stopped = trial.status is Status.STOPPED
        if few and stopped and trial.step >= FEWEST_FOLDS and trial.context.fold == 0:
            return False, 0, _at_worst(trial, full, goal)
        whole = trial.status is Status.COMPLETED or (stopped and goal.pick != "last")
        return not whole, 0 if whole else -min(trial.step, steps), trial.loss(goal)

    return sorted(sound, key=order)


def _at_worst(trial: Trial, complete: Sequence[Trial], goal: Goal) -> float:
    """The loss of a trial with some folds, if it lost as much on the others as any of the complete ones did."""
    moves = [t.loss(goal) - t.loss(goal, trial.step) for t in complete]
    return trial.loss(goal) + max([0.0, *(m for m in moves if math.isfinite(m))])


def best_configs(trials: Sequence[Trial], goal: Goal, steps: int, most: int) -> list[Config]:
    """The best distinct configurations, at most ``most``."""
    return [g.config for g in groups(ranked(trials, goal, steps))[:most]]


def fit(space: Space, config: Config) -> Config:
    """A configuration of an earlier space with the hyperparameters that it lacks, at their defaults."""
    adapted = space.adapt(config) or {}
    return {**config, **{name: value for name, value in adapted.items() if name not in config}}


def tell_config(config: Config) -> str:
    """A configuration in a line: ``lr 0.0123, depth 3``."""
    return ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in config.items())


def tell_change(config: Config, baseline: Config) -> str:
    """A configuration by what it has that the baseline has not."""
    missing = object()
    change = {k: v for k, v in config.items() if baseline.get(k, missing) != v}
    return tell_config(change) if change else "the default configuration"
