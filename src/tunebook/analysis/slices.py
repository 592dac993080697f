"""Each hyperparameter against the metric: the data of a slice plot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tunebook.analysis.rows import tabulate
from tunebook.space import Array, Float, Int, Parameter, Space, Value
from tunebook.trial import Goal, Trial


@dataclass(frozen=True)
class Slice:
    """One axis: the ``values`` (n,) of the configurations in which it exists, their ``codes`` (n,), and the ``metric``
    (n,), NaN where the configuration failed. ``log``: draw the axis on a log scale. ``numbers``: the first trial of
    each."""

    name: str
    parameter: Parameter
    log: bool
    values: tuple[Value, ...]
    codes: Array
    metric: Array
    numbers: tuple[int, ...]


def slices(trials: Iterable[Trial], space: Space, goal: Goal) -> list[Slice]:
    """A slice for each axis of the space, in its order; configurations of earlier spaces are there too."""
    rows = tabulate(trials, space, goal)
    metric = np.where(rows.feasible, goal.sign * rows.loss, np.nan)
    out = []
    for j, axis in enumerate(space.axes):
        at = np.flatnonzero(~np.isnan(rows.X[:, j]))
        out.append(
            Slice(
                axis.name,
                axis.parameter,
                isinstance(axis.parameter, Float | Int) and axis.parameter.log,
                tuple(rows.configs[i][axis.name] for i in at),
                rows.X[at, j],
                metric[at],
                tuple(rows.numbers[i][0] for i in at),
            )
        )
    return out
