"""How the command line speaks: results on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from tunebook.errors import TunebookError

RED, PLAIN = "\x1b[1;31m", "\x1b[0m"


def clean(text: object, longest: int = 10_000) -> str:
    """Text that cannot move a cursor: what is not printable is written as its escape. In one line.

    >>> clean("a\\x1b[2J\\n")
    'a\\\\x1b[2J\\\\n'
    """
    told = str(text)
    if not told.isprintable():
        told = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in told)
    return told if len(told) <= longest else told[: longest - 1] + "…"


def clean_lines(text: str) -> str:
    """As ``clean``, keeping the lines."""
    return "\n".join(map(clean, text.splitlines()))


def tell(text: str = "") -> None:
    """A line of a result."""
    print(text)


def say(text: str) -> None:
    """A remark to the person at the terminal; dropped when nobody listens any more."""
    with contextlib.suppress(OSError):
        print(clean(text), file=sys.stderr)


def complain(error: TunebookError | str) -> None:
    """An error in house style: what is wrong (red on a terminal), where, got, expected, fix."""
    lines = str(error).splitlines() or ["error"]
    head = lines[0] if lines[0].startswith("error") else f"error: {lines[0]}"
    told = [f"{RED}{clean(head)}{PLAIN}" if colourful(sys.stderr) else clean(head), *map(clean, lines[1:])]
    with contextlib.suppress(OSError):
        print("\n".join(told), file=sys.stderr)


def colourful(stream: TextIO) -> bool:
    """Whether colours have a place there: NO_COLOR and FORCE_COLOR win over what the stream is."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")


def as_json(value: Any) -> str:
    """Valid JSON of what may hold floats that JSON has no number for: those are texts ("NaN", "Infinity")."""
    return json.dumps(_finite(value), indent=2, allow_nan=False, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(v) for v in value]
    return value


def cell(value: object) -> str:
    """A value in a table: floats in five digits, nothing for None and NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.5g}" if isinstance(value, float) else clean(value, 60)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Aligned columns; numbers to the right.

    >>> print(table(["name", "trials"], [["a", 5], ["bb", 12]]))
    name  trials
    a          5
    bb        12
    """
    told = list(rows)
    texts = [list(map(clean, heads)), *([cell(v) for v in row] for row in told)]
    widths = [max(len(t[i]) for t in texts) for i in range(len(heads))]
    right = [all(isinstance(row[i], int | float | None) for row in told) and bool(told) for i in range(len(heads))]
    lines = ("  ".join(t.rjust(w) if r else t.ljust(w) for t, w, r in zip(line, widths, right, strict=True))
             for line in texts)  # fmt: skip
    return "\n".join(line.rstrip() for line in lines)
