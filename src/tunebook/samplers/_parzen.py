"""Parzen estimators over mixed and conditional axes, as matrix products.

J. Bergstra, R. Bardenet, Y. Bengio, B. Kegl, "Algorithms for hyper-parameter optimization", NeurIPS 2011.
S. Watanabe, "Tree-structured Parzen estimator: understanding its algorithm components and their roles for better
empirical performance", arXiv:2304.11127 (2023).

The density of a set of observations is a mixture of one component for each and of the uniform density, the prior:

    p(x) = w_n + sum_i w_i prod_j k_ij(x_j),    j over the axes that are active in x

    k_ij   a normal density around X_ij, cut to [0, 1]             continuous axes, and long lattices
           the mass that it gives to the slice of each value       lattices and ordered choices of few values
           (1 + 1/(n + 1)) / norm on the same option, (1/(n + 1)) / norm elsewhere      unordered choices
           1                                                       where axis j is inactive in observation i

All are relative to the uniform density, so that components with other active axes can be added. Axes that others depend
on ("upper") are discrete, and few of their combinations are asked for: their kernels are looked up. Points that agree
on these have the same active axes. On the others the logarithm of a component is linear in features of x (x for a
normal density, x^2 where some components lack the axis, one indicator a value for the others, and 1), so all components
at all candidates are one product: features (m, f) @ coefficients (f, n). It is computed in single precision: the
logarithms are then exact to about 0.001, and candidates as close as that are equally good.

Several mixtures, each of consecutive observations, are held and asked as one, as most of the time on few observations
is spent on calls.

    X (n, d) codes, NaN where inactive    w (n,) weights, prior (g,) those of the priors    s (g, d) bandwidths
    member (g, n) 1 where the observation is the mixture's, else 0
    digits (n, t) numbers of the values on the tabled axes, the axis's number of values where inactive
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr, ndtr, ndtri

from tunebook.space import Array, Axis, Space

Mask = npt.NDArray[np.bool_]
Index = npt.NDArray[np.int64]
Single = npt.NDArray[np.float32]

MOST_VALUES = 64
UNIFORM_SD = 12**-0.5
LOWEST = -300.0
FAR = 5.0
HIGHEST, BLOCK = 80.0, 2048
KEPT = 64
ERF = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
LOG_ROOT_2_PI = 0.5 * math.log(2 * math.pi)


class Part(NamedTuple):
    """What exists at one combination of values of the upper axes.

    ``there`` (d,) axes; ``smooth`` (c,) columns, ``some`` those of them, by place, that are conditional, ``always``
    (c,) 1.0 for the others; ``tabled`` (k,) lower tables, ``columns`` theirs, ``at`` (k,) where the indicators of each
    begin, ``owner`` (e,) and ``value`` (e, 1) of each indicator, ``highest`` what their logarithms do not exceed.
    """

    there: Mask
    smooth: Index
    some: Index
    always: Array
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
    ``lower`` their places and those of the rest among the tables; ``smooth`` are the other columns.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        axes = space.axes
        self.upper = sorted({parent for a in axes for parent, _ in a.when})
        self.columns = [j for j, a in enumerate(axes) if j in self.upper or _few(a)]
        self.tables = [_Values(axes[j]) for j in self.columns]
        self.above = np.array([k for k, j in enumerate(self.columns) if j in self.upper], dtype=np.int64)
        self.lower = np.array([k for k, j in enumerate(self.columns) if j not in self.upper], dtype=np.int64)
        self.smooth = np.array([j for j in range(space.dim) if j not in self.columns], dtype=np.int64)
        self.always: Mask = np.array([not a.when for a in axes], dtype=bool)
        self.lattices = [j for j in self.smooth.tolist() if axes[j].parameter.size]
        self.sizes = np.array([t.size for t in self.tables], dtype=np.int64)
        self.pairs = Pairs(self.tables)
        self._curved = [k for k, t in enumerate(self.tables) if not t.even]
        self._when = self._conditions()
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
        part = X[:, self.columns]
        gone = np.isnan(part)
        lacks = bool(gone.any())
        if lacks:
            part[gone] = 0.0
        # a code belongs to the value whose slice it is in
        out = (part * self.sizes).astype(np.int64)
        np.minimum(out, self.sizes - 1, out=out)
        for k in self._curved:
            out[:, k] = self.tables[k].index(part[:, k])
        return np.where(gone, self.sizes, out) if lacks else out

    def codes(self, digits: Index) -> Array:
        """Codes (m, t) of numbers of values (m, t) on the tabled axes; NaN where inactive."""
        return np.asarray(self._codes[digits + self.pairs.row])

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
        columns = np.array(self.columns, dtype=np.int64)
        tabled = self.lower[there[columns[self.lower]]]
        sizes = self.sizes[tabled]
        value = np.concatenate([np.arange(0), *map(np.arange, sizes.tolist())])
        highest = -sum(math.log(self.tables[k].width.min()) for k in tabled.tolist())
        return Part(there, smooth, np.flatnonzero(~self.always[smooth]), self.always[smooth].astype(np.float64),
                    tabled, columns[tabled], np.cumsum(sizes) - sizes, np.repeat(tabled, sizes), value[:, None],
                    [j for j in self.lattices if there[j]], highest)  # fmt: skip


def bandwidths(X: Array, gone: Mask | None, member: Array) -> tuple[Array, Array]:
    """Scott's rule for each axis of each mixture, with one observation of the uniform density mixed in, and the number
    of observations that have it: (g, d) each. ``gone`` (n, d) is where X is 0 as there is none, None if nowhere."""
    many = member.sum(axis=1, keepdims=True)
    n = np.repeat(many, X.shape[1], axis=1) if gone is None else many - member @ gone
    total = member @ X
    dims = np.maximum(n.sum(axis=1, keepdims=True) / np.maximum(many, 1.0), 1.0)
    scatter = np.maximum(member @ (X * X) - total * total / np.maximum(n, 1.0), 0.0)
    sd = np.sqrt((scatter + UNIFORM_SD**2) / (n + 1.0))
    return np.asarray(1.06 * sd * np.power(n + 1.0, -1.0 / (dims + 4.0))), n


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
        self.low, self.high, self.owner = low[self.line], high[self.line], owner[self.line]
        self.beyond = self.start + self.runs - 1
        self.blank = np.flatnonzero(~told)
        self.alone = np.setdiff1d(self.blank, self.beyond)

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
        logs[:, self.alone] = self.log_width[self.alone]
        logs[:, self.beyond] = -np.inf
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
    """log(Phi(b) - Phi(a)) for a < b, exact in both tails."""
    right = a > 0
    low, high = np.where(right, -b, a), np.where(right, -a, b)
    top = log_ndtr(high)
    return np.asarray(top + np.log1p(-np.exp(log_ndtr(low) - top)))


def _tail(z: Single) -> Single:
    """Phi(-z) for z >= 0, to 3e-7: M. Abramowitz, I. A. Stegun, "Handbook of mathematical functions" (1964), 7.1.26."""
    z = z * np.float32(math.sqrt(0.5))
    k = 1.0 / (1.0 + np.float32(0.3275911) * z)
    out = np.full_like(k, 0.5 * ERF[0])
    for a in ERF[1:]:
        out *= k
        out += np.float32(0.5 * a)
    out *= k
    z *= z
    out *= np.exp(np.negative(z, out=z), out=z)
    return out


def _places(pairs: Pairs, rows: Index, counts: Sequence[int]) -> Index:
    """Where rows of pairs (t, n) begin in the logarithms of all mixtures, one after the other."""
    out = pairs.start[rows]
    for g in range(1, len(counts)):
        out[:, sum(counts[:g]) :] += len(pairs.same)
    return np.asarray(out)


class Points(NamedTuple):
    """Codes (m, d) of configurations that agree on the upper axes, NaN where inactive, and their digits (m, t)."""

    X: Array
    digits: Index


@dataclass(frozen=True)
class Parzen:
    """Mixtures around consecutive parts of X (n, d), all in [0, 1]; what is drawn is drawn from the first.

    ``counts`` (g,) are their components, ``logs`` (g, e) the kernels of the tabled axes, ``ladder`` (e,) their
    cumulated masses, ``rows`` and ``places`` (t, n) the numbers of their rows of pairs, and where these begin.
    """

    layout: Layout
    X: Array
    counts: tuple[int, ...]
    member: Array
    w: Array
    prior: Array
    s: Array
    logs: Array
    ladder: Array
    rows: Index
    places: Index

    @classmethod
    def around(
        cls, layout: Layout, X: Array, w: Array, counts: Sequence[int] = (), sharper: Sequence[float] = (1.0,)
    ) -> Parzen:
        """The mixtures around ``counts`` (all) of the observations X (n, d) each, with weights w (n,); a prior weighs
        1, and the bandwidths are divided by ``sharper``, but not below 1 / min(100, n + 1) (the "magic clip" of TPE).

        An observation beyond [0, 1], of an earlier and wider space, is moved to the edge, and its weight is what its
        kernel gives to the edge.
        """
        gone = np.isnan(X)
        lacks = bool(gone.any())
        known = np.where(gone, 0.0, X) if lacks else X
        many = tuple(counts) or (len(X),)
        member = np.repeat(np.eye(len(many)), many, axis=1)
        away = None
        if not (known.min(initial=0.0) >= 0.0 and known.max(initial=1.0) <= 1.0):
            near = np.minimum(np.maximum(known, 0.0), 1.0)
            known, away, X = near, known - near, np.where(gone, np.nan, near)
        s, n = bandwidths(known, gone if lacks else None, member)
        s = np.minimum(np.maximum(s / np.array(sharper)[:, None], 1.0 / np.minimum(100.0, n + 1.0)), 1.0)
        if away is not None:
            away = away / (member.T @ s)
            w = w * np.exp(-0.5 * np.minimum(np.einsum("ij,ij->i", away, away), 1000.0))
        logs, ladder = layout.pairs.log_kernels(s[:, layout.columns], np.array(many))
        rows = layout.digits(X).T + layout.pairs.row[:, None]
        prior = np.ones(len(many))
        share = prior / (member @ w + prior)
        return cls(layout, X, many, member, w * (share @ member), share, s, logs, ladder, rows,
                   _places(layout.pairs, rows, many))  # fmt: skip

    def _weighing(self, w: Array) -> Parzen:
        """With other weights (n,), which are made to sum to one in each mixture."""
        share = 1.0 / (self.member @ w + self.prior)
        return replace(self, w=w * (share @ self.member), prior=self.prior * share)

    def plus(self, x: Array) -> Parzen:
        """The last mixture with one more component, around x (d,), of the prior's weight and the same kernels."""
        member = np.concatenate([self.member, np.eye(len(self.s))[:, -1:]], axis=1)
        counts = (*self.counts[:-1], self.counts[-1] + 1)
        rows = np.concatenate([self.rows, self.layout.digits(x[None]).T + self.layout.pairs.row[:, None]], axis=1)
        told = replace(self, X=np.concatenate([self.X, x[None]]), counts=counts, member=member, rows=rows,
                       places=_places(self.layout.pairs, rows, counts))  # fmt: skip
        return told._weighing(np.append(self.w, self.prior[-1]))

    def upper_logs(self, digits: Index) -> Array:
        """Logarithms (m, n) of the components on the upper axes, at points with the digits (m, t)."""
        out, logs = np.zeros((len(digits), len(self.X))), self.logs.ravel()
        for k in self.layout.above.tolist():
            out += logs[self.places[k] + digits[:, k, None]]
        return out

    def upper_density(self, logs: Array) -> Array:
        """Logarithms (g, m) of the densities of the upper axes, relative to the uniform one, by ``upper_logs``."""
        top = logs.max(axis=1, initial=0.0)
        likely = (self.member * self.w) @ np.exp(logs - top[:, None]).T
        return np.asarray(np.log(likely + self.prior[:, None] * np.exp(-top)) + top)

    def given(self, logs: Array) -> Parzen:
        """The densities of the other axes at a point whose ``upper_logs`` are (n,)."""
        return self._weighing(self.w * np.exp(logs))

    def log_density(self, points: Points) -> Array:
        """Logarithms (g, m) of the densities of the lower axes, relative to the uniform one."""
        part = self.layout.part(points.digits[0])
        counts, w = self.counts, self.w.astype(np.float32)
        features, coefficients = self._features(part, points), self._coefficients(part)
        bounds = np.maximum(math.log(3.0) - LOG_ROOT_2_PI - np.log(self.s[:, part.smooth]), 0.0).sum(axis=1)
        out, end = np.empty((len(counts), len(features))), 0
        for g, many in enumerate(counts):
            start, end = end, end + many
            if bounds[g] + part.highest > HIGHEST:
                logs = features @ coefficients[:, start:end]
                top = logs.max(axis=1, initial=0.0)
                logs -= top[:, None]
                likely = np.exp(logs, out=logs) @ w[start:end]
                out[g] = np.log(likely + self.prior[g] * np.exp(-top, dtype=np.float64)) + top
                continue
            out[g] = self.prior[g]
            for at in range(start, end, BLOCK):
                piece = slice(at, min(at + BLOCK, end))
                logs = features @ coefficients[:, piece]
                out[g] += np.exp(logs, out=logs) @ w[piece]
            np.log(out[g], out=out[g])
        return out

    def _features(self, part: Part, points: Points) -> Single:
        """Features (m, f) of points: h = x - 1/2 (c columns), h^2 of conditional axes (q), 1, for each mixture (g) the
        sum of -h^2 / 2 s^2 over the other axes, and the indicators."""
        c, q, g, m = len(part.smooth), len(part.some), len(self.s), len(points.X)
        own = c + q
        out = np.zeros((m, own + 1 + g + len(part.owner)), dtype=np.float32)
        h = points.X[:, part.smooth] - 0.5
        squares = h * h
        out[:, :c] = h
        if q:
            out[:, c:own] = squares[:, part.some]
        out[:, own] = 1.0
        out[:, own + 1 : own + 1 + g] = squares @ (part.always * -0.5 / self.s[:, part.smooth] ** 2).T
        if len(part.tabled):
            out[np.arange(m)[:, None], own + 1 + g + part.at + points.digits[:, part.tabled]] = 1.0
        return out

    def _coefficients(self, part: Part) -> Single:
        """Coefficients (f, n) of the features in the logarithms of the components."""
        c, q, g = len(part.smooth), len(part.some), len(self.s)
        own = c + q
        out = np.empty((own + 1 + g + len(part.owner), len(self.X)), dtype=np.float32)
        self._normal(part, out)
        out[own + 1 : own + 1 + g] = self.member
        if len(part.owner):
            places = self.places[part.owner]
            places += part.value
            out[own + 1 + g :] = self.logs.ravel().astype(np.float32).take(places)
        return out

    def _normal(self, part: Part, out: Single) -> None:
        """Coefficients (c + q + 1, n) of h, h^2 and 1 on smooth axes, those in ``some`` conditional.

        With g = X_ij - 1/2: of a component that has the axis, g / s^2, -1 / 2 s^2 and -g^2 / 2 s^2 - log(s mass).
        """
        c, own, counts = len(part.smooth), len(part.smooth) + len(part.some), self.counts
        s = self.s[:, part.smooth]
        inverse = (1.0 / s).T.astype(np.float32).repeat(counts, axis=1)
        mu = self.X.T[part.smooth].astype(np.float32)
        mu -= np.float32(0.5)
        mu *= inverse
        edges = np.empty((2, *mu.shape), dtype=np.float32)
        half = inverse * np.float32(0.5)
        np.add(half, mu, out=edges[0])
        np.subtract(half, mu, out=edges[1])
        flat = edges.ravel()
        near = np.flatnonzero(flat < FAR)  # by number, not by mask: that takes half as long
        beyond = _tail(flat[near])
        flat.fill(0.0)
        flat[near] = beyond
        mass = np.float32(1.0) - edges[0]
        mass -= edges[1]
        log_width = np.log(s) + LOG_ROOT_2_PI
        constant = (-log_width.sum(axis=1)).astype(np.float32).repeat(counts)
        if len(part.some):
            lacks = np.isnan(mu[part.some])
            np.multiply(np.float32(-0.5) * inverse[part.some] ** 2, ~lacks, out=out[c:own])
            if lacks.any():
                mu[part.some] = np.where(lacks, np.float32(0.0), mu[part.some])
                widths = log_width[:, part.some].T.astype(np.float32).repeat(counts, axis=1)
                constant += np.einsum("ij,ij->j", widths, lacks)
        constant -= np.log(mass.prod(axis=0))
        constant -= np.float32(0.5) * np.einsum("ij,ij->j", mu, mu)
        out[own] = constant
        np.multiply(mu, inverse, out=out[:c])

    def _picks(self, m: int, rng: np.random.Generator) -> Index:
        """``m`` components of the first mixture, drawn by their weights; its number of components for the prior."""
        ladder = np.append(self.w[: self.counts[0]], self.prior[0]).cumsum()
        return np.asarray((ladder / ladder[-1]).searchsorted(rng.random(m), side="right"))

    def _values(self, picks: Index, tables: Index, u: Array) -> Index:
        """Values (m, k) on some of the tabled axes, drawn with u (m, k) in [0, 1) from components."""
        pairs, sizes = self.layout.pairs, self.layout.sizes[tables]
        prior = (pairs.row[tables] + sizes)[:, None]
        theirs = np.concatenate([self.rows[tables, : self.counts[0]], prior], axis=1).T[picks]
        out = self.ladder.searchsorted(theirs + u, side="right") - pairs.start[theirs]
        return np.asarray(np.minimum(np.maximum(out, 0), sizes - 1))

    def sample_upper(self, m: int, rng: np.random.Generator) -> Index:
        """The different combinations among ``m`` draws of the upper axes: digits (at most m, t), in the order of their
        first; the other axes inactive."""
        above = self.layout.above
        drawn = self._values(self._picks(m, rng), above, rng.random((m, len(above))))
        different = np.array(list(dict.fromkeys(map(tuple, drawn.tolist()))), dtype=np.int64)
        out = np.repeat(self.layout.sizes[None], len(different), axis=0)
        out[:, above] = different
        self.layout.active(out)
        return out

    def sample(self, m: int, rng: np.random.Generator, upper: Index | None = None) -> Points:
        """``m`` draws of all axes, given the digits (t,) of the upper ones, None where there are none.

        Where an axis is inactive in the component that was drawn, it is uniform.
        """
        layout, part = self.layout, self.layout.part(upper)
        picks, u = self._picks(m, rng), rng.random((m, layout.space.dim))
        out = np.full(u.shape, np.nan)
        digits = np.repeat((layout.sizes if upper is None else upper)[None], m, axis=0)
        if len(part.tabled):
            digits[:, part.tabled] = self._values(picks, part.tabled, u[:, part.columns])
        if len(layout.tables):
            out[:, layout.columns] = layout.codes(digits)
        smooth = part.smooth
        centre = np.concatenate([self.X[: self.counts[0], smooth], np.full((1, len(smooth)), np.nan)])[picks]
        s, u = self.s[0, smooth], u[:, smooth]
        mu = centre / s
        low = ndtr(-mu)
        drawn = s * (mu + ndtri(low + u * (ndtr(1.0 / s - mu) - low)))
        out[:, smooth] = np.where(np.isnan(mu), u, np.minimum(np.maximum(drawn, 0.0), 1.0))
        for j in part.lattices:
            out[:, j] = layout.space.axes[j].parameter.snap(out[:, j])
        return Points(out, digits)
