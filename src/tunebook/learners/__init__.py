"""Families of models that tune out of the box."""

from __future__ import annotations

from collections.abc import Mapping

from tunebook.errors import SettingError, nearest
from tunebook.learners.base import Learner as Learner
from tunebook.learners.base import NetLearner as NetLearner
from tunebook.learners.base import NetObjective as NetObjective
from tunebook.learners.cnn import CnnLearner as CnnLearner
from tunebook.learners.mlp import MlpLearner as MlpLearner
from tunebook.training import SavedModel as SavedModel
from tunebook.training import load_model as load_model

LEARNERS: Mapping[str, type[Learner]] = {"mlp": MlpLearner, "cnn": CnnLearner}


def learner_named(name: str) -> Learner:
    """The learner of that name. Raises SettingError with the nearest name."""
    if name not in LEARNERS:
        raise SettingError("unknown model family", where="model", got=repr(name), expected=nearest(name, LEARNERS))
    return LEARNERS[name]()
