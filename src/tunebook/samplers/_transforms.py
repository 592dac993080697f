"""Transforms that make a loss and its inputs more like a draw from a stationary Gaussian process.

Half-rank squash of bad losses: X. Song et al., "The Vizier Gaussian process bandit algorithm", arXiv:2408.11527 (2024).
Yeo-Johnson: I.-K. Yeo, R. A. Johnson, Biometrika 87 (2000). Input warp: J. Snoek et al., "Input warping for Bayesian
optimization of non-stationary functions", ICML 2014, with the distribution of P. Kumaraswamy, J. Hydrology 46 (1980).

    y (n,) losses    m their median    s root mean square of m - y over the good half (y <= m)    lam the power
    t (n, p) codes in [0, 1]    a, b (p,) shapes of the warp    w (n, p) = 1 - (1 - t^a)^b
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from tunebook.space import Array

POWERS = np.linspace(-2.0, 3.0, 26)
EDGE = 1e-6
FAR = 1e8


def by_good_half(y: Array) -> Array:
    """Losses (n,) shifted and scaled so that the good half lies around -1: (y - m) / s, large values cut."""
    top = np.abs(y).max(initial=0.0)
    y = y / top if top > 1e100 else y
    m = np.median(y)
    good = y[y <= m]
    s = float(np.sqrt(np.mean((good - m) ** 2)))
    s = s if s > 1e-12 * max(float(np.abs(m)), 1e-280) else float(np.std(y))
    return np.asarray(np.clip((y - m) / s, -FAR, FAR) if s > 0 else np.zeros_like(y))


def half_rank(y: Array) -> Array:
    """Losses (n,) as ``by_good_half`` gives them, the bad half replaced by normal quantiles of its ranks.

    y_i -> ndtri((r_i - 1/2) / n) for y_i > 0, with r_i the mean rank among ties, 1 the best.
    """
    _, which, many = np.unique(y, return_inverse=True, return_counts=True)
    rank = (np.cumsum(many) - 0.5 * (many - 1))[which]
    return np.where(y > 0, np.maximum(ndtri((rank - 0.5) / len(y)), 0.0), y)


def yeo_johnson(y: Array, lam: Array | float) -> Array:
    """The power transform, Yeo and Johnson's equation 2.1; shapes broadcast."""
    y, lam = np.broadcast_arrays(np.asarray(y, dtype=np.float64), np.asarray(lam, dtype=np.float64))
    size, power = np.log1p(np.abs(y)), np.where(y >= 0, lam, 2.0 - lam)
    flat = np.abs(power) < 1e-9
    grown = np.where(flat, size, np.expm1(power * size) / np.where(flat, 1.0, power))
    return np.where(y >= 0, grown, -grown)


def likeliest_power(y: Array) -> float:
    """The power with the largest profile likelihood of normal data, Yeo and Johnson's equation 3.1, by a fine grid:

    l(lam) = -n/2 log var(yj(y, lam)) + (lam - 1) sum sign(y) log(|y| + 1)
    """
    spread = yeo_johnson(y[None], POWERS[:, None]).var(axis=1)
    scale = float(np.sum(np.sign(y) * np.log1p(np.abs(y))))
    told = -0.5 * len(y) * np.log(np.maximum(spread, 1e-300)) + (POWERS - 1.0) * scale
    # a weak pull to no transform: ten losses say little about a power
    return float(POWERS[int(np.argmax(told - 0.5 * (POWERS - 1.0) ** 2))])


def standardised(y: Array) -> Array:
    """Mean 0 and standard deviation 1; zeros where all are equal."""
    s = float(y.std())
    return np.asarray((y - y.mean()) / s if s > 1e-12 else np.zeros_like(y))


def targets(y: Array, squash: bool) -> Array:
    """Losses (n,), finite, as the targets of a Gaussian process: with or without the half-rank squash."""
    y = by_good_half(y)
    y = half_rank(y) if squash else y
    return standardised(yeo_johnson(y, likeliest_power(y)))


def losses(y: Array, t: Array) -> Array:
    """What losses the targets ``t`` (m,) stand for, those of all losses being ``targets(y, False)``: its inverse."""
    scaled = by_good_half(y)
    lam = likeliest_power(scaled)
    told = yeo_johnson(scaled, lam)
    raw = _from_yeo_johnson(told.mean() + max(float(told.std()), 1e-300) * t, lam)
    low, high = int(np.argmin(y)), int(np.argmax(y))
    span = scaled[high] - scaled[low]
    rise = (y[high] / span - y[low] / span) if span > 0 else 0.0
    return np.asarray(y[low] + (np.clip(raw, -FAR, FAR) - scaled[low]) * rise)


def _from_yeo_johnson(t: Array, lam: float) -> Array:
    """The inverse of ``yeo_johnson``; infinite beyond its range."""
    power = np.where(t >= 0, lam, 2.0 - lam)
    size, flat = np.abs(t), np.abs(power) < 1e-9
    base = np.maximum(1.0 + power * size, 1e-300)
    with np.errstate(over="ignore"):
        out = np.where(flat, np.expm1(np.minimum(size, 700.0)), np.power(base, 1.0 / np.where(flat, 1.0, power)) - 1.0)
    return np.where(t >= 0, out, -out)


def _inner(t: Array) -> Array:
    return np.asarray(np.minimum(np.maximum(t, EDGE), 1.0 - EDGE))


def warp(t: Array, a: Array, b: Array) -> Array:
    """Kumaraswamy's distribution function."""
    return np.asarray(-np.expm1(b * np.log1p(-np.power(_inner(t), a))))


def warp_slopes(t: Array, a: Array, b: Array) -> tuple[Array, Array, Array]:
    """Derivatives (n, p) of the warp with respect to t, log a and log b.

    dw/dt = a b t^(a-1) (1 - t^a)^(b-1)    dw/dlog a = a b t^a (1 - t^a)^(b-1) log t
    dw/dlog b = -b (1 - t^a)^b log(1 - t^a)
    """
    t = _inner(t)
    log_t = np.log(t)
    power = np.exp(a * log_t)
    rest = np.log1p(-power)
    left = np.exp(b * rest)
    common = a * b * power * left / (1.0 - power)
    return common / t, common * log_t, -b * left * rest
