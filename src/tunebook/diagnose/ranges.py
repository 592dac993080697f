"""Moving the ends of a range: wider, narrower, and never past what the hyperparameter can mean."""

from __future__ import annotations

import math
import re
from dataclasses import replace

from tunebook.space import Float, Int, Parameter, Space

NEVER = (-math.inf, math.inf)
# (words of the name, lowest sensible value, highest sensible value); the first that matches counts
_KNOWN: tuple[tuple[str, float, float], ...] = (
    (r"drop(out|path|connect|rate)?|.*dropout.*", 0.0, 0.95),
    (r"momentum|nesterov_momentum", 0.0, 0.999),
    (r"beta_?1", 0.0, 0.999),
    (r"beta_?2|betas?|ema(_decay)?|rho|decay_rate|gamma", 0.0, 0.99999),
    (r".*smoothing", 0.0, 0.9),
    (r"l1_ratio|.*(fraction|frac|ratio|prob|probability|proportion|subsample|quantile)|colsample.*", 0.0, 1.0),
    (r"(learning_rate|lr|eta|weight_decay|wd|l1|l2|alpha|lambda|eps|epsilon|c|sigma|temperature).*", 0.0, math.inf),
)


def limits(name: str, parameter: Parameter) -> tuple[float, float]:
    """Lowest and highest value that a hyperparameter can take, from its name and the range that was declared.

    What a person declared is never outside. A count stays a count: a range of whole numbers from 1 up does not go below
    1, one from 0 up not below 0; a range of numbers >= 0 stays so, and one that ends at just 1 is taken for a share.

    >>> limits("optimizer.sgd.momentum", Float(0.5, 0.99))
    (0.0, 0.999)
    """
    if not isinstance(parameter, Float | Int):
        return NEVER
    low, high = NEVER
    word = re.sub(r"[^a-z0-9]+", "_", re.split(r"[./]", name)[-1].lower()).strip("_")
    for pattern, least, most in _KNOWN:
        if isinstance(parameter, Float) and re.fullmatch(pattern, word):
            low, high = least, most
            break
    else:
        if parameter.low >= 0:
            low = 1.0 if isinstance(parameter, Int) and parameter.low >= 1 else 0.0
        if isinstance(parameter, Float) and parameter.low >= 0 and parameter.high == 1.0:
            high = 1.0
    return min(low, parameter.low), max(high, parameter.high)


def widened(name: str, parameter: Parameter, side: str, factor: float = 10.0) -> Parameter | None:
    """The range moved outwards at one side ("low" or "high"): by ``factor`` on a log axis, else by half its width.

    None where the natural limit is reached, or the parameter has no numeric range.
    """
    if not isinstance(parameter, Float | Int):
        return None
    least, most = limits(name, parameter)
    low, high = float(parameter.low), float(parameter.high)
    if parameter.log:
        new = high * factor if side == "high" else low / factor
    else:
        new = high + 0.5 * (high - low) if side == "high" else low - 0.5 * (high - low)
    new = min(new, most) if side == "high" else max(new, least)
    if parameter.log and new <= 0:
        return None
    return _moved(parameter, side, new, outwards=True)


def narrowed(parameter: Parameter, low: float, high: float) -> Parameter | None:
    """The range cut to codes ``low`` to ``high`` (rounded outwards); None where that cuts off less than a tenth."""
    if not isinstance(parameter, Float | Int):
        return None
    out: Parameter = parameter
    for side, code in (("low", low), ("high", high)):
        if 0.0 < code < 1.0:
            value = parameter.decode(code)
            assert isinstance(value, int | float)
            out = _moved(out, side, float(value), outwards=False) or out
    assert isinstance(out, Float | Int)
    left = parameter.encode(out.high) - parameter.encode(out.low)
    whole = parameter.encode(parameter.high) - parameter.encode(parameter.low)
    return out if left <= 0.9 * whole and not out.problems("") else None


def _moved(parameter: Parameter, side: str, new: float, outwards: bool) -> Parameter | None:
    """The range with one end moved to ``new``, on the lattice, as a number a person would write; None if it stays."""
    assert isinstance(parameter, Float | Int)
    old = parameter.high if side == "high" else parameter.low
    value: float
    if parameter.step or isinstance(parameter, Int):
        step = parameter.step or 1
        parts = (new - parameter.low) / step
        upwards = (side == "high") != outwards
        whole = math.ceil(parts - 1e-9) if upwards else math.floor(parts + 1e-9)
        value = parameter.low + whole * step
        value = int(value) if isinstance(parameter, Int) else _tidy(value, 12)
    else:
        value = _tidy(new, 2 if outwards else 3)
        if outwards:  # rounding must not carry it over a limit
            value = min(value, new) if side == "high" else max(value, new)
    if value == old or (outwards and (value > old) != (side == "high")):
        return None
    low, high = (parameter.low, value) if side == "high" else (value, parameter.high)
    default = parameter.default
    if default is not None:
        default = min(max(default, low), high)
    likely = parameter.likely
    if likely is not None and max(likely[0], low) >= min(likely[1], high):
        likely = None  # a belief that the trials have left behind
    out = replace(parameter, low=low, high=high, default=default, likely=likely)
    return None if out.problems("") else out


def _tidy(value: float, digits: int) -> float:
    """The number with so many significant digits."""
    return float(f"{value:.{digits}g}")


def parents(space: Space) -> set[str]:
    """Names on whose values others depend: their ranges are not cut, or a condition could never hold."""
    return {parent for rules in space.conditions.values() for parent in rules}
