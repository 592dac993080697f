"""Where do trials fail, and can that region be cut off? (playbook A4)"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from tunebook.diagnose.base import Evidence, Finding, Severity
from tunebook.diagnose.ranges import narrowed, parents
from tunebook.diagnose.stump import Stump, best_stump
from tunebook.space import Choice, Float, Int, Parameter
from tunebook.trial import FailureKind, Goal, Status, Trial

NAME = "divergence"
SURE = 0.05
MOSTLY = 0.6
LEAST_BAD = 3
TOO_MANY = 0.5
LEAST_LEFT = 0.15
_SORTS: dict[str, tuple[tuple[FailureKind, ...], str, str]] = {
    "diverged": ((FailureKind.DIVERGED,), "diverge", "the step is too large for these settings"),
    "memory": ((FailureKind.OOM_CPU, FailureKind.OOM_GPU), "run out of memory", "these settings do not fit"),
    "time": ((FailureKind.TIMEOUT, FailureKind.STALLED), "run out of time", "these settings are too slow"),
    "error": ((FailureKind.USER_ERROR,), "raise an error", "read the message of the first of them"),
}


def divergence(evidence: Evidence) -> list[Finding]:
    """Failures, sorted by what went wrong: how many, and the cut that holds most of them, as a narrower range.

    A training counts as diverged too when its last loss is not finite, far worse than its own first, or worse than
    chance by more than the best is better. The cut must be
    better than any cut of randomly chosen failures (p < 0.05), at least 60 % of the trials beyond it must have failed,
    and the best trial must not lie there. Failures without a cut in more than half of the trials look like a bug.
    """
    told = [(t, c) for t in evidence.trials if (c := evidence.space.adapt(t.config)) is not None and _over(t)]
    if not told:
        return []
    X = evidence.space.encode([c for _, c in told])
    hopeless = _hopeless(evidence, [t for t, _ in told])
    sorts = [sort_of(t, evidence.goal, hopeless) for t, _ in told]
    losses = [math.inf if s else t.loss(evidence.goal) for (t, _), s in zip(told, sorts, strict=True)]
    best = int(np.argmin(losses)) if math.isfinite(min(losses)) else None
    found = []
    for sort in _SORTS:
        bad = np.array([s == sort for s in sorts])
        if not np.any(bad):
            continue
        # other failures say nothing about this one
        judged = bad | np.array([s == "" for s in sorts])
        stump = best_stump(evidence.space, X[judged], bad[judged])
        numbers = tuple(t.number for (t, _), b in zip(told, bad, strict=True) if b)
        if stump is not None and _holds(stump, None if best is None else float(X[best, stump.axis])):
            found.append(_region(evidence, sort, stump, numbers))
        elif np.mean(bad) > TOO_MANY and len(bad) >= LEAST_BAD:
            found.append(_everywhere(sort, [t for t, _ in told], numbers))
        else:
            found.append(_scattered(sort, len(bad), numbers))
    return found


def _over(t: Trial) -> bool:
    return not t.context.final and (t.status is Status.FAILED or (bool(t.curve) and t.status is not Status.RUNNING))


def _hopeless(evidence: Evidence, trials: Sequence[Trial]) -> float:
    """The loss that is as far from chance as the best one, on the wrong side; inf where chance is not known."""
    best = min(t.loss(evidence.goal) for t in trials)
    if evidence.chance is None or not math.isfinite(best):
        return math.inf
    chance = evidence.goal.loss(evidence.chance)
    return chance + (chance - best) if best < chance else math.inf


def sort_of(trial: Trial, goal: Goal, hopeless: float = math.inf) -> str:
    """What went wrong: "diverged", "memory", "time" or "error"; "" for nothing, or for what the machine did."""
    if trial.status is Status.FAILED and trial.failure is not None:
        for sort, (kinds, _, _) in _SORTS.items():
            if trial.failure.kind in kinds:
                return sort
        return ""
    told = [m.metrics[goal.metric] for m in trial.curve if goal.metric in m.metrics]
    if not told:
        return ""
    if not math.isfinite(told[-1]) or goal.loss(told[-1]) > hopeless:
        return "diverged"
    losses = [goal.loss(v) for v in told if math.isfinite(v)]
    first, last, gained = losses[0], losses[-1], losses[0] - min(losses)
    return "diverged" if last - first > 10.0 * max(gained, 0.1 * abs(first)) > 0 else ""


def _holds(stump: Stump, best: float | None) -> bool:
    share = stump.inside / stump.inside_of
    if stump.p >= SURE or share < MOSTLY or stump.inside < LEAST_BAD:
        return False
    if best is None or math.isnan(best):
        return True
    if stump.side == "is":
        return abs(best - stump.cut) > 1e-9
    return best < stump.cut if stump.side == "high" else best > stump.cut


def _region(evidence: Evidence, sort: str, stump: Stump, numbers: tuple[int, ...]) -> Finding:
    axis = evidence.space.axes[stump.axis]
    share = stump.inside / stump.inside_of
    rest = stump.outside / stump.outside_of
    _, verb, why = _SORTS[sort]
    if stump.side == "is":
        where = f"{axis.name} = {stump.value!r}"
    else:
        where = f"{axis.name} {'>' if stump.side == 'high' else '<'} {_value(axis.parameter, stump.cut)}"
    says = (
        f"{where}: {stump.inside} of {stump.inside_of} trials {verb} ({100 * share:.0f} %), "
        f"{stump.outside} of {stump.outside_of} elsewhere ({100 * rest:.0f} %)"
    )
    cut = _cut(evidence, stump)
    kept = f"{why}; the range stays, too little would be left" if cut is None else f"cut that region off: {why}"
    figures = {"share": share, "rest": rest, "p": stump.p, "cut": stump.cut, "trials": float(len(numbers))}
    proposal = {} if cut is None else {axis.name: cut}
    return Finding(NAME, Severity.WARN, says, kept, proposal, numbers, axis.name, figures)


def _value(parameter: Parameter, code: float) -> str:
    """The value at a code, for people; between two values of a lattice, the lower."""
    value = parameter.decode(code)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _cut(evidence: Evidence, stump: Stump) -> Parameter | None:
    """The range without the region; None if others hang on the values, or too little would be left."""
    axis = evidence.space.axes[stump.axis]
    parameter = axis.parameter
    if axis.name in parents(evidence.space):
        return None
    if isinstance(parameter, Choice):
        kept = _options_left(parameter, stump)
        default = parameter.default if parameter.default in kept else None
        return Choice(kept, parameter.ordered, default) if len(kept) >= 2 else None
    assert isinstance(parameter, Float | Int)
    left = stump.cut if stump.side == "high" else 1.0 - stump.cut
    if left < LEAST_LEFT:
        return None
    return narrowed(parameter, 0.0, stump.cut) if stump.side == "high" else narrowed(parameter, stump.cut, 1.0)


def _options_left(parameter: Choice, stump: Stump) -> tuple[str | int | float | bool | None, ...]:
    options = tuple(parameter.options)
    codes = [parameter.encode(o) for o in options]
    if stump.side == "is":
        return tuple(o for o, c in zip(options, codes, strict=True) if abs(c - stump.cut) > 1e-9)
    return tuple(o for o, c in zip(options, codes, strict=True) if (c < stump.cut) == (stump.side == "high"))


def _everywhere(sort: str, trials: Sequence[Trial], numbers: tuple[int, ...]) -> Finding:
    _, verb, _ = _SORTS[sort]
    messages = Counter(t.failure.message for t in trials if t.number in set(numbers) and t.failure is not None)
    says = f"{len(numbers)} of {len(trials)} trials {verb}, in all parts of the space"
    if messages:
        message, times = messages.most_common(1)[0]
        says += f"; {times} times: {message[:200]}"
    share = len(numbers) / len(trials)
    advice = "this looks like a bug in the training or the data rather than a bad region: run one trial by itself"
    return Finding(NAME, Severity.BAD, says, advice, {}, numbers, None, {"share": share, "trials": float(len(numbers))})


def _scattered(sort: str, of: int, numbers: tuple[int, ...]) -> Finding:
    says = f"{len(numbers)} of {of} trials {_SORTS[sort][1]}; no single hyperparameter tells which"
    share = len(numbers) / of
    severity = Severity.WARN if share > 0.2 else Severity.INFO
    return Finding(NAME, severity, says, "", {}, numbers, None, {"share": share, "trials": float(len(numbers))})
