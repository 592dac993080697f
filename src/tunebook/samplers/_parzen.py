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

    X (n, d) codes, NaN where inactive    w (n + 1,) weights, the prior's last    s (d,) bandwidths, in units of [0, 1]
    digits (n, t) numbers of the values on the tabled axes, -1 where inactive
"""

from __future__ import annotations

import math
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
ERF = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
LOG_ROOT_2_PI = 0.5 * math.log(2 * math.pi)


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
        self.above = [k for k, j in enumerate(self.columns) if j in self.upper]
        self.lower = [k for k, j in enumerate(self.columns) if j not in self.upper]
        self.smooth = np.array([j for j in range(space.dim) if j not in self.columns], dtype=np.int64)
        self.always: Mask = np.array([not a.when for a in axes], dtype=bool)
        self.lattices = [j for j in self.smooth.tolist() if axes[j].parameter.size]
        self._sizes = np.array([t.size for t in self.tables], dtype=np.float64)
        self._last = self._sizes.astype(np.int64) - 1
        self._curved = [k for k, t in enumerate(self.tables) if not t.even]
        self._when = self._conditions()
        self._pairs = _Pairs(self.tables)

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
            out.append((columns, [k for k in self.above if self.columns[k] in columns], rules))
        return out

    def digits(self, X: Array) -> Index:
        """Numbers of the values (m, t) on the tabled axes, -1 where inactive, of codes (m, d) in [0, 1]."""
        part = X[:, self.columns]
        gone = np.isnan(part)
        lacks = bool(gone.any())
        if lacks:
            part[gone] = 0.0
        # a code belongs to the value whose slice it is in
        out = (part * self._sizes).astype(np.int64)
        np.minimum(out, self._last, out=out)
        for k in self._curved:
            out[:, k] = self.tables[k].index(part[:, k])
        if lacks:
            out[gone] = -1
        return out

    def active(self, digits: Index) -> Mask:
        """Which axes (m, d) exist, given digits (m, t); the upper ones that do not are set to -1."""
        out = np.ones((len(digits), self.space.dim), dtype=bool)
        for columns, tables, rules in self._when:
            on = rules[0][1][digits[:, rules[0][0]]]
            for parent, allowed in rules[1:]:
                on = on & allowed[digits[:, parent]]
            out[:, columns] = on[:, None]
            for k in tables:
                digits[~on, k] = -1
        return out

    def kernels(self, s: Array, n: int) -> list[Array]:
        """For each tabled axis (size + 1, size + 1): the logarithm of what a component on value i of ``n`` gives to
        value j, relative to its share of [0, 1]; 0 where either is inactive, which is the last."""
        return self._pairs.log_kernels(s[self.columns], n)


def bandwidths(X: Array, gone: Mask | None) -> tuple[Array, Array]:
    """Scott's rule for each axis, with one observation of the uniform density mixed in, and the number of those that
    have it: (d,) each. ``gone`` (n, d) is where there is none, None if nowhere."""
    ones = np.ones(len(X))
    n = np.full(X.shape[1], float(len(X)))
    if gone is not None:
        X = np.where(gone, 0.0, X)
        n -= ones @ gone
    total = ones @ X
    dims = max(1.0, float(n.sum()) / max(1, len(X)))
    scatter = np.maximum(np.einsum("ij,ij->j", X, X) - total * total / np.maximum(n, 1.0), 0.0)
    sd = np.sqrt((scatter + UNIFORM_SD**2) / (n + 1))
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


class _Pairs:
    """All pairs of values (i, j) of each tabled axis, i the component's, in one row (e,): dealt with at once."""

    def __init__(self, tables: Sequence[_Values]) -> None:
        self.sizes = [t.size for t in tables]
        self.ends = np.cumsum([size * size for size in self.sizes])
        self.runs = np.array([size for size in self.sizes for _ in range(size)], dtype=np.int64)
        self.starts = self.runs.cumsum() - self.runs  # where the pairs of each i begin
        owner = np.repeat(np.arange(len(tables)), [size * size for size in self.sizes])
        apart = [t.ends - t.codes[:, None] for t in tables]
        low, high = (_joined([a[:, cut] for a in apart]) for cut in (slice(None, -1), slice(1, None)))
        self.log_width = _joined([np.tile(np.log(t.width), t.size) for t in tables])
        self.same = _joined([np.eye(size) for size in self.sizes])
        self.line = np.flatnonzero(_joined([np.full(t.size**2, not t.unordered) for t in tables]))
        self.low, self.high, self.owner = low[self.line], high[self.line], owner[self.line]

    def log_kernels(self, s: Array, n: int) -> list[Array]:
        """``Layout.kernels``, of the bandwidths of the tabled axes."""
        if not self.sizes:
            return []
        logs = np.log(1.0 / (n + 1) + self.same)
        if len(self.line):
            width = s[self.owner]
            logs[self.line] = _log_mass(self.low / width, self.high / width)
        logs -= np.log(np.add.reduceat(np.exp(logs), self.starts)).repeat(self.runs)
        np.maximum(logs, LOWEST, out=logs)
        logs -= self.log_width
        out = []
        for size, end in zip(self.sizes, self.ends.tolist(), strict=True):
            table = np.zeros((size + 1, size + 1))
            table[:size, :size] = logs[end - size * size : end].reshape(size, size)
            out.append(table)
        return out


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


class Points(NamedTuple):
    """Codes (m, d) of configurations, NaN where inactive, and their digits (m, t)."""

    X: Array
    digits: Index


@dataclass(frozen=True)
class Parzen:
    """The mixture around X (n, d), all in [0, 1]."""

    layout: Layout
    X: Array
    digits: Index
    w: Array
    s: Array
    kernels: Sequence[Array]

    @classmethod
    def around(cls, layout: Layout, X: Array, w: Array, sharper: float = 1.0) -> Parzen:
        """The mixture around observations X (n, d) with weights w (n,); the prior weighs 1, and the bandwidths are
        divided by ``sharper``, but not below 1 / min(100, n + 1) (the "magic clip" of TPE).

        An observation beyond [0, 1], of an earlier and wider space, is moved to the edge, and its weight is what its
        kernel gives to the edge.
        """
        gone = np.isnan(X)
        lacks = bool(gone.any())
        known = np.where(gone, 0.5, X) if lacks else X
        inside = bool(known.min(initial=0.0) >= 0.0 and known.max(initial=1.0) <= 1.0)
        near = X if inside else np.minimum(np.maximum(X, 0.0), 1.0)
        s, seen = bandwidths(near, gone if lacks else None)
        s = np.minimum(np.maximum(s / sharper, 1.0 / np.minimum(100.0, seen + 1.0)), 1.0)
        if not inside:
            away = np.where(np.isnan(X), 0.0, (X - near) / s)
            w = w * np.exp(-0.5 * np.minimum(np.einsum("ij,ij->i", away, away), 1000.0))
        weights = np.append(w, 1.0)
        kernels = layout.kernels(s, len(X))
        return cls(layout, near, layout.digits(near), weights / weights.sum(), s, kernels)

    def plus(self, x: Array) -> Parzen:
        """The mixture with one more component, around x (d,), of the prior's weight and the same kernels."""
        w = np.append(self.w, self.w[-1])
        digits = np.concatenate([self.digits, self.layout.digits(x[None])])
        return replace(self, X=np.concatenate([self.X, x[None]]), digits=digits, w=w / w.sum())

    def upper_logs(self, digits: Index) -> Array:
        """Logarithms (m, n) of the components on the upper axes, at points with the digits (m, t)."""
        out = np.zeros((len(digits), len(self.X)))
        for k in self.layout.above:
            out += self.kernels[k].T[digits[:, k]][:, self.digits[:, k]]
        return out

    def upper_density(self, logs: Array) -> Array:
        """Logarithm (m,) of the density of the upper axes, relative to the uniform one, by ``upper_logs``."""
        top = logs.max(axis=1, initial=0.0)
        return np.asarray(np.log(np.exp(logs - top[:, None]) @ self.w[:-1] + self.w[-1] * np.exp(-top)) + top)

    def given(self, logs: Array) -> Parzen:
        """The density of the other axes at a point whose ``upper_logs`` are (n,)."""
        w = self.w * np.append(np.exp(logs), 1.0)
        return replace(self, w=w / w.sum())

    def log_density(self, points: Points) -> Array:
        """Logarithm (m,) of the density of the lower axes, relative to the uniform one, at points that agree on the
        upper ones."""
        features, coefficients, bound = self._linear(points)
        w = self.w[:-1].astype(np.float32)
        if bound > HIGHEST:
            logs = features @ coefficients
            top = logs.max(axis=1, initial=0.0)
            logs -= top[:, None]
            likely = np.exp(logs, out=logs) @ w
            return np.asarray(np.log(likely + self.w[-1] * np.exp(-top, dtype=np.float64)) + top)
        likely = np.full(len(features), self.w[-1])
        for start in range(0, len(w), BLOCK):
            logs = features @ coefficients[:, start : start + BLOCK]
            likely += np.exp(logs, out=logs) @ w[start : start + BLOCK]
        return np.asarray(np.log(likely))

    def _linear(self, points: Points) -> tuple[Single, Single, float]:
        """Features (m, f) of points, coefficients (f, n) of the components, and what no product exceeds.

        With h = x - 1/2 and g = X_ij - 1/2, of c axes, q of them conditional: h (c rows), h^2 (q), 1, the sum of
        -h^2 / 2 s^2 over the other axes, and the indicators.
        """
        layout, m, n = self.layout, len(points.X), len(self.X)
        there = ~np.isnan(points.X[0])
        smooth = layout.smooth[there[layout.smooth]]
        tabled = [k for k in layout.lower if there[layout.columns[k]]]
        some, c = np.flatnonzero(~layout.always[smooth]), len(smooth)
        own = c + len(some)
        f = own + 2 + sum(layout.tables[k].size for k in tabled)
        features, out = np.zeros((m, f), dtype=np.float32), np.empty((f, n), dtype=np.float32)
        s = self.s[smooth]
        h = points.X[:, smooth] - 0.5
        squares = h * h
        features[:, :c], features[:, c:own], features[:, own] = h, squares[:, some], 1.0
        features[:, own + 1] = squares @ np.where(layout.always[smooth], -0.5 / s**2, 0.0)
        self._normal(smooth, some, out)
        out[own + 1] = 1.0
        bound = float(np.maximum(math.log(3.0) - np.log(s) - LOG_ROOT_2_PI, 0.0).sum())
        at = own + 2
        for k in tabled:
            size, kernel = layout.tables[k].size, self.kernels[k]
            out[at : at + size] = kernel[:, :size].astype(np.float32).T[:, self.digits[:, k]]
            features[np.arange(m), at + points.digits[:, k]] = 1.0
            bound += max(float(kernel.max()), 0.0)
            at += size
        return features, out, bound

    def _normal(self, smooth: Index, some: Index, out: Single) -> None:
        """Coefficients (c + q + 1, n) of h, h^2 and 1 on smooth axes, those in ``some`` conditional."""
        c = len(smooth)
        own = c + len(some)
        width = self.s[smooth].astype(np.float32)[:, None]
        mu = self.X.T[smooth].astype(np.float32) / width
        mass = np.ones_like(mu)
        flat = mass.ravel()
        for edge in (mu, 1 / width - mu):
            # by number, not by mask: that takes half as long
            near = np.flatnonzero(edge < FAR)
            flat[near] -= _tail(edge.ravel()[near])
        mu -= 0.5 / width
        log_width = np.log(width[:, 0]) + np.float32(LOG_ROOT_2_PI)
        unit = np.ones(len(some), dtype=np.float32)
        lacks = np.isnan(mu[some]) if len(some) else np.empty((0, len(self.X)), dtype=bool)
        out[own] = -log_width.sum()
        if lacks.any():
            mu[some] = np.where(lacks, np.float32(0.0), mu[some])
            out[own] += log_width[some] @ lacks.astype(np.float32)
        np.multiply(unit[:, None] * (-0.5 / width[some] ** 2), ~lacks, out=out[c:own])
        out[own] -= np.log(mass.prod(axis=0)) + 0.5 * np.einsum("ij,ij->j", mu, mu)
        np.divide(mu, width, out=out[:c])

    def sample(self, m: int, rng: np.random.Generator, upper: Index | None = None) -> Points:
        """``m`` draws of the upper axes (the others are left NaN); of all axes, given the digits (t,) of the upper ones
        (of all in any case where there are no upper axes).

        Where an axis is inactive in the component that was drawn, it is uniform.
        """
        layout = self.layout
        ladder = self.w.cumsum()  # as Generator.choice does, without its checks
        picks = (ladder / ladder[-1]).searchsorted(rng.random(m), side="right")
        out = rng.random((m, layout.space.dim))
        theirs = np.concatenate([self.digits, np.full((1, len(layout.tables)), -1)])[picks]
        have = theirs >= 0
        rung = np.empty(have.T.shape)
        rung[have.T] = rng.random(np.count_nonzero(have))
        digits = layout.digits(out)
        higher = upper is None and bool(layout.upper)
        for k in layout.above if higher else layout.lower:
            table, rows = layout.tables[k], np.flatnonzero(have[:, k])
            mass = np.exp(self.kernels[k][:-1, :-1]) * table.width
            ladders = mass.cumsum(axis=1)[theirs[rows, k]]
            below = (rung[k, rows, None] * ladders[:, -1:] > ladders).sum(axis=1)
            digits[rows, k] = np.minimum(below, table.size - 1)
        if higher:
            layout.active(digits)
            out.fill(np.nan)
            for k in layout.above:
                on = np.flatnonzero(digits[:, k] >= 0)
                out[on, layout.columns[k]] = layout.tables[k].codes[digits[on, k]]
            return Points(out, digits)
        if upper is not None:
            digits[:, layout.above] = upper[layout.above]
        active = layout.active(digits[:1])[0]
        centre = np.concatenate([self.X, np.full((1, layout.space.dim), np.nan)])[picks]
        for k, j in enumerate(layout.columns):
            if active[j]:
                out[:, j] = layout.tables[k].codes[digits[:, k]]
            else:
                digits[:, k] = -1
        smooth = layout.smooth[active[layout.smooth]]
        s, u = self.s[smooth], out[:, smooth]
        mu = centre[:, smooth] / s
        low = ndtr(-mu)
        drawn = s * (mu + ndtri(low + u * (ndtr(1.0 / s - mu) - low)))
        out[:, smooth] = np.where(np.isnan(mu), u, np.minimum(np.maximum(drawn, 0.0), 1.0))
        for j in layout.lattices:
            if active[j]:
                out[:, j] = layout.space.axes[j].parameter.snap(out[:, j])
        out[:, ~active] = np.nan
        return Points(out, digits)
