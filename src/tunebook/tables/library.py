"""What trials predicted for rows that they were not trained on: enough to judge any combination of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tunebook.ensembles import Draws, Predictions, corrected
from tunebook.errors import DataError
from tunebook.learners.table import read_fold
from tunebook.metrics import METRICS
from tunebook.playbook.base import ranked
from tunebook.space import Config
from tunebook.tables.subject import Table
from tunebook.trial import Goal, Status, Trial, Trials, config_key

ENSEMBLE = "ensemble"  # the topic of the note on what took the final model's place
CANDIDATES = 20
FEWEST_DRAWS = 3
ALIKE = 5  # candidates of one family: more of the same add little to an ensemble


def library(
    folder: Path, all_trials: Trials, table: Table, goal: Goal, needed: Sequence[Config] = ()
) -> tuple[Predictions, list[Config]] | None:
    """The out-of-fold predictions of the best configurations of a study, and the configurations, best first.

    At most 5 of a family are taken, as ensembles live on what is unlike. Among them all that
    are ``needed``. None where no trial left any: the time was too short for all folds.
    """
    trials = [t for t in all_trials.values() if t.status is Status.COMPLETED and t.context.fold == 0]
    must = {config_key(c) for c in needed}
    found: dict[str, tuple[Trial, np.ndarray[Any, Any]]] = {}
    rows: np.ndarray[Any, Any] | None = None
    families = Counter[object]()
    for trial in ranked(trials, goal, table.folds.steps):
        room = len(found) < CANDIDATES and families[trial.config.get("family")] < ALIKE
        wanted = trial.key not in found and (room or trial.key in must)
        told = out_of_fold(folder / "trials" / str(trial.number), table) if wanted else None
        if told is not None and (rows is None or np.array_equal(rows, told[0])):
            rows = told[0]
            found[trial.key] = (trial, told[1])
            families[trial.config.get("family")] += 1
    if not found or rows is None:
        return None
    numbers = tuple(t.number for t, _ in found.values())
    stacked = np.stack([p for _, p in found.values()])
    return Predictions(stacked, table.dataset.targets[rows], numbers), [t.config for t, _ in found.values()]


def expected(
    folder: Path, trials: Trials, table: Table, goal: Goal, config: Config
) -> tuple[float, float, float] | None:
    """What the final model will score on new rows, and the 95 % interval of that, from cross-validation alone.

    Corrected for having chosen, for the rows that folds lack, and by what an adopted ensemble gained on rows that it
    was not fitted on. None where too little was measured.
    """
    known = library(folder, trials, table, goal, [config])
    if known is None or config_key(config) not in [config_key(c) for c in known[1]]:
        return None
    note = trials.notes.get(ENSEMBLE, {})
    gain = note["difference"] if note.get("used") else 0.0
    try:
        value, low, high = corrected(known[0], METRICS[goal.metric], table.folds.k)
    except DataError:  # a class that hardly any row has
        return None
    return value + gain, low + gain, high + gain


def out_of_fold(folder: Path, table: Table) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
    """Rows and predictions of a trial: the mean over repeats; None where a fold is missing."""
    told = [draw for draw in draws(folder, table) if draw is not None]
    if not told or len(told) < table.folds.repeats or any(not np.array_equal(r, told[0][0]) for r, _ in told):
        return None
    total = told[0][1]
    for _, predicted in told[1:]:
        total = total + predicted
    return told[0][0], total / len(told)


def draws(folder: Path, table: Table) -> list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None]:
    """Rows and predictions of a trial for each draw of the folds; None for one that has not all folds."""
    last, k = table.folds.steps, table.folds.k
    if table.folds.fractions:
        return [_joined(folder, range(last, last + 1))]
    return [_joined(folder, range(first, first + k)) for first in range(1, last + 1, k)]


def _joined(folder: Path, steps: range) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
    folds = [read_fold(folder / f"fold-{step}.npz") for step in steps]
    told = [f for f in folds if f is not None]
    if len(told) < len(folds):
        return None
    rows = np.concatenate([f.rows for f in told])
    order = np.argsort(rows, kind="stable")
    predicted: np.ndarray[Any, Any] = np.concatenate([f.predicted for f in told])[order]
    return rows[order], predicted


def all_draws(folder: Path, trials: Trials, table: Table, config: Config) -> Draws | None:
    """What a configuration predicted for all rows, once for each draw of the folds that it was measured on, in the
    search and when it was confirmed; None for fewer than three. Each row is predicted by models that did not see it."""
    key = config_key(config)
    mine = [t for t in trials.values() if t.key == key and t.status is Status.COMPLETED and not t.context.final]
    if table.folds.fractions or table.folds.kind == "time":
        return None
    told = [d for t in mine for d in draws(folder / "trials" / str(t.number), table) if d is not None]
    told = [d for d in told if np.array_equal(d[0], told[0][0])]
    if len(told) < FEWEST_DRAWS:
        return None
    return Draws(np.stack([p for _, p in told]), table.dataset.targets[told[0][0]])


def latency(folder: Path, table: Table) -> float:
    """Seconds in which the models of a trial predicted 1,000 rows, by its last fold; NaN where that is not known."""
    fold = read_fold(folder / f"fold-{table.folds.steps}.npz")
    return math.nan if fold is None else fold.latency


def refit_seconds(trial: Trial, table: Table) -> float:
    """About how long a training on all rows that may be learned from takes; inf where nothing is known."""
    if not trial.curve:
        return math.inf
    grown = table.folds.k / (table.folds.k - 1)
    told = [m.seconds for m in trial.curve]
    return grown * (told[-1] if table.folds.fractions else sum(told) / len(told))
