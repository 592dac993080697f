"""Where the space may be cut to the region of the best trials, and what need not be searched at all. (playbook A2)"""

from __future__ import annotations

import numpy as np

from tunebook.analysis.importance import Importance, fit, importance_of
from tunebook.analysis.rows import Rows, tabulate
from tunebook.diagnose.base import Evidence, Finding, Severity
from tunebook.diagnose.ranges import narrowed, parents
from tunebook.space import Float, Int

NAME = "narrow"
QUANTILE = 0.1
LEAST_TOP = 8
PADDING = 0.12
LEAST_EFFECT = 0.05
MOST_LEFT = 0.75
NIL = 0.03


def narrow(evidence: Evidence) -> list[Finding]:
    """Proposals to narrow the axes that matter to the region of the best tenth (at least 8), with room to spare, and to
    fix numbers that make no difference at the best trial's value.

    Says nothing below ``20 + 4 dim`` successful configurations, of axes on which others depend, and of choices: trials
    of a dropped option would no longer count.
    """
    space = evidence.space
    rows = tabulate(evidence.trials, space, evidence.goal)
    model = fit(rows, space)
    if model is None or int(np.sum(rows.feasible)) < 20 + 4 * space.dim:
        return []
    shares = model.effects().total
    numbers = [
        j
        for j, axis in enumerate(space.axes)
        if isinstance(axis.parameter, Float | Int) and axis.name not in parents(space)
    ]
    found = [f for j in numbers if shares[j] >= LEAST_EFFECT for f in _narrow(evidence, rows, j, float(shares[j]))]
    if any(shares[j] <= NIL for j in numbers):
        told = {i.name: i for i in importance_of(model)}
        for j in numbers:
            if (worth := told[space.axes[j].name]).high <= NIL:
                found += _freeze(evidence, rows, j, worth)
    return found


def region(rows: Rows, j: int) -> tuple[float, float]:
    """Codes between which the best tenth of the configurations lie on axis ``j``, padded by an eighth of the range."""
    n = int(np.sum(rows.feasible))
    codes = rows.X[rows.best(max(LEAST_TOP, round(QUANTILE * n))), j]
    codes = codes[~np.isnan(codes)]
    if len(codes) < LEAST_TOP:
        return 0.0, 1.0
    return float(np.min(codes)) - PADDING, float(np.max(codes)) + PADDING


def _narrow(evidence: Evidence, rows: Rows, j: int, share: float) -> list[Finding]:
    axis = evidence.space.axes[j]
    low, high = region(rows, j)
    if min(high, 1.0) - max(low, 0.0) > MOST_LEFT:
        return []
    smaller = narrowed(axis.parameter, low, high)
    if not isinstance(smaller, Float | Int):
        return []
    says = (
        f"{axis.name} matters ({100 * share:.0f} % of the differences), and the best trials all lie between "
        f"{smaller.low:g} and {smaller.high:g}"
    )
    advice = f"search {axis.name} there only"
    figures = {"importance": share, "left": min(high, 1.0) - max(low, 0.0)}
    return [Finding(NAME, Severity.INFO, says, advice, {axis.name: smaller}, (), axis.name, figures)]


def _freeze(evidence: Evidence, rows: Rows, j: int, worth: Importance) -> list[Finding]:
    axis = evidence.space.axes[j]
    best = rows.configs[rows.best(1)[0]]
    if axis.name not in best or not axis.parameter.contains(best[axis.name]):
        return []
    value = best[axis.name]
    says = f"{axis.name} makes no difference that these trials can show (at most {100 * worth.high:.1f} %)"
    told = f"{value:.3g}" if isinstance(value, float) else str(value)
    figures = {"importance": worth.value, "high": worth.high}
    return [Finding(NAME, Severity.INFO, says, f"fix it at {told}", {axis.name: value}, (), axis.name, figures)]
