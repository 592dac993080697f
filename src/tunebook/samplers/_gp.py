"""A Gaussian process with a Matern-5/2 kernel, its hyperparameters by maximum a posteriori.

C. E. Rasmussen, C. K. I. Williams, "Gaussian Processes for Machine Learning", MIT Press 2006 (equation numbers below).
Length-scale prior: C. Hvarfner, E. O. Hellsten, L. Nardi, "Vanilla Bayesian optimization performs great in high
dimensions", ICML 2024: LogNormal(sqrt 2 + log(D)/2, sqrt 3), whose scale grows with the dimension D. It is a density
of l, not of log l, so that its mode is at log l = sqrt 2 + log(D)/2 - 3: short scales unless data ask for long ones.

    Z (n, f) features    l (g,) length scales    A (n, f) = Z / l    R2_ij = |A_i - A_j|^2    r = sqrt R2
    k(r) = s2 (1 + sqrt5 r + 5/3 r^2) exp(-sqrt5 r)                    (4.17)
    K = k(R) + noise diag(v)    v (n,) = 1 / repeats    L = chol K    alpha = K^-1 y    root = L^-1
    theta (g + 2 + 2p,) = log l, log s2, log noise, then log a and log b of the warp (log: all are positive)

    loss(theta) = 1/2 y alpha + sum log diag L - log prior             (5.8, and 2.30)
    M = dloss/dK = 1/2 (K^-1 - alpha alpha')                           (5.9)
    W_ij = M_ij dk/dR2    dloss/dA = 4 (diag(W 1) A - W A)             one product for all scales and the warp
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from tunebook.samplers._embedding import Embedding, Inputs
from tunebook.space import Array

ROOT_5 = math.sqrt(5.0)
SCALE_SD, NOISE_MEAN, NOISE_SD, WARP_SD = math.sqrt(3.0), -5.0, 4.0, 0.4
LOG_SCALE, LOG_VARIANCE, LOG_NOISE, LOG_SHAPE = (-4.0, 9.0), (-5.0, 5.0), (-16.0, 2.0), (-1.5, 1.5)
JITTER = 1e-9
BROKEN = 1e25


def matern(r2: Array, s2: float) -> tuple[Array, Array]:
    """k and dk/dR2 of squared distances of any shape: dk/dR2 = -5/6 s2 (1 + sqrt5 r) exp(-sqrt5 r). ``r2`` is spent."""
    np.maximum(r2, 0.0, out=r2)
    r2 *= 5.0
    u = np.sqrt(r2)
    e = np.negative(u)
    np.exp(e, out=e)
    e *= s2
    u += 1.0
    r2 /= 3.0
    r2 += u
    r2 *= e
    u *= e
    u *= -5.0 / 6.0
    return r2, u


def squared_distances(A: Array, B: Array) -> Array:
    """|A_i - B_j|^2, (n, m); a little below 0 by rounding."""
    out = A @ B.T
    out *= -2.0
    out += np.einsum("ij,ij->i", A, A)[:, None]
    out += np.einsum("ij,ij->i", B, B)
    return out


@dataclass(frozen=True)
class Priors:
    """What is fixed of a model: the embedding, ``active`` (how many axes a configuration has on average), whether the
    inputs are warped, and the bounds of log noise."""

    embedding: Embedding
    active: float
    warped: bool
    noise: tuple[float, float] = LOG_NOISE

    @property
    def mean(self) -> Array:
        """Modes of the priors, as if all were normal in theta."""
        e = self.embedding
        scale = math.sqrt(2.0) + 0.5 * math.log(max(self.active, 1.0)) - SCALE_SD**2
        return np.concatenate([np.full(e.dim, scale), [0.0, NOISE_MEAN], np.zeros(2 * e.p)])

    @property
    def sd(self) -> Array:
        """Prior standard deviations of theta."""
        e = self.embedding
        return np.concatenate([np.full(e.dim, SCALE_SD), [1.0, NOISE_SD], np.full(2 * e.p, WARP_SD)])

    @property
    def bounds(self) -> list[tuple[float, float]]:
        e = self.embedding
        shape = LOG_SHAPE if self.warped else (0.0, 0.0)
        return [LOG_SCALE] * e.dim + [LOG_VARIANCE, self.noise] + [shape] * (2 * e.p)

    def start(self, noise: float) -> Array:
        """A place to begin: scales of the prior's lower half, where data can still be told apart."""
        out = self.mean
        out[: self.embedding.dim] = 0.5 * math.log(max(self.active, 1.0))
        out[self.embedding.dim + 1] = noise
        return out


class Evidence:
    """The negative log posterior of theta and its gradient, on inputs (n) with targets ``y`` (n,)."""

    def __init__(self, priors: Priors, x: Inputs, y: Array, v: Array) -> None:
        self.priors, self.x, self.y, self.v = priors, x, y, v
        self.mean, self.sd = priors.mean, priors.sd
        from scipy.linalg import blas, lapack  # noqa: PLC0415  (a quarter of a second to import)

        self.blas, self.lapack = blas, lapack

    def __call__(self, theta: Array) -> tuple[float, Array]:
        e, n, d = self.priors.embedding, len(self.y), self.priors.embedding.dim
        shapes = theta[d + 2 :].reshape(2, e.p)
        s2, noise = math.exp(theta[d]), math.exp(theta[d + 1])
        Z = e.features(self.x, shapes)
        A = Z * np.exp(-theta[:d])[e.axis]
        K, slope = matern(squared_distances(A, A), s2)
        own = noise * self.v
        np.einsum("ii->i", K)[:] = s2 * (1.0 + JITTER) + own
        L, info = self.lapack.dpotrf(K.T, lower=1, overwrite_a=1, clean=0)
        if info != 0:
            return BROKEN, np.zeros_like(theta)
        alpha, _ = self.lapack.dpotrs(L, self.y, lower=1)
        away = (theta - self.mean) / self.sd
        fits = float(self.y @ alpha)
        value = 0.5 * fits + np.log(np.einsum("ii->i", L)).sum() + 0.5 * away @ away
        # dpotri fills one triangle, and only that is read
        M = self.lapack.dpotri(L, lower=1, overwrite_c=1)[0].T
        M -= alpha[:, None] * alpha
        grad = away / self.sd
        by_noise = 0.5 * float(np.einsum("ii->i", M) @ own)
        # sum of M o (K - noise) is what is left of 1/2 (n - y alpha)
        grad[d] += 0.5 * (n - fits) - by_noise
        grad[d + 1] += by_noise
        slope *= M
        across = self.blas.dsymm(2.0, slope.T, np.column_stack([A, np.ones(n)]), lower=1)
        G = across[:, -1:] * A - across[:, :-1]
        grad[:d] -= np.einsum("ij,ij->j", G, A) @ e.by_axis
        if self.priors.warped and e.p:
            w = e.pulled(G * np.exp(-theta[:d])[e.axis], Z)
            _, by_a, by_b = e.warp_slopes(self.x, shapes)
            grad[d + 2 : d + 2 + e.p] += np.einsum("ij,ij->j", w, by_a)
            grad[d + 2 + e.p :] += np.einsum("ij,ij->j", w, by_b)
        return float(value), grad


def fit(priors: Priors, x: Inputs, y: Array, v: Array, start: Array, steps: int) -> tuple[Array, float]:
    """theta after ``steps`` iterations of L-BFGS-B from ``start``, and its loss."""
    from scipy.optimize import minimize  # noqa: PLC0415  (a quarter of a second to import)

    evidence = Evidence(priors, x, y, v)
    low, high = np.array(priors.bounds).T
    told = minimize(evidence, np.clip(start, low, high), jac=True, method="L-BFGS-B",
                    bounds=priors.bounds, options={"maxiter": steps, "maxls": 8})  # fmt: skip
    return np.asarray(told.x, dtype=np.float64), float(told.fun)


@dataclass(frozen=True)
class Posterior:
    """The process given data: mean and variance of the function anywhere.

    ``y`` and ``alpha`` (n,) of the rows whose outcome is known; rows after them are believed to turn out as predicted
    (D. Ginsbourger et al., kriging believer, 2010), which leaves the mean as it is: their alpha is 0.
    """

    embedding: Embedding
    theta: Array
    A: Array
    root: Array
    alpha: Array

    @property
    def s2(self) -> float:
        return math.exp(self.theta[self.embedding.dim])

    @property
    def noise(self) -> float:
        return math.exp(self.theta[self.embedding.dim + 1])

    @property
    def shapes(self) -> Array:
        return self.theta[self.embedding.dim + 2 :].reshape(2, self.embedding.p)

    @property
    def inverse_scales(self) -> Array:
        """1 / l for each feature, (f,)."""
        return np.asarray(np.exp(-self.theta[: self.embedding.dim])[self.embedding.axis])

    def scaled(self, x: Inputs) -> Array:
        """Features over length scales, (m, f)."""
        return np.asarray(self.embedding.features(x, self.shapes) * self.inverse_scales)

    def predict(self, A: Array) -> tuple[Array, Array]:
        """Mean and variance (m,) of the function at scaled features (m, f): equations 2.25 and 2.26."""
        k, _ = matern(squared_distances(A, self.A), self.s2)
        return k[:, : len(self.alpha)] @ self.alpha, self._variance(k @ self.root.T)

    def _variance(self, V: Array) -> Array:
        return np.asarray(np.maximum(self.s2 - np.einsum("ij,ij->i", V, V), 1e-12 * self.s2), dtype=np.float64)

    def slopes(self, A: Array) -> tuple[Array, Array, tuple[Array, Array]]:
        """As ``predict``, and what ``backward`` needs: dk/dR2 (m, n) and K^-1 k (m, n)."""
        k, dk = matern(squared_distances(A, self.A), self.s2)
        V = k @ self.root.T
        return k[:, : len(self.alpha)] @ self.alpha, self._variance(V), (dk, V @ self.root)

    def backward(self, A: Array, kept: tuple[Array, Array], by_mean: Array, by_variance: Array) -> Array:
        """Slopes (m, f) with respect to A of a function whose slopes by mean and variance are given, (m,):

        dmean/dA_i = 2 sum_j alpha_j dk_ij (A_i - A_j)    dvariance/dA_i = -4 sum_j (K^-1 k_i)_j dk_ij (A_i - A_j)
        """
        dk, U = kept
        P = U * (-4.0 * by_variance[:, None])
        P[:, : len(self.alpha)] += 2.0 * by_mean[:, None] * self.alpha
        P *= dk
        return np.asarray(P.sum(axis=1)[:, None] * A - P @ self.A)

    def extended(self, A: Array, v: Array) -> Posterior:
        """With rows (q, f) whose outcome is believed: the inverse factor grows by a block, O(q n^2)."""
        q, n = len(A), len(self.A)
        if q == 0:
            return self
        across, _ = matern(squared_distances(A, self.A), self.s2)
        K, _ = matern(squared_distances(A, A), self.s2)
        np.einsum("ii->i", K)[:] = self.s2 + self.noise * v + JITTER * self.s2
        side = across @ self.root.T
        corner = inverse_factor(K - side @ side.T, self.s2)
        root = np.zeros((n + q, n + q))
        root[:n, :n], root[n:, n:] = self.root, corner
        root[n:, :n] = -corner @ (side @ self.root)
        return replace(self, A=np.concatenate([self.A, A]), root=root)

    def told(self, y: Array) -> Posterior:
        """With the outcomes of the first len(y) rows."""
        n = len(y)
        root = self.root[:n, :n]
        return replace(self, alpha=root.T @ (root @ y))


def inverse_factor(K: Array, s2: float) -> Array:
    """L^-1 (n, n), lower; with as much added to the diagonal as it takes, at least the jitter."""
    from scipy.linalg import lapack  # noqa: PLC0415  (a quarter of a second to import)

    for extra in (0.0, 1e-8, 1e-6, 1e-4, 1e-2):
        L, info = lapack.dpotrf(K + extra * s2 * np.eye(len(K)), lower=1, clean=1)
        if info == 0:
            return np.ascontiguousarray(lapack.dtrtri(L, lower=1)[0])
    return np.eye(len(K)) / math.sqrt(s2 + float(np.abs(K).max()))


def posterior(embedding: Embedding, theta: Array, x: Inputs, v: Array) -> Posterior:
    """The process on inputs (n), before any outcome is told."""
    blank = Posterior(embedding, theta, np.empty((0, embedding.f)), np.empty((0, 0)), np.empty(0))
    A = blank.scaled(x)
    K, _ = matern(squared_distances(A, A), blank.s2)
    np.einsum("ii->i", K)[:] = blank.s2 + blank.noise * v + JITTER * blank.s2
    return replace(blank, A=A, root=inverse_factor(K, blank.s2))
