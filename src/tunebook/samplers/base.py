"""What a sampler is: a fold over finished trials that proposes configurations.

The law, which ``tunebook.testing.check_sampler`` tests:

``tell(a); tell(b)`` equals ``tell(a + b)``; ``ask`` depends only on
what was told, what is pending, the seed and the number of the first new trial; a batch holds no configuration twice,
nor one that is pending, nor (on a finite space, until it is exhausted) one that was evaluated.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from tunebook.space import Array, Config, Space
from tunebook.trial import Goal, Status, Trial, config_key

REDRAWS = 64


@dataclass(frozen=True)
class History:
    """What is known, one row a configuration in the order of its first trial.

    ``number`` (n,) of the first trial; ``X`` (n, dim) codes, NaN where inactive, beyond [0, 1] for configurations of an
    earlier, wider space; ``y`` (n,) mean loss, minimised, inf where infeasible; ``budget`` (n,) the furthest step;
    ``feasible`` (n,) whether any trial of it succeeded; ``repeats`` (n,) the number of trials in the mean.
    """

    number: npt.NDArray[np.int64]
    X: Array
    y: Array
    budget: npt.NDArray[np.int64]
    feasible: npt.NDArray[np.bool_]
    repeats: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.number)


@dataclass
class _Row:
    number: int
    units: Array
    trials: dict[int, Trial]


class Sampler(ABC):
    """Proposes configurations of ``space`` that may do well on ``goal``. Subclasses write ``propose``, nothing else."""

    def __init__(self, space: Space, goal: Goal, seed: int = 0) -> None:
        self.space, self.goal, self.seed = space, goal, seed
        self._rows: dict[str, _Row] = {}
        self._history: History | None = None

    @final
    def tell(self, trials: Iterable[Trial]) -> None:
        """Take in trials that ended or paused; a trial told again replaces what was known of it.

        Trials of an earlier space are taken over by ``Space.adapt``; those that have no place in this one are left out.
        """
        for trial in trials:
            config = self.space.adapt(trial.config)
            if config is None or not (trial.curve or trial.status is Status.FAILED):
                continue
            key = config_key(config)
            if key not in self._rows:
                self._rows[key] = _Row(trial.number, self.space.encode([config])[0], {})
            self._rows[key].trials[trial.number] = trial
            self._history = None

    @final
    def ask(self, n: int, pending: Sequence[Config], first: int) -> list[Config]:
        """Up to ``n`` new configurations, for trials ``first``, ``first + 1``, ...; fewer when the space is exhausted.

        ``pending`` are the configurations that are running or wait.
        """
        waiting = [c for c in (self.space.adapt(p) for p in pending) if c is not None]
        units = self.space.encode(waiting)
        rng = np.random.default_rng([self.seed, first])
        drawn = self.propose(n, first, self.history, units, rng)
        taken = {config_key(c) for c in waiting}
        return self._distinct(self.space.decode(self.space.mask(drawn)) if len(drawn) else [], taken, rng)

    @property
    @final
    def history(self) -> History:
        """What has been told, as arrays."""
        if self._history is None:
            self._history = self._table()
        return self._history

    @abstractmethod
    def propose(self, n: int, first: int, history: History, pending: Array, rng: np.random.Generator) -> Array:
        """Codes (n, dim) of proposals, pure; fewer rows when there is nothing left. Inactive columns are ignored.

        ``first`` is the number of the first new trial, ``pending`` (q, dim) the codes of what is running.
        """

    def _table(self) -> History:
        rows = sorted(self._rows.values(), key=lambda r: r.number)
        n = len(rows)
        y, budget = np.full(n, np.inf), np.zeros(n, dtype=np.int64)
        repeats = np.zeros(n, dtype=np.int64)
        for i, row in enumerate(rows):
            # repeats on smaller budgets say something else: only the furthest count
            budget[i] = max(t.step for t in row.trials.values())
            losses = [t.loss(self.goal) for t in row.trials.values() if t.step == budget[i]]
            sound = [x for x in losses if math.isfinite(x)]
            repeats[i] = len(sound)
            if sound:
                y[i] = sum(sound) / len(sound)
        return History(
            number=np.array([r.number for r in rows], dtype=np.int64),
            X=np.array([r.units for r in rows], dtype=np.float64).reshape(n, self.space.dim),
            y=y,
            budget=budget,
            feasible=np.isfinite(y),
            repeats=repeats,
        )

    def _distinct(self, configs: Sequence[Config], taken: set[str], rng: np.random.Generator) -> list[Config]:
        """The configurations with repetitions replaced by random ones, as long as there are any that are new."""
        out: list[Config] = []
        known = taken | set(self._rows)
        for config in configs:
            for _ in range(REDRAWS):
                if config_key(config) not in known:
                    break
                config = self.space.decode(rng.random((1, self.space.dim)))[0]  # noqa: PLW2901
            else:
                left = self._left_over(known)
                if left is None:
                    break
                config = left  # noqa: PLW2901
            known.add(config_key(config))
            out.append(config)
        return out

    def _left_over(self, known: set[str]) -> Config | None:
        """Some configuration of a finite space that is not known yet; None when there is none."""
        if math.isinf(self.space.size):
            return self.space.decode(np.random.default_rng([self.seed, len(known)]).random((1, self.space.dim)))[0]
        return next((c for c in self.space.grid() if config_key(c) not in known), None)
