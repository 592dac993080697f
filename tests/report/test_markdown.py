import re

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tunebook.report._words import visible
from tunebook.report.base import Callout, Column, Report, Table, code, strong, text
from tunebook.report.markdown import escape, fenced, render_markdown, span_code


def tokens(markdown: str) -> list[Token]:
    parsed = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown)
    return [t for token in parsed for t in (token, *(token.children or ()))]



def plain(markdown: str) -> str:
    """What a reader sees of one line."""
    return "".join(t.content for t in tokens(markdown) if t.type in ("text", "code_inline"))


def test_a_hostile_name_is_never_markup(hostile: Report, payloads: tuple[str, ...]) -> None:
    kinds = {t.type for t in tokens(render_markdown(hostile))}
    assert not kinds & {"html_block", "html_inline", "link_open", "image", "s_open", "hr", "code_block"}
    for payload in payloads:
        said = visible(payload).strip()
        assert plain(escape(payload)) == said
        assert plain(span_code(payload)).strip() == said
        assert [t.content.rstrip("\n") for t in tokens(fenced(payload)) if t.type == "fence"] == [
            visible(payload, newlines=True).rstrip("\n")
        ]


def test_a_table_keeps_its_shape_whatever_its_cells_hold(payloads: tuple[str, ...]) -> None:
    table = Table([Column(p) for p in payloads[:3]], [(p, p, p) for p in payloads])
    found = tokens(render_markdown(Report("r", [table])))
    assert sum(t.type == "tr_open" for t in found) == 1 + len(payloads)
    assert sum(t.type == "td_open" for t in found) == 3 * len(payloads)
    coded = Table([Column("a", "code"), Column("b")], [(p, 1) for p in payloads])
    cells = [t for t in tokens(render_markdown(Report("r", [coded]))) if t.type == "td_open"]
    assert len(cells) == 2 * len(payloads)


@pytest.mark.parametrize("line", ["1. one", "- one", "+ one", "---", "===", "# one", "> one", "12) x", "    code"])
def test_a_paragraph_stays_a_paragraph(line: str) -> None:
    for paragraph in (text(line), text(strong(""), line), text("", line)):
        found = MarkdownIt("commonmark").parse(render_markdown(Report("r", [paragraph])))
        assert [t.type for t in found][3:] == ["paragraph_open", "inline", "paragraph_close"]


def test_what_needs_no_escape_has_none() -> None:
    said = "98.6 % of trials; -1.5 and 1e-8, a (small) step."
    assert escape(said) == said
    markdown = render_markdown(Report("r", [text("Keep ", code("lr"), " at ", strong("98.6 %"), ".")]))
    assert "Keep `lr` at **98.6 %**." in markdown


def test_figures_are_told_in_tables_and_plots(sample: Report, hard: Report) -> None:
    markdown = render_markdown(sample)
    assert re.search(r"\| trial \d+ · validation \| [▁▂▃▄▅▆▇█]+ \|", markdown)
    assert "| learning\\_rate | 0.62" in markdown
    assert any("⠤" in line for line in markdown.splitlines())
    told = render_markdown(hard)
    assert told.count("too few trials: 1 of 3 needed") == 2
    assert "No trial has failed." in told


def test_a_finding_is_one_quote_with_its_advice() -> None:
    found = tokens(render_markdown(Report("r", [Callout("warn", "Too narrow.", "Widen.", "Boundary")])))
    assert sum(t.type == "blockquote_open" for t in found) == 1
    said = [t.content for t in found if t.type == "inline"]
    assert said[1:] == ["**Warning:** **Boundary**", "Too narrow.", "→ Widen."]
