"""The Space: named hyperparameters, constants and conditions, as configurations and as arrays."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from tunebook.errors import Problem, SpaceError, nearest, shown
from tunebook.space import read, rules
from tunebook.space.conditions import Conditions, Mask, condition_problems, count, flatten, resolved
from tunebook.space.parameter import (
    Array,
    Choice,
    Config,
    Float,
    Index,
    Int,
    Lattice,
    Nested,
    Parameter,
    Scale,
    Steps,
    Value,
    key,
)


@dataclass(frozen=True)
class Axis:
    """A column of the arrays: a named parameter and the conditions under which it exists.

    ``when`` holds pairs (parent column, which of the parent's values allow it: bool (size,)); all must hold.
    """

    name: str
    parameter: Parameter
    when: tuple[tuple[int, Mask], ...] = ()


class Space(Nested):
    """A set of named hyperparameters, constants and conditions; immutable.

    ``conditions`` maps a name to what must hold for it to exist: ``{"momentum": {"optimizer": ["sgd"]}}``.
    Raises SpaceError with every problem found.
    """

    def __init__(
        self,
        parameters: Mapping[str, Parameter | Value] | None = None,
        /,
        *,
        conditions: Conditions | None = None,
        **named: Parameter | Value,
    ) -> None:
        flat, when, found = flatten(parameters, named, conditions)
        broken = {name: told for name, item in flat.items() if (told := _problems(name, item))}
        found += [p for told in broken.values() for p in told]
        found += condition_problems({n: None if n in broken else item for n, item in flat.items()}, when)
        if found:
            raise SpaceError(found)
        items, kept = resolved(flat, when)
        self.parameters: Mapping[str, Parameter] = {n: p for n, p in items.items() if isinstance(p, Parameter)}
        self.constants: Mapping[str, Value] = {n: v for n, v in items.items() if not isinstance(v, Parameter)}
        self.conditions: Conditions = kept
        self._items: Mapping[str, Parameter | Value] = items
        self._allowed = {n: {p: frozenset(map(key, ok)) for p, ok in rule.items()} for n, rule in kept.items()}
        column = {name: j for j, name in enumerate(self.parameters)}
        self._when = {n: tuple((column[p], self._mask(p, n)) for p in rule) for n, rule in self._allowed.items()}
        self.axes: tuple[Axis, ...] = tuple(Axis(n, p, self._when.get(n, ())) for n, p in self.parameters.items())

    def _mask(self, parent: str, name: str) -> Mask:
        above = self.parameters[parent]
        return np.array([key(v) in self._allowed[name][parent] for v in above.nth(np.arange(above.size))], dtype=bool)

    # what there is

    @cached_property
    def dim(self) -> int:
        """Number of axes."""
        return len(self.axes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the axes, parents before children."""
        return tuple(self.parameters)

    @cached_property
    def size(self) -> float:
        """How many distinct configurations there are; infinite with a continuous axis."""
        if any(a.parameter.size == 0 for a in self.axes):
            return math.inf
        total = count([(a.parameter.size, a.when) for a in self.axes])
        return total if total < 1e300 else math.inf

    @property
    def default(self) -> dict[str, Value]:
        """The configuration in which everything has its default."""
        return self.decode(np.full((1, self.dim), np.nan))[0]

    def active(self, name: str, config: Config) -> bool:
        """Whether the hyperparameter or constant exists, given the values of its parents in ``config``."""
        told = self._allowed.get(name, {})
        return all(p in config and key(config[p]) in ok for p, ok in told.items())

    def completed(self, config: Config) -> dict[str, Value]:
        """The configuration with the default of what it lacks; what it has stays as it is (``complaints`` judges it).

        >>> Space(lr=Float(0.001, 0.1, default=0.01), layers=Int(1, 4)).completed({"layers": 2})
        {'lr': 0.01, 'layers': 2}
        """
        out: dict[str, Value] = {}
        for name, item in self._existing(out):
            out[name] = config[name] if name in config else item.start if isinstance(item, Parameter) else item
        return {**out, **config}

    def contains(self, config: Config) -> bool:
        """Whether the configuration has just the active names, each inside its range."""
        return not self.complaints(config)

    def complaints(self, config: Config) -> list[Problem]:
        """What is wrong with a configuration as a member of this space; empty when nothing is."""
        found: list[Problem] = []
        expected = [n for n in self._items if self.active(n, config)]
        for n in expected:
            if n not in config:
                found.append(Problem("a value is missing", n, fix=f"add {n}"))
            elif n in self.parameters and not self.parameters[n].contains(config[n]):
                told = str(self.parameters[n].as_dict())
                found.append(Problem("outside its range", n, shown(config[n]), told, "a value inside"))
            elif n in self.constants and key(self.constants[n]) != key(config[n]):
                found.append(Problem("differs from the constant", n, shown(config[n]), shown(self.constants[n])))
        for n in config:
            rule = self.conditions.get(n, {})
            if n not in expected and rule:
                fix = f"add {', '.join(f'{p}={ok[0]!r}' for p, ok in rule.items())}: it exists only there"
                found.append(Problem("not a hyperparameter here", n, shown(config[n]), fix=fix))
            elif n not in expected:
                found.append(Problem("not a hyperparameter here", n, shown(config[n]), nearest(str(n), expected)))
        return found

    # arrays

    def decode(self, units: Array) -> list[dict[str, Value]]:
        """Configurations of an array (n, dim); an inactive column is not looked at, NaN elsewhere is the default."""
        given = self._rows(units)
        absent = np.isnan(given)
        filled = np.where(absent, self._starts, given)
        numbers = np.empty_like(filled)
        columns, scale = self._continuous
        numbers[:, columns] = scale.values(filled.take(columns, axis=1))
        columns, steps = self._stepped
        numbers[:, columns] = steps.index(filled.take(columns, axis=1))
        configs: list[dict[str, Value]] = []
        for row, gaps in zip(numbers.tolist(), absent.tolist(), strict=True):
            config: dict[str, Value] = {}
            for name, item in self._existing(config):
                if isinstance(item, Parameter):
                    j = self._column[name]
                    config[name] = item.start if gaps[j] else item.at(row[j])
                else:
                    config[name] = item
            configs.append(config)
        return configs

    def encode(self, configs: Iterable[Config]) -> Array:
        """Array (n, dim) of configurations; NaN where an axis is inactive; beyond [0, 1] outside a numeric range.

        Raises SpaceError for a configuration that lacks an active value or holds one that has no code.
        """
        rows = [self._numbers(config) for config in configs]
        out = np.empty((len(rows), self.dim))
        if not rows:
            return out
        numbers = np.array(rows, dtype=np.float64)
        for columns, scale in self._scales:
            out[:, columns] = scale.codes(numbers.take(columns, axis=1))
        return out

    def _numbers(self, config: Config) -> list[float]:
        """What the axes' scales take (dim,) for a configuration, NaN where inactive."""
        out = [math.nan] * self.dim
        for name, item in self._existing(config):
            if not isinstance(item, Parameter):
                continue
            try:
                out[self._column[name]] = item.number(config[name])
            except KeyError:
                raise SpaceError("a configuration lacks a value", where=name, got=shown(dict(config)),
                                 fix="Space.adapt fills defaults in", code="SPACE-114") from None  # fmt: skip
            except SpaceError as bad:
                raise SpaceError([replace(p, where=name) for p in bad.problems]) from None
        return out

    def _existing(self, config: Config) -> Iterator[tuple[str, Parameter | Value]]:
        """What exists given the values in a configuration, which may be filled in meanwhile: parents come first."""
        here: dict[str, bool] = {}
        for name, item, like in self._walk_order:
            if like is not None and like not in here:
                here[like] = self.active(name, config)
            if like is None or here[like]:
                yield name, item

    def mask(self, units: Array) -> Array:
        """The same array with NaN wherever an axis is inactive and no NaN elsewhere."""
        given = self._rows(units)
        out = np.where(np.isnan(given), self._starts, given)
        stepped, steps = self._stepped
        index = dict(zip(stepped.tolist(), steps.index(out[:, stepped]).T, strict=True))
        on = self._on(index, len(out))
        for name, columns in self._together:
            out[np.flatnonzero(~on[name])[:, None], columns] = np.nan
        return out

    def snap(self, units: Array) -> Array:
        """Codes moved to those of real configurations: clipped, on the lattices, inactive ones NaN."""
        out = self._rows(units)
        for j, axis in enumerate(self.axes):
            there = ~np.isnan(out[:, j])
            out[there, j] = axis.parameter.snap(out[there, j])
        return self.mask(out)

    def _rows(self, units: Array) -> Array:
        """A copy of the array as (n, dim)."""
        try:
            rows = np.array(units, dtype=np.float64, ndmin=2)
        except (TypeError, ValueError):
            rows = np.empty((0, 0, 0))
        if rows.ndim != 2 or rows.shape[1] != self.dim:
            got = shown(units) if rows.ndim == 3 else str(rows.shape)
            raise SpaceError("the array has the wrong shape", where="units", got=got, expected=f"(n, {self.dim})",
                             fix="one column for each of Space.names", code="SPACE-115")  # fmt: skip
        return rows

    def _on(self, index: Mapping[int, Index], many: int) -> dict[str, Mask]:
        """In which of ``many`` rows conditions hold, by the name of one that has them (``_like``), given the numbers
        of the values (many,) of each stepped axis."""
        out: dict[str, Mask] = {}
        for name, rule in self._rules:
            there: Mask | None = None
            for parent, allowed in rule:
                holds = allowed[index[parent]]
                above = self._like.get(self.axes[parent].name)
                if above is not None:
                    holds = holds & out[above]
                there = holds if there is None else there & holds
            out[name] = np.ones(many, dtype=bool) if there is None else there
        return out

    @cached_property
    def _like(self) -> dict[str, str]:
        """The first name with the same conditions, of each name that has conditions."""
        first: dict[tuple[tuple[int, bytes], ...], str] = {}
        return {name: first.setdefault(tuple((p, ok.tobytes()) for p, ok in rule), name)
                for name, rule in self._when.items()}  # fmt: skip

    @cached_property
    def _walk_order(self) -> list[tuple[str, Parameter | Value, str | None]]:
        return [(name, item, self._like.get(name)) for name, item in self._items.items()]

    @cached_property
    def _rules(self) -> list[tuple[str, tuple[tuple[int, Mask], ...]]]:
        """Different conditions by the first name that has them, parents before children."""
        first = set(self._like.values())
        return [(name, self._when[name]) for name in self._items if name in first]

    @cached_property
    def _stepped(self) -> tuple[Index, Steps]:
        """The columns of the axes that are not continuous, and how their codes are numbers of values."""
        told = [(j, a.parameter) for j, a in enumerate(self.axes) if a.parameter.size]
        return np.array([j for j, _ in told], dtype=np.int64), Steps([p for _, p in told])

    @cached_property
    def _column(self) -> dict[str, int]:
        return {name: j for j, name in enumerate(self.parameters)}

    @cached_property
    def _together(self) -> list[tuple[str, list[int]]]:
        """The columns that share their conditions, with the first name that has them, parents before children."""
        groups: dict[str, list[int]] = {}
        for j, axis in enumerate(self.axes):
            if axis.when:
                groups.setdefault(self._like[axis.name], []).append(j)
        return list(groups.items())

    @cached_property
    def _continuous(self) -> tuple[Index, Scale]:
        """The columns of the continuous axes, and their scales."""
        told = [(j, p) for j, a in enumerate(self.axes) if isinstance(p := a.parameter, Float) and not p.size]
        return np.array([j for j, _ in told], dtype=np.int64), Scale([p for _, p in told])

    @cached_property
    def _scales(self) -> list[tuple[Index, Scale | Lattice]]:
        """The scales of all axes, as few as there can be, each with its columns."""
        axes = [(j, a.parameter) for j, a in enumerate(self.axes)]
        even = [(j, p) for j, p in axes if isinstance(p.scale, Lattice)]
        rest = [(j, p) for j, p in axes if isinstance(p, Float | Int) and not isinstance(p.scale, Lattice)]
        out: list[tuple[Index, Scale | Lattice]] = []
        if even:
            out.append((np.array([j for j, _ in even]), Lattice([p for _, p in even])))
        if rest:
            out.append((np.array([j for j, _ in rest]), Scale([p for _, p in rest])))
        return out

    @cached_property
    def _starts(self) -> Array:
        return np.array([a.parameter.encode(a.parameter.start) for a in self.axes], dtype=np.float64)

    def grid(self, points: int = 0) -> Iterator[dict[str, Value]]:
        """Every configuration, with ``points`` values on an axis that has more. Raises SpaceError if endless."""
        for name, p in self.parameters.items():
            if p.size == 0 and points < 1:
                raise SpaceError("a continuous axis has no finite grid", where=name, got=shown(p),
                                 fix="give points, or the axis a step", code="SPACE-116")  # fmt: skip
        ladders = {n: p.ladder(points) if isinstance(p, Parameter) else [p] for n, p in self._items.items()}
        return self._walk(ladders)

    def _walk(self, ladders: Mapping[str, list[Value]]) -> Iterator[dict[str, Value]]:
        """All combinations, the last name fastest: an odometer whose wheels are the names."""
        names, config = list(ladders), dict[str, Value]()
        wheels: list[Iterator[tuple[Value, ...]]] = []
        while True:
            if len(wheels) < len(names):  # set the next wheel to its start; an inactive name has one empty position
                name = names[len(wheels)]
                on = self.active(name, config)
                wheels.append(iter([(v,) for v in ladders[name]] if on else [()]))
            else:
                yield dict(config)
            while wheels:  # turn the last wheel that can be turned
                name = names[len(wheels) - 1]
                config.pop(name, None)
                turned = next(wheels[-1], None)
                if turned is not None:
                    if turned:
                        config[name] = turned[0]
                    break
                wheels.pop()
            else:
                return

    # change

    def updated(self, changes: Mapping[str, Parameter | Value], conditions: Conditions | None = None) -> Space:
        """A space with some parameters replaced, fixed (a plain value) or added.

        Conditions stay, unless ``conditions`` has others of that name; what could only exist under an option that is
        gone goes with it.
        """
        items: dict[str, Any] = {**self._items, **changes}
        found = [p for name, new in changes.items() for p in _problems(name, new)]
        if found:
            raise SpaceError(found)
        nests = tuple(f"{n}." for n, new in changes.items() if isinstance(new, Choice) and new.nested)
        when: dict[str, dict[str, Sequence[Value]]] = {}
        for name in self._items:
            rule = {p: _possible(items.get(p), ok) for p, ok in self.conditions.get(name, {}).items()}
            gone = name.startswith(nests) or not all(rule.values()) or not rule.keys() <= items.keys()
            if gone and name not in changes:
                del items[name]
            elif rule:
                when[name] = rule
        return Space(items, conditions={**when, **(conditions or {})})

    def updated_from_dict(self, data: Mapping[str, Any], where: str = "space") -> Space:
        """``updated`` by plain data, entries as ``from_dict`` takes them. Raises SpaceError with every problem found.

        >>> Space(lr=Float(0.001, 0.1), drop=Float(0.0, 0.5)).updated_from_dict({"drop": 0.2, "depth": 2})
        Space(lr=Float(0.001, 0.1), drop=0.2, depth=2)
        """
        items, conditions, found = read.entries(data, where, Space.from_dict)
        if found:
            raise SpaceError(found)
        try:
            return self.updated(items, conditions)
        except SpaceError as bad:
            raise SpaceError([replace(p, where=f"{where}.{p.where}") for p in bad.problems]) from None

    def adapt(self, config: Config) -> dict[str, Value] | None:
        """A configuration of an earlier space seen as one of this space, or None when it cannot be.

        New hyperparameters take their default, numbers outside the range stay as they are, a number that was
        tuned before and is a constant now is taken as that constant, names that are gone are left out. A value that has
        no code here (an unknown option, a fraction for an Int, a number <= 0 on a log scale) has no place.
        """
        out: dict[str, Value] = {}
        for name, item in self._existing(out):
            if not isinstance(item, Parameter):
                before = config.get(name, item)
                if key(before) != key(item) and not (_is_number(item) and _is_number(before)):
                    return None
                out[name] = item
            elif name not in config:
                out[name] = item.start
            elif item.admits(config[name]):
                out[name] = config[name]
            else:
                return None
        return out

    def clashes(self, earlier: Space) -> list[Problem]:
        """Why trials of an earlier space would lose their meaning in this one; empty when they keep counting.

        Wider, narrower, fixed, new and conditional hyperparameters are no clash (``adapt`` has the rules). One that
        is gone, or was renamed, or has another type is: the problem says how to mend it.
        """
        found: list[Problem] = []
        fresh = [n for n in self._items if n not in earlier._items]
        for name, old in earlier.parameters.items():
            new = self._items.get(name)
            if name not in self._items and self._reachable(earlier, name):
                alike = [n for n in fresh if self._items[n] == old]
                fix = f"keep the name {name!r}" if alike else f"{name}={old.start!r}, a constant, or another study"
                what = f"a hyperparameter was renamed to {alike[0]!r}" if alike else "a hyperparameter is gone"
                found.append(rules.problem(117, name, what, shown(old), "a name that the earlier trials have", fix))
            elif isinstance(new, Parameter) and not _follows(old, new):
                fix = f"keep {type(old).__name__}, or call the new one {name}_{new.type}"
                found.append(rules.problem(118, name, "a hyperparameter has another type", shown(new), shown(old), fix))
        for name, value in earlier.constants.items():
            if name in self.constants and key(self.constants[name]) != key(value):
                fix = f"{name}={value!r}, or another study"
                found.append(rules.problem(119, name, "a constant has another value", shown(self.constants[name]),
                                           shown(value), fix))  # fmt: skip
        return found

    def _reachable(self, earlier: Space, name: str) -> bool:
        """Whether what an earlier space had under conditions could still exist in this one."""
        return all(
            any(p.contains(v) if isinstance(p, Parameter) else key(p) == key(v) for v in allowed)
            for parent, allowed in earlier.conditions.get(name, {}).items()
            for p in [self._items.get(parent)]
        )

    # as JSON, and as people see it

    def as_dict(self) -> dict[str, Any]:
        """A JSON object that ``from_dict`` reads back."""
        out: dict[str, Any] = {}
        for name, item in self._items.items():
            out[name] = item.as_dict() if isinstance(item, Parameter) else {"type": "constant", "value": item}
            if name in self.conditions:
                out[name]["when"] = {p: list(ok) for p, ok in self.conditions[name].items()}
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "space") -> Self:
        """A space from plain data, as in a TOML or JSON file. Raises SpaceError with every problem found.

        >>> Space.from_dict({"lr": {"type": "float", "low": 0.001, "high": 0.1, "log": True}, "epochs": 10})
        Space(lr=Float(0.001, 0.1, log=True), epochs=10)
        """
        items, conditions, found = read.entries(data, where, cls.from_dict)
        try:
            space = cls(items, conditions=conditions)
        except SpaceError as bad:
            found += [replace(p, where=f"{where}.{p.where}") for p in bad.problems]
        if found:
            raise SpaceError(found)
        return space

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and self._canonical == other._canonical

    def __hash__(self) -> int:
        return hash(self._canonical)

    @cached_property
    def _canonical(self) -> str:
        return json.dumps(self.as_dict(), sort_keys=True)

    def __repr__(self) -> str:
        told = [f"{n}={item!r}" for n, item in self._items.items()]
        if self.conditions:
            told.append(f"conditions={dict(self.conditions)!r}")
        return f"Space({', '.join(told)})"


def branch(config: Config, name: str) -> tuple[str, dict[str, Value]]:
    """The chosen option of a nested choice and what stands below it, with short names.

    >>> branch({"optimizer": "sgd", "optimizer.sgd.lr": 0.1, "depth": 2}, "optimizer")
    ('sgd', {'lr': 0.1})
    """
    if name not in config:
        raise SpaceError("no such choice in the configuration", where=name, expected=nearest(name, config),
                         fix="the name of a Choice, as in Space.names", code="SPACE-120")  # fmt: skip
    label = str(config[name])
    head = f"{name}.{label}."
    return label, {k.removeprefix(head): v for k, v in config.items() if k.startswith(head)}


def _problems(name: object, item: object) -> list[Problem]:
    where = name if isinstance(name, str) and name.isprintable() else shown(name)
    return rules.name(name) + (item.problems(where) if isinstance(item, Parameter) else rules.constant(where, item))


def _possible(parent: object, allowed: Sequence[Value]) -> Sequence[Value]:
    """Which of the values the parent can still take; a constant and a continuum are judged elsewhere."""
    if not isinstance(parent, Parameter) or parent.size == 0:
        return allowed
    return [v for v in allowed if parent.contains(v)]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _follows(old: Parameter, new: Parameter) -> bool:
    """Whether each value of an earlier parameter may have a code in the new one, so that the type is no other."""
    if old.type == new.type or (old.type, new.type) == ("int", "float"):
        return True
    return old.type == "choice" and old.size > 0 and all(new.admits(v) for v in old.nth(np.arange(old.size)))
