"""CMA-ES: a normal distribution that learns where to draw from and in which directions, one generation after another.

N. Hansen, A. Ostermeier, Evolutionary Computation 9 (2001); with margins for whole numbers and a distribution of
options, CatCMA with Margin: R. Hamano et al., "CatCMA with Margin: stochastic optimization for continuous, integer, and
categorical variables", GECCO 2025. The arithmetic is the package cmaes'.

The distribution is a fold over the history: each next ``population`` rows, in the order of trials, are a generation.
What the package knows of a draw and the record does not (the number behind a whole number, the coordinate of an
inactive axis, how far outside of the range a draw fell) is had by drawing the trial's solution again from the same
state. Where another sampler, or an older state, proposed the row, its own codes are put in their place.
"""

from __future__ import annotations

import copy
import hashlib
from collections import OrderedDict
from typing import Any

import numpy as np

from tunebook.errors import SettingError
from tunebook.samplers._belief import Belief
from tunebook.samplers._ranking import places
from tunebook.samplers.base import History, Sampler
from tunebook.space import Array, Space
from tunebook.trial import Goal

SPREAD = 0.25
TABLED = 64
KEPT = 4
SAME = 1e-9
NARROW = 1e-5


class CmaesSampler(Sampler):
    """CMA-ES, for numeric spaces with hundreds of trials and more.

    Numbers are one normal distribution, on the scales of the space (lattices of up to 64 values with a margin, so that
    they never freeze); options and yes/no have a probability each. It starts around the default (or the middle of what
    is likely), or anew from a random point where it has converged. ``population`` is 4 + 3 log(dim) unless given.
    Raises SettingError.
    """

    def __init__(self, space: Space, goal: Goal, seed: int = 0, population: int | None = None) -> None:
        super().__init__(space, goal, seed)
        if population is not None and population < 4:
            raise SettingError("a generation has four members at least", where="population", got=repr(population))
        sizes = np.array([a.parameter.size for a in space.axes], dtype=np.int64)
        unordered = np.array([a.parameter.unordered for a in space.axes], dtype=bool)
        options = (sizes == 2) | (unordered & (sizes > 1))
        tabled = ~unordered & (sizes > 2) & (sizes <= TABLED)
        self._x = np.flatnonzero(~unordered & ((sizes == 0) | (sizes > TABLED)))
        self._z, self._c = np.flatnonzero(tabled), np.flatnonzero(options)
        self._codes = [space.axes[j].parameter.every() for j in range(space.dim) if options[j] or tabled[j]]
        self._codes_of = dict(zip(np.flatnonzero(options | tabled).tolist(), self._codes, strict=True))
        self._gauss = np.concatenate([self._x, self._z])
        self._most = int(sizes[self._c].max(initial=0))
        self.population = population or 4 + int(3 * np.log(max(1, space.dim)))
        self._states: OrderedDict[bytes, Any] = OrderedDict()

    def propose(self, n: int, first: int, history: History, pending: Array, rng: np.random.Generator) -> Array:
        out = rng.random((n, self.space.dim))
        if n and len(self._gauss) + len(self._c):
            state = self._state(history)
            for i in range(n):
                self._put(out[i], self._drawn(state, first + i))
            if not len(history) and not len(pending):
                out[0] = np.nan
        return out

    def _state(self, history: History) -> Any:
        """The optimizer after all whole generations; what is cached could be computed again."""
        told, key = hashlib.blake2b(digest_size=16), [b""]
        many = len(history) // self.population
        for g in range(many):
            rows = self._generation(history, g)
            for array in (rows.number, rows.X, rows.losses, rows.excess, rows.budget):
                told.update(array.tobytes())
            key.append(told.digest())
        known = max((g for g in range(many + 1) if key[g] in self._states), default=0)
        state = self._states[key[known]] if known else self._begun(0)
        for g in range(known, many):
            state = self._told(copy.deepcopy(state), self._generation(history, g), g)
        self._states[key[many]] = state
        self._states.move_to_end(key[many])
        while len(self._states) > KEPT:
            self._states.popitem(last=False)
        return state

    def _generation(self, history: History, g: int) -> History:
        return history.at(slice(g * self.population, (g + 1) * self.population))

    def _begun(self, generation: int) -> Any:
        """A new distribution: around the default, later around a random point."""
        from cmaes import CatCMAwM  # noqa: PLC0415  (loads scipy.stats, half a second)

        start = np.random.default_rng([self.seed, generation]).random(self.space.dim)
        if generation == 0:
            start = np.nan_to_num(self.space.encode([self.space.default])[0], nan=0.5)
            belief = Belief(self.space)
            told = np.isfinite(belief.s)
            start[belief.numeric[told]] = np.clip(belief.c[told], 0.0, 1.0)
        d = len(self._gauss)
        return CatCMAwM(
            x_space=[[0.0, 1.0]] * len(self._x) or None,
            z_space=[self._codes_of[int(j)].tolist() for j in self._z] or None,
            c_space=[len(self._codes_of[int(j)]) for j in self._c] or None,
            population_size=self.population,
            mean=start[self._gauss].copy() if d else None,
            sigma=SPREAD if d else None,
            cov=np.eye(d) if d else None,
        )

    def _drawn(self, state: Any, number: int) -> Any:
        """The solution that a state proposes for a trial."""
        state.reseed_rng(int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0]))
        return state.ask()

    def _put(self, row: Array, solution: Any) -> None:
        """Write a solution's codes into a row (dim,)."""
        if len(self._x):
            row[self._x] = solution.x
        if len(self._z):
            row[self._z] = solution.z
        for j, one_hot in zip(self._c.tolist(), solution.c if len(self._c) else (), strict=True):
            row[j] = self._codes_of[j][int(np.argmax(one_hot))]

    def _told(self, state: Any, rows: History, generation: int) -> Any:
        """The state after a generation."""
        solutions = [self._as_solution(state, number, x) for number, x in zip(rows.number, rows.X, strict=True)]
        place = places(rows, self.population // 2).astype(np.float64)
        state.tell(list(zip(solutions, place.tolist(), strict=True)))
        return self._begun(generation + 1) if self._over(state, rows) else state

    def _over(self, state: Any, rows: History) -> bool:
        """Whether the distribution has converged: what it draws is the same to all intents and purposes."""
        if not len(self._gauss):
            return False
        drawn = np.zeros((len(rows), self.space.dim))
        for row, number in zip(drawn, rows.number.tolist(), strict=True):
            self._put(row, self._drawn(state, number))
        return bool(np.ptp(drawn, axis=0).max() < NARROW or state.should_stop())

    def _as_solution(self, state: Any, number: int, x: Array) -> Any:
        """A row of the history as what the state would have to have drawn."""
        from cmaes import CatCMAwM  # noqa: PLC0415

        drawn = self._drawn(state, int(number))
        codes = np.full(self.space.dim, 0.5)
        self._put(codes, drawn)
        codes = self.space.snap(codes[None])[0]
        x = np.where(np.isnan(x), codes, np.clip(x, 0.0, 1.0))
        other = np.abs(x - codes) > SAME  # False where both are inactive
        other |= np.isnan(codes) & ~np.isnan(x)
        raw = drawn._v_raw
        if raw is not None:
            raw = np.where(other[self._gauss], x[self._gauss], raw)
        c = drawn.c
        if len(self._c):
            c = np.array(c)
            for k, j in enumerate(self._c.tolist()):
                if other[j]:
                    c[k] = np.arange(self._most) == int(np.argmin(np.abs(self._codes_of[j] - x[j])))
        return CatCMAwM.Solution(drawn.x, drawn.z, c, raw)
