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
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import erfcx, log_ndtr, ndtr

from tunebook.samplers._embedding import Inputs
from tunebook.samplers._gp import Posterior
from tunebook.samplers._layout import Layout, keys
from tunebook.space import Array

Index = npt.NDArray[np.int64]

LOG_ROOT_2_PI = 0.5 * math.log(2.0 * math.pi)
FAR = -1e4
DOUBT = 0.1
LOCAL, PARENTS, CLIMBS = 300, 6, 6
LEAST, MOST = math.log(0.005), math.log(0.3)
APART = 0.02


def log_ei(mean: Array, variance: Array, best: float) -> tuple[Array, Array, Array]:
    """log EI (m,) and its slopes by mean and by variance.

    With s = h'/h: d/dmean = -s / sigma, d/dvariance = (1 - s z) / (2 variance).
    """
    sigma = np.sqrt(variance)
    z = (best - mean) / sigma
    low, high = np.minimum(z, 0.0), np.maximum(z, 0.0)
    half = -0.5 * z * z - LOG_ROOT_2_PI
    m = math.sqrt(0.5 * math.pi) * erfcx(low * -math.sqrt(0.5))
    # 1 + z m -> 1/z^2 and s -> |z| as z -> -inf
    rest = np.where(low < FAR, 1.0 / np.maximum(low * low, 1.0), 1.0 + low * m)
    below = ndtr(high)
    h = np.exp(-0.5 * high * high - LOG_ROOT_2_PI) + high * below
    value = np.where(z > 0, np.log(h), half + np.log(rest))
    s = np.where(z > 0, below / h, m / rest)
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


class Effort(NamedTuple):
    """How much is looked at: random candidates besides those around the parents, how many of the best are polished,
    in how many steps at most, and by what share the sum of their values has to grow in one."""

    uniform: int
    starts: int
    steps: int
    least: float


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

    effort: ClassVar[Effort] = Effort(200, 4, 10, 1e-3)

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
        U = np.concatenate([rng.random((self.effort.uniform, layout.space.dim)), self.near(rng)])
        X = layout.real(U)
        told = self.value(X)
        starts = distinct(X, np.argsort(-told, kind="stable"), self.effort.starts)
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
                             options={"maxiter": self.effort.steps, "maxls": 8, "ftol": self.effort.least})  # fmt: skip
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
        """Latent codes (k, dim) after steps to the best free neighbour on the discrete axes, as long as there is a
        better one, and their log EI; -inf for those that are taken."""
        U, X = U.copy(), self.layout.real(U)
        told = self.value(X)
        told[[k in taken for k in keys(X)]] = -np.inf
        going = np.arange(len(U) if self.layout.discrete else 0)
        for _ in range(CLIMBS):
            near, row = self.layout.neighbours(U[going])
            if not len(near):
                break
            X = self.layout.real(near)
            value, still = self.value(X), []
            for i, one in enumerate(going.tolist()):
                mine = np.flatnonzero(row == i)
                better = mine[value[mine] > told[one] + 1e-9]
                order = better[np.argsort(-value[better], kind="stable")]
                free = next((k for k in order.tolist() if keys(X[k : k + 1])[0] not in taken), None)
                if free is not None:
                    U[one], told[one] = near[free], value[free]
                    still.append(one)
            going = np.array(still, dtype=np.int64)
            if not len(going):
                break
        return U, told


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
