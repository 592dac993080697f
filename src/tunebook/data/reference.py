"""A data set named in one line of text, so that another process can open the same one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from tunebook.data._raw import MISSING, Reading
from tunebook.data.arrays import load_arrays
from tunebook.data.bundled import load_mnist1d, load_sklearn
from tunebook.data.dataset import Dataset
from tunebook.data.table import load_table
from tunebook.errors import DataError, Problem, nearest

SCHEMES = ("sklearn", "mnist1d", "csv", "parquet", "npz")
TABLE_OPTIONS = (
    "target", "task", "group", "time", "delimiter", "encoding", "decimal", "missing", "categorical", "drop", "sample",
)  # fmt: skip
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "sklearn": (),
    "mnist1d": (),
    "csv": TABLE_OPTIONS,
    "parquet": TABLE_OPTIONS,
    "npz": ("kind",),
}


@dataclass(frozen=True)
class DataRef:
    """``scheme:location?option=value&...``, with an optional fingerprint that the data must still have.

    >>> DataRef.parse("csv:houses.csv?target=price")
    DataRef(scheme='csv', location='houses.csv', options=(('target', 'price'),), fingerprint='')
    >>> str(DataRef.parse("sklearn:digits"))
    'sklearn:digits'

    Options of csv and parquet: target, group, time, task, delimiter, encoding, decimal, sample, and, repeated, missing,
    categorical, drop. Option of npz: kind. ``missing`` adds to what means "no value" anyway.
    """

    scheme: str
    location: str = ""
    options: tuple[tuple[str, str], ...] = field(default=())
    fingerprint: str = ""

    @classmethod
    def parse(cls, text: str) -> DataRef:
        """Read the one-line form. Raises DataError naming what is unknown, with the nearest known name."""
        text = _text(text)
        head, _, query = text.partition("?")
        scheme, _, location = head.partition(":")
        suffix = Path(head).suffix.lstrip(".").lower()
        if scheme not in SCHEMES:
            guess = {"pq": "parquet", "tsv": "csv", "txt": "csv"}.get(suffix, suffix)
            typed = f"{guess}:{text}" + ("" if "target" in query or guess == "npz" else "?target=COLUMN")
            raise DataError(
                "this does not name a data set",
                where=text,
                expected="sklearn:digits, mnist1d, csv:FILE?target=COLUMN, parquet:FILE?target=COLUMN or npz:FILE",
                fix=typed if guess in SCHEMES else nearest(scheme, SCHEMES),
            )
        pairs = parse_qsl(query, keep_blank_values=True)
        known = (*OPTIONS[scheme], "fingerprint")
        problems = [
            Problem(f"unknown option {key!r}", where=text, fix=nearest(key, known))
            for key, _ in pairs
            if key not in known
        ]
        if scheme in ("csv", "parquet") and not any(key == "target" for key, _ in pairs):
            problems.append(Problem("the column to predict is not named", where=text, fix=f"{head}?target=COLUMN"))
        if not location and scheme != "mnist1d":
            problems.append(Problem(f"{scheme}: needs a {'name' if scheme == 'sklearn' else 'file'}", where=text))
        if problems:
            raise DataError(problems)
        options = tuple(pair for pair in pairs if pair[0] != "fingerprint")
        return cls(scheme, unquote(location), options, dict(pairs).get("fingerprint", ""))

    def __str__(self) -> str:
        pairs = [*self.options, *([("fingerprint", self.fingerprint)] if self.fingerprint else [])]
        query = "?" + urlencode(pairs, quote_via=quote) if pairs else ""
        return self.scheme + (":" + quote(self.location) if self.location else "") + query

    def pinned(self) -> DataRef:
        """The same reference with an absolute path and the fingerprint of the data as it is now."""
        location = str(Path(self.location).resolve()) if self.scheme in ("csv", "parquet", "npz") else self.location
        there = replace(self, location=location)
        return replace(there, fingerprint=open_dataset(there).fingerprint())


def open_dataset(reference: str | DataRef) -> Dataset:
    """The data set that a reference names; each is read once in a process, and again when its file changed.

    Raises DataError for a reference, file or fingerprint that does not hold.
    """
    ref = reference if isinstance(reference, DataRef) else DataRef.parse(reference)
    path = Path(ref.location)
    stamp = ("", 0, 0)
    if ref.scheme in ("csv", "parquet", "npz") and path.is_file():
        stat = path.stat()
        stamp = (str(path.resolve()), stat.st_mtime_ns, stat.st_size)
    found = _opened(replace(ref, fingerprint=""), stamp)
    if ref.fingerprint and found.fingerprint() != ref.fingerprint:
        raise DataError(
            "the data is not what it was",
            where=f"{ref.scheme}:{ref.location}",
            got=f"fingerprint {found.fingerprint()[:12]}",
            expected=ref.fingerprint[:12],
            fix="bring the old data back, or start a new study on the new data",
        )
    return found


def _text(given: Any) -> str:
    if isinstance(given, Path):
        return str(given)
    if not isinstance(given, str):
        raise _no_name(given)
    return given


def _no_name(given: Any) -> DataError:
    """The error for data itself where the name of data is needed: trials run in processes that open it anew."""
    if isinstance(given, Dataset):
        fix = "tunebook.data.save_arrays(dataset, 'data.npz'), then 'npz:data.npz'"
    elif hasattr(given, "to_csv"):
        fix = "frame.to_csv('data.csv', index=False), then 'csv:data.csv?target=COLUMN'"
    else:
        fix = "numpy.savez('data.npz', x=X, y=y), then 'npz:data.npz'"
    return DataError(
        "data is told by name, as other processes open it too",
        where="data",
        got=_in_words(given),
        expected="a text such as 'sklearn:digits', 'csv:FILE?target=COLUMN' or 'npz:FILE'",
        fix=fix,
    )


def _in_words(given: Any) -> str:
    inner = f" of {', '.join(type(v).__name__ for v in given[:4])}" if isinstance(given, tuple | list) else ""
    return f"a {type(given).__name__}{inner}"


@lru_cache(maxsize=8)
def _opened(ref: DataRef, stamp: tuple[str, int, int]) -> Dataset:
    if ref.scheme == "sklearn":
        return load_sklearn(ref.location)
    if ref.scheme == "mnist1d":
        return load_mnist1d()
    told: dict[str, Any] = dict(ref.options)
    if ref.scheme == "npz":
        return load_arrays(ref.location, kind=told.get("kind", "auto"))
    many = {key: tuple(v for k, v in ref.options if k == key) for key in ("missing", "categorical", "drop")}
    sample = told.get("sample", "0")
    if not sample.isdigit():
        raise DataError("sample must be a number of rows", where=str(ref), got=repr(sample))
    reading = Reading(
        told.get("delimiter", ""),
        told.get("encoding", ""),
        told.get("decimal", ""),
        MISSING + many["missing"],
        many["categorical"],
        many["drop"],
        int(sample),
    )
    roles = {"group": told.get("group", ""), "time": told.get("time", "")}
    return load_table(ref.location, told["target"], task=told.get("task", "auto"), reading=reading, **roles)
