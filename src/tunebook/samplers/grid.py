"""Grid search: every combination of a few values an axis, in a fixed order, then nothing more."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tunebook.errors import SettingError
from tunebook.samplers.base import History, Sampler
from tunebook.space import Array, Space
from tunebook.trial import Goal

TOLERANCE = 1e-9


class GridSampler(Sampler):
    """Walks ``Space.grid(points)`` and ends when each of its configurations was proposed.

    An axis with more than ``points`` values is reduced to that many, spread evenly on its scale; the options of an
    unordered choice are all taken. What was evaluated before, in whatever way, is not proposed again. Raises
    SettingError for ``points`` below 1.
    """

    def __init__(self, space: Space, goal: Goal, seed: int = 0, points: int = 3) -> None:
        super().__init__(space, goal, seed)
        if isinstance(points, bool) or not isinstance(points, int) or points < 1:
            raise SettingError("points must be a positive whole number", where="points", got=repr(points))
        self.points = points
        self._ladders = [np.array([a.parameter.encode(v) for v in a.parameter.ladder(points)]) for a in space.axes]
        self._walk = space.grid(points)
        self._walked: list[tuple[bytes, Array]] = []

    def propose(self, n: int, first: int, history: History, pending: Array, rng: np.random.Generator) -> Array:
        known = {rungs.tobytes() for rungs in self._rungs(np.concatenate([history.X, pending]))}
        found: list[Array] = []
        for key, units in self._cells():
            if len(found) == n:
                break
            if key not in known:
                found.append(units)
        return np.array(found, dtype=np.float64).reshape(len(found), self.space.dim)

    def _cells(self) -> Iterator[tuple[bytes, Array]]:
        """The grid from its start, each with its key; what was walked once is kept."""
        yield from self._walked
        for config in self._walk:
            units = self.space.encode([config])
            self._walked.append((self._rungs(units)[0].tobytes(), units[0]))
            yield self._walked[-1]

    def _rungs(self, units: Array) -> Array:
        """Which rung of each axis' ladder the codes (n, dim) stand on: -1 where inactive, -2 between rungs."""
        out = np.full(units.shape, -2.0)
        for j, ladder in enumerate(self._ladders):
            at = np.clip(np.searchsorted(ladder, units[:, j] - TOLERANCE), 0, len(ladder) - 1)
            on = np.abs(ladder[at] - units[:, j]) <= TOLERANCE
            out[:, j] = np.where(on, at, np.where(np.isnan(units[:, j]), -1, -2))
        return out
