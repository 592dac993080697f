"""How evolutionary samplers make new configurations of old ones, on codes.

    u (dim,) latent codes: an axis that is inactive has one too, for when its parent changes
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tunebook.samplers._belief import Belief
from tunebook.samplers.base import Sampler
from tunebook.samplers.quasi import QuasiSampler
from tunebook.space import Array, Space

STEP = 0.2
ANEW = 0.1
TRIES = 8


def filled(X: Array, rng: np.random.Generator) -> Array:
    """Latent codes of rows of codes: inside [0, 1], random where inactive."""
    return np.where(np.isnan(X), rng.random(X.shape), np.clip(X, 0.0, 1.0))


def changed(space: Space, u: Array, j: int, rng: np.random.Generator) -> float:
    """Another code for axis ``j``: another option, or a number some way off, which is another value of a lattice."""
    p = space.axes[j].parameter
    if p.size == 1:
        return float(u[j])
    if p.size and p.unordered:
        now = int(p.index(u[j : j + 1])[0])
        other = (now + rng.integers(1, p.size)) % p.size
        return float(p.codes(p.nth(np.array([other])))[0])
    if rng.random() < ANEW:
        return float(rng.random())
    step = STEP * rng.standard_normal()
    if p.size:
        low, high = p.slices(u[j : j + 1])
        step += np.copysign(float(high[0] - low[0]) * 0.75, step)
    told = u[j] + step
    return float(np.clip(-told if told < 0 else 2.0 - told if told > 1 else told, 0.0, 1.0))


def keys(X: Array) -> list[bytes]:
    """A key for each row of codes (n, dim)."""
    return [row.tobytes() for row in np.rint(np.nan_to_num(X, nan=-1.0) * 2.0**30)]


def unknown(space: Space, make: Callable[[], Array], known: set[bytes]) -> Array:
    """What ``make`` gives, latent codes (dim,), that is no configuration in ``known``, if a few tries lead to one."""
    for _ in range(TRIES):
        child = make()
        if keys(space.snap(child[None]))[0] not in known:
            break
    return child


def start(sampler: Sampler, quasi: QuasiSampler, first: int, n: int, known: int) -> Array:
    """The first generation: the default configuration where nothing is known, and quasi-random points, bent to where
    good values are believed to be."""
    points = Belief(sampler.space).bent(quasi.points(first, n))
    if n and not known:
        points[0] = np.nan
    return points


def generator(sampler: Sampler, number: int) -> np.random.Generator:
    """The randomness of one trial: what is proposed for it does not depend on its place in a batch."""
    return np.random.default_rng([sampler.seed, number, 1])
