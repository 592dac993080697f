"""A report as markdown that GitHub and editors show: figures become small tables with a sparkline."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

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

# a character that could begin or end markup; a backslash takes it literally (CommonMark 2.4)
_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+\-.!|~&:@$])")


def render_markdown(report: Report) -> str:
    """The report as markdown. Names that people chose are escaped: none of them can become markup or HTML."""
    head = [f"# {escaped(report.title)}"] + ([escaped(report.subtitle)] if report.subtitle else [])
    return "\n\n".join([*head, *_all(report.blocks)]) + "\n"


def escaped(text: str) -> str:
    """Text that reads as itself in markdown.

    >>> escaped("a|b <script> `x`")
    'a\\\\|b \\\\<script\\\\> \\\\`x\\\\`'
    """
    return _MARKUP.sub(r"\\\1", visible(text))


def code_span(text: str) -> str:
    """Text as code: fenced by more backticks than it holds in a row; pipes are escaped for tables."""
    shown = visible(text)
    fence = "`" * (1 + max((len(run) for run in re.findall(r"`+", shown)), default=0))
    pad = " " if "`" in shown or not shown.strip() else ""
    return f"{fence}{pad}{shown or ' '}{pad}{fence}"


def _all(blocks: Sequence[Block]) -> Iterator[str]:
    for block in blocks:
        yield from _block(block)


def _block(block: Block) -> Iterator[str]:
    match block:
        case Heading():
            kicker = f"{escaped(block.kicker)} · " if block.kicker else ""
            yield f"{'#' * (block.level + 1)} {kicker}{escaped(block.title)}"
        case Text():
            yield _spans(block.spans)
        case Items():
            marks = (f"{i}." if block.ordered else "-" for i in range(1, len(block.items) + 1))
            yield "\n".join(f"{mark} {_spans(item.spans)}" for mark, item in zip(marks, block.items, strict=True))
        case Facts():
            yield "\n".join(f"- **{escaped(label)}**: {_spans(said.spans)}" for label, said in block.facts)
        case Callout():
            title = f"**{escaped(block.title)}**: " if block.title else ""
            advice = f"\n> {escaped(block.advice)}" if block.advice else ""
            yield f"> {SIGNS[block.severity]} {title}{escaped(block.says)}{advice}"
        case Cards():
            told = ((c.label, c.value, c.note) for c in block.cards)
            yield "\n".join(f"- {escaped(a)}: **{escaped(b)}**" + (f" ({escaped(n)})" if n else "") for a, b, n in told)
        case Code():
            yield _code(block)
        case Table():
            yield from _table(block)
        case Grid():
            yield from _all(block.blocks)
        case Fold():
            # no <details>: inside raw HTML the escapes of markdown would not hold
            yield f"**{escaped(block.title)}**"
            yield from _all(block.blocks)
        case _:
            yield from _figure(block)


def _spans(parts: Sequence[Span]) -> str:
    shown = {"plain": "{}", "strong": "**{}**", "em": "*{}*"}
    return "".join(
        code_span(s.text) if s.style == "code" else shown[s.style].format(escaped(s.text)) if s.text.strip() else s.text
        for s in parts
    )


def _code(block: Code) -> str:
    lines = visible(block.text, newlines=True)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", lines)), default=0))
    title = f"{escaped(block.title)}:\n\n" if block.title else ""
    return f"{title}{fence}text\n{lines}\n{fence}"


def _table(table: Table) -> Iterator[str]:
    if table.title:
        yield f"**{escaped(table.title)}**"
    empty = reason_empty(table)
    if empty:
        yield f"*{escaped(empty)}*"
        return
    shown = [column_texts(c, [row[j] for row in table.rows]) for j, c in enumerate(table.columns)]
    marked = set(table.marked)
    lines = [
        "| " + " | ".join(escaped(c.name) for c in table.columns) + " |",
        "|" + "|".join("--:" if c.kind == "number" else "---" for c in table.columns) + "|",
    ]
    for i in range(len(table.rows)):
        cells = (escaped(column[i]) for column in shown)
        lines.append("| " + " | ".join(f"**{c}**" if i in marked and c.strip() else c for c in cells) + " |")
    yield "\n".join(lines)
    if table.note:
        yield f"*{escaped(table.note)}*"


def _figure(figure: Figure) -> Iterator[str]:
    empty = reason_empty(figure)
    if empty:
        yield f"**{escaped(figure.title)}**"
        yield f"*{escaped(empty)}*"
        return
    yield from _table(summary_table(figure))
    if figure.note:
        yield f"*{escaped(figure.note)}*"
