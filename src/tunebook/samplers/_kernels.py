"""What Parzen estimators need to know of a space: which axes exist when, and the kernels of those with few values.

Axes with few values are "tabled": their kernels are a table of all pairs of values, "inactive" among them. The others
are "smooth". "Upper" axes, which others depend on, are tabled, whatever their size.

    X (m, d) codes, NaN where inactive    digits (m, t) numbers of the values on the tabled axes, the axis's number of
    values where inactive
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr

from tunebook.space import Array, Axis, Space

Mask = npt.NDArray[np.bool_]
Index = npt.NDArray[np.int64]

MOST_VALUES = 64
LOWEST = -300.0
NARROWEST = 0.01
KEPT = 64
BELOW_ONE = 1.0 - 1e-12
LOG_ROOT_2_PI = 0.5 * math.log(2 * math.pi)


class Part(NamedTuple):
    """What exists at one combination of values of the upper axes.

    ``there`` (d,) axes; ``smooth`` (c,) columns, the first ``always`` of them unconditional; ``tabled`` (k,) lower
    tables, ``columns`` theirs, ``at`` (k,) where the indicators of each begin, ``owner`` (e,) and ``value`` (e, 1) of
    each indicator, ``highest`` what the logarithms of components do not exceed with the narrowest kernels;
    ``lattices`` smooth columns with a lattice.
    """

    there: Mask
    smooth: Index
    always: int
    tabled: Index
    columns: Index
    at: Index
    owner: Index
    value: Index
    lattices: list[int]
    highest: float


class Layout:
    """What the kernels need to know of a space; made once.

    ``tables`` are the tabled axes in order, ``upper`` the columns of those that others depend on, ``above`` and
    ``lower`` their places and those of the rest among the tables; ``smooth`` are the other columns, the first
    ``always`` of them unconditional. ``deep`` says whether upper axes are conditional, ``nothing`` (1, d) are
    the codes where no axis exists.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        axes = space.axes
        self.upper = sorted({parent for a in axes for parent, _ in a.when})
        self.columns = [j for j, a in enumerate(axes) if j in self.upper or _few(a)]
        self.tables = [_Values(axes[j]) for j in self.columns]
        self._places = np.array(self.columns, dtype=np.int64)
        self.above = np.array([k for k, j in enumerate(self.columns) if j in self.upper], dtype=np.int64)
        self.lower = np.array([k for k, j in enumerate(self.columns) if j not in self.upper], dtype=np.int64)
        smooth = [j for j in range(space.dim) if j not in self.columns]
        self.smooth = np.array(sorted(smooth, key=lambda j: bool(axes[j].when)), dtype=np.int64)
        self.always = sum(not axes[j].when for j in smooth)
        self.nothing = np.full((1, space.dim), np.nan)
        self.lattices = [j for j in self.smooth.tolist() if axes[j].parameter.size]
        self.sizes = np.array([t.size for t in self.tables], dtype=np.int64)
        self.pairs = Pairs(self.tables)
        self._curved = [k for k, t in enumerate(self.tables) if not t.even]
        self._when = self._conditions()
        self.deep = any(axes[j].when for j in self.upper)
        self._codes = _joined([np.append(t.codes, np.nan) for t in self.tables])
        self._parts: OrderedDict[bytes, Part] = OrderedDict()

    def _conditions(self) -> list[tuple[list[int], list[int], list[tuple[int, Mask]]]]:
        """Columns that share their conditions, which tables are among them, and the conditions: (table of the parent,
        allowed), False added for an inactive parent."""
        groups: dict[tuple[tuple[int, bytes], ...], list[int]] = {}
        for j, axis in enumerate(self.space.axes):
            if axis.when:
                groups.setdefault(tuple((p, allowed.tobytes()) for p, allowed in axis.when), []).append(j)
        out = []
        for columns in groups.values():
            rules = [(self.columns.index(p), np.append(ok, False)) for p, ok in self.space.axes[columns[0]].when]
            out.append((columns, [k for k in self.above.tolist() if self.columns[k] in columns], rules))
        return out

    def digits(self, X: Array) -> Index:
        """Numbers of the values (m, t) on the tabled axes, of codes (m, d) in [0, 1]."""
        # a code belongs to the value whose slice it is in, and NaN to what comes after the last
        part = np.fmin(np.minimum(X.take(self._places, axis=1), BELOW_ONE), 1.0)
        out = (part * self.sizes).T.astype(np.int64, order="C").T
        for k in self._curved:
            there = part[:, k] < 1.0
            out[there, k] = self.tables[k].index(part[there, k])
        return out

    def codes(self, digits: Index) -> Array:
        """Codes (m, t) of numbers of values (m, t) on the tabled axes; NaN where inactive."""
        return self._codes.take(digits + self.pairs.row)

    def active(self, digits: Index) -> Mask:
        """Which axes (m, d) exist, given digits (m, t); the upper ones that do not are set to inactive."""
        out = np.ones((len(digits), self.space.dim), dtype=bool)
        for columns, tables, rules in self._when:
            on = rules[0][1][digits[:, rules[0][0]]]
            for parent, allowed in rules[1:]:
                on = on & allowed[digits[:, parent]]
            out[:, columns] = on[:, None]
            for k in tables:
                digits[~on, k] = self.sizes[k]
        return out

    def part(self, upper: Index | None) -> Part:
        """What exists given the digits (t,) of the upper axes, None where there are none; kept for the next time."""
        told = np.zeros(len(self.tables), dtype=np.int64) if upper is None else upper
        key = told[self.above].tobytes()
        if key not in self._parts:
            if len(self._parts) >= KEPT:
                self._parts.popitem(last=False)
            self._parts[key] = self._part(self.active(told[None].copy())[0])
        return self._parts[key]

    def _part(self, there: Mask) -> Part:
        smooth = self.smooth[there[self.smooth]]
        columns = self._places
        tabled = self.lower[there[columns[self.lower]]]
        sizes = self.sizes[tabled]
        value = np.concatenate([np.arange(0), *map(np.arange, sizes.tolist())])
        # a normal density has at least a third of its mass inside
        highest = len(smooth) * math.log(3.0 / NARROWEST) - len(smooth) * LOG_ROOT_2_PI
        highest -= sum(math.log(self.tables[k].width.min()) for k in tabled.tolist())
        lattices = [j for j in self.lattices if there[j]]
        return Part(there, smooth, self.always, tabled, columns[tabled], np.cumsum(sizes) - sizes,
                    np.repeat(tabled, sizes), value[:, None], lattices, highest)  # fmt: skip


def _few(axis: Axis) -> bool:
    p = axis.parameter
    return p.size > 0 and (p.unordered or p.size <= MOST_VALUES)


class _Values:
    """The values of a tabled axis: their codes, and the slices of [0, 1] that they own."""

    def __init__(self, axis: Axis) -> None:
        self.size, self.unordered = axis.parameter.size, axis.parameter.unordered
        self.index = axis.parameter.index
        self.codes = axis.parameter.every()
        low, high = axis.parameter.slices(self.codes)
        self.ends = np.append(low, high[-1])
        self.width = high - low
        self.even = bool(np.allclose(self.width, 1.0 / self.size, rtol=1e-9, atol=0.0))


class Pairs:
    """All pairs of values (i, j) of each tabled axis, i the component's, in one row (e,): dealt with at once.

    Of an axis of ``size`` values there are (size + 1)^2, with "inactive" as the last. ``row`` (t,) is the number of an
    axis's first row of pairs, ``start`` where each row begins.
    """

    def __init__(self, tables: Sequence[_Values]) -> None:
        many = [t.size + 1 for t in tables]
        self.row = np.cumsum([0, *many], dtype=np.int64)[:-1]
        self.runs = np.array([size for size in many for _ in range(size)], dtype=np.int64)
        self.start = self.runs.cumsum() - self.runs
        owner = np.repeat(np.arange(len(tables)), [size * size for size in many])
        apart = [np.pad(t.ends - t.codes[:, None], ((0, 1), (0, 0))) for t in tables]
        low, high = (_joined([np.roll(a, shift, axis=1) for a in apart]) for shift in (0, -1))
        self.log_width = _joined([np.tile(np.append(np.log(t.width), 0.0), t.size + 1) for t in tables])
        self.same = _joined([np.eye(size) for size in many])
        inside = [np.pad(np.ones((t.size, t.size)), ((0, 1), (0, 1))) for t in tables]
        told = _joined(inside) > 0
        ordered = _joined([np.full(size * size, not t.unordered) for size, t in zip(many, tables, strict=True)]) > 0
        self.line = np.flatnonzero(told & ordered)
        low, high, self.owner = low[self.line], high[self.line], owner[self.line]
        right = low > 0  # the mass is that of the mirror image, whose tail is exact
        self.low, self.high = np.where(right, -high, low), np.where(right, -low, high)
        self.blank = np.flatnonzero(~told)
        alone = self.log_width.copy()
        alone[self.start + self.runs - 1] = -np.inf
        self.alone = alone[self.blank]

    def log_kernels(self, s: Array, n: Array) -> tuple[Array, Array]:
        """The logarithm (g, e) of what a component on value i of ``n`` (g,) gives to value j, relative to its share of
        [0, 1], 0 where either is inactive; ``s`` (g, t) are the bandwidths. And the cumulated masses (e,) of the first
        mixture, each row's on top of those before it; an inactive component's are the values' shares."""
        if not len(self.same):
            return np.empty((len(s), 0)), np.empty(0)
        logs = np.log(1.0 / (n[:, None] + 1.0) + self.same)
        if len(self.line):
            width = s[:, self.owner]
            logs[:, self.line] = _log_mass(self.low / width, self.high / width)
        logs[:, self.blank] = self.alone
        mass = np.exp(logs)
        total = np.add.reduceat(mass, self.start, axis=1).repeat(self.runs, axis=1)
        ladder = (mass[0] / total[0]).cumsum()
        logs -= np.log(total)
        np.maximum(logs, LOWEST, out=logs)
        logs -= self.log_width
        logs[:, self.blank] = 0.0
        return logs, ladder


def _joined(parts: Sequence[Array]) -> Array:
    return np.concatenate([part.ravel() for part in parts]) if parts else np.empty(0)


def _log_mass(a: Array, b: Array) -> Array:
    """log(Phi(b) - Phi(a)) for a < b, a <= 0, exact in the lower tail."""
    top = log_ndtr(b)
    return np.asarray(top + np.log1p(-np.exp(log_ndtr(a) - top)))
