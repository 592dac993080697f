"""Families of models that tune out of the box. What needs torch, scikit-learn or XGBoost is loaded when it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebook.errors import SettingError, nearest
from tunebook.learners.base import Learner as Learner
from tunebook.sealed import read_card

if TYPE_CHECKING:
    from tunebook.learners.adaboost import AdaBoostLearner as AdaBoostLearner
    from tunebook.learners.auto import AutoLearner as AutoLearner
    from tunebook.learners.cnn import CnnLearner as CnnLearner
    from tunebook.learners.estimator import EstimatorLearner as EstimatorLearner
    from tunebook.learners.forest import ForestLearner as ForestLearner
    from tunebook.learners.histgb import HistGradientLearner as HistGradientLearner
    from tunebook.learners.kmeans import KMeansLearner as KMeansLearner
    from tunebook.learners.knn import KnnLearner as KnnLearner
    from tunebook.learners.linear import LinearLearner as LinearLearner
    from tunebook.learners.logistic import LogisticLearner as LogisticLearner
    from tunebook.learners.mlp import MlpLearner as MlpLearner
    from tunebook.learners.module import ModuleLearner as ModuleLearner
    from tunebook.learners.net import NetLearner as NetLearner
    from tunebook.learners.net import NetObjective as NetObjective
    from tunebook.learners.network import NetworkLearner as NetworkLearner
    from tunebook.learners.rnn import RnnLearner as RnnLearner
    from tunebook.learners.saved import TableModel as TableModel
    from tunebook.learners.svm import SvmLearner as SvmLearner
    from tunebook.learners.transformer import TransformerLearner as TransformerLearner
    from tunebook.learners.xgboost import XgboostLearner as XgboostLearner
    from tunebook.training import SavedModel as SavedModel

# name of a family: where it is and what its class is called
LEARNERS: Mapping[str, tuple[str, str]] = {
    "mlp": ("tunebook.learners.mlp", "MlpLearner"),
    "cnn": ("tunebook.learners.cnn", "CnnLearner"),
    "rnn": ("tunebook.learners.rnn", "RnnLearner"),
    "transformer": ("tunebook.learners.transformer", "TransformerLearner"),
    "linear": ("tunebook.learners.linear", "LinearLearner"),
    "logistic": ("tunebook.learners.logistic", "LogisticLearner"),
    "svm": ("tunebook.learners.svm", "SvmLearner"),
    "knn": ("tunebook.learners.knn", "KnnLearner"),
    "forest": ("tunebook.learners.forest", "ForestLearner"),
    "adaboost": ("tunebook.learners.adaboost", "AdaBoostLearner"),
    "network": ("tunebook.learners.network", "NetworkLearner"),
    "histgb": ("tunebook.learners.histgb", "HistGradientLearner"),
    "xgboost": ("tunebook.learners.xgboost", "XgboostLearner"),
    "kmeans": ("tunebook.learners.kmeans", "KMeansLearner"),
    "auto": ("tunebook.learners.auto", "AutoLearner"),
}
_LATER: Mapping[str, str] = {
    **{name: module for module, name in LEARNERS.values()},
    "NetLearner": "tunebook.learners.net",
    "NetObjective": "tunebook.learners.net",
    "ModuleLearner": "tunebook.learners.module",
    "EstimatorLearner": "tunebook.learners.estimator",
    "SavedModel": "tunebook.training",
    "TableModel": "tunebook.learners.saved",
}


def learner_named(name: str) -> Learner:
    """The learner of that name. Raises SettingError with the nearest name."""
    if name not in LEARNERS:
        raise SettingError("unknown model family", where="model", got=repr(name), expected=nearest(name, LEARNERS))
    module, called = LEARNERS[name]
    learner: Learner = getattr(import_module(module), called)()
    return learner


def load_model(folder: Path | str, trusted: Sequence[str] = (), build: Callable[..., Any] | None = None) -> Any:
    """A model that tunebook saved, of whatever family: ``predict``, ``predict_proba``, ``parameters``, ``card``.

    ``trusted`` names types that a model of one's own estimator may hold; ``build`` makes a module of one's own, for the
    weights to go to. Raises CheckpointError for a folder that is missing something, was damaged or edited, holds types
    that are not trusted, or does not fit ``build``.
    """
    folder = Path(folder)
    told = read_card(folder)
    if told.get("kind") == "table":
        from tunebook.learners.saved import table_model_of  # noqa: PLC0415

        return table_model_of(folder, told, trusted)
    if told.get("kind") == "ensemble":
        from tunebook.learners.ensemble import ensemble_of  # noqa: PLC0415

        return ensemble_of(folder, told, trusted)
    from tunebook.training import load_model as load_network  # noqa: PLC0415

    return load_network(folder, build)


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
