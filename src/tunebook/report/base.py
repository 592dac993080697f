"""The blocks a report is made of: frozen values, data only, one renderer a medium.

    Report = title, subtitle, blocks
    Block  = Heading | Text | Items | Facts | Callout | Cards | Code | Table       words and numbers
           | Lines | Scatter | Bars | Matrix | Parallel | Images                   figures
           | Grid | Fold                                                           layout

A figure has a title, a one-sentence ``note`` that says what to look for, and an ``empty`` sentence; where
that is given ("too few trials: 1 of 3 needed") it is shown in place of the figure. Sequences may be given as
lists or arrays: they are kept as tuples of plain Python values. NaN and infinities are allowed in every
number: they are never drawn as if they were values, and renderers say how many there were.

No string is ever read as markup: names that people chose may hold anything.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from tunebook.errors import DataError

Cell: TypeAlias = str | int | float | bool | None
Tone = Literal["plain", "good", "info", "warn", "bad", "muted"]
Severity = Literal["good", "info", "warn", "bad"]
Scale = Literal["linear", "log", "category"]
Marker = Literal["circle", "ring", "cross", "triangle", "star"]
Dash = Literal["solid", "dashed", "dotted"]


# ------------------------------------------------------------------------------------------ words


@dataclass(frozen=True)
class Span:
    """A stretch of text in one style."""

    text: str
    style: Literal["plain", "strong", "em", "code"] = "plain"


def strong(text: object) -> Span:
    return Span(str(text), "strong")


def em(text: object) -> Span:
    return Span(str(text), "em")


def code(text: object) -> Span:
    return Span(str(text), "code")


def spans(*parts: str | Span) -> tuple[Span, ...]:
    return tuple(p if isinstance(p, Span) else Span(p) for p in parts)


@dataclass(frozen=True)
class Heading:
    """A section's title, listed in the contents. ``kicker``: a few words above it ("Stage 2 · explore")."""

    title: str
    level: Literal[1, 2, 3] = 1
    kicker: str = ""


@dataclass(frozen=True)
class Text:
    """A paragraph. :func:`text` builds it from strings and :func:`code`, :func:`strong`, :func:`em`."""

    spans: Sequence[Span]
    style: Literal["plain", "lead", "muted"] = "plain"

    def __post_init__(self) -> None:
        _keep(self, spans=tuple(self.spans))


def text(*parts: str | Span, style: Literal["plain", "lead", "muted"] = "plain") -> Text:
    """A paragraph.

    >>> text("The best ", code("lr"), " is 0.01.").spans[1]
    Span(text='lr', style='code')
    """
    return Text(spans(*parts), style)


@dataclass(frozen=True)
class Items:
    """A list of paragraphs, numbered where ``ordered``."""

    items: Sequence[Text]
    ordered: bool = False

    def __post_init__(self) -> None:
        _keep(self, items=tuple(self.items))


@dataclass(frozen=True)
class Facts:
    """Labelled sentences ("Question", "Ran", "Learned", "Decided"): how a chapter sums itself up."""

    facts: Sequence[tuple[str, Text]]

    def __post_init__(self) -> None:
        _keep(self, facts=tuple((str(label), said) for label, said in self.facts))


def facts(**labelled: str | Text) -> Facts:
    """Facts from keywords; an underscore in a label becomes a space.

    >>> facts(question="Is it learnable?").facts[0][0]
    'Question'
    """
    return Facts(
        tuple(
            (label.replace("_", " ").capitalize(), value if isinstance(value, Text) else text(value))
            for label, value in labelled.items()
        )
    )


@dataclass(frozen=True)
class Callout:
    """A finding: what was seen, how bad it is, and what to do about it."""

    severity: Severity
    says: str
    advice: str = ""
    title: str = ""


@dataclass(frozen=True)
class Card:
    """One key figure. ``value`` is text, because only its owner knows its digits and unit."""

    label: str
    value: str
    note: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True)
class Cards:
    cards: Sequence[Card]

    def __post_init__(self) -> None:
        _keep(self, cards=tuple(self.cards))


@dataclass(frozen=True)
class Code:
    """Text to be read or copied as it is: a command, a configuration, a traceback."""

    text: str
    title: str = ""


@dataclass(frozen=True)
class Column:
    """``digits``: significant digits shown of a number column (whole numbers are shown whole)."""

    name: str
    kind: Literal["text", "number", "code"] = "text"
    digits: int = 4


@dataclass(frozen=True)
class Table:
    """``rows``: one cell a column; ``marked``: indices of rows to set off (the best trial)."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    title: str = ""
    note: str = ""
    marked: Sequence[int] = ()
    empty: str = ""

    def __post_init__(self) -> None:
        rows = tuple(_cells(r) for r in self.rows)
        _keep(self, columns=tuple(self.columns), rows=rows, marked=tuple(int(i) for i in self.marked))
        for i, row in enumerate(self.rows):
            _same(len(row), len(self.columns), f"row {i} of table {self.title!r}", "one cell a column")


# ---------------------------------------------------------------------------------------- figures


@dataclass(frozen=True)
class Axis:
    """``categories`` fixes the order on a category axis; values on it are strings.

    ``low`` and ``high`` fix the ends (the search range); without them the data do, and a few far outliers
    of a y axis are drawn at the edge and counted rather than allowed to squash the rest.
    """

    label: str
    scale: Scale = "linear"
    low: float | None = None
    high: float | None = None
    categories: Sequence[str] = ()

    def __post_init__(self) -> None:
        _keep(self, categories=tuple(str(c) for c in self.categories))


@dataclass(frozen=True)
class Series:
    """A line. Series of one ``name`` share a colour; ``role`` ("training", "validation") is told by ``dash``.

    ``lower`` and ``upper`` draw a band; ``step`` draws a staircase (best so far); ``y`` NaN breaks the line.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    lower: Sequence[float] = ()
    upper: Sequence[float] = ()
    role: str = ""
    dash: Dash = "solid"
    step: bool = False
    tone: Tone = "plain"

    def __post_init__(self) -> None:
        _keep(self, x=_floats(self.x), y=_floats(self.y))
        _keep(self, lower=_floats(self.lower), upper=_floats(self.upper))
        _same(len(self.y), len(self.x), f"series {self.name!r}", "as many y as x")
        _same(len(self.lower), len(self.upper), f"band of series {self.name!r}", "as many lower as upper")
        if self.lower:
            _same(len(self.lower), len(self.x), f"band of series {self.name!r}", "one value for each x")


@dataclass(frozen=True)
class Points:
    """Points of one look. ``labels`` name them and link them to the lines of a Parallel; ``shade`` is a
    number for each that colours it."""

    name: str
    x: Sequence[Cell]
    y: Sequence[float]
    labels: Sequence[str] = ()
    shade: Sequence[float] = ()
    marker: Marker = "circle"
    tone: Tone = "plain"

    def __post_init__(self) -> None:
        _keep(
            self,
            x=_cells(self.x),
            y=_floats(self.y),
            labels=tuple(str(label) for label in self.labels),
            shade=_floats(self.shade),
        )
        _same(len(self.y), len(self.x), f"points {self.name!r}", "as many y as x")
        for what, values in (("label", self.labels), ("shade", self.shade)):
            if values:
                _same(len(values), len(self.x), f"points {self.name!r}", f"one {what} for each x")


@dataclass(frozen=True)
class Mark:
    """A reference line across the plot: the baseline, a chosen step, an end of the search range."""

    axis: Literal["x", "y"]
    at: float
    label: str = ""


@dataclass(frozen=True)
class Lines:
    """Curves over a shared x: learning curves (training dashed, validation solid), a band of quantiles."""

    title: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    marks: Sequence[Mark] = ()
    note: str = ""
    empty: str = ""

    def __post_init__(self) -> None:
        _keep(self, series=tuple(self.series), marks=tuple(self.marks))


@dataclass(frozen=True)
class Scatter:
    """Points over two axes, with lines over them: history, slices, Pareto fronts.

    A point whose y is not finite (a failed trial) is drawn in a strip below the plot. ``shade`` names what
    colours the points that have a shade ("trial").
    """

    title: str
    x: Axis
    y: Axis
    points: Sequence[Points]
    lines: Sequence[Series] = ()
    marks: Sequence[Mark] = ()
    shade: str = ""
    note: str = ""
    empty: str = ""

    def __post_init__(self) -> None:
        _keep(self, points=tuple(self.points), lines=tuple(self.lines), marks=tuple(self.marks))


@dataclass(frozen=True)
class Bar:
    """``low`` and ``high`` are the ends of its interval, both or neither."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    tone: Tone = "plain"


@dataclass(frozen=True)
class Bars:
    """Horizontal bars from zero, in the order given: importance, class balance, seconds a stage."""

    title: str
    x: Axis
    bars: Sequence[Bar]
    note: str = ""
    empty: str = ""

    def __post_init__(self) -> None:
        _keep(self, bars=tuple(self.bars))


@dataclass(frozen=True)
class Matrix:
    """``values``: one row a row label. ``counts`` shows counts shaded by their share of the row (a confusion
    matrix), ``signed`` values in [-1, 1] around zero (a correlation), ``plain`` any values."""

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]
    kind: Literal["counts", "signed", "plain"] = "plain"
    row_title: str = ""
    column_title: str = ""
    note: str = ""
    empty: str = ""

    def __post_init__(self) -> None:
        _keep(
            self,
            rows=tuple(str(r) for r in self.rows),
            columns=tuple(str(c) for c in self.columns),
            values=tuple(_floats(v) for v in self.values),
        )
        _same(len(self.values), len(self.rows), f"matrix {self.title!r}", "one row for each row label")
        for row in self.values:
            _same(len(row), len(self.columns), f"matrix {self.title!r}", "one value for each column label")


@dataclass(frozen=True)
class Parallel:
    """Parallel coordinates: one line a trial. The last axis is the outcome and colours the lines; ``better``
    says which end of it is good. None is an inactive parameter. ``labels``: one name a line."""

    title: str
    axes: Sequence[Axis]
    rows: Sequence[Sequence[Cell]]
    labels: Sequence[str]
    better: Literal["lower", "higher"] = "lower"
    note: str = ""
    empty: str = ""

    def __post_init__(self) -> None:
        _keep(
            self,
            axes=tuple(self.axes),
            rows=tuple(_cells(r) for r in self.rows),
            labels=tuple(str(label) for label in self.labels),
        )
        _same(len(self.labels), len(self.rows), f"parallel {self.title!r}", "one label for each row")
        for row in self.rows:
            _same(len(row), len(self.axes), f"parallel {self.title!r}", "one value for each axis")


@dataclass(frozen=True)
class Image:
    """A small grey picture: ``pixels`` are rows of 0 (black) to 255 (white)."""

    pixels: Sequence[Sequence[int]]
    caption: str = ""
    tone: Tone = "plain"

    def __post_init__(self) -> None:
        rows = tuple(tuple(min(255, max(0, int(p))) for p in row) for row in self.pixels)
        _keep(self, pixels=rows)
        for row in rows:
            _same(len(row), len(rows[0]), f"image {self.caption!r}", "rows of one length")


@dataclass(frozen=True)
class Images:
    title: str
    images: Sequence[Image]
    note: str = ""
    empty: str = ""

    def __post_init__(self) -> None:
        _keep(self, images=tuple(self.images))


# ----------------------------------------------------------------------------------------- layout


@dataclass(frozen=True)
class Grid:
    """Blocks side by side where there is room: slices, one a parameter."""

    blocks: Sequence[Block]
    columns: int = 2

    def __post_init__(self) -> None:
        _keep(self, blocks=tuple(self.blocks))


@dataclass(frozen=True)
class Fold:
    """Blocks that are folded away until asked for."""

    title: str
    blocks: Sequence[Block]

    def __post_init__(self) -> None:
        _keep(self, blocks=tuple(self.blocks))


Figure: TypeAlias = Lines | Scatter | Bars | Matrix | Parallel | Images
Block: TypeAlias = Heading | Text | Items | Facts | Callout | Cards | Code | Table | Figure | Grid | Fold


@dataclass(frozen=True)
class Report:
    title: str
    blocks: Sequence[Block]
    subtitle: str = ""

    def __post_init__(self) -> None:
        _keep(self, blocks=tuple(self.blocks))


def walk(blocks: Iterable[Block]) -> Iterator[Block]:
    """Every block, those inside a Grid or a Fold too, in reading order."""
    for block in blocks:
        yield block
        if isinstance(block, Grid | Fold):
            yield from walk(block.blocks)


def as_data(value: Any) -> Any:
    """A report or block as plain JSON values: dictionaries tagged with ``"block"``, lists, and None for NaN
    and infinities. Numbers are kept whole."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: as_data(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"block": type(value).__name__, **fields}
    if isinstance(value, tuple):
        return [as_data(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _keep(block: object, **values: object) -> None:
    for name, value in values.items():
        object.__setattr__(block, name, value)


def _floats(values: Iterable[Any]) -> tuple[float, ...]:
    return tuple(math.nan if v is None else float(v) for v in values)


def _cells(values: Iterable[Any]) -> tuple[Cell, ...]:
    return tuple(_cell(v) for v in values)


def _cell(value: Any) -> Cell:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, int) and value.bit_length() > 1000:  # more than a double can hold
        return math.inf if value > 0 else -math.inf
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)


def _same(got: int, expected: int, where: str, law: str) -> None:
    if got != expected:
        raise DataError(
            "a block of a report does not fit together",
            where=where,
            got=str(got),
            expected=f"{expected} ({law})",
        )
