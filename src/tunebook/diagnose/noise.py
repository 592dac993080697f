"""Is the order of the best trials more than chance? (playbook A7, C1)"""

from __future__ import annotations

import math

import numpy as np

from tunebook.analysis.noise import Spread, late, within
from tunebook.analysis.rows import tabulate
from tunebook.diagnose._curves import contenders
from tunebook.diagnose.base import Evidence, Finding, Severity
from tunebook.space import Array

NAME = "noise"
FEWEST = 4
FEWEST_REPEATS = 4
RELIABLE = 0.5


def noise(evidence: Evidence) -> list[Finding]:
    """Whether noise makes up most of what tells the best trials apart: from step to step, or from seed to seed.

    The observed variance among contenders is that of their true values plus that of the noise; the finding says that
    half of it or more is noise. Seeds need 4 degrees of freedom of repeats, steps 4 contenders with curves.
    """
    best = contenders(evidence)
    values = np.array([t.value(evidence.goal) for t in best])
    if len(best) < FEWEST:
        return []
    found = []
    steps = [s for s in late(best, evidence.goal.metric) if math.isfinite(s)]
    spread = _sd(values)
    if len(steps) >= FEWEST and (sd := float(np.median(steps))) ** 2 >= RELIABLE * spread**2 > 0:
        found.append(_steps(evidence, sd, spread, tuple(t.number for t in best)))
    repeats = within([t for t in evidence.trials if t.curve], evidence.goal)
    rows = tabulate(evidence.trials, evidence.space, evidence.goal)
    among = _sd(rows.loss[rows.best(len(best))])
    if repeats.dof >= FEWEST_REPEATS and repeats.sd**2 >= RELIABLE * among**2 and repeats.sd > 0:
        found.append(_seeds(evidence, repeats, among, tuple(t.number for t in best)))
    return found


def _sd(values: Array) -> float:
    """Standard deviation; inf where its square would not fit a float."""
    with np.errstate(over="ignore", invalid="ignore"):
        told = float(np.std(values, ddof=1))
    return told if math.isfinite(told) else math.inf


def _steps(evidence: Evidence, sd: float, spread: float, numbers: tuple[int, ...]) -> Finding:
    says = (
        f"{evidence.goal.metric} moves by {sd:.2g} (sd) from step to step late in training, "
        f"the {len(numbers)} best trials differ by {spread:.2g}: their order is mostly chance"
    )
    advice = (
        "more validation data, a larger batch, a decaying learning rate or averaged weights; confirm on fresh seeds"
    )
    figures = {"noise": sd, "spread": spread}
    return Finding(NAME, Severity.WARN, says, advice, {}, numbers, None, figures)


def _seeds(evidence: Evidence, repeats: Spread, spread: float, numbers: tuple[int, ...]) -> Finding:
    says = (
        f"{evidence.goal.metric} moves by {repeats.sd:.2g} (sd, {repeats.low:.2g} to {repeats.high:.2g}) from seed to "
        f"seed, the {len(numbers)} best configurations differ by {spread:.2g}: their order is mostly chance"
    )
    advice = "do not report the best single value: repeat the finalists on fresh seeds, and take means"
    figures = {"noise": repeats.sd, "low": repeats.low, "high": repeats.high, "spread": spread}
    return Finding(NAME, Severity.WARN, says, advice, {}, numbers, None, figures)
