"""Where trainings have their best step: whether they are longer than they need be, or too short."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tunebook.analysis.curves import best_steps
from tunebook.report.base import Axis, Bar, Bars
from tunebook.space import Array
from tunebook.trial import Goal, Trial

PARTS = 10
FEWEST = 3
CONSISTENT = 0.8
SOON, LATE = 0.1, 0.75


def lengths(trials: Sequence[Trial], goal: Goal, steps: int) -> Bars:
    """How many of the trials that came to ``steps`` have their best measurement in each tenth of the training.

    The note says what follows where four of five agree: in the first tenth, cut; in the last quarter, lengthen.
    """
    told = best_steps([t for t in trials if t.step >= steps], goal)
    share = told.best / steps
    part = np.clip(np.ceil(share * PARTS).astype(np.int64) - 1, 0, PARTS - 1)
    counts = np.bincount(part, minlength=PARTS)
    edges = [round(100 * k / PARTS) for k in range(PARTS + 1)]
    bars = tuple(Bar(f"{low}-{high} %", int(n)) for low, high, n in zip(edges, edges[1:], counts, strict=False))
    enough = len(share) >= FEWEST and steps > 1
    return Bars("Where trainings are at their best", Axis("trials"), bars, note=_advice(share, steps) if enough else "",
                empty="" if enough else f"Too few whole trainings: {len(share)} of {FEWEST} needed.")  # fmt: skip


def _advice(share: Array, steps: int) -> str:
    if np.mean(share <= SOON) >= CONSISTENT:
        enough = max(1, round(2 * SOON * steps))
        return f"Nearly all are at their best in the first tenth: {enough} of {steps} steps would do."
    if np.mean(share > LATE) >= CONSISTENT:
        return ("Nearly all are at their best in the last quarter: train longer, and retune the decay of the learning"
                " rate with it.")  # fmt: skip
    return "Of the trials that were trained to the end, by the step of their best measurement."
