"""Warm-up search, and the ladder of fixes for an unstable training. (playbook I4, I5)"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tunebook.diagnose.base import Finding, Severity
from tunebook.space import Config, Float, Parameter, Value
from tunebook.training.probes.base import Reading, Subject, traced
from tunebook.training.probes.gradients import quantile
from tunebook.training.probes.stability import learns
from tunebook.training.settings import flag, real

TIMES = 10.0  # times the unstable rate, which a warm-up is to make possible
LONGEST = 0.10  # of the steps of a training
MUCH = 0.05
LEAST = 40


def warmup_search(subject: Subject, unstable: float, steps: int | None = None) -> Reading:
    """The shortest warm-up, in orders of magnitude up to a tenth of the steps, that survives 10 times that rate.

    The rate climbs linearly and then stays for as long again and at least 40 steps. ``steps`` of the full training are
    those of the task unless told.
    """
    total = subject.total if steps is None else steps
    rate = TIMES * unstable
    lengths = [10**k for k in range(1, 9) if 10**k <= LONGEST * total] or [max(2, math.floor(LONGEST * total))]
    survived: dict[int, bool] = {}
    for length in [0, *lengths]:
        survived[length] = stands(subject.at(rate), length)
        if survived[length]:
            break
    shortest = next((length for length, ok in survived.items() if ok), None)
    curves = {"survived": (list(survived), [float(ok) for ok in survived.values()])}
    if shortest is None:
        says = f"no warm-up of up to {lengths[-1]} steps makes the learning rate {rate:.2g} stable"
        return Reading("warm-up", says, {"rate": rate}, curves)
    share = shortest / total
    if shortest == 0:
        return Reading(
            "warm-up", f"the learning rate {rate:.2g} needs no warm-up", {"rate": rate, "steps": 0.0}, curves
        )
    says = f"a warm-up over {shortest} steps makes the learning rate {rate:.2g} stable, which it is not without"
    advice = "warm up, and search higher rates"
    if share > MUCH:
        advice += f"; it takes {100 * share:.0f} % of the steps: train that much longer"
    proposal: dict[str, Value | Parameter] = {
        "warmup": share,
        subject.rate_name: Float(unstable / 10, rate, log=True, default=unstable),
    }
    finding = Finding("warm-up", Severity.INFO, says, advice, proposal, (), "warmup", {"steps": shortest, "rate": rate})
    return Reading("warm-up", says, {"rate": rate, "steps": shortest, "share": share}, curves, (finding,))


def stands(subject: Subject, warmup: int) -> bool:
    """Whether a training is stable, and learns, whose rate climbs for ``warmup`` steps and stays for as long."""
    trace = traced(subject, warmup + max(LEAST, warmup), lambda t: min(1.0, (t + 1) / max(1, warmup)))
    return learns(trace.losses)


@dataclass(frozen=True)
class Rung:
    """A fix that is tried: what it is called, and the settings that make it."""

    name: str
    change: Config


def rungs(subject: Subject, stable: float, normal: float) -> Iterator[Rung]:
    """The fixes in the playbook's order, as far as the configuration has them; to lower the rate comes last.

    ``normal`` is the 90th percentile of gradient norms where the training is ``stable``.
    """
    config = subject.config
    yield Rung("warm-up", {"warmup": LONGEST})
    if not real(config, "clip_norm", 0.0) and math.isfinite(normal) and normal > 0:
        yield Rung("clipping", {"clip_norm": normal})
    if subject.optimizer[0] in ("sgd", "adagrad", "rmsprop") and not any(k.startswith("optimizer.") for k in config):
        yield Rung("another optimizer", {"optimizer": "adam"})
    if "residual" in config and not flag(config, "residual", False):
        yield Rung("residual connections", {"residual": True})
    if config.get("norm") == "none":
        yield Rung("normalisation", {"norm": "batch"})
    yield Rung("a lower learning rate", {subject.rate_name: stable})


def ladder(subject: Subject, stable: float, steps: int = 100, most: float = math.inf,
           now: Callable[[], float] = lambda: 0.0) -> Reading:  # fmt: skip
    """The first fix that makes the configuration, which is unstable, stable at its learning rate. (playbook I5)

    ``stable`` is a rate that is known to be. Ends, with what it has, when ``now()`` passes ``most``.
    """
    healthy = traced(subject.at(stable), steps)
    normal = quantile(healthy.norms, 0.9)
    tried: dict[str, bool] = {}
    for rung in rungs(subject, stable, normal):
        changed = subject.told(**rung.change)
        warmup = max(2, round(LONGEST * steps)) if "warmup" in rung.change else 0
        trace = traced(changed, steps, lambda t, w=warmup: min(1.0, (t + 1) / w) if w else 1.0)  # type: ignore[misc]
        tried[rung.name] = learns(trace.losses)
        if tried[rung.name]:
            return _fixed(subject, rung, tried)
        if now() > most:
            break
    says = f"at the learning rate {subject.rate:.2g} the training is unstable; {', '.join(tried)}: none makes it stable"
    finding = Finding(
        "ladder", Severity.WARN, says, "look at the model: its first weights, its depth, what it divides by"
    )
    return Reading("ladder", says, {"tried": float(len(tried))}, {}, (finding,))


def _fixed(subject: Subject, rung: Rung, tried: dict[str, bool]) -> Reading:
    failed = [name for name, ok in tried.items() if not ok]
    says = f"at the learning rate {subject.rate:.2g} the training is unstable; {rung.name} makes it stable"
    says += f", {' and '.join(failed)} did not" if failed else ""
    finding = Finding("ladder", Severity.WARN, says, f"take {rung.name}", dict(rung.change), (), None,
                      {"tried": float(len(tried)), "rate": subject.rate})  # fmt: skip
    return Reading("ladder", says, {"tried": float(len(tried))}, {}, (finding,))
