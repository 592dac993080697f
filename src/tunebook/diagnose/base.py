"""What a check is: a pure function from evidence to findings, each with a proposal that the next round can adopt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tunebook.space import Parameter, Space, Value
from tunebook.trial import Goal, Trial


class Severity(StrEnum):
    """How much a finding matters."""

    INFO = "info"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True)
class Evidence:
    """What a check may look at: trials of the round (and earlier ones that count), the space and the goal.

    ``steps`` is the length of a full training; ``train`` the name of the goal's metric on the training part, if
    reported; ``chance`` what a predictor scores that does not look at its input, if known.
    """

    trials: Sequence[Trial]
    space: Space
    goal: Goal
    steps: int = 1
    train: str | None = None
    chance: float | None = None


@dataclass(frozen=True)
class Finding:
    """What was found: a sentence, the figures behind it, what to do, and the change that would do it.

    ``proposal`` maps hyperparameter names to a new range or to a fixed value: ``Space.updated`` takes it.
    """

    check: str
    severity: Severity
    says: str
    advice: str = ""
    proposal: Mapping[str, Parameter | Value] = field(default_factory=dict)
    trials: tuple[int, ...] = ()
    parameter: str | None = None
    figures: Mapping[str, float] = field(default_factory=dict)


Check = Callable[[Evidence], list[Finding]]
