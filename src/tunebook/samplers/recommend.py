"""Which configuration to use: the best by what all trials say of it, not the luckiest single value.

The best of many noisy values is mostly luck (J. E. Smith, R. L. Winkler, "The optimizer's curse", Management Science,
2006). A Gaussian process shrinks each value towards what its neighbours say; what is handed over is the tried
configuration with the best mean, as P. Frazier, "A tutorial on Bayesian optimization", arXiv:1807.02811 (2018), section
4, does under noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tunebook.metrics import possible
from tunebook.samplers._again import exact
from tunebook.samplers._embedding import Embedding
from tunebook.samplers._gp import Priors, fit, posterior
from tunebook.samplers._transforms import losses, targets
from tunebook.samplers.base import History
from tunebook.samplers.gp import WARP_FROM, active_axes, some
from tunebook.samplers.random import RandomSampler
from tunebook.space import Array, Config, Space
from tunebook.threads import one_thread
from tunebook.trial import Goal, Status, Trial, Trials

Mask = npt.NDArray[np.bool_]

# 1.96 standard deviations would be 95 % of a model that is right, of a row that was not chosen for its mean
SURE = 3.2
FEWEST, FITTED, MODELLED = 4, 150, 400
NOISES = (-12.0, -8.0, -5.0, -3.0, -2.0, -1.0, -0.3, 0.5)
STEPS = 25


class Recommendation(NamedTuple):
    """A configuration, what the goal's metric is taken to be there without noise, an interval that is meant to hold it
    with 95 % (infinite where there are too few trials for a model), and the number of its first trial.

    ``exact`` says that repeats agree to the last bit: then the value is as it was measured, and so is the interval.
    """

    config: Config
    mean: float
    low: float
    high: float
    trial: int
    exact: bool = False


@one_thread
def recommend(space: Space, goal: Goal, trials: Iterable[Trial], seed: int = 0) -> Recommendation | None:
    """The configuration to hand over after ``trials``; None if none succeeded, or none keeps the limits.

    Of those that keep the limits, those tried furthest; by the first of several goals. ``low`` and ``high``
    are about the metric without noise, in its own units.
    """
    told = {t.number: t for t in trials}
    sampler = RandomSampler(space, goal, seed)
    sampler.tell(told.values())
    history = sampler.history
    allowed = _eligible(history)
    if not allowed.any():
        return None
    sure = exact(history)
    if sure or history.feasible.sum() < FEWEST or not space.dim:
        rows = np.flatnonzero(allowed)
        best = int(rows[np.argmin(history.y[rows])])
        mean = float(history.y[best])
        low, high = (mean, mean) if sure else (-math.inf, math.inf)
    else:
        best, (low, mean, high) = _modelled(space, history, allowed)
    number = int(history.number[best])
    low, high = sorted((goal.value(low), goal.value(high)))
    return Recommendation(told[number].config, *possible(goal.metric, (goal.value(mean), low, high)), number, sure)


def recommended(trials: Trials, space: Space, goal: Goal) -> Recommendation | None:
    """The configuration to hand over after a study's trials, those that go on and final trainings left out."""
    going = (Status.WAITING, Status.RUNNING)
    return recommend(space, goal, (t for t in trials.values() if t.status not in going and not t.context.final))


def _eligible(history: History) -> Mask:
    """Which rows (n,) may be handed over."""
    within: Mask = history.feasible & (history.excess <= 0).all(axis=1)
    furthest: Mask = within & (history.budget == history.budget[within].max(initial=0))
    return furthest


def _modelled(space: Space, history: History, allowed: Mask) -> tuple[int, list[float]]:
    """The row to hand over, and its loss between the ends of an interval."""
    sound = np.flatnonzero(history.feasible)
    y = history.ends[sound]
    held = np.union1d(some(y, MODELLED), np.flatnonzero(allowed[sound])[np.argsort(y[allowed[sound]])[:MODELLED]])
    mean, sd = posterior_means(space, history.at(sound[held]), targets(y, False)[held])
    score = np.where(allowed[sound[held]], mean, math.inf)
    k = int(np.argmin(score))
    ends = mean[k] + SURE * sd[k] * np.array([-1.0, 0.0, 1.0])
    return int(sound[held[k]]), losses(y, ends).tolist()


def posterior_means(space: Space, rows: History, y: Array) -> tuple[Array, Array]:
    """Means and standard deviations (n,) at rows with targets ``y`` (n,), without noise.

    An average of processes with little to much noise, each with its likeliest other hyperparameters, by how likely
    these are: a single likeliest process is too sure of itself where noise could be structure, or the other way round.
    """
    embedding, v = Embedding(space), 1.0 / rows.repeats
    x, least = embedding.inputs(rows.X), some(y, FITTED)
    likely, means, variances = [], [], []
    for level in NOISES:
        priors = Priors(embedding, active_axes(space), len(rows) >= WARP_FROM, (level, level))
        theta, loss = fit(priors, x.rows(least), y[least], v[least], priors.start(level), STEPS)
        model = posterior(embedding, theta, x, v).told(y)
        likely.append(-loss)
        # K alpha = y gives the mean without the noise: y - noise v alpha
        means.append(y - model.noise * v * model.alpha)
        variances.append(model.predict(model.A)[1])
    weight = np.exp(np.array(likely) - max(likely))
    weight /= weight.sum()
    mean = weight @ np.array(means)
    return mean, np.sqrt(np.maximum(weight @ (np.array(variances) + (np.array(means) - mean) ** 2), 0.0))
