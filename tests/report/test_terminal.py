import io
import re

import pytest
from rich.console import Console

from tunebook.report._words import visible
from tunebook.report.base import Column, Report, Table, Text, text
from tunebook.report.terminal import render_terminal


def printed(report: Report, **options: object) -> str:
    file = io.StringIO()
    settings = {"width": 100, "_environ": {}, "force_terminal": True, **options}
    console = Console(file=file, **settings)  # type: ignore[arg-type]
    render_terminal(report, console)
    return file.getvalue()


def test_a_hostile_name_cannot_steer_the_terminal(hostile: Report) -> None:
    shown = printed(hostile, color_system="truecolor")
    assert "\x1b[1m" in shown
    own = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", own)
    assert "\x1b[31m" not in printed(Report("r", [text("a\x1b[31mred")]))


def test_names_are_shown_as_they_are(payloads: tuple[str, ...]) -> None:
    for payload in payloads:
        shown = printed(Report("r", [text(payload), Table([Column(payload)], [(payload,)])]), color_system=None)
        assert "".join(shown.split()).count("".join(visible(payload).split())) >= 2


def test_no_color_is_honoured(sample: Report) -> None:
    coloured = printed(sample, color_system="truecolor")
    plain = printed(sample, color_system="truecolor", _environ={"NO_COLOR": "1"})
    colour = re.compile(r"\x1b\[[0-9;]*3[0-7][0-9;]*m")
    assert colour.search(coloured)
    assert not colour.search(plain)


@pytest.mark.parametrize("width", [20, 100])
def test_every_block_fits_any_width(sample: Report, hard: Report, width: int) -> None:
    for report in (sample, hard):
        shown = printed(report, width=width, color_system=None)
        assert max(len(line.rstrip()) for line in shown.splitlines()) <= max(20, width)


def test_a_console_without_unicode_gets_ascii(sample: Report, hard: Report, hostile: Report) -> None:
    for report in (sample, hard, hostile):
        raw = io.BytesIO()
        file = io.TextIOWrapper(raw, encoding="ascii", errors="strict")
        render_terminal(report, Console(file=file, width=90, force_terminal=True, _environ={}))
        file.flush()
        assert raw.getvalue().isascii()


def test_figures_are_drawn_in_characters(sample: Report, hard: Report) -> None:
    shown = printed(sample, color_system=None)
    assert "█" in shown and "⠤" in shown
    assert "and 76 more rows" in shown
    assert "too few trials: 1 of 3 needed" in printed(hard, color_system=None)


def test_a_paragraph_keeps_its_words() -> None:
    paragraph: Text = text("Keep ", "the rest")
    assert "Keep the rest" in printed(Report("r", [paragraph]), color_system=None)
