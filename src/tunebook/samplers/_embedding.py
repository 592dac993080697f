"""Mixed and conditional configurations as points of a Euclidean space, so that a stationary kernel applies.

Conditional axes by the arc kernel, with the radius 1 and the angle x: F. Hutter, M. A. Osborne, "A kernel for
hierarchical parameter spaces", arXiv:1310.5738 (2013), and K. Swersky et al., "Raiders of the lost architecture:
kernels for Bayesian optimization in conditional parameter spaces", arXiv:1409.4011 (2014).

    number                w(x)                          w the warp of ``_transforms``
    conditional number    (cos w(x), sin w(x))          (0, 0) where inactive, as far from every value
    options               one-hot / sqrt 2              one more option, "inactive", where conditional

    X (n, dim) codes, NaN where inactive    p numeric axes, q of them conditional    f features    g = dim length scales
    Z (n, f) features: p columns (w or cos), q columns (sin), then the options    axis (f,) a feature's length scale
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tunebook.samplers._transforms import warp, warp_slopes
from tunebook.space import Array, Space

BEYOND = 1.0


@dataclass(frozen=True)
class Inputs:
    """Codes taken apart: ``t`` (n, p) numbers in [0, 1], ``extra`` (n, p) how far they are beyond, ``there`` (n, q)
    which conditional ones are active, ``options`` (n, f - p - q)."""

    t: Array
    extra: Array
    there: npt.NDArray[np.bool_]
    options: Array

    def __len__(self) -> int:
        return len(self.t)

    def rows(self, which: slice | npt.NDArray[np.int64]) -> Inputs:
        return Inputs(self.t[which], self.extra[which], self.there[which], self.options[which])


class Embedding:
    """The map from codes to features, for one space."""

    def __init__(self, space: Space) -> None:
        axes = space.axes
        self.numeric = np.array([j for j, a in enumerate(axes) if not a.parameter.unordered], dtype=np.int64)
        self.p = len(self.numeric)
        self.arc = np.array([k for k, j in enumerate(self.numeric) if axes[j].when], dtype=np.int64)
        self.q = len(self.arc)
        self._tables = []
        axis = [*self.numeric.tolist(), *self.numeric[self.arc].tolist()]
        for j, a in enumerate(axes):
            if a.parameter.unordered:
                size = a.parameter.size
                table = np.vstack([np.eye(size, size + bool(a.when)), np.eye(size + 1)[-1:, : size + bool(a.when)]])
                self._tables.append((j, a.parameter.index, table / math.sqrt(2.0)))
                axis += [j] * table.shape[1]
        self.axis = np.array(axis, dtype=np.int64)
        self.f = len(axis)
        self.dim = space.dim
        # sums features by axis: (f,) @ (f, dim)
        self.by_axis = np.zeros((self.f, space.dim))
        self.by_axis[np.arange(self.f), self.axis] = 1.0

    def inputs(self, X: Array) -> Inputs:
        """Codes (n, dim) taken apart."""
        told = X[:, self.numeric]
        active = ~np.isnan(told)
        told = np.where(active, told, 0.5)
        # minimum and maximum: clip takes several times as long for few numbers
        t = np.minimum(np.maximum(told, 0.0), 1.0)
        extra = np.minimum(np.maximum(told - t, -BEYOND), BEYOND)
        options = [table[self._index(X[:, j], index, len(table) - 1)] for j, index, table in self._tables]
        both = np.concatenate(options, axis=1) if options else np.empty((len(X), 0))
        return Inputs(t, extra, active[:, self.arc], both)

    @staticmethod
    def _index(column: Array, index: object, inactive: int) -> npt.NDArray[np.int64]:
        gone = np.isnan(column)
        return np.where(gone, inactive, index(np.where(gone, 0.5, column)))  # type: ignore[operator]

    def features(self, x: Inputs, shapes: Array) -> Array:
        """Z (n, f) with the warp's log shapes (2, p)."""
        out = np.empty((len(x), self.f))
        p, q = self.p, self.q
        w = out[:, :p]
        w[:] = (warp(x.t, *np.exp(shapes)) if shapes.any() else x.t) + x.extra
        if q:
            angle = w[:, self.arc]
            out[:, p : p + q] = np.sin(angle) * x.there
            out[:, self.arc] = np.cos(angle) * x.there
        out[:, p + q :] = x.options
        return out

    def pulled(self, slopes: Array, Z: Array) -> Array:
        """Slopes (n, f) with respect to features as slopes (n, p) with respect to w."""
        p, q = self.p, self.q
        out = slopes[:, :p].copy()
        if q:
            sine, cosine = Z[:, p : p + q], Z[:, self.arc]
            out[:, self.arc] = slopes[:, p : p + q] * cosine - slopes[:, self.arc] * sine
        return out

    def warp_slopes(self, x: Inputs, shapes: Array) -> tuple[Array, Array, Array]:
        """dw/dt, dw/dlog a, dw/dlog b, each (n, p)."""
        return warp_slopes(x.t, *np.exp(shapes))
