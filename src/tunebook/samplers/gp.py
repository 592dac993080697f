"""Bayesian optimization with Gaussian processes."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from tunebook.samplers._acquisition import PARENTS, Search
from tunebook.samplers._again import settled, turns
from tunebook.samplers._belief import Belief
from tunebook.samplers._embedding import Embedding
from tunebook.samplers._gp import Posterior, Priors, fit, posterior
from tunebook.samplers._layout import Layout, keys
from tunebook.samplers._transforms import standardised, targets
from tunebook.samplers._trust import due, region, step
from tunebook.samplers._wider import MOST_GOALS, Known, limit_targets, scalarised, wider
from tunebook.samplers.base import LEADING, History, Sampler
from tunebook.samplers.quasi import QuasiSampler
from tunebook.samplers.tpe import TPESampler
from tunebook.space import Array, Space
from tunebook.threads import one_thread
from tunebook.trial import Goal

T = TypeVar("T")
Cache = OrderedDict[tuple[object, ...], T]
Index = npt.NDArray[np.int64]
Kind = Literal["power", "ranks", "failed", "limit", "seconds", "before"]

WARP_FROM = 12
EXPLORING, CHEAP_START = 4, 14
REFITS = ((400, 16), (150, 8), (48, 4), (0, 1))
EACH = 150
FITTED = 260
MODELLED = 500
ANCHORS = tuple(round(4 * 1.3**k) for k in range(50))
FIRST_STEPS, STEPS = 30, 12
KINDS: tuple[Kind, Kind] = ("power", "ranks")
QUIET, NOISY = -9.0, -1.0
GATE = math.log(0.05)
KEPT_FITS, KEPT_MODELS = 64, 4


@dataclass(frozen=True)
class _Rows:
    """What the model learns from: codes ``X`` (n, dim), losses ``y`` (n,), finite, and ``v`` (n,) = 1 / repeats."""

    X: Array
    y: Array
    v: Array

    def __len__(self) -> int:
        return len(self.y)

    def at(self, which: Index | slice) -> _Rows:
        return _Rows(self.X[which], self.y[which], self.v[which])

    def key(self) -> bytes:
        told = hashlib.blake2b(self.X.tobytes(), digest_size=16)
        told.update(self.y.tobytes())
        told.update(self.v.tobytes())
        return told.digest()


class GPSampler(Sampler):
    """Where a Gaussian process expects the most improvement, on mixed and conditional spaces, with noise or without.

    The default configuration comes first, then ``2 + dim // 2`` Sobol points, then two models take turns, by the
    number of the trial: one of power-transformed losses and one whose bad half is squashed to ranks first.
    What fails is modelled by a process of its own: the improvement counts times the probability of success.
    With several goals the improvement is that of the hypervolume, and it counts times the probability of each limit.
    Beliefs (``likely`` in the space) count with a power that fades; ``per_second`` divides by the seconds that a trial
    is expected to take. Where there are earlier studies, a model of their
    scores is what losses are expected to follow, and the process is one of the rest.
    Configurations that were cut short count with the loss that they are taken to end with (``History.ends``).
    While there are such, there are 14 points to begin with, as they are cheap, and one of four proposals is a Sobol
    point: what short trainings say can mislead. Where most of them get nowhere, there are Sobol points (up to 100)
    until one stands out.

    Where all axes are smooth and the fitted noise is at most a twentieth of the variance, one of four proposals is a
    step of a quadratic model around the incumbent (``_trust``), and three are while such steps pay. Elsewhere one of
    three is TPE's, of six where there is little noise: it looks where the processes are wrong.

    On an infinite space, where repeats differ by so much that it matters, up to every second trial is another one of a
    configuration with a good mean (``_again``).

    What is proposed follows from the history alone. Hyperparameters are fitted to the first rows, in the order of
    trials: to all of up to 48, then to all but the last few (``refit_size``), 260 at most, from where a longer fit at
    an earlier number of rows had come. What is cached could be computed again.
    """

    repeats = True

    def __init__(self, space: Space, goal: Goal, seed: int = 0, per_second: bool = False) -> None:
        super().__init__(space, goal, seed)
        self.per_second, self._belief = per_second, Belief(space)
        self._start, self._tpe = QuasiSampler(space, goal, seed), TPESampler(space, goal, seed)
        self._begin = 3 + space.dim // 2
        self._layout = Layout(space)
        self._embedding = Embedding(space)
        self._active = active_axes(space)
        self._fits: Cache[Array] = OrderedDict()
        self._models: Cache[Posterior] = OrderedDict()

    @one_thread
    def propose(self, n: int, first: int, history: History, pending: Array, rng: np.random.Generator) -> Array:
        begin = LEADING if len(history.scores) else max(self._begin, CHEAP_START if history.partial else 0)
        few = len(history) < begin or history.feasible.sum() < 2
        if few or self.space.dim == 0 or history.dark:
            points = self._belief.bent(self._start.points(first, n))
            if n and not len(history) and not len(pending):
                points[0] = np.nan
            return points
        rows, failed = self._rows(history)
        plain = history.plain and not (self.per_second or len(history.scores))
        repeated = turns(history) if plain and math.isinf(self.space.size) else 0
        labels = None
        if not history.feasible.all():
            labels = self._model("failed", failed)
        taken = set(keys(np.concatenate([history.X, pending])))
        out: list[Array] = []
        for i in range(n):
            waiting = np.concatenate([pending, np.array(out).reshape(-1, self.space.dim)])
            kind, found = KINDS[(first + i) % 2], None
            if history.partial and (first + i) % EXPLORING == 0:
                found = self._belief.bent(self._start.points(first + i, 1))[0]
            elif plain:
                again = self._again(rows, history, waiting) if (first + i) % 4 < repeated else None
                if again is not None:
                    out.append(again)
                    continue
                found = self._aside(rows, history, waiting, first + i, rng)
            if found is None or keys(found[None])[0] in taken:
                if plain and not self._belief.any:
                    search = self._search(kind, rows, labels, waiting)
                else:
                    search = self._wider(kind, history.at(history.feasible), labels, waiting, first + i)
                found = search.run(taken, rng)
            if found is None:
                # every configuration that was looked at is taken: the caller goes through what is left
                found = self._layout.real(rng.random((1, self.space.dim)))[0]
            taken.update(keys(found[None]))
            out.append(found)
        return np.array(out).reshape(len(out), self.space.dim)

    def _search(self, kind: Kind, rows: _Rows, labels: Posterior | None, waiting: Array) -> Search:
        """The search for the next proposal by one of the models."""
        model, mean, order = self._believing(kind, rows, waiting)
        parents = rows.X[order][np.argsort(mean, kind="stable")[:PARENTS]]
        return Search(self._layout, model, float(mean.min()), parents, labels)

    def _wider(self, kind: Kind, told: History, labels: Posterior | None, waiting: Array, number: int) -> Search:
        """The same for several goals, each with its own model, or under limits; ``told`` are rows without failures.

        More goals than three become one by weights drawn for the trial.
        """
        losses, v = told.losses.copy(), 1.0 / told.repeats
        losses[:, 0] = told.ends
        if losses.shape[1] > MOST_GOALS:
            losses = scalarised(losses, np.random.default_rng([self.seed, number, 2]))[:, None]
        means, goals = np.full(losses.shape, np.inf), []
        lift, before = 0.0, None
        for j, y in enumerate(losses.T):
            rows = _Rows(told.X, y, v)
            if len(told.scores) and losses.shape[1] == 1:
                before = self._model("before", _Rows(_varied(told.earlier), told.scores, np.ones(len(told.scores))))
                model, mean, order, lift = self._beyond(before, kind, rows, waiting)
            else:
                model, mean, order = self._believing(kind, rows, waiting)
            means[order, j] = mean
            goals.append(model)
        excesses = [_Rows(told.X, excess, v) for excess in told.excess.T]
        limits = [(self._model("limit", rows), limit_targets(rows.y)[1]) for rows in excesses]
        search = wider(self._layout, goals, Known(told.X, means, told.excess), waiting, limits, labels)
        if self._belief.any:
            search = replace(search, belief=self._belief, power=self._belief.weight(len(told)))
        if before is not None:
            search = replace(search, goals=(goals[0], before), lift=lift)
        if self.per_second and told.seconds.any():
            # in units of its own: the model's targets are scaled, and what is wanted is the logarithm itself
            spent = np.log(np.maximum(told.seconds, 1e-3 * told.seconds.max()))
            model = self._model("seconds", _Rows(told.X, spent, v))
            search = replace(search, seconds=model, pace=float(spent.std()))
        return search

    def _beyond(
        self, before: Posterior, kind: Kind, rows: _Rows, waiting: Array
    ) -> tuple[Posterior, Array, Index, float]:
        """The process of what ``before``, a model of earlier scores, leaves unexplained; posterior means of the losses,
        in its units, and ``lift``: how much the score counts in them.

        A stack of two as in D. Golovin et al., "Google Vizier", KDD 2017, section 3.3; the slope by least squares,
        drawn to 1 as by one trial a standard deviation off.
        """
        score = before.predict(before.scaled(self._embedding.inputs(rows.X)))[0]
        y, away = _targets(rows.y, kind), score - score.mean()
        slope = float(np.clip((away @ y + 1.0) / (away @ away + 1.0), 0.0, 2.0))
        left = y - slope * score
        lift = slope / max(float(left.std()), 1e-6)
        model, mean, order = self._believing("before", _Rows(rows.X, left, rows.v), waiting)
        return model, mean + lift * score[order], order, lift

    def _believing(self, kind: Kind, rows: _Rows, waiting: Array) -> tuple[Posterior, Array, Index]:
        """The process given all rows, and what waits as predicted; posterior means of the rows that it holds."""
        model, order = self._model(kind, rows), self._order(rows)
        # at rows that were told, K alpha = y gives the mean without the noise: y - noise v alpha
        mean = _targets(rows.y, kind)[order] - model.noise * rows.v[order] * model.alpha
        believed = model.scaled(self._embedding.inputs(waiting))
        return model.extended(believed, np.ones(len(waiting))), mean, order

    def _again(self, rows: _Rows, history: History, waiting: Array) -> Array | None:
        """Codes (dim,) of the configuration with the best mean that is not waiting nor settled; None without one."""
        _, mean, order = self._believing("power", rows, waiting)
        outside = ((history.X < 0) | (history.X > 1)).any(axis=1)
        out = {*keys(waiting), *keys(history.X[settled(history) | outside])}
        ranked = rows.X[order[np.argsort(mean, kind="stable")]]
        return next((row for row, key in zip(ranked, keys(ranked), strict=True) if key not in out), None)

    def _aside(
        self, rows: _Rows, history: History, waiting: Array, number: int, rng: np.random.Generator
    ) -> Array | None:
        """Codes (dim,) from an arm that is not the process, if it is the turn of one: a step from the incumbent where
        all axes are smooth and there is little noise, else TPE."""
        theta = self._theta("power", rows.at(slice(0, refit_size(len(rows)))))
        quiet = bool(theta[self.space.dim + 1] - theta[self.space.dim] <= GATE)
        if quiet and len(self._layout.smooth) == self.space.dim:
            at = region(rows.X, rows.y, self._begin)
            found = step(rows.X, rows.y, at, waiting, rng) if due(at, number) else None
            return None if found is None else self._layout.real(found[None])[0]
        if number % (6 if quiet else 3) == 2:
            return np.asarray(self._tpe.propose(1, number, history, waiting, rng)[0])
        return None

    def _rows(self, history: History) -> tuple[_Rows, _Rows]:
        """The history as what can be modelled: losses where there are any, and labels, 1 for a failure."""
        sound = history.feasible
        rows = _Rows(history.X[sound], history.ends[sound], 1.0 / history.repeats[sound])
        return rows, _Rows(history.X, (~history.feasible).astype(np.float64), np.ones(len(history)))

    def _order(self, rows: _Rows) -> Index:
        """Which rows the model holds, in its order: those it was factored with, then the newer ones."""
        n = len(rows)
        m = refit_size(n)
        return np.concatenate([some(rows.y[:m], MODELLED), np.arange(m, n)])

    def _model(self, kind: Kind, rows: _Rows) -> Posterior:
        """The process given all rows."""
        n, m = len(rows), refit_size(len(rows))
        theta = self._theta(kind, rows.at(slice(0, m)))
        held = self._order(rows)
        first = held[: len(held) - (n - m)]

        def factored() -> Posterior:
            return posterior(self._embedding, theta, self._embedding.inputs(rows.X[first]), rows.v[first])

        key = (theta.tobytes(), rows.at(first).key())
        model = _cached(self._models, KEPT_MODELS, key, factored)
        newer = slice(m, n)
        model = model.extended(model.scaled(self._embedding.inputs(rows.X[newer])), rows.v[newer])
        return model.told(_targets(rows.y, kind)[held])

    def _theta(self, kind: Kind, rows: _Rows) -> Array:
        """Hyperparameters fitted to rows."""

        def fitted() -> Array:
            anchor = max((a for a in ANCHORS if a <= len(rows)), default=len(rows))
            start = self._anchored(kind, rows.at(slice(0, anchor)))
            return start if anchor == len(rows) <= EACH else self._fit(kind, rows, FITTED, start, STEPS)[0]

        return _cached(self._fits, KEPT_FITS, ("warm", kind, rows.key()), fitted)

    def _anchored(self, kind: Kind, rows: _Rows) -> Array:
        """Hyperparameters fitted from nothing, once with little and once with much noise to explain the data by."""

        def fitted() -> Array:
            priors = self._priors(len(rows))
            starts = [priors.start(noise) for noise in (QUIET, NOISY)]
            told = [self._fit(kind, rows, EACH, start, FIRST_STEPS) for start in starts]
            return min(told, key=lambda t: t[1])[0]

        return _cached(self._fits, KEPT_FITS, ("anchor", kind, rows.key()), fitted)

    def _fit(self, kind: Kind, rows: _Rows, most: int, start: Array, steps: int) -> tuple[Array, float]:
        y = _targets(rows.y, kind)
        which = some(rows.y, most)
        inputs = self._embedding.inputs(rows.X[which])
        return fit(self._priors(len(rows)), inputs, y[which], rows.v[which], start, steps)

    def _priors(self, n: int) -> Priors:
        return Priors(self._embedding, self._active, n >= WARP_FROM)


def active_axes(space: Space) -> float:
    """How many axes a configuration has on average."""
    drawn = space.mask(np.random.default_rng(0).random((256, space.dim)))
    return float((~np.isnan(drawn)).sum(axis=1).mean())


def _targets(y: Array, kind: Kind) -> Array:
    """What a process is told of losses, labels or excesses."""
    if kind == "limit":
        return limit_targets(y)[0]
    if kind in ("seconds", "before"):
        return standardised(y)
    return y if kind == "failed" else targets(y, kind == "ranks")


def _varied(X: Array) -> Array:
    """Codes (n, dim) of earlier studies, random where all are alike: what they did not have, or did not vary, they say
    nothing about, and the model is to find that out."""
    out = X.copy()
    for j in range(X.shape[1]):
        there = ~np.isnan(X[:, j])
        if there.any() and np.ptp(X[there, j]) == 0:
            out[there, j] = np.random.default_rng(j).random(int(there.sum()))
    return out


def refit_size(n: int) -> int:
    """How many of ``n`` rows the hyperparameters are fitted to.

    >>> [refit_size(n) for n in (20, 49, 151, 403, 1000)]
    [20, 48, 144, 400, 992]
    """
    return n - n % next(step for least, step in REFITS if n >= least)


def some(y: Array, most: int) -> Index:
    """Up to ``most`` of the rows, in order: those with the best third of the losses, and others evenly."""
    n = len(y)
    if n <= most:
        return np.arange(n)
    best = np.argsort(y, kind="stable")[: most // 3]
    rest = np.setdiff1d(np.arange(n), best)
    evenly = rest[np.linspace(0, len(rest) - 1, most - len(best)).astype(np.int64)]
    return np.sort(np.concatenate([best, evenly]))


def _cached(cache: Cache[T], most: int, key: tuple[object, ...], make: Callable[[], T]) -> T:
    """What ``make`` gives, kept by a key that decides it."""
    if key not in cache:
        cache[key] = make()
    cache.move_to_end(key)
    while len(cache) > most:
        cache.popitem(last=False)
    return cache[key]
