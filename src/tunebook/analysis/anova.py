"""A Gaussian process that splits the loss into one effect a hyperparameter and one a pair of them.

    symbol   shape      meaning
    X        (n, d)     codes of the configurations, NaN where an axis is inactive
    y        (n,)       normal scores of the losses, mean 0, variance 1
    k_j      (n, n)     kernel of axis j, centred: its functions average to 0 over the range; unit mean variance
    a_j, t   (d,), ()   variance of main effect j; strength of the interactions
    K        (n, n)     sum_j a_j k_j + t sum_{i<j} a_i a_j k_i k_j + 1 + noise / weight

The sum over orders is the additive kernel of Duvenaud, Nickisch and Rasmussen (2011), cut after pairs; centring makes
the effects orthogonal, so that their variances are Sobol indices (Lu, Boukouvalas and Hensman 2022, "Additive Gaussian
Processes Revisited"). An axis whose ``a_j`` goes to 0 vanishes from everything. An inactive axis has effect 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack
from scipy.optimize import minimize

from tunebook.space import Array, Space
from tunebook.threads import one_thread

POINTS = 33
LENGTHS = (0.25, 0.5)
MOST_ROWS = 240
_BOUNDS_A, _BOUNDS_T, _BOUNDS_NOISE = (-9.0, 2.0), (-6.0, 2.0), (-6.0, 1.0)


class _Axis:
    """Centred kernel of one axis, on the codes of its ``grid`` (g,)."""

    def __init__(self, space: Space, j: int, length: float) -> None:
        p = space.axes[j].parameter
        self._unordered = p.unordered
        points = p.size if p.unordered else POINTS
        middle = (np.arange(points) + 0.5) / points
        self.grid: Array = p.snap(middle if p.size else np.linspace(0.0, 1.0, points))
        self._length = length
        raw = self._raw(self.grid, self.grid)
        self._mean = float(np.mean(raw))
        self._scale = 1.0
        self._scale = max(float(np.mean(np.diag(self(self.grid, self.grid)))), 1e-9)

    def _raw(self, u: Array, v: Array) -> Array:
        gap = u[:, None] - v[None, :]
        if self._unordered:
            return (np.abs(gap) < 1e-6).astype(np.float64)
        return np.asarray(np.exp(-0.5 * (gap / self._length) ** 2))

    def __call__(self, u: Array, v: Array) -> Array:
        """Kernel matrix (len u, len v); 0 where either is inactive."""
        mu, mv = np.mean(self._raw(u, self.grid), axis=1), np.mean(self._raw(v, self.grid), axis=1)
        k = (self._raw(u, v) - mu[:, None] * mv[None, :] / self._mean) / self._scale
        return np.where(np.isnan(k), 0.0, k)


@dataclass(frozen=True)
class Effects:
    """Shares of the variance of the normal scores: ``main`` (d,), ``pairs`` (d, d) symmetric with zeros on the
    diagonal.

    ``total`` (d,) is main plus all pairs with the axis; ``noise`` what no effect explains.
    """

    main: Array
    pairs: Array
    noise: float

    @property
    def total(self) -> Array:
        return np.asarray(self.main + self.pairs.sum(axis=1))


class Anova:
    """The model, fitted by maximum likelihood to rows ``X`` (n, d) and scores ``y`` (n,). Deterministic."""

    @one_thread
    def __init__(self, space: Space, X: Array, y: Array) -> None:
        self.space = space
        if len(X) > MOST_ROWS:  # cubic in the rows: the best ones and an even draw of the others
            order = np.argsort(y, kind="stable")
            half = MOST_ROWS // 2
            rest = order[half:]
            keep = np.sort(np.concatenate([order[:half], rest[np.linspace(0, len(rest) - 1, half).astype(np.int64)]]))
            X, y = X[keep], y[keep]
        self.X, self.y = X, y
        fits = [self._fit_length(length) for length in LENGTHS]
        self.evidence, self._axes, self._k, self.theta = max(fits, key=lambda f: f[0])
        self._chances = _activity(space)

    def _fit_length(self, length: float) -> tuple[float, list[_Axis], Array, Array]:
        axes = [_Axis(self.space, j, length) for j in range(self.space.dim)]
        k = np.array([a(self.X[:, j], self.X[:, j]) for j, a in enumerate(axes)])
        theta, evidence = self._fit(k, np.ones(len(self.y)), _start(len(axes)), 60)
        return evidence, axes, k, theta

    def _fit(self, k: Array, weight: Array, start: Array, iterations: int) -> tuple[Array, float]:
        square = k**2
        d = len(k)
        bounds = [_BOUNDS_A] * d + [_BOUNDS_T, _BOUNDS_NOISE]
        found = minimize(
            lambda th: _negative_evidence(th, k, square, self.y, weight),
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": iterations},
        )
        return np.asarray(found.x), -float(found.fun)

    @one_thread
    def effects(self) -> Effects:
        """The shares of the fitted model."""
        return self._effects(self.theta, np.ones(len(self.y)))

    @one_thread
    def resampled(self, draws: int, rng: np.random.Generator) -> list[Effects]:
        """Shares under the Bayesian bootstrap (Rubin 1981): rows weighted by exponential variates, refitted."""
        out = []
        for _ in range(draws):
            weight = rng.exponential(size=len(self.y)) + 1e-3
            weight *= len(weight) / weight.sum()
            # from above where it was switched off, or it could not come back
            start = np.maximum(self.theta, _start(len(self._axes)) - 2.0)
            theta, _ = self._fit(self._k, weight, start, 20)
            out.append(self._effects(theta, weight))
        return out

    @one_thread
    def support(self, j: int) -> float:
        """Twice the log likelihood ratio to the model without axis ``j``; about chi-square if it does nothing.

        The reduced model is fitted anew.
        """
        k = np.delete(self._k, j, axis=0)
        if not len(k):
            return 2.0 * (self.evidence - self._nothing())
        return 2.0 * (self.evidence - self._fit(k, np.ones(len(self.y)), np.delete(self.theta, j), 30)[1])

    def _nothing(self) -> float:
        """Log likelihood of noise alone, up to the constant that every evidence here lacks."""
        n = len(self.y)
        factor = _cholesky(np.eye(n) * float(np.mean(self.y**2)) + 1.0)
        return -0.5 * float(self.y @ _solve(factor, self.y)) - float(np.sum(np.log(np.diag(factor))))

    def _effects(self, theta: Array, weight: Array) -> Effects:
        a, t, noise = np.exp(theta[:-2]), float(np.exp(theta[-2])), float(np.exp(theta[-1]))
        alpha = self._alpha(theta, weight)
        d = len(a)
        on_grid = [axis(axis.grid, self.X[:, j]) for j, axis in enumerate(self._axes)]
        main, pairs = np.zeros(d), np.zeros((d, d))
        for i in range(d):
            main[i] = float(np.mean((a[i] * on_grid[i] @ alpha) ** 2)) * self._chances[i, i]
            for j in range(i):
                if a[i] * a[j] * t < 1e-7:
                    continue
                f = t * a[i] * a[j] * (on_grid[i] * alpha) @ on_grid[j].T
                pairs[i, j] = pairs[j, i] = float(np.mean(f**2)) * self._chances[i, j]
        whole = main.sum() + 0.5 * pairs.sum() + noise
        return Effects(main / whole, pairs / whole, noise / whole)

    def _alpha(self, theta: Array, weight: Array) -> Array:
        K = _covariance(theta, self._k, weight)[0]
        return np.asarray(_solve(_cholesky(K), self.y))

    @one_thread
    def profile(self, j: int, around: Array) -> tuple[Array, Array, Array]:
        """How the score changes along axis ``j`` while the other axes stay as in ``around`` (p, d), on average.

        Returns the grid (g,), the posterior mean (g,) and covariance (g, g), both up to a constant along the axis.
        """
        a, t = np.exp(self.theta[:-2]), float(np.exp(self.theta[-2]))
        axis, n = self._axes[j], len(self.y)
        others, own = np.zeros(n), 0.0
        for i, other in enumerate(self._axes):
            if i != j:
                others += a[i] * np.mean(other(around[:, i], self.X[:, i]), axis=0)
                own += a[i] * float(np.mean(other(around[:, i], around[:, i])))
        cross = a[j] * axis(axis.grid, self.X[:, j]) * (1.0 + t * others)
        prior = a[j] * axis(axis.grid, axis.grid) * (1.0 + t * own)
        factor = _cholesky(_covariance(self.theta, self._k, np.ones(n))[0])
        mean = cross @ _solve(factor, self.y)
        return axis.grid, np.asarray(mean), np.asarray(prior - cross @ _solve(factor, cross.T))


def _start(d: int) -> Array:
    return np.array([np.log(0.5 / max(1, d))] * d + [-1.0, np.log(0.4)])


def _covariance(theta: Array, k: Array, weight: Array) -> tuple[Array, Array]:
    a, t, noise = np.exp(theta[:-2]), np.exp(theta[-2]), np.exp(theta[-1])
    first = np.tensordot(a, k, 1)
    second = 0.5 * (first**2 - np.tensordot(a**2, k**2, 1))
    return first + t * second + 1.0 + np.diag(noise / weight), first


def _negative_evidence(theta: Array, k: Array, square: Array, y: Array, weight: Array) -> tuple[float, Array]:
    """Minus the log marginal likelihood and its gradient in the logs of (a, t, noise)."""
    a, t, noise = np.exp(theta[:-2]), float(np.exp(theta[-2])), float(np.exp(theta[-1]))
    n, d = len(y), len(a)
    flat, flat_square = k.reshape(d, n * n), square.reshape(d, n * n)
    first = (a @ flat).reshape(n, n)
    second = 0.5 * (first**2 - ((a * a) @ flat_square).reshape(n, n))
    factor = _cholesky(first + t * second + 1.0 + np.diag(noise / weight))
    alpha = _solve(factor, y)
    inverse = _inverse(factor)
    m = np.outer(alpha, alpha) - inverse
    slope = np.empty(d + 2)
    slope[:d] = a * (flat @ (m * (1.0 + t * first)).ravel() - t * a * (flat_square @ m.ravel()))
    slope[d] = t * float(np.sum(m * second))
    slope[d + 1] = noise * float(np.sum(np.diag(m) / weight))
    value = 0.5 * float(y @ alpha) + float(np.sum(np.log(np.diag(factor))))
    return value, -0.5 * slope


def _cholesky(K: Array) -> Array:
    factor, info = lapack.dpotrf(K, lower=1)
    if info:  # two rows alike and hardly any noise
        factor, info = lapack.dpotrf(K + 1e-6 * np.eye(len(K)), lower=1)
    return np.asarray(factor)


def _solve(factor: Array, b: Array) -> Array:
    return np.asarray(lapack.dpotrs(factor, b, lower=1)[0]).reshape(b.shape)


def _inverse(factor: Array) -> Array:
    low = np.tril(lapack.dpotri(factor, lower=1)[0])
    return np.asarray(low + np.tril(low, -1).T)


def _activity(space: Space) -> Array:
    """(d, d) probability that both axes exist in a uniformly drawn configuration."""
    drawn = space.mask(np.random.default_rng(0).random((1024, space.dim)))
    there: npt.NDArray[np.float64] = (~np.isnan(drawn)).astype(np.float64)
    return np.asarray(there.T @ there / len(drawn))
