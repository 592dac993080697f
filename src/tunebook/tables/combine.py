"""The final model: the best configuration alone, an ensemble of several, or a bag of one, and what each would cost.

An ensemble is adopted where it is better than the best configuration, both chosen without the rows that they are
scored on, and either separably so (the interval of the difference excludes 0) or at a cost that hardly matters: at most
250 ms more to predict 1,000 rows and 100 MiB more on disk. A bag must be separably better: its models are trained on
fewer rows than the final model, which the comparison does not see.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tunebook.ensembles import Judged, Predictions, bagged, best, compared, cross_fitted, greedy, selection_loss
from tunebook.ensembles.base import Combination
from tunebook.ensembles.judge import BAGGING, METHODS
from tunebook.errors import DataError
from tunebook.jobs import search_of
from tunebook.learners import load_model
from tunebook.learners.base import MODEL
from tunebook.learners.ensemble import KIND, save_ensemble
from tunebook.metrics import METRICS, Metric
from tunebook.playbook import Base, Chapter, Round
from tunebook.record import PLAN, Record
from tunebook.sealed import read_card
from tunebook.space import Config, Space
from tunebook.study import Study
from tunebook.tables.library import ENSEMBLE, all_draws, latency, library, refit_seconds
from tunebook.tables.subject import Table, table_noted
from tunebook.trial import Context, Goal, Status, Trial, config_key

GREEDY = "greedy selection"
SINGLE = "single"  # folder of the final model where an ensemble took its place
TAIL = 1.5  # seconds for what comes after the last training
PACKED = 0.6  # of the time of all workers that trainings fill, as far as their folds tell: to save a model takes time
SLOWER, LARGER = 0.25, 100 * 2**20  # seconds for 1,000 rows and bytes that hardly matter
ROWS = 1_000
_Run = tuple[Config, Context]


@dataclass(frozen=True)
class Proposal:
    """A combination that may take the final model's place: what is to be trained, with weights, and what it gains."""

    kind: str
    runs: tuple[_Run, ...]
    weights: tuple[float, ...]
    judged: Judged
    outputs: np.ndarray[Any, Any]  # its out-of-fold predictions
    loss: float  # by what it is chosen, on rows that it was not fitted on
    gain: float  # how much lower that is than the loss of one model


@dataclass(frozen=True)
class Chosen:
    """The final model's out-of-fold predictions and the truth."""

    outputs: np.ndarray[Any, Any]
    truth: np.ndarray[Any, Any]


def ensembled(study: Study, table: Table, told: Sequence[Chapter], trained: Path, ended: float) -> Chosen | None:
    """Put an ensemble of the study's best configurations in place of the final model, by the rule above.

    Members are trained on all that may be learned from, those with the largest weights first, as far as time allows;
    what it came to is noted. Returns what is known of the final model's predictions, None where that is nothing.
    """
    base = told[-1].conclusion.base
    known = library(study.folder, study.trials, table, base.goal, [base.config])
    if known is None or config_key(base.config) not in [config_key(c) for c in known[1]]:
        return None
    predictions, configs = known
    at = [config_key(c) for c in configs].index(config_key(base.config))
    alone = Chosen(predictions.P[at], predictions.truth)
    if ENSEMBLE in study.trials.notes:
        return alone if read_card(trained).get("kind") != KIND else None
    proposals = _proposed(study, table, base, predictions, configs, ended)
    better = [p for p in proposals if p.gain > 0 and not _loses(p, base.goal)]
    first = min(better or proposals, key=lambda p: p.loss, default=None)
    if first is None or not better:
        study.note(ENSEMBLE, _noted(first, False, "no combination is better than the best configuration alone"))
        return alone
    return _adopted(study, table, base, first, trained, ended) or alone


def _loses(proposal: Proposal, goal: Goal) -> bool:
    """Whether it is separably worse, by the goal's own metric."""
    return proposal.judged.separable and goal.loss(proposal.judged.difference) > 0


def _proposed(
    study: Study, table: Table, base: Base, predictions: Predictions, configs: Sequence[Config], ended: float
) -> list[Proposal]:
    metric = METRICS[base.goal.metric]
    seed = int(np.random.SeedSequence([study.seed, 1_000_004]).generate_state(1)[0])
    told = list[Proposal]()
    if len(configs) > 1 and len(predictions.truth) >= ROWS // 50:
        costs, budget = _costs(study, table, base, configs, ended)

        def affordable(some: Predictions, metric: Metric) -> Combination:
            return greedy(some, metric, costs, budget)

        judged = compared(predictions, metric, {"best single": best, GREEDY: affordable})[1]
        one, many = (selection_loss(metric, predictions.truth, cross_fitted(m, predictions, metric))
                     for m in (best, affordable))  # fmt: skip
        combination = greedy(predictions, metric, costs, budget)
        w = combination.weights
        chosen = [int(i) for i in np.argsort(-w, kind="stable") if w[i] > 0]
        runs = tuple((configs[i], Context(seed=seed, final=True)) for i in chosen)
        told.append(Proposal(GREEDY, runs, tuple(float(w[i]) for i in chosen), judged,
                             combination.predict(predictions.P), many, one - many))  # fmt: skip
    known = all_draws(study.folder, study.trials, table, base.config)
    if known is not None:
        k = table.folds.k
        bag = tuple((base.config, Context(seed=seed, fold=i, final=True)) for i in range(1, k + 1))
        judged = bagged(known, metric, k)
        if judged.separable:
            together = known.P.mean(axis=0)
            one = float(np.mean([selection_loss(metric, known.truth, p) for p in known.P]))
            many = selection_loss(metric, known.truth, together)
            told.append(Proposal(BAGGING, bag, (1 / k,) * k, judged, together, many, one - many))
    return told


def _costs(
    study: Study, table: Table, base: Base, configs: Sequence[Config], ended: float
) -> tuple[list[float], float]:
    """Seconds of a worker to train each configuration, inf where it ends too late; and how many there are in all."""
    known = _refits(study, table)
    left = PACKED * (ended - time.monotonic() - TAIL)
    costs = [0.0 if config_key(c) == config_key(base.config) else known.get(config_key(c), math.inf) for c in configs]
    return [c if c <= left else math.inf for c in costs], left * _workers(study)


def _refits(study: Study, table: Table) -> dict[str, float]:
    return {t.key: refit_seconds(t, table) for t in study.trials.values()
            if t.status is Status.COMPLETED and not t.context.final}  # fmt: skip


def _workers(study: Study) -> int:
    return max(1, study.executor.capacity if study.executor else 1)


def _adopted(study: Study, table: Table, base: Base, proposal: Proposal, trained: Path, ended: float) -> Chosen | None:
    """Train what is proposed, and put it in the final model's place if it may cost what it does; None if not."""
    places = _trained(study, table, base, proposal, trained, ended)
    kept = [(place, w) for place, w in zip(places, proposal.weights, strict=True) if place is not None]
    if (proposal.kind == BAGGING and len(kept) < len(places)) or not kept:
        study.note(ENSEMBLE, _noted(proposal, False, "there was no time to train its members"))
        return None
    total = sum(w for _, w in kept)
    weights = [w / total for _, w in kept]
    numbers = [int(p.parent.name) for p, _ in kept]
    ensemble = save_ensemble(trained.with_name(ENSEMBLE), [p for p, _ in kept], weights, {"members": numbers})
    costs = {"latency": seconds_for(ensemble, table), "size": size_of(ensemble),
             "single_latency": seconds_for(trained, table), "single_size": size_of(trained)}  # fmt: skip
    cheap = costs["latency"] <= costs["single_latency"] + SLOWER and costs["size"] <= costs["single_size"] + LARGER
    used = proposal.judged.separable or cheap
    why = "separably better" if proposal.judged.separable else "better on average, at a cost that hardly matters"
    why = why if used else "better on average only, and it costs much more"
    if used:
        shutil.rmtree(trained.with_name(SINGLE), ignore_errors=True)
        trained.replace(trained.with_name(SINGLE))
        ensemble.replace(trained)
    else:
        shutil.rmtree(ensemble)
    study.note(ENSEMBLE, {**_noted(proposal, used, why), "members": numbers, "weights": weights, **costs})
    return Chosen(proposal.outputs, _truth(study, table, base)) if used else None


def _truth(study: Study, table: Table, base: Base) -> np.ndarray[Any, Any]:
    known = library(study.folder, study.trials, table, base.goal, [base.config])
    assert known is not None
    return known[0].truth


def _noted(proposal: Proposal | None, used: bool, why: str) -> dict[str, Any]:
    if proposal is None:
        return {"used": used, "why": why}
    judged = proposal.judged
    return {"kind": proposal.kind, "difference": judged.difference, "low": judged.difference_low,
            "high": judged.difference_high, "separable": judged.separable, "used": used, "why": why}  # fmt: skip


def _trained(
    study: Study, table: Table, base: Base, proposal: Proposal, trained: Path, ended: float
) -> list[Path | None]:
    """Train a proposal's members, but the final model; where each one is, None where time was too short."""
    cost = _refits(study, table)
    left = (ended - time.monotonic() - TAIL) * _workers(study)
    single = (config_key(base.config), 0)
    fits: list[_Run] = []
    for config, context in proposal.runs:
        if (config_key(config), context.fold) == single:
            continue
        left -= cost.get(config_key(config), math.inf)
        if left <= 0:
            break
        fits.append((config, context))
    if fits:
        question = f"The members of an ensemble ({proposal.kind}): {len(fits)} models, on all data but the test part."
        space = study.trials.opened[next(iter(study.trials.opened))].space
        round = Round(ENSEMBLE, question, Space.from_dict(space), base.goal, table.folds.steps, len(fits), "listed",
                      "full", tuple(fits), metric=f"train_{base.goal.metric}")  # fmt: skip
        until = study.trials.spent + max(0.5, ended - time.monotonic() - TAIL)
        study.run(search_of(round, study.seed), len(fits), until)
    done = {(t.key, t.context.fold): study.trial_folder(t.number) / MODEL
            for t in study.trials.of(ENSEMBLE) if t.status is Status.COMPLETED}  # fmt: skip
    done[single] = trained
    return [done.get((config_key(config), context.fold)) for config, context in proposal.runs]


def seconds_for(model: Path, table: Table) -> float:
    """Seconds in which a model predicts 1,000 rows on one core: the quicker of two times."""
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    rows = np.resize(table.dataset.inputs[table.development[:ROWS]], (ROWS, *table.dataset.inputs.shape[1:]))
    loaded = load_model(model)
    told = []
    with threadpool_limits(1):  # beside busy workers several threads wait for each other
        for _ in range(2):
            began = time.perf_counter()
            loaded.predict(rows)
            told.append(time.perf_counter() - began)
    return min(told)


def size_of(model: Path) -> int:
    """Bytes on disk."""
    return sum(p.stat().st_size for p in model.rglob("*") if p.is_file())


@dataclass(frozen=True)
class Costed:
    """A kind of ensemble as it was judged, and about what it costs.

    ``latency`` in seconds for 1,000 rows; ``size`` in bytes, NaN unless all its models, or those of their families,
    were saved.
    """

    judged: Judged
    latency: float
    size: float


def judge_record(folder: Path, record: Record) -> list[Costed]:
    """Every kind of ensemble beside the best single model of a study. Raises DataError."""
    goal = Goal.from_dict(record.trials.notes[PLAN]["goal"])
    table = table_noted(record)
    known = library(folder, record.trials, table, goal)
    if known is None:
        raise DataError("no trial left predictions to combine", where=str(folder),
                        fix="a larger budget: tunebook resume", code="DATA-092")  # fmt: skip
    predictions, configs = known
    times = [latency(folder / "trials" / str(n), table) for n in predictions.names]
    sizes = [_saved_size(folder, list(record.trials.values()), c) for c in configs]
    told = []
    for judged in compared(predictions, METRICS[goal.metric], METHODS):
        told.append(Costed(judged, sum(times[i] for i in judged.members), sum(sizes[i] for i in judged.members)))
    again = all_draws(folder, record.trials, table, configs[0])
    if again is not None:
        k = table.folds.k
        told.append(Costed(bagged(again, METRICS[goal.metric], k), k * times[0], k * sizes[0]))
    return told


def _saved_size(folder: Path, trials: Sequence[Trial], config: Config) -> float:
    """Bytes of a saved model of a configuration, else of the mean of its family's; NaN without any."""
    found = {True: list[int](), False: list[int]()}
    for t in trials:
        if t.context.final and t.config.get("family") == config.get("family"):
            place = folder / "trials" / str(t.number)
            model = place / SINGLE if (place / SINGLE).is_dir() else place / MODEL
            if model.is_dir():
                found[t.key == config_key(config)].append(size_of(model))
    told = found[True] or found[False]
    return sum(told) / len(told) if told else math.nan
