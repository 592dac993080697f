"""The default: Gaussian processes as long as each trial counts, TPE from where there are thousands."""

from __future__ import annotations

import numpy as np

from tunebook.samplers._customary import believing, customary
from tunebook.samplers.base import History, Sampler
from tunebook.samplers.gp import GPSampler
from tunebook.samplers.tpe import TPESampler
from tunebook.space import Array, Space
from tunebook.trial import Goal

MANY = 2000


class AutoSampler(Sampler):
    """Chooses by the space and by how many configurations are known, and says what and why (``reason``).

    * Up to 2,000: ``GPSampler``, which tells by itself how noisy the outcomes are, and takes steps of a local model or
      asks TPE accordingly. In a batch it takes what is pending to turn out as predicted.
    * Beyond: ``TPESampler``. A process holds some of so many only, and there are enough to estimate densities from.

    Either begins where a learning rate, a penalty or an epsilon is customary if its range is wide and the space says
    nothing about it: see ``_customary``.
    """

    repeats = True

    def __init__(self, space: Space, goal: Goal, seed: int = 0) -> None:
        super().__init__(space, goal, seed)
        told = believing(space)
        self._few, self._many = GPSampler(told, goal, seed), TPESampler(told, goal, seed)

    def propose(self, n: int, first: int, history: History, pending: Array, rng: np.random.Generator) -> Array:
        chosen = self._few if len(history) <= MANY else self._many
        return chosen.propose(n, first, history, pending, rng)


def reason(space: Space, goal: Goal, trials: int) -> str:
    """What ``AutoSampler`` does when ``trials`` are known, and why."""
    told = [f"{name} ({low:g} to {high:g})" for name, (low, high) in customary(space).items()]
    first = f" First it looks where values are customary, as these ranges are wide: {', '.join(told)}." if told else ""
    return _chosen(space, goal, trials) + first


def _chosen(space: Space, goal: Goal, trials: int) -> str:
    if trials > MANY:
        return f"Proposals by TPE: a Gaussian process would hold some of {trials:,} trials only."
    conditional = sum(bool(axis.when) for axis in space.axes)
    about = f"{space.dim} hyperparameters" if space.dim != 1 else "one hyperparameter"
    about += f", {conditional} of them conditional" if conditional else ""
    if goal.also:
        return f"Proposals by Gaussian processes, one a goal: {about}, and each trial counts."
    smooth = all(not a.parameter.unordered and not a.when for a in space.axes)
    aside = "steps of a local model where there is little noise" if smooth else "some by TPE, the more the more noise"
    return f"Proposals by Gaussian processes, {aside}: {about}, and each trial counts."
