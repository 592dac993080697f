"""What a job is after: its metric, further goals and limits, as files, flags and variables tell them.

    also = ["seconds", {metric = "recall", direction = "maximize"}]     --also seconds --also recall:maximize
    limits = {memory = {most = 500}, recall = {least = 0.9}}            --limit "memory <= 500" --limit "recall >= 0.9"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tunebook.cli.job import Job
from tunebook.errors import Problem, SettingError, shown
from tunebook.metrics import METRICS
from tunebook.trial import Direction, Goal, Limit


def goal_of(job: Job) -> Goal | None:
    """The goal, with further ones and limits; None where a model's own is wanted and nothing else is told.

    A metric that tunebook knows brings its direction along. Raises SettingError, with all that is wrong.
    """
    told = [*_goals(job.also), *_limits(job.limits)]
    found = [p for p in told if isinstance(p, Problem)]
    if found:
        raise SettingError(found)
    also, limits = [g for g in told if isinstance(g, Goal)], [x for x in told if isinstance(x, Limit)]
    first = _first(job, bool(also or limits))
    return None if first is None else replace(first, also=also, limits=limits)


def _first(job: Job, wanted: bool) -> Goal | None:
    """The first goal; of a model where none is told that of its family, if it is ``wanted``."""
    if job.metric is not None:
        return _goal(job.metric, job.direction)
    if not wanted or job.model is None or job.data is None:
        return None
    from tunebook.data import open_dataset  # noqa: PLC0415
    from tunebook.learners import learner_named  # noqa: PLC0415

    return learner_named(job.model).goal(open_dataset(job.data))


def _goal(metric: str, direction: str | None = None) -> Goal:
    known = METRICS.get(metric)
    usual = known.direction if known is not None else Direction.MINIMIZE
    return Goal(metric, Direction(usual) if direction is None else direction)  # type: ignore[arg-type]


def _goals(told: Any) -> Iterator[Goal | Problem]:
    for one in _listed(told):
        try:
            if isinstance(one, Mapping) and one.keys() <= {"metric", "direction"} and "metric" in one:
                yield _goal(one["metric"], one.get("direction"))
            elif isinstance(one, str):
                metric, colon, direction = one.partition(":")
                yield _goal(metric.strip(), direction.strip() if colon else None)
            else:
                yield Problem("this is not a further goal", "also", shown(one), "a metric, or metric and direction",
                              'also = [{metric = "recall", direction = "maximize"}]', "CONFIG-048")  # fmt: skip
        except SettingError as error:
            yield from (replace(p, where="also") for p in error.problems)


def _limits(told: Any) -> Iterator[Limit | Problem]:
    pairs = told.items() if isinstance(told, Mapping) else [(None, one) for one in _listed(told)]
    for metric, one in pairs:
        try:
            if metric is None and isinstance(one, str):
                yield Limit.read(one)
            elif metric is not None and isinstance(one, Mapping) and one and one.keys() <= {"most", "least"}:
                yield from (Limit(metric, **{kind: bound}) for kind, bound in one.items())
            else:
                yield Problem("this is not a limit", f"limits.{metric}" if metric else "limits", shown(one),
                              "most or least, a number", "[limits] memory = { most = 500 }", "CONFIG-048")  # fmt: skip
        except SettingError as error:
            yield from (replace(p, where=f"limits.{metric}" if metric else "limits") for p in error.problems)


def _listed(told: Any) -> Sequence[Any]:
    """A list; text is taken apart at its commas, as a variable tells several."""
    if isinstance(told, str):
        return [part.strip() for part in told.split(",") if part.strip()]
    return () if told is None else told
