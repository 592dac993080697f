"""CSV and Parquet tables: texts become 0/1 columns, numbers stay numbers, missing values stay NaN.

Nothing is learned from the values here but which categories exist; means and medians are the
``Preprocessor``'s, from the training rows only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tunebook.data import _dates
from tunebook.data._files import existing_file
from tunebook.data._numbers import decimal_mark, numbers, parse, typos
from tunebook.data._raw import Column, RawTable, Reading, read_raw
from tunebook.data.arrays import targets_of
from tunebook.data.dataset import Dataset, Task
from tunebook.data.encoding import ColumnCode, TableEncoding
from tunebook.data.labels import TEXT, label_type
from tunebook.errors import DataError, Problem, nearest

Array = NDArray[Any]
MAX_CATEGORIES = 100
ID_SHARE = 0.9


@dataclass(frozen=True)
class _Told:
    """What happens to one feature column: its code and values (n, width), or no code; and a note."""

    code: ColumnCode | None
    values: Array | None = None
    note: str = ""


def load_table(
    path: str | Path,
    target: str,
    *,
    group: str = "",
    time: str = "",
    task: Task | Literal["auto"] = "auto",
    reading: Reading | None = None,
    memory: int | None = None,
) -> Dataset:
    """A data set from a CSV or Parquet file with a header, to predict the column ``target`` from the others.

    Text columns become one 0/1 column for each category (at most 100, the commonest), missing numbers NaN.
    Constant and empty columns, and texts that differ in nearly every row, are left out. Rows without a
    target are left out. Dates become numbers: the day, the year, the month, the weekday, the hour. ``group`` names a
    column whose rows are kept together, ``time`` one by whose dates or numbers the rows are put in order, so that what
    is learned from lies before what is tested on; the column of groups is not an input. All of this, and every guess,
    is told in ``Dataset.notes``. ``memory`` is the number of bytes that may be used; default: what is free.

    Raises DataError, with all problems of the file that can be seen at once.
    """
    reading = reading or Reading()
    path = existing_file(path, "table")
    where = str(path)
    raw = _named(read_raw(path, reading, memory))
    _check_names(raw, target, reading, where, {group: "to group by", time: "to order by"})
    raw = _with_target(_without(raw, reading.drop), target, where)
    raw = _in_order(raw, time, where) if time else raw
    groups = _groups(raw, group, where) if group else None
    raw = _without(raw, (group,)) if group else raw
    decimal, guess = _decimal(raw, reading, where)
    columns, problems = _parsed(raw, decimal, reading.categorical)
    problems += _infinite(raw, columns)
    if problems:
        raise DataError([replace(p, where=where) for p in problems])
    told = [_code(n, c) for n, c in zip(raw.names, columns, strict=True) if n != target]
    blocks = [t.values for t in told if t.values is not None]
    if not blocks:
        raise DataError(
            "no column is left to predict from",
            where=where,
            got="; ".join(t.note for t in told)[:200] or f"only the target {target!r}",
            fix="add columns that vary, or name one with categorical=",
            code="DATA-095",
        )
    y = np.array(columns[raw.names.index(target)])
    targets, classes, settled, assumed = targets_of(y, task, f"{where}, column {target!r}")
    encoding = TableEncoding(tuple(t.code for t in told if t.code is not None), target, decimal)
    return Dataset(
        np.hstack(blocks),
        targets,
        "table",
        settled,
        classes,
        encoding.feature_names(),
        path.stem,
        encoding=encoding,
        notes=(*raw.notes, *guess, *(t.note for t in told if t.note), *assumed),
        groups=groups,
        in_time=bool(time),
        label_type=label_type(y) if classes else TEXT,
    )


def encode_table(path: str | Path, encoding: TableEncoding, reading: Reading | None = None) -> Array:
    """The rows of another file as (n, features) inputs, read as the training file was; no target is needed.

    Further columns and the order of columns do not matter. A text that was no category becomes all zeros.

    Raises DataError when columns are missing or a number cannot be read.
    """
    path = existing_file(path, "table")
    return encoded(read_raw(path, reading or Reading(), None), encoding, str(path))


def encoded(raw: RawTable, encoding: TableEncoding, where: str, line: str = "line", names: Sequence[str] = ()) -> Array:
    """(n, features) inputs of raw columns. ``names`` are those that there are, where ``raw`` has the needed ones only.

    Raises DataError as ``encode_table`` does.
    """
    problems = []
    blocks = []
    for code in encoding.columns:
        if code.name not in raw.names:
            problems.append(Problem(f"there is no column {code.name!r}", fix=nearest(code.name, names or raw.names)))
            continue
        column = raw.columns[raw.names.index(code.name)]
        if code.categories is not None:
            blocks.append(_one_hot(as_texts(column), code.categories))
            continue
        if code.date:
            told, odd = _dates.features(as_texts(column), code.date)
            if odd:
                shown = ", ".join(f"{line} {raw.lines[i]}: {column[i]!r}" for i in odd[:3])
                problems.append(Problem(f"column {code.name!r} must be dates", got=shown, expected=code.date))
            blocks.append(told[:, [_dates.PARTS.index(part) for part in code.parts]])
            continue
        values, bad = numbers(column, encoding.decimal) if isinstance(column, list) else (column, [])
        if bad:
            shown = ", ".join(f"{line} {raw.lines[i]}: {column[i]!r}" for i in bad[:3])
            problems.append(Problem(f"column {code.name!r} must be numbers", got=shown, code="DATA-099"))
        blocks.append(values[:, None])
    if problems:
        raise DataError([replace(p, where=where) for p in problems])
    return np.hstack(blocks)


def _named(raw: RawTable) -> RawTable:
    """Without the row numbers that a data frame wrote as a first column; other empty names get a name."""
    if "" not in raw.names:
        return raw
    names = tuple(n or f"column_{i + 1}" for i, n in enumerate(raw.names))
    notes = [f"column {i + 1} has no name: called column_{i + 1}" for i, n in enumerate(raw.names) if not n]
    first = raw.columns[0]
    counting = isinstance(first, list) and first[:1000] == [str(i) for i in range(len(first))][:1000]
    named = replace(raw, names=names, notes=(*raw.notes, *notes))
    if raw.names[0] or not counting:
        return named
    without = _without(named, (names[0],))
    return replace(without, notes=(*raw.notes, "column 1 has no name and counts the rows: left out", *notes[1:]))


def _without(raw: RawTable, drop: Sequence[str]) -> RawTable:
    kept = [i for i, n in enumerate(raw.names) if n not in drop]
    return replace(raw, names=tuple(raw.names[i] for i in kept), columns=tuple(raw.columns[i] for i in kept))


def _check_names(raw: RawTable, target: str, reading: Reading, where: str, more: Mapping[str, str]) -> None:
    twice = [name for name, count in Counter(raw.names).items() if count > 1]
    if twice:
        places = [str(i + 1) for i, n in enumerate(raw.names) if n == twice[0]]
        raise DataError(
            f"{len(twice)} column {'name is' if len(twice) == 1 else 'names are'} used more than once",
            where=where,
            got=f"{twice[0]!r} in columns {', '.join(places)}",
            expected="a different name for each column",
            fix="rename one of them in the header",
            code="DATA-098",
        )
    roles = {target: "to predict", **dict.fromkeys(reading.categorical, "to use as categories")}
    roles |= {name: "to drop" for name in reading.drop if name != target}
    roles |= {name: role for name, role in more.items() if name}
    for name, role in roles.items():
        if name not in raw.names:
            headless = all(_is_number(n) for n in raw.names)
            header = "the first line looks like numbers: add a header with names"
            raise DataError(
                f"there is no column {name!r} {role}",
                where=where,
                got="columns " + ", ".join(raw.names[:8]) + (", ..." if len(raw.names) > 8 else ""),
                fix=header if headless else nearest(name, raw.names),
                code="DATA-091",
            )
    if target in reading.drop:
        raise DataError(f"the target {target!r} cannot be dropped", where=where, fix="take it out of drop")


def _is_number(text: str) -> bool:
    return text != "" and parse(text) is not None


def _with_target(raw: RawTable, target: str, where: str) -> RawTable:
    """The rows that have a target, with a note on those that have none."""
    column = raw.columns[raw.names.index(target)]
    has = np.array([c != "" for c in column]) if isinstance(column, list) else ~np.isnan(column)
    gone = int((~has).sum())
    if gone == len(has):
        raise DataError(f"the target column {target!r} is empty in every row", where=where, code="DATA-095")
    if not gone:
        return raw
    rows = np.flatnonzero(has)
    columns = tuple([c[i] for i in rows] if isinstance(c, list) else c[rows] for c in raw.columns)
    note = f"{gone} {'row' if gone == 1 else 'rows'} without a target left out (first: line {raw.lines[~has][0]})"
    return RawTable(raw.names, columns, raw.lines[rows], (*raw.notes, note))


def _decimal(raw: RawTable, reading: Reading, where: str) -> tuple[str, list[str]]:
    """The decimal mark, and a note where numbers were written with commas."""
    texts = _texts(raw, reading.categorical)
    decimal = reading.decimal or decimal_mark(texts, where)
    if decimal == ",":
        return decimal, ["numbers have a decimal comma: 1.234,5 was read as 1234.5"]
    grouped = [n for n, cells in texts.items() if any("," in c for c in cells) and not numbers(cells, ".")[1]]
    if grouped:
        return decimal, [f"column {grouped[0]!r} has thousands separators: 1,234.5 was read as 1234.5"]
    return decimal, []


def _texts(raw: RawTable, categorical: Sequence[str]) -> dict[str, list[str]]:
    pairs = zip(raw.names, raw.columns, strict=True)
    return {name: column for name, column in pairs if isinstance(column, list) and name not in categorical}


def _parsed(raw: RawTable, decimal: str, categorical: Sequence[str]) -> tuple[list[Column], list[Problem]]:
    """Columns that are numbers as float64, the others as texts; and columns with a few cells amiss."""
    columns: list[Column] = []
    problems = []
    for name, column in zip(raw.names, raw.columns, strict=True):
        if name in categorical:
            columns.append(as_texts(column))
        elif isinstance(column, list):
            values, bad = numbers(column, decimal)
            problem = typos(name, column, bad, raw.lines)
            problems += [problem] if problem else []
            columns.append(column if bad else values)
        else:
            columns.append(column)
    return columns, problems


def _infinite(raw: RawTable, columns: Iterable[Column]) -> list[Problem]:
    problems = []
    for name, column in zip(raw.names, columns, strict=True):
        if not isinstance(column, list) and np.isinf(column).any():
            first = raw.lines[int(np.argmax(np.isinf(column)))]
            problems.append(
                Problem(f"column {name!r} holds infinity", got=f"first in line {first}", fix="mend or empty it")
            )
    return problems


def as_texts(column: Column) -> list[str]:
    if isinstance(column, list):
        return column
    return ["" if np.isnan(v) else (str(int(v)) if v == np.floor(v) else repr(float(v))) for v in column]


def _code(name: str, column: Column) -> _Told:
    """What becomes of a feature column."""
    if not isinstance(column, list):
        seen = column[~np.isnan(column)]
        if len(seen) == 0:
            return _Told(None, None, f"column {name!r} is empty: left out")
        if seen.min() == seen.max():
            return _Told(None, None, f"column {name!r} is constant ({seen[0]:g}): left out")
        return _Told(ColumnCode(name), column[:, None])
    counts = Counter(column)
    found = len(counts) - ("" in counts)
    if len(counts) == 1:
        return _Told(None, None, f"column {name!r} is constant ({column[0]!r}): left out")
    form = _dates.form_of(column)
    if form:
        return _dated(name, column, form)
    if found > max(20, ID_SHARE * (len(column) - counts[""])):
        note = f"column {name!r} has {found} different texts in {len(column)} rows, such as {column[0]!r}: left out"
        return _Told(None, None, note)
    note = ""
    if len(counts) > MAX_CATEGORIES:
        note = f"column {name!r} has {found} categories: the {MAX_CATEGORIES} commonest are used"
        counts = Counter(dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:MAX_CATEGORIES]))
    categories = tuple(sorted(counts))
    return _Told(ColumnCode(name, categories), _one_hot(column, categories), note)


def _dated(name: str, cells: Sequence[str], form: str) -> _Told:
    """A column of dates: those of its parts that vary."""
    values, _ = _dates.features(cells, form)
    varies = np.nanmax(values, axis=0) > np.nanmin(values, axis=0)
    parts = tuple(part for part, v in zip(_dates.PARTS, varies, strict=True) if v)
    note = f"column {name!r} is dates ({form}): {', '.join(parts)}"
    return _Told(ColumnCode(name, None, form, parts), values[:, varies], note)


def _in_order(raw: RawTable, time: str, where: str) -> RawTable:
    """The rows in the order of a column of dates or numbers. Raises DataError for texts that are neither."""
    column = raw.columns[raw.names.index(time)]
    keys = column
    if isinstance(column, list):
        form = _dates.form_of(column)
        keys, bad = (_dates.features(column, form)[0][:, 0], []) if form else numbers(column, ".")
        if bad:
            raise DataError(f"column {time!r} has no order", where=where, got=repr(column[bad[0]]),
                            expected="dates such as 2024-01-31, or numbers", code="DATA-099")  # fmt: skip
    if np.isnan(np.asarray(keys)).any():
        raise DataError(f"column {time!r} has gaps", where=where, fix="drop those rows: they have no place in time")
    order = np.argsort(np.asarray(keys), kind="stable")
    columns = tuple([c[i] for i in order] if isinstance(c, list) else c[order] for c in raw.columns)
    return RawTable(raw.names, columns, raw.lines[order], (*raw.notes, f"rows are in the order of {time!r}"))


def _groups(raw: RawTable, group: str, where: str) -> Array:
    """(n,) the number of each row's group."""
    cells = as_texts(raw.columns[raw.names.index(group)])
    _, codes = np.unique(np.array(cells), return_inverse=True)
    if codes.max() == 0:
        raise DataError(f"column {group!r} has one group only", where=where, code="DATA-096")
    return np.asarray(codes.reshape(-1), dtype=np.int64)


def _one_hot(cells: Sequence[str], categories: Sequence[str]) -> Array:
    """(n, categories) of 0 and 1; a cell that is no category is a row of zeros."""
    place = {c: i for i, c in enumerate(categories)}
    codes = np.array([place.get(c, -1) for c in cells])
    flags: Array = codes[:, None] == np.arange(len(categories))
    return flags.astype(np.float64)
