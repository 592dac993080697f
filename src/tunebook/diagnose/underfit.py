"""Do even the best trials fit the training data poorly?"""

from __future__ import annotations

import re

import numpy as np

from tunebook.diagnose._curves import contenders, losses, trained
from tunebook.diagnose.base import Evidence, Finding, Severity
from tunebook.trial import Direction, Goal

NAME = "underfit"
FEWEST = 3
LEFT = 0.25
GAP = 0.25
_PERFECT_ONE = r".*(acc|accuracy|f1|auc|r2|precision|recall|map|iou|dice)(_.*)?"
_PERFECT_ZERO = r".*(loss|error|mse|rmse|mae|nll|entropy|perplexity|brier)(_.*)?"


def perfect(goal: Goal) -> float | None:
    """The loss of a perfect fit, from the metric's name: that of accuracy 1, of error 0; None for unknown names."""
    name = goal.metric.lower()
    if goal.direction is Direction.MAXIMIZE and re.fullmatch(_PERFECT_ONE, name):
        return goal.loss(1.0)
    if goal.direction is Direction.MINIMIZE and re.fullmatch(_PERFECT_ZERO, name):
        return 0.0
    return None


def underfit(evidence: Evidence) -> list[Finding]:
    """The best trials leave a quarter or more of the way from chance to perfection on their own training data, and do
    as well on validation: capacity or training is lacking, or the data hold no more.

    Needs a training metric, and a goal whose perfect value is known. Chance is taken from the evidence, or else from
    the worst tenth of first measurements.
    """
    ideal = perfect(evidence.goal)
    if evidence.train is None or ideal is None:
        return []
    ends = []
    for t in contenders(evidence):
        _, training = losses(t, evidence.train, evidence.goal)
        _, validation = losses(t, evidence.goal.metric, evidence.goal)
        if len(training) and len(validation):
            last = max(1, len(training) // 10)
            ends.append((t.number, float(np.mean(training[-last:])), float(np.mean(validation[-last:]))))
    if len(ends) < FEWEST:
        return []
    scale = _chance(evidence, evidence.train) - ideal
    if not scale > 0:
        return []
    left = np.array([training - ideal for _, training, _ in ends])
    gaps = np.array([validation - training for _, training, validation in ends])
    bad = (left > LEFT * scale) & (gaps < GAP * left)
    if np.mean(bad) <= 0.5:
        return []
    share, gap = float(np.median(left)) / scale, float(np.median(gaps))
    reached = evidence.goal.value(float(np.median([training for _, training, _ in ends])))
    says = (
        f"the best trials reach a {evidence.goal.metric} of only {reached:.3g} on their own training data "
        f"({100 * share:.0f} % of the way from chance to perfect is left) and no worse on validation"
    )
    advice = (
        "raise the model's capacity or the number of steps, or lower regularisation; "
        "if that changes nothing, the data hold no more"
    )
    figures = {"left": share, "gap": gap, "train": reached}
    return [Finding(NAME, Severity.WARN, says, advice, {}, tuple(n for n, _, _ in ends), None, figures)]


def _chance(evidence: Evidence, train: str) -> float:
    """Loss of a predictor that ignores its input."""
    if evidence.chance is not None:
        return evidence.goal.loss(evidence.chance)
    first = [v[0] for t in trained(evidence) if len(v := losses(t, train, evidence.goal)[1])]
    return float(np.quantile(first, 0.9)) if first else float("nan")
