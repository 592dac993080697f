"""What a job with a model is about: the goal, the space and the metrics, checked before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tunebook.errors import Problem, SettingError, nearest
from tunebook.space import Space
from tunebook.trial import Goal

if TYPE_CHECKING:
    from tunebook.data import Dataset
    from tunebook.learners import Learner


def learner_of(model: str | Learner) -> Learner:
    """The learner of that name, or as it is. Raises SettingError."""
    from tunebook.learners import learner_named  # noqa: PLC0415

    return learner_named(model) if isinstance(model, str) else model


def model_subject(
    model: str | Learner, data: str, goal: Goal | None, space: Space | Mapping[str, Any] | None, trials: int
) -> tuple[Goal, Space]:
    """What ``tune_model`` optimises and where, with what was not told filled in. Raises SettingError, DataError."""
    from tunebook.data import open_dataset  # noqa: PLC0415

    learner = learner_of(model)
    dataset = open_dataset(data)
    goal = goal or learner.goal(dataset)
    _check_metrics(learner, dataset, goal)
    if not isinstance(space, Space):
        space = learner.space_for(dataset, trials).updated_from_dict(space or {})
    learner.check_space(space, dataset, goal)
    return goal, space


def _check_metrics(learner: Learner, dataset: Dataset, goal: Goal) -> None:
    """Raise SettingError for metrics that trials would not report, DataError for those that the data has no value of.

    The first goal is about what a model is worth; further ones and limits also about what it costs.
    """
    from tunebook.metrics import METRICS, chance_level  # noqa: PLC0415

    worth, costs = learner.metrics(dataset), learner.costs()
    kind = f"a {dataset.task}" if learner.supervised else "a clustering"
    found = []
    for name in goal.named:
        known = worth if name == goal.metric else [*worth, *costs]
        if name not in known:
            where = "metric" if name == goal.metric else "also" if name in goal.metrics else "limits"
            expected = nearest(name, known)
            expected += "" if expected.startswith("one of") else f" one of: {', '.join(known)}"
            fix = "make the cost a further goal, or a limit" if name in costs else ""
            found.append(Problem(f"this is no metric of {kind}", where, name, expected, fix, "CONFIG-049"))
    if found:
        raise SettingError(found)
    for name in goal.named:
        if name in METRICS and learner.supervised:
            chance_level(dataset.targets, dataset.task, name)
