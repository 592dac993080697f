"""Learning-rate range test: the best rate, and what happens above it. (playbook I1, I2)

Each rate is a short training of its own from the same weights on the same batches, at a constant rate; the sweep goes
outwards from the configuration's rate in half decades until the best one is inside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tunebook.diagnose.base import Finding, Severity
from tunebook.space import Array, Float, Value
from tunebook.training.probes.base import Curve, Reading, Subject, by_step, traced
from tunebook.training.probes.stability import Verdict, noise_of, settled, verdict

NAME = "learning rate"
FACTOR = 10**0.5
LIKE = 0.05
MOST = 13  # rates: six decades
TOO_HIGH, TOO_LOW = 6.0, 50.0  # times the best rate: short trainings prefer higher rates than long ones
ABOVE = (5.0, 10.0)
ZOOMED = 2.0
Losses = Mapping[float, Array]


@dataclass(frozen=True)
class Sweep:
    """Losses of the steps by learning rate, and what follows: the best rate and the lowest unstable one above it."""

    losses: Losses
    start: float

    @property
    def ends(self) -> dict[float, float]:
        """The loss at the end by rate, the lowest rate first."""
        return {rate: settled(self.losses[rate]) for rate in sorted(self.losses)}

    @property
    def best(self) -> float:
        """The lowest rate that ends as low as any, but for a twentieth of what was won."""
        ends = self.ends
        least = min(ends.values())
        enough = least + LIKE * max(self.start - least, 0.0)
        return next((rate for rate, end in ends.items() if end <= enough), min(ends))

    @property
    def verdicts(self) -> dict[float, Verdict]:
        """Instability by rate, the lowest rate first."""
        return {rate: verdict(self.losses[rate], self.start) for rate in sorted(self.losses)}

    @property
    def unstable(self) -> float | None:
        """The lowest unstable rate above the best one."""
        return next((rate for rate, v in self.verdicts.items() if v != "none" and rate > self.best), None)

    def too_high(self, rate: float) -> bool:
        """Whether a rate of the sweep is far above the best one and trains clearly worse, or nothing trains at all."""
        return self.best < rate and self.far(rate)

    def far(self, rate: float) -> bool:
        """Whether a rate of the sweep is far from the best one and trains clearly worse."""
        best, here, times = self.ends[self.best], self.ends[rate], self.best / rate
        noise = noise_of(self.losses[self.best]) / math.sqrt(max(1, len(self.losses[self.best]) // 5))
        enough = max(0.2 * abs(self.start - best), 3 * noise)
        return not 1 / TOO_HIGH < times < TOO_LOW and (not math.isfinite(here) or here - best >= enough)


def sweep(subject: Subject, steps: int, most: int = MOST) -> Sweep:
    """Short trainings at rates around that of the configuration, until the best is inside or there are ``most``."""
    losses: dict[float, Array] = {}

    def tried(power: int) -> float:
        rate = subject.rate * FACTOR**power
        losses[rate] = traced(subject.at(rate), steps).losses
        return settled(losses[rate])

    ends = {0: tried(0)}
    start = float(next(iter(losses.values()))[0])  # of the first batch: before any step, whatever the rate
    while len(ends) < most:
        low, high, least = min(ends), max(ends), min(ends, key=lambda power: ends[power])
        # two rates beyond the lowest loss tell its place, and what happens 5 to 10 times above it
        if least + 2 > high and math.isfinite(ends[high]):
            ends[high + 1] = tried(high + 1)
        elif Sweep(losses, start).best <= subject.rate * FACTOR**low:
            ends[low - 1] = tried(low - 1)
        else:
            break
    return Sweep(losses, start)


def rate_test(subject: Subject, steps: int = 60, most: int = MOST) -> tuple[Reading, Sweep]:
    """The reading of a sweep: is the configuration's rate far from the best, and what happens 5 to 10 times above it?

    ``unstable above`` is 0 for no instability there, 1 for an early and 2 for one in the middle of the training.
    """
    told = sweep(subject, steps, most)
    best, ends = told.best, told.ends
    above = {f"at {k:g} x": _near(told, k * best) for k in ABOVE}
    worst: Verdict = next((told.verdicts[rate] for rate in above.values() if told.verdicts[rate] != "none"), "none")
    findings = _far(subject, told)
    figures = {"best": best, "rate": subject.rate, "loss": ends[best], "start": told.start}
    figures["unstable above"] = {"none": 0.0, "early": 1.0, "mid": 2.0}[worst]
    figures |= {"unstable": told.unstable} if told.unstable is not None else {}
    says = f"of {len(ends)} learning rates {best:.2g} trains best in {steps} steps; {_words(worst)} 5 to 10 times above"
    curves: dict[str, Curve] = {"loss by rate": (list(ends), list(ends.values()))}
    curves |= {f"rate {rate:.2g}": by_step(v) for rate, v in sorted(told.losses.items())}
    return Reading(NAME, says, figures, curves, tuple(findings)), told


def _near(told: Sweep, rate: float) -> float:
    return min(told.losses, key=lambda r: abs(math.log(r / rate)))


def _words(found: Verdict) -> str:
    return {"none": "no instability", "early": "instability from the start", "mid": "instability after a while"}[found]


def _far(subject: Subject, told: Sweep) -> list[Finding]:
    """The configuration's rate trains clearly worse than the best, and is far from it."""
    rate, best, ends = subject.rate, told.best, told.ends
    figures = {"best": best, "rate": rate, "loss": ends[rate], "best_loss": ends[best]}
    if not math.isfinite(ends[best]):
        says = f"the training diverges at each learning rate from {min(ends):.2g} to {max(ends):.2g}"
        advice = "look at the first weights and the inputs, and at the gradients; then try rates far below these"
        return [Finding(NAME, Severity.WARN, says, advice, {}, (), subject.rate_name, figures)]
    if not told.far(rate):
        return []
    here, times = ends[rate], best / rate
    low = "too low" if times > 1 else "too high"
    says = (
        f"the learning rate {rate:.2g} is {low}: {best:.2g} comes to a loss of {ends[best]:.3g} in as many steps, it "
    )
    says += f"to {here:.3g}" if math.isfinite(here) else "diverges"
    proposal: dict[str, Value | Float] = {subject.rate_name: _range(told)}
    return [Finding(NAME, Severity.WARN, says, f"search around {best:.2g}", proposal, (), subject.rate_name, figures)]


def _range(told: Sweep) -> Float:
    """A decade below the best rate and half a decade above; not beyond what was unstable."""
    high = told.best * FACTOR
    if told.unstable is not None:
        high = min(high, told.unstable)
    low, high, best = (float(f"{rate:.3g}") for rate in (told.best / 10, high, told.best))
    return Float(low, high, log=True, default=best)


def zoom(subject: Subject, best: float, steps: int = 100) -> Reading:
    """Every step at twice the best rate: sparse evaluations hide an early instability. (playbook I2)"""
    trace = traced(subject.at(ZOOMED * best), steps)
    found = verdict(trace.losses)
    says = f"at twice the best learning rate, {ZOOMED * best:.2g}, {_words(found)} in {len(trace.losses)} steps"
    findings: tuple[Finding, ...] = ()
    if found != "none":
        advice = "warm the learning rate up, or clip gradients; a lower rate is the last resort"
        told = {"rate": ZOOMED * best}
        findings = (Finding("stability", Severity.WARN, says, advice, {}, (), subject.rate_name, told),)
    curves = {"loss": by_step(trace.losses), "gradient norm": by_step(trace.norms)}
    peak = float(np.max(trace.losses)) if bool(np.isfinite(trace.losses).all()) else math.inf
    return Reading("stability", says, {"rate": ZOOMED * best, "peak": peak}, curves, findings)
