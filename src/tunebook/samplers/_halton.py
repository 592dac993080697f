"""Scrambled Halton points, computed from their index alone.

J. H. Halton, Numerische Mathematik 2 (1960): coordinate j of point i is the radical inverse of i in the j-th prime
base b: the digits of i, mirrored at the point. Scrambled by random linear digit maps, J. Matousek, J. Complexity 14
(1998): digit k becomes (a_k * digit + c_k) mod b with a_k in 1..b-1 and c_k in 0..b-1, a permutation since b is prime.

    b (d,) bases    a, c (digits, d) of the maps    place (digits, d) b^-(k+1), 0 beyond double precision
"""

from __future__ import annotations

import math

import numpy as np

from tunebook.space import Array

BITS = 54


class Halton:
    """The sequence in ``d`` dimensions that ``rng`` scrambles."""

    def __init__(self, d: int, rng: np.random.Generator) -> None:
        self.b = primes(d)
        many = np.ceil(BITS / np.log2(self.b)).astype(np.int64)
        k = np.arange(many[0])[:, None]
        self.place = np.where(k < many, np.power(self.b, -(k + 1.0)), 0.0)
        self.a = rng.integers(1, self.b, size=(len(k), d))
        self.c = rng.integers(0, self.b, size=(len(k), d))

    def points(self, first: int, n: int) -> Array:
        """Points ``first``, ... of the sequence: (n, d) in [0, 1)."""
        rest = np.repeat(np.arange(first, first + n)[:, None], len(self.b), axis=1)
        out = np.zeros(rest.shape)
        for a, c, place in zip(self.a, self.c, self.place, strict=True):
            rest, digit = np.divmod(rest, self.b)
            out += (a * digit + c) % self.b * place
        return np.minimum(out, 1 - 2.0**-53)


def primes(n: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The first ``n`` primes.

    >>> primes(5).tolist()
    [2, 3, 5, 7, 11]
    """
    top = max(12, math.ceil(n * (math.log(n + 1) + math.log(math.log(n + 2)) + 1)))
    sieve = np.ones(top + 1, dtype=bool)
    sieve[:2] = False
    for p in range(2, math.isqrt(top) + 1):
        if sieve[p]:
            sieve[p * p :: p] = False
    return np.flatnonzero(sieve)[:n]
