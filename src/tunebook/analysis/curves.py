"""Progress of a study, and learning curves as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tunebook.analysis.rows import tabulate
from tunebook.space import Array, Space
from tunebook.trial import Goal, Status, Trial, finished, is_whole

LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)


@dataclass(frozen=True)
class Progress:
    """One entry a trial, in order: its ``value`` (n,) (NaN where it failed), the ``best`` (n,) so far (NaN before the
    first success) and the ``seconds`` (n,) of training spent until then, over all workers."""

    numbers: tuple[int, ...]
    value: Array
    best: Array
    seconds: Array


def best_so_far(trials: Iterable[Trial], goal: Goal, by: str = "number") -> Progress:
    """The best value so far by trial, in the order of trial numbers, or of their ends with ``by="end"``."""
    told = [t for t in trials if t.status is not Status.WAITING and not t.context.final]
    told.sort(key=lambda t: (t.ended, t.number) if by == "end" else t.number)
    loss = np.array([t.loss(goal) for t in told], dtype=np.float64)
    whole = np.where([is_whole(t, goal) for t in told], loss, np.inf)
    lowest = np.minimum.accumulate(whole) if len(loss) else loss
    return Progress(
        numbers=tuple(t.number for t in told),
        value=_metric(loss, goal),
        best=_metric(lowest, goal),
        seconds=np.cumsum([t.seconds for t in told], dtype=np.float64),
    )


def history(trials: Iterable[Trial], goal: Goal) -> list[tuple[float, float]]:
    """The best value by seconds of training spent: (seconds, best) at each measurement that improved on it.

    Trials are taken one after the other in the order of their numbers; failed ones cost their seconds only.
    """
    out: list[tuple[float, float]] = []
    spent, lowest = 0.0, np.inf
    for t in trials:
        for m in t.curve:
            spent += m.seconds
            loss = goal.loss(m.metrics.get(goal.metric, np.nan))
            if loss < lowest and t.status is not Status.FAILED and not t.context.final:
                lowest = loss
                out.append((spent, goal.value(loss)))
    return out


def _metric(loss: Array, goal: Goal) -> Array:
    return np.where(np.isfinite(loss), goal.sign * loss, np.nan)


def top(trials: Iterable[Trial], space: Space, goal: Goal, k: int) -> list[Trial]:
    """The best trial of each of the ``k`` best configurations, best first."""
    told = list(trials)
    by_number = {t.number: t for t in told}
    rows = tabulate(told, space, goal)
    out = []
    for i in rows.best(k):
        group = [by_number[n] for n in rows.numbers[i]]
        out.append(max(group, key=lambda t: (t.step, -t.loss(goal))))
    return out


@dataclass(frozen=True)
class Curves:
    """Curves of a metric on common steps: ``steps`` (s,), ``values`` (n, s) with NaN where a trial has none."""

    numbers: tuple[int, ...]
    steps: npt.NDArray[np.int64]
    values: Array


def curves(trials: Sequence[Trial], metric: str) -> Curves:
    """The metric of each trial at every step at which any of them reported it; infinities become NaN."""
    every = sorted({m.step for t in trials for m in t.curve if metric in m.metrics})
    column = {step: j for j, step in enumerate(every)}
    values = np.full((len(trials), len(every)), np.nan)
    for i, t in enumerate(trials):
        for m in t.curve:
            if metric in m.metrics:
                values[i, column[m.step]] = m.metrics[metric]
    values[~np.isfinite(values)] = np.nan
    return Curves(tuple(t.number for t in trials), np.array(every, dtype=np.int64), values)


@dataclass(frozen=True)
class Band:
    """Quantiles over trials: ``steps`` (s,), ``levels`` (q,), ``values`` (q, s), and ``count`` (s,) of trials there."""

    steps: npt.NDArray[np.int64]
    levels: tuple[float, ...]
    values: Array
    count: npt.NDArray[np.int64]


def band(told: Curves, levels: Sequence[float] = LEVELS) -> Band:
    """Quantiles of the curves at each step."""
    values = np.full((len(levels), len(told.steps)), np.nan)
    count = np.sum(~np.isnan(told.values), axis=0)
    for j in np.flatnonzero(count):
        column = told.values[:, j]
        values[:, j] = np.quantile(column[~np.isnan(column)], levels)
    return Band(told.steps, tuple(levels), values, count)


@dataclass(frozen=True)
class BestSteps:
    """Where the best measurement of each trial lies: ``best`` (n,) its step, ``last`` (n,) the last step."""

    numbers: tuple[int, ...]
    best: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]

    @property
    def fraction(self) -> Array:
        """(n,) best step over last step."""
        return np.asarray(self.best / np.maximum(self.last, 1))


def best_steps(trials: Iterable[Trial], goal: Goal) -> BestSteps:
    """Step of the best measurement of every trial that has one, whichever the goal picks; failed trials left out."""
    every = Goal(goal.metric, goal.direction)
    told = [(t, m) for t in finished(trials) if t.status is not Status.FAILED and (m := t.scored(every)) is not None]
    return BestSteps(
        tuple(t.number for t, _ in told),
        np.array([m.step for _, m in told], dtype=np.int64),
        np.array([t.step for t, _ in told], dtype=np.int64),
    )
