"""Families of models that tune out of the box. What needs torch, scikit-learn or XGBoost is loaded when it is used."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tunebook.errors import SettingError, nearest
from tunebook.learners.base import Learner as Learner

if TYPE_CHECKING:
    from tunebook.learners.cnn import CnnLearner as CnnLearner
    from tunebook.learners.mlp import MlpLearner as MlpLearner
    from tunebook.learners.net import NetLearner as NetLearner
    from tunebook.learners.net import NetObjective as NetObjective
    from tunebook.training import SavedModel as SavedModel
    from tunebook.training import load_model as load_model

# name of a family: where it is and what its class is called
LEARNERS: Mapping[str, tuple[str, str]] = {
    "mlp": ("tunebook.learners.mlp", "MlpLearner"),
    "cnn": ("tunebook.learners.cnn", "CnnLearner"),
}
_LATER: Mapping[str, str] = {
    **{name: module for module, name in LEARNERS.values()},
    "NetLearner": "tunebook.learners.net",
    "NetObjective": "tunebook.learners.net",
    "SavedModel": "tunebook.training",
    "load_model": "tunebook.training",
}


def learner_named(name: str) -> Learner:
    """The learner of that name. Raises SettingError with the nearest name."""
    if name not in LEARNERS:
        raise SettingError("unknown model family", where="model", got=repr(name), expected=nearest(name, LEARNERS))
    module, called = LEARNERS[name]
    learner: Learner = getattr(import_module(module), called)()
    return learner


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
