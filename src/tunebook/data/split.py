"""Train, validation and test parts: seeded, stratified, disjoint and complete; folds and nested fractions."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunebook.data.dataset import Dataset
from tunebook.errors import DataError, SettingError

Array = NDArray[Any]
PARTS = ("train", "valid", "test")


@dataclass(frozen=True, eq=False)
class Parts:
    """Sorted row numbers of the three parts, (n_train,), (n_valid,), (n_test,); no row is in two of them.

    dataset   fingerprint of the data set that was split
    strata    (n,) the stratum of every row of the data set: its class, or its decile of the target
    notes     what a person should know about this split
    """

    train: Array
    valid: Array
    test: Array
    dataset: str
    seed: int
    strata: Array = field(repr=False)
    labels: tuple[str, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in (*PARTS, "strata"):
            frozen = np.array(getattr(self, name), dtype=np.int64)
            frozen.flags.writeable = False
            object.__setattr__(self, name, frozen)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(getattr(self, name))}" for name in PARTS)
        return f"Parts({sizes}, seed {self.seed})"

    def fingerprint(self) -> str:
        """sha256 over the data set's fingerprint and the row numbers of each part."""
        digest = hashlib.sha256(self.dataset.encode())
        for name in PARTS:
            rows = getattr(self, name)
            digest.update(f"{name}{len(rows)}".encode() + rows.astype("<i8").tobytes())
        return digest.hexdigest()

    def fraction(self, share: float) -> Parts:
        """The same parts with only this share of the training part, at least one row of each stratum first.

        Nested: for a < b the rows of ``fraction(a)`` are among those of ``fraction(b)``. Stratified: the
        strata keep their proportions, up to rounding and that first row.

        Raises SettingError unless 0 < share <= 1.
        """
        if not (isinstance(share, int | float) and 0 < share <= 1):
            raise SettingError("a fraction of the training part lies above 0, up to 1", got=repr(share))
        rng = np.random.default_rng([self.seed, 1])
        order = _interleave(self.train, self.strata[self.train], rng)
        count = math.ceil(round(share * len(order), 9))
        return replace(self, train=np.sort(order[:count]))

    def fold(self, k: int, i: int, draw: int = 0) -> Parts:
        """Fold i of k over train + valid: fold i validates, the others train; the test part stays as it is.

        Another ``draw`` makes other folds. Every row validates in exactly one fold; strata and fold sizes differ by at
        most one row.

        Raises SettingError for k < 2 or i outside 0..k-1, DataError for fewer rows than folds or for a class
        of one row, which would be validated without being trained on.
        """
        if k < 2 or not 0 <= i < k:
            raise SettingError("no such fold", got=f"fold {i} of {k}", expected="k >= 2 and 0 <= i < k")
        rows = np.sort(np.concatenate([self.train, self.valid]))
        if len(rows) < k:
            raise DataError(
                f"{len(rows)} rows cannot make {k} folds",
                where="train + valid",
                fix=f"ask for at most {len(rows)} folds",
                code="DATA-097",
            )
        rng = np.random.default_rng([self.seed, 2, draw] if draw else [self.seed, 2])
        order = rng.permutation(rows)
        order = order[np.argsort(self.strata[order], kind="stable")]
        fold_of = np.arange(len(order)) % k
        valid, train = np.sort(order[fold_of == i]), np.sort(order[fold_of != i])
        counts = np.bincount(self.strata[rows])
        few = [c for c in range(len(self.labels)) if c < len(counts) and 0 < counts[c] < k]
        lonely = [c for c in few if counts[c] == 1]
        if lonely:
            raise DataError(
                f"class {self.labels[lonely[0]]!r} has one row outside the test part",
                where=f"{k} folds",
                expected="at least two rows of each class",
                fix="merge the class into another, drop it, or use a single split",
                code="DATA-097",
            )
        note = tuple(f"class {self.labels[c]!r} has {counts[c]} rows for {k} folds" for c in few)
        return replace(self, train=train, valid=valid, notes=self.notes + note)


@dataclass(frozen=True)
class Split:
    """How to cut a data set: shares of train, valid and test (they sum to 1), seed, stratification.

    A test part fixed by the publisher is kept as it is; train and valid then share the other rows in
    proportion. A classification is stratified by class, a regression by the deciles of its target. Rows in time are cut
    in their order, rows of one group stay together.

    Raises SettingError for shares that are negative, leave train or valid empty, or do not sum to 1.
    """

    train: float = 0.6
    valid: float = 0.2
    test: float = 0.2
    seed: int = 0
    stratify: bool = True

    def __post_init__(self) -> None:
        shares = (self.train, self.valid, self.test)
        drawn = f"train={self.train}, valid={self.valid}, test={self.test}"
        if any(not math.isfinite(s) or s < 0 for s in shares) or self.train <= 0 or self.valid <= 0:
            raise SettingError("shares of a split must be positive (test may be 0)", got=drawn)
        if abs(sum(shares) - 1) > 1e-6:
            total = sum(shares)
            mended = ", ".join(f"{n}={s / total:.4g}" for n, s in zip(PARTS, shares, strict=True))
            raise SettingError("shares of a split must sum to 1", got=f"{drawn} (sum {total:g})", fix=mended)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise SettingError("the seed of a split must be an integer >= 0", got=repr(self.seed))

    def fingerprint(self) -> str:
        """sha256 over the settings."""
        told = [self.train, self.valid, self.test, self.seed, self.stratify]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def _ordered(self, dataset: Dataset, cut: Array) -> Parts:
        """Parts one after the other in time, or of whole groups; these come before strata."""
        n, shares = len(dataset), np.array([self.train, self.valid, self.test])
        if dataset.in_time:
            part_of = np.searchsorted(np.cumsum(shares)[:2] * n, np.arange(n), side="right")
            note = "the parts follow each other in time: train, valid, test"
        else:
            assert dataset.groups is not None
            part_of = _by_group(dataset.groups, shares, np.random.default_rng([self.seed, 5]))
            note = f"the rows of each of {len(np.unique(dataset.groups))} groups are in one part"
        train, valid, test = (np.flatnonzero(part_of == p) for p in range(3))
        made = Parts(train, valid, test, dataset.fingerprint(), self.seed, cut, dataset.classes, (note,))
        _check_parts(made, dataset, dict(zip(PARTS, (1.0, 1.0, self.test), strict=True)))
        return replace(made, notes=(note, *_notes(made, dataset, False)))

    def parts(self, dataset: Dataset) -> Parts:
        """Cut the data set. The same settings and data give the same parts in every process.

        Raises DataError when a part would be empty or a class would be missing from the training part.
        """
        strata = _strata(dataset)
        cut = strata if self.stratify else np.zeros_like(strata)
        rng = np.random.default_rng([self.seed, 0])
        n = len(dataset)
        if dataset.test_rows is None and (dataset.in_time or dataset.groups is not None):
            return self._ordered(dataset, cut)
        rows, shares = np.arange(n), np.array([self.train, self.valid, self.test])
        fixed = dataset.test_rows
        if fixed is not None:
            rows = np.setdiff1d(rows, fixed)
            shares = np.array([self.train, self.valid, 0.0]) / (self.train + self.valid)
        part_of = np.full(n, 2)
        part_of[rows] = _assign(cut[rows], shares, rng)
        train, valid, test = (np.flatnonzero(part_of == p) for p in range(3))
        labels = dataset.classes if self.stratify else ()
        made = Parts(train, valid, test, dataset.fingerprint(), self.seed, cut, labels)
        wanted = dict(zip(PARTS, (1.0, 1.0, 1.0 if fixed is not None else self.test), strict=True))
        _check_parts(made, dataset, wanted)
        return replace(made, notes=_notes(made, dataset, fixed is not None))


def _by_group(groups: Array, shares: Array, rng: np.random.Generator) -> Array:
    """(n,) the part of each row: whole groups in random order, each to the part that is furthest below its share."""
    names, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    part = np.empty(len(names), dtype=np.int64)
    have = np.zeros(3)
    for g in rng.permutation(len(names)):
        part[g] = int(np.argmax(shares * len(groups) - have))
        have[part[g]] += sizes[g]
    told: Array = part[inverse.reshape(-1)]
    return told


def _strata(dataset: Dataset) -> Array:
    """(n,) class codes, or for a regression the decile of each target (fewer bins for fewer than 50 rows)."""
    if dataset.task == "classification":
        return dataset.targets.astype(np.int64)
    n = len(dataset)
    bins = min(10, max(1, n // 5))
    ranks = np.empty(n, dtype=np.int64)
    ranks[np.argsort(dataset.targets, kind="stable")] = np.arange(n)
    return ranks * bins // n


def _assign(strata: Array, shares: Array, rng: np.random.Generator) -> Array:
    """(m,) the part 0, 1 or 2 of each row: largest remainder in each stratum, errors carried to the next.

    Each count is its share of the stratum rounded down or up; the carried error keeps the totals near their
    shares also where there are many small strata. A stratum always has a row in part 0.
    """
    part_of = np.empty(len(strata), dtype=np.int64)
    owed = np.zeros(3)
    for stratum in np.unique(strata):
        rows = rng.permutation(np.flatnonzero(strata == stratum))
        ideal = shares * len(rows)
        counts = np.floor(ideal + 1e-9).astype(np.int64)
        owed += ideal - counts
        for part in _largest(owed, shares, len(rows) - int(counts.sum())):
            counts[part] += 1
            owed[part] -= 1
        if counts[0] == 0:
            giver = int(np.argmax(counts))
            counts[giver] -= 1
            counts[0] = 1
            owed += np.eye(3)[giver] - np.eye(3)[0]
        part_of[rows] = np.repeat(np.arange(3), counts)
    return part_of


def _largest(owed: Array, shares: Array, count: int) -> list[int]:
    """The ``count`` parts that are owed most; ties go to the earlier part, a part of share 0 gets nothing."""
    order = [int(p) for p in np.argsort(-np.round(owed, 9), kind="stable") if shares[p] > 0]
    return order[:count]


def _interleave(rows: Array, strata: Array, rng: np.random.Generator) -> Array:
    """The rows in an order of which every prefix is stratified, one row of each stratum first."""
    place = np.empty(len(rows))
    for stratum in np.unique(strata):
        mine = rng.permutation(np.flatnonzero(strata == stratum))
        place[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
        place[mine[0]] = -1.0
    tie = rng.permutation(len(rows))
    order: Array = rows[np.lexsort((tie, place))]
    return order


def _check_parts(parts: Parts, dataset: Dataset, wanted: dict[str, float]) -> None:
    for name in PARTS:
        if wanted[name] > 0 and len(getattr(parts, name)) == 0:
            raise DataError(
                f"the {name} part would be empty",
                where=dataset.name,
                got=f"{len(dataset)} rows",
                fix="use more rows, or a larger share for this part",
                code="DATA-097",
            )
    if dataset.task == "classification":
        known = set(np.unique(dataset.targets[parts.train]).tolist())
        for name in ("valid", "test"):
            alien = sorted(set(np.unique(dataset.targets[getattr(parts, name)]).tolist()) - known)
            if alien:
                shown = ", ".join(repr(dataset.classes[c]) for c in alien[:5])
                raise DataError(
                    f"the {name} part has classes that the training part lacks",
                    where=dataset.name,
                    got=shown,
                    expected="every class in the training part",
                    fix="stratify=True, or merge or drop those classes",
                    code="DATA-096",
                )


def _notes(parts: Parts, dataset: Dataset, fixed: bool) -> tuple[str, ...]:
    notes = [f"the test part of {len(parts.test)} rows is the one fixed by the data set"] if fixed else []
    if dataset.task == "classification":
        for name in ("valid", "test"):
            rows = getattr(parts, name)
            counts = np.bincount(dataset.targets[rows], minlength=len(dataset.classes))
            absent = [dataset.classes[c] for c in np.flatnonzero(counts == 0)] if len(rows) else []
            if absent:
                notes.append(f"no row of class {', '.join(repr(a) for a in absent[:5])} in the {name} part")
    return tuple(notes)


def leaks(dataset: Dataset, parts: Parts) -> tuple[str, ...]:
    """Notes on rows whose inputs are those of a training row, byte for byte: at most one note a part."""
    seen = {_row_digest(dataset.inputs[r]) for r in parts.train}
    notes = []
    for name in ("valid", "test"):
        rows = getattr(parts, name)
        twins = sum(_row_digest(dataset.inputs[r]) in seen for r in rows)
        if twins:
            notes.append(
                f"{twins} of {len(rows)} rows of the {name} part have the same inputs as a training row: "
                "the score on them says less about new data"
            )
    return tuple(notes)


def _row_digest(row: Array) -> bytes:
    return hashlib.blake2b((row + 0).tobytes(), digest_size=16).digest()
