"""What is said where nothing keeps the limits."""

from __future__ import annotations

from tunebook.outcomes import amount, closest
from tunebook.playbook.base import tell_change
from tunebook.space import Config
from tunebook.trial import Goal, Trials


def nearest_to_limits(goal: Goal, baseline: Config, trials: Trials) -> str:
    """What came nearest to the limits, in words; empty where something keeps them, or nothing was measured."""
    near = closest(trials.values(), goal) if goal.limits else None
    if near is None:
        return ""
    values = ", ".join(f"{name} {amount(value)}" for name, value in near.values(goal).items())
    limits, which = " and ".join(map(str, goal.limits)), tell_change(near.config, baseline)
    return f"no trial keeps {limits}; the nearest is trial {near.number}: {values}, {which}"
