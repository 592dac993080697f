"""Probes: what a few hundred steps of one configuration say before a study is paid for.

    told = probe(task, {"lr": 1e-3}, steps=2000, seconds=60)
    print(told)
    told.findings, told.proposal

In order: loss at initialisation, learning-rate range, gradients and activations, stability at twice the best rate,
chance and shuffled labels, throughput, input, evaluation; and, where the training is unstable, the ladder of fixes and
the warm-up search. Gradients are those at the best rate where the configuration's rate is too high or unstable: what a
broken training does to them says nothing about the model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from tunebook.diagnose.base import Finding, Severity
from tunebook.errors import SettingError
from tunebook.space import Config, Parameter, Value
from tunebook.training.probes.base import Reading as Reading
from tunebook.training.probes.base import Subject as Subject
from tunebook.training.probes.base import check_settings
from tunebook.training.probes.gradients import gradients as gradients
from tunebook.training.probes.rate import Sweep, zoom
from tunebook.training.probes.rate import rate_test as rate_test
from tunebook.training.probes.speed import evaluation as evaluation
from tunebook.training.probes.speed import input_share as input_share
from tunebook.training.probes.speed import memory_share
from tunebook.training.probes.speed import throughput as throughput
from tunebook.training.probes.start import chance as chance
from tunebook.training.probes.start import first_loss as first_loss
from tunebook.training.probes.warmup import ladder as ladder
from tunebook.training.probes.warmup import warmup_search as warmup_search
from tunebook.training.seeds import seeded
from tunebook.training.task import Task

_ORDER = {Severity.BAD: 0, Severity.WARN: 1, Severity.INFO: 2}


@dataclass(frozen=True)
class Probed:
    """What the probes read, what was left out and why, and how long it took in seconds."""

    readings: tuple[Reading, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def findings(self) -> list[Finding]:
        """All findings, the gravest first; of equally grave ones, that of the earlier probe."""
        return sorted((f for r in self.readings for f in r.findings), key=lambda f: _ORDER[f.severity])

    @property
    def proposal(self) -> dict[str, Parameter | Value]:
        """The changes that the findings propose together.

        What a finding proposes belongs together: where it would change what one before it changes, it is left out as a
        whole. Findings of information propose nothing while a graver one does: they are for a training that is sound.
        """
        told: dict[str, Parameter | Value] = {}
        for finding in self.findings:
            if finding.severity is Severity.INFO and told:
                break
            if not told.keys() & finding.proposal.keys():
                told |= finding.proposal
        return told

    def __str__(self) -> str:
        width = max((len(r.probe) for r in self.readings), default=0)
        lines = [f"{r.probe:{width}}  {r.says}" for r in self.readings]
        lines += [f"{name:{width}}  left out: {why}" for name, why in self.left_out.items()]
        for f in self.findings:
            lines += ["", f"{f.severity.upper()}: {f.says}"] + ([f"  {f.advice}"] if f.advice else [])
        return "\n".join(lines + ([] if self.findings else ["", "Nothing odd was found."]))


def probe(task: Task, config: Config, *, steps: int = 2000, seconds: float = 60.0, seed: int = 0) -> Probed:
    """Run the probes that ``steps`` training steps and ``seconds`` afford, in order; the others are named as left out.

    A probe that has begun is brought to its end. Raises SettingError for a configuration with which a run could not
    begin, and whatever the model raises.
    """
    for name, value in (("steps", steps), ("seconds", seconds)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise SettingError(f"{name} must be positive", where=f"probe: {name}", got=repr(value))
    began = time.perf_counter()
    with seeded(seed, 0, task.device):  # what was drawn here is given back
        subject = Subject(task, config, seed)
        check_settings(subject)
        return _played(subject, steps, seconds, lambda: time.perf_counter() - began)


def _played(subject: Subject, steps: int, seconds: float, now: Callable[[], float]) -> Probed:
    readings: list[Reading] = []
    left_out: dict[str, str] = {}
    left = float(steps)
    for name, cost, run in _plan(subject, steps, seconds, now):
        if cost > left:
            left_out[name] = f"it needs {cost:.0f} steps, {left:.0f} are left"
        elif now() > seconds:
            left_out[name] = f"{seconds:g} s are over"
        else:
            left -= cost
            readings.append(run())
    return Probed(tuple(readings), left_out, now())


def _plan(
    subject: Subject, steps: int, seconds: float, now: Callable[[], float]
) -> Iterator[tuple[str, float, Callable[[], Reading]]]:
    """Name and cost in steps of each probe, and the probe. What comes last depends on what the sweep finds."""
    short = max(20, min(60, steps // 30))
    found: list[Sweep] = []
    shaky: list[Reading] = []

    def ranged() -> Reading:
        reading, told = rate_test(subject, short, most=9)
        found.append(told)
        return reading

    def zoomed() -> Reading:
        shaky.append(zoom(subject, found[0].best, short))
        return shaky[0]

    yield "first loss", 0, lambda: first_loss(subject)
    yield "learning rate", 9 * short, ranged
    # at the best rate that was found: what cannot learn at that one cannot learn at all
    able = subject.at(found[0].best) if found else subject
    unstable = bool(found) and found[0].verdicts[subject.rate] != "none"
    too_high = bool(found) and found[0].too_high(subject.rate)
    moved = able if unstable or too_high else subject
    yield "gradients", 2 * short, lambda: gradients(moved, 2 * short)
    if found:
        yield "stability", short, zoomed
    enough = min(max(2 * short, subject.batches), 6 * short)
    yield "chance", 2 * enough, lambda: chance(able, enough)
    yield "throughput", 0, lambda: throughput(subject)
    yield "input", 0, lambda: memory_share(subject)
    yield "evaluation", 0, lambda: evaluation(subject)
    if unstable and not too_high:  # else the rate is what is to change
        yield "ladder", 5 * short, lambda: ladder(subject, found[0].best, short, seconds, now)
    if shaky and shaky[0].findings:
        least = found[0].unstable or 2 * found[0].best
        yield "warm-up", 3 * short, lambda: warmup_search(subject, least, min(subject.total, 20 * short))
