"""Which trials' checkpoints still serve somebody."""

from __future__ import annotations

from collections.abc import Collection

from tunebook.playbook.base import ranked
from tunebook.trial import Goal, Status, Trials

KEPT = 3


def expendable(trials: Trials, goal: Goal, steps: int, current: Collection[str]) -> list[int]:
    """Numbers of trials that will neither go on nor be looked at again, in order.

    Trials of a round go on as long as it is open or among the ``current`` ones: a later round reads what they
    measured, not their weights, and finalists are trained again from the start. The ``KEPT`` best stay, and what a
    final training left.
    """
    best = {t.number for t in ranked(list(trials.values()), goal, steps)[:KEPT]}
    over = [name for name in trials.closed if name not in current]
    told = [t for name in over for t in trials.of(name) if t.status is not Status.RUNNING and not t.context.final]
    return sorted(t.number for t in told if t.number not in best)
