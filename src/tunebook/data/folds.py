"""Cross-validation as the plan of a trial: what each of its steps trains and validates on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tunebook.data.split import Parts
from tunebook.errors import DataError, SettingError, nearest

Array = NDArray[Any]
Kind = Literal["stratified", "plain", "group", "time"]
MOST_REPEATS = 1000  # of one partition: further partitions are numbered from there


@dataclass(frozen=True)
class Folds:
    """Each step of a trial is one fold that is validated on after training on others, so that a trial can be stopped
    after one or two, and every trial is measured on the same ones.

    k          number of folds
    repeats    how often they are drawn; steps = k * repeats
    kind       stratified (by class, or decile of the target), plain, group (the rows of a group stay together: see
               ``groups`` of ``cut``) or time (rows in their order; fold i trains on what lies before it)
    fractions  for large tables: only the first fold is validated on, after training on these shares of the rest

    Raises SettingError for what cannot be.
    """

    k: int = 5
    repeats: int = 1
    kind: Kind = "stratified"
    fractions: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise SettingError("unknown kind of folds", where="kind", got=repr(self.kind),
                               expected=nearest(str(self.kind), get_args(Kind)))  # fmt: skip
        if self.k < 2 or not 1 <= self.repeats < MOST_REPEATS:
            raise SettingError("folds need k >= 2 and 1 or more repeats", got=f"k={self.k}, repeats={self.repeats}")
        if self.kind == "time" and self.repeats > 1:
            raise SettingError("folds in time have one order only", got=f"repeats={self.repeats}", expected="repeats=1")
        if any(not 0 < f <= 1 for f in self.fractions) or list(self.fractions) != sorted(set(self.fractions)):
            raise SettingError("fractions must rise, above 0 and up to 1", got=repr(self.fractions))

    @property
    def steps(self) -> int:
        """Steps of a whole trial."""
        return len(self.fractions) or self.k * self.repeats

    def alike(self, step: int) -> range:
        """The steps up to ``step`` whose scores may be averaged: all folds, but no smaller fraction."""
        return range(step, step + 1) if self.fractions else range(1, step + 1)

    def cut(self, parts: Parts, step: int, partition: int = 0, groups: Array | None = None) -> Parts:
        """The parts of a step, from 1: one fold of train + valid is the new valid, what trains on it the new train.

        Other ``partition`` numbers are other draws. ``groups`` (n,) says to which group each row of the data set
        belongs. Raises DataError where there are fewer rows or groups than folds.
        """
        if self.fractions:
            first = self._fold(parts, 0, partition * MOST_REPEATS, groups)
            share = self.fractions[step - 1]
            if share == 1:
                return first
            if self.kind == "time":  # the latest rows say most about what comes after them
                return replace(first, train=first.train[-max(1, int(share * len(first.train))) :])
            return first.fraction(share)
        repeat, i = divmod(step - 1, self.k)
        return self._fold(parts, i, partition * MOST_REPEATS + repeat, groups)

    def _fold(self, parts: Parts, i: int, draw: int, groups: Array | None) -> Parts:
        if self.kind == "group":
            return _grouped(parts, self.k, i, draw, groups)
        if self.kind == "time":
            return _in_time(parts, self.k, i)
        if self.kind == "plain":
            plain = replace(parts, strata=np.zeros_like(parts.strata), labels=())
            return plain.fold(self.k, i, draw)
        return parts.fold(self.k, i, draw)


def _grouped(parts: Parts, k: int, i: int, draw: int, groups: Array | None) -> Parts:
    """Whole groups, the largest first, each to the fold that has the fewest rows; ties and equal sizes at random."""
    if groups is None:
        raise DataError("folds by group need groups", fix="name the column: ...?group=COLUMN", code="DATA-097")
    rows = np.sort(np.concatenate([parts.train, parts.valid]))
    names, sizes = np.unique(groups[rows], return_counts=True)
    if len(names) < k:
        raise DataError(f"{len(names)} groups cannot make {k} folds", fix=f"ask for at most {len(names)} folds",
                        code="DATA-097")  # fmt: skip
    rng = np.random.default_rng([parts.seed, 4, draw])
    shuffled = rng.permutation(len(names))
    order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    load, fold_of = np.zeros(k), np.empty(len(names), dtype=np.int64)
    for g in order:
        fold_of[g] = int(np.argmin(load))
        load[fold_of[g]] += sizes[g]
    mine = fold_of[np.searchsorted(names, groups[rows])] == i
    return replace(parts, train=rows[~mine], valid=rows[mine])


def _in_time(parts: Parts, k: int, i: int) -> Parts:
    """Block i + 1 of k + 1 blocks validates, what lies before it trains."""
    rows = np.sort(np.concatenate([parts.train, parts.valid]))
    if len(rows) < k + 1:
        raise DataError(f"{len(rows)} rows cannot make {k} folds", fix=f"ask for at most {len(rows) - 1} folds",
                        code="DATA-097")  # fmt: skip
    ends = np.linspace(0, len(rows), k + 2).round().astype(int)
    return replace(parts, train=rows[: ends[i + 1]], valid=rows[ends[i + 1] : ends[i + 2]])
