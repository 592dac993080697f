"""Texts that are numbers, with the decimal mark and thousands separators of the file they came from."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunebook.errors import DataError, Problem

Array = NDArray[Any]
_EXPONENT = r"(?:[eE][+-]?\d+)?"
# "1,234.5" and "1234.5"; "1.234,5" and "1234,5". The leading group has no leading zero, so 0,123 is a decimal.
DOT = re.compile(r"[+-]?(?:[1-9]\d{0,2}(?:,\d{3})+|\d+)(?:\.\d*)?" + _EXPONENT)
COMMA = re.compile(r"[+-]?(?:[1-9]\d{0,2}(?:\.\d{3})+|\d+)(?:,\d*)?" + _EXPONENT)
TYPO_SHARE = 0.8
MIN_DISTINCT = 20


def parse(text: str, decimal: str = ".") -> float | None:
    """The number a text means, or None.

    >>> parse("1,234.5"), parse("1.234,5", ","), parse("3.5e-4"), parse("12 Main St")
    (1234.5, 1234.5, 0.00035, None)
    """
    if (COMMA if decimal == "," else DOT).fullmatch(text):
        text = text.replace(".", "").replace(",", ".") if decimal == "," else text.replace(",", "")
    elif "," in text or "_" in text or (decimal == "," and "." in text):
        return None
    try:
        return float(text)
    except ValueError:
        return None


def decimal_mark(texts: Mapping[str, Sequence[str]], where: str) -> str:
    """The decimal mark that all number-like columns agree on; "." where nothing speaks for ",".

    Raises DataError when the columns contradict each other, or when every number with a comma could be read
    both ways, such as 1,234.
    """
    with_commas = {n for n, cells in texts.items() if any("," in c for c in cells) and _like_numbers(cells)}
    if not with_commas:
        return "."
    dots: list[tuple[str, str]] = []
    commas: list[tuple[str, str]] = []
    both: list[tuple[str, str]] = []
    for name, cells in texts.items():
        if name not in with_commas and not _like_numbers(cells):
            continue
        for cell in sorted({c for c in cells if "," in c or "." in c}):
            dot, comma = DOT.fullmatch(cell), COMMA.fullmatch(cell)
            if not (dot and comma):
                (dots if dot else commas).append((name, cell))
            elif "," in cell:
                both.append((name, cell))
    if commas and dots:
        return _refuse("the file uses two decimal marks", dots[0], commas[0], where)
    if commas:
        return ","
    if both and not dots:
        return _refuse("a comma could be a decimal mark or a thousands separator", both[0], both[-1], where)
    return "."


def _like_numbers(cells: Sequence[str]) -> bool:
    """Whether every cell that is filled is a number by one convention or the other."""
    return all(c == "" or DOT.fullmatch(c) or COMMA.fullmatch(c) for c in cells)


def _refuse(what: str, one: tuple[str, str], other: tuple[str, str], where: str) -> str:
    shown = dict.fromkeys(f"{cell!r} in column {name!r}" for name, cell in (one, other))
    raise DataError(
        what,
        where=where,
        got=" and ".join(shown),
        fix="decimal='.' reads 1,234 as 1234; decimal=',' reads it as 1.234",
        code="DATA-099",
    )


def numbers(cells: Sequence[str], decimal: str) -> tuple[Array, list[int]]:
    """(n,) float64, NaN for missing cells and for those that are no numbers; and the places of the latter."""
    if decimal == "." and not any("_" in c for c in cells):
        with contextlib.suppress(ValueError):  # then some cells are no plain numbers: the slow way says which
            return np.array([float(c) if c else np.nan for c in cells]), []
    known: dict[str, float | None] = {"": float("nan")}
    for cell in cells:
        if cell not in known:
            known[cell] = parse(cell, decimal)
    values = [known[c] for c in cells]
    bad = [i for i, v in enumerate(values) if v is None]
    return np.array([np.nan if v is None else v for v in values]), bad


def typos(name: str, cells: Sequence[str], bad: list[int], lines: Array) -> Problem | None:
    """A problem, if the column is numbers but for a few cells; None if it is a column of texts."""
    filled = sum(c != "" for c in cells)
    others = set(cells) - {cells[i] for i in bad} - {""}
    if not bad or len(bad) > (1 - TYPO_SHARE) * filled or len(others) <= MIN_DISTINCT:
        return None
    shown = ", ".join(f"line {lines[i]}: {cells[i]!r}" for i in bad[:3])
    return Problem(
        f"column {name!r} is numbers, except in {len(bad)} of {filled} cells",
        got=shown + (", ..." if len(bad) > 3 else ""),
        fix=f"mend them, or missing=(..., {cells[bad[0]]!r}), or categorical=({name!r},)",
        code="DATA-099",
    )
