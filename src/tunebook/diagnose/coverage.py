"""Are there enough trials? (playbook A3)"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np

from tunebook.analysis.bootstrap import gain_of_doubling
from tunebook.analysis.importance import needed
from tunebook.analysis.noise import late, within
from tunebook.analysis.rows import Rows, tabulate
from tunebook.diagnose._curves import contenders
from tunebook.diagnose.base import Evidence, Finding, Severity
from tunebook.space import Choice

NAME = "coverage"
FEW = 3
ENOUGH = 0.5


def coverage(evidence: Evidence) -> list[Finding]:
    """Too few trials to judge the space at all, options that hardly ran, and what doubling the trials promises."""
    if evidence.space.dim == 0:
        return []
    rows = tabulate(evidence.trials, evidence.space, evidence.goal)
    n, least = int(np.sum(rows.feasible)), needed(evidence.space)
    if n < least:
        free = tabulate(evidence.trials, evidence.space, replace(evidence.goal, limits=()))
        beyond = int(np.sum(free.feasible)) - n
        which = "configurations within the limits" if beyond else "successful trials"
        says = f"{n} {which} are too few to judge {evidence.space.dim} hyperparameters; it takes {least}"
        says += f" ({beyond} beyond the limits left out)" if beyond else ""
        figures = {"trials": float(n), "needed": float(least)}
        return [Finding(NAME, Severity.INFO, says, f"run {least - n} more", {}, (), None, figures)]
    return [*_options(evidence, rows), *_doubling(evidence, rows)]


def _options(evidence: Evidence, rows: Rows) -> list[Finding]:
    """Options with fewer than 3 successes, unless they fail: that is the divergence check's."""
    found = []
    for j, axis in enumerate(evidence.space.axes):
        if not isinstance(axis.parameter, Choice):
            continue
        ran = Counter(rows.configs[i][axis.name] for i in np.flatnonzero(~np.isnan(rows.X[:, j])))
        rare = [o for o in axis.parameter.options if ran[o] < FEW]
        if rare and sum(ran.values()) >= FEW * len(axis.parameter.options):
            told = ", ".join(f"{o!r} ({ran[o]})" for o in rare)
            says = f"{axis.name}: some options hardly ran: {told} of {sum(ran.values())} trials"
            figures = {"fewest": float(min(ran[o] for o in rare))}
            found.append(Finding(NAME, Severity.INFO, says, "nothing can be said of them", {}, (), axis.name, figures))
    return found


def _doubling(evidence: Evidence, rows: Rows) -> list[Finding]:
    """What twice as many trials would bring, held against the noise of one value."""
    # who was cut early would hardly have been the best: the worst of those that went on stands for them
    whole = rows.feasible & (rows.budget >= np.max(rows.budget[rows.feasible]))
    loss = np.where(rows.feasible, np.where(whole, rows.loss, np.max(rows.loss[whole])), np.inf)
    told = gain_of_doubling([evidence.goal.value(x) if math.isfinite(x) else math.nan for x in loss], evidence.goal)
    chance = noise_of_a_value(evidence)
    if told is None or math.isnan(chance):
        return []
    metric = evidence.goal.metric
    figures = {"gain": told.gain, "noise": chance, "trials": float(told.n)}
    head = f"twice as many random trials ({2 * told.n}) would improve the best {metric} by about {told.gain:.2g}"
    if told.gain < ENOUGH * chance:
        says = f"{head}, less than the noise of one value ({chance:.2g})"
        return [Finding(NAME, Severity.INFO, says, "enough has been explored", {}, (), None, figures)]
    if told.gain < chance:
        return []
    says = f"{head}, more than the noise of one value ({chance:.2g})"
    return [Finding(NAME, Severity.INFO, says, f"run {told.n} more, or search where it is good", {}, (), None, figures)]


def noise_of_a_value(evidence: Evidence) -> float:
    """Standard deviation of one value by chance: from repeats, else from the late steps; NaN if neither is there."""
    repeats = within([t for t in evidence.trials if t.curve], evidence.goal)
    if repeats.dof >= FEW:
        return repeats.sd
    steps = [s for s in late(contenders(evidence), evidence.goal.metric) if math.isfinite(s)]
    return float(np.median(steps)) if len(steps) >= FEW else math.nan
