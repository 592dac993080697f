"""Are trainings too long or too short? (playbook A8, A9)"""

from __future__ import annotations

import math

import numpy as np

from tunebook.analysis.trend import slope, smooth, step_noise
from tunebook.diagnose._curves import contenders, losses
from tunebook.diagnose.base import Evidence, Finding, Severity
from tunebook.space import Array
from tunebook.trial import Trial

NAME = "saturation"
SHORTEST = 10
FEWEST = 3
LATE = 0.25
EARLY = 0.25
SURE = 0.05
RELATIVE = 0.01


def saturation(evidence: Evidence) -> list[Finding]:
    """Whether the best trials still improve at their end, or had settled within the first quarter.

    Both need at least 3 of the best trials with 10 measurements, and most of them alike.
    """
    told = [(t, *losses(t, evidence.goal.metric, evidence.goal)) for t in contenders(evidence)]
    told = [(t, s, v) for t, s, v in told if len(v) >= SHORTEST]
    if len(told) < FEWEST:
        return []
    gains = [still_gaining(s, v) for _, s, v in told]
    trials = [t for t, _, _ in told]
    if np.mean([g > 0 for g in gains]) > 0.6:
        return [_late(evidence, trials, gains)]
    settled = [settled_at(s, v) for _, s, v in told]
    early = [step <= EARLY * t.step for step, t in zip(settled, trials, strict=True)]
    return [_early(evidence, trials, settled)] if np.mean(early) >= 0.8 else []


def still_gaining(steps: Array, curve: Array) -> float:
    """What a loss curve (n,) would win in another quarter of its steps at its present slope; 0 if that is not clear.

    Clear: the last quarter falls (Kendall, p < 0.05), and goes on to win at least a hundredth of all that was gained.
    """
    n = max(5, math.ceil(LATE * len(curve)))
    last = slope(steps[-n:], curve[-n:])
    gain = -last.value * float(steps[-1] - steps[-n])
    gained = float(curve[0] - np.min(smooth(curve, max(1, len(curve) // 8))))
    return gain if last.falls < SURE and gain > RELATIVE * gained else 0.0


def settled_at(steps: Array, curve: Array) -> float:
    """The step from which on a loss curve (n,) wins nothing more than its noise, or a hundredth of the whole gain."""
    window = max(3, len(curve) // 8)
    level = smooth(curve, window)
    noise = step_noise(curve)
    half = len(curve) // 2
    wander = level[half:] - np.polyval(np.polyfit(steps[half:], level[half:], 1), steps[half:])  # noise may be sluggish
    slack = max(
        2.5 * noise / math.sqrt(window), 2.0 * float(np.std(wander)), RELATIVE * float(curve[0] - np.min(level))
    )
    return float(steps[int(np.argmax(level <= np.min(level) + slack))])


def _late(evidence: Evidence, trials: list[Trial], gains: list[float]) -> Finding:
    gain = float(np.median([g for g in gains if g > 0]))
    k = sum(g > 0 for g in gains)
    says = (
        f"{k} of the {len(trials)} best trials still improve at their end: at this slope "
        f"a quarter more steps would bring about {gain:.2g} in {evidence.goal.metric}"
    )
    advice = "train longer, and retune the learning rate's decay with it"
    figures = {"share": k / len(trials), "gain": gain, "steps": float(max(t.step for t in trials))}
    return Finding(NAME, Severity.WARN, says, advice, {}, tuple(t.number for t in trials), None, figures)


def _early(evidence: Evidence, trials: list[Trial], settled: list[float]) -> Finding:
    step, last = float(np.median(settled)), max(t.step for t in trials)
    says = f"the best trials gain nothing more after step {step:.0f} of {last}"
    advice = f"{math.ceil(1.5 * step)} steps would do, and leave time for more trials"
    figures = {"settled": step, "steps": float(last)}
    return Finding(NAME, Severity.INFO, says, advice, {}, tuple(t.number for t in trials), None, figures)
