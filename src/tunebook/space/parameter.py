"""The kinds of hyperparameters, each with its scale: ``codes`` maps values to [0, 1], ``values`` back.

A discrete parameter's values are numbered from 0, and each owns a slice of [0, 1]: ``index`` says whose slice a code is
in, ``nth`` which value that is. On a linear scale the slices are equal, so a uniform code is a uniform value.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from tunebook.errors import Problem, SpaceError, nearest, shown
from tunebook.space import rules

Value = bool | int | float | str | None
Config = Mapping[str, Value]
Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

PLAIN = (bool, int, float, str)


class Parameter(ABC):
    """One hyperparameter's range."""

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
    def values(self, units: Array) -> list[Value]:
        """The values at codes (n,) in [0, 1]; what lies outside is clipped."""

    @final
    def codes(self, values: Sequence[Value]) -> Array:
        """The codes (n,) of values: in [0, 1] inside the range, beyond it outside (numbers only).

        Raises SpaceError for a value that has no code: an unknown option, text for a number, a fraction for an Int, a
        number <= 0 on a log scale.
        """
        return self.scale.codes(np.array([self.number(v) for v in values], dtype=np.float64))

    @abstractmethod
    def number(self, value: Value) -> float:
        """What the scale takes for a value: a number itself, of an option its place. Raises SpaceError as ``codes``."""

    @abstractmethod
    def at(self, place: float) -> Value:
        """A discrete parameter's value by its number; on a continuum the number itself."""

    @property
    @abstractmethod
    def scale(self) -> Scale | Lattice:
        """How numbers are codes."""

    @abstractmethod
    def index(self, units: Array) -> Index:
        """Which of a discrete parameter's values each code (n,) stands for, from 0."""

    @final
    def nth(self, index: Index) -> list[Value]:
        """A discrete parameter's values by their number."""
        return [self.at(i) for i in index.tolist()]

    @abstractmethod
    def snap(self, units: Array) -> Array:
        """``encode(decode(u))`` for an array of codes, any shape."""

    @abstractmethod
    def slices(self, units: Array) -> tuple[Array, Array]:
        """Ends of the slice of [0, 1] whose codes all mean the same value, for codes of any shape; on a continuum
        both are the code itself."""

    @abstractmethod
    def contains(self, value: Value) -> bool:
        """Whether the value is one of the parameter's."""

    @abstractmethod
    def admits(self, value: Value) -> bool:
        """Whether the value has a code, inside the range or beyond it."""

    @abstractmethod
    def problems(self, where: str) -> list[Problem]:
        """All that is wrong with the declaration; empty when it is sound."""

    @final
    def decode(self, unit: float) -> Value:
        """The value at ``unit`` in [0, 1]; what lies outside is clipped."""
        return self.values(np.array([unit], dtype=np.float64))[0]

    @final
    def encode(self, value: Value) -> float:
        """The code of one value; see ``codes``."""
        return float(self.codes([value])[0])

    @final
    def every(self) -> Array:
        """Codes (size,) of all values in order; none on a continuum."""
        return self.codes(self.nth(np.arange(self.size)))

    @final
    def ladder(self, points: int = 0) -> list[Value]:
        """Distinct values spread over the range: all of them where they are unordered or at most ``points`` (with 0:
        all), else up to ``points`` of them, evenly on the scale and with both ends (the middle where it is one)."""
        if self.size and (points < 1 or self.unordered or self.size <= points):
            return self.nth(np.arange(self.size))
        units = np.linspace(0.0, 1.0, points) if points > 1 else np.array([0.5])
        return list(dict.fromkeys(self.values(units)))

    def as_dict(self) -> dict[str, Any]:
        """A JSON object that ``Space.from_dict`` reads back."""
        told = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        kept = {k: list(v) if isinstance(v, tuple) else v for k, v in told.items()}
        return {"type": self.type} | {k: v for k, v in kept.items() if v is not None and v is not False}

    def __repr__(self) -> str:
        needed = [f.name for f in fields(self) if f.default is MISSING]  # type: ignore[arg-type]
        told = [repr(list(v) if isinstance(v, tuple) else v) for v in (getattr(self, name) for name in needed)]
        extra = [(f.name, getattr(self, f.name)) for f in fields(self) if f.name not in needed]  # type: ignore[arg-type]
        told += [f"{name}={value!r}" for name, value in extra if value is not None and value is not False]
        return f"{type(self).__name__}({', '.join(told)})"


@dataclass(frozen=True, repr=False)
class _Number(Parameter):
    """What Float and Int share: a range on a linear or log scale, perhaps on a lattice."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    default: float | None = None
    likely: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, np.generic):
                object.__setattr__(self, f.name, value.item())
        if isinstance(self.likely, list):
            object.__setattr__(self, "likely", tuple(self.likely))

    @property
    @abstractmethod
    def lattice(self) -> float:
        """The distance of neighbouring values; 0 for a continuum."""

    @property
    def size(self) -> int:
        return 1 + round((self.high - self.low) / self.lattice) if self.lattice else 0

    @property
    def unordered(self) -> bool:
        return False

    @property
    def start(self) -> Value:
        return self.decode(0.5) if self.default is None else self.default

    def values(self, units: Array) -> list[Value]:
        if isinstance(self.scale, Lattice) or self.lattice:
            return self.nth(self.index(units))
        return self.scale.values(units).tolist()  # type: ignore[no-any-return]

    def number(self, value: Value) -> float:
        if not self.admits(value):
            raise SpaceError(rules.problem(31, "", "this value has no place on the scale", shown(value), self._told))
        return float(value)  # type: ignore[arg-type]

    def index(self, units: Array) -> Index:
        # minimum and maximum: clip takes five times as long for a few numbers, and a few is what is asked for
        inside = np.minimum(np.maximum(units, 0.0), 1.0)
        if self.log:
            a, b = self._ends
            at = np.exp(a + inside * (b - a)) - self.low + 0.5
        else:
            at = inside * self.size
        return np.minimum(np.maximum(at.astype(np.int64), 0), self.size - 1)

    def snap(self, units: Array) -> Array:
        if not self.lattice:
            return np.minimum(np.maximum(units, 0.0), 1.0)
        return self.scale.codes(np.asarray(self.low + self.index(units) * self.lattice, dtype=np.float64))

    def slices(self, units: Array) -> tuple[Array, Array]:
        if not self.lattice:
            return units, units
        at = self.index(units)
        if not self.log:
            return at / self.size, (at + 1) / self.size
        middle, half = np.asarray(self.low + at * self.lattice, dtype=np.float64), 0.5 * self.lattice
        return self.scale.codes(middle - half), self.scale.codes(middle + half)

    def contains(self, value: Value) -> bool:
        if not self.admits(value):
            return False
        number = float(value)  # type: ignore[arg-type]
        slack = 1e-9 * max(abs(self.low), abs(self.high))
        steps = (number - self.low) / self.lattice if self.lattice else 0.0
        return self.low - slack <= number <= self.high + slack and abs(steps - round(steps)) < 1e-6

    def problems(self, where: str) -> list[Problem]:
        whole = self.type == "int"
        found = rules.number(where, self.low, self.high, self.log, self.step, whole=whole)
        if not found and self.default is not None and not self.contains(self.default):
            found = [rules.default(where, self.default, self._told)]
        return found or rules.likely_range(where, self.likely, self.low, self.high, self.log)

    @property
    def _told(self) -> str:
        lattice = f" in steps of {self.step}" if self.step else ""
        return f"{'a whole number' if self.type == 'int' else 'a number'} from {self.low} to {self.high}{lattice}"

    @cached_property
    def _ends(self) -> tuple[float, float]:
        """Where the scale begins and ends. A log lattice gets half a step more, so that each value owns a slice."""
        low, high = self.low - 0.5 * self.lattice, self.high + 0.5 * self.lattice
        return (math.log(low), math.log(high)) if self.log else (low, high)

    @cached_property
    def scale(self) -> Scale | Lattice:
        return Lattice([self]) if self.lattice and not self.log else Scale([self])

    def admits(self, value: Value) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return -1e308 <= value <= 1e308 and (value > 0 or not self.log)


class Scale:
    """The scales of several numbers at once, one in each column: what is done a column at a time costs more than
    quick trials do. Of a single number it takes arrays of any shape."""

    def __init__(self, numbers: Sequence[_Number]) -> None:
        ends = np.array([[*n._ends, n.low, n.high] for n in numbers], dtype=np.float64).reshape(-1, 4)
        rows: list[Array] = list(ends[0] if len(numbers) == 1 else ends.T)
        self._start, self._end, self._low, self._high = rows
        log = [n.log for n in numbers]
        self._log: bool | npt.NDArray[np.bool_] = log[0] if len(set(log)) == 1 else np.array(log, dtype=bool)

    def values(self, units: Array) -> Array:
        """The values at codes; what lies outside [0, 1] is clipped."""
        raw = self._start + np.minimum(np.maximum(units, 0.0), 1.0) * (self._end - self._start)
        raw = np.minimum(np.maximum(self._where_log(np.exp, raw), self._low), self._high)
        # exp(log(x)) may miss x by a bit: the ends are exact
        return np.asarray(np.where(units <= 0.0, self._low, np.where(units >= 1.0, self._high, raw)))

    def codes(self, values: Array) -> Array:
        """The codes of values; beyond [0, 1] outside the range."""
        return np.asarray((self._where_log(np.log, values) - self._start) / (self._end - self._start))

    def _where_log(self, function: np.ufunc, x: Array) -> Array:
        if isinstance(self._log, bool):
            return np.asarray(function(x)) if self._log else x
        return np.asarray(function(x, where=self._log, out=x.copy()))


class Lattice:
    """Evenly spaced numbers and options: how they are codes, of several parameters at once, one in each column. Of a
    single one it takes arrays of any shape."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        told = [(p.low, p.lattice, p.size) if isinstance(p, _Number) else (0.0, 1.0, p.size) for p in parameters]
        columns = np.array(told, dtype=np.float64).reshape(-1, 3)
        rows: list[Array] = list(columns[0] if len(parameters) == 1 else columns.T)
        self._low, self._step, self._size = rows

    def codes(self, values: Array) -> Array:
        """The codes of numbers and of places of options; beyond [0, 1] outside the range."""
        at = (values - self._low) / self._step
        near = np.rint(at)
        return np.asarray((np.where(np.abs(at - near) < 1e-6, near, at) + 0.5) / self._size)


class Steps:
    """How codes are numbers of values, of several lattices and choices at once, one in each column."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self._size = np.array([p.size for p in parameters], dtype=np.int64)
        told = [(k, *p._ends, p.low) for k, p in enumerate(parameters) if isinstance(p, _Number) and p.log]
        self._log = [k for k, *_ in told]
        self._start, self._end, self._low = np.array([ends for _, *ends in told], dtype=np.float64).reshape(-1, 3).T

    def index(self, units: Array) -> Index:
        """Numbers (n, k) of the values at codes; what lies outside [0, 1] is clipped."""
        inside = np.minimum(np.maximum(units, 0.0), 1.0)
        at = inside * self._size
        if self._log:
            at[:, self._log] = np.exp(self._start + inside[:, self._log] * (self._end - self._start)) - self._low + 0.5
        return np.minimum(np.maximum(at.astype(np.int64), 0), self._size - 1)


@dataclass(frozen=True, repr=False)
class Float(_Number):
    """A real number in [low, high], both included; ``log`` for a log scale, ``step`` for a lattice.

    ``likely=(low, high)`` says where good values are believed to be, with two chances in three: samplers look there
    first, and believe what they measure more the more that is.
    """

    type: ClassVar[str] = "float"

    def __post_init__(self) -> None:
        super().__post_init__()
        for side in ("low", "high"):
            value = getattr(self, side)
            if type(value) is int and abs(value) <= 1e308:
                object.__setattr__(self, side, float(value))

    @property
    def lattice(self) -> float:
        return self.step or 0.0

    @property
    def start(self) -> Value:
        middle = super().start
        if self.default is not None or self.lattice:
            return middle
        # a person reads the default: 0.0001, not 0.00010000000000000009
        return min(max(float(f"{middle:.12g}"), self.low), self.high)

    def at(self, place: float) -> Value:
        return round(self.low + place * self.step, self._decimals) if self.step else place

    @cached_property
    def _decimals(self) -> int:
        return max(_digits(self.low), _digits(self.lattice))


def _digits(number: float) -> int:
    """Decimal places of a number as a person wrote it: 0.25 -> 2."""
    exponent = Decimal(repr(float(number))).normalize().as_tuple().exponent
    return max(0, -int(exponent))


@dataclass(frozen=True, repr=False)
class Int(_Number):
    """A whole number in [low, high], both included. Each value owns a slice of [0, 1], equal on a linear scale.

    ``likely`` is as for ``Float``.
    """

    type: ClassVar[str] = "int"

    @property
    def lattice(self) -> float:
        return self.step or 1

    def at(self, place: float) -> Value:
        return int(self.low) + int(place) * int(self.step or 1)

    def admits(self, value: Value) -> bool:
        return super().admits(value) and isinstance(value, int | float) and value == int(value)


class Nested(ABC):
    """What may stand below an option of a choice: a Space."""

    conditions: Mapping[str, Mapping[str, Sequence[Value]]]
    _items: Mapping[str, Parameter | Value]

    @abstractmethod
    def as_dict(self) -> dict[str, Any]:
        """A JSON object."""


@dataclass(frozen=True, repr=False)
class Choice(Parameter):
    """One of several options: a sequence of plain values, or a mapping of label to the Space below that label.

    ``ordered=True`` says that the options are given from least to most (sizes, strengths): neighbours are alike.
    Without a ``default`` it is the first option. ``likely`` are weights, one an option in their order: how much each is
    believed to be the best.
    """

    options: Sequence[Value] | Mapping[str, Nested]
    ordered: bool = False
    default: Value = None
    likely: Sequence[float] | None = None

    type: ClassVar[str] = "choice"

    def __post_init__(self) -> None:
        if isinstance(self.options, list | tuple | range):
            plain = tuple(o.item() if isinstance(o, np.generic) else o for o in self.options)
            object.__setattr__(self, "options", plain)
        if isinstance(self.likely, list):
            object.__setattr__(self, "likely", tuple(self.likely))

    @cached_property
    def _places(self) -> dict[object, int]:
        return {key(option): i for i, option in enumerate(self.options)}

    @cached_property
    def _values(self) -> tuple[Value, ...]:
        return tuple(self.options)

    @property
    def size(self) -> int:
        return len(self.options)

    @property
    def nested(self) -> bool:
        """Whether there are spaces below the options."""
        return isinstance(self.options, Mapping)

    @property
    def unordered(self) -> bool:
        return not self.ordered

    @property
    def start(self) -> Value:
        return next(iter(self.options)) if self.default is None else self.default

    def values(self, units: Array) -> list[Value]:
        return self.nth(self.index(units))

    def number(self, value: Value) -> float:
        place = self._places.get(key(value))
        if place is None:
            raise SpaceError(rules.problem(31, "", "not one of the options", shown(value), self._told(value)))
        return place

    def at(self, place: float) -> Value:
        return self._values[int(place)]

    @cached_property
    def scale(self) -> Scale | Lattice:
        return Lattice([self])

    def index(self, units: Array) -> Index:
        return np.minimum(np.maximum(np.floor(units * self.size), 0), self.size - 1).astype(np.int64)

    def snap(self, units: Array) -> Array:
        return np.asarray((self.index(units) + 0.5) / self.size)

    def slices(self, units: Array) -> tuple[Array, Array]:
        at = self.index(units)
        return at / self.size, (at + 1) / self.size

    def contains(self, value: Value) -> bool:
        return key(value) in self._places

    def admits(self, value: Value) -> bool:
        return key(value) in self._places

    def problems(self, where: str) -> list[Problem]:
        found = rules.choice(where, self.options, self.ordered)
        if isinstance(self.options, Mapping):
            found += [
                rules.problem(19, f"{where}.{label}", "what stands below an option is not a Space", shown(below),
                              "a Space", f"{label!r}: Space(), with its hyperparameters")
                for label, below in self.options.items() if not isinstance(below, Nested)
            ]  # fmt: skip
        if not found and self.default is not None and not self.contains(self.default):
            found = [rules.default(where, self.default, self._told(self.default))]
        return found or rules.likely_options(where, self.likely, self.options)

    def as_dict(self) -> dict[str, Any]:
        out = super().as_dict()
        below = self.options
        told = {k: v.as_dict() for k, v in below.items()} if isinstance(below, Mapping) else list(below)
        return out | {"options": told}

    def _told(self, value: Value) -> str:
        return nearest(str(value), map(str, self.options))


def key(value: object) -> object:
    """What tells options apart: 1 and 1.0 are one value, as in Python, but True is another."""
    return (isinstance(value, bool), value) if value is None or isinstance(value, PLAIN) else (None, id(value))
