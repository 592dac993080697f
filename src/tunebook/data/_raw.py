"""A table as it lies in a file, CSV or Parquet, before any column means anything."""

from __future__ import annotations

import codecs
import csv
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunebook.data._files import available_memory, mebibytes
from tunebook.errors import DataError, MissingExtraError, SettingError

Array = NDArray[Any]
Column = list[str] | Array
DELIMITERS = (",", ";", "\t", "|")
MISSING = ("", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "#N/A")
BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
MAGIC = ((b"PK\x03\x04", "a zip or Excel file"), (b"\x1f\x8b", "a gzip file"), (b"SQLite format 3", "SQLite"))
CELL_BYTES = {"csv": 96, "parquet": 24}


@dataclass(frozen=True)
class Reading:
    """How to read a file; empty texts are guessed, and what was guessed is noted.

    delimiter     , ; | or tab                     encoding   utf-8, or what a byte order mark says
    decimal       "." or ","                       missing    cells that mean "no value"
    categorical   numeric columns that are labels  drop       columns to leave out
    sample        rows to keep, drawn evenly and the same each time; 0 keeps all
    """

    delimiter: str = ""
    encoding: str = ""
    decimal: str = ""
    missing: tuple[str, ...] = MISSING
    categorical: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    sample: int = 0

    def __post_init__(self) -> None:
        if self.decimal not in ("", ".", ","):
            raise SettingError("unknown decimal mark", where="decimal", got=repr(self.decimal), expected="'.' or ','")
        if self.sample < 0:
            raise SettingError("sample must be a number of rows", where="sample", got=repr(self.sample))
        if len(self.delimiter) > 1:
            raise SettingError(
                "a delimiter is one character", where="delimiter", got=repr(self.delimiter), fix=r"'\t' for a tab"
            )
        try:
            codecs.lookup(self.encoding or "utf-8")
        except LookupError as error:
            raise SettingError(
                "unknown encoding", where="encoding", got=repr(self.encoding), expected="utf-8, cp1252, utf-16, ..."
            ) from error


@dataclass(frozen=True)
class RawTable:
    """Columns by position: texts where a missing value is "", or float64 with NaN. ``lines``: (n,) in the file."""

    names: tuple[str, ...]
    columns: tuple[Column, ...]
    lines: Array
    notes: tuple[str, ...] = ()


def read_raw(path: Path, reading: Reading, memory: int | None) -> RawTable:
    """The file's columns. Raises DataError for all that makes it unreadable."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head[:4] == b"PAR1" or path.suffix in (".parquet", ".pq"):
        return _read_parquet(path, reading, memory)
    for magic, what in MAGIC:
        if head.startswith(magic):
            fix = "save it as CSV or Parquet" if magic[0] == b"P"[0] else "unpack or export it as CSV"
            raise DataError(f"this is {what}, not a table in text", where=str(path), fix=fix)
    guessed = next((name for bom, name in BOMS if head.startswith(bom)), "utf-8")
    encoding = reading.encoding or guessed
    if b"\x00" in head and not encoding.startswith("utf-16"):
        raise DataError(
            "the file holds zero bytes: it is binary, or UTF-16 without a mark",
            where=str(path),
            fix="encoding='utf-16', or save it as UTF-8",
            code="DATA-094",
        )
    try:
        return _read_csv(path, reading, encoding, memory)
    except UnicodeDecodeError as error:
        raise _encoding_error(path, encoding) from error


def _read_csv(path: Path, reading: Reading, encoding: str, memory: int | None) -> RawTable:
    with path.open(encoding=encoding, newline="") as file:
        start = file.readlines(65536)
        delimiter, notes = _delimiter(start, reading.delimiter, path)
        file.seek(0)
        rows = _rows(file, delimiter, path)
        _, names = next(rows, (0, []))
        names = [n.strip() for n in names]
        if not reading.sample:
            mean = sum(len(line.encode()) for line in start) / max(1, len(start))
            _check_memory(path, "csv", round(path.stat().st_size / max(1.0, mean)), len(names), memory)
        kept = list(_even(_full_rows(rows, len(names), path), reading.sample))
    if not kept:
        raise DataError("the table has a header and no rows", where=str(path), code="DATA-035")
    gone = frozenset(reading.missing)
    columns: list[Column] = []
    for place in range(len(names)):
        cells = (row[place].strip() for _, row in kept)
        columns.append(["" if c in gone else c for c in cells])
    lines = np.array([line for line, _ in kept])
    return RawTable(tuple(names), tuple(columns), lines, tuple(notes))


def _rows(file: Iterable[str], delimiter: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each row that is not blank."""
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    line = 1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"the quotes do not match: {error}",
                where=f"{path}, line {line}",
                fix="close the quote, and write a quote inside a text twice",
            ) from error
        if row and (len(row) > 1 or row[0].strip()):
            yield line, row
        line = reader.line_num + 1


def _full_rows(rows: Iterable[tuple[int, list[str]]], width: int, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Pass rows of the right width on; at the end raise DataError with the first three that are not."""
    ragged: list[str] = []
    count = 0
    for line, row in rows:
        if len(row) == width:
            yield line, row
            continue
        count += 1
        if count <= 3:
            ragged.append(f"line {line}: {len(row)}")
    if count:
        raise DataError(
            f"{count} {'row has' if count == 1 else 'rows have'} another number of cells than the header",
            where=str(path),
            got=", ".join(ragged) + (", ..." if count > 3 else ""),
            expected=f"{width} cells",
            fix="mend those lines; a text that holds the delimiter needs quotes",
            code="DATA-092",
        )


def _even(rows: Iterable[tuple[int, list[str]]], sample: int) -> Iterator[tuple[int, list[str]]]:
    """All rows, or an even sample of them in the order of the file (reservoir sampling, Vitter 1985)."""
    if not sample:
        yield from rows
        return
    rng = random.Random(0)
    kept: list[tuple[int, list[str]]] = []
    for seen, row in enumerate(rows):
        if seen < sample:
            kept.append(row)
        elif (place := rng.randrange(seen + 1)) < sample:
            kept[place] = row
    yield from sorted(kept, key=lambda pair: pair[0])


def _delimiter(start: list[str], given: str, path: Path) -> tuple[str, list[str]]:
    """The delimiter, and a note if it is not the comma and was guessed."""
    fits = {d: _fit(start, d) for d in DELIMITERS}
    best = max(DELIMITERS, key=lambda d: fits[d])
    if given:
        width = len(next(csv.reader(start, delimiter=given), []))
        if width == 1 and fits[best][0] > 0.9:
            raise DataError(
                f"the delimiter {given!r} gives one column",
                where=str(path),
                got=f"header {start[0].strip()[:60]!r}",
                expected=f"{best!r} gives {int(fits[best][1])} columns",
                fix=f"delimiter={best!r}",
                code="DATA-093",
            )
        return given, []
    if fits[best][1] < 2:
        return ",", []
    return best, [] if best == "," else [f"the delimiter is {best!r} (guessed)"]


def _fit(start: list[str], delimiter: str) -> tuple[float, float]:
    """Share of the first rows as wide as the header, and that width; (0, 0) if it is one column."""
    widths = [len(row) for row in csv.reader(start[:200], delimiter=delimiter) if row]
    if not widths or widths[0] < 2:
        return 0.0, 0.0
    return sum(w == widths[0] for w in widths) / len(widths), float(widths[0])


def _encoding_error(path: Path, encoding: str) -> DataError:
    text = "utf-8" if encoding == "utf-8-sig" else encoding
    where, shown = str(path), ""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode(text)
            except UnicodeDecodeError as error:
                around = line[max(0, error.start - 12) : error.start + 8].decode("cp1252", "replace").strip()
                where = f"{path}, line {number}, byte {error.start + 1}"
                shown = f"byte 0x{line[error.start]:02x}; as cp1252 it would read {around!r}"
                break
    return DataError(
        f"the file is not {encoding}",
        where=where,
        got=shown,
        fix="encoding='cp1252' (Windows, Western Europe), or save the file as UTF-8",
        code="DATA-094",
    )


def _check_memory(path: Path, form: str, rows: int, columns: int, memory: int | None) -> None:
    free = available_memory() if memory is None else memory
    needed = rows * columns * CELL_BYTES[form]
    if needed > free:
        fitting = max(1, free // (2 * columns * CELL_BYTES[form]))
        raise DataError(
            "the table is larger than the memory that is free",
            where=str(path),
            got=f"about {rows:,} rows x {columns} columns, {mebibytes(needed)}",
            expected=f"at most {mebibytes(free)}",
            fix=f"sample={fitting} draws that many rows evenly",
            code="DATA-100",
        )


def _read_parquet(path: Path, reading: Reading, memory: int | None) -> RawTable:
    try:
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtraError.of("pyarrow", "data", "reading Parquet") from error
    try:
        file = pq.ParquetFile(path)
        total, names = file.metadata.num_rows, tuple(file.schema_arrow.names)
        if total == 0 or not names:
            raise DataError("the table has no rows or no columns", where=str(path), code="DATA-035")
        rows = np.arange(total)
        if reading.sample and reading.sample < total:
            rows = np.sort(np.random.default_rng(0).choice(total, reading.sample, replace=False))
        _check_memory(path, "parquet", len(rows), len(names), memory)
        table = pa.concat_tables(_sampled(file, rows))
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            "the Parquet file cannot be read", where=str(path), got=str(error).splitlines()[0][:120]
        ) from error
    notes: list[str] = []
    columns: list[Column] = []
    for place, name in enumerate(names):
        column, note = _parquet_column(table.column(place), name, frozenset(reading.missing))
        columns.append(column)
        notes += note
    return RawTable(names, tuple(columns), rows + 1, tuple(notes))


def _sampled(file: Any, rows: Array) -> Iterator[Any]:
    import pyarrow as pa  # noqa: PLC0415

    first = 0
    for batch in file.iter_batches():
        mine = rows[(rows >= first) & (rows < first + batch.num_rows)] - first
        yield pa.Table.from_batches([batch]).take(pa.array(mine))
        first += batch.num_rows


def _parquet_column(column: Any, name: str, gone: frozenset[str]) -> tuple[Column, list[str]]:
    """Numbers and booleans as float64, texts as texts; other types as all missing, with a note."""
    import pyarrow as pa  # noqa: PLC0415

    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        texts = (t.strip() if t is not None else "" for t in column.to_pylist())
        return ["" if t in gone else t for t in texts], []
    if pa.types.is_boolean(kind):
        column, kind = column.cast(pa.int8()), pa.int8()
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return np.array(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64), []
    empty = np.full(len(column), np.nan)
    return empty, [] if pa.types.is_null(kind) else [f"column {name!r} of type {kind} cannot be used as numbers"]
