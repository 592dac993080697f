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

All are relative to the uniform density, so that components with other active axes can be added. The logarithm of a
component is linear in features of x (x^2, x and 1 for a normal density, one indicator a value for the others), so all
components at all candidates are one product: features (m, f) @ coefficients (f, n). It is computed in single precision:
the logarithms are then exact to about 0.001, and candidates as close as that are equally good.

    X (n, d) codes, NaN where inactive    w (n + 1,) weights, the prior's last    s (d,) bandwidths, in units of [0, 1]
    "upper" axes are those that others depend on: discrete, so tabled
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr, ndtr, ndtri

from tunebook.space import Array, Axis, Space

Mask = npt.NDArray[np.bool_]
Single = npt.NDArray[np.float32]

MOST_VALUES = 64
UNIFORM_SD = 12**-0.5
LOWEST = -300.0
FAR = 5.0
ROOT_2_PI = math.sqrt(2 * math.pi)


class Layout:
    """What the kernels need to know of a space; made once. ``f`` features: x^2, x and 1 of the smooth axes, then one
    indicator a value of each tabled axis."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.upper = sorted({parent for a in space.axes for parent, _ in a.when})
        tabled = [j for j, a in enumerate(space.axes) if j in self.upper or _few(a)]
        self.tables = [_Values(j, space.axes[j]) for j in tabled]
        self.smooth = np.array([j for j in range(space.dim) if j not in tabled], dtype=np.int64)
        self.lattices = [j for j in self.smooth.tolist() if space.axes[j].parameter.size]
        owner = [*self.smooth.tolist() * 3, *(t.column for t in self.tables for _ in range(t.size))]
        self.above: Mask = np.isin(owner, self.upper)  # (f,) which features are of upper axes

    def features(self, x: Array) -> Single:
        """Features (m, f) of codes (m, d); zero where an axis is inactive."""
        c = len(self.smooth)
        out = np.zeros((len(x), len(self.above)), dtype=np.float32)
        part = x[:, self.smooth]
        there = ~np.isnan(part)
        out[:, c : 2 * c] = np.where(there, part, 0.0)
        out[:, :c] = out[:, c : 2 * c] ** 2
        out[:, 2 * c : 3 * c] = there
        at = 3 * c
        for t in self.tables:
            rows = np.flatnonzero(~np.isnan(x[:, t.column]))
            out[rows, at + t.index(x[rows, t.column])] = 1.0
            at += t.size
        return out

    def coefficients(self, X: Array, s: Array, kernels: Sequence[Array]) -> Single:
        """Coefficients (f, len(X)) of components around X."""
        c = len(self.smooth)
        out = np.zeros((len(self.above), len(X)), dtype=np.float32)
        width = s[self.smooth].astype(np.float32)[:, None]
        mu = X[:, self.smooth].T.astype(np.float32) / width
        mass = np.ones_like(mu)
        flat = mass.ravel()
        for edge in (mu, 1 / width - mu):
            # by number, not by mask: that takes half as long
            near = np.flatnonzero(edge < FAR)
            flat[near] -= ndtr(-edge.ravel()[near])
        mass *= width * ROOT_2_PI
        np.multiply(mu, mu, out=out[2 * c : 3 * c])
        out[2 * c : 3 * c] *= -0.5
        out[2 * c : 3 * c] -= np.log(mass, out=mass)
        np.divide(mu, width, out=out[c : 2 * c])
        out[:c] = -0.5 / width**2
        gone = np.isnan(mu)
        if gone.any():
            out[: 3 * c].reshape(3, c, len(X))[:, gone] = 0.0
        at = 3 * c
        for t, kernel in zip(self.tables, kernels, strict=True):
            rows = np.flatnonzero(~np.isnan(X[:, t.column]))
            out[at : at + t.size, rows] = kernel[:, t.index(X[rows, t.column])]
            at += t.size
        return out

    def kernels(self, s: Array, n: int) -> list[Array]:
        """``log_kernel`` of each tabled axis, for a mixture of ``n``."""
        return [t.log_kernel(s[t.column], n) for t in self.tables]

    def bandwidths(self, X: Array) -> Array:
        """Scott's rule for each axis, with one observation of the uniform density mixed in: (d,)."""
        total = X.sum(axis=0)
        there = None if np.isfinite(total).all() else ~np.isnan(X)
        n = np.full(X.shape[1], len(X)) if there is None else there.sum(axis=0)
        dims = max(1.0, float(n.sum()) / max(1, len(X)))
        mean = (total if there is None else np.where(there, X, 0.0).sum(axis=0)) / np.maximum(n, 1)
        away = X - mean
        away *= away
        scatter = (away if there is None else np.where(there, away, 0.0)).sum(axis=0)
        sd = np.sqrt((scatter + UNIFORM_SD**2) / (n + 1))
        return np.asarray(1.06 * sd * np.power(n + 1.0, -1.0 / (dims + 4.0)))


def _few(axis: Axis) -> bool:
    p = axis.parameter
    return p.size > 0 and (p.unordered or p.size <= MOST_VALUES)


class _Values:
    """A tabled axis: its column, the codes of its values, and the slices of [0, 1] that they own."""

    def __init__(self, column: int, axis: Axis) -> None:
        self.column, self.size, self.unordered = column, axis.parameter.size, axis.parameter.unordered
        self.index = axis.parameter.index
        self.codes = axis.parameter.every()
        low, high = axis.parameter.slices(self.codes)
        self.ends = np.append(low, high[-1])
        self.width = high - low

    def log_kernel(self, s: float, n: int) -> Array:
        """(size, size): the logarithm of what a component on value j (column) of ``n`` gives to value i, relative to
        its share of [0, 1]."""
        if self.unordered:
            logs = np.log(np.full((self.size, self.size), 1.0 / (n + 1)) + np.eye(self.size))
        else:
            z = (self.ends[:, None] - self.codes) / s
            logs = _log_mass(z[:-1], z[1:])
        logs = np.maximum(logs - np.log(np.exp(logs).sum(axis=0)), LOWEST)
        return np.asarray(logs - np.log(self.width)[:, None])


def _log_mass(a: Array, b: Array) -> Array:
    """log(Phi(b) - Phi(a)) for a < b, exact in both tails."""
    right = a > 0
    low, high = np.where(right, -b, a), np.where(right, -a, b)
    top = log_ndtr(high)
    return np.asarray(top + np.log1p(-np.exp(log_ndtr(low) - top)))


@dataclass(frozen=True)
class Parzen:
    """The mixture around X (n, d), all in [0, 1]."""

    layout: Layout
    X: Array
    w: Array
    s: Array
    kernels: Sequence[Array]
    coefficients: Single

    @classmethod
    def around(cls, layout: Layout, X: Array, w: Array, sharper: float = 1.0) -> Parzen:
        """The mixture around observations X (n, d) with weights w (n,); the prior weighs 1, and the bandwidths are
        divided by ``sharper``, but not below 1 / min(100, n + 1) (the "magic clip" of TPE).

        An observation beyond [0, 1], of an earlier and wider space, is moved to the edge, and its weight is what its
        kernel gives to the edge.
        """
        inside = bool(X.min(initial=0.0) >= 0 and X.max(initial=0.0) <= 1)  # false where there is a NaN
        near = X if inside else np.minimum(np.maximum(X, 0.0), 1.0)  # clip takes longer for few numbers
        seen = len(X) if inside else len(X) - np.isnan(X).sum(axis=0)
        s = np.minimum(np.maximum(layout.bandwidths(near) / sharper, 1.0 / np.minimum(100.0, seen + 1.0)), 1.0)
        if not inside and ((near != X) & ~np.isnan(X)).any():
            away = np.where(np.isnan(X), 0.0, (X - near) / s)
            w = w * np.exp(-0.5 * np.minimum(np.einsum("ij,ij->i", away, away), 1000.0))
        weights = np.append(w, 1.0)
        kernels = layout.kernels(s, len(X))
        return cls(layout, near, weights / weights.sum(), s, kernels, layout.coefficients(near, s, kernels))

    def plus(self, x: Array) -> Parzen:
        """The mixture with one more component, around x (d,), of the prior's weight and the same kernels."""
        w = np.append(self.w, self.w[-1])
        more = self.layout.coefficients(x[None], self.s, self.kernels)
        whole = np.concatenate([self.coefficients, more], axis=1)
        return replace(self, X=np.concatenate([self.X, x[None]]), w=w / w.sum(), coefficients=whole)

    def given(self, features: Single) -> Parzen:
        """The density of the other axes when the upper ones have the values in ``features`` (f,)."""
        above = self.layout.above
        w = self.w * np.append(np.exp(features[above] @ self.coefficients[above]), 1.0)
        return replace(self, w=w / w.sum())

    def log_density(self, features: Single, part: Mask) -> Array:
        """Logarithm of the density of some axes, those of the features in ``part`` (f,), relative to the uniform one:
        (m,) at the features (m, f) of m configurations."""
        logs = features[:, part] @ self.coefficients[part] if not part.all() else features @ self.coefficients
        top = logs.max(axis=1, initial=0.0)
        logs -= top[:, None]
        likely = np.exp(logs, out=logs) @ self.w[:-1].astype(np.float32)
        return np.asarray(np.log(likely + self.w[-1] * np.exp(-top, dtype=np.float64)) + top)

    def sample(self, m: int, rng: np.random.Generator, upper: Array | None = None) -> Array:
        """``m`` draws: codes (m, d) of real configurations, NaN where inactive; with the upper axes of ``upper`` (d,)
        if given. Where an axis is inactive in the component that was drawn, it is uniform."""
        layout = self.layout
        ladder = self.w.cumsum()  # as Generator.choice does, without its checks
        picks = (ladder / ladder[-1]).searchsorted(rng.random(m), side="right")
        out = rng.random((m, layout.space.dim))
        rows = np.flatnonzero(picks < len(self.X))
        centre = np.full(out.shape, np.nan)
        centre[rows] = self.X[picks[rows]]
        mu, s = centre[:, layout.smooth] / self.s[layout.smooth], self.s[layout.smooth]
        low = ndtr(-mu)
        drawn = s * (mu + ndtri(low + out[:, layout.smooth] * (ndtr(1.0 / s - mu) - low)))
        out[:, layout.smooth] = np.where(np.isnan(mu), out[:, layout.smooth], np.minimum(np.maximum(drawn, 0.0), 1.0))
        for t, kernel in zip(layout.tables, self.kernels, strict=True):
            at = np.flatnonzero(~np.isnan(centre[:, t.column]))
            mass = np.exp(kernel) * t.width[:, None]
            rungs = np.cumsum(mass, axis=0)[:, t.index(centre[at, t.column])]
            out[:, t.column] = t.codes[t.index(out[:, t.column])]
            out[at, t.column] = t.codes[np.minimum((rng.random(len(at)) * rungs[-1] > rungs).sum(axis=0), t.size - 1)]
        for j in layout.lattices:
            out[:, j] = layout.space.axes[j].parameter.snap(out[:, j])
        if upper is not None:
            out[:, layout.upper] = upper[layout.upper]
        return layout.space.mask(out) if layout.upper else out
