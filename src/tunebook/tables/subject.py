"""A table that is to be tuned on: how it is cut, how configurations are measured, what a person should know of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tunebook.data import DataRef, Dataset, Folds, Parts, Split, leaks, open_dataset
from tunebook.errors import DataError, SettingError, nearest
from tunebook.learners.auto import AutoLearner, folds_for
from tunebook.metrics import METRICS, chance_level
from tunebook.record import JOB, PLAN, Record
from tunebook.trial import Direction, Goal

SHARE = 0.2


@dataclass(frozen=True)
class Table:
    """A table to be tuned on: the reference, the data, how it is cut, and how a configuration is measured."""

    reference: str
    dataset: Dataset
    parts: Parts
    split: Split
    folds: Folds

    @property
    def development(self) -> np.ndarray[Any, Any]:
        """The rows that are not the test part."""
        return np.sort(np.concatenate([self.parts.train, self.parts.valid]))


def table_of(data: str, seed: int, test: float = SHARE, folds: Folds | None = None) -> Table:
    """Open a table and cut it. Raises DataError, SettingError."""
    if isinstance(test, bool) or not 0 <= test <= 0.5:
        raise SettingError("the test part is a share of the rows", where="test", got=repr(test), expected="0 to 0.5",
                           code="CONFIG-044")  # fmt: skip
    reference = str(DataRef.parse(data).pinned())
    dataset = open_dataset(reference)
    if dataset.kind != "table":
        raise DataError("this is not a table", where=dataset.name, got=f"a data set of the kind {dataset.kind}",
                        fix="tunebook run --model cnn, or mlp")  # fmt: skip
    split = Split((1 - test) * 0.75, (1 - test) * 0.25, test, seed)
    parts = split.parts(dataset)
    rows = len(parts.train) + len(parts.valid)
    folds = folds or _folds_of(dataset, rows)
    folds.cut(parts, 1, groups=dataset.groups)  # what cannot be cut is said before anything runs
    return Table(reference, dataset, parts, split, folds)


def table_noted(record: Record) -> Table:
    """The table of a study, cut as it was. Raises DataError."""
    about, plan = record.trials.notes[JOB], record.trials.notes[PLAN]
    folds = Folds(**{**about["folds"], "fractions": tuple(about["folds"]["fractions"])})
    return table_of(about["data"], plan["seed"], about["test"], folds)


def _folds_of(dataset: Dataset, rows: int) -> Folds:
    usual = folds_for(rows)
    if dataset.in_time:
        return replace(usual, kind="time", repeats=1)
    return usual if dataset.groups is None else replace(usual, kind="group")


def goal_of(metric: str | None) -> Goal | None:
    """The goal that a metric's name means. Raises SettingError."""
    if metric is None:
        return None
    if metric not in METRICS:
        raise SettingError("unknown metric", where="metric", got=metric, expected=nearest(metric, METRICS),
                           code="CONFIG-049")  # fmt: skip
    return Goal(metric, Direction(METRICS[metric].direction))


def goal_for(learner: AutoLearner, dataset: Dataset, goal: Goal | None) -> Goal:
    """What is optimised: the mean over all folds, not the best that it was on the way. Raises SettingError."""
    goal = goal or learner.goal(dataset)
    fitting = learner.metrics(dataset)
    if not goal.plain:  # what is left behind is an ensemble, which nothing was measured of but its score
        raise SettingError("a table's families are searched for one goal", where="goal", got=str(goal),
                           expected="one metric, and no limits", code="CONFIG-048",
                           fix="one family: tunebook run --model histgb --also ... --limit ...")  # fmt: skip
    if goal.metric not in fitting:
        raise SettingError(f"this is no metric of a {dataset.task}", where="metric", got=goal.metric,
                           expected=nearest(goal.metric, fitting), code="CONFIG-049")  # fmt: skip
    if goal.metric in ("f1",) and len(dataset.classes) != 2:
        raise SettingError("f1 is for two classes", where="metric", got=f"{len(dataset.classes)} classes",
                           fix="f1_macro", code="CONFIG-049")  # fmt: skip
    return replace(goal, pick="last")


def chance_of(table: Table, goal: Goal) -> float:
    """What a model that learned nothing would score."""
    targets = table.dataset.targets[table.development]
    return chance_level(targets, table.dataset.task, goal.metric)


def told_of(table: Table) -> list[str]:
    """What a person should know of a table before it is tuned on: its columns, its gaps, its classes, what is odd."""
    data, rows = table.dataset, table.development
    sizes = f"{len(data):,} rows: {len(rows):,} to learn from, {len(table.parts.test):,} locked away for the test"
    lines = [sizes, _columns(data)]
    gaps = float(np.isnan(data.inputs).mean())
    if gaps:
        lines.append(f"{gaps:.2%} of the numbers are missing: trees send them down a learned side, others get medians")
    if data.classes:
        counts = np.bincount(data.targets, minlength=len(data.classes))
        shown = ", ".join(f"{c} {n:,}" for c, n in list(zip(data.classes, counts, strict=True))[:8])
        lines.append(f"{len(data.classes)} classes: {shown}" + (", ..." if len(data.classes) > 8 else ""))
        if counts.min() < SHARE * len(data) / len(data.classes):
            lines.append("the classes are imbalanced: class weights are searched; balanced_accuracy, f1_macro or "
                         "average_precision may say more than accuracy")  # fmt: skip
    else:
        low, middle, high = np.quantile(data.targets, [0.0, 0.5, 1.0])
        lines.append(f"the target is a number from {low:.4g} to {high:.4g}, median {middle:.4g}")
    folds = table.folds
    if folds.fractions:
        shares = ", ".join(f"{f:.0%}" for f in folds.fractions)
        lines.append(f"measured on one fifth of these rows after training on {shares} of the others")
    else:
        lines.append(f"measured by {folds.k}-fold cross-validation ({folds.kind}), {folds.repeats} draw(s)")
    return [*lines, *data.notes, *table.parts.notes, *leaks(data, table.parts)]


def _columns(data: Dataset) -> str:
    if data.encoding is None:
        return f"{data.inputs.shape[1]} columns of numbers"
    numbers = [c.name for c in data.encoding.columns if c.categories is None and not c.date]
    dates = [c.name for c in data.encoding.columns if c.date]
    labels = [c.name for c in data.encoding.columns if c.categories is not None]
    told = []
    for what, names in (("numbers", numbers), ("categories", labels), ("dates", dates)):
        if names:
            told.append(f"{len(names)} {what} ({', '.join(names[:6])}{', ...' if len(names) > 6 else ''})")
    return "columns: " + "; ".join(told)
