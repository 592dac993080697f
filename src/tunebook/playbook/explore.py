"""Explore and refine: what matters, where is it good, and is the space the right one?

Exploration is quasi-random on purpose: every trial is placed without regard to the others, so the record can be read
again later with other questions (the playbook's "exploration vs exploitation").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tunebook.diagnose import diagnose
from tunebook.diagnose.base import Evidence, Finding
from tunebook.errors import many
from tunebook.playbook.base import Base, Conclusion, Round, Stage, best_configs, fit, ranked, tell_change
from tunebook.playbook.baseline import beats_chance
from tunebook.playbook.limits import nearest_to_limits
from tunebook.schedulers import scheduler_named
from tunebook.space import Config, Float, Int, Parameter, Space, Value
from tunebook.trial import Trial, Trials

EXPLORE_PART = 0.4
REFINE_PART = 0.15
FOLDS_PART = 0.2  # of the trials of a table's study: families at their defaults come first, which are known to be good
FEWEST = 4
STEPS_FOR_HALVING = 9


def scheduler_for(base: Base, usual: str) -> str:
    """The ``usual`` scheduler; folds are a race. None is cut short that another goal, or a limit that may still be
    kept, could be the reason to use."""
    if not base.goal.early_enough:
        return "full"
    return "race" if base.folds else usual


def _coarse(base: Base) -> str:
    """The scheduler of an even spread; short trainings are not worth cutting."""
    return scheduler_for(base, "halving" if base.steps >= STEPS_FOR_HALVING else "full")


def explore_part(base: Base) -> float:
    """The share of the trials that look everywhere."""
    return FOLDS_PART if base.folds else EXPLORE_PART


def refine_part(base: Base) -> float:
    """The share of the trials that look at the refined space; none of folds, where a round's end leaves cores idle, and
    of several goals: what makes no difference to one may be what another is about."""
    return 0.0 if base.folds or base.goal.also else REFINE_PART


def how(round: Round, trials: Sequence[Trial]) -> list[str]:
    """What the scheduler did with a round's trials and why, where there is more to say than its name."""
    told = scheduler_named(round.scheduler, round.goal, round.steps).why(trials)
    return [told] if told else []


def evidence_of(base: Base, trials: Trials, space: Space) -> Evidence:
    """What the checks look at: every search trial so far, whatever its round."""
    train = f"train_{base.goal.metric}"
    told = [t for t in trials.values() if not t.context.final]
    reported = any(train in t.curve[-1].metrics for t in told if t.curve)
    return Evidence(told, space, base.goal, base.steps, train if reported else None, base.chance)


def leading(base: Base, best: Sequence[Trial]) -> Config:
    """What leads: the best trial's configuration, unless an earlier cycle confirmed one."""
    return fit(base.space, best[0].config) if base.confirmed is None else base.confirmed


class Explore(Stage):
    """Quasi-random trials over the whole space, with halving."""

    name = "explore"

    def design(self, base: Base, trials: Trials) -> Round | None:
        n = min(base.left(trials), max(FEWEST, base.part(explore_part(base))))
        if n < 1 or base.space.dim == 0:
            return None
        question = "Where is its one hyperparameter good, what goes wrong?"
        if base.space.dim > 1:
            question = f"Which of {base.space.dim} hyperparameters matter, where are they good, what goes wrong?"
        return Round(base.called(self.name), question, base.space, base.goal, base.steps, n, "quasi",
                     _coarse(base), scientific=base.space.names, fixed=base.space.constants,
                     share=0.3 if base.folds else 0.4)  # fmt: skip

    def conclude(self, base: Base, round: Round, trials: Trials) -> Conclusion:
        best = ranked(list(trials.values()), base.goal, base.steps)
        findings = tuple(diagnose(evidence_of(base, trials, round.space)))
        told = trials.of(round.name)
        says = [f"{many(len(told), 'trial')} ran, {sum(t.failure is not None for t in told)} failed."]
        says += how(round, told)
        if not best and (near := nearest_to_limits(base.goal, base.baseline, trials)):
            return Conclusion((*says, f"So far {near}."), base, findings)
        if not best:
            return Conclusion((*says, "Nothing succeeded."), base, findings, stop="no trial succeeded")
        value = best[0].value(base.goal)
        says.append(f"Best so far: {base.goal.metric} {value:.4g} with {tell_change(best[0].config, base.baseline)}.")
        free = replace(base.goal, limits=())  # what keeps the limits may be poor although there is much to learn
        most = ranked(list(trials.values()), free, base.steps)[0].value(free)
        if not beats_chance(base.goal, most, base.chance):
            stop = "no configuration is better than chance: look at the data and the loss before tuning"
            says.append(stop.capitalize() + ".")
            # on a table the little that can be learned may be all there is, and is found by looking on
            if told and not base.folds:
                return Conclusion(tuple(says), base, findings, stop=stop)
        return Conclusion(tuple(says), replace(base, config=leading(base, best)), findings)


class Refine(Stage):
    """Widen where the best trials crowd a bound, narrow to where they are, freeze what does not matter.

    Trials of the old space keep counting. A few quasi-random trials look at the new space.
    """

    name = "refine"

    def design(self, base: Base, trials: Trials) -> Round | None:
        if base.space.dim == 0 or base.goal.also or not ranked(list(trials.values()), base.goal, base.steps):
            return None
        space = refined(base, trials)[0]
        n = min(base.left(trials), base.part(refine_part(base)))
        n = n if n >= FEWEST and space.dim else 0
        question = "Was the space right: must it be wider, may it be narrower, what can be fixed?"
        return Round(base.called(self.name), question, space, base.goal, base.steps, n, "quasi",
                     _coarse(base), scientific=space.names, fixed=space.constants, share=0.55)  # fmt: skip

    def conclude(self, base: Base, round: Round, trials: Trials) -> Conclusion:
        before = trials.only({t.round for t in trials.values()} - {round.name})
        _, changes, findings = refined(base, before)
        says = [_tell_change(base.space, name, new) for name, new in changes.items()]
        says = says or ["The space stays as it is: nothing in these trials argues for a change."]
        told = trials.of(round.name)
        if told:
            says.append(f"{many(len(told), 'trial')} looked at the new space; the {len(before)} before keep counting.")
        best = ranked(list(trials.values()), base.goal, base.steps)[0]
        value, which = best.value(base.goal), tell_change(best.config, base.baseline)
        says.append(f"Best so far: {base.goal.metric} {value:.4g} with {which}.")
        return Conclusion(tuple(says), replace(base, space=round.space, config=leading(base, [best])), findings)


def refined(base: Base, trials: Trials) -> tuple[Space, Mapping[str, Parameter | Value], tuple[Finding, ...]]:
    """The space with every sound proposal adopted; a proposal to widen wins over one to narrow the same axis."""
    changes: dict[str, Parameter | Value] = {}
    used: list[Finding] = []
    findings = [f for f in diagnose(evidence_of(base, trials, base.space)) if f.proposal]
    for finding in sorted(findings, key=lambda f: f.check != "boundary"):
        new = {n: p for n, p in finding.proposal.items() if n in base.space.parameters and n not in changes}
        if new:
            changes |= new
            used.append(finding)
    space = base.space.updated(changes)
    best = best_configs(list(trials.values()), base.goal, base.steps, 1)
    if best and space.adapt(best[0]) is None:
        # never refine the best known configuration away
        return base.space, {}, tuple(used)
    return space, changes, tuple(used)


def _tell_change(space: Space, name: str, new: Parameter | Value) -> str:
    old = space.parameters[name]
    if isinstance(new, Float | Int) and isinstance(old, Float | Int):
        wider = new.low < old.low or new.high > old.high
        verb = "widened" if wider else "narrowed"
        return f"{name} is {verb} from [{old.low:.4g}, {old.high:.4g}] to [{new.low:.4g}, {new.high:.4g}]."
    if isinstance(new, Parameter):
        return f"{name} is changed to {new.as_dict()}."
    told = f"{new:.4g}" if isinstance(new, float) else str(new)
    return f"{name} is fixed at {told}: it makes no difference that these trials can show."
