"""A report in a terminal: figures become small tables with a sparkline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Grille
from rich.text import Text as Words

from tunebook.report._words import SIGNS, column_texts, reason_empty, summary_table, visible
from tunebook.report.base import (
    Block,
    Callout,
    Cards,
    Code,
    Facts,
    Figure,
    Fold,
    Grid,
    Heading,
    Items,
    Report,
    Span,
    Table,
    Text,
)

_SEVERITIES = {"good": "green", "info": "blue", "warn": "yellow", "bad": "bold red"}
_STYLES = {"plain": "", "strong": "bold", "em": "italic", "code": "cyan"}
_TONES = {"good": "green", "bad": "red", "warn": "yellow", "info": "blue", "muted": "dim", "plain": ""}
MOST_ROWS = 60


def render_terminal(report: Report, console: Console) -> None:
    """Print the report. No name can move the cursor, colour the screen or be read as rich's markup."""
    console.print(Words(visible(report.title), style="bold"))
    if report.subtitle:
        console.print(Words(visible(report.subtitle), style="dim"))
    for block in report.blocks:
        _print(block, console)


def _print(block: Block, console: Console) -> None:
    match block:
        case Heading():
            kicker = f"{visible(block.kicker)} · " if block.kicker else ""
            console.print()
            console.print(Words(kicker, style="dim") + Words(visible(block.title), style="bold underline"))
        case Text():
            console.print(_spans(block.spans))
        case Items() | Facts():
            for line in _lines(block):
                console.print(line)
        case Callout():
            console.print(_callout(block))
        case Cards():
            console.print(_cards(block))
        case Code():
            if block.title:
                console.print(Words(visible(block.title), style="dim"))
            console.print(Padding(Words(visible(block.text, newlines=True), style="cyan"), (0, 2)))
        case Table():
            _table(block, console)
        case Grid() | Fold():
            if isinstance(block, Fold):
                console.print(Words(visible(block.title), style="bold"))
            for inner in block.blocks:
                _print(inner, console)
        case _:
            _figure(block, console)


def _lines(block: Items | Facts) -> Iterator[Words]:
    if isinstance(block, Facts):
        yield from (Words(f"{visible(label)}: ", style="bold") + _spans(said.spans) for label, said in block.facts)
        return
    for i, item in enumerate(block.items, 1):
        yield Words(f"{i}. " if block.ordered else "- ") + _spans(item.spans)


def _spans(parts: Sequence[Span]) -> Words:
    out = Words()
    for part in parts:
        out.append(visible(part.text), style=_STYLES[part.style])
    return out


def _callout(block: Callout) -> Words:
    style = _SEVERITIES[block.severity]
    out = Words(f"{SIGNS[block.severity]} ", style=style)
    if block.title:
        out.append(f"{visible(block.title)}: ", style=style)
    out.append(visible(block.says))
    if block.advice:
        out.append(f" {visible(block.advice)}", style="italic")
    return out


def _cards(block: Cards) -> Grille:
    grille = Grille.grid(padding=(0, 3))
    for card in block.cards:
        value = Words(visible(card.value), style=f"bold {_TONES[card.tone]}".strip())
        grille.add_row(Words(visible(card.label)), value, Words(visible(card.note), style="dim"))
    return grille


def _table(table: Table, console: Console) -> None:
    if table.title:
        console.print(Words(visible(table.title), style="bold"))
    empty = reason_empty(table)
    if empty:
        console.print(Words(empty, style="dim"))
        return
    grille = Grille(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns:
        grille.add_column(Words(visible(column.name)), justify="right" if column.kind == "number" else "left")
    shown = [column_texts(c, [row[j] for row in table.rows]) for j, c in enumerate(table.columns)]
    marked = set(table.marked)
    for i in range(min(len(table.rows), MOST_ROWS)):
        grille.add_row(*(Words(column[i]) for column in shown), style="bold green" if i in marked else None)
    console.print(grille)
    if len(table.rows) > MOST_ROWS:
        console.print(Words(f"{len(table.rows) - MOST_ROWS} more rows are in the HTML report.", style="dim"))
    if table.note:
        console.print(Words(visible(table.note), style="dim"))


def _figure(figure: Figure, console: Console) -> None:
    empty = reason_empty(figure)
    if empty:
        console.print(Words(visible(figure.title), style="bold"))
        console.print(Words(empty, style="dim"))
        return
    _table(summary_table(figure), console)
    if figure.note:
        console.print(Words(visible(figure.note), style="dim"))
