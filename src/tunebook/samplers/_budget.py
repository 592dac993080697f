"""Which rows of a history can be compared when trials came to different steps."""

from __future__ import annotations

import numpy as np

from tunebook.samplers.base import History


def level(history: History, least: int) -> int:
    """The furthest step that at least ``least`` feasible configurations came to; else the nearest step of all; 0 if
    none is feasible.

    S. Falkner, A. Klein, F. Hutter, "BOHB", ICML 2018, section 3.2: a model of the largest budget that has enough.
    """
    steps = np.sort(history.budget[history.feasible])
    if not len(steps):
        return 0
    return int(steps[-least] if len(steps) >= least else steps[0])
