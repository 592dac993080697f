"""What a study is after: one metric or several, and limits that others must keep."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, Self

from tunebook.errors import Problem, SettingError, nearest, shown


class Direction(StrEnum):
    """Whether a metric should be small or large."""

    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"


_DIRECTIONS = {"min": "minimize", "minimise": "minimize", "max": "maximize", "maximise": "maximize"}


@dataclass(frozen=True)
class Limit:
    """A metric that must be at most ``most``, or at least ``least``: memory, latency, parameters, fairness.

    Two limits on one metric make a range. Raises SettingError.
    """

    metric: str
    most: float | None = None
    least: float | None = None

    def __post_init__(self) -> None:
        _named(self.metric, "limit")
        bounds = [b for b in (self.most, self.least) if b is not None]
        if len(bounds) != 1 or isinstance(bounds[0], bool) or not _finite(bounds[0]):
            raise SettingError("a limit needs one finite bound", where=f"Limit({self.metric!r})",
                               got=f"most={shown(self.most)}, least={shown(self.least)}",
                               expected="most or least, a number", fix=f"Limit({self.metric!r}, most=500)",
                               code="CONFIG-048")  # fmt: skip

    def excess(self, value: float) -> float:
        """How far a value is beyond the limit, in the metric's unit: 0 or less within it, inf for NaN.

        >>> Limit("memory", most=500).excess(620), Limit("recall", least=0.75).excess(1.0)
        (120.0, -0.25)
        """
        if not math.isfinite(value):
            return math.inf
        return float(value - self.most) if self.most is not None else float((self.least or 0.0) - value)

    def __str__(self) -> str:
        return f"{self.metric} <= {self.most:g}" if self.most is not None else f"{self.metric} >= {self.least:g}"

    def as_dict(self) -> dict[str, Any]:
        """A JSON object that ``Limit(**...)`` reads back."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}


@dataclass(frozen=True, repr=False)
class Goal:
    """The metric that is optimised. Inside, every loss is minimised: the sign lives here only.

    ``pick`` says which step of a curve counts: the ``best`` (with best-checkpoint selection) or the ``last``. ``also``
    are further goals, told apart by their metrics; all are judged at the step that the first picks. Only what keeps
    all ``limits`` can be the best. Further goals and limits may also be about ``seconds`` (since the trial's start) and
    ``memory`` (its peak, in MB) where the objective reports no metric of that name. Raises SettingError.

    >>> Goal("accuracy", "maximize", also=[Goal("seconds")], limits=[Limit("memory", most=500)]).metrics
    ('accuracy', 'seconds')
    """

    metric: str
    direction: Direction = Direction.MINIMIZE
    pick: str = "best"
    also: Sequence[Goal] = ()
    limits: Sequence[Limit] = ()

    def __post_init__(self) -> None:
        told = _DIRECTIONS.get(str(self.direction).lower(), str(self.direction).lower())
        if told not in list(Direction):
            raise SettingError("unknown direction", where="direction", got=shown(self.direction),
                               expected=nearest(told, list(Direction)), fix="direction='minimize'",
                               code="CONFIG-047")  # fmt: skip
        if self.pick not in ("best", "last"):
            raise SettingError("unknown pick", where="pick", got=shown(self.pick), expected="best or last",
                               fix="pick='best'", code="CONFIG-047")  # fmt: skip
        _named(self.metric, "metric")
        object.__setattr__(self, "direction", Direction(told))
        for name, kind in (("also", Goal), ("limits", Limit)):
            given = getattr(self, name)
            object.__setattr__(self, name, tuple(given) if isinstance(given, list | tuple) else (given,))
            odd = [g for g in getattr(self, name) if not isinstance(g, kind)]
            if odd:
                raise SettingError(f"{name} holds something else than a {kind.__name__}", where=f"Goal.{name}",
                                   got=shown(odd[0]), expected=f"a list of {kind.__name__}",
                                   fix=f"{name}=[{kind.__name__}('seconds'{', most=60' if kind is Limit else ''})]",
                                   code="CONFIG-048")  # fmt: skip
        found = [*self._complaints()]
        if found:
            raise SettingError(found)

    def _complaints(self) -> Sequence[Problem]:
        where, found = "Goal.also", []
        for goal in self.also:
            if goal.also or goal.limits:
                found.append(Problem("a further goal has goals or limits of its own", where, shown(goal.metric),
                                     "a metric and a direction", "give them to the first", "CONFIG-048"))  # fmt: skip
        twice = [m for i, m in enumerate(self.metrics) if m in self.metrics[:i]]
        found += [Problem("a metric is a goal twice", where, shown(m), "distinct metrics", "drop one of them",
                          "CONFIG-048") for m in twice]  # fmt: skip
        return found

    @property
    def goals(self) -> tuple[Goal, ...]:
        """Each goal by itself, the first one first."""
        return (replace(self, also=(), limits=()), *self.also) if self.also or self.limits else (self,)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics of the goals."""
        return (self.metric, *(g.metric for g in self.also))

    @property
    def plain(self) -> bool:
        """Whether this is one goal without limits."""
        return not self.also and not self.limits

    @property
    def sign(self) -> int:
        """+1 where small is good, -1 where large is good."""
        return 1 if self.direction is Direction.MINIMIZE else -1

    def loss(self, value: float) -> float:
        """The value as a loss to minimise; NaN and both infinities are the worst loss, inf."""
        return self.sign * value if math.isfinite(value) else math.inf

    def value(self, loss: float) -> float:
        """The metric of a loss: the inverse of ``loss`` for finite numbers."""
        return self.sign * loss

    def better(self, a: float, b: float) -> bool:
        """Whether metric value ``a`` is strictly better than ``b``."""
        return self.loss(a) < self.loss(b)

    def as_dict(self) -> dict[str, Any]:
        """A JSON object that ``from_dict`` reads back."""
        told: dict[str, Any] = {"metric": self.metric, "direction": str(self.direction), "pick": self.pick}
        more = {"also": [g.as_dict() for g in self.also], "limits": [limit.as_dict() for limit in self.limits]}
        return told | {k: v for k, v in more.items() if v}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Self:
        """The goal of ``as_dict``. Raises SettingError."""
        also = [Goal.from_dict(g) for g in told.get("also", ())]
        return cls(**{**told, "also": also, "limits": [Limit(**limit) for limit in told.get("limits", ())]})

    def __repr__(self) -> str:
        told = [f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if getattr(self, f.name) != ()]
        return f"Goal({', '.join(told)})"


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _named(metric: object, what: str) -> None:
    if not isinstance(metric, str) or not metric:
        raise SettingError(f"the {what} has no name", where=what, got=shown(metric), expected="text",
                           fix="the name that the objective reports it by", code="CONFIG-048")  # fmt: skip
