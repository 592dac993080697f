"""A report as one HTML file that needs nothing else: no network, no fonts, no libraries.

All words and tables are plain HTML written here, so that the file reads without scripts; figures travel as JSON
and are drawn as SVG by ``static/report.js``. Two things keep hostile names harmless: a piece of HTML has its own
type, :data:`Html`, which only :func:`words` and :func:`tag` make, and the page's content security policy admits
nothing but the one script and the one style sheet, by their hashes, and forbids HTML from strings altogether.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import json
import math
import re
import struct
import zlib
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any, NewType

from tunebook.report._words import SIGNS, column_texts, is_number, reason_empty, visible
from tunebook.report.base import (
    Bars,
    Block,
    Callout,
    Cards,
    Cell,
    Code,
    Column,
    Facts,
    Figure,
    Fold,
    Grid,
    Heading,
    Image,
    Images,
    Items,
    Lines,
    Matrix,
    Parallel,
    Report,
    Scatter,
    Span,
    Table,
    Text,
    as_data,
    walk,
)

Html = NewType("Html", str)
_VOID = frozenset(("meta", "link", "img", "br"))
_SPAN_TAGS = {"strong": "strong", "em": "em", "code": "code"}
_SEVERITY = {"good": "Good", "info": "Note", "warn": "Warning", "bad": "Problem"}
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M2 12 6 7l3 3 "
    "5-7' fill='none' stroke='%230072b2' stroke-width='2.5' stroke-linecap='round'/%3E%3C/svg%3E"
)


def render_html(report: Report) -> str:
    """The report as the text of one self-contained HTML file."""
    page = _Page(report)
    body = page.body()
    data = script_json([page.payload(figure) for figure in page.figures])
    head = join(
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy()),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", words(report.title)),
        tag("link", rel="icon", href=_ICON),
        tag("style", Html(_static("report.css"))),
    )
    scripts = join(
        tag("script", data, type="application/json", id="figures"),
        tag("script", Html(_static("report.js"))),
    )
    return "<!doctype html>\n" + tag("html", tag("head", head), tag("body", body, scripts), lang="en") + "\n"


def policy() -> str:
    """The content security policy of a report file."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_digest('report.js')}'",
            f"style-src '{_digest('report.css')}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


@functools.cache
def _static(name: str) -> str:
    return resources.files("tunebook.report").joinpath("static", name).read_text("utf-8")


def _digest(name: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(_static(name).encode()).digest()).decode()


# ------------------------------------------------------------------------------ making HTML safely


def words(text: str, newlines: bool = False) -> Html:
    """Text as HTML that shows exactly that text."""
    return Html(html.escape(visible(text, newlines), quote=True))


def tag(name: str, /, *children: Html, **attributes: str) -> Html:
    """An element. Attribute values are escaped; ``class_`` is class, other underscores are dashes."""
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(value, quote=True)}"' for key, value in attributes.items()
    )
    return Html(f"<{name}{said}>" if name in _VOID else f"<{name}{said}>{''.join(children)}</{name}>")


def join(*parts: Html) -> Html:
    return Html("".join(parts))


def script_json(value: Any) -> Html:
    """JSON that can stand inside a script element: no ``<``, ``>`` or ``&``, and no line separators."""
    dumped = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for char in "<>&":
        dumped = dumped.replace(char, f"\\u{ord(char):04x}")
    return Html(dumped)


def slug(text: str) -> str:
    """
    >>> slug("What we learned: lr & depth")
    'what-we-learned-lr-depth'
    """
    return "-".join(re.findall(r"[a-z0-9]+", text.lower()))[:60].strip("-")


# ----------------------------------------------------------------------------------------- the page


class _Page:
    """One rendering: hands out anchors and collects the figures to be drawn."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.figures: list[Figure] = []
        self.anchors: set[str] = {"main", "contents", "figures", ""}
        headings = [b for b in walk(report.blocks) if isinstance(b, Heading)]
        self.contents = [(h, self.anchor(h.title)) for h in headings]
        self.upcoming = iter([anchor for _, anchor in self.contents])

    def anchor(self, title: str) -> str:
        stem = name = slug(title) or "section"
        count = 2
        while name in self.anchors:
            name, count = f"{stem}-{count}", count + 1
        self.anchors.add(name)
        return name

    def body(self) -> Html:
        report = self.report
        subtitle = tag("p", words(report.subtitle), class_="subtitle") if report.subtitle else Html("")
        noscript = tag(
            "noscript", tag("p", words("Figures are drawn by a script, which is switched off here."), class_="note")
        )
        header = tag("header", tag("h1", words(report.title)), subtitle, noscript, class_="head")
        main = tag("main", header, *self.blocks(report.blocks), id="main")
        skip = tag("a", words("Skip to the report"), class_="skip", href="#main")
        return join(skip, tag("div", self.toc(), main, class_="page"))

    def toc(self) -> Html:
        listed = [(h, anchor) for h, anchor in self.contents if h.level < 3]
        if len(listed) < 3:
            return Html("")
        links = (
            tag("li", tag("a", words(h.title), href=f"#{anchor}"), class_=f"level{h.level}") for h, anchor in listed
        )
        inside = tag("details", tag("summary", words("Contents")), tag("ol", *links), open="")
        return tag("nav", inside, class_="toc", id="contents", aria_label="Contents")

    def blocks(self, blocks: Iterable[Block]) -> list[Html]:
        return [self.block(b) for b in blocks]

    def block(self, block: Block) -> Html:
        match block:
            case Heading():
                return self.heading(block)
            case Grid():
                return tag("div", *self.blocks(block.blocks), class_=f"grid columns{min(4, max(1, block.columns))}")
            case Fold():
                return tag("details", tag("summary", words(block.title)), *self.blocks(block.blocks), class_="fold")
            case Table():
                return _table(block)
            case Images():
                return _images(block)
            case Lines() | Scatter() | Bars() | Matrix() | Parallel():
                return self.figure(block)
        return _prose(block)

    def heading(self, block: Heading) -> Html:
        anchor = next(self.upcoming)
        kicker = tag("span", words(block.kicker), class_="kicker") if block.kicker else Html("")
        link = tag("a", words("#"), class_="anchor", href=f"#{anchor}", aria_label="Link to this section")
        return tag(f"h{block.level + 1}", kicker, words(block.title), link, id=anchor)

    def figure(self, figure: Figure) -> Html:
        empty = reason_empty(figure)
        if empty:
            return _frame(figure.title, tag("p", words(empty), class_="empty"), note=figure.note)
        index = len(self.figures)
        self.figures.append(figure)
        plot = tag("div", class_="plot")
        return _frame(figure.title, plot, note=figure.note, kind="chart", data_figure=str(index))

    def payload(self, figure: Figure) -> Any:
        """The figure's data for the script: what is empty left out, numbers cut to what a screen can show."""
        return _compact(as_data(figure))


def _compact(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _compact(v) for k, v in value.items() if v is not None and v is not False and v not in ("", [])}
    if isinstance(value, list):
        return [_compact(v) for v in value]
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, float):
        return int(value) if value == int(value) and abs(value) < 1e15 else float(f"{value:.6g}")
    return value


def _frame(title: str, *inside: Html, note: str = "", kind: str = "plain", **attributes: str) -> Html:
    caption = tag("figcaption", words(title)) if title else Html("")
    told = tag("p", words(note), class_="note") if note else Html("")
    return tag("figure", caption, *inside, told, class_=f"figure {kind}", **attributes)


def _images(block: Images) -> Html:
    empty = reason_empty(block)
    if empty:
        return _frame(block.title, tag("p", words(empty), class_="empty"), note=block.note)
    shown = (
        tag("li", tag("img", src=png(i), alt=visible(i.caption)), tag("span", words(i.caption)), class_=i.tone)
        for i in block.images
        if i.pixels
    )
    return _frame(block.title, tag("ul", *shown, class_="images"), note=block.note)


def png(image: Image) -> str:
    """A grey image as a data URL: 8 bits a pixel, no filter (PNG specification, sections 5 and 11.2)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", len(image.pixels[0]), len(image.pixels), 8, 0, 0, 0, 0)
    lines = b"".join(b"\0" + bytes(row) for row in image.pixels)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + parts).decode()


# ------------------------------------------------------------------------------------ words, tables


def _prose(block: Text | Items | Facts | Callout | Cards | Code) -> Html:
    match block:
        case Text():
            return tag("p", _spans(block.spans), class_=block.style)
        case Items():
            listed = (tag("li", _spans(item.spans)) for item in block.items)
            return tag("ol" if block.ordered else "ul", *listed, class_="items")
        case Facts():
            pairs = (tag("div", tag("dt", words(k)), tag("dd", _spans(v.spans))) for k, v in block.facts)
            return tag("dl", *pairs, class_="facts")
        case Callout():
            return _callout(block)
        case Cards():
            return _cards(block)
        case Code():
            title = tag("figcaption", words(block.title)) if block.title else Html("")
            lines = tag("pre", tag("code", words(block.text, newlines=True)), tabindex="0")
            return tag("figure", title, lines, class_="figure code")


def _spans(parts: Sequence[Span]) -> Html:
    return join(*(tag(_SPAN_TAGS[p.style], words(p.text)) if p.style in _SPAN_TAGS else words(p.text) for p in parts))


def _callout(block: Callout) -> Html:
    sign = tag("span", words(SIGNS[block.severity]), class_="sign", aria_hidden="true")
    title = tag("strong", words(block.title or _SEVERITY[block.severity]), class_="what")
    advice = tag("p", words(block.advice), class_="advice") if block.advice else Html("")
    inside = tag("div", title, tag("p", words(block.says)), advice)
    return tag("aside", sign, inside, class_=f"callout {block.severity}")


def _cards(block: Cards) -> Html:
    def note(said: str) -> Html:
        return tag("span", words(said), class_="card-note") if said else Html("")

    cards = (
        tag(
            "li",
            tag("span", words(c.label), class_="card-label"),
            tag("span", words(c.value), class_="card-value"),
            note(c.note),
            class_=c.tone,
        )
        for c in block.cards
    )
    return tag("ul", *cards, class_="cards")


def _table(block: Table) -> Html:
    empty = reason_empty(block)
    if empty:
        return _frame(block.title, tag("p", words(empty), class_="empty"), note=block.note)
    texts = [column_texts(c, [row[i] for row in block.rows]) for i, c in enumerate(block.columns)]
    head = tag("tr", *(tag("th", words(c.name), scope="col", class_=c.kind) for c in block.columns))
    rows = []
    for i, row in enumerate(block.rows):
        cells = [_cell(c, row[j], texts[j][i]) for j, c in enumerate(block.columns)]
        rows.append(tag("tr", *cells, class_="marked") if i in block.marked else tag("tr", *cells))
    table = tag("table", tag("thead", head), tag("tbody", *rows))
    scroll = tag("div", table, class_="scroll", tabindex="0", role="region", aria_label=visible(block.title) or "Table")
    return _frame(block.title, scroll, note=block.note, kind="table")


def _cell(column: Column, cell: Cell, shown: str) -> Html:
    if is_number(cell):
        whole = repr(cell) if math.isfinite(cell) else shown
        about = {} if whole == shown else {"data-v": whole}
        return tag("td", words(shown), class_="number", **about)
    if column.kind == "number":
        return tag("td", words(shown), class_="number")
    if column.kind == "code" and shown:
        return tag("td", tag("code", words(shown)))
    return tag("td", words(shown))
