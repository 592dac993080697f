"""Plain data as TOML, which Python reads and does not write."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(data: Mapping[str, Any]) -> str:
    """A TOML document: plain values first, then a table for each mapping, with its entries in a line each.

    None is left out, as TOML has no word for it.

    >>> print(to_toml({"steps": 9, "space": {"lr": {"type": "float", "low": 1e-5}}}), end="")
    steps = 9
    <BLANKLINE>
    [space]
    lr = { type = "float", low = 1e-05 }
    """
    kept = {k: v for k, v in data.items() if v is not None}
    lines = [f"{_key(k)} = {_value(v)}" for k, v in kept.items() if not isinstance(v, Mapping)]
    for name, table in kept.items():
        if isinstance(table, Mapping):
            lines += ["", f"[{_key(name)}]", *(f"{_key(k)} = {_value(v)}" for k, v in table.items() if v is not None)]
    return "\n".join(lines).lstrip("\n") + "\n"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(text: str) -> str:
    # JSON's escapes are TOML's, but for characters outside of the first plane, which stay as they are, and DEL
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(str(k))} = {_value(v)}" for k, v in value.items() if v is not None)
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    return _text(str(value))
