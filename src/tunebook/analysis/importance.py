"""How much of the differences between trials each hyperparameter explains."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from tunebook.analysis.anova import Anova
from tunebook.analysis.rows import Rows, tabulate
from tunebook.space import Array, Space
from tunebook.trial import Goal, Trial

DRAWS = 40
MANY_AXES, FEW_DRAWS = 20, 12  # a draw takes the longer, the more axes there are: a study of a table waits for it
MOST_ROWS = 160
FITTED = 4  # models that are kept: stages that follow each other ask about the same trials


@dataclass(frozen=True)
class Importance:
    """Share of the variance of the trials' ranks that goes with a hyperparameter, alone and in pairs, with an interval.

    ``value`` is the total Sobol index in [0, 1] over the present range; ``main`` the part without interactions. The
    values of all hyperparameters add up to more than 1 where they interact, and to less where there is noise.
    """

    name: str
    value: float
    low: float
    high: float
    main: float = 0.0


def needed(space: Space) -> int:
    """Number of successful configurations below which nothing is said."""
    return max(10, 2 * space.dim + 4)


def importance(
    trials: Iterable[Trial], space: Space, goal: Goal, level: float = 0.9, draws: int | None = None, seed: int = 0
) -> list[Importance]:
    """Importance of each axis of the space, largest first; empty with fewer than ``needed(space)`` configurations.

    Failed trials are left out: where trials fail is the divergence check's question. The interval is a Bayesian
    bootstrap over configurations. See ``analysis.anova`` for the model. Cost: about 0.5 s at 100 trials and 6 axes.
    """
    rows = tabulate(trials, space, goal)
    model = fit(rows, space)
    return [] if model is None else list(importance_of(model, level, draws, seed))


def fit(rows: Rows, space: Space) -> Anova | None:
    """The model of the feasible rows; None when they are too few or all alike."""
    at, y = rows.scores()
    if space.dim == 0 or len(at) < needed(space) or not np.any(y):
        return None
    if len(at) > MOST_ROWS:
        # the model costs n^3: of many configurations, a sample that is spread evenly over the order of their losses
        kept = np.sort(np.argsort(y, kind="stable")[np.linspace(0, len(y) - 1, MOST_ROWS).astype(np.int64)])
        at, y = at[kept], y[kept]
    X = rows.X[at]
    return _fitted(_Rows((json.dumps(space.as_dict(), sort_keys=True), X.tobytes(), y.tobytes()), space, X, y))


@dataclass(frozen=True)
class _Rows:
    """What a model is fitted to; equal where ``key`` is."""

    key: tuple[str, bytes, bytes]
    space: Space = field(compare=False)
    X: Array = field(compare=False)
    y: Array = field(compare=False)


@lru_cache(maxsize=FITTED)
def _fitted(rows: _Rows) -> Anova:
    return Anova(rows.space, rows.X, rows.y)


@lru_cache(maxsize=FITTED)
def importance_of(model: Anova, level: float = 0.9, draws: int | None = None, seed: int = 0) -> tuple[Importance, ...]:
    """Importance from a model that has been fitted, largest first; for the intervals 40 draws, of many axes 12."""
    whole = model.effects()
    draws = draws or (DRAWS if model.space.dim <= MANY_AXES else FEW_DRAWS)
    again = np.array([e.total for e in model.resampled(draws, np.random.default_rng(seed))])
    tail = 0.5 * (1.0 - level)
    # weighted fits explain a little more than the fit to all rows alike: the draws are centred on the value
    middle = np.median(again, axis=0)
    # without more width, 90 % intervals hold the truth in 67 (24 rows) to 80 % (96 rows): benchmarks/diagnosis.py
    wider = 1.2 + 12.0 / len(model.y)
    low, high = whole.total + wider * (np.quantile(again, [tail, 1.0 - tail], axis=0) - middle)
    out = [
        Importance(
            axis.name,
            float(whole.total[j]),
            float(np.clip(low[j], 0.0, whole.total[j])),
            float(np.clip(high[j], whole.total[j], 1.0)),
            float(whole.main[j]),
        )
        for j, axis in enumerate(model.space.axes)
    ]
    return tuple(sorted(out, key=lambda i: -i.value))
