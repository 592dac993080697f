"""A space as arrays for the search on it: what real configurations are, and which are one step from another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tunebook.space import Array, Space

Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

FINE = 16
WHOLE = 600
MOST_OPTIONS = 24


class Layout:
    """What the search needs to know of a space; made once.

    ``smooth`` are the axes to climb along with slopes: continuous ones and long lattices. ``discrete`` are those with a
    number of values. ``every`` holds the codes of all configurations where they are few.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        axes = space.axes
        self.sizes = np.array([a.parameter.size for a in axes], dtype=np.int64)
        self.unordered = np.array([a.parameter.unordered for a in axes], dtype=bool)
        self.discrete: list[int] = np.flatnonzero(self.sizes).tolist()
        self.smooth = np.flatnonzero(~self.unordered & ((self.sizes == 0) | (self.sizes > FINE)))
        parents = {parent for a in axes for parent, _ in a.when}
        tabled = [j for j in self.discrete if self.sizes[j] <= WHOLE or j in parents]
        self._codes = {j: axes[j].parameter.every() for j in tabled}
        # a code belongs to the value whose slice it is in: values are counted by the upper ends below it
        self._ends = {j: axes[j].parameter.slices(codes)[1][:-1] for j, codes in self._codes.items()}
        self._when = self._conditions()
        free = [j for j in self.discrete if self.unordered[j] and self.sizes[j] <= MOST_OPTIONS]
        self._option_axis = np.repeat(np.array(free, dtype=np.int64), self.sizes[free])
        self._option = np.concatenate([self._codes[j] for j in free]) if free else np.empty(0)
        self._stepped = np.array([j for j in self.discrete if j not in free], dtype=np.int64)
        self.every = space.encode(space.grid()) if space.size <= WHOLE else None

    def _conditions(self) -> list[tuple[Index, list[tuple[int, Mask]]]]:
        """Columns that share their conditions, with these: (parent, allowed), False added for an inactive parent."""
        groups: dict[tuple[tuple[int, bytes], ...], tuple[list[int], list[tuple[int, Mask]]]] = {}
        for j, axis in enumerate(self.space.axes):
            if axis.when:
                known = tuple((parent, allowed.tobytes()) for parent, allowed in axis.when)
                rules = [(parent, np.append(allowed, False)) for parent, allowed in axis.when]
                groups.setdefault(known, ([], rules))[0].append(j)
        return [(np.array(columns), rules) for columns, rules in groups.values()]

    def real(self, U: Array) -> Array:
        """Latent codes (m, dim) as those of real configurations: clipped, on the lattices, inactive ones NaN."""
        out = np.minimum(np.maximum(U, 0.0), 1.0)
        where: dict[int, Index] = {}
        for j in self.discrete:
            if j in self._codes:
                where[j] = self._ends[j].searchsorted(out[:, j], side="right")
                out[:, j] = self._codes[j][where[j]]
            else:
                out[:, j] = self.space.axes[j].parameter.snap(out[:, j])
        off: dict[int, Mask] = {}
        for columns, rules in self._when:
            gone = np.zeros(len(out), dtype=bool)
            for parent, allowed in rules:
                gone |= ~allowed[where[parent]]
                if parent in off:
                    gone |= off[parent]
            off.update((j, gone) for j in columns.tolist())
            out[np.flatnonzero(gone)[:, None], columns] = np.nan
        return out

    def neighbours(self, U: Array) -> tuple[Array, Index]:
        """Latent codes (k, dim) that differ from a row of ``U`` (m, dim) in one active discrete axis, by another option
        or by the next value on either side, and the rows that they differ from, (k,), in order."""
        X = self.real(U)
        options = X[:, self._option_axis]
        codes = np.concatenate([np.broadcast_to(self._option, options.shape), *self._beside(X)], axis=1)
        axis = np.concatenate([self._option_axis, self._stepped, self._stepped])
        other = (options != self._option) & ~np.isnan(options)
        sound = np.concatenate([other, ~np.isnan(codes[:, len(self._option) :])], axis=1)
        row, which = np.nonzero(sound)
        out = U[row]
        out[np.arange(len(row)), axis[which]] = codes[row, which]
        return out, row

    def _beside(self, X: Array) -> tuple[Array, Array]:
        """Codes of the values before and after those of ``X``, on the axes that are stepped through; NaN for none."""
        below, above = np.full((2, len(X), len(self._stepped)), np.nan)
        for k, j in enumerate(self._stepped.tolist()):
            here = np.flatnonzero(~np.isnan(X[:, j]))
            now = self._index(j, X[here, j])
            low, high = now > 0, now < self.sizes[j] - 1
            below[here[low], k] = self._code(j, now[low] - 1)
            above[here[high], k] = self._code(j, now[high] + 1)
        return below, above

    def _index(self, j: int, column: Array) -> Index:
        if j in self._ends:
            return self._ends[j].searchsorted(column, side="right")
        return self.space.axes[j].parameter.index(column)

    def _code(self, j: int, at: Index) -> Array:
        if j in self._codes:
            return np.asarray(self._codes[j][at])
        parameter = self.space.axes[j].parameter
        return parameter.codes(parameter.nth(at)) if len(at) else np.empty(0)


def keys(X: Array) -> list[bytes]:
    """A key for each row of codes."""
    return [row.tobytes() for row in np.round(np.where(np.isnan(X), -1.0, X), 12)]
