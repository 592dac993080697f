"""Baseline: is the default configuration sane, and what does a training cost?"""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import median

from tunebook.diagnose.base import Finding, Severity
from tunebook.errors import many
from tunebook.outcomes import broken
from tunebook.playbook.base import Base, Conclusion, Round, Stage, of_run, tell_config
from tunebook.trial import Context, Goal, Status, Trial, Trials

# a round of halving trains a configuration for about half of the steps on average
AVERAGE_LENGTH = 0.5
FEWEST_TRIALS = 8


class Baseline(Stage):
    """One training of the default configuration; everything later is measured against it."""

    name = "baseline"

    def design(self, base: Base, trials: Trials) -> Round | None:
        run = (base.space.default, Context(seed=base.fresh_seed(-1 % 2**31)))
        question = "Does the default configuration learn anything, and what does a training cost?"
        return Round("baseline", question, base.space, base.goal, base.steps, 1, runs=(run,), share=0.5)

    def conclude(self, base: Base, round: Round, trials: Trials) -> Conclusion:
        if not trials.count(round.name):
            return Conclusion(("No time was left for a training.",), base, stop="time was up before a training began")
        trial = of_run(round, trials)
        base = replace(base, config=trial.config, baseline=trial.config)
        if trial.status is Status.FAILED and trial.failure is not None:
            failed = f"The default configuration failed ({trial.failure.kind}): {trial.failure.line}."
            advice = "The search goes on, but look at this first: a default should train."
            finding = Finding("baseline", Severity.BAD, failed, advice, trials=(trial.number,))
            return Conclusion((failed,), base, (finding,))
        says = [f"Default: {tell_config(trial.config)}.", _cost(trial)]
        value = trial.value(base.goal)
        says.insert(1, f"It reaches {base.goal.metric} {value:.4g} after {trial.step} of {many(base.steps, 'step')}.")
        if over := broken(trial.values(base.goal), base.goal.limits):
            says.append(f"It is beyond {', '.join(over)}.")
        findings = _against_chance(base, trial, value)
        says += [f.says for f in findings]
        return Conclusion(tuple(says), _budgeted(base, trial), tuple(findings), figures={"value": value})


def _cost(trial: Trial) -> str:
    per = trial.seconds / max(1, len(trial.curve))
    peak = max((m.memory for m in trial.curve), default=0.0)
    return f"A step takes {per:.3g} s" + (f" and the process needs at most {peak:,.0f} MB." if peak else ".")


def beats_chance(goal: Goal, value: float, chance: float | None) -> bool:
    """Whether a value is clearly better than a model that learned nothing; True where chance is unknown.

    By 5 % of it; of what is missing to 1, where a share is to be raised and chance has most of it.
    """
    if chance is None:
        return True
    scale = 1 - chance if 0.5 < chance < 1 and goal.loss(1.0) < goal.loss(0.0) else abs(chance)
    gap = scale * 0.05 or 1e-9
    return goal.loss(value) < goal.loss(chance) - gap


def _against_chance(base: Base, trial: Trial, value: float) -> list[Finding]:
    if base.chance is None:
        return []
    told = f"a model that learned nothing has {base.chance:.4g}"
    if beats_chance(base.goal, value, base.chance):
        return [Finding("chance", Severity.INFO, f"That is better than chance ({told}).", trials=(trial.number,))]
    says = f"The default configuration is no better than chance ({told})."
    advice = "Check the labels, the scaling of the inputs and the loss before trusting any search."
    return [Finding("chance", Severity.BAD, says, advice, trials=(trial.number,))]


def _budgeted(base: Base, trial: Trial) -> Base:
    """A time budget in trials: how many trainings of average length fit into what is left of it."""
    # a process's first step loads what it needs: the other steps say what a training costs
    each = median(m.seconds for m in trial.curve) * len(trial.curve)
    # a table's default is of another family than most of what is tried, and tells nothing of what that costs
    if math.isinf(base.seconds) or each <= 0 or base.folds:
        return base
    fit = int((base.seconds - trial.seconds) * base.workers / (each * AVERAGE_LENGTH))
    return replace(base, total=min(base.total, max(FEWEST_TRIALS, fit)))
