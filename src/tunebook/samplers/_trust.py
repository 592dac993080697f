"""A local arm: a quadratic model around the incumbent, in a trust region whose radius follows from the history.

M. J. D. Powell, "The NEWUOA software for unconstrained optimization without derivatives", 2006: of the quadratics that
fit, that with the least curvature, so that fewer values than coefficients do. Here as the mean of a Bayesian regression
(ridge on gradient and curvature), with an error that grows with the cube of the distance as Taylor's remainder does:
values far away count, but little. The region grows and shrinks as in A. R. Conn, N. I. M. Gould, P. L. Toint,
"Trust-region methods", SIAM 2000, section 6.1.

    X (n, d) codes    y (n,) losses    c the incumbent    R the radius    z = (x - c) / R    q(z) = g z + 1/2 z H z
    y - y_c ~ N(q(z), s^2 (FLOOR + e^2 |z|^6))    g ~ N(0, s^2)    H_ij ~ N(0, s^2)    e by the evidence
    k(z, z') = z z' + 1/2 (z z')^2                          the kernel of q
    K = k(Z, Z) + diag(error)    a = K^-1 (y - y_c)    g = Z a    H = sum_i a_i z_i z_i'
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tunebook.space import Array

FIRST, WIDEST, LEAST = 0.3, 0.4, 1e-5
GROW, SHRINK, FAR = 2.0, 0.75, 0.7
KEPT, REMEMBERED = 0.9, 300
STARTS, SAME = 3, 0.02
WIDTHS = (1.0, 0.5, 2.0, 0.25)
FLOOR, REMAINDERS, HUGE = 1e-8, (0.01, 0.03, 0.1, 0.3), 1e100
NEAREST = 90


@dataclass(frozen=True)
class Region:
    """Where the local arm stands: the row of the incumbent, the radius, and the shares of the latest proposals inside
    and outside of the region that improved on the best."""

    best: int
    radius: float
    inside: float
    outside: float


def region(X: Array, y: Array, begin: int) -> Region:
    """The region after losses ``y`` (n,) at ``X`` (n, d) in the order of trials, of which ``begin`` are a start.

    A trial less than a radius from the incumbent of its time was a step: the radius grows after one that went far and
    was better, and shrinks after one that was worse. What was better elsewhere moves the region.
    """
    begin = max(begin, len(y) - REMEMBERED)
    best, radius = int(np.argmin(y[:begin])), FIRST
    told = np.array([[1.0, 2.0], [1.0, 2.0]])
    for i in range(begin, len(y)):
        far = float(np.abs(X[i] - X[best]).max())
        better, outside = bool(y[i] < y[best]), far > 1.001 * radius
        told[int(outside)] *= KEPT
        told[int(outside)] += better, 1.0
        if outside:
            radius = max(radius, min(0.5 * far, FIRST)) if better else radius
        elif not better:
            radius *= SHRINK
        elif far > FAR * radius:
            radius = min(GROW * radius, WIDEST)
        best = i if better else best
    shares = told[:, 0] / told[:, 1]
    return Region(best, radius, float(shares[0]), float(shares[1]))


def due(at: Region, number: int) -> bool:
    """Whether the trial of this number is a step: of four, one is and one is not, and two are if that paid."""
    return at.radius >= LEAST and number % 4 != 0 and (number % 4 == 2 or at.inside >= at.outside)


def quadratic(X: Array, y: Array, best: int, radius: float) -> tuple[Array, Array]:
    """Gradient (d,) and curvature (d, d) in z of the model around row ``best``, at any scale."""
    from scipy.linalg import cho_factor, cho_solve  # noqa: PLC0415  (a quarter of a second to import)

    z = (X - X[best]) / radius
    size = np.einsum("ij,ij->i", z, z)
    near = np.argsort(size, kind="stable")[1 : NEAREST + 1]
    top = float(np.abs(y).max())
    rise = (y / top - y[best] / top if top > HUGE else y - y[best])[near]
    z, size = z[near], size[near]
    k = z @ z.T
    k += 0.5 * k**2
    least, a = math.inf, rise
    for remainder in REMAINDERS:
        K = k + np.diag(FLOOR + remainder**2 * size**3)
        L = cho_factor(K, lower=True)
        found = cho_solve(L, rise)
        # what is left of minus the logarithm of the evidence when s is the likeliest
        value = 0.5 * len(z) * math.log(max(float(rise @ found), 1e-300)) + float(np.log(np.diag(L[0])).sum())
        if value < least:
            least, a = value, found
    g, H = z.T @ a, (z.T * a) @ z
    scale = max(float(np.abs(g).max()), float(np.abs(H).max()), 1e-300)
    return g / scale, H / scale


def step(X: Array, y: Array, at: Region, waiting: Array, rng: np.random.Generator) -> Array | None:
    """Codes (d,) where the model is least within the region; None where the incumbent lies beyond [0, 1].

    Where configurations of the region wait for their outcome, (q, d), the region is another size, so that a batch looks
    nearer and farther; None when that was done.
    """
    c = X[at.best]
    inside = int((np.abs(waiting - c).max(axis=1) <= 1.001 * at.radius).sum()) if len(waiting) else 0
    if inside >= len(WIDTHS) or (c < 0.0).any() or (c > 1.0).any():
        return None
    radius = at.radius * WIDTHS[inside]
    low, high = np.maximum(-1.0, -c / radius), np.minimum(1.0, (1.0 - c) / radius)
    z = _least(*quadratic(X, y, at.best, radius), low, high, rng)
    if np.abs(z).max() < SAME:
        # the model sees nothing better: a look around teaches it more than the same place again
        z = 0.5 * rng.uniform(low, high)
    return np.asarray(np.clip(c + radius * z, 0.0, 1.0))


def _least(g: Array, H: Array, low: Array, high: Array, rng: np.random.Generator) -> Array:
    """Where g z + 1/2 z H z is least in a box around 0, (d,), as far as some starts tell."""
    from scipy.optimize import minimize  # noqa: PLC0415  (a quarter of a second to import)

    def model(z: Array) -> tuple[float, Array]:
        slope = H @ z
        return float(g @ z + 0.5 * z @ slope), g + slope

    starts = [np.zeros(len(g)), np.clip(-g / max(float(np.abs(g).max()), 1e-300), low, high)]
    starts += [rng.uniform(low, high) for _ in range(STARTS)]
    bounds = list(zip(low.tolist(), high.tolist(), strict=True))
    found = [minimize(model, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 60})
             for start in starts]  # fmt: skip
    return np.asarray(min(found, key=lambda told: float(told.fun)).x)
