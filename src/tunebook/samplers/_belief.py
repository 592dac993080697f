"""What a person believes about good values, as declared by ``likely`` in the space.

The acquisition counts times the belief to the power BETA / n, which fades as trials come in: C. Hvarfner et al., "piBO:
augmenting acquisition functions with user beliefs for Bayesian optimization", ICLR 2022, equation 6. The belief of a
number is a normal density on its scale, cut to the range; that of a choice its weights. A tenth of either is uniform,
so that nobody is certain and what is wrong is given up. All are relative to the uniform density, so that configurations
with other active axes can be compared.

    pi_j(t) = DOUBT + (1 - DOUBT) N(t; c, s) / mass    d log pi_j / dt = -(t - c) / s^2 (1 - DOUBT / pi_j)

    X (n, dim) codes, NaN where inactive    t (n, p) codes of the numeric axes
    c, s (p,) centre and standard deviation of the belief; s is inf where there is none
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from tunebook.space import Array, Choice, Float, Int, Space

BETA = 10.0
DOUBT = 0.1
ROOT_2_PI = math.sqrt(2.0 * math.pi)


class Belief:
    """The beliefs about the axes of a space; made once."""

    def __init__(self, space: Space) -> None:
        parameters = [a.parameter for a in space.axes]
        self.numeric = np.array([j for j, p in enumerate(parameters) if not p.unordered], dtype=np.int64)
        self.c, self.s = np.full(len(self.numeric), 0.5), np.full(len(self.numeric), np.inf)
        self.tables: dict[int, tuple[Choice, Array]] = {}
        for j, p in enumerate(parameters):
            if isinstance(p, Choice) and p.likely is not None:
                weights = np.asarray(p.likely, dtype=np.float64)
                self.tables[j] = (p, DOUBT / p.size + (1.0 - DOUBT) * weights / weights.sum())
            elif isinstance(p, Float | Int) and p.likely is not None:
                k = int(np.searchsorted(self.numeric, j))
                low, high = p.codes(list(p.likely))
                self.c[k], self.s[k] = 0.5 * (low + high), 0.5 * (high - low)
        self.any = bool(self.tables) or bool(np.isfinite(self.s).any())
        told = np.isfinite(self.s)
        self.low = np.where(told, ndtr((0.0 - self.c) / self.s), 0.0)
        self.mass = np.where(told, np.maximum(ndtr((1.0 - self.c) / self.s) - self.low, 1e-12), 1.0)
        self.top = np.where(told, (1.0 - DOUBT) / (np.where(told, self.s, 1.0) * ROOT_2_PI * self.mass), 1.0 - DOUBT)

    def weight(self, n: int) -> float:
        """The power of the belief after ``n`` configurations."""
        return BETA / max(n, 1)

    def of_numbers(self, t: Array, active: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
        """The logarithm (n,) of the belief in the numbers, and its slopes (n, p)."""
        z = (t - self.c) / self.s
        density = DOUBT + self.top * np.exp(-0.5 * z**2)
        value = np.where(active, np.log(density), 0.0).sum(axis=1)
        return value, np.where(active, -z / self.s * (1.0 - DOUBT / density), 0.0)

    def of_choices(self, X: Array, columns: Collection[int] | None = None) -> Array:
        """The logarithm (n,) of the belief in the options; of some columns, if told which."""
        out = np.zeros(len(X))
        for j, (p, weights) in self.tables.items():
            if columns is None or j in columns:
                there = ~np.isnan(X[:, j])
                out[there] += np.log(weights * p.size)[p.index(X[there, j])]
        return out

    def log_density(self, X: Array, columns: Collection[int] | None = None) -> Array:
        """The logarithm (n,) of the belief in configurations, in some columns if told which."""
        t = X[:, self.numeric]
        active = ~np.isnan(t)
        if columns is not None:
            active &= np.isin(self.numeric, list(columns))
        return self.of_numbers(np.where(active, t, 0.5), active)[0] + self.of_choices(X, columns)

    def bent(self, U: Array) -> Array:
        """Even points (n, dim) in [0, 1] as draws from the belief: the lowest tenth of each axis is spread evenly, the
        rest by quantiles."""
        if not self.any:
            return U
        out = U.copy()
        t = U[:, self.numeric]
        told = np.isfinite(self.s)
        share = self.low + (t - DOUBT) / (1.0 - DOUBT) * self.mass
        drawn = self.c + np.where(told, self.s, 0.0) * ndtri(np.clip(share, 1e-12, 1 - 1e-12))
        drawn = np.where(t < DOUBT, t / DOUBT, np.clip(drawn, 0.0, 1.0))
        out[:, self.numeric] = np.where(told, drawn, t)
        for j, (p, weights) in self.tables.items():
            ends = np.cumsum(weights)
            there = ~np.isnan(U[:, j])
            which = np.minimum(np.searchsorted(ends, U[there, j], side="right"), p.size - 1)
            out[there, j] = p.every()[which]
        return out
