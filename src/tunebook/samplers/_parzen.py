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

All are relative to the uniform density, so that components with other active axes can be added; the prior is the
component of an observation without any axis. Axes that others depend on ("upper") are discrete, and few of their
combinations are asked for: their kernels are looked up. Points that agree on these have the same active axes. On the
others the logarithm of a component is linear in features of x (x for a normal density, x^2 where some components lack
the axis, one indicator a value for the others, and 1), so all components at all candidates are one product: features
(m, f) @ coefficients (f, n). It is computed in single precision: the logarithms are then exact to about 0.001, and
candidates as close as that are equally good.

Several mixtures, each of consecutive components, the prior the last of each, are held and asked as one, as most of the
time on few observations is spent on calls.

    X (n, d) codes, NaN where inactive    s (g, d) bandwidths    w (g, n) weights, 0 where the component is another
    mixture's    member (g, n) 1 where it is the mixture's, else 0
    digits (n, t) numbers of the values on the tabled axes, the axis's number of values where inactive
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from tunebook.samplers._kernels import LOG_ROOT_2_PI, NARROWEST, Index, Layout, Part
from tunebook.space import Array

Single = npt.NDArray[np.float32]

UNIFORM_SD = 12**-0.5
FAR = 5.0
HIGHEST, BLOCK = 80.0, 2048
ERF = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
PRIOR = np.ones(1)


def bandwidths(X: Array, n: Array, many: Index, member: Array) -> Array:
    """Scott's rule (g, d) for each axis of each mixture, with one observation of the uniform density mixed in. ``X``
    (n, d) is 0 where there is none, ``many`` (g,) are the numbers of observations, ``n`` (g, d) of those that have an
    axis."""
    total = member @ X
    dims = np.maximum(n.sum(axis=1) / np.maximum(many, 1), 1.0)[:, None]
    scatter = np.maximum(member @ (X * X) - total * total / np.maximum(n, 1.0), 0.0)
    sd = np.sqrt((scatter + UNIFORM_SD**2) / (n + 1.0))
    return np.asarray(1.06 * sd * np.power(n + 1.0, -1.0 / (dims + 4.0)))


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
    """Codes (m, d) of configurations that agree on the upper axes, NaN where inactive, and their digits (m, t)."""

    X: Array
    digits: Index


class Parzen(NamedTuple):
    """Mixtures around consecutive parts of X (n, d), all in [0, 1]; what is drawn is drawn from the first.

    ``there`` (d, n) says which axes they have, ``counts`` (g,) are their components, ``logs`` (g, e) the kernels of the
    tabled axes, ``ladder`` (e,) their cumulated masses, ``rows`` (t, n) the numbers of their rows of pairs, ``places``
    (t, n) where these begin in the logarithms of all mixtures, one after the other.
    """

    layout: Layout
    X: Array
    there: Single
    counts: Index
    member: Array
    w: Array
    s: Array
    logs: Array
    ladder: Array
    rows: Index
    places: Index

    @classmethod
    def around(
        cls, layout: Layout, parts: Sequence[Array], weights: Sequence[Array], sharper: Sequence[float]
    ) -> Parzen:
        """A mixture around each of the parts, observations (n, d) with weights (n,); a prior weighs 1, and the
        bandwidths are divided by ``sharper``, but not below 1 / min(100, n + 1) (the "magic clip" of TPE).

        An observation beyond [0, 1], of an earlier and wider space, is moved to the edge, and its weight is what its
        kernel gives to the edge.
        """
        X = np.concatenate([rows for part in parts for rows in (part, layout.nothing)])
        w: Array = np.concatenate([told for part in weights for told in (part, PRIOR)])
        many = np.array([len(part) for part in parts])
        counts = many + 1
        member = np.eye(len(parts)).repeat(counts, axis=1)
        known = np.fmax(X, 0.0)
        away = None
        if known.max() > 1.0 or np.fmin.reduce(X, axis=None) < 0.0:
            inside = np.minimum(np.maximum(X, 0.0), 1.0)
            away, X, known = np.nan_to_num(X - inside), inside, np.fmin(known, 1.0)
        there = (~np.isnan(X)).T.astype(np.float32, order="C")
        n = (there @ member.T.astype(np.float32)).T.astype(np.float64)
        s = bandwidths(known, n, many, member)
        s = np.minimum(np.maximum(s / np.array(sharper)[:, None], np.maximum(NARROWEST, 1.0 / (n + 1.0))), 1.0)
        if away is not None:
            away /= member.T @ s
            w *= np.exp(-0.5 * np.minimum(np.einsum("ij,ij->i", away, away), 1000.0))
        logs, ladder = layout.pairs.log_kernels(s[:, layout.columns], many)
        rows = layout.digits(X).T + layout.pairs.row[:, None]
        places = layout.pairs.start.take(rows)
        for piece in _pieces(counts)[1:]:
            places[:, piece.start :] += logs.shape[1]
        return cls(layout, X, there, counts, member, _shares(member * w), s, logs, ladder, rows, places)

    def plus(self, x: Array) -> Parzen:
        """The last mixture with one more component, around x (d,), of the prior's weight and the same kernels."""
        rows = self.layout.digits(x[None]).T + self.layout.pairs.row[:, None]
        places = self.layout.pairs.start.take(rows) + (self.logs.size - self.logs.shape[1])
        counts = self.counts + np.eye(len(self.counts), dtype=np.int64)[-1]
        return self._replace(X=_before_last(self.X, x[None], 0), counts=counts,
                             there=_before_last(self.there, ~np.isnan(x)[:, None], 1),
                             member=_before_last(self.member, self.member[:, -1:], 1),
                             w=_shares(_before_last(self.w, self.w[:, -1:], 1)), rows=_before_last(self.rows, rows, 1),
                             places=_before_last(self.places, places, 1))  # fmt: skip

    def upper_logs(self, digits: Index) -> Array:
        """Logarithms (m, n) of the components on the upper axes, at points with the digits (m, t)."""
        out = np.zeros((len(digits), len(self.X)))
        for k in self.layout.above.tolist():
            out += self.logs.take(self.places[k] + digits[:, k, None])
        return out

    def upper_density(self, logs: Array) -> Array:
        """Logarithms (g, m) of the densities of the upper axes, relative to the uniform one, by ``upper_logs``."""
        top = logs.max(axis=1)
        return np.asarray(np.log(self.w @ np.exp(logs - top[:, None]).T) + top)

    def given(self, logs: Array) -> Parzen:
        """The densities of the other axes at a point whose ``upper_logs`` are (n,)."""
        return self._replace(w=_shares(self.w * np.exp(logs)))

    def log_density(self, points: Points) -> Array:
        """Logarithms (g, m) of the densities of the lower axes, relative to the uniform one."""
        part, w = self.layout.part(points.digits[0]), self.w.T.astype(np.float32)
        features, coefficients = self._features(part, points), self._coefficients(part)
        if part.highest > HIGHEST and self._highest(part) > HIGHEST:
            return self._high_density(features @ coefficients)
        out = np.zeros((len(features), len(self.s)))
        for start in range(0, len(w), BLOCK):
            logs = features @ coefficients[:, start : start + BLOCK]
            out += np.exp(logs, out=logs) @ w[start : start + BLOCK]
        return np.log(out, out=out).T

    def _highest(self, part: Part) -> float:
        """What the logarithms of components do not exceed with the bandwidths that there are."""
        return part.highest - float(np.log(self.s[:, part.smooth] / NARROWEST).sum(axis=1).min())

    def _high_density(self, logs: Single) -> Array:
        """``log_density`` where components (m, n) may be beyond single precision."""
        out = []
        for w, piece in zip(self.w, _pieces(self.counts), strict=True):
            part = logs[:, piece]
            top = part.max(axis=1)
            part -= top[:, None]
            out.append(np.log(np.exp(part, out=part) @ w[piece].astype(np.float32)) + top)
        return np.array(out, dtype=np.float64)

    def _features(self, part: Part, points: Points) -> Single:
        """Features (m, f) of points: h = x - 1/2 (c columns), h^2 of conditional axes (q), 1, for each mixture (g) the
        sum of -h^2 / 2 s^2 over the other axes, and the indicators."""
        c, own, g, m = len(part.smooth), 2 * len(part.smooth) - part.always, len(self.s), len(points.X)
        out = np.zeros((m, own + 1 + g + len(part.owner)), dtype=np.float32)
        h = points.X.take(part.smooth, axis=1)
        h -= 0.5
        out[:, :c] = h
        h *= h
        out[:, c:own] = h[:, part.always :]
        out[:, own] = 1.0
        sharp = -0.5 / self.s[:, part.smooth[: part.always]] ** 2
        out[:, own + 1 : own + 1 + g] = h[:, : part.always] @ sharp.T
        if len(part.tabled):
            places = points.digits.take(part.tabled, axis=1)
            places += own + 1 + g + part.at + out.shape[1] * np.arange(m)[:, None]
            out.put(places, 1.0)
        return out

    def _coefficients(self, part: Part) -> Single:
        """Coefficients (f, n) of the features in the logarithms of the components; none in those of the priors."""
        own, g = 2 * len(part.smooth) - part.always, len(self.s)
        out = np.empty((own + 1 + g + len(part.owner), len(self.X)), dtype=np.float32)
        self._normal(part, out[: own + 1])
        out[own + 1 : own + 1 + g] = self.member
        if len(part.owner):
            places = self.places.take(part.owner, axis=0)
            places += part.value
            out[own + 1 + g :] = self.logs.astype(np.float32).take(places)
        out[:, self.counts.cumsum() - 1] = 0.0
        return out

    def _normal(self, part: Part, out: Single) -> None:
        """Coefficients (c + q + 1, n) of h, h^2 and 1 on smooth axes, h^2 of the last q, which are conditional.

        With g = X_ij - 1/2: of a component that has the axis, g / s^2, -1 / 2 s^2 and -g^2 / 2 s^2 - log(s mass).
        """
        c, always = len(part.smooth), part.always
        s = self.s[:, part.smooth]
        inverse = (1.0 / s).T.astype(np.float32).repeat(self.counts, axis=1)
        there = self.there.take(part.smooth, axis=0)
        mu = self.X.T[part.smooth].astype(np.float32, order="C")
        np.fmax(mu, np.float32(0.0), out=mu)
        mu -= np.float32(0.5)
        mu *= inverse
        mu *= there
        constant = -np.log(_mass(mu, inverse, there).prod(axis=0))
        log_width = (np.log(s) + LOG_ROOT_2_PI).astype(np.float32)
        constant -= np.float32(0.5) * np.square(mu).sum(axis=0)
        for widths, piece in zip(log_width, _pieces(self.counts), strict=True):
            constant[piece] -= widths @ there[:, piece]
        out[-1] = constant
        np.multiply(mu, inverse, out=out[:c])
        conditional = inverse[always:]
        conditional *= conditional
        conditional *= np.float32(-0.5)
        np.multiply(conditional, there[always:], out=out[c:-1])

    def _picks(self, m: int, rng: np.random.Generator) -> Index:
        """``m`` components of the first mixture, drawn by their weights."""
        ladder = self.w[0, : self.counts[0]].cumsum()
        ladder /= ladder[-1]
        return ladder.searchsorted(rng.random(m), side="right")

    def _values(self, picks: Index, tables: Index, u: Array) -> Index:
        """Values (m, k) on some of the tabled axes, drawn with u (m, k) in [0, 1) from components."""
        theirs = self.rows.take(tables, axis=0).take(picks, axis=1).T
        out = self.ladder.searchsorted(theirs + u, side="right")
        out -= self.layout.pairs.start.take(theirs)
        return np.asarray(np.minimum(np.maximum(out, 0), self.layout.sizes.take(tables) - 1))

    def sample_upper(self, m: int, rng: np.random.Generator) -> Index:
        """The different combinations among ``m`` draws of the upper axes: digits (at most m, t), in the order of their
        first; the other axes inactive."""
        above = self.layout.above
        drawn = self._values(self._picks(m, rng), above, rng.random((m, len(above))))
        different = np.array(list(dict.fromkeys(map(tuple, drawn.tolist()))), dtype=np.int64)
        out = self.layout.sizes[None].repeat(len(different), axis=0)
        out[:, above] = different
        if self.layout.deep:
            self.layout.active(out)
        return out

    def sample(self, m: int, rng: np.random.Generator, upper: Index | None = None) -> Points:
        """``m`` draws of all axes, given the digits (t,) of the upper ones, None where there are none.

        Where an axis is inactive in the component that was drawn, it is uniform.
        """
        layout, part = self.layout, self.layout.part(upper)
        picks, u = self._picks(m, rng), rng.random((m, layout.space.dim))
        out = np.full(u.shape, np.nan)
        digits = (layout.sizes if upper is None else upper)[None].repeat(m, axis=0)
        if len(part.tabled):
            digits[:, part.tabled] = self._values(picks, part.tabled, u.take(part.columns, axis=1))
        if len(layout.tables):
            out[:, layout.columns] = layout.codes(digits)
        s, u = self.s[0].take(part.smooth), u.take(part.smooth, axis=1)
        mu = self.X.take(picks, axis=0).take(part.smooth, axis=1) / s
        low = ndtr(-mu)
        drawn = s * (mu + ndtri(low + u * (ndtr(1.0 / s - mu) - low)))
        out[:, part.smooth] = np.where(np.isnan(mu), u, np.minimum(np.maximum(drawn, 0.0), 1.0))
        for j in part.lattices:
            out[:, j] = layout.space.axes[j].parameter.snap(out[:, j])
        return Points(out, digits)


def _pieces(counts: Index) -> list[slice]:
    """Where consecutive parts of some lengths are."""
    ends = counts.cumsum().tolist()
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def _shares(w: Array) -> Array:
    """Weights (g, n) that sum to one in each mixture."""
    return np.asarray(w / w.sum(axis=1, keepdims=True))


def _mass(mu: Single, inverse: Single, there: Single) -> Single:
    """What normal densities (c, n) around mu / inverse, from the middle, with sd 1 / inverse give to [-1/2, 1/2]; 1
    where none is there."""
    half = inverse * np.float32(0.5)
    half += np.float32(FAR) * (np.float32(1.0) - there)
    edges = np.empty((2, *mu.shape), dtype=np.float32)
    np.add(half, mu, out=edges[0])
    np.subtract(half, mu, out=edges[1])
    flat = edges.ravel()
    near = np.flatnonzero(flat < FAR)  # by number, not by mask: that takes half as long
    beyond = _tail(flat.take(near))
    flat.fill(0.0)
    flat[near] = beyond
    mass: Single = np.float32(1.0) - edges[0]
    mass -= edges[1]
    return mass


def _before_last(a: npt.NDArray[Any], more: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
    """An array with more before its last row or column."""
    return np.insert(a, [a.shape[axis] - 1], more, axis=axis)
