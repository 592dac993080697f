"""Search spaces: which hyperparameters there are, what values they may take, and when they exist.

    space = Space(
        lr=Float(1e-4, 1e-1, log=True),
        layers=Int(1, 4),
        optimizer=Choice({"sgd": Space(momentum=Float(0.0, 0.99)), "adam": Space(beta1=Float(0.8, 0.99))}),
        epochs=10,                                             # a constant
    )

A configuration is a flat mapping of plain JSON values. A hyperparameter nested under an option carries the
option in its name (``optimizer.sgd.momentum``): the same word under two options is two hyperparameters.
Samplers see arrays ``(n, dim)`` of numbers in [0, 1], one column an axis, NaN where an axis is inactive.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from tunebook.errors import Problem, SpaceError, nearest

Value = bool | int | float | str | None
Config = Mapping[str, Value]
Array = npt.NDArray[np.float64]
Conditions = Mapping[str, Mapping[str, Sequence[Value]]]

EXACT = 2**53
MOST_OPTIONS = 10_000
LONGEST_NAME = 256


class Parameter(ABC):
    """One hyperparameter's range. ``encode`` maps values to [0, 1], ``decode`` back."""

    type: ClassVar[str]
    default: Value

    @property
    @abstractmethod
    def size(self) -> int:
        """How many distinct values there are; 0 for a continuum."""

    @property
    @abstractmethod
    def unordered(self) -> bool:
        """True where neighbouring codes mean nothing (categories)."""

    @property
    @abstractmethod
    def start(self) -> Value:
        """The declared default, or the middle of the range (the first option of a choice)."""

    @abstractmethod
    def decode(self, unit: float) -> Value:
        """The value at ``unit`` in [0, 1]; what lies outside is clipped."""

    @abstractmethod
    def encode(self, value: Value) -> float:
        """The code of a value: in [0, 1] inside the range, beyond it outside (numbers only).

        Raises SpaceError for a value that has no code (an unknown option, a non-positive number on a log scale).
        """

    @abstractmethod
    def contains(self, value: Value) -> bool:
        """Whether the value lies inside the range."""

    @abstractmethod
    def problems(self, where: str) -> list[Problem]:
        """All that is wrong with the declaration; empty when it is sound."""

    @abstractmethod
    def snap(self, units: Array) -> Array:
        """``encode(decode(u))`` for an array of codes, any shape."""

    @abstractmethod
    def slices(self, units: Array) -> tuple[Array, Array]:
        """Ends of the slice of [0, 1] whose codes all mean the same value, for codes of any shape; on a continuum
        both are the code itself."""

    @abstractmethod
    def every(self) -> Array:
        """Codes (size,) of all values in order; none on a continuum."""

    def ladder(self, points: int = 0) -> list[Value]:
        """Distinct values spread over the range: all of them where they are unordered or at most ``points`` (with 0:
        all), else up to ``points`` of them, evenly on the scale."""
        if self.size and (points < 1 or self.unordered or self.size <= points):
            units = self.every()
        elif self.size:
            units = (np.arange(points) + 0.5) / points
        else:
            units = np.linspace(0.0, 1.0, points) if points > 1 else np.array([0.5])
        return list(dict.fromkeys(self.decode(u) for u in units.tolist()))

    def as_dict(self) -> dict[str, Any]:
        """A JSON object that ``Space.from_dict`` reads back."""
        told = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        return {"type": self.type} | {k: v for k, v in told.items() if v is not None and v is not False}


@dataclass(frozen=True)
class _Number(Parameter):
    """What Float and Int share: a range on a linear or log scale, perhaps on a lattice of ``step``."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    default: float | None = None

    @property
    def unordered(self) -> bool:
        return False

    @property
    def start(self) -> Value:
        return self.decode(0.5) if self.default is None else self.default

    def _edges(self) -> tuple[float, float]:
        """The ends of the scale before the log. A lattice gets half a step more, so that each value owns a slice."""
        half = 0.5 * (self.step or 0.0)
        low, high = self.low - half, self.high + half
        return (math.log(low), math.log(high)) if self.log else (low, high)

    def _at(self, units: Array) -> Array:
        a, b = self._edges()
        raw = a + np.clip(units, 0.0, 1.0) * (b - a)
        raw = np.exp(raw) if self.log else raw
        if self.step:
            raw = self.low + np.rint((raw - self.low) / self.step) * self.step
        raw = np.where(units <= 0.0, self.low, np.where(units >= 1.0, self.high, raw))  # exp(log(x)) is not quite x
        return np.asarray(np.clip(raw, self.low, self.high), dtype=np.float64)

    def _to(self, values: Array) -> Array:
        a, b = self._edges()
        return ((np.log(values) if self.log else values) - a) / (b - a)

    def encode(self, value: Value) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise SpaceError("a number was expected", got=repr(value), expected=f"{self.low} to {self.high}")
        if self.log and value <= 0:
            raise SpaceError("a log scale has no place for numbers <= 0", got=repr(value))
        return float(self._to(np.float64(value)))  # type: ignore[arg-type]

    def contains(self, value: Value) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        slack = 1e-9 * max(abs(self.low), abs(self.high))
        return self.low - slack <= value <= self.high + slack

    def snap(self, units: Array) -> Array:
        return self._to(self._at(units)) if self.size else np.clip(units, 0.0, 1.0)

    def slices(self, units: Array) -> tuple[Array, Array]:
        if self.size == 0:
            return units, units
        half, at = 0.5 * (self.step or 1), self._at(units)
        return self._to(at - half), self._to(at + half)

    def every(self) -> Array:
        return self._to(np.asarray(self.low + np.arange(self.size) * (self.step or 1.0), dtype=np.float64))

    def problems(self, where: str) -> list[Problem]:
        found = [p for side in ("low", "high") for p in self._bound_problems(where, side)]
        if not found:
            found = self._range_problems(where) or self._step_problems(where)
        if not found and self.default is not None and not self.contains(self.default):
            found.append(
                Problem(
                    "the default lies outside the range",
                    where,
                    f"default={self.default!r}",
                    f"{self.low} to {self.high}",
                    "move the default inside or widen the range",
                    "SPACE-031",
                )
            )
        return found

    def _bound_problems(self, where: str, side: str) -> Iterator[Problem]:
        value: object = getattr(self, side)
        got, number = f"{side}={value!r}", "a finite number"
        if isinstance(value, bool):
            yield Problem(
                "a bound is true/false", where, got, number, "did you mean Choice([False, True])?", "SPACE-008"
            )
        elif isinstance(value, str):
            fix = f"{side}={value} without quotes (YAML 1.1 reads 1e-4 as text: write 1.0e-4)"
            yield Problem("a bound is text", where, got, number, fix, "SPACE-007")
        elif not isinstance(value, int | float | np.integer | np.floating):
            yield Problem("a bound is not a number", where, got, number, f"give {side} as a number", "SPACE-007")
        elif math.isnan(value):
            yield Problem("a bound is NaN", where, got, number, f"give {side} a finite number", "SPACE-005")
        elif math.isinf(value):
            yield Problem("a bound is infinite", where, got, number, f"give {side} a finite number", "SPACE-006")

    def _range_problems(self, where: str) -> list[Problem]:
        low, high, got = self.low, self.high, f"low={self.low}, high={self.high}"
        if low > high:
            return [Problem("low is above high", where, got, "low < high", f"swap them: ({high}, {low})", "SPACE-001")]
        if low == high:
            name = where.rpartition(".")[2]
            return [
                Problem("low equals high: a constant", where, got, "low < high", f"write {name}={low}", "SPACE-002")
            ]
        if self.log and low <= 0:
            code = "SPACE-003" if low == 0 else "SPACE-004"
            fix = "log=False, or a low above 0" if high <= 0 else f"low={self._small():g}"
            return [Problem("a log scale needs low > 0", where, got, "low > 0", fix, code)]
        return []

    def _small(self) -> float:
        return self.high * 1e-4

    def _step_problems(self, where: str) -> list[Problem]:
        if self.step is None:
            return []
        step, span, got = self.step, self.high - self.low, f"step={self.step!r}"
        if isinstance(step, bool) or not isinstance(step, int | float) or not math.isfinite(step) or step <= 0:
            return [
                Problem("step must be positive", where, got, "step > 0", "leave step out for a continuum", "SPACE-009")
            ]
        if self.log:
            return [
                Problem(
                    "step and log do not go together",
                    where,
                    got,
                    "one of them",
                    "a log lattice is Choice([...], ordered=True)",
                    "SPACE-012",
                )
            ]
        if step > span:
            return [
                Problem(
                    f"step is larger than the range: the only value would be {self.low}",
                    where,
                    got,
                    f"step <= {span}",
                    "a smaller step",
                    "SPACE-010",
                )
            ]
        parts = span / step
        if abs(parts - round(parts)) > 1e-6:
            top = float(Decimal(str(self.low)) + int(parts) * Decimal(str(step)))
            return [
                Problem(
                    f"step does not divide the range: the largest value would be {top:g}",
                    where,
                    f"{got}, low={self.low}, high={self.high}",
                    "a step that divides high - low",
                    f"high={top:g}",
                    "SPACE-011",
                )
            ]
        return []


@dataclass(frozen=True)
class Float(_Number):
    """A real number in [low, high], both included; ``log`` for a log scale, ``step`` for a lattice."""

    type: ClassVar[str] = "float"

    @property
    def size(self) -> int:
        return 1 + round((self.high - self.low) / self.step) if self.step else 0

    def decode(self, unit: float) -> Value:
        value = float(self._at(np.float64(unit)))  # type: ignore[arg-type]
        if not self.step:
            return value
        digits = max(_digits(self.low), _digits(self.step))
        return round(value, digits)


def _digits(number: float) -> int:
    """Decimal places of a number as a person wrote it: 0.25 -> 2."""
    exponent = Decimal(repr(float(number))).normalize().as_tuple().exponent
    return max(0, -int(exponent))


@dataclass(frozen=True)
class Int(_Number):
    """A whole number in [low, high], both included. Each value owns a slice of [0, 1], equal on a linear scale."""

    type: ClassVar[str] = "int"

    @property
    def size(self) -> int:
        return 1 + round((self.high - self.low) / (self.step or 1))

    @property
    def start(self) -> Value:
        return self.decode(0.5) if self.default is None else int(self.default)

    def _edges(self) -> tuple[float, float]:
        half = 0.5 * (self.step or 1)
        low, high = self.low - half, self.high + half
        return (math.log(low), math.log(high)) if self.log else (low, high)

    def _at(self, units: Array) -> Array:
        a, b = self._edges()
        raw = a + np.clip(units, 0.0, 1.0) * (b - a)
        raw = np.exp(raw) if self.log else raw
        step = self.step or 1
        # floor(x + 1/2), not rint: rint rounds halves to even, which would give neighbours unequal slices
        return np.asarray(
            np.clip(self.low + np.floor((raw - self.low) / step + 0.5) * step, self.low, self.high), dtype=np.float64
        )

    def decode(self, unit: float) -> Value:
        return int(self._at(np.float64(unit)))  # type: ignore[arg-type]

    def contains(self, value: Value) -> bool:
        return super().contains(value) and float(value) == int(value)  # type: ignore[arg-type]

    def _small(self) -> float:
        return 1

    def _bound_problems(self, where: str, side: str) -> Iterator[Problem]:
        before = list(super()._bound_problems(where, side))
        yield from before
        value = getattr(self, side)
        if before:
            return
        if isinstance(value, float | np.floating):
            fix = f"{side}={int(value)}" if value == int(value) else "use Float, or round the bound"
            yield Problem(
                "a bound of Int is not a whole number", where, f"{side}={value!r}", "an int", fix, "SPACE-013"
            )
        elif abs(value) > EXACT:
            yield Problem(
                "a bound is too large to be exact",
                where,
                f"{side}={value}",
                "at most 2**53",
                "use Float(..., log=True)",
                "SPACE-014",
            )


class _Options(tuple[Value, ...]):
    """Options of a choice; ``1``, ``1.0`` and ``True`` are told apart."""

    __slots__ = ()

    def at(self, value: Value) -> int:
        for i, option in enumerate(self):
            if option == value and isinstance(option, bool) == isinstance(value, bool):
                return i
        return -1


@dataclass(frozen=True)
class Choice(Parameter):
    """One of several options: a sequence of plain values, or a mapping of label to the Space below that label.

    ``ordered=True`` says that the options are given from least to most (sizes, strengths): neighbours are alike.
    """

    options: Sequence[Value] | Mapping[str, Space]
    ordered: bool = False
    default: Value = None

    type: ClassVar[str] = "choice"

    @property
    def _values(self) -> _Options:
        return _Options(self.options)

    @property
    def size(self) -> int:
        return len(self.options)

    @property
    def unordered(self) -> bool:
        return not self.ordered

    @property
    def start(self) -> Value:
        return self._values[0] if self.default is None else self.default

    def decode(self, unit: float) -> Value:
        return self._values[min(max(int(unit * self.size), 0), self.size - 1)]

    def encode(self, value: Value) -> float:
        at = self._values.at(value)
        if at < 0:
            raise SpaceError("not one of the options", got=repr(value), expected=", ".join(map(repr, self._values)))
        return (at + 0.5) / self.size

    def contains(self, value: Value) -> bool:
        return self._values.at(value) >= 0

    def snap(self, units: Array) -> Array:
        return np.asarray((self._slot(units) + 0.5) / self.size)

    def slices(self, units: Array) -> tuple[Array, Array]:
        return self._slot(units) / self.size, (self._slot(units) + 1) / self.size

    def every(self) -> Array:
        return (np.arange(self.size) + 0.5) / self.size

    def _slot(self, units: Array) -> Array:
        return np.clip(np.floor(units * self.size), 0, self.size - 1)

    def as_dict(self) -> dict[str, Any]:
        if isinstance(self.options, Mapping):
            told: object = {label: below.as_dict() for label, below in self.options.items()}
        else:
            told = list(self.options)
        out: dict[str, Any] = {"type": self.type, "options": told}
        return (
            out
            | ({"ordered": True} if self.ordered else {})
            | ({"default": self.default} if self.default is not None else {})
        )

    def problems(self, where: str) -> list[Problem]:
        options: object = self.options
        if isinstance(options, str):
            split = [w.strip() for w in options.split(",")]
            return [
                Problem("the options are one text", where, repr(options), "a list", f"Choice({split})", "SPACE-022")
            ]
        if not isinstance(options, Sequence | Mapping | range):
            return [
                Problem(
                    "the options are not a list",
                    where,
                    type(options).__name__,
                    "a list or a mapping",
                    "Choice([...])",
                    "SPACE-015",
                )
            ]
        if len(options) == 0:
            return [Problem("a choice without options", where, "[]", "two or more", "list the options", "SPACE-015")]
        if len(options) == 1:
            only = next(iter(options))
            return (
                []
                if isinstance(options, Mapping)
                else [
                    Problem(
                        "a choice of one: a constant",
                        where,
                        repr(only),
                        "two or more options",
                        f"write {where.rpartition('.')[2]}={only!r}",
                        "SPACE-016",
                    )
                ]
            )
        if len(options) > MOST_OPTIONS:
            return [
                Problem(
                    f"{len(options):,} options",
                    where,
                    "",
                    f"at most {MOST_OPTIONS:,}",
                    "did you mean Int(low, high)?",
                    "SPACE-021",
                )
            ]
        return self._option_problems(where) or self._default_problems(where)

    def _default_problems(self, where: str) -> list[Problem]:
        if self.default is None or self.contains(self.default):
            return []
        return [
            Problem(
                "the default is not one of the options",
                where,
                repr(self.default),
                nearest(str(self.default), map(str, self._values)),
                "use one of the options",
                "SPACE-031",
            )
        ]

    def _option_problems(self, where: str) -> list[Problem]:
        found: list[Problem] = []
        seen: dict[Value, Value] = {}
        for option in self.options:
            if isinstance(option, list | tuple | dict | set):
                found.append(
                    Problem(
                        "an option is a collection",
                        where,
                        repr(option),
                        "a number, text, true/false or None",
                        "name it: options as labels, and look the value up in your code by label",
                        "SPACE-019",
                    )
                )
            elif not _is_plain(option):
                found.append(
                    Problem(
                        "an option cannot be written as JSON",
                        where,
                        f"{option!r} ({type(option).__name__})",
                        "a number, text, true/false or None",
                        "use its name, as text",
                        "SPACE-020",
                    )
                )
            elif option in seen:
                same = type(seen[option]) is type(option)
                code = "SPACE-017" if same else "SPACE-018"
                what = "an option stands twice" if same else "two options are equal in Python"
                found.append(
                    Problem(what, where, f"{seen[option]!r} and {option!r}", "distinct options", "drop one", code)
                )
            else:
                seen[option] = option
        if isinstance(self.options, Mapping):
            found += [
                Problem(
                    "what stands below an option is not a Space",
                    f"{where}.{label}",
                    repr(below),
                    "a Space",
                    f"{label!r}: Space()",
                    "SPACE-020",
                )
                for label, below in self.options.items()
                if not isinstance(below, Space)
            ]
        return found


def _is_plain(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or type(value) in (bool, int, str)


@dataclass(frozen=True)
class Axis:
    """A column of the arrays: a named parameter and the conditions under which it exists.

    ``when`` holds pairs (parent column, which of the parent's values allow it: bool (size,)); all must hold.
    """

    name: str
    parameter: Parameter
    when: tuple[tuple[int, npt.NDArray[np.bool_]], ...] = ()


class Space:
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
        flat, rules = _flatten({**(parameters or {}), **named}, conditions or {})
        found = [p for name, item in flat.items() for p in _item_problems(name, item)]
        found = found or _condition_problems(flat, rules)
        if found:
            raise SpaceError(found)
        self.parameters: Mapping[str, Parameter] = {}
        self.constants: Mapping[str, Value] = {}
        self.conditions: Conditions = {}
        self._ordered: tuple[str, ...] = ()
        self.axes: tuple[Axis, ...] = ()
        self._arrange(flat, rules)

    def _arrange(self, flat: Mapping[str, Parameter | Value], rules: Conditions) -> None:
        parameters: dict[str, Parameter] = {}
        constants: dict[str, Value] = {}
        kept: dict[str, dict[str, tuple[Value, ...]]] = {}
        axes: list[Axis] = []
        columns: dict[str, int] = {}
        for name in _parents_first(flat, rules):
            item, when = flat[name], {}
            for parent, allowed in rules.get(name, {}).items():
                if parent in constants and parent not in kept:
                    if _Options(allowed).at(constants[parent]) < 0:
                        break  # the parent is fixed at a value under which this one never exists
                elif parent in parameters or parent in constants:
                    when[parent] = tuple(allowed)
                else:
                    break  # the parent itself never exists
            else:
                if when:
                    kept[name] = when
                if not isinstance(item, Parameter):
                    constants[name] = item
                    continue
                parameters[name] = item
                columns[name] = len(axes)
                masks = ((columns[p], _mask(parameters[p], ok)) for p, ok in when.items() if p in columns)
                axes.append(Axis(name, item, tuple(masks)))
        self.parameters, self.constants, self.conditions, self.axes = parameters, constants, kept, tuple(axes)
        self._ordered = tuple(_parents_first({**parameters, **constants}, kept))

    # what there is

    @property
    def dim(self) -> int:
        """Number of axes."""
        return len(self.axes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the axes, parents before children."""
        return tuple(a.name for a in self.axes)

    @property
    def size(self) -> float:
        """How many distinct configurations there are; infinite with a continuous axis."""
        if any(a.parameter.size == 0 for a in self.axes):
            return math.inf
        return _count(list(range(self.dim)), [(a.parameter.size, dict(a.when)) for a in self.axes])

    @property
    def default(self) -> dict[str, Value]:
        """The configuration in which everything has its default."""
        return self._fill(lambda name, parameter: parameter.start)

    def active(self, name: str, config: Config) -> bool:
        """Whether the hyperparameter or constant exists, given the values of its parents in ``config``."""
        rules = self.conditions.get(name, {})
        return all(p in config and _Options(ok).at(config[p]) >= 0 for p, ok in rules.items())

    def contains(self, config: Config) -> bool:
        """Whether the configuration has just the active names, each inside its range."""
        return not self.complaints(config)

    def complaints(self, config: Config) -> list[Problem]:
        """What is wrong with a configuration as a member of this space; empty when nothing is."""
        expected = {n for n in (*self.parameters, *self.constants) if self.active(n, config)}
        found = [Problem("a value is missing", n, fix=f"add {n}") for n in sorted(expected - set(config))]
        found += [
            Problem("not a hyperparameter here", n, got=repr(config[n]), expected=nearest(n, expected))
            for n in sorted(set(config) - expected)
        ]
        for n in sorted(expected & set(config)):
            if n in self.parameters and not self.parameters[n].contains(config[n]):
                found.append(
                    Problem("outside its range", n, got=repr(config[n]), expected=str(self.parameters[n].as_dict()))
                )
            elif n in self.constants and self.constants[n] != config[n]:
                found.append(
                    Problem("differs from the constant", n, got=repr(config[n]), expected=repr(self.constants[n]))
                )
        return found

    # arrays

    def decode(self, units: Array) -> list[dict[str, Value]]:
        """Configurations of an array (n, dim); what an inactive column holds is not looked at."""
        rows = np.atleast_2d(np.asarray(units, dtype=np.float64))
        if rows.shape[1] != self.dim:
            raise SpaceError("the array has the wrong width", got=str(rows.shape), expected=f"(n, {self.dim})")
        at = {name: j for j, name in enumerate(self.names)}
        return [
            self._fill(lambda name, p, row=row: p.start if math.isnan(row[at[name]]) else p.decode(row[at[name]]))
            for row in rows.tolist()
        ]

    def encode(self, configs: Iterable[Config]) -> Array:
        """Array (n, dim) of configurations; NaN where an axis is inactive; beyond [0, 1] outside a numeric range.

        Raises SpaceError for a configuration that lacks an active value or holds an unknown option.
        """
        rows = []
        for config in configs:
            row = np.full(self.dim, np.nan)
            for j, axis in enumerate(self.axes):
                if self.active(axis.name, config):
                    if axis.name not in config:
                        raise SpaceError(
                            "a configuration lacks a value", where=axis.name, fix="adapt() fills defaults in"
                        )
                    row[j] = axis.parameter.encode(config[axis.name])
            rows.append(row)
        return np.array(rows).reshape(len(rows), self.dim)

    def mask(self, units: Array) -> Array:
        """The same array with NaN wherever an axis is inactive and no NaN elsewhere."""
        out = np.array(units, dtype=np.float64, ndmin=2)
        for j, axis in enumerate(self.axes):
            ok = np.ones(len(out), dtype=bool)
            for parent, allowed in axis.when:
                column = out[:, parent]
                there = ~np.isnan(column)
                ok &= there
                ok[there] &= allowed[_index(self.axes[parent].parameter, column[there])]
            fill = axis.parameter.encode(axis.parameter.start)
            out[:, j] = np.where(ok, np.where(np.isnan(out[:, j]), fill, out[:, j]), np.nan)
        return out

    def snap(self, units: Array) -> Array:
        """Codes moved to those of real configurations: clipped, on the lattices, inactive ones NaN."""
        out = np.array(units, dtype=np.float64, ndmin=2)
        for j, axis in enumerate(self.axes):
            there = ~np.isnan(out[:, j])
            out[there, j] = axis.parameter.snap(out[there, j])
        return self.mask(out)

    def grid(self, points: int = 0) -> Iterator[dict[str, Value]]:
        """Every configuration, with ``points`` values on an axis that has more. Raises SpaceError if endless."""
        for name, p in self.parameters.items():
            if p.size == 0 and points < 1:
                raise SpaceError("a continuous axis has no finite grid", where=name, fix="give points or a step")
        ladders = {name: p.ladder(points) for name, p in self.parameters.items()}
        yield from self._walk(self._order(), ladders, {})

    def _walk(
        self, names: Sequence[str], ladders: Mapping[str, list[Value]], config: dict[str, Value]
    ) -> Iterator[dict[str, Value]]:
        if not names:
            yield dict(config)
            return
        name, rest = names[0], names[1:]
        if not self.active(name, config):
            yield from self._walk(rest, ladders, config)
            return
        for value in ladders.get(name, [self.constants.get(name)]):
            yield from self._walk(rest, ladders, config | {name: value})

    def _order(self) -> tuple[str, ...]:
        """Parameters and constants so that parents come first."""
        return self._ordered

    def _fill(self, value: Any) -> dict[str, Value]:
        config: dict[str, Value] = {}
        for name in self._order():
            if self.active(name, config):
                config[name] = value(name, self.parameters[name]) if name in self.parameters else self.constants[name]
        return config

    # change

    def updated(self, changes: Mapping[str, Parameter | Value]) -> Space:
        """A space with some parameters replaced, fixed (a plain value) or added; conditions stay."""
        items: dict[str, Parameter | Value] = {n: {**self.parameters, **self.constants}[n] for n in self._order()}
        return Space({**items, **changes}, conditions=self.conditions)

    def adapt(self, config: Config) -> dict[str, Value] | None:
        """A configuration of an earlier space seen as one of this space, or None when it cannot be.

        New hyperparameters take their default, numbers outside the range stay as they are, a number that was
        tuned before and is a constant now is taken as that constant; an unknown option has no place here.
        """
        out: dict[str, Value] = {}
        for name in self._order():
            if not self.active(name, out):
                continue
            if name in self.constants:
                fixed = self.constants[name]
                if name in config and config[name] != fixed and not (_is_number(fixed) and _is_number(config[name])):
                    return None
                out[name] = fixed
            elif name not in config:
                out[name] = self.parameters[name].start
            elif _encodable(self.parameters[name], config[name]):
                out[name] = config[name]
            else:
                return None
        return out

    # as JSON, and as people see it

    def as_dict(self) -> dict[str, Any]:
        """A JSON object that ``from_dict`` reads back."""
        out: dict[str, Any] = {}
        for name in self._order():
            item: dict[str, Any] = (
                self.parameters[name].as_dict()
                if name in self.parameters
                else {"type": "constant", "value": self.constants[name]}
            )
            if name in self.conditions:
                item["when"] = {p: list(ok) for p, ok in self.conditions[name].items()}
            out[name] = item
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "space") -> Self:
        """A space from plain data, as in a TOML or JSON file:

        >>> Space.from_dict({"lr": {"type": "float", "low": 0.001, "high": 0.1, "log": True}, "epochs": 10})
        Space(lr=Float(0.001, 0.1, log=True), epochs=10)
        """
        found: list[Problem] = []
        items: dict[str, Parameter | Value] = {}
        conditions: dict[str, Mapping[str, Sequence[Value]]] = {}
        for name, item in data.items():
            if not isinstance(item, Mapping):
                items[name] = item
                continue
            told = dict(item)
            when = told.pop("when", None)
            try:
                items[name] = _read(told, f"{where}.{name}")
            except SpaceError as bad:
                found += bad.problems
            if when is not None:
                conditions[name] = {p: ok if isinstance(ok, list | tuple) else [ok] for p, ok in when.items()}
        if found:
            raise SpaceError(found)
        return cls(items, conditions=conditions)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and self.as_dict() == other.as_dict()

    def __hash__(self) -> int:
        return hash(json.dumps(self.as_dict(), sort_keys=True))

    def __repr__(self) -> str:
        told = [
            f"{n}={_short(self.parameters[n])}" if n in self.parameters else f"{n}={self.constants[n]!r}"
            for n in self._order()
        ]
        if self.conditions:
            told.append(f"conditions={dict(self.conditions)!r}")
        return f"Space({', '.join(told)})"


def branch(config: Config, name: str) -> tuple[str, dict[str, Value]]:
    """The chosen option of a nested choice and what stands below it, with short names.

    >>> branch({"optimizer": "sgd", "optimizer.sgd.lr": 0.1, "depth": 2}, "optimizer")
    ('sgd', {'lr': 0.1})
    """
    if name not in config:
        raise SpaceError("no such choice in the configuration", where=name, expected=nearest(name, config))
    label = str(config[name])
    head = f"{name}.{label}."
    return label, {k.removeprefix(head): v for k, v in config.items() if k.startswith(head)}


def _short(p: Parameter) -> str:
    if isinstance(p, Choice):
        return f"Choice({list(p.options)!r}{', ordered=True' if p.ordered else ''})"
    told = p.as_dict()
    extra = "".join(f", {k}={told[k]!r}" for k in ("log", "step", "default") if k in told)
    return f"{type(p).__name__}({told['low']}, {told['high']}{extra})"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _encodable(parameter: Parameter, value: Value) -> bool:
    try:
        parameter.encode(value)
    except SpaceError:
        return False
    return True


def _index(parameter: Parameter, units: Array) -> npt.NDArray[np.int64]:
    """Which of a discrete parameter's values each code stands for, from 0."""
    if isinstance(parameter, _Number):
        return np.rint((parameter._at(units) - parameter.low) / (parameter.step or 1)).astype(np.int64)
    return np.clip((units * parameter.size).astype(np.int64), 0, parameter.size - 1)


_Rules = Mapping[int, npt.NDArray[np.bool_]]


def _count(columns: Sequence[int], axes: Sequence[tuple[int, _Rules]]) -> int:
    """How many ways there are to fill the columns, which are in the order of ``Space.axes`` (parents first).

    ``axes`` holds each one's number of values and what it asks of its parents. Parts that do not depend on each other
    are counted apart and multiplied.
    """
    total = 1
    for part in _parts(columns, axes):
        root, below = part[0], part[1:]
        if not below:
            total *= axes[root][0]
            continue
        ways = 0
        told = np.array([axes[c][1].get(root, np.ones(axes[root][0], dtype=bool)) for c in below])
        alike, repeats = np.unique(told, axis=1, return_counts=True)
        for allowed, times in zip(alike.T, repeats.tolist(), strict=True):
            gone: set[int] = set()
            for column, ok in zip(below, allowed, strict=True):
                if not ok or any(p in gone for p in axes[column][1]):
                    gone.add(column)
            ways += times * _count([c for c in below if c not in gone], axes)
        total *= ways
    return total


def _parts(columns: Sequence[int], axes: Sequence[tuple[int, _Rules]]) -> list[list[int]]:
    """The columns parted so that no condition runs between two parts; each keeps the order."""
    parts: list[list[int]] = []
    for column in columns:
        joined = [p for p in parts if any(parent in p for parent in axes[column][1])]
        parts = [p for p in parts if p not in joined] + [sorted([c for p in joined for c in p] + [column])]
    return parts


def _mask(parent: Parameter, allowed: Sequence[Value]) -> npt.NDArray[np.bool_]:
    mask = np.zeros(parent.size, dtype=bool)
    mask[_index(parent, np.array([parent.encode(v) for v in allowed], dtype=np.float64))] = True
    return mask


def _flatten(
    items: Mapping[str, Any], conditions: Conditions
) -> tuple[dict[str, Any], dict[str, Mapping[str, Sequence[Value]]]]:
    """Nested spaces as flat names with conditions on the choice above them."""
    flat: dict[str, Any] = {}
    rules: dict[str, Mapping[str, Sequence[Value]]] = {k: dict(v) for k, v in conditions.items()}
    twice: list[Problem] = []

    def put(name: str, item: Any) -> None:
        if name in flat:
            twice.append(Problem("two hyperparameters have one name", name, fix="rename one of them", code="SPACE-027"))
        flat[name] = item

    for name, item in items.items():
        if not (isinstance(item, Choice) and isinstance(item.options, Mapping)):
            put(name, item)
            continue
        below = {k: v for k, v in item.options.items() if isinstance(v, Space)}
        sound = len(below) == len(item.options) and len(item.options) > 0
        only = len(item.options) == 1
        put(name, (next(iter(below)) if only else Choice(tuple(below), item.ordered, item.default)) if sound else item)
        for label, space in below.items():
            head = f"{name}.{label}."
            for inner in space._order():
                put(head + inner, {**space.parameters, **space.constants}[inner])
                inherited = {head + p: ok for p, ok in space.conditions.get(inner, {}).items()}
                rules[head + inner] = {**inherited, name: (label,)}
    if twice:
        raise SpaceError(twice)
    return flat, rules


def _parents_first(items: Iterable[str], rules: Conditions) -> Iterator[str]:
    """Names in the given order, each after its parents; names in a cycle are left out."""
    names = list(items)
    done: set[str] = set()
    while True:
        ready = [n for n in names if n not in done and all(p in done or p not in names for p in rules.get(n, {}))]
        if not ready:
            return
        for n in ready:
            done.add(n)
            yield n


def _item_problems(name: object, item: object) -> list[Problem]:
    found = _name_problems(name)
    where = str(name)
    if isinstance(item, Parameter):
        return found + item.problems(where)
    dialect = _dialect(item)
    if dialect:
        return [
            *found,
            Problem(
                f"this is {dialect[0]}, not tunebook's",
                where,
                repr(item)[:80],
                "a tunebook parameter",
                dialect[1],
                "SPACE-032",
            ),
        ]
    if isinstance(item, float) and not math.isfinite(item):
        found.append(
            Problem("a constant is not finite", where, repr(item), "a finite number", "leave it out", "SPACE-020")
        )
    elif isinstance(item, list | tuple | set | dict):
        fix = f"Choice({list(item)!r})" if not isinstance(item, dict) else "Space.from_dict reads plain mappings"
        found.append(
            Problem(
                "a collection is not a constant",
                where,
                repr(item)[:80],
                "a parameter or a plain value",
                fix,
                "SPACE-019",
            )
        )
    elif not _is_plain(item):
        found.append(
            Problem(
                "not a parameter nor a plain value",
                where,
                f"{item!r:.80} ({type(item).__name__})",
                "Float, Int, Choice or a constant",
                "use its name, as text",
                "SPACE-020",
            )
        )
    return found


def _name_problems(name: object) -> list[Problem]:
    import unicodedata  # noqa: PLC0415  (rarely needed, 1 MB)

    if not isinstance(name, str):
        return [Problem("a name is not text", str(name), repr(name), "text", f"{str(name)!r}", "SPACE-025")]
    what = ""
    if not name.strip() or name != name.strip():
        what = "a name is empty or has blanks around it"
    elif len(name) > LONGEST_NAME:
        what = f"a name is longer than {LONGEST_NAME} characters"
    elif any(unicodedata.category(c).startswith("C") for c in name) or "/" in name:
        what = "a name has control characters or a slash"
    elif unicodedata.normalize("NFC", name) != name:
        what = "a name is not in Unicode's composed form (NFC): it would look like another"
    fix = "letters, digits, '_', '-', '.'"
    return [Problem(what, name[:80], repr(name[:80]), "a short printable name", fix, "SPACE-025")] if what else []


def _condition_problems(flat: Mapping[str, Any], rules: Conditions) -> list[Problem]:
    found: list[Problem] = []
    for name, when in rules.items():
        if name not in flat:
            found.append(
                Problem("a condition on an unknown name", name, expected=nearest(name, flat), code="SPACE-028")
            )
            continue
        for parent, allowed in when.items():
            where = f"{name} when {parent}"
            if parent not in flat:
                found.append(
                    Problem(
                        "a condition names an unknown parent", where, parent, nearest(parent, flat), code="SPACE-028"
                    )
                )
                continue
            above = flat[parent]
            if isinstance(above, Parameter) and above.size == 0:
                found.append(
                    Problem(
                        "a condition on a continuous parameter", where, parent, "a Choice or an Int", code="SPACE-030"
                    )
                )
                continue
            never = [v for v in allowed if isinstance(above, Parameter) and not above.contains(v)]
            if never or not allowed:
                told = nearest(str(never[0]), map(str, above.options)) if never and isinstance(above, Choice) else ""
                found.append(
                    Problem(
                        "a condition that can never hold",
                        where,
                        repr(list(allowed)),
                        told or "values of the parent",
                        "use the parent's values",
                        "SPACE-030",
                    )
                )
    if not found:
        cyclic = set(flat) - set(_parents_first(flat, rules))
        if cyclic:
            ring = " -> ".join(sorted(cyclic))
            found.append(Problem("conditions go in a circle", ring, fix="drop one of the conditions", code="SPACE-029"))
    return found


_FOREIGN = {
    "optuna": ("an Optuna distribution", "suggest_float('lr', 1e-4, 1e-1, log=True) is Float(1e-4, 1e-1, log=True)"),
    "hyperopt": ("a Hyperopt expression", "hp.loguniform('lr', log(1e-4), log(1e-1)) is Float(1e-4, 1e-1, log=True)"),
    "ray": ("a Ray Tune domain", "tune.loguniform(1e-4, 1e-1) is Float(1e-4, 1e-1, log=True), tune.choice is Choice"),
    "scipy": ("a scipy distribution", "loguniform(1e-4, 1e-1) is Float(1e-4, 1e-1, log=True)"),
    "keras_tuner": (
        "a KerasTuner hyperparameter",
        "hp.Float('lr', 1e-4, 1e-1, sampling='log') is Float(1e-4, 1e-1, log=True)",
    ),
}
_FOREIGN_KEYS = {"distribution", "_type", "min", "max", "values", "bounds", "lower", "upper"}


def _dialect(item: object) -> tuple[str, str] | None:
    if isinstance(item, Mapping):
        return (
            ("a W&B or NNI entry", "{'min': a, 'max': b} is {'type': 'float', 'low': a, 'high': b}")
            if _FOREIGN_KEYS & set(item)
            else None
        )
    return _FOREIGN.get(type(item).__module__.partition(".")[0])


_TYPES: Mapping[str, tuple[type[Parameter], dict[str, Any]]] = {
    "float": (Float, {}),
    "int": (Int, {}),
    "choice": (Choice, {}),
    "uniform": (Float, {}),
    "loguniform": (Float, {"log": True}),
}


def _read(told: dict[str, Any], where: str) -> Parameter | Value:
    """One entry of ``Space.from_dict``."""
    kind = told.pop("type", None)
    if kind is None or not isinstance(kind, str):
        foreign = _dialect(told)
        if foreign:
            raise SpaceError(
                f"this is {foreign[0]}, not tunebook's",
                where=where,
                got=str(told)[:80],
                fix=foreign[1],
                code="SPACE-032",
            )
        raise SpaceError(
            "an entry has no type",
            where=where,
            got=str(told)[:80],
            fix="type = 'float', 'int' or 'choice'",
            code="SPACE-023",
        )
    if kind == "constant":
        value: Value = told.get("value")
        return value
    if kind not in _TYPES:
        raise SpaceError(
            "unknown type", where=where, got=kind, expected=nearest(kind, [*_TYPES, "constant"]), code="SPACE-023"
        )
    cls, preset = _TYPES[kind]
    known = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    unknown = [k for k in told if k not in known]
    needed = ("options",) if cls is Choice else ("low", "high")
    missing = [k for k in needed if k not in told]
    found = [Problem("unknown key", where, k, nearest(k, known), code="SPACE-024") for k in unknown]
    found += [
        Problem("a key is missing", where, expected=k, fix=f"add {k}", code="SPACE-024") for k in missing if not unknown
    ]
    if found:
        raise SpaceError(found)
    if cls is Choice and isinstance(told["options"], Mapping):
        told["options"] = {
            label: Space.from_dict(below, f"{where}.{label}") for label, below in told["options"].items()
        }
    elif cls is Choice and isinstance(told["options"], list):
        told["options"] = tuple(told["options"])
    if cls is not Choice:
        # YAML 1.1 reads 1e-4 as text, and so do many config files in the wild
        told |= {k: _numeric(told[k]) for k in ("low", "high", "step", "default") if isinstance(told.get(k), str)}
    return cls(**preset, **told)


def _numeric(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text
