"""Texts that are dates, as numbers that a model can use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_TIME = r"(?:[ T](?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
FORMS = {
    "year-month-day": re.compile(r"(?P<year>\d{4})([-/.])(?P<month>\d{1,2})\2(?P<day>\d{1,2})" + _TIME),
    "day-month-year": re.compile(r"(?P<day>\d{1,2})([-/.])(?P<month>\d{1,2})\2(?P<year>\d{4})" + _TIME),
    "month-day-year": re.compile(r"(?P<month>\d{1,2})([-/.])(?P<day>\d{1,2})\2(?P<year>\d{4})" + _TIME),
}
PARTS = ("days", "year", "month", "weekday", "hour")
DAY = 86_400.0


def form_of(cells: Sequence[str]) -> str:
    """The one form in which every filled cell is a date; empty where there is none, or two that would say other days.

    >>> form_of(["2024-02-29", ""]), form_of(["31/01/2024"]), form_of(["1/2/2024"]), form_of(["2024-02-30"])
    ('year-month-day', 'day-month-year', '', '')
    """
    filled = [c for c in dict.fromkeys(cells) if c]
    if not filled or not filled[0][0].isdigit():
        return ""
    fits = [form for form in FORMS if all(_moment(c, form) is not None for c in filled)]
    return fits[0] if len(fits) == 1 else ""


def features(cells: Sequence[str], form: str) -> tuple[Array, list[int]]:
    """(n, 5): days since 1970, year, month, weekday from Monday, hour; NaN without a date; and where texts are none."""
    out = np.full((len(cells), len(PARTS)), np.nan)
    bad = []
    for i, cell in enumerate(cells):
        if not cell:
            continue
        told = _moment(cell, form)
        if told is None:
            bad.append(i)
            continue
        days = (told - datetime(1970, 1, 1)).total_seconds() / DAY
        out[i] = days, told.year, told.month, told.weekday(), told.hour
    return out, bad


def _moment(cell: str, form: str) -> datetime | None:
    told = FORMS[form].fullmatch(cell)
    if told is None:
        return None
    numbers = [int(told[part] or 0) for part in ("year", "month", "day", "hour", "minute", "second")]
    try:
        return datetime(*numbers)  # type: ignore[arg-type]
    except ValueError:
        return None
