"""New rows for a model, in whatever form they come: arrays, a data frame, a file."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunebook.data._numbers import parse
from tunebook.data._raw import MISSING, Column, RawTable
from tunebook.data.encoding import ColumnCode, TableEncoding
from tunebook.data.preprocess import Preprocessor
from tunebook.data.table import as_texts, encode_table, encoded
from tunebook.errors import DataError, Problem, nearest

Array = NDArray[Any]
ARRAYS = (".npz", ".npy")
MOMENTS = {
    "year-month-day": "%Y-%m-%d %H:%M:%S",
    "day-month-year": "%d-%m-%Y %H:%M:%S",
    "month-day-year": "%m-%d-%Y %H:%M:%S",
}


def rows_of(
    given: Any, preprocessor: Preprocessor, encoding: TableEncoding | None = None, features: Sequence[str] = ()
) -> Array:
    """(n, ...) inputs in the form that the preprocessor takes.

    ``given`` is anything that numpy reads as an array of that form, a pandas data frame (columns by name), or the path
    of a CSV, Parquet, npz or npy file. A channel axis of one may be left out; images of uint8 are divided by 255 where
    those that were learned from lie in 0..1, as ``from_arrays`` does it. ``features`` names the columns of a table that
    was not read from a file.

    Raises DataError for columns that are missing, other shapes, and what is no numbers.
    """
    if isinstance(given, str | PathLike):
        inputs = read_rows(Path(given), encoding)
    elif hasattr(given, "columns") and hasattr(given, "isna"):
        inputs = _array(_picked(given, features)) if encoding is None else encode_frame(given, encoding)
    else:
        inputs = _array(given)
    inputs = preprocessor.fitting(inputs)
    in_unit = all(0 <= c <= 1 for c in preprocessor.center)
    if preprocessor.kind == "image" and inputs.dtype == np.uint8 and in_unit:
        return inputs.astype(np.float32) / np.float32(255)
    return inputs


def read_rows(path: Path, encoding: TableEncoding | None) -> Array:
    """The rows of a file: a table for a model of a table from a file, else arrays. Raises DataError."""
    if path.suffix.lower() not in ARRAYS:
        if encoding is None:
            raise DataError("this model takes arrays, not tables", where=str(path), got=path.suffix or "no suffix",
                            expected=".npz with an array x, or .npy", code="DATA-091")  # fmt: skip
        return encode_table(path, encoding)
    if not path.is_file():
        raise DataError("there is no such file", where=str(path), code="CONFIG-033")
    try:
        stored = np.load(path, allow_pickle=False)
        told = stored if isinstance(stored, np.ndarray) else stored["x" if "x" in stored else stored.files[0]]
        return np.asarray(told)
    except (ValueError, OSError, IndexError) as error:
        raise DataError("the file is not an array that can be read", where=str(path), got=str(error),
                        expected="numpy.savez(file, x=...)") from error  # fmt: skip


def encode_frame(frame: Any, encoding: TableEncoding) -> Array:
    """The rows of a pandas data frame as (n, features) inputs, as ``encode_table`` reads those of a file.

    Columns are found by name. A number or a boolean is the category that is written so. Raises DataError for columns
    that are missing, and texts where numbers or dates must be.
    """
    names = [str(name) for name in frame.columns]
    found = [code for code in encoding.columns if code.name in names]
    columns = tuple(_column(frame.iloc[:, names.index(code.name)], code) for code in found)
    rows = RawTable(tuple(code.name for code in found), columns, np.arange(len(frame)))
    return encoded(rows, encoding, "data frame", "row", names)


def _column(series: Any, code: ColumnCode) -> Column:
    kind = series.dtype.kind
    if kind == "b" and code.categories is not None:
        written = {c.casefold(): c for c in code.categories}
        texts = _texts(series)
        return [written.get(t.casefold(), t) for t in texts]
    if kind in "biuf":
        values: Array = series.to_numpy(dtype=np.float64, na_value=np.nan)
        return values if code.categories is None else _as_categories(values, code.categories)
    if code.date and kind == "M":
        gone = series.isna()
        return ["" if g else v.strftime(MOMENTS[code.date]) for v, g in zip(series, gone, strict=True)]
    return _texts(series)


def _texts(series: Any) -> list[str]:
    cells = ("" if gone else str(v).strip() for v, gone in zip(series, series.isna(), strict=True))
    return ["" if c in MISSING else c for c in cells]


def _as_categories(values: Array, categories: Sequence[str]) -> list[str]:
    """Numbers as the categories that have their value: 1.0 is "01" where that, and no "1", is a category."""
    numbers = {parse(c): c for c in reversed(categories) if c}
    known = set(categories)
    return [t if t in known else numbers.get(v, t) for t, v in zip(as_texts(values), values.tolist(), strict=True)]


def _picked(frame: Any, features: Sequence[str]) -> Any:
    """The columns of the features, in their order; the frame as it is where it has none of these names."""
    names = [str(name) for name in frame.columns]
    missing = [name for name in features if name not in names]
    if len(missing) == len(features):
        return frame
    if missing:
        raise DataError([Problem(f"there is no column {m!r}", "data frame", fix=nearest(m, names)) for m in missing])
    return frame.iloc[:, [names.index(name) for name in features]]


def _array(given: Any) -> Array:
    try:
        array = np.asarray(given)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError("inputs cannot be read as an array", got=f"{type(given).__name__} ({error})",
                        fix="examples of one shape; a tensor needs .detach().cpu().numpy()") from error  # fmt: skip
    if array.dtype.kind not in "biuf":
        raise DataError("inputs are not numbers", got=f"dtype {array.dtype}",
                        fix="a model of a CSV or Parquet file takes a data frame, or the path of such a file, with the "
                            "columns by name; others take numbers")  # fmt: skip
    return array
