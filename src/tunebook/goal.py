"""What a study is after: one metric or several, and limits that others must keep."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, Self

from tunebook.errors import Problem, SettingError, nearest, shown


class Direction(StrEnum):
    """Whether a metric should be small or large."""

    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"


# what a model costs, as opposed to what it is worth: known early in a training, and small is good
COSTS = ("seconds", "memory", "parameters", "latency")
_LIMIT = re.compile(r"(?P<metric>[^<>=]+?)\s*(?P<sign><=|>=)\s*(?P<bound>[^<>=]+)")
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
        if len(bounds) == 2:
            one, ends = f"Limit({self.metric!r}, ", sorted(bounds) if all(map(_finite, bounds)) else [1, 2]
            raise SettingError("a limit has one bound; two limits make a range", where=f"Limit({self.metric!r})",
                               got=f"most={shown(self.most)}, least={shown(self.least)}", expected="most or least",
                               fix=f"limits=[{one}least={ends[0]!r}), {one}most={ends[1]!r})]",
                               code="CONFIG-048")  # fmt: skip
        if len(bounds) != 1 or isinstance(bounds[0], bool) or not _finite(bounds[0]):
            raise SettingError("a limit needs one finite bound", where=f"Limit({self.metric!r})",
                               got=f"most={shown(self.most)}, least={shown(self.least)}",
                               expected="most or least, a number", fix=f"Limit({self.metric!r}, most=500)",
                               code="CONFIG-048")  # fmt: skip

    @classmethod
    def read(cls, text: str) -> Self:
        """The limit that a text tells. Raises SettingError.

        >>> Limit.read("memory <= 500")
        Limit(metric='memory', most=500.0, least=None)
        """
        told = _LIMIT.fullmatch(text.strip())
        bound = _number(told["bound"]) if told else None
        if told is None or bound is None:
            raise SettingError("this is not a limit", where="limit", got=shown(text), expected="METRIC <= NUMBER or >=",
                               fix="'memory <= 500'", code="CONFIG-048")  # fmt: skip
        return cls(told["metric"], **{"most" if told["sign"] == "<=" else "least": bound})

    @property
    def bound(self) -> float:
        """The number that the metric is held against."""
        return float(self.most if self.most is not None else self.least or 0.0)

    def excess(self, value: float) -> float:
        """How far a value is beyond the limit, in the metric's unit: 0 or less within it, inf for NaN.

        >>> Limit("memory", most=500).excess(620), Limit("recall", least=0.75).excess(1.0)
        (120.0, -0.25)
        """
        if not math.isfinite(value):
            return math.inf
        return float(value - self.bound) if self.most is not None else float(self.bound - value)

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
        return [*found, *self._contradictions()]

    def _contradictions(self) -> Iterator[Problem]:
        for i, limit in enumerate(self.limits):
            for before in (b for b in self.limits[:i] if b.metric == limit.metric):
                if (before.most is None) == (limit.most is None):
                    yield Problem("two limits of one kind on a metric", "Goal.limits", f"{before}, {limit}",
                                  "one", "drop one of them", "CONFIG-048")  # fmt: skip
                    continue
                least, most = sorted((before, limit), key=lambda x: x.most is not None)
                if least.bound > most.bound:
                    yield Problem("no value keeps both limits", "Goal.limits", f"{least}, {most}", "a range",
                                  f"{least.metric} >= {most.bound:g}, <= {least.bound:g}?", "CONFIG-048")  # fmt: skip

    @property
    def goals(self) -> tuple[Goal, ...]:
        """Each goal by itself, the first one first."""
        return (replace(self, also=(), limits=()), *self.also) if self.also or self.limits else (self,)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics of the goals."""
        return (self.metric, *(g.metric for g in self.also))

    @property
    def named(self) -> tuple[str, ...]:
        """All metrics that must be known of a trial: those of the goals and of the limits."""
        return tuple(dict.fromkeys((*self.metrics, *(limit.metric for limit in self.limits))))

    @property
    def early(self) -> Goal:
        """What a trial can be judged by before its end: the first goal, and limits on what a model costs. A recall that
        is too low may still rise."""
        return replace(self, also=(), limits=tuple(x for x in self.limits if x.metric in COSTS and x.most is not None))

    @property
    def early_enough(self) -> bool:
        """Whether what a trial is judged by before its end says enough to cut it short."""
        return not self.also and len(self.early.limits) == len(self.limits)

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

    def __str__(self) -> str:
        told = [f"{g.direction} {g.metric}" for g in self.goals]
        last = [f"pick the {self.pick}"] if self.pick != "best" else []
        return ", ".join([*told, *map(str, self.limits), *last])

    def __repr__(self) -> str:
        told = [f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if getattr(self, f.name) != ()]
        return f"Goal({', '.join(told)})"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _named(metric: object, what: str) -> None:
    if not isinstance(metric, str) or not metric:
        raise SettingError(f"the {what} has no name", where=what, got=shown(metric), expected="text",
                           fix="the name that the objective reports it by", code="CONFIG-048")  # fmt: skip
