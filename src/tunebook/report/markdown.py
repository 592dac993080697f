"""A report as GitHub-flavoured markdown: figures become a plot in characters and a table of what matters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tunebook.report._canvas import axis_title, plot
from tunebook.report._words import column_texts, reason_empty, summary_table, visible
from tunebook.report.base import (
    Block,
    Callout,
    Cards,
    Code,
    Column,
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

_MARKS = re.compile(r"([\\`*_\[\]<>|~#&$])")
_STARTS = re.compile(r"^(\d*)(?:(?<=\d)([.)])(?=\s|$)|(?<!\d)([-+](?=[-\s]|$)|=))")
_SEVERITY = {"good": "Good", "info": "Note", "warn": "Warning", "bad": "Problem"}


def render_markdown(report: Report) -> str:
    """The report as markdown text that shows every string exactly as it is, whatever it holds."""
    parts = [f"# {escape(report.title)}"]
    if report.subtitle:
        parts.append(escape(report.subtitle))
    parts += _blocks(report.blocks)
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """Text as one line of markdown in which nothing is markup.

    >>> print(escape("1. a|b <i> `c`"))
    1\\. a\\|b \\<i\\> \\`c\\`
    """
    line = _MARKS.sub(r"\\\1", visible(text).strip())
    line = line.replace("://", ":\\//").replace("www.", "www\\.").replace("@", "&#64;")
    return _STARTS.sub(_escape_start, line)


def _escape_start(found: re.Match[str]) -> str:
    return f"{found[1]}\\{found[2] or found[3]}"


def span_code(text: str, in_table: bool = False) -> str:
    """Text as a code span, whose fence is longer than any run of backticks inside."""
    line = visible(text)
    if not line.strip():
        return escape(line)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    pad = " " if line[0] in "` " or line[-1] in "` " else ""
    return f"{fence}{pad}{line.replace('|', chr(92) + '|') if in_table else line}{pad}{fence}"


def fenced(text: str, newlines: bool = True) -> str:
    lines = visible(text, newlines).rstrip("\n")
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", lines)), default=0))
    return f"{fence}text\n{lines}\n{fence}"


def _blocks(blocks: Iterable[Block]) -> list[str]:
    return [said for block in blocks for said in _block(block) if said]


def _block(block: Block) -> list[str]:
    match block:
        case Heading():
            kicker = f"{escape(block.kicker)}: " if block.kicker else ""
            return [f"{'#' * (block.level + 1)} {kicker}{escape(block.title)}"]
        case Grid():
            return _blocks(block.blocks)
        case Fold():
            return [f"**{escape(block.title)}**", *_blocks(block.blocks)]
        case Table():
            empty = reason_empty(block)
            return [*_title(block.title), escape(empty) if empty else _table(block), *_note(block.note)]
        case Text() | Items() | Facts() | Callout() | Cards() | Code():
            return _prose(block)
    return _figure(block)


def _prose(block: Text | Items | Facts | Callout | Cards | Code) -> list[str]:
    match block:
        case Text():
            return [_spans(block.spans)]
        case Items():
            marks = (f"{i}." if block.ordered else "-" for i in range(1, len(block.items) + 1))
            return ["\n".join(f"{mark} {_spans(item.spans)}" for mark, item in zip(marks, block.items, strict=True))]
        case Facts():
            return ["\n".join(f"- **{escape(label)}:** {_spans(said.spans)}" for label, said in block.facts)]
        case Callout():
            lines = [
                f"**{_SEVERITY[block.severity]}:** **{escape(block.title)}**"
                if block.title
                else f"**{_SEVERITY[block.severity]}**"
            ]
            lines += [escape(t) for t in (block.says, f"→ {block.advice}" if block.advice else "") if t]
            return ["\n>\n".join(f"> {line}" for line in lines)]
        case Cards():
            cards = [(c.label, c.value, c.note) for c in block.cards]
            return [_table(Table((Column("figure"), Column("value"), Column("")), cards))] if cards else []
        case Code():
            return [*_title(block.title), fenced(block.text)]


def _spans(parts: Sequence[Span]) -> str:
    said = ""
    for part in parts:
        if part.style == "code":
            said += span_code(part.text)
        elif part.style == "plain" or not part.text.strip():
            said += _inline(part.text)
        else:
            mark = "**" if part.style == "strong" else "*"
            said += f"{mark}{escape(part.text)}{mark}"
    return _STARTS.sub(_escape_start, said.strip())


def _inline(text: str) -> str:
    """Escaped text that keeps the blanks at its ends, because other spans stand beside it."""
    inner = visible(text)
    if not inner.strip():
        return inner
    head, tail = inner[: len(inner) - len(inner.lstrip())], inner[len(inner.rstrip()) :]
    return head + escape(inner) + tail


def _title(title: str) -> list[str]:
    return [f"**{escape(title)}**"] if title.strip() else []


def _note(note: str) -> list[str]:
    return [escape(note)] if note else []


def _table(table: Table) -> str:
    texts = [column_texts(c, [row[i] for row in table.rows]) for i, c in enumerate(table.columns)]
    lines = [
        _row(escape(c.name) for c in table.columns),
        _row("---:" if c.kind == "number" else "---" for c in table.columns),
    ]
    for i in range(len(table.rows)):
        cells = [
            span_code(texts[j][i], in_table=True) if c.kind == "code" else escape(texts[j][i])
            for j, c in enumerate(table.columns)
        ]
        lines.append(_row([f"**{c}**" if c and j == 0 and i in table.marked else c for j, c in enumerate(cells)]))
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _figure(figure: Figure) -> list[str]:
    empty = reason_empty(figure)
    if empty:
        return [*_title(figure.title), escape(empty), *_note(figure.note)]
    drawn: list[str] = []
    if isinstance(figure, Lines | Scatter):
        rows = plot(figure)
        drawn = [fenced("\n".join((axis_title(figure.y), *rows)))] if rows else []
    if isinstance(figure, Images):
        drawn = [escape(f"{len(figure.images)} pictures, shown in the HTML report.")]
    else:
        drawn.append(_table(summary_table(figure)))
    return [*_title(figure.title), *drawn, *_note(figure.note)]
