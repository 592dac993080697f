"""What trials came to where there are several goals and limits: fronts, what is beyond a limit, means over repeats."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tunebook import pareto
from tunebook.goal import Goal, Limit
from tunebook.space import Config
from tunebook.trial import Status, Trial, is_whole


@dataclass(frozen=True)
class Outcome:
    """What a configuration came to: the values of each metric of the goals and limits, one a repeat."""

    config: Config
    values: Mapping[str, tuple[float, ...]]

    @property
    def means(self) -> dict[str, float]:
        """The mean of each metric over the repeats; NaN where one has none."""
        return {name: float(np.mean(v)) if v else math.nan for name, v in self.values.items()}

    def broken(self, goal: Goal) -> list[str]:
        """The limits that the means do not keep, in words."""
        return broken(self.means, goal.limits)


def outcome_of(config: Config, repeats: Iterable[Trial], goal: Goal) -> Outcome:
    """The outcome of a configuration from the trials that measured it; those that failed are left out."""
    told = [t.values(goal) for t in repeats if t.status is not Status.FAILED and t.scored(goal) is not None]
    return Outcome(config, {name: tuple(v[name] for v in told) for name in goal.named})


def front_of(outcomes: Sequence[Outcome], goal: Goal) -> list[Outcome]:
    """Those that keep the limits and that no other such beats in all goals, by their means."""
    kept = [o for o in outcomes if not o.broken(goal)]
    losses = np.array([[g.loss(o.means[g.metric]) for g in goal.goals] for o in kept], dtype=np.float64)
    stand = pareto.front(losses.reshape(len(kept), len(goal.metrics)))
    return [o for o, stands in zip(kept, stand, strict=True) if stands]


def standing(outcomes: Sequence[Outcome], goal: Goal) -> list[str]:
    """Where each of the outcomes stands, in words: beyond a limit, on the front, beaten, or within the limits."""
    best = front_of(outcomes, goal)

    def told(outcome: Outcome) -> str:
        if over := outcome.broken(goal):
            return f"beyond {', '.join(over)}"
        if not goal.also:
            return "keeps the limits"
        return "on the front" if outcome in best else "beaten"

    return [told(o) for o in outcomes]


def front(trials: Iterable[Trial], goal: Goal) -> list[Trial]:
    """The trials that no other beats in all of the goals and that keep the limits, the best by the first goal first;
    for one goal the best. Single values: some may have been lucky.
    """
    told = [t for t in trials if not t.context.final and math.isfinite(t.loss(goal))]
    losses = np.array([t.losses(goal) for t in told], dtype=np.float64).reshape(len(told), len(goal.metrics))
    best = [(t.losses(goal), t.number, t) for t, stands in zip(told, pareto.front(losses), strict=True) if stands]
    return [t for _, _, t in sorted(best, key=lambda b: b[:2])]


def best_single(trials: Iterable[Trial], goal: Goal) -> Trial | None:
    """The trial with the best single value of the first goal, within the limits; None without one. It may have been
    lucky. A trial that was cut short counts where only its last step would, if there is no other."""
    told = [t for t in trials if not t.context.final and math.isfinite(t.loss(goal))]
    told = [t for t in told if is_whole(t, goal)] or told
    return min(told, key=lambda t: t.loss(goal), default=None)


def once(trials: Iterable[Trial]) -> list[Trial]:
    """The first trial of each configuration."""
    told: dict[str, Trial] = {}
    for trial in trials:
        told.setdefault(trial.key, trial)
    return list(told.values())


def broken(values: Mapping[str, float], limits: Iterable[Limit]) -> list[str]:
    """The limits that values do not keep, in words.

    >>> broken({"memory": 620.0, "recall": 0.9}, [Limit("memory", most=500), Limit("recall", least=0.8)])
    ['memory 620 (limit: at most 500)']
    """
    kinds = {True: "at most", False: "at least"}
    return [f"{x.metric} {amount(values[x.metric])} (limit: {kinds[x.most is not None]} {amount(x.bound)})"
            for x in limits if x.excess(values[x.metric]) > 0]  # fmt: skip


def amount(value: float) -> str:
    """A number in few digits, all of them where it is large: numbers of weights are told apart by the last ones.

    >>> amount(0.123456), amount(26122.0)
    ('0.1235', '26,122')
    """
    return f"{value:,.0f}" if 10_000 <= abs(value) < 1e15 else f"{value:.4g}"


def closest(trials: Iterable[Trial], goal: Goal) -> Trial | None:
    """The trial nearest to the limits where none keeps them, by the sum of its excesses in units of the bounds; one
    that was not cut short, if there is any. None if nothing was measured, or something keeps the limits.
    """
    free = replace(goal, limits=())
    told = [t for t in trials if not t.context.final and math.isfinite(t.loss(free))]
    if any(math.isfinite(t.loss(goal)) for t in told):
        return None
    whole = [t for t in told if t.status in (Status.COMPLETED, Status.STOPPED)]

    def beyond(trial: Trial) -> tuple[float, float]:
        over = zip(goal.limits, trial.excess(goal), strict=True)
        return sum(max(0.0, e) / (abs(x.bound) or 1.0) for x, e in over), trial.loss(free)

    return min(whole or told, key=beyond, default=None)
