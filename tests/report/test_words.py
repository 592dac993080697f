import math

from hypothesis import given
from hypothesis import strategies as st

from tunebook.report._words import cell_text, column_texts, number, sparkline, visible
from tunebook.report.base import Column


@given(st.text(alphabet=st.characters(), max_size=40))
def test_visible_text_holds_nothing_that_moves_a_cursor_or_turns_text_around(said: str) -> None:
    shown = visible(said)
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000 for c in shown)
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\u2028\u2029\ufeff")
    shown.encode("utf-8")


def test_ordinary_words_of_many_languages_are_left_alone() -> None:
    for said in ("learning_rate", "größe", "学習率", "скорость", "معدل", "👩\u200d🔬", "a\u00a0b"):
        assert visible(said) == said
    assert visible("a\nb", newlines=True) == "a\nb"
    assert visible("a\r\nb\tc") == "a b c"


@given(st.floats(-1.7e308, 1.7e308))
def test_a_number_keeps_four_digits(value: float) -> None:
    shown = float(number(value))
    assert math.isclose(shown, value, rel_tol=5.1e-4) or math.isclose(shown, value, abs_tol=1e-300)


def test_a_column_lines_up_where_its_numbers_are_of_one_size() -> None:
    column = Column("loss", "number")
    assert column_texts(column, [0.017382, 0.02, 0.0451, 2.655]) == ["0.01738", "0.02000", "0.04510", "2.65500"]
    assert column_texts(column, [1e-6, 0.5]) == ["1e-06", "0.5"]
    assert column_texts(column, [1, 20, 300]) == ["1", "20", "300"]
    assert column_texts(column, [math.nan, math.inf, None, True]) == ["NaN", "∞", "", "yes"]
    assert cell_text(10**30) == "1e+30"


def test_sparklines_survive_every_number() -> None:
    assert sparkline([]) == sparkline([math.nan]) == ""
    assert sparkline([-1.7e308, 1.7e308]) == "▁█"
    assert sparkline([5, 5]) == "▁▁"
    assert len(sparkline(range(1000), 24)) == 24
