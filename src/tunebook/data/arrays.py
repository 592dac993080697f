"""Data sets from arrays in memory and from npz files; nothing is ever unpickled."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tunebook.data._files import available_memory, existing_file, mebibytes
from tunebook.data.dataset import Dataset, Kind, Task
from tunebook.data.encoding import TableEncoding
from tunebook.data.labels import TEXT, label_type
from tunebook.errors import DataError, nearest

Array = NDArray[Any]
PAIRS = (("x", "y"), ("X", "y"), ("inputs", "targets"))
FIXED = ("x_train", "y_train", "x_test", "y_test")
MAX_CODES = 20


def from_arrays(
    x: Any,
    y: Any,
    *,
    kind: Kind | Literal["auto"] = "auto",
    task: Task | Literal["auto"] = "auto",
    classes: tuple[str, ...] = (),
    name: str = "arrays",
) -> Dataset:
    """A data set from anything that numpy reads as arrays: x (n, ...), y (n,). The arrays are copied.

    ``kind`` auto: 2 axes are a table, 3 a sequence (n, channels, length), 4 an image. Images of uint8 are
    divided by 255; other values are kept. ``task`` auto: texts, booleans and at most 20 different whole
    numbers are classes, other numbers a regression. ``classes`` labels the sorted values of y.

    Raises DataError for shapes, dtypes or values that cannot be used, each with what to do.
    """
    inputs, notes = _inputs(_array(x, "x"), kind, name)
    given = _array(y, "y")
    targets, labels, task, more = targets_of(given, task, name)
    told = label_type(given) if labels and not classes else TEXT
    if classes:
        if len(classes) != len(labels):
            raise DataError(
                "labels do not fit the targets", where=name, got=f"{len(classes)} labels", expected=str(len(labels))
            )
        labels = tuple(str(c) for c in classes)
    settled: Kind = {2: "table", 3: "sequence", 4: "image"}[inputs.ndim] if kind == "auto" else kind  # type: ignore[assignment]
    return Dataset(inputs, targets, settled, task, labels, name=name, notes=(*notes, *more), label_type=told)


def load_arrays(path: str | Path, *, kind: Kind | Literal["auto"] = "auto", memory: int | None = None) -> Dataset:
    """A data set from an npz file with x/y, X/y, inputs/targets, or x_train/y_train/x_test/y_test.

    The last form fixes the test part. Also reads what ``save_arrays`` wrote. Pickled objects are refused.
    ``memory`` is the number of bytes that may be used; default: what is free.

    Raises DataError for a file that is missing, damaged, larger than memory or without such arrays.
    """
    path = existing_file(path, "npz file")
    if not zipfile.is_zipfile(path):
        raise DataError(
            "not an npz file, or a damaged one",
            where=str(path),
            expected="arrays written by numpy.savez",
            fix="numpy.savez(path, x=inputs, y=targets)",
        )
    _check_size(path, memory)
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = dict(stored.items())
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise DataError("the npz file is damaged", where=str(path), got=str(error)) from error
    except ValueError as error:
        pickled = "allow_pickle" in str(error)
        raise DataError(
            "the file holds pickled objects" if pickled else "the npz file cannot be read",
            where=str(path),
            got="" if pickled else str(error)[:120],
            expected="arrays of numbers or texts written by numpy.savez",
            fix="numpy.savez(path, x=inputs, y=targets) with arrays of numbers, not of objects",
        ) from error
    return _from_npz(arrays, kind, path)


def save_arrays(dataset: Dataset, path: str | Path) -> Path:
    """Write a data set to an npz file that ``load_arrays`` reads back with the same fingerprint."""
    path = Path(path)
    meta = {"kind": dataset.kind, "task": dataset.task, "name": dataset.name, "label_type": dataset.label_type}
    arrays = {"inputs": dataset.inputs, "targets": dataset.targets}
    arrays |= {f"tunebook_{k}": np.array(v) for k, v in meta.items()}
    for key in ("classes", "feature_names"):
        arrays[f"tunebook_{key}"] = np.array(getattr(dataset, key), dtype=np.str_)
    if dataset.test_rows is not None:
        arrays["tunebook_test_rows"] = dataset.test_rows
    if dataset.encoding is not None:
        arrays["tunebook_encoding"] = np.array(json.dumps(dataset.encoding.to_json()))
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    return path


def targets_of(y: Array, task: Task | Literal["auto"], name: str) -> tuple[Array, tuple[str, ...], Task, list[str]]:
    """(n,) targets as codes or values, the class labels, the task, and notes on what was assumed."""
    if task not in ("auto", "classification", "regression"):
        fix = nearest(task, ("classification", "regression"))
        raise DataError("unknown task", where=name, got=repr(task), expected="classification or regression", fix=fix)
    y = _column(y, name)
    notes: list[str] = []
    numeric = y.dtype.kind in "fiu"
    values, codes = np.unique(y, return_inverse=True)
    whole = numeric and bool((values == np.floor(values)).all())
    if task == "auto":
        task = "classification" if not numeric or (whole and len(values) <= MAX_CODES) else "regression"
        if numeric:
            kinds = f"{len(values)} different {'whole numbers' if whole else 'numbers'}"
            notes.append(f"the target has {kinds}: taken as a {task} (task= says otherwise)")
    if len(values) < 2:
        raise DataError(
            "the target has one value only",
            where=name,
            got=repr(values[0].item()),
            expected="at least two classes, or numbers that differ",
            fix="choose another target, or add the other rows",
            code="DATA-096",
        )
    if task == "regression":
        if not numeric:
            fix = "task='classification'"
            raise DataError("a regression needs numbers as targets", where=name, got=f"dtype {y.dtype}", fix=fix)
        return y.astype(np.float64), (), task, notes
    if len(values) > max(MAX_CODES, len(y) // 2):
        raise DataError(
            "nearly every target is a class of its own",
            where=name,
            got=f"{len(values)} classes in {len(y)} rows",
            fix="task='regression'" if numeric else "choose another target column",
        )
    labels = tuple(str(int(v)) if whole else str(v) for v in values)
    return codes.reshape(-1).astype(np.int64), labels, task, notes + _twins(labels)


def _column(y: Array, name: str) -> Array:
    """The targets as (n,), n > 0, without missing or infinite numbers."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or len(y) == 0:
        raise DataError(
            "targets have the wrong shape",
            where=name,
            got=str(y.shape),
            expected="(n,) with n > 0",
            fix="one-hot targets: y.argmax(axis=1)" if y.ndim == 2 else "one target for each example",
        )
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise DataError(
            "targets are missing or infinite",
            where=name,
            got=f"{int((~np.isfinite(y)).sum())} of {len(y)}, first in row {int(np.argmin(np.isfinite(y)))}",
            fix="drop those examples: there is nothing to learn from them",
        )
    return y


def _twins(labels: tuple[str, ...]) -> list[str]:
    notes: list[str] = []
    first: dict[str, str] = {}
    for label in labels:
        twin = first.setdefault(label.strip().casefold(), label)
        if twin != label:
            notes.append(f"classes {twin!r} and {label!r} differ only in case or spaces")
    return notes


def _array(value: Any, name: str) -> Array:
    try:
        array = np.array(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(
            f"{name} cannot be read as an array",
            where=name,
            got=f"{type(value).__name__} ({error})",
            fix="examples of one shape; a tensor needs .detach().cpu().numpy()",
        ) from error
    if array.dtype.kind == "O":
        texts = {type(v).__name__ for v in array.reshape(-1)[:1000]}
        if texts == {"str"}:
            array = array.astype(np.str_)
        else:
            raise DataError(
                f"{name} holds objects, not numbers",
                where=name,
                got=", ".join(sorted(texts)[:5]),
                fix="convert it to numbers, or write it to a CSV and use load_table, which encodes texts",
            )
    if array.dtype.kind not in "fiubU":
        raise DataError(f"{name} is not numbers or labels", where=name, got=f"dtype {array.dtype}")
    return array


def _inputs(x: Array, kind: Kind | Literal["auto"], name: str) -> tuple[Array, list[str]]:
    if x.dtype.kind == "U":
        raise DataError(
            "inputs are texts", where=name, fix="encode them as numbers, or use load_table, which encodes texts"
        )
    notes: list[str] = []
    if kind == "auto" and x.ndim not in (2, 3, 4):
        raise DataError(
            "inputs have the wrong shape",
            where=name,
            got=str(x.shape),
            expected="(n, features), (n, channels, length) or (n, channels, height, width)",
            fix="x.reshape(-1, 1) for a single feature" if x.ndim == 1 else "reshape the inputs",
        )
    if kind == "auto" and x.ndim == 3 and x.shape[1] == x.shape[2] > 4:
        raise DataError(
            "inputs could be grey images or sequences",
            where=name,
            got=str(x.shape),
            expected="npz:FILE?kind=image for (n, height, width), npz:FILE?kind=sequence for (n, channels, length)",
            fix="say which; in Python: load_arrays(path, kind='image')",
        )
    if kind == "image" and x.ndim == 3:
        x = x[:, None]
        notes.append("grey images (n, height, width) got a channel axis")
    image = x.ndim == 4
    if image and x.shape[3] in (1, 3, 4) and x.shape[1] not in (1, 3, 4):
        raise DataError(
            "images have their channels last",
            where=name,
            got=str(x.shape),
            expected="(n, channels, height, width)",
            fix="x.transpose(0, 3, 1, 2)",
        )
    if image and x.dtype == np.uint8:
        notes.append("pixels of 0..255 were divided by 255")
        return x.astype(np.float32) / np.float32(255), notes
    table = x.ndim == 2 and kind in ("auto", "table")
    if x.dtype.kind in "iu" and not table and not image:
        return x.astype(np.int64), notes
    return x.astype(np.float64 if table else np.float32), notes


def _from_npz(stored: dict[str, Array], kind: Kind | Literal["auto"], path: Path) -> Dataset:
    if "tunebook_kind" in stored:
        return _saved(stored)
    if all(key in stored for key in FIXED):
        xs, ys = [stored[k] for k in ("x_train", "x_test")], [stored[k] for k in ("y_train", "y_test")]
        whole = from_arrays(np.concatenate(xs), np.concatenate(ys), kind=kind, name=path.stem)
        first = len(stored["x_train"])
        return replace(whole, test_rows=np.arange(first, first + len(stored["x_test"])))
    for x, y in PAIRS:
        if x in stored and y in stored:
            return from_arrays(stored[x], stored[y], kind=kind, name=path.stem)
    raise DataError(
        "the file has no inputs and targets that are known by name",
        where=str(path),
        got="arrays " + (", ".join(sorted(stored)[:8]) or "none"),
        expected="x and y, X and y, inputs and targets, or x_train, y_train, x_test and y_test",
        fix="numpy.savez(path, x=inputs, y=targets)",
    )


def _saved(stored: dict[str, Array]) -> Dataset:
    told = {k.removeprefix("tunebook_"): v for k, v in stored.items() if k.startswith("tunebook_")}
    return Dataset(
        stored["inputs"],
        stored["targets"],
        told["kind"].item(),
        told["task"].item(),
        tuple(told["classes"].tolist()),
        tuple(told["feature_names"].tolist()),
        told["name"].item(),
        told.get("test_rows"),
        TableEncoding.from_json(json.loads(told["encoding"].item())) if "encoding" in told else None,
        label_type=told["label_type"].item() if "label_type" in told else TEXT,
    )


def _check_size(path: Path, memory: int | None) -> None:
    with zipfile.ZipFile(path) as archive:
        needed = sum(entry.file_size for entry in archive.infolist())
    free = available_memory() if memory is None else memory
    if needed > free:
        raise DataError(
            "the arrays are larger than the memory that is free",
            where=str(path),
            got=mebibytes(needed),
            expected=f"at most {mebibytes(free)}",
            code="DATA-100",
        )
