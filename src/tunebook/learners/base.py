"""Learners: families of models that tune out of the box, each with a search space and an objective.

    learner = learner_named("cnn")
    space = learner.space(dataset)
    objective = learner.objective("sklearn:digits", Split(seed=0), goal, steps=30)

An objective holds the *name* of its data, never the data: it is small to send to a worker, which opens the data once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from tunebook.data import Dataset, Split
from tunebook.metrics import METRICS
from tunebook.objective import Objective
from tunebook.space import Space
from tunebook.trial import Direction, Goal

MODEL = "model"


class Learner(ABC):
    """A family of models: how to search it and how to train one."""

    name: ClassVar[str]
    supervised: ClassVar[bool] = True

    def goal(self, dataset: Dataset) -> Goal:
        """What is optimised unless it is told: accuracy for classes, rmse for numbers."""
        usual = "accuracy" if dataset.task == "classification" else "rmse"
        return Goal(usual, Direction(METRICS[usual].direction))

    def metrics(self, dataset: Dataset) -> list[str]:
        """What can be optimised."""
        return [*(name for name, m in METRICS.items() if m.task == dataset.task), "loss"]

    def costs(self) -> list[str]:
        """What further goals and limits may be about, beside ``metrics``: ``seconds`` of training and ``memory`` (MB).

        Some families also have ``latency`` (ms in which one example is predicted) and ``parameters`` (numbers of the
        model, of networks).
        """
        return ["seconds", "memory"]

    @abstractmethod
    def space(self, dataset: Dataset) -> Space:
        """The search space that a careful practitioner starts from; its default configuration is the baseline."""

    def space_for(self, dataset: Dataset, trials: int) -> Space:
        """The space for a study of so many trials: some hyperparameters are worth it only with many."""
        return self.space(dataset)

    def check_space(self, space: Space, dataset: Dataset, goal: Goal) -> None:  # noqa: B027  (most have no more to say)
        """Raise SettingError for a space whose default no model of the family can be trained with, before any is."""

    @abstractmethod
    def objective(self, data: str, split: Split, goal: Goal, steps: int) -> Objective:
        """What to tune, for the data set named ``data``; a full training has ``steps`` steps."""

    def about(self) -> Mapping[str, str]:
        """What the record and a saved model are to say of the family, beside its name."""
        return {}

    def load_model(self, folder: Path) -> Any:
        """A model of this family that was saved. Raises CheckpointError."""
        from tunebook.learners import load_model  # noqa: PLC0415  (it imports this module)

        return load_model(folder)
