"""Spaces from plain data, as in a TOML, JSON or YAML file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from tunebook.errors import Problem, SettingError, SpaceError, nearest, shown
from tunebook.space import rules
from tunebook.space.dialects import translation
from tunebook.space.parameter import Choice, Float, Int, Nested, Parameter, Value

Nest = Callable[[Mapping[str, Any], str], Nested]

_KINDS: Mapping[str, tuple[type[Parameter], dict[str, Any]]] = {
    "float": (Float, {}),
    "int": (Int, {}),
    "choice": (Choice, {}),
    "uniform": (Float, {}),
    "loguniform": (Float, {"log": True}),
}
_ALIASES = {"min": "low", "lo": "low", "lower": "low", "max": "high", "hi": "high", "upper": "high", "q": "step",
            "values": "options", "choices": "options", "log_scale": "log"}  # fmt: skip


def entries(
    data: object, where: str, nest: Nest
) -> tuple[dict[Any, Parameter | Value], dict[str, dict[str, Any]], list[Problem]]:
    """Items and conditions of plain data, and what is wrong with it; a broken entry stands for itself as None."""
    items: dict[Any, Parameter | Value] = {}
    conditions: dict[str, dict[str, Any]] = {}
    found: list[Problem] = []
    if not isinstance(data, Mapping):
        found.append(rules.problem(24, where, "a space is not a table", shown(data), "{name: entry}",
                                   "lr = {type = 'float', low = 0.001, high = 0.1}"))  # fmt: skip
        data = {}
    for name, told in data.items():
        items[name] = told if not isinstance(told, Mapping | list) else None
        if isinstance(told, list):
            found.append(_list_problem(str(name), told, f"{where}.{name}"))
        if isinstance(told, Mapping):
            try:
                items[name] = entry(told, f"{where}.{name}", nest)
            except SpaceError as bad:
                found += bad.problems
            if "when" in told:
                conditions[name] = told["when"]
    return items, conditions, found


def _list_problem(name: str, told: list[Any], where: str) -> Problem:
    """A list may be meant as options or as a range, so it is neither."""
    words = f"{{ type = 'choice', options = {shown(told)} }}"
    if len(told) == 2 and all(isinstance(v, int | float) and not isinstance(v, bool) for v in told):
        words += f", or {{ type = 'float', low = {told[0]}, high = {told[1]} }}"
    return rules.problem(19, where, "a list is no entry", shown(told), "a table, or a plain value",
                         f"{_quoted(name)} = {words}")  # fmt: skip


def _quoted(name: str) -> str:
    return f'"{name}"' if "." in name else name


def entry(told: Mapping[str, Any], where: str, nest: Nest) -> Parameter | Value:
    """One entry of ``Space.from_dict``, a mapping; ``nest`` reads the spaces below options. Raises SpaceError."""
    settings = {k: v for k, v in told.items() if k not in ("type", "when")}
    kind = told.get("type")
    foreign = translation(settings)
    if foreign and not (isinstance(kind, str) and kind in _KINDS):
        raise SpaceError(rules.problem(32, where, f"this is {foreign[0]}, not tunebook's", shown(dict(told)),
                                       "type, low, high, options", f"as {foreign[1]}"))  # fmt: skip
    if kind == "constant" and set(settings) == {"value"}:
        value: Value = settings["value"]
        return value
    below = next((k for k, v in settings.items() if isinstance(v, Mapping)), None) if kind is None else None
    if below is not None:
        inner = next(iter(settings[below]), "lr")
        name = f'"{where.partition(".")[2] or where}.{below}.{inner}"'
        raise SpaceError(rules.problem(23, where, "an entry has no type", shown(dict(told)), "type, low, high, options",
                                       f"a name with dots stands in quotes: {name} = ..."))  # fmt: skip
    if not isinstance(kind, str) or kind not in _KINDS:
        what = "an entry has no type" if kind is None else "unknown type"
        known = nearest(str(kind), [*_KINDS, "constant"])
        raise SpaceError(rules.problem(23, where, what, shown(kind if kind is not None else dict(told)), known,
                                       "type = 'float', 'int' or 'choice'"))  # fmt: skip
    cls, preset = _KINDS[kind]
    found = [*_key_problems(cls, settings, where)]
    if found:
        raise SpaceError(found)
    if cls is Choice:
        settings["options"] = _options(settings["options"], where, nest)
    else:
        # YAML 1.1 reads 1e-4 as text, and so do many config files in the wild
        settings |= {k: _numeric(v) for k, v in settings.items() if isinstance(v, str)}
    return cls(**{**preset, **settings})


def _key_problems(cls: type[Parameter], settings: Mapping[str, Any], where: str) -> Iterator[Problem]:
    known = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    unknown = [k for k in settings if k not in known]
    for k in unknown:
        told = f"did you mean {_ALIASES[k]!r}?" if _ALIASES.get(k) in known else nearest(str(k), known)
        yield rules.problem(24, where, "unknown key", shown(k), told, "keys: " + ", ".join(known))
    for k in ("options",) if cls is Choice else ("low", "high"):
        if k not in settings and not unknown:
            yield rules.problem(24, where, "a key is missing", ", ".join(settings), k, f"add {k} = ...")


def _options(options: Any, where: str, nest: Nest) -> Any:
    if not isinstance(options, Mapping):
        return options
    return {
        label: nest(below, f"{where}.{label}") if isinstance(below, Mapping) else below
        for label, below in options.items()
    }


def _numeric(text: str) -> Any:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def read_toml(text: str, where: str = "the TOML text") -> dict[str, Any]:
    """The data of a TOML document. Raises SettingError with the line, and both lines of a name that stands twice."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as bad:
        message = str(bad)
        found = re.search(r"\(at line (\d+), column (\d+)\)", message)
        line = int(found[1]) if found else text.count("\n") + 1
        place = f"{where}:{line}:{found[2]}" if found else f"{where}:{line}"
        said, fix = message.partition(" (at")[0].lower(), "mend that line"
        name = _key(_line(text, line))
        if said.startswith("cannot"):  # overwrite, mutate, declare: a value and a table share a name
            name = name if "." in name and not name.startswith("[") else "optimizer.adam.lr"
            fix = f'a name with dots stands in quotes: "{name}" = ...'
        problem = _twice(text, line, place) or Problem(
            "this is not valid TOML", place, shown(_line(text, line)), said, fix, "CONFIG-037")  # fmt: skip
        raise SettingError(problem) from None


def _line(text: str, line: int) -> str:
    return text.split("\n")[line - 1].strip() if line <= text.count("\n") + 1 else ""


def _twice(text: str, line: int, place: str) -> Problem | None:
    """The problem of a name that stands twice, if that is what is wrong in ``line``."""
    lines = [x.strip() for x in text.split("\n")]
    name = _key(lines[line - 1])
    table = max((i for i in range(line - 1) if lines[i].startswith("[")), default=0)
    start = 0 if name.startswith("[") else table
    before = [i + 1 for i in range(start, line - 1) if name and _key(lines[i]) == name]
    if not before:
        return None
    return rules.problem(26, place, "a name stands twice", f"{name} in line {before[-1]} and line {line}",
                         "each name once", "drop or rename one of them")  # fmt: skip


def _key(line: str) -> str:
    return line if line.startswith("[") else line.partition("=")[0].strip().strip("\"'") if "=" in line else ""
