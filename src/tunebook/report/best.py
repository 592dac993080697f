"""What to use while nothing is confirmed, in words: the same on the terminal and in the report."""

from __future__ import annotations

import math

from tunebook.report._words import number
from tunebook.samplers.recommend import Recommendation


def unconfirmed(metric: str, best: Recommendation | None, value: float, trial: int) -> str:
    """What a model of all trials recommends, and beside it the best single ``value``, of ``trial``."""
    seen = f"The best single value was {metric} {number(value, 5)} (trial {trial})"
    if best is None:
        return f"{seen}; the best of many noisy values flatters."
    told = f"trial {best.trial}: {metric} {number(best.mean, 5)}"
    if best.exact:
        return f"The best is {told}. Repeats of a configuration agree to the last bit, so values are taken as they are."
    sure = f", 95 % interval {number(best.low, 5)} to {number(best.high, 5)}" if math.isfinite(best.low) else ""
    return f"By all trials together the best is {told}{sure}. {seen}; the best of many noisy values flatters."
