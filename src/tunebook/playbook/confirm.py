"""Confirm: is the winner really better than the baseline, or was it lucky?

The best of many noisy values is biased, so finalists and the baseline are trained again on seeds that the search never
used, the same seeds for all. A finalist is adopted only if its difference from the baseline is separable from noise.

With limits a finalist must keep them too, by its means over the seeds; a baseline that does not is no alternative, and
the best finalist that does is adopted. With several goals the finalists stand for the front: the best in each goal, the
knee, and what lies between; the first goal chooses what to use among them.

Of a table's models the one that is better on these draws is used in any case: both are trained already, and the better
mean is the better bet. Whether the difference is separable is said all the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tunebook.analysis.compare import Comparison, compare
from tunebook.errors import many
from tunebook.outcomes import Outcome, amount, front, front_of, outcome_of
from tunebook.pareto import standing_for
from tunebook.playbook.base import Base, Conclusion, Round, Stage, fit, ranked, tell_change
from tunebook.playbook.limits import nearest_to_limits
from tunebook.space import Config
from tunebook.trial import Context, Status, Trial, Trials, config_key

PART = 0.3
SEEDS = 5
DRAWS = 2  # of folds: each gives as many values as there are folds
FEWEST_SEEDS = 3
FINALISTS = 2
WITHIN_LIMITS = 3  # finalists, as some that kept them once will not keep them again
OF_A_FRONT = 4
LEVEL = 0.95
MOST_ROUNDS = 2
_Values = Mapping[tuple[int, int], float]
_NAMES = ("confirm", *(f"confirm-{i}" for i in range(2, MOST_ROUNDS + 1)))


def reserve(base: Base) -> int:
    """Trials kept back for confirmation and the final training."""
    most = (FINALISTS + 1) * SEEDS + 2 * SEEDS
    return min(most, max(2 * FEWEST_SEEDS, base.part(PART))) + base.final


class Confirm(Stage):
    """Finalists and baseline on fresh seeds, more seeds while they cannot be told apart and the budget lasts."""

    name = "confirm"

    def design(self, base: Base, trials: Trials) -> Round | None:
        left, before = base.left(trials) - base.final, _rounds(base, trials)
        if not before and base.goal.limits and nearest_to_limits(base.goal, base.baseline, trials):
            return Round(base.called(self.name), "Is there anything that keeps the limits?", base.space, base.goal,
                         base.steps, 0)  # fmt: skip
        told = _repeats(base, trials)
        tried = _tried(base, told)
        more = any(not _broken(base, told, c) for c in tried)
        new = [] if more else _affordable(base, _finalists(base, trials, tried), left)
        contenders = [base.baseline, base.config] if more else new
        seeds = min(DRAWS if base.folds else SEEDS, left // max(1, len(contenders)))
        if len(contenders) < 2 or seeds < (1 if more else 2) or len(before) >= MOST_ROUNDS:
            return None
        first = len({t.context.seed for t in trials.values() if is_repeat(t)})
        draws = range(first, first + seeds)
        contexts = [Context(seed=base.fresh_seed(i), fold=i + 1 if base.folds else 0) for i in draws]
        runs = tuple((config, context) for context in contexts for config in contenders)
        name = base.called(_NAMES[len(before)])
        fresh = "draws of the folds" if base.folds else "seeds"
        question = f"Is a finalist really better than the baseline, on {seeds} {fresh} that the search never saw?"
        return Round(name, question, base.space, base.goal, base.steps, len(runs), "listed", "full", runs,
                     share=0.95)  # fmt: skip

    def conclude(self, base: Base, round: Round, trials: Trials) -> Conclusion:
        if not round.trials:
            return _nothing_keeps(base, nearest_to_limits(base.goal, base.baseline, trials))
        told = _repeats(base, trials)
        reference, finalists = _by_seed(told, base.baseline, base), _tried(base, told)
        tested = {config_key(c): _compared(base, _by_seed(told, c, base), reference, len(finalists)) for c in finalists}
        results = {key: result for key, result in tested.items() if result is not None}
        sound = [c for c in finalists if config_key(c) in results]
        if (not sound or len(reference) < 2) and base.folds and base.confirmed is None:
            return Conclusion(("Nothing could be confirmed in time: the best of the search is used.",), base)
        if not sound or len(reference) < 2:
            return _kept(base, ["The repeats failed, so nothing can be confirmed."])
        unit = _unit(base, told)
        says = [_told_of_baseline(base, told, list(reference.values()), unit)]
        says += [_tell(base, c, results[config_key(c)], told, unit) for c in sound]
        keeping = [c for c in sound if not _broken(base, told, c)]
        best = min(keeping or sound, key=lambda c: _ahead(base, told, c, results[config_key(c)]))
        result, winner = results[config_key(best)], list(_by_seed(told, best, base).values())
        outcomes = _outcomes(base, told, [base.baseline, *sound])
        figures = {"unit": unit, "baseline": list(reference.values()), "winner": winner,
                   "difference": result.difference, "low": result.low, "high": result.high,
                   "separable": result.adopt, "outcomes": outcomes}  # fmt: skip
        # no time may be left for the runs that the budget would allow
        ran = bool(trials.count(round.name)) and len(_rounds(base, trials)) < MOST_ROUNDS
        if not keeping:
            return self._none_keeps(base, trials, says, figures, ran)
        if base.goal.also:
            says.append(_told_of_front(base, outcomes))
        alone = _broken(base, told, base.baseline)
        wins = result.adopt or bool(alone)
        more = not wins and ran and base.left(trials) - base.final >= 2
        if wins:
            why = f"It keeps the limits, and the baseline does not: {', '.join(alone)}."
            why = why if alone else "It is separably better than the baseline."
            says.append(f"Adopted: {tell_change(best, base.baseline)}. {why}")
        elif more:
            says.append("The best finalist and the baseline cannot be told apart yet: "
                        f"more {'draws' if base.folds else 'seeds'}.")
        else:
            says.append("No finalist is separably better than the baseline here.")
        ahead = base.folds and base.goal.loss(result.difference) < 0 and base.confirmed is None
        if not wins and not more and ahead:
            says.append(f"Used all the same, for its better mean: {tell_change(best, base.baseline)}.")
        elif not wins and not more:
            return _kept(base, says, figures)
        return Conclusion(tuple(says), replace(base, config=best, adopted=wins), again=more, figures=figures)

    def _none_keeps(
        self, base: Base, trials: Trials, says: Sequence[str], figures: Mapping[str, Any], ran: bool
    ) -> Conclusion:
        """What follows when no finalist keeps the limits over fresh seeds: others are tried, while there are some."""
        lost = "No finalist keeps the limits over fresh seeds."
        if ran and self.design(base, trials) is not None:
            return Conclusion((*says, lost, "The next best are tried."), base, again=True, figures=figures)
        told = _repeats(base, trials)
        if base.confirmed is None and _broken(base, told, base.baseline):
            return _nothing_keeps(base, f"{lost[:-1].lower()}, nor does the baseline", says, figures)
        return _kept(base, [*says, lost], figures)


def _nothing_keeps(
    base: Base, why: str, says: Sequence[str] = (), figures: Mapping[str, Any] | None = None
) -> Conclusion:
    """The end of a study that found nothing within the limits."""
    return Conclusion((*says, f"{why[0].upper()}{why[1:]}."), base, stop=why,
                      figures={**(figures or {}), "beyond": True})  # fmt: skip


def _kept(base: Base, says: Sequence[str], figures: Mapping[str, Any] | None = None) -> Conclusion:
    """What stays when nothing could be adopted: the baseline, or what an earlier cycle confirmed, with its figures."""
    if base.confirmed is not None:
        kept = f"What was confirmed before stays: {tell_change(base.confirmed, base.baseline)}."
        return Conclusion((*says, kept), replace(base, config=base.confirmed, adopted=True))
    kept = "The baseline stays: tuning gained nothing here that can be shown."
    return Conclusion((*says, kept), replace(base, config=base.baseline, adopted=False), figures=figures or {})


def _rounds(base: Base, trials: Trials) -> list[str]:
    """Names of the cycle's confirmation rounds so far."""
    return [name for name in map(base.called, _NAMES) if trials.count(name)]


def is_repeat(trial: Trial) -> bool:
    """Whether a trial of a playbook repeats what was to be confirmed."""
    return trial.round.startswith(Confirm.name)


def searched(trials: Iterable[Trial]) -> list[Trial]:
    """Those of a playbook's trials that are no repeats of what was to be confirmed."""
    return [t for t in trials if not is_repeat(t)]


def _repeats(base: Base, trials: Trials) -> list[Trial]:
    """The trials of the cycle's confirmation rounds so far."""
    return [t for name in _rounds(base, trials) for t in trials.of(name)]


def _tried(base: Base, told: Sequence[Trial]) -> list[Config]:
    """The finalists of confirmation rounds: their configurations but the baseline."""
    own = config_key(base.baseline)
    return list({t.key: t.config for t in told if t.key != own}.values())


def _finalists(base: Base, trials: Trials, tried: Sequence[Config] = ()) -> list[Config]:
    """What is to be compared with the baseline: what an earlier cycle confirmed, and the best by single values; of
    several goals those that stand for the front. Those tried already are left out."""
    known, goal = {config_key(c) for c in (base.baseline, *tried)}, base.goal
    most = OF_A_FRONT if goal.also else WITHIN_LIMITS if goal.limits else FINALISTS
    best = ranked(list(trials.values()), goal, base.steps)
    fresh = [t for t in best if config_key(fit(base.space, t.config)) not in known]
    if goal.also:
        fresh = front(fresh, goal)
        fresh = [fresh[i] for i in standing_for(np.array([t.losses(goal) for t in fresh]), most)] if fresh else []
    told = [*([] if base.confirmed is None else [base.confirmed]), *(fit(base.space, t.config) for t in fresh)]
    return list({key: c for c in told if (key := config_key(c)) not in known}.values())[:most]


def _affordable(base: Base, finalists: Sequence[Config], left: int) -> list[Config]:
    """Baseline and as many finalists as can be repeated with all seeds; at least one, with fewer seeds.

    What an earlier cycle confirmed needs somebody to be compared with, or the new trials were in vain.
    """
    least = 2 if base.confirmed is not None and left >= (FINALISTS + 1) * FEWEST_SEEDS else 1
    each = SEEDS if base.goal.plain else FEWEST_SEEDS  # rather a front with fewer seeds than a part of it
    return [base.baseline, *finalists[: max(least, left // each - 1)]]


def _by_seed(trials: Sequence[Trial], config: Config, base: Base) -> dict[tuple[int, int], float]:
    """Values by seed; of a cross-validation by seed and fold, or by seed and part of the rows that are validated on."""
    key = config_key(config)
    mine = [t for t in trials if t.key == key and t.curve and t.status is not Status.FAILED]
    alone = f"fold_{base.goal.metric}"
    if base.folds and any(alone in t.curve[0].metrics for t in mine):
        return {(t.context.seed, m.step): m.metrics[alone] for t in mine for m in t.curve if alone in m.metrics}
    if base.folds:
        mine = [t for t in mine if t.step >= base.steps]
        parts = {(t.context.seed, int(n[4:].partition("_")[0])): v for t in mine for n, v in t.curve[-1].metrics.items()
                 if n.startswith("part") and n.endswith(f"_{base.goal.metric}")}  # fmt: skip
        if parts:
            return parts
    return {(t.context.seed, 0): t.value(base.goal) for t in mine}


def _compared(base: Base, mine: _Values, reference: _Values, rivals: int) -> Comparison | None:
    """The difference from the baseline, at a level that allows for several finalists and several looks.

    By Welch's test over seeds, which is not paired: a seed moves two architectures in unrelated ways, so that pairing
    would only cost degrees of freedom. Over folds, which are hard or easy for all, by the corrected paired test.
    """
    level = 1 - (1 - LEVEL) / max(1, rivals)
    if base.folds:
        both = sorted(mine.keys() & reference.keys())
        a, b = [mine[k] for k in both], [reference[k] for k in both]
        overlap = 1 / (base.folds - 1)
        return compare(a, b, base.goal, level=level, looks=MOST_ROUNDS, paired=True, overlap=overlap) if a[1:] else None
    if len(mine) < 2 or len(reference) < 2:
        return None
    return compare(list(mine.values()), list(reference.values()), base.goal, level=level, looks=MOST_ROUNDS)


def _ahead(base: Base, told: Sequence[Trial], config: Config, result: Comparison | None) -> float:
    """What ranks finalists, as a loss: their mean; of folds the difference from the baseline on the folds of both.

    A finalist that had time for less than half of the folds that another was measured on comes last.
    """
    mine = _by_seed(told, config, base)
    if base.folds and result is not None:
        most = max(len(_by_seed(told, t.config, base)) for t in told if t.key != config_key(base.baseline))
        return base.goal.loss(result.difference) if 2 * len(mine) >= most else math.inf
    return base.goal.loss(_mean(list(mine.values())))


def _unit(base: Base, trials: Sequence[Trial]) -> str:
    """What a value is of: a seed, a fold, or a part of the rows that a large table's models are validated on."""
    if not base.folds:
        return "seed"
    parts = any(name.startswith("part") for t in trials if t.curve for name in t.curve[-1].metrics)
    return "part" if parts else "fold"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _outcome(base: Base, told: Sequence[Trial], config: Config) -> Outcome:
    """What a configuration came to over the repeats."""
    key = config_key(config)
    return outcome_of(config, [t for t in told if t.key == key], base.goal)


def _broken(base: Base, told: Sequence[Trial], config: Config) -> list[str]:
    """The limits that a configuration does not keep, on average over the repeats."""
    return _outcome(base, told, config).broken(base.goal) if base.goal.limits else []


def _outcomes(base: Base, told: Sequence[Trial], configs: Sequence[Config]) -> list[Outcome]:
    """What baseline and finalists came to, where there is more to say of them than the value of one goal."""
    return [] if base.goal.plain else [_outcome(base, told, c) for c in configs]


def _told_of_front(base: Base, outcomes: Sequence[Outcome]) -> str:
    on = [config_key(o.config) for o in front_of(outcomes, base.goal)]
    of = ", the baseline among them" if config_key(base.baseline) in on else ""
    verb = "is" if len(on) == 1 else "are"
    return f"By these means {len(on)} of {len(outcomes)} {verb} on the front{of}; {base.goal.metric} chooses."


def _further(base: Base, told: Sequence[Trial], config: Config) -> str:
    """The means of further goals and limits of a configuration, and what it breaks."""
    if base.goal.plain:
        return ""
    outcome = _outcome(base, told, config)
    means = [f"{n} {amount(v)}" for n, v in outcome.means.items() if n != base.goal.metric]
    broken = outcome.broken(base.goal)
    return "".join([*(f"; {m}" for m in means), f"; beyond {', '.join(broken)}" if broken else ""])


def _told_of_baseline(base: Base, told: Sequence[Trial], values: Sequence[float], unit: str) -> str:
    over = many(len(values), unit)
    return f"Baseline: {base.goal.metric} {_mean(values):.4g} over {over}{_further(base, told, base.baseline)}."


def _tell(base: Base, config: Config, result: Comparison, told: Sequence[Trial], unit: str) -> str:
    values = list(_by_seed(told, config, base).values())
    return (
        f"{tell_change(config, base.baseline)}: {base.goal.metric} {_mean(values):.4g} over {many(len(values), unit)}, "
        f"{result.difference:+.4g} against the baseline (interval {result.low:+.4g} to {result.high:+.4g})"
        f"{_further(base, told, config)}."
    )
