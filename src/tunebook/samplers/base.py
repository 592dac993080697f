"""What a sampler is: a fold over finished trials that proposes configurations.

The law, which ``tunebook.testing.check_sampler`` tests:

``tell(a); tell(b)`` equals ``tell(a + b)``; ``ask`` depends only on
what was told, what is pending, the seed and the number of the first new trial; a batch holds no configuration twice,
nor one that is pending, nor (on a finite space, until it is exhausted) one that was evaluated. On an infinite one a
sampler that says so (``repeats``) may evaluate a configuration again, to learn more of it than one noisy value.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import ClassVar, NamedTuple, final

import numpy as np
import numpy.typing as npt

from tunebook.samplers._partial import carried, in_the_dark, levels
from tunebook.space import Array, Config, Float, Space
from tunebook.trial import Goal, Status, Trial, config_key

REDRAWS = 64
LEADING = 3
EXPLORED = 1711
RESAMPLED, STRIDE = 0.1, 0.15
_OWN = 6  # rows of a table's facts before the losses


@dataclass(frozen=True)
class History:
    """What is known, one row a configuration in the order of its first trial.

    ``number`` (n,) of the first trial; ``X`` (n, dim) codes, NaN where inactive, beyond [0, 1] for configurations of an
    earlier, wider space; ``budget`` (n,) the furthest step; ``feasible`` (n,) whether any trial of it succeeded;
    ``repeats`` (n,) the number of trials in the means: ``losses`` (n, m) of the goals, minimised, ``excess`` (n, k)
    beyond the limits, 0 or less within them, both inf where infeasible, and ``seconds`` (n,) that a trial took.
    ``ends`` (n,) are the losses of the first goal as they would be at the furthest step of all: see ``_partial``
    (the losses themselves if not given).
    ``spread`` (n,) is the sum of squares around their mean of the losses of the first goal, and ``whole`` (n,) says
    whether all trials of it came to their end (0 and True if not given).
    ``dark`` says that of trials that were cut short most got nowhere and none stands out.
    ``earlier`` (e, dim) are codes of what other studies tried, and ``scores`` (e,) how good it was there: standard
    normal, small is good.
    """

    number: npt.NDArray[np.int64]
    X: Array
    losses: Array
    budget: npt.NDArray[np.int64]
    feasible: npt.NDArray[np.bool_]
    repeats: npt.NDArray[np.int64]
    excess: Array
    seconds: Array
    ends: Array = field(default_factory=lambda: np.empty(0))
    earlier: Array = field(default_factory=lambda: np.empty((0, 0)))
    scores: Array = field(default_factory=lambda: np.empty(0))
    spread: Array = field(default_factory=lambda: np.empty(0))
    whole: npt.NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=bool))
    dark: bool = False

    def __post_init__(self) -> None:
        n = len(self.number)
        if len(self.ends) != n:
            object.__setattr__(self, "ends", self.losses[:, 0].copy())
        if len(self.spread) != n:
            object.__setattr__(self, "spread", np.zeros(n))
        if len(self.whole) != n:
            object.__setattr__(self, "whole", np.ones(n, dtype=bool))

    def __len__(self) -> int:
        return len(self.number)

    @property
    def y(self) -> Array:
        """The losses (n,) of the first goal."""
        return np.asarray(self.losses[:, 0])

    @cached_property
    def partial(self) -> bool:
        """Whether trials were left at different steps."""
        reached = self.budget[self.feasible]
        return bool(len(reached)) and bool(reached.min() != reached.max())

    @property
    def plain(self) -> bool:
        """Whether there is one goal, and no limit."""
        return (self.losses.shape[1], self.excess.shape[1]) == (1, 0)

    def at(self, which: slice | npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> History:
        """Some of the rows."""
        whole = ("earlier", "scores", "dark")  # what has no rows of these
        rows = {f.name: getattr(self, f.name)[which] for f in fields(self) if f.name not in whole}
        return replace(self, **rows)


class _Told(NamedTuple):
    """What counts of a trial: its step, losses and excesses, seconds, and whether it came to its end."""

    step: int
    numbers: tuple[float, ...]
    seconds: float
    whole: bool


class _Table:
    """One row a configuration, kept up to date as trials are told, so that a suggestion need not read all again."""

    def __init__(self, dim: int, goal: Goal) -> None:
        self.goal, self.goals, self.limits = goal, len(goal.metrics), len(goal.limits)
        self.furthest: list[Trial | None] = []
        self.seen: list[dict[int, float]] = []
        self.at: dict[str, int] = {}
        self.configs: dict[bytes, Config] = {}
        self.trials: list[dict[int, _Told]] = []
        self.units = np.empty((16, dim))
        self.facts = np.empty((_OWN + self.goals + self.limits, 16))

    def __contains__(self, key: str) -> bool:
        return key in self.at

    def __len__(self) -> int:
        return len(self.at)

    def add(self, key: str, config: Config, units: Array) -> None:
        row = self.at[key] = len(self.at)
        if row == len(self.units):
            self.units = np.concatenate([self.units, np.empty_like(self.units)])
            self.facts = np.concatenate([self.facts, np.empty_like(self.facts)], axis=1)
        self.units[row] = units
        self.configs[units.tobytes()] = config
        self.trials.append({})
        self.furthest.append(None)
        self.seen.append({})

    def put(self, key: str, trial: Trial) -> None:
        """A trial of the configuration came as far as it did; replaces what it had told before."""
        row = self.at[key]
        trials = self.trials[row]
        numbers = (*trial.losses(self.goal), *trial.excess(self.goal))
        trials[trial.number] = _Told(trial.step, numbers, trial.seconds, trial.status is Status.COMPLETED)
        before = self.furthest[row]
        if before is None or before.number == trial.number or trial.step > before.step:
            self.furthest[row], self.seen[row] = trial, {}
        # repeats on smaller budgets say something else: only the furthest count
        budget = max(t.step for t in trials.values())
        order = [trials[k] for k in sorted(trials) if trials[k].step == budget]
        sound = [t.numbers for t in order if all(map(math.isfinite, t.numbers))]
        means = [sum(x) / len(sound) for x in zip(*sound, strict=True)] if sound else [math.inf] * len(numbers)
        spread = sum((told[0] - means[0]) ** 2 for told in sound)
        spent = sum(t.seconds for t in order) / len(order)
        self.facts[:, row] = min(trials), budget, len(sound), spent, spread, all(t.whole for t in order), *means

    def history(self) -> History:
        n = len(self)
        first, order = self.facts[0, :n], np.arange(n)
        if (first[1:] > first[:-1]).all():
            facts, units = self.facts[:, :n].copy(), self.units[:n]  # rows of units are only added
        else:
            order = np.argsort(first, kind="stable")
            facts, units = self.facts[:, order], self.units[order]
        counts, feasible, whole = facts[:3].astype(np.int64), np.isfinite(facts[_OWN]), facts[5] > 0
        ends = self.ends(order, counts[1], facts[_OWN])
        for values in (counts, units, facts, feasible, whole, ends):  # and so are views of them
            values.flags.writeable = False
        number, budget, repeats = counts
        losses, excess = facts[_OWN : _OWN + self.goals].T, facts[_OWN + self.goals :].T
        return History(number, units, losses, budget, feasible, repeats, excess, facts[3], ends, spread=facts[4],
                       whole=whole)  # fmt: skip

    def ends(self, order: npt.NDArray[np.int64], budget: npt.NDArray[np.int64], losses: Array) -> Array:
        """Losses (n,) of rows in an order, carried to the furthest step; inf where infeasible."""
        sound = np.isfinite(losses)
        reached = budget[sound]
        if not len(reached) or reached.min() == reached.max():
            return losses
        steps = levels(reached)
        at = np.full((len(order), len(steps)), np.nan)
        for i in np.flatnonzero(sound):
            at[i] = [self.loss_at(order[i], step) if step <= budget[i] else np.nan for step in steps.tolist()]
        ends = carried(at)
        return np.where(np.isnan(ends), losses, ends)

    def loss_at(self, row: int, step: int) -> float:
        """The loss that the furthest trial of a row had at a step; NaN where it had not measured yet."""
        trial, seen = self.furthest[row], self.seen[row]
        if step not in seen and trial is not None:
            loss = trial.losses(self.goal, step)[0]
            seen[step] = loss if math.isfinite(loss) else math.nan
        return seen[step]


class Sampler(ABC):
    """Proposes configurations of ``space`` that may do well on ``goal``. Subclasses write ``propose``, nothing else.

    ``repeats`` says that a known configuration among the proposals, as its row of ``History.X``, is meant.
    """

    repeats: ClassVar[bool] = False

    def __init__(self, space: Space, goal: Goal, seed: int = 0) -> None:
        self.space, self.goal, self.seed = space, goal, seed
        self._table = _Table(space.dim, goal)
        self._history: History | None = None
        self._earlier: dict[str, tuple[Config, float]] = {}

    @final
    def warm(self, configs: Iterable[Config], scores: Iterable[float]) -> None:
        """Take in what earlier studies tried, with a score for each: standard normal, small is good.

        The best three are proposed before anything else. What has no place in the space is left out.
        """
        for told, score in zip(configs, scores, strict=True):
            config = self.space.adapt(told)
            if config is not None:
                self._earlier[config_key(config)] = config, score
        self._history = None

    @final
    def tell(self, trials: Iterable[Trial]) -> None:
        """Take in trials that ended or paused; a trial told again replaces what was known of it.

        Trials of an earlier space are taken over by ``Space.adapt``; those that have no place in this one are left out.
        """
        known: list[tuple[str, Trial]] = []
        new: dict[str, Config] = {}
        for trial in trials:
            config = self.space.adapt(trial.config)
            if config is not None and (trial.curve or trial.status is Status.FAILED):
                key = config_key(config)
                known.append((key, trial))
                if key not in self._table:
                    new[key] = config
        for key, units in zip(new, self.space.encode(new.values()), strict=True):
            self._table.add(key, new[key], units)
        for key, trial in known:
            self._table.put(key, trial)
            self._history = None

    @final
    def ask(self, n: int, pending: Sequence[Config], first: int) -> list[Config]:
        """Up to ``n`` new configurations, for trials ``first``, ``first + 1``, ...; fewer when the space is exhausted.

        ``pending`` are the configurations that are running or wait.
        """
        waiting = [c for c in (self.space.adapt(p) for p in pending) if c is not None]
        units = self.space.encode(waiting)
        rng = np.random.default_rng([self.seed, first])
        drawn = self.propose(n, first, self.history, units, rng)[:n]
        taken = {config_key(c) for c in waiting}
        configs: list[Config] = [*self.space.decode(drawn)] if len(drawn) else []
        if self.repeats and math.isinf(self.space.size):
            # to the last bit, which codes need not keep
            configs = [self._table.configs.get(row.tobytes(), c) for row, c in zip(drawn, configs, strict=True)]
        return self._distinct([*self._leading(taken), *configs][:n], taken, first)

    @property
    @final
    def history(self) -> History:
        """What has been told, as arrays."""
        if self._history is None:
            told = self._table.history()
            if told.partial and in_the_dark(self.told, self.goal):
                told = replace(told, dark=True)
            if self._earlier:
                configs, scores = zip(*self._earlier.values(), strict=True)
                told = replace(told, earlier=self.space.encode(configs), scores=np.array(scores, dtype=np.float64))
            self._history = told
        return self._history

    @abstractmethod
    def propose(self, n: int, first: int, history: History, pending: Array, rng: np.random.Generator) -> Array:
        """Codes (n, dim) of proposals, pure; fewer rows when there is nothing left. Inactive columns are ignored.

        ``first`` is the number of the first new trial, ``pending`` (q, dim) the codes of what is running.
        """

    @property
    @final
    def told(self) -> list[Trial]:
        """The trial of each configuration that came furthest, with its curve."""
        return [t for t in self._table.furthest if t is not None]

    def explore(self, config: Config, number: int) -> Config:
        """The configuration of trial ``number``, which goes on from a trial with ``config``: numbers that can change
        while a training runs (real ones) move by a normal step of 0.15 of their range, by its logarithm where the range
        has one, or are drawn anew with a chance of 1 in 10.

        M. Jaderberg et al., "Population based training of neural networks", arXiv 1711.09846, section 4.1, who multiply
        by 0.8 or 1.2: in the ten comparisons of a training a learning rate that has to fall by 100 cannot.
        """
        names = self.mutable(config)
        if not names:
            return config
        rng = np.random.default_rng([self.seed, number, EXPLORED])
        units = self.space.encode([config])
        columns = [self.space.names.index(n) for n in names]
        steps = units[0, columns] + STRIDE * rng.standard_normal(len(names))
        anew = rng.random(len(names)) < RESAMPLED
        units[0, columns] = np.where(anew, rng.random(len(names)), np.clip(steps, 0.0, 1.0))
        told = self.space.decode(units)[0]
        return {**config, **{n: told[n] for n in names}}

    def mutable(self, config: Config) -> list[str]:
        """What of a configuration may change while a training runs: its real numbers."""
        return [n for n, p in self.space.parameters.items() if isinstance(p, Float) and n in config]

    def _distinct(self, configs: Sequence[Config], taken: set[str], first: int) -> list[Config]:
        """The configurations with repetitions replaced by random ones, as long as there are any that are new.

        What replaces a proposal depends on its trial's number, not on its place in the batch.
        """
        out: list[Config] = []
        for i, proposal in enumerate(configs):
            again = self.repeats and math.isinf(self.space.size)
            told = ((c, config_key(c)) for c in self._instead(proposal, taken, first + i))
            key, config = config_key(proposal), proposal
            if key in taken or (key in self._table and not again):
                found = next(((c, k) for c, k in told if k not in taken and k not in self._table), None)
                if found is None:
                    break
                config, key = found
            taken.add(key)
            out.append(config)
        return out

    def _leading(self, taken: set[str]) -> list[Config]:
        """The best of earlier studies, inside the space, that was not tried in this one."""
        best = sorted(self._earlier.values(), key=lambda told: told[1])[:LEADING]
        inside = self.space.decode(self.space.encode([config for config, _ in best])) if best else []
        return [config for config in inside if not self._known(config, taken)]

    def _known(self, config: Config, taken: set[str]) -> bool:
        key = config_key(config)
        return key in taken or key in self._table

    def _instead(self, proposal: Config, taken: set[str], number: int) -> Iterator[Config]:
        """The proposal, random configurations, and at last a walk through all there are."""
        yield proposal
        rng = np.random.default_rng([self.seed, number, REDRAWS])
        yield from self.space.decode(rng.random((REDRAWS, self.space.dim)))
        # a grid with more points on an axis than there are known configurations holds a new one, if any exists
        yield from self.space.grid(len(taken) + len(self._table) + 2)
