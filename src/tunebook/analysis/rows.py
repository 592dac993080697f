"""Trials as arrays for analysis: one row a configuration."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from tunebook.space import Array, Config, Space
from tunebook.trial import Goal, Group, Status, Trial, groups


@dataclass(frozen=True)
class Rows:
    """One row a configuration, in the order of first trials.

    ``configs`` as seen in the space (``Space.adapt``); ``numbers`` the trials behind each row; ``X`` (n, dim) codes,
    NaN where inactive, beyond [0, 1] for configurations of an earlier, wider space; ``loss`` (n,) mean loss, inf
    without a success; ``budget`` (n,) the furthest step, that of the longest trial for those that are not paused;
    ``place`` (n,) rank from 1 (best): who was let go further is better, then the loss counts, failures share the last
    place.
    """

    configs: tuple[Config, ...]
    numbers: tuple[tuple[int, ...], ...]
    X: Array
    loss: Array
    budget: npt.NDArray[np.int64]
    place: Array

    def __len__(self) -> int:
        return len(self.configs)

    @property
    def feasible(self) -> npt.NDArray[np.bool_]:
        """(n,) whether any trial of the row succeeded."""
        return np.isfinite(self.loss)

    def best(self, k: int) -> npt.NDArray[np.int64]:
        """Indices of the (up to) ``k`` best feasible rows, best first."""
        order = np.argsort(self.place, kind="stable")
        return order[self.feasible[order]][:k]

    def scores(self) -> tuple[npt.NDArray[np.int64], Array]:
        """Indices (m,) of the feasible rows and their normal scores (m,): small is good, mean 0, variance 1.

        Ranks instead of losses: a few large losses would otherwise be all that there is to explain.
        """
        at = np.flatnonzero(self.feasible)
        score = ndtri((self.place[at] - 0.5) / max(1, len(at)))
        spread = float(np.std(score)) if len(at) else 0.0
        return at, (score - np.mean(score)) / spread if spread > 0 else np.zeros(len(at))


def tabulate(trials: Iterable[Trial], space: Space, goal: Goal) -> Rows:
    """Rows of the trials that ended or paused; those with no place in the space and final trainings are left out."""
    kept = [t for t in trials if _counts(t)]
    furthest = max((t.step for t in kept), default=0)
    told: list[tuple[Config, Group]] = []
    for group in groups(kept):
        config = space.adapt(group.config)
        if config is not None:
            told.append((config, group))
    n = len(told)
    loss, budget = np.full(n, np.inf), np.zeros(n, dtype=np.int64)
    for i, (_, group) in enumerate(told):
        loss[i], budget[i] = _standing(group, goal, furthest)
    return Rows(
        configs=tuple(c for c, _ in told),
        numbers=tuple(tuple(t.number for t in g.trials) for _, g in told),
        X=space.encode([c for c, _ in told]),
        loss=loss,
        budget=budget,
        place=_places(loss, budget),
    )


def _counts(t: Trial) -> bool:
    """Whether something can be learned from the trial about its configuration."""
    return not t.context.final and (t.status is Status.FAILED or bool(t.curve and t.status not in _OPEN))


_OPEN = (Status.RUNNING, Status.WAITING)


def _standing(group: Group, goal: Goal, furthest: int) -> tuple[float, int]:
    """Mean loss at the furthest budget of a configuration, and that budget."""
    # a paused trial could have gone on; one that was stopped is all that it will be, and its loss says so
    reach = {t.number: t.step if t.status is Status.PAUSED else furthest for t in group.trials}
    most = max((t.context.fraction, reach[t.number]) for t in group.trials)
    losses = [t.loss(goal) for t in group.trials if (t.context.fraction, reach[t.number]) == most]
    sound = [x for x in losses if math.isfinite(x)]
    return (sum(sound) / len(sound) if sound else math.inf), most[1]


def _places(loss: Array, budget: npt.NDArray[np.int64]) -> Array:
    """Ranks from 1; ties share their mean rank."""
    n = len(loss)
    reach = np.where(np.isfinite(loss), budget, -1)
    order = np.lexsort((loss, -reach))
    place = np.empty(n)
    start = 0
    while start < n:
        end = start + 1
        while end < n and loss[order[end]] == loss[order[start]] and reach[order[end]] == reach[order[start]]:
            end += 1
        place[order[start:end]] = 0.5 * (start + 1 + end)
        start = end
    return place
