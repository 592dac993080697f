"""Where a Gaussian process expects the most improvement: log-EI, candidates, polish and discrete climb.

D. R. Jones, M. Schonlau, W. J. Welch, J. Global Optimization 13 (1998): EI = sigma h(z), h(z) = phi(z) + z Phi(z),
z = (best - mean) / sigma. Its logarithm as in S. Ament et al., "Unexpected improvements to expected improvement for
Bayesian optimization", NeurIPS 2023, here by the Mills ratio m(z) = Phi(z) / phi(z) = sqrt(pi/2) erfcx(-z / sqrt2):

    log h(z) = -z^2/2 - log sqrt(2 pi) + log(1 + z m)      h'(z)/h(z) = m / (1 + z m)

Where trials failed, times the probability that one does not, M. A. Gelbart, J. Snoek, R. P. Adams, "Bayesian
optimization with unknown constraints", UAI 2014, equation 5; here by a process on labels, 1 for a failure, else 0:

    P = Phi(t), t = (1/2 - mean) / sqrt(variance + DOUBT^2)

    X (m, dim) codes    A (m, f) scaled features    best: the least posterior mean of what was observed
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import erfcx, log_ndtr, ndtr

from tunebook.samplers._embedding import Inputs
from tunebook.samplers._gp import Posterior
from tunebook.space import Array, Space

Index = npt.NDArray[np.int64]

LOG_ROOT_2_PI = 0.5 * math.log(2.0 * math.pi)
FAR = -1e4
DOUBT = 0.1
UNIFORM, LOCAL, PARENTS = 300, 300, 6
STARTS, POLISH, CLIMBS = 5, 20, 12
LEAST, MOST = math.log(0.005), math.log(0.3)
FINE = 16
WHOLE = 600
APART = 0.02
MOST_OPTIONS = 24


def log_ei(mean: Array, variance: Array, best: float) -> tuple[Array, Array, Array]:
    """log EI (m,) and its slopes by mean and by variance.

    With s = h'/h: d/dmean = -s / sigma, d/dvariance = (1 - s z) / (2 variance).
    """
    sigma = np.sqrt(variance)
    z = (best - mean) / sigma
    value, s = np.empty_like(z), np.empty_like(z)
    far, low, high = z < FAR, (z >= FAR) & (z <= 0), z > 0
    # 1 + z m -> 1/z^2 and s -> |z| as z -> -inf
    value[far], s[far] = -0.5 * z[far] ** 2 - LOG_ROOT_2_PI - 2.0 * np.log(-z[far]), -z[far]
    m = math.sqrt(0.5 * math.pi) * erfcx(-z[low] / math.sqrt(2.0))
    rest = 1.0 + z[low] * m
    value[low], s[low] = -0.5 * z[low] ** 2 - LOG_ROOT_2_PI + np.log(rest), m / rest
    below = ndtr(z[high])
    h = np.exp(-0.5 * z[high] ** 2 - LOG_ROOT_2_PI) + z[high] * below
    value[high], s[high] = np.log(h), below / h
    return value + np.log(sigma), -s / sigma, (1.0 - s * z) / (2.0 * variance)


def log_chance(mean: Array, variance: Array) -> tuple[Array, Array, Array]:
    """log P (m,) that trials succeed, and its slopes by mean and by variance of their labels.

    With s = phi(t) / Phi(t): d/dmean = -s / sqrt(variance + DOUBT^2), d/dvariance = -s t / (2 (variance + DOUBT^2)).
    """
    spread = variance + DOUBT**2
    t = (0.5 - mean) / np.sqrt(spread)
    value = log_ndtr(t)
    s = np.exp(-0.5 * t**2 - LOG_ROOT_2_PI - value)
    return value, -s / np.sqrt(spread), -0.5 * s * t / spread


class Layout:
    """What the search needs to know of a space; made once."""

    def __init__(self, space: Space) -> None:
        self.space = space
        axes = space.axes
        self.conditional = any(a.when for a in axes)
        self.sizes = np.array([a.parameter.size for a in axes], dtype=np.int64)
        self.unordered = np.array([a.parameter.unordered for a in axes], dtype=bool)
        self.discrete: list[int] = np.flatnonzero(self.sizes).tolist()
        self.smooth = np.flatnonzero(~self.unordered & ((self.sizes == 0) | (self.sizes > FINE)))
        self.codes = {j: axes[j].parameter.every() for j in self.discrete if self.sizes[j] <= WHOLE}
        self.parents = {parent for a in axes for parent, _ in a.when}
        self.every = space.encode(space.grid()) if space.size <= WHOLE else None

    def real(self, U: Array) -> Array:
        """Latent codes (m, dim) as those of real configurations."""
        out = np.clip(U, 0.0, 1.0)
        for j in self.discrete:
            out[:, j] = self.space.axes[j].parameter.snap(out[:, j])
        return self.space.mask(out) if self.conditional else out


def keys(X: Array) -> list[bytes]:
    """A key for each row of codes."""
    return [row.tobytes() for row in np.round(np.nan_to_num(X, nan=-1.0), 12)]


@dataclass(frozen=True)
class Search:
    """One search for the next configuration. ``parents`` (k, dim) are codes to look around, ``labels`` is the model of
    failures, None where there were none.

    ``U`` are latent codes: an inactive axis has one too, for when its parent changes.
    """

    layout: Layout
    model: Posterior
    best: float
    parents: Array
    labels: Posterior | None = None

    def value(self, X: Array) -> Array:
        """log EI (m,) of codes (m, dim), and the logarithm of the chance of success."""
        model, x = self.model, self.model.embedding.inputs(X)
        told = log_ei(*model.predict(model.scaled(x)), self.best)[0]
        if self.labels is not None:
            told += log_chance(*self.labels.predict(self.labels.scaled(x)))[0]
        return told

    def run(self, taken: set[bytes], rng: np.random.Generator) -> Array | None:
        """Codes (dim,) of the configuration with the largest log EI found that is not taken; None if all are."""
        layout = self.layout
        if layout.every is not None:
            X = layout.every[[k not in taken for k in keys(layout.every)]]
            return X[int(np.argmax(self.value(X)))] if len(X) else None
        U = np.concatenate([rng.random((UNIFORM, layout.space.dim)), self.near(rng)])
        X = layout.real(U)
        told = self.value(X)
        starts = distinct(X, np.argsort(-told, kind="stable"), STARTS)
        U = self.polish(np.where(np.isnan(X[starts]), U[starts], X[starts]))
        U, told = self.climb(U, taken)
        for i in np.argsort(-told, kind="stable"):
            X = layout.real(U[i : i + 1])
            if keys(X)[0] not in taken:
                return np.asarray(X[0])
        return None

    def near(self, rng: np.random.Generator) -> Array:
        """Latent codes (LOCAL, dim) around the parents: a few axes moved, by scales from 0.005 to 0.3."""
        layout, dim = self.layout, self.layout.space.dim
        base = self.parents[np.arange(LOCAL) % len(self.parents)]
        blank = rng.random((LOCAL, dim))
        base = np.where(np.isnan(base), blank, np.clip(base, 0.0, 1.0))
        scale = np.exp(rng.uniform(LEAST, MOST, (LOCAL, 1)))
        moved = rng.random((LOCAL, dim)) < dim ** -rng.random((LOCAL, 1))
        moved[np.arange(LOCAL), rng.integers(dim, size=LOCAL)] = True
        steps = scale + np.where(layout.sizes > 0, 0.75 / np.maximum(layout.sizes, 1), 0.0)
        out = base + steps * rng.standard_normal((LOCAL, dim))
        out = np.where(layout.unordered, blank, np.clip(out, 0.0, 1.0))
        return np.where(moved, out, base)

    def polish(self, U: Array) -> Array:
        """Latent codes (k, dim) moved uphill on the smooth axes, all at once by one L-BFGS-B."""
        smooth, e = self.layout.smooth, self.model.embedding
        if not len(smooth):
            return U
        from scipy.optimize import minimize  # noqa: PLC0415  (a quarter of a second to import)

        x = e.inputs(np.where(np.isnan(self.layout.real(U)), np.nan, U))
        numeric = np.searchsorted(e.numeric, smooth)

        def falling(flat: Array) -> tuple[float, Array]:
            x.t[:, numeric] = flat.reshape(len(U), -1)
            value, slopes = self.with_slopes(x)
            return -float(value.sum()), -slopes[:, numeric].ravel()

        start = U[:, smooth].ravel()
        told: Any = minimize(falling, start, jac=True, method="L-BFGS-B", bounds=[(0.0, 1.0)] * len(start),
                             options={"maxiter": POLISH, "maxls": 8})  # fmt: skip
        out = U.copy()
        out[:, smooth] = told.x.reshape(len(U), -1)
        return out

    def with_slopes(self, x: Inputs) -> tuple[Array, Array]:
        """``value`` (m,) and its slopes (m, p) by the codes of the numeric axes; 0 where inactive."""
        value, slopes = with_slopes(self.model, x, lambda mean, variance: log_ei(mean, variance, self.best))
        if self.labels is not None:
            chance, by = with_slopes(self.labels, x, log_chance)
            value, slopes = value + chance, slopes + by
        return value, slopes

    def climb(self, U: Array, taken: set[bytes]) -> tuple[Array, Array]:
        """Latent codes (k, dim) after steps to the best neighbour on the discrete axes, as long as there is a better
        one, and their log EI; -inf for those that are taken."""
        U = U.copy()
        told = self.free(U, taken)
        going = np.arange(len(U)) if self.layout.discrete else np.arange(0)
        for _ in range(CLIMBS):
            around = [self.neighbours(U[i]) for i in going]
            if not sum(map(len, around)):
                break
            value = self.free(np.concatenate(around), taken)
            at, still = 0, []
            for i, near in zip(going, around, strict=True):
                k = int(np.argmax(value[at : at + len(near)])) if len(near) else 0
                if len(near) and value[at + k] > told[i] + 1e-9:
                    U[i], told[i] = near[k], value[at + k]
                    still.append(i)
                at += len(near)
            going = np.array(still, dtype=np.int64)
            if not len(going):
                break
        return U, told

    def free(self, U: Array, taken: set[bytes]) -> Array:
        """log EI of latent codes, -inf where they mean what is taken."""
        X = self.layout.real(U)
        value = self.value(X)
        value[[k in taken for k in keys(X)]] = -np.inf
        return value

    def neighbours(self, u: Array) -> Array:
        """Latent codes that differ in one active discrete axis: another option, or the next value on either side."""
        layout = self.layout
        active = ~np.isnan(layout.real(u[None])[0])
        out = []
        for j in layout.discrete:
            if not active[j]:
                continue
            parameter, size = layout.space.axes[j].parameter, int(layout.sizes[j])
            now = int(parameter.index(u[j : j + 1])[0])
            if layout.unordered[j] and size <= MOST_OPTIONS:
                others = [k for k in range(size) if k != now]
            else:
                others = [k for k in (now - 1, now + 1) if 0 <= k < size]
            codes = layout.codes[j][others] if j in layout.codes else parameter.codes(parameter.nth(np.array(others)))
            near = np.repeat(u[None], len(others), axis=0)
            near[:, j] = codes
            out.append(near)
        return np.concatenate(out) if out else np.empty((0, len(u)))


def with_slopes(
    model: Posterior, x: Inputs, of: Callable[[Array, Array], tuple[Array, Array, Array]]
) -> tuple[Array, Array]:
    """A function (m,) of a model's mean and variance, and its slopes (m, p) by the codes of the numeric axes."""
    e = model.embedding
    Z = e.features(x, model.shapes)
    A = Z * model.inverse_scales
    mean, variance, kept = model.slopes(A)
    value, by_mean, by_variance = of(mean, variance)
    out = e.pulled(model.backward(A, kept, by_mean, by_variance) * model.inverse_scales, Z)
    if model.shapes.any():
        out *= e.warp_slopes(x, model.shapes)[0]
    return value, out


def distinct(X: Array, order: Index, many: int) -> Index:
    """The first ``many`` rows in the order that are apart from those before them on some axis."""
    chosen: list[int] = []
    X = np.nan_to_num(X, nan=-1.0)
    for i in order[: 20 * many].tolist():
        if not chosen or np.abs(X[chosen] - X[i]).max(axis=1).min() > APART:
            chosen.append(i)
        if len(chosen) == many:
            break
    return np.array(chosen, dtype=np.int64)
