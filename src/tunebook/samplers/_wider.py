"""What an acquisition may take into account beside the improvement of one loss: several goals, limits, what a person
believes, and how long a trial takes.

Expected hypervolume improvement: M. Emmerich, K. Giannakoglou, B. Naujoks, IEEE Transactions on Evolutionary
Computation 10 (2006), over disjoint boxes as in K. Yang et al., J. Global Optimization 75 (2019); its logarithm as in
S. Ament et al., NeurIPS 2023. With h(z) = phi(z) + z Phi(z), and a box from l to u in the loss with mean mu, sd sigma:

    EHVI = sum over boxes of the product over losses of psi    psi = sigma (h(zu) - h(zl)), z = (bound - mu) / sigma
    dpsi/dmu = -(Phi(zu) - Phi(zl))    dpsi/dvariance = (phi(zu) - phi(zl)) / (2 sigma)
    with s = h'/h and q = h(zl) / h(zu):  Phi = s h, phi = (1 - z s) h

Limits: the logarithm of the probability of each, M. A. Gelbart, J. Snoek, R. P. Adams, UAI 2014. Seconds: improvement a
second, J. Snoek, H. Larochelle, R. P. Adams, "Practical Bayesian optimization of machine learning algorithms", NeurIPS
2012, section 3.2.

    X (c, dim) codes    Y (n, m) targets of the goals    low, high (k, m) ends of the boxes
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
from scipy.special import log_ndtr

from tunebook.pareto import boxes, crowding, front, ranks
from tunebook.samplers._acquisition import LOG_ROOT_2_PI, PARENTS, Effort, Search, log_chance, log_ei, with_slopes
from tunebook.samplers._belief import Belief
from tunebook.samplers._embedding import Inputs
from tunebook.samplers._gp import Posterior
from tunebook.samplers._layout import Layout
from tunebook.space import Array

Of = Callable[[Array, Array], tuple[Array, Array, Array]]

ROOM = 0.1
MOST_ON_FRONT = {2: 40, 3: 14}
MOST_GOALS = 3
TINY = 1e-6


@dataclass(frozen=True)
class Boxes:
    """The region that is not beaten yet, below a reference point."""

    low: Array
    high: Array

    @classmethod
    def of(cls, Y: Array, spread: Array) -> Boxes:
        """Of targets (n, m). The reference point is a tenth of the front's range beyond its worst (of ``spread`` (m,)
        where the front has none)."""
        Y = Y[front(Y)]
        most = MOST_ON_FRONT[Y.shape[1]]
        if len(Y) > most:
            Y = Y[np.argsort(-crowding(Y), kind="stable")[:most]]
        span = np.ptp(Y, axis=0)
        reference = Y.max(axis=0) + ROOM * np.where(span > TINY, span, np.maximum(spread, TINY))
        return cls(*boxes(Y, reference))


def log_ehvi(mean: Array, variance: Array, region: Boxes) -> tuple[Array, Array, Array]:
    """log EHVI (c,) and its slopes (c, m) by mean and by variance of each target."""
    sigma = np.sqrt(variance)
    logs = np.zeros((len(mean), len(region.low)))
    by_mean, by_variance = [], []
    for j in range(mean.shape[1]):
        value, slope, curve = _pieces(mean[:, j], sigma[:, j], region.low[:, j], region.high[:, j])
        logs += value
        by_mean.append(slope)
        by_variance.append(curve)
    top = logs.max(axis=1, keepdims=True)
    share = np.exp(logs - top)
    total = share.sum(axis=1, keepdims=True)
    share /= total
    slopes = [np.stack([(share * part).sum(axis=1) for part in parts], axis=1) for parts in (by_mean, by_variance)]
    return (top + np.log(total))[:, 0], slopes[0], slopes[1]


def _pieces(mean: Array, sigma: Array, low: Array, high: Array) -> tuple[Array, Array, Array]:
    """log psi (c, k) of one loss, and its slopes by mean and by variance. Ends that boxes share are looked at once."""
    ends, at = np.unique(np.concatenate([low, high]), return_inverse=True)
    finite = np.isfinite(ends)
    z = (np.where(finite, ends, 0.0) - mean[:, None]) / sigma[:, None]
    log_h, minus_s, _ = log_ei(-z, np.ones_like(z), 0.0)
    log_h = np.where(finite, log_h, -np.inf)
    s = -minus_s
    lower, upper = at[: len(low)], at[len(low) :]
    q = np.exp(np.minimum(log_h[:, lower] - log_h[:, upper], -1e-15))
    rest = 1.0 - q
    left = 1.0 - z * s
    slope = -(s[:, upper] - q * s[:, lower]) / rest / sigma[:, None]
    curve = (left[:, upper] - q * left[:, lower]) / rest / (2.0 * sigma[:, None] ** 2)
    return log_h[:, upper] + np.log(rest) + np.log(sigma)[:, None], slope, curve


def log_within(mean: Array, variance: Array, threshold: float) -> tuple[Array, Array, Array]:
    """log P (c,) that a target is at most the threshold, and its slopes by mean and by variance.

    With t = (threshold - mean) / sd and s = phi(t) / Phi(t): d/dmean = -s / sd, d/dvariance = -s t / (2 variance).
    """
    sd = np.sqrt(variance)
    t = (threshold - mean) / sd
    value = log_ndtr(t)
    s = np.exp(-0.5 * t**2 - LOG_ROOT_2_PI - value)
    return value, -s / sd, -0.5 * s * t / variance


def limit_targets(excess: Array) -> tuple[Array, float]:
    """Excesses (n,) over a limit as targets, and the target of the limit itself: small ones as they are, large ones by
    their logarithm (asinh), on the scale of the median distance to the limit."""
    unit = float(np.median(np.abs(excess))) or float(np.abs(excess).max(initial=0.0)) or 1.0
    told = np.arcsinh(excess / unit)
    mean, sd = float(told.mean()), float(told.std()) or 1.0
    return (told - mean) / sd, -mean / sd


def scalarised(Y: Array, rng: np.random.Generator) -> Array:
    """Several losses (n, m) as one (n,): the augmented Chebyshev norm with weights drawn evenly, of losses scaled to
    [0, 1]. J. Knowles, "ParEGO", IEEE Transactions on Evolutionary Computation 10 (2006), equation 2."""
    low, span = Y.min(axis=0), np.ptp(Y, axis=0)
    weighted = rng.dirichlet(np.ones(Y.shape[1])) * (Y - low) / np.where(span > 0, span, 1.0)
    return np.asarray(weighted.max(axis=1) + 0.05 * weighted.sum(axis=1))


@dataclass(frozen=True)
class WiderSearch(Search):
    """A search whose acquisition has other terms than the improvement of one loss, or more.

    ``goals`` are models of several goals and ``region`` what they may win; without a region the improvement of
    ``model`` counts, if ``improves``: not before something keeps the limits. ``limits`` are models of excesses with
    their thresholds, ``belief`` counts with a ``power``, ``seconds`` is a model of their logarithm in units of
    ``pace``. With a ``lift`` the second of the goals is a model of other studies' scores, which the loss follows.

    More is looked at than for one loss: fronts are found worse with less.
    """

    goals: tuple[Posterior, ...] = ()
    region: Boxes | None = None
    improves: bool = True
    limits: tuple[tuple[Posterior, float], ...] = ()
    belief: Belief | None = None
    power: float = 0.0
    seconds: Posterior | None = None
    pace: float = 1.0
    lift: float = 0.0

    effort: ClassVar[Effort] = Effort(300, 5, 12, 2.2e-9)

    @property
    def _joint(self) -> Callable[[Array, Array], tuple[Array, Array, Array]] | None:
        """A function of the means and variances (c, m) of all ``goals``, if there is one."""
        if self.region is not None:
            return partial(log_ehvi, region=self.region)
        return partial(_lifted, lift=self.lift, best=self.best) if self.lift and self.improves else None

    def _terms(self) -> Iterator[tuple[Posterior, Of]]:
        """What is added up: functions of one model's mean and variance."""
        if self._joint is None and self.improves:
            yield self.model, lambda mean, variance: log_ei(mean, variance, self.best)
        if self.labels is not None:
            yield self.labels, log_chance
        for model, threshold in self.limits:
            yield model, partial(log_within, threshold=threshold)
        if self.seconds is not None:
            yield self.seconds, partial(_less, pace=self.pace)

    def value(self, X: Array) -> Array:
        """The logarithm of the acquisition (c,) at codes (c, dim)."""
        x = self.model.embedding.inputs(X)
        told = np.zeros(len(X))
        for model, of in self._terms():
            told += of(*model.predict(model.scaled(x)))[0]
        if (of_all := self._joint) is not None:
            both = [g.predict(g.scaled(x)) for g in self.goals]
            means, variances = (np.stack([b[i] for b in both], axis=1) for i in (0, 1))
            told += of_all(means, variances)[0]
        if self.belief is not None:
            told += self.power * self.belief.log_density(X)
        return told

    def with_slopes(self, x: Inputs) -> tuple[Array, Array]:
        """``value`` (c,) and its slopes (c, p) by the codes of the numeric axes."""
        value, slopes = np.zeros(len(x)), np.zeros_like(x.t)
        for model, of in self._terms():
            told, by = with_slopes(model, x, of)
            value, slopes = value + told, slopes + by
        if (of_all := self._joint) is not None:
            told, by = joint_slopes(self.goals, x, of_all)
            value, slopes = value + told, slopes + by
        if self.belief is not None:  # options do not move here
            active = np.ones(x.t.shape, dtype=bool)
            active[:, self.model.embedding.arc] = x.there
            told, by = self.belief.of_numbers(x.t, active)
            value, slopes = value + self.power * told, slopes + self.power * by
        return value, slopes


@dataclass(frozen=True)
class Known:
    """What is known of n configurations: codes ``X`` (n, dim), posterior means ``Y`` (n, m) of the goals' targets, inf
    where a model does not hold them, and ``excess`` (n, k) over the limits."""

    X: Array
    Y: Array
    excess: Array


def wider(
    layout: Layout,
    goals: Sequence[Posterior],
    known: Known,
    waiting: Array,
    limits: Sequence[tuple[Posterior, float]],
    labels: Posterior | None,
) -> WiderSearch:
    """The search for several goals or under limits; ``waiting`` (q, dim) are believed to turn out as predicted."""
    within = (known.excess <= 0).all(axis=1) & np.isfinite(known.Y).all(axis=1)
    if within.any():
        told = known.Y[within]
        rank = ranks(told, PARENTS)
        order = np.lexsort((-crowding(told), rank)) if told.shape[1] > 1 else np.argsort(told[:, 0], kind="stable")
        parents = known.X[within][order]
    else:
        told = known.Y[np.isfinite(known.Y).all(axis=1)]
        unit = np.maximum(known.excess, 0).mean(axis=0)
        total = (np.maximum(known.excess, 0) / np.where(unit > 0, unit, 1.0)).sum(axis=1)
        parents = known.X[np.argsort(total, kind="stable")]
    region, best = None, float(told[:, 0].min())
    if told.shape[1] > 1 and within.any():
        x = goals[0].embedding.inputs(waiting)
        believed = np.stack([g.predict(g.scaled(x))[0] for g in goals], axis=1)
        region = Boxes.of(np.concatenate([told, believed]), np.ptp(told, axis=0))
    return WiderSearch(layout, goals[0], best, parents[:PARENTS], labels, tuple(goals), region, bool(within.any()),
                       tuple(limits))  # fmt: skip


def _less(mean: Array, variance: Array, pace: float) -> tuple[Array, Array, Array]:
    """The less the better, (c,), and its slopes by mean and by variance."""
    return -pace * mean, np.full_like(mean, -pace), np.zeros_like(mean)


def _lifted(mean: Array, variance: Array, lift: float, best: float) -> tuple[Array, Array, Array]:
    """log EI (c,) of a loss that is a first target and ``lift`` times the mean of a second, and its slopes (c, 2)."""
    value, by_mean, by_variance = log_ei(mean[:, 0] + lift * mean[:, 1], variance[:, 0], best)
    return value, np.column_stack([by_mean, lift * by_mean]), np.column_stack([by_variance, np.zeros_like(by_mean)])


def joint_slopes(models: Sequence[Posterior], x: Inputs, of: Of) -> tuple[Array, Array]:
    """A function (c,) of the means and variances (c, m) of models, and its slopes (c, p) by the codes of the numeric
    axes."""
    told = []
    for model in models:
        Z = model.embedding.features(x, model.shapes)
        A = Z * model.inverse_scales
        told.append((Z, A, *model.slopes(A)))
    means, variances = (np.stack([t[i] for t in told], axis=1) for i in (2, 3))
    value, by_mean, by_variance = of(means, variances)
    out = np.zeros_like(x.t)
    for j, (model, (Z, A, _, _, kept)) in enumerate(zip(models, told, strict=True)):
        e = model.embedding
        slopes = e.pulled(model.backward(A, kept, by_mean[:, j], by_variance[:, j]) * model.inverse_scales, Z)
        out += slopes * e.warp_slopes(x, model.shapes)[0] if model.shapes.any() else slopes
    return value, out
