"""Figures of augmented examples, in each medium."""

from typing import Any

from tunebook.report import render_html, render_markdown
from tunebook.report.augmented import augmented
from tunebook.report.base import Images, Lines, Report, Table, Text


def told(kind: str, examples: list[Any]) -> dict[str, Any]:
    return {"kind": kind, "settings": {"rotation": 12.345678, "fill": "background"}, "examples": examples}


def test_images_stand_beside_their_original() -> None:
    picture = [[0, 255], [128, 3]]
    text, *figures = augmented(told("image", [[picture, picture, picture], [picture, picture, picture]]))
    assert isinstance(text, Text) and "rotation 12.35" in text.spans[0].text and "fill" not in text.spans[0].text
    assert len(figures) == 2 and all(isinstance(f, Images) for f in figures)
    assert isinstance(figures[0], Images)
    assert [(i.caption, i.tone) for i in figures[0].images] == [
        ("original", "info"), ("sample 1", "plain"), ("sample 2", "plain")
    ]  # fmt: skip
    assert render_html(Report("r", (text, *figures))).count("data:image/png") == 6


def test_sequences_are_lines_and_rows_a_table() -> None:
    _, figure = augmented(told("sequence", [[[0.0, 1.0, 2.0], [0.5, 1.5, 2.5]]]))
    assert isinstance(figure, Lines)
    assert [(s.name, s.dash, s.x, s.y) for s in figure.series] == [
        ("original", "solid", (1.0, 2.0, 3.0), (0.0, 1.0, 2.0)),
        ("sample 1", "dashed", (1.0, 2.0, 3.0), (0.5, 1.5, 2.5)),
    ]
    blocks = list(augmented(told("table", [[[0.0, 1.0], [0.0, 0.0]], [[2.0, 3.0], [2.5, 3.0]]])))
    table = blocks[1]
    assert isinstance(table, Table) and table.rows[3] == (2, "sample 1", 2.5, 3.0)
    assert "sample 1" in render_markdown(Report("r", blocks))
