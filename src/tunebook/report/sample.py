"""A part of many trials that shows what all of them show: a report of thousands must still open at once."""

from __future__ import annotations

from collections.abc import Sequence

from tunebook.trial import Goal, Trial


def some(trials: Sequence[Trial], goal: Goal, most: int) -> list[Trial]:
    """At most ``most`` of the trials, in their order: the best half of that, and the others at even distances."""
    if len(trials) <= most:
        return list(trials)
    order = sorted(range(len(trials)), key=lambda i: trials[i].loss(goal))
    best, rest = order[: most // 2], sorted(order[most // 2 :])
    left = most - len(best)
    even = [rest[i * len(rest) // left] for i in range(left)]
    return [trials[i] for i in sorted([*best, *even])]


def note_of(shown: int, there: int) -> str:
    """What to say where not all are shown; empty where they are.

    >>> note_of(500, 5000)
    'Shown are 500 of 5,000 trials, the best among them; tunebook export gives all.'
    """
    if shown >= there:
        return ""
    return f"Shown are {shown:,} of {there:,} trials, the best among them; tunebook export gives all."
