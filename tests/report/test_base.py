import json
import math

import numpy as np
import pytest

from tunebook.errors import DataError
from tunebook.report.base import (
    Axis,
    Bar,
    Bars,
    Column,
    Fold,
    Grid,
    Heading,
    Image,
    Lines,
    Matrix,
    Parallel,
    Points,
    Report,
    Series,
    Table,
    as_data,
    code,
    spans,
    text,
    walk,
)  # fmt: skip


def test_arrays_become_tuples_of_plain_values() -> None:
    series = Series("s", np.arange(3), np.array([0.5, np.nan, np.inf]))
    assert series.x == (0.0, 1.0, 2.0)
    assert [type(v) for v in series.y] == [float, float, float]
    table = Table([Column("n")], [(np.int64(3),), (np.float32(0.5),), (np.str_("a"),), (None,)])
    assert [row[0] for row in table.rows] == [3, 0.5, "a", None]
    assert hash(series) == hash(series)


def test_a_report_is_json_without_nan(sample: Report, hard: Report) -> None:
    for report in (sample, hard):
        data = json.loads(json.dumps(as_data(report), allow_nan=False))
        assert data["block"] == "Report"
        assert len(data["blocks"]) == len(report.blocks)
    assert as_data(Bars("b", Axis("x"), [Bar("a", math.inf)]))["bars"][0]["value"] is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: Series("s", [1, 2], [1]),
        lambda: Series("s", [1, 2], [1, 2], lower=[1, 2]),
        lambda: Series("s", [1, 2], [1, 2], lower=[1], upper=[2]),
        lambda: Points("p", [1], [1, 2]),
        lambda: Points("p", [1, 2], [1, 2], labels=["a"]),
        lambda: Points("p", [1, 2], [1, 2], shade=[1]),
        lambda: Table([Column("a")], [(1, 2)]),
        lambda: Matrix("m", ["a"], ["b"], [[1], [2]]),
        lambda: Matrix("m", ["a"], ["b"], [[1, 2]]),
        lambda: Parallel("p", [Axis("a"), Axis("b")], [(1,)], ["t"]),
        lambda: Parallel("p", [Axis("a"), Axis("b")], [(1, 2)], []),
        lambda: Image([[1, 2], [3]]),
    ],
)
def test_parts_that_do_not_fit_are_refused_with_both_counts(make) -> None:
    with pytest.raises(DataError) as caught:
        make()
    problem = caught.value.problems[0]
    assert problem.where and problem.got.isdigit() and problem.expected


def test_walk_goes_into_grids_and_folds_in_reading_order() -> None:
    inner, after = Heading("inner"), text("after")
    blocks = [Fold("f", [Grid([inner])]), after]
    assert [type(b).__name__ for b in walk(blocks)] == ["Fold", "Grid", "Heading", "Text"]


def test_spans_mix_strings_and_styles() -> None:
    assert [s.style for s in spans("a", code("b"), "c")] == ["plain", "code", "plain"]
    assert Lines("t", Axis("x"), Axis("y"), [Series("s", [], [])]).series[0].x == ()
