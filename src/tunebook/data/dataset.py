"""A data set as a frozen value: inputs, targets and what they mean, with a fingerprint of the bytes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tunebook.data.encoding import TableEncoding
from tunebook.data.labels import TEXT, typed_labels
from tunebook.errors import DataError

Array = NDArray[Any]
Kind = Literal["table", "image", "sequence"]
Task = Literal["classification", "regression"]

SHAPES: dict[str, tuple[tuple[int, ...], str]] = {
    "table": ((2,), "(n, features)"),
    "image": ((4,), "(n, channels, height, width)"),
    "sequence": ((2, 3), "(n, length) or (n, channels, length)"),
}


@dataclass(frozen=True, eq=False)
class Dataset:
    """n examples. Arrays are read-only; two data sets are equal when their fingerprints are.

    inputs         table (n, features) float64, NaN where a value is missing; image (n, channels, height,
                   width) float32; sequence (n, length) or (n, channels, length) float32, or integer token ids
    targets        (n,): int64 codes into ``classes``, or float64 values
    classes        the label of each code; empty for regression
    feature_names  one for each column of a table, else empty
    test_rows      sorted row numbers of the test part that the publisher fixed, or None
    encoding       how the columns of a file became ``inputs``: needed to read new rows the same way
    notes          what the loader did that a person should know, one sentence each
    groups         (n,) int64: rows of one group (a patient, a customer) are kept in one part; None without groups
    in_time        whether rows are in the order of time: what is learned from lies before what is tested on
    label_type     type of the labels where they came from: "text", "bool", or a type of numbers such as "int64"

    Raises DataError where shapes, codes or values break this description.
    """

    inputs: Array
    targets: Array
    kind: Kind
    task: Task
    classes: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    name: str = "data"
    test_rows: Array | None = None
    encoding: TableEncoding | None = None
    notes: tuple[str, ...] = ()
    groups: Array | None = None
    in_time: bool = False
    label_type: str = TEXT

    def __post_init__(self) -> None:
        _check_shapes(self)
        _check_values(self)
        for field in ("inputs", "targets", "test_rows", "groups"):
            array = getattr(self, field)
            if array is not None:
                frozen = np.ascontiguousarray(array).view()
                frozen.flags.writeable = False
                object.__setattr__(self, field, frozen)

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def labels(self) -> Array:
        """(classes,) the label of each code, in the type of the data's own targets."""
        return typed_labels(self.classes, self.label_type)

    def __repr__(self) -> str:
        what = f"{len(self.classes)} classes" if self.classes else "regression"
        return f"Dataset({self.name!r}, {self.kind}, inputs {self.inputs.shape}, {what})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dataset) and self.fingerprint() == other.fingerprint()

    def __hash__(self) -> int:
        return hash(self.fingerprint())

    def __reduce__(self) -> tuple[type[Dataset], tuple[Any, ...]]:
        return type(self), tuple(getattr(self, f.name) for f in fields(self))

    def fingerprint(self) -> str:
        """sha256 over kind, task, labels, feature names, shapes, dtypes and bytes: the same in every process.

        The name, the notes and the type of the labels do not enter.
        """
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256()
        arrays = [self.inputs, self.targets, *(a for a in (self.test_rows, self.groups) if a is not None)]
        little = [np.asarray(a, dtype=a.dtype.newbyteorder("<")) for a in arrays]
        head = [self.kind, self.task, self.classes, self.feature_names, *(["in time"] if self.in_time else [])]
        digest.update(json.dumps([head, [(a.dtype.str, a.shape) for a in little]]).encode())
        for array in little:
            digest.update(array.tobytes())
        return digest.hexdigest()

    def take(self, rows: Array) -> Dataset:
        """The data set of these rows, in this order. A fixed test part is not carried over."""
        groups = None if self.groups is None else self.groups[rows]
        inputs, targets = self.inputs[rows], self.targets[rows]
        return replace(self, inputs=inputs, targets=targets, test_rows=None, notes=(), groups=groups)


def _check_shapes(data: Dataset) -> None:
    if data.kind not in SHAPES:
        raise DataError("unknown kind of data", where=data.name, got=repr(data.kind), expected=", ".join(SHAPES))
    if data.task not in ("classification", "regression"):
        raise DataError("unknown task", where=data.name, got=repr(data.task), expected="classification or regression")
    dims, drawn = SHAPES[data.kind]
    shape = data.inputs.shape
    if len(shape) not in dims:
        raise DataError(
            f"inputs have the wrong shape for kind {data.kind!r}",
            where=data.name,
            got=str(shape),
            expected=drawn,
            fix="name the kind that fits (npz:FILE?kind=table, image or sequence), or reshape the inputs",
        )
    if 0 in shape:
        raise DataError("the data set is empty", where=data.name, got=f"inputs {shape}", expected=drawn)
    if data.targets.shape != shape[:1]:
        raise DataError(
            "inputs and targets do not go together",
            where=data.name,
            got=f"{shape[0]} inputs and targets of shape {data.targets.shape}",
            expected=f"targets of shape ({shape[0]},)",
        )
    if data.feature_names and (data.kind != "table" or len(data.feature_names) != shape[1]):
        raise DataError(
            "feature names do not fit the columns",
            where=data.name,
            got=f"{len(data.feature_names)} names for inputs of shape {shape}",
            expected="one name for each column of a table",
        )


def _check_values(data: Dataset) -> None:
    if data.inputs.dtype.kind not in "fiu":
        raise DataError("inputs are not numbers", where=data.name, got=f"dtype {data.inputs.dtype}")
    if data.inputs.dtype.kind == "f":
        _check_finite(data)
    if data.task == "classification":
        _check_codes(data)
    elif data.classes:
        raise DataError("a regression has no classes", where=data.name, got=f"classes={data.classes}")
    elif data.targets.dtype.kind != "f" or not np.isfinite(data.targets).all():
        raise DataError("targets must be finite numbers", where=data.name, got=f"dtype {data.targets.dtype}")
    if data.test_rows is not None:
        _check_test_rows(data.test_rows, len(data.targets), data.name)


def _check_test_rows(rows: Array, n: int, name: str) -> None:
    law = "some but not all row numbers, sorted, each once"
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or not 0 < len(rows) < n:
        raise DataError("test_rows do not name rows", where=name, got=f"shape {rows.shape}", expected=law)
    if rows[0] < 0 or rows[-1] >= n or (np.diff(rows) <= 0).any():
        raise DataError("test_rows do not name rows of this data set", where=name, expected=law)


def _check_finite(data: Dataset) -> None:
    bad = ~np.isfinite(data.inputs)
    if data.kind == "table":
        bad &= ~np.isnan(data.inputs)
    if bad.any():
        spot = tuple(int(i) for i in np.argwhere(bad)[0])
        raise DataError(
            f"{int(bad.sum())} input values are not finite",
            where=f"{data.name}, first at {spot}",
            got=str(data.inputs[spot]),
            expected="finite numbers" + (" (NaN means missing)" if data.kind == "table" else ""),
            fix="mend or drop those examples",
        )


def _check_codes(data: Dataset) -> None:
    if len(data.classes) < 2:
        raise DataError(
            "a classification needs at least two classes",
            where=data.name,
            got=f"classes={data.classes}",
            fix="check the target column; for numbers to predict use task='regression'",
            code="DATA-096",
        )
    if len(set(data.classes)) != len(data.classes):
        raise DataError("two classes have the same label", where=data.name, got=f"classes={data.classes}")
    codes = data.targets
    if codes.dtype.kind not in "iu" or codes.min() < 0 or codes.max() >= len(data.classes):
        raise DataError(
            "targets are not codes of the classes",
            where=data.name,
            got=f"dtype {codes.dtype}, from {codes.min()} to {codes.max()}",
            expected=f"integers from 0 to {len(data.classes) - 1}",
        )
