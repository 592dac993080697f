"""A report in the terminal, by rich. Every string becomes a ``rich.text.Text``, so none is read as rich's markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table as RichTable
from rich.text import Text as RichText

from tunebook.report._canvas import axis_title, plot
from tunebook.report._words import SIGNS, column_texts, number, reason_empty, summary_table, visible
from tunebook.report.base import (
    Bars,
    Block,
    Callout,
    Cards,
    Code,
    Facts,
    Figure,
    Fold,
    Grid,
    Heading,
    Images,
    Items,
    Lines,
    Report,
    Scatter,
    Span,
    Table,
    Text,
)

_TONES = {"plain": "", "good": "green", "info": "blue", "warn": "yellow", "bad": "red", "muted": "dim"}
_SPAN_STYLES = {"plain": "", "strong": "bold", "em": "italic", "code": "cyan"}
_MOST_ROWS = 20


def render_terminal(report: Report, console: Console) -> None:
    """Print the report. ``console`` decides about colour (``NO_COLOR``), width and encoding."""
    _Terminal(console).report(report)


class _Terminal:
    def __init__(self, console: Console) -> None:
        self.console = console
        self.unicode = (console.encoding or "").lower().startswith("utf")
        self.width = max(20, min(console.width, 110))

    def report(self, report: Report) -> None:
        self.show(self.text(report.title, "bold"))
        if report.subtitle:
            self.show(self.text(report.subtitle, "dim"))
        for block in report.blocks:
            self.block(block)

    def show(self, *things: RenderableType) -> None:
        for thing in things:
            self.console.print(thing, width=self.width, highlight=False, markup=False, emoji=False)

    def text(self, said: str, style: str = "", newlines: bool = False) -> RichText:
        shown = visible(said, newlines)
        if not self.unicode:
            shown = shown.encode("ascii", "backslashreplace").decode()
        return RichText(shown, style, overflow="fold")

    def spans(self, parts: Sequence[Span]) -> RichText:
        return RichText(overflow="fold").join(self.text(p.text, _SPAN_STYLES[p.style]) for p in parts)

    def block(self, block: Block) -> None:
        match block:
            case Heading():
                self.heading(block)
            case Grid():
                self.blocks(block.blocks)
            case Fold():
                self.show(RichText(), self.text(block.title, "bold dim"))
                self.blocks(block.blocks)
            case Table():
                self.show(RichText(), *self.table(block))
            case Text() | Items() | Facts() | Callout() | Cards() | Code():
                self.prose(block)
            case _:
                self.figure(block)

    def blocks(self, blocks: Iterable[Block]) -> None:
        for block in blocks:
            self.block(block)

    def heading(self, block: Heading) -> None:
        title = self.text(f"{block.kicker}: {block.title}" if block.kicker else block.title, "bold")
        ruled = block.level == 1 and self.unicode
        self.show(RichText(), Rule(title, align="left", style="dim") if ruled else title)

    def prose(self, block: Text | Items | Facts | Callout | Cards | Code) -> None:
        match block:
            case Text():
                paragraph = self.spans(block.spans)
                paragraph.stylize("dim" if block.style == "muted" else "")
                self.show(paragraph)
            case Items():
                for i, item in enumerate(block.items, 1):
                    mark = self.text(f"{i}. " if block.ordered else "- ")
                    self.show(Padding(mark + self.spans(item.spans), (0, 0, 0, 2)))
            case Facts():
                grid = RichTable.grid(padding=(0, 2))
                for label, said in block.facts:
                    grid.add_row(self.text(label, "dim"), self.spans(said.spans))
                self.show(grid)
            case Callout():
                self.callout(block)
            case Cards():
                self.cards(block)
            case Code():
                title = [self.text(block.title, "bold")] if block.title else []
                self.show(RichText(), *title, Padding(self.text(block.text, "cyan", newlines=True), (0, 0, 0, 2)))

    def callout(self, block: Callout) -> None:
        tone = _TONES[block.severity]
        head = self.text(f"{SIGNS[block.severity]} " if self.unicode else f"[{block.severity}] ", f"bold {tone}")
        lines: list[RenderableType] = [head + self.text(block.title or block.says, f"bold {tone}")]
        lines += [Padding(self.text(block.says), (0, 0, 0, 2))] if block.title else []
        arrow = "→" if self.unicode else "->"
        lines += [Padding(self.text(f"{arrow} {block.advice}", "dim"), (0, 0, 0, 2))] if block.advice else []
        self.show(RichText(), Group(*lines))

    def cards(self, block: Cards) -> None:
        if not self.unicode:
            self.show(*(self.text(f"{c.label}: {c.value} {c.note}".strip()) for c in block.cards))
            return
        shown = [
            Panel(
                Group(self.text(c.value, f"bold {_TONES[c.tone]}".strip()), self.text(c.note, "dim")),
                title=self.text(c.label),
                title_align="left",
                border_style="dim",
            )
            for c in block.cards
        ]
        if shown:
            self.show(Columns(shown, equal=True))

    def table(self, block: Table) -> list[RenderableType]:
        empty = reason_empty(block)
        title = [self.text(block.title, "bold")] if block.title else []
        note = [self.text(block.note, "dim")] if block.note else []
        if empty:
            return [*title, self.text(f"  {empty}", "dim"), *note]
        table = RichTable(box=box.SIMPLE_HEAD if self.unicode else box.ASCII, pad_edge=False, header_style="dim")
        rows = block.rows[:_MOST_ROWS]
        for column in block.columns:
            table.add_column(
                self.text(column.name), justify="right" if column.kind == "number" else "left", overflow="fold"
            )
        texts = [column_texts(c, [row[i] for row in rows]) for i, c in enumerate(block.columns)]
        for i in range(len(rows)):
            table.add_row(*(self.text(column[i]) for column in texts), style="bold" if i in block.marked else "")
        rest = len(block.rows) - len(rows)
        more = [self.text(f"... and {rest} more rows", "dim")] if rest else []
        return [*title, table, *more, *note]

    def figure(self, figure: Figure) -> None:
        empty = reason_empty(figure)
        parts: list[RenderableType] = [RichText(), self.text(figure.title, "bold")]
        if empty:
            parts.append(self.text(f"  {empty}", "dim"))
        elif isinstance(figure, Bars):
            parts.append(self.bars(figure))
        elif isinstance(figure, Images):
            parts.append(self.text(f"  {len(figure.images)} pictures, shown in the HTML report", "dim"))
        else:
            if isinstance(figure, Lines | Scatter) and self.unicode:
                rows = [axis_title(figure.y), *plot(figure, min(76, self.width - 4), 10)]
                parts += [RichText(row, no_wrap=True, overflow="crop") for row in rows]
            if not (isinstance(figure, Scatter) and self.unicode and len(figure.points) < 3):
                summary = summary_table(figure, sparks=self.unicode)
                parts += self.table(Table(summary.columns, summary.rows))
        parts += [self.text(figure.note, "dim")] if figure.note else []
        self.show(*parts)

    def bars(self, figure: Bars) -> RenderableType:
        sizes = [abs(b.value) for b in figure.bars if number(b.value) not in ("NaN", "∞", "-∞")]
        most, width = max(sizes, default=0.0) or 1.0, max(8, self.width // 3)
        grid = RichTable.grid(padding=(0, 1))
        for bar in figure.bars:
            finite = abs(bar.value) <= most
            length = round(width * (abs(bar.value) / most)) if finite else 0
            mark = ("█" if self.unicode else "#") if bar.value >= 0 else ("░" if self.unicode else "-")
            interval = "" if bar.low is None or bar.high is None else f"{number(bar.low, 3)} to {number(bar.high, 3)}"
            grid.add_row(
                self.text(bar.label),
                self.text(mark * length, _TONES[bar.tone] or "blue"),
                self.text(number(bar.value, 3)),
                self.text(interval, "dim"),
            )
        return grid
