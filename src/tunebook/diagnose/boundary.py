"""Is the best region cut off by an edge of the search space? (playbook A1)"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, gammaincinv

from tunebook.analysis.anova import Anova
from tunebook.analysis.importance import fit
from tunebook.analysis.rows import Rows, tabulate
from tunebook.diagnose.base import Evidence, Finding, Severity
from tunebook.diagnose.ranges import limits, widened
from tunebook.space import Array, Float, Int

NAME = "boundary"
EDGE = 0.1
DRAWS = 400
LEAST_EFFECT = 0.05
MOST_FAILURES = 0.3


def boundary(evidence: Evidence) -> list[Finding]:
    """Axes whose best value probably lies beyond an end of the range, most certain first.

    The response along the axis, with the others as in the top trials, comes from an additive Gaussian process. The edge
    is blamed when nearly all of its draws are best in the outermost tenth of the range (90 % of them with 2 axes, 95 %
    with 4, 98 % with 10: many axes are many chances to be wrong), the top trials do not keep away from it, the trials
    there do not fail, and the axis matters at all (likelihood ratio, 5 % over all axes). Choices have no edge; an end
    that is a natural limit (momentum 1) is left alone.
    """
    rows = tabulate(evidence.trials, evidence.space, evidence.goal)
    model = fit(rows, evidence.space)
    if model is None:
        return []
    top = rows.best(max(5, round(0.1 * len(rows))))
    shares = model.effects().total
    sure = 1.0 - 0.1 * min(1.0, 2.0 / evidence.space.dim)
    bar = 2.0 * float(gammaincinv(0.5, 1.0 - 0.05 / evidence.space.dim))  # chi squared, 1 degree of freedom
    found = []
    for j, axis in enumerate(evidence.space.axes):
        if not isinstance(axis.parameter, Float | Int) or shares[j] < LEAST_EFFECT:
            continue
        for side in ("low", "high"):
            chance = outside(model, j, rows.X[top], side)
            crowd = crowding(rows.X[:, j], top, side)
            if chance < sure or crowd[2] > 0.5 or _fails(rows, j, side):
                continue
            if model.support(j) >= bar:
                found.append((chance, _finding(evidence, rows, (j, side), top, (chance, *crowd))))
    return [f for _, f in sorted(found, key=lambda c: -c[0])]


def outside(model: Anova, j: int, around: Array, side: str) -> float:
    """Probability that the response along axis ``j`` is best in the outermost tenth at that side, or beyond.

    1 where most of the top trials, of an earlier and wider space, do lie beyond.
    """
    codes = around[:, j]
    if np.sum(codes > 1.0 if side == "high" else codes < 0.0) > 0.5 * len(codes):
        return 1.0
    grid, mean, cov = model.profile(j, around)
    values, vectors = np.linalg.eigh(cov)
    noise = np.random.default_rng(0).standard_normal((DRAWS, len(grid)))
    draws = mean + (noise * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    best = grid[np.argmin(draws, axis=1)]
    return float(np.mean(best >= 1.0 - EDGE if side == "high" else best <= EDGE))


def crowding(codes: Array, top: npt.NDArray[np.int64], side: str) -> tuple[int, int, float]:
    """How many of the top rows lie in the outer fifth, of how many, and how likely that many are by chance.

    Chance: each row of the whole table is as likely to be a top one as any other.
    """
    there = codes[top][~np.isnan(codes[top])]
    every = codes[~np.isnan(codes)]
    if not len(there):
        return 0, 0, 1.0
    if side == "high":
        there, every = 1.0 - there, 1.0 - every
    k, share = int(np.sum(there <= 0.2)), float(np.mean(every <= 0.2))
    # P(X >= k) of a binomial variable is the regularised incomplete beta function
    return k, len(there), float(betainc(k, len(there) - k + 1, share)) if k else 1.0


def _fails(rows: Rows, j: int, side: str) -> bool:
    """Whether so many configurations fail at this end that there is nothing to be found beyond it."""
    codes = rows.X[:, j]
    near = codes >= 0.8 if side == "high" else codes <= 0.2
    return bool(np.any(near)) and float(np.mean(~rows.feasible[near])) > MOST_FAILURES


def _finding(
    evidence: Evidence,
    rows: Rows,
    at: tuple[int, str],
    top: npt.NDArray[np.int64],
    told: tuple[float, int, int, float],
) -> Finding:
    (j, side), (chance, k, of, luck) = at, told
    axis = evidence.space.axes[j]
    parameter = axis.parameter
    assert isinstance(parameter, Float | Int)
    edge = parameter.high if side == "high" else parameter.low
    wider = widened(axis.name, parameter, side)
    least, most = limits(axis.name, parameter)
    says = (
        f"{axis.name} is best at the {'upper' if side == 'high' else 'lower'} end of its range ({edge:g}): "
        f"{k} of the {of} best trials lie in the outer fifth, and the best value lies at the edge or beyond "
        f"with a probability of {100 * chance:.0f} %"
    )
    figures = {"probability": chance, "near": float(k), "top": float(of), "chance": luck, "edge": float(edge)}
    numbers = tuple(n for i in top for n in rows.numbers[i])
    if wider is None:
        limit = most if side == "high" else least
        advice = f"{limit:g} is as far as {axis.name} goes: look at it on another scale, or fix it there"
        return Finding(NAME, Severity.INFO, says, advice, {}, numbers, axis.name, figures)
    assert isinstance(wider, Float | Int)
    advice = f"search {axis.name} from {wider.low:g} to {wider.high:g}"
    return Finding(NAME, Severity.WARN, says, advice, {axis.name: wider}, numbers, axis.name, figures)
