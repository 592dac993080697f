"""Is a training unstable, and when? Pure functions of the losses of its steps. (playbook I1, I2)

early   the loss rises from the start, or as soon as the learning rate is there
mid     it falls first, then suddenly rises and stays up
none    neither
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from tunebook.space import Array

Verdict = Literal["none", "early", "mid"]
FALLEN = 0.25  # share of the loss that counts as having begun to learn
RISEN = 0.35  # of what was gained, lost again
LOWER = 0.97  # times the first loss
LOUD = 6.0  # times the noise from batch to batch


def smoothed(losses: Array) -> Array:
    """Running medians (n,) of a twentieth of the steps, at least 5: one odd batch is no rise."""
    n = len(losses)
    half = max(5, n // 20) // 2
    return np.array([float(np.median(losses[max(0, i - half) : i + half + 1])) for i in range(n)])


def noise_of(losses: Array) -> float:
    """Robust standard deviation from batch to batch, of the differences of neighbours."""
    if len(losses) < 3:
        return 0.0
    steps = np.abs(np.diff(losses[np.isfinite(losses)]))
    return float(1.4826 * np.median(steps) / 2**0.5)


def settled(losses: Array) -> float:
    """The loss at the end: median of the last fifth of the steps; inf when it is not finite."""
    last = losses[-max(3, len(losses) // 5) :]
    return float(np.median(last)) if bool(np.isfinite(last).all()) else float("inf")


def verdict(losses: Array, start: float | None = None) -> Verdict:
    """Early, mid or no instability of the losses (n,) of a training's steps; ``start`` is the loss before it, that of
    the first batch unless told.

    Unstable is what ends in a value that is not finite, has more than doubled its first loss for a while, or rises
    from its lowest level by a good part of what was won and stays there.
    """
    sound = losses[np.isfinite(losses)]
    if len(sound) == 0:
        return "early"
    begun = float(sound[0]) if start is None else start
    level = smoothed(sound)
    best = np.minimum.accumulate(np.minimum(level, begun))
    gained, half = begun - best, len(sound) // 2
    noise = min(noise_of(sound[:half]), noise_of(sound[half:]))  # the calmer half: a broken one is all noise
    risen = level - best > np.maximum(RISEN * np.maximum(gained, 0.5 * abs(begun)), LOUD * noise)
    lasting = bool(risen[-max(1, len(level) // 5) :].mean() > 0.5)
    doubled = level > begun + max(abs(begun), LOUD * noise)
    if len(sound) == len(losses) and not lasting and not bool(doubled.any()):
        return "none"
    odd = risen | doubled
    first = int(np.argmax(odd)) if bool(odd.any()) else len(level) - 1
    return "mid" if bool((gained > FALLEN * abs(begun))[: first + 1].any()) else "early"


def learns(losses: Array) -> bool:
    """Whether a training is stable and its loss falls at all."""
    return verdict(losses) == "none" and settled(losses) < LOWER * float(losses[0])
