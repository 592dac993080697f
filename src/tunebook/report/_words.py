"""What the renderers share: hidden characters made visible, numbers given sensible digits, figures as tables."""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections.abc import Sequence
from typing import TypeGuard

from tunebook.report.base import (
    Bars,
    Cell,
    Column,
    Figure,
    Images,
    Lines,
    Matrix,
    Parallel,
    Scatter,
    Series,
    Table,
)

SIGNS = {"good": "✓", "info": "i", "warn": "!", "bad": "✗"}
SPARKS = "▁▂▃▄▅▆▇█"
_BIDI = frozenset("\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
_SUSPECT = re.compile(r"[^\n\t -~]")


def visible(text: str, newlines: bool = False) -> str:
    """``text`` with every control character, text direction mark and lone surrogate written out as its escape,
    so that it can neither move a cursor nor reorder what stands beside it. Newlines become spaces unless kept.

    >>> visible("a\\x1b[31m\\u202eb")
    'a\\\\x1b[31m\\\\u202eb'
    """
    if not newlines:
        text = text.replace("\r\n", " ").replace("\n", " ").replace("\t", " ")
    return _SUSPECT.sub(lambda m: _escape(m.group()), text)


def _escape(char: str) -> str:
    if unicodedata.category(char) in ("Cc", "Cs") or char in _BIDI:
        return f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}"
    return char


def number(value: float, digits: int = 4) -> str:
    """A number with ``digits`` significant digits; whole numbers are shown whole.

    >>> [number(v) for v in (0.123456, 12.0, 1e-05, 0.00012346, 123456.7, float("nan"), float("-inf"))]
    ['0.1235', '12', '1e-05', '0.0001235', '123457', 'NaN', '-∞']
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    if 1e-4 <= abs(value) < 1e6:
        decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
        rounded = f"{value:.{decimals}f}"
        return rounded.rstrip("0").rstrip(".") if "." in rounded else rounded
    return f"{value:.{digits}g}"


def column_texts(column: Column, cells: Sequence[Cell]) -> list[str]:
    """The cells of a column as text: numbers of one magnitude get the same decimals, so that they line up.

    >>> column_texts(Column("accuracy", "number"), [0.97, 0.9, None])
    ['0.9700', '0.9000', '']
    >>> column_texts(Column("lr", "number"), [0.1, 0.0001])
    ['0.1', '0.0001']
    """
    decimals = _decimals(column, cells)
    return [cell_text(cell, column.digits, decimals) for cell in cells]


def cell_text(cell: Cell, digits: int = 4, decimals: int | None = None) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, str):
        return visible(cell)
    if decimals is not None and math.isfinite(cell):
        return f"{cell:.{decimals}f}"
    return number(cell, digits)


def _decimals(column: Column, cells: Sequence[Cell]) -> int | None:
    """How many decimals suit all numbers of a column; None where each number is better off on its own."""
    if column.kind != "number":
        return None
    numbers = [abs(c) for c in cells if is_number(c) and math.isfinite(c)]
    sizes = sorted(n for n in numbers if n > 0)
    if not sizes or all(n == int(n) for n in numbers) or sizes[-1] / sizes[0] >= 1000:
        return None
    decimals = column.digits - 1 - math.floor(math.log10(sizes[(len(sizes) - 1) // 2]))
    return max(0, decimals) if decimals <= column.digits + 2 else None


def is_number(cell: Cell) -> TypeGuard[float]:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def numbers_of(cells: Sequence[Cell]) -> list[float]:
    """The finite numbers among ``cells``."""
    return [float(c) for c in cells if is_number(c) and math.isfinite(c)]


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """``values`` as a row of blocks, averaged down to ``width``; a value that is not finite is a blank.

    >>> sparkline([0, 1, 2, float("nan"), 7])
    '▁▂▃ █'
    """
    if len(values) > width:
        cuts = [round(i * len(values) / width) for i in range(width + 1)]
        parts = [[v for v in values[a:b] if math.isfinite(v)] for a, b in itertools.pairwise(cuts)]
        values = [sum(v / len(p) for v in p) if p else math.nan for p in parts]
    finite = [v for v in values if math.isfinite(v)]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    span = high / 2 - low / 2  # halves, so that the widest range of doubles does not overflow
    top = len(SPARKS) - 1
    return "".join(
        " " if not math.isfinite(v) else SPARKS[round(top * ((v / 2 - low / 2) / span)) if span > 0 else 0]
        for v in values
    )


def reason_empty(figure: Figure | Table) -> str:
    """The sentence to show in place of a figure that has nothing to show; "" for one that has."""
    if figure.empty:
        return visible(figure.empty)
    return "" if _has_data(figure) else "Nothing to show yet."


def _has_data(figure: Figure | Table) -> bool:
    match figure:
        case Lines():
            return any(numbers_of(s.y) for s in figure.series)
        case Scatter():
            return any(p.x for p in figure.points) or any(numbers_of(s.y) for s in figure.lines)
        case Bars():
            return any(math.isfinite(b.value) for b in figure.bars)
        case Matrix():
            return any(numbers_of(row) for row in figure.values)
        case Images():
            return any(image.pixels for image in figure.images)
        case Parallel():
            return bool(figure.rows) and len(figure.axes) > 1
    return bool(figure.rows)


def series_name(series: Series) -> str:
    return visible(f"{series.name} · {series.role}" if series.role else series.name)


def summary_table(figure: Figure, sparks: bool = True) -> Table:
    """The figure told in a few rows, for media that cannot draw it; ``sparks``: with a small drawing of each line."""
    match figure:
        case Lines():
            return _summary_of_lines(figure, sparks)
        case Scatter():
            return _summary_of_scatter(figure)
        case Bars():
            rows = [(b.label, b.value, b.low, b.high) for b in figure.bars]
            names = ("", figure.x.label or "value", "low", "high")
            return Table(_number_columns(names), rows, figure.title)
        case Matrix():
            corner = " \\ ".join(t for t in (figure.row_title, figure.column_title) if t)
            return Table(
                _number_columns((corner, *figure.columns)),
                [(label, *row) for label, row in zip(figure.rows, figure.values, strict=True)],
                figure.title,
            )
        case Parallel():
            return _summary_of_parallel(figure)
        case Images():
            return Table((Column("picture"),), [(image.caption,) for image in figure.images], figure.title)


def _number_columns(names: Sequence[str]) -> list[Column]:
    return [Column(names[0]), *(Column(name, "number") for name in names[1:])]


def _summary_of_lines(figure: Lines, sparks: bool) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for s in figure.series:
        finite = numbers_of(s.y)
        ends = (s.y[0], min(finite), max(finite), s.y[-1]) if finite else (None, None, None, None)
        shape = (sparkline(s.y, 24),) if sparks else ()
        rows.append((series_name(s), *shape, *ends))
    ends_of = [Column(name, "number") for name in ("first", "least", "most", "last")]
    columns = [Column("series"), *([Column("shape")] if sparks else []), *ends_of]
    return Table(columns, rows, figure.title)


def _summary_of_scatter(figure: Scatter) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for points in figure.points:
        finite = numbers_of(points.y)
        ends = (min(finite), max(finite)) if finite else (None, None)
        rows.append((points.name, len(points.y), len(points.y) - len(finite), *ends))
    for line in figure.lines:
        finite = numbers_of(line.y)
        ends = (min(finite), max(finite)) if finite else (None, None)
        rows.append((series_name(line), len(line.y), len(line.y) - len(finite), *ends))
    y = figure.y.label
    names = ("", "points", "without a value", f"least {y}", f"most {y}")
    return Table(_number_columns(names), rows, figure.title)


def _summary_of_parallel(figure: Parallel, best: int = 5) -> Table:
    def loss(pair: tuple[str, Sequence[Cell]]) -> float:
        value = pair[1][-1]
        if not is_number(value) or not math.isfinite(value):
            return math.inf
        return value if figure.better == "lower" else -value

    ranked = sorted(zip(figure.labels, figure.rows, strict=True), key=loss)[:best]
    columns = [Column(axis.label, "text" if axis.scale == "category" else "number") for axis in figure.axes]
    return Table([Column(""), *columns], [(label, *row) for label, row in ranked], figure.title)
