"""Grid search, coarse to fine: every combination of a few values an axis, then ever finer grids around the best."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import chain, count, product

import numpy as np

from tunebook.errors import SettingError
from tunebook.samplers._halton import Halton
from tunebook.samplers._ranking import places
from tunebook.samplers._variation import keys
from tunebook.samplers.base import History, Sampler
from tunebook.space import Array, Space
from tunebook.trial import Goal

TOLERANCE = 1e-9
FINEST = 20
BLOCK = 128


class GridSampler(Sampler):
    """Visits ``Space.grid(points)``, then grids around the best so far, each ``finer`` one with half the spacing.

    An axis with more than ``points`` values is reduced to that many, spread evenly on its scale, with both ends; the
    options of an unordered choice are all taken. The points come in the order in which a scrambled Halton sequence
    falls into their cells, so that the first of them are an even picture of all axes.

    A finer grid has three values an active axis: the best one and one on either side, with the options of the best.
    When a better one is found it is the centre, and the spacing is again that of the first finer grid. What was
    evaluated before, in whatever way, is not proposed again, and when all is known there is no more. With ``finer=0``
    there is the coarse grid only. Raises SettingError for settings that cannot be.
    """

    def __init__(self, space: Space, goal: Goal, seed: int = 0, points: int = 3, finer: int = FINEST) -> None:
        super().__init__(space, goal, seed)
        if isinstance(points, bool) or not isinstance(points, int) or points < 1:
            raise SettingError("points must be a positive whole number", where="points", got=repr(points))
        if isinstance(finer, bool) or not isinstance(finer, int) or not 0 <= finer <= FINEST:
            raise SettingError("finer is the number of finer grids", where="finer", got=repr(finer),
                               expected=f"0 to {FINEST}")  # fmt: skip
        self.points, self.finer = points, finer
        self._ladders = [np.array([a.parameter.encode(v) for v in a.parameter.ladder(points)]) for a in space.axes]
        self._walk = self._spread()
        self._walked: list[tuple[bytes, Array]] = []

    def propose(self, n: int, first: int, history: History, pending: Array, rng: np.random.Generator) -> Array:
        told = np.concatenate([history.X, pending])
        coarse = {rungs.tobytes() for rungs in self._rungs(told)}
        known = set(keys(told))
        found: list[Array] = []
        new = (units for key, units in self._cells() if key not in coarse)
        for units in chain(new, self._finer(history)):
            if len(found) == n:
                break
            key = keys(units[None])[0]
            if key not in known:
                known.add(key)
                found.append(units)
        return np.array(found, dtype=np.float64).reshape(len(found), self.space.dim)

    def _finer(self, history: History) -> Iterator[Array]:
        """The points of the grids around the best, coarser ones first."""
        if not history.feasible.any():
            return
        best = np.clip(history.X[np.argmin(places(history))], 0.0, 1.0)
        numeric = [not a.parameter.unordered and not np.isnan(u) for a, u in zip(self.space.axes, best, strict=True)]
        if not any(numeric):
            return
        for level in range(1, self.finer + 1):
            reach = 0.5**level / max(self.points - 1, 1)
            steps = [(0.0, -reach, reach) if free else (0.0,) for free in numeric]
            for step in product(*steps):
                yield self.space.snap((best + step)[None])[0]

    def _cells(self) -> Iterator[tuple[bytes, Array]]:
        """The grid from its start, each with its key; what was walked once is kept."""
        yield from self._walked
        for cell in self._walk:
            self._walked.append(cell)
            yield cell

    def _spread(self) -> Iterator[tuple[bytes, Array]]:
        """Each point of the grid once, with its key: as even points fall into cells, at last those that none hit."""
        seen: set[bytes] = set()
        for units in chain(self._drawn(seen), (self.space.encode([c]) for c in self.space.grid(self.points))):
            for cell, row in zip(self._rungs(units), units, strict=True):
                key = cell.tobytes()
                if key not in seen:
                    seen.add(key)
                    yield key, row

    def _drawn(self, seen: Collection[bytes]) -> Iterator[Array]:
        """Blocks of the grid's points (n, dim) in an even order, with repeats, until a whole block told nothing new."""
        if not self.space.dim:
            return
        halton = Halton(self.space.dim, np.random.default_rng([self.seed]))
        many = np.array([len(rungs) for rungs in self._ladders])
        for first in count(0, BLOCK):
            at = (halton.points(first, BLOCK) * many).astype(np.int64)
            before = len(seen)
            yield self.space.mask(np.column_stack([r[i] for r, i in zip(self._ladders, at.T, strict=True)]))
            if len(seen) == before:
                return

    def _rungs(self, units: Array) -> Array:
        """Which rung of each axis' ladder the codes (n, dim) stand on: -1 where inactive, -2 between rungs."""
        out = np.full(units.shape, -2.0)
        for j, ladder in enumerate(self._ladders):
            at = np.clip(np.searchsorted(ladder, units[:, j] - TOLERANCE), 0, len(ladder) - 1)
            on = np.abs(ladder[at] - units[:, j]) <= TOLERANCE
            out[:, j] = np.where(on, at, np.where(np.isnan(units[:, j]), -1, -2))
        return out
