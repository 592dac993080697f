"""What a classic learner has learned: it predicts, it can be shown, and it goes into a safe file and comes back.

scikit-learn's estimators are kept by skops, which builds objects only of types that it is told to trust; boosters in
XGBoost's own JSON. Nothing is pickled.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunebook.errors import CheckpointError, MissingExtraError
from tunebook.learners.categories import PLAIN, Coded

Array = NDArray[Any]
# beyond what skops trusts by itself: trees, which are arrays behind a type, distances, a calibration's two numbers, and
# how gradient boosting checks columns of codes (what a partial calls must be trusted itself)
TRUSTED = (
    "numpy.dtype",
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "functools.partial",
    "sklearn.utils.validation.check_array",
)
ESTIMATOR, BOOSTER = "estimator.skops", "booster.json"


@dataclass(frozen=True, eq=False)
class Shown:
    """Learned parameters as a person wants to see them: an array, and what its rows and columns are."""

    name: str
    values: Array
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


class Fitted(ABC):
    """A trained model. ``scaled`` says which inputs it takes: see ``view.prepared``."""

    scaled: bool

    @abstractmethod
    def predict(self, inputs: Array) -> Array:
        """(n, features) -> (n, classes) probabilities, or (n,) standardised values of a regression."""

    @abstractmethod
    def files(self) -> dict[str, bytes]:
        """The model as the bytes of files."""

    @abstractmethod
    def shown(self, features: Sequence[str], classes: Sequence[str]) -> list[Shown]:
        """What was learned."""


@dataclass(frozen=True, eq=False)
class Estimator(Fitted):
    """A fitted scikit-learn estimator; ``outputs`` is the number of classes, 0 for a regression."""

    estimator: Any
    outputs: int
    scaled: bool
    coded: Coded = PLAIN

    def predict(self, inputs: Array) -> Array:
        inputs = self.coded.apply(inputs)
        if not self.outputs:
            return np.asarray(self.estimator.predict(inputs), dtype=np.float64).reshape(len(inputs))
        probabilities = np.zeros((len(inputs), self.outputs))
        seen = np.asarray(self.estimator.classes_, dtype=np.int64)
        if hasattr(self.estimator, "predict_proba"):
            probabilities[:, seen] = self.estimator.predict_proba(inputs)
        else:
            probabilities[np.arange(len(inputs)), np.asarray(self.estimator.predict(inputs), dtype=np.int64)] = 1.0
        return probabilities

    def files(self) -> dict[str, bytes]:
        return {ESTIMATOR: dumped(self.estimator), **self.coded.files()}

    def shown(self, features: Sequence[str], classes: Sequence[str]) -> list[Shown]:
        return shown_of(self.estimator, self.coded.names(features), tuple(classes))


@dataclass(frozen=True, eq=False)
class Boosted(Fitted):
    """An XGBoost booster; ``rounds`` of it count, all where 0."""

    booster: Any
    outputs: int
    rounds: int = 0
    scaled: bool = False
    coded: Coded = PLAIN

    def predict(self, inputs: Array) -> Array:
        inputs = self.coded.apply(inputs)
        told = np.asarray(self.booster.inplace_predict(inputs, iteration_range=(0, self.rounds)), dtype=np.float64)
        if self.outputs == 2:
            return np.stack([1 - told, told], axis=1)
        if self.outputs:
            probabilities: Array = told / told.sum(axis=1, keepdims=True)
            return probabilities
        return told

    def files(self) -> dict[str, bytes]:
        kept = self.booster[: self.rounds] if self.rounds else self.booster
        return {BOOSTER: bytes(kept.save_raw(raw_format="json")), **self.coded.files()}

    def shown(self, features: Sequence[str], classes: Sequence[str]) -> list[Shown]:
        features = self.coded.names(features)
        names = self.booster.get_score(importance_type="total_gain")
        gains = np.array([float(names.get(f"f{i}", 0.0)) for i in range(len(features))])
        total = gains.sum()
        return [Shown("importances (share of the gain)", gains / total if total else gains, tuple(features))]


def dumped(estimator: Any) -> bytes:
    """A scikit-learn estimator as bytes in the format of skops. Raises MissingExtraError."""
    data: bytes = _skops().dumps(estimator)
    return data


def loaded(data: bytes, where: str, trusted: Sequence[str] = ()) -> Any:
    """The estimator of ``dumped``. Raises CheckpointError for anything else, and for types that are not trusted."""
    skops = _skops()
    known = {*TRUSTED, *trusted}
    try:
        alien = [t for t in skops.get_untrusted_types(data=data) if t not in known]
        if not alien:
            return skops.loads(data, trusted=sorted(known))
    except Exception as error:
        raise CheckpointError("this is not an estimator that can be read", where=where,
                              got=f"{type(error).__name__}: {error}"[:200]) from error  # fmt: skip
    raise CheckpointError("the model holds objects of types that are not trusted", where=where,
                          got=", ".join(alien)[:300], fix="load_model(folder, trusted=[...]), if you know where it is "
                          "from")  # fmt: skip


def fitted_of(card: Mapping[str, Any], files: Mapping[str, bytes], where: str, trusted: Sequence[str] = ()) -> Fitted:
    """The model in a folder's files. Raises CheckpointError, MissingExtraError."""
    outputs, coded = len(card["classes"]), Coded.from_files(files, where)
    if BOOSTER in files:
        booster = xgboost().Booster()
        try:
            booster.load_model(bytearray(files[BOOSTER]))
        except Exception as error:
            raise CheckpointError("the booster cannot be read", where=where, got=str(error)[:200]) from error
        return Boosted(booster, outputs, coded=coded)
    return Estimator(loaded(files[ESTIMATOR], where, trusted), outputs, bool(card["scaled"]), coded)


def xgboost() -> Any:
    """The module. Raises MissingExtraError."""
    try:
        import xgboost  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtraError.of("xgboost", "xgboost", "the family xgboost") from error
    return xgboost


def get_ready() -> None:
    """Load what saved models are read with, where it is installed: that takes most of a second."""
    if find_spec("skops") is not None:
        _skops()
    if find_spec("xgboost") is not None:
        xgboost()


def _skops() -> Any:
    try:
        with _without("torch"):  # skops imports all of scikit-learn, which would take torch along where it is installed
            import skops.io  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtraError.of("skops", "data", "saving a scikit-learn model") from error
    return skops.io


@contextmanager
def _without(package: str) -> Iterator[None]:
    """While a package that is not loaded yet cannot be: most of the time in which skops loads would be torch's."""
    absent = package not in sys.modules
    if absent:
        sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if absent:
            del sys.modules[package]


def shown_of(estimator: Any, features: tuple[str, ...], classes: tuple[str, ...]) -> list[Shown]:
    """The learned attributes of a scikit-learn estimator that mean something to a person.

    Coefficients are for inputs in standard deviations; support vectors and centroids lie in those units too.
    """
    inner = getattr(estimator, "steps", [("", estimator)])[-1][1]
    calibrated = getattr(inner, "calibrated_classifiers_", None)
    inner = calibrated[0].estimator if calibrated else inner
    told: list[Shown] = []
    linear = getattr(inner, "kernel", "linear") == "linear"  # other kernels have no coefficients of the inputs
    if linear and hasattr(inner, "coef_"):
        coefficients = np.atleast_2d(np.asarray(inner.coef_, dtype=np.float64))
        rows = classes if len(coefficients) == len(classes) else classes[1:] if len(coefficients) == 1 else ()
        told.append(Shown("coefficients", coefficients, rows, features))
        told.append(Shown("intercept", np.atleast_1d(np.asarray(inner.intercept_, dtype=np.float64)), rows))
    if hasattr(inner, "support_vectors_"):
        told.append(Shown("support vectors", np.asarray(inner.support_vectors_), (), features))
        counts = np.asarray(getattr(inner, "n_support_", [len(inner.support_vectors_)]))
        told.append(Shown("support vectors a class", counts, classes if len(counts) == len(classes) else ()))
    if hasattr(inner, "cluster_centers_"):
        names = tuple(f"cluster {i}" for i in range(len(inner.cluster_centers_)))
        told.append(Shown("centroids", np.asarray(inner.cluster_centers_), names, features))
        told.append(Shown("assignments of the training rows", np.asarray(inner.labels_)))
    for i, (weights, biases) in enumerate(zip(*_layers(inner), strict=True), 1):
        told.append(Shown(f"weights of layer {i}", np.asarray(weights), features if i == 1 else ()))
        told.append(Shown(f"biases of layer {i}", np.asarray(biases)))
    if hasattr(inner, "feature_importances_"):
        told.append(Shown("importances", np.asarray(inner.feature_importances_), features))
    return told


def _layers(network: Any) -> tuple[Sequence[Array], Sequence[Array]]:
    """Weights and biases of a perceptron, layer by layer; none of anything else."""
    return getattr(network, "coefs_", ()), getattr(network, "intercepts_", ())
