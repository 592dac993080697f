"""Figures in characters: points and lines on a grid of braille dots, two by four a character."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tunebook.report._words import number, visible
from tunebook.report.base import Axis, Cell, Lines, Scatter

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


@dataclass(frozen=True)
class _Range:
    """The ends of an axis in its own scale (log10 on a log axis); ``names`` are the categories of a category axis."""

    axis: Axis
    low: float
    high: float
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, axis: Axis, values: Iterable[Cell]) -> _Range | None:
        if axis.scale == "category":
            names = tuple(dict.fromkeys((*axis.categories, *(str(v) for v in values if v is not None))))
            return cls(axis, -0.5, len(names) - 0.5, names) if names else None
        known = [p for p in (_forward(axis, v) for v in (*values, axis.low, axis.high)) if p is not None]
        if not known:
            return None
        low, high = min(known), max(known)
        return cls(axis, low, high) if high > low else cls(axis, low - 0.5, high + 0.5)

    def place(self, value: Cell) -> float | None:
        """Where ``value`` lies, from 0 to 1; None for one that has no place."""
        if self.names:
            at: float | None = float(self.names.index(str(value))) if str(value) in self.names else None
        else:
            at = _forward(self.axis, value)
        if at is None:
            return None
        return min(1.0, max(0.0, (at / 2 - self.low / 2) / ((self.high / 2 - self.low / 2) or 1)))

    def ends(self) -> tuple[str, str]:
        if self.names:
            return visible(self.names[0]), visible(self.names[-1])
        low, high = (10.0 ** min(v, 308.25) if self.axis.scale == "log" else v for v in (self.low, self.high))
        return number(low, 3), number(high, 3)


def _forward(axis: Axis, value: Cell) -> float | None:
    if isinstance(value, str) or value is None or not math.isfinite(value):
        return None
    if axis.scale == "log":
        return math.log10(value) if value > 0 else None
    return float(value)


def axis_title(axis: Axis) -> str:
    return visible(axis.label) + (" (log)" if axis.scale == "log" else "")


def plot(figure: Lines | Scatter, width: int = 64, height: int = 10) -> list[str]:
    """``figure`` as ``height`` rows of about ``width`` characters, and a row for the x axis; [] without data."""
    lines = figure.series if isinstance(figure, Lines) else figure.lines
    points = figure.points if isinstance(figure, Scatter) else ()
    xs = [v for s in lines for v in s.x] + [v for p in points for v in p.x]
    ys = [v for s in lines for v in s.y] + [v for p in points for v in p.y]
    x, y = _Range.of(figure.x, xs), _Range.of(figure.y, ys)
    if x is None or y is None:
        return []
    y_low, y_high = y.ends()
    left = max(len(y_low), len(y_high))
    dots = _Dots(max(8, width - left - 2), height)
    for p in points:
        for a, b in _places(x, y, p.x, p.y):
            dots.point(a, b)
    for s in lines:
        for before, after in itertools.pairwise(_places(x, y, s.x, s.y)):
            dots.line(before, (after[0], before[1]) if s.step else after)
            dots.line((after[0], before[1]), after) if s.step else None
        for a, b in _places(x, y, s.x, s.y)[:1]:
            dots.point(a, b)
    rows = dots.rows()
    labels = [y_high, *[""] * (height - 2), y_low]
    drawn = [f"{label:>{left}} ┤{row}" for label, row in zip(labels, rows, strict=True)]
    x_low, x_high = x.ends()
    middle = axis_title(figure.x)
    room = max(0, dots.width - len(x_low) - len(x_high))
    return [*drawn, " " * (left + 2) + x_low + f"{middle:^{room}}"[:room] + x_high]


def _places(x: _Range, y: _Range, xs: Sequence[Cell], ys: Sequence[float]) -> list[tuple[float, float]]:
    both = [(x.place(a), y.place(b)) for a, b in zip(xs, ys, strict=True)]
    return [(a, b) for a, b in both if a is not None and b is not None]


class _Dots:
    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.cells = [[0] * width for _ in range(height)]

    def point(self, x: float, y: float) -> None:
        column, row = round(x * (2 * self.width - 1)), round((1 - y) * (4 * self.height - 1))
        self.cells[row // 4][column // 2] |= _DOTS[row % 4][column % 2]

    def line(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        steps = 1 + int(max(abs(end[0] - start[0]) * 2 * self.width, abs(end[1] - start[1]) * 4 * self.height))
        for i in range(steps + 1):
            t = i / steps
            self.point(start[0] + t * (end[0] - start[0]), start[1] + t * (end[1] - start[1]))

    def rows(self) -> list[str]:
        return ["".join(chr(0x2800 + cell) if cell else " " for cell in row).rstrip() for row in self.cells]
