"""Does the validation metric get worse while training goes on? (playbook A5, A6)"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tunebook.analysis.trend import slope, smooth, step_noise
from tunebook.diagnose._curves import contenders, losses, trained
from tunebook.diagnose.base import Evidence, Finding, Severity
from tunebook.trial import Goal, Trial

NAME = "overfit"
SHORTEST = 6
SURE = 0.01
TIMES = 3.0
RELATIVE = 0.02
REGULARISERS = ("dropout", "weight_decay", "smoothing", "l1", "l2", "augment", "mixup", "alpha", "wd")


@dataclass(frozen=True)
class Rise:
    """The rise of a validation loss after its minimum: from ``step`` on by ``rise``; ``noise`` is the sd of a step.

    ``gained`` is what the training had won until then, ``p`` Kendall's p-value for the rise.
    """

    step: int
    rise: float
    noise: float
    gained: float
    p: float

    @property
    def clear(self) -> bool:
        """Whether the rise is more than noise, and more than a fiftieth of what had been gained."""
        if math.isnan(self.noise):
            return False
        return self.p < SURE and self.rise > TIMES * self.noise and self.rise > RELATIVE * self.gained


def rise(trial: Trial, goal: Goal) -> Rise | None:
    """The rise of the validation loss after its minimum; None for a curve of fewer than 6 points.

    Minimum and end are taken from a running mean: the lowest of many noisy points says nothing about their level.
    """
    steps, curve = losses(trial, goal.metric, goal)
    n = len(curve)
    if n < SHORTEST:
        return None
    level = smooth(curve, max(1, n // 8))
    at = int(np.argmin(level))
    end = float(np.mean(curve[-max(2, n // 8) :]))
    return Rise(
        step=int(steps[at]),
        rise=end - float(level[at]),
        noise=step_noise(curve),
        gained=float(curve[0] - level[at]),
        p=slope(steps[at:], curve[at:]).rises,
    )


def overfit(evidence: Evidence) -> list[Finding]:
    """Overfitting among the best trials (most of them), or else in others that would have been better regularised.

    With a training metric in the evidence, a rise counts only where the training loss kept falling meanwhile.
    """
    goal = evidence.goal
    whole, best = trained(evidence), contenders(evidence)
    judged = [(t, r) for t in best if (r := rise(t, goal)) is not None]
    bad = [(t, r) for t, r in judged if r.clear and _still_learning(t, evidence, r)]
    if judged and len(bad) > 0.5 * len(judged):
        return [_of_the_best(evidence, judged, bad)]
    rest = [(t, r) for t in whole if (r := rise(t, goal)) is not None]
    others = [(t, r) for t, r in rest if r.clear and _still_learning(t, evidence, r)]
    return [_of_others(len(rest), others)] if len(rest) >= 5 and len(others) > 0.5 * len(rest) else []


def _still_learning(trial: Trial, evidence: Evidence, told: Rise) -> bool:
    """Whether the training loss is lower at the end than where validation was best (True if it is not reported)."""
    if evidence.train is None:
        return True
    steps, curve = losses(trial, evidence.train, evidence.goal)
    after = curve[steps >= told.step]
    if len(after) < 2:
        return True
    return float(np.mean(after[-max(1, len(after) // 4) :])) <= float(after[0]) + step_noise(curve)


def gap(trial: Trial, evidence: Evidence) -> float:
    """Validation loss minus training loss at the last step; NaN without a training metric."""
    if evidence.train is None:
        return math.nan
    _, validation = losses(trial, evidence.goal.metric, evidence.goal)
    _, training = losses(trial, evidence.train, evidence.goal)
    return float(validation[-1] - training[-1]) if len(validation) and len(training) else math.nan


def _of_the_best(evidence: Evidence, judged: list[tuple[Trial, Rise]], bad: list[tuple[Trial, Rise]]) -> Finding:
    middle = sorted(bad, key=lambda b: b[1].rise)[len(bad) // 2][1]
    step = int(np.median([r.step for _, r in bad]))
    metric = evidence.goal.metric
    says = (
        f"{len(bad)} of the {len(judged)} best trials overfit: their {metric} is best around step {step} of "
        f"{max(t.step for t, _ in bad)} and then gets worse by {middle.rise:.3g} (a step's noise: {middle.noise:.2g})"
    )
    gaps = [g for t, _ in bad if math.isfinite(g := gap(t, evidence))]
    if gaps:
        says += f"; in the end training is better than validation by {float(np.median(gaps)):.3g}"
    there = [n for n in evidence.space.names if any(r in n.lower() for r in REGULARISERS)]
    if there:
        advice = f"search stronger regularisation ({', '.join(there)}), or keep the best checkpoint, and compare again"
    else:
        advice = "add dropout, weight decay, label smoothing or augmentation to the space, and compare again"
    figures = {
        "share": len(bad) / len(judged),
        "rise": middle.rise,
        "noise": middle.noise,
        "step": float(step),
        "gap": float(np.median(gaps)) if gaps else math.nan,
    }
    return Finding(NAME, Severity.WARN, says, advice, {}, tuple(t.number for t, _ in bad), None, figures)


def _of_others(of: int, bad: list[tuple[Trial, Rise]]) -> Finding:
    says = (
        f"{len(bad)} of {of} trials overfit, though not the best ones: "
        "without regularisation the comparison favours those that learn slowly"
    )
    advice = "tune regularisation apart from the learning rate before comparing"
    figures = {"share": len(bad) / of}
    return Finding(NAME, Severity.INFO, says, advice, {}, tuple(t.number for t, _ in bad), None, figures)
