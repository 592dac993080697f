"""A classic model as a folder: its card, and the estimator in a format that cannot run code."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunebook.analysis.calibration import Calibrator
from tunebook.data import TEXT, Preprocessor, TableEncoding, rows_of, typed_labels
from tunebook.errors import CheckpointError
from tunebook.learners.fitted import Fitted, Shown, fitted_of
from tunebook.learners.view import prepared
from tunebook.sealed import CARD, read_card, read_file, write_sealed
from tunebook.space import Config

Array = NDArray[Any]
FORMAT, KIND = 1, "table"
VERSIONS = ("tunebook", "numpy", "scikit-learn", "xgboost-cpu", "skops")


@dataclass(frozen=True)
class TableCard:
    """What it takes to use a model again.

    learner     name of the family
    classes     labels in the order of the outputs; empty for a regression
    features    names of the input columns
    scaled      whether the estimator takes filled and standardised inputs
    encoding    how the columns of a file became the inputs
    threshold   of two classes, the second is predicted from this probability on
    calibrator  what is done to probabilities, if anything is
    metrics     as measured when it was trained
    about       what a person may want to know later: data, rows, seed, versions
    label_type  type in which labels are predicted: that of the data's own targets
    """

    learner: str
    config: Config
    classes: tuple[str, ...]
    features: tuple[str, ...]
    preprocessor: Preprocessor
    scaled: bool
    encoding: TableEncoding | None = None
    threshold: float = 0.5
    metrics: Mapping[str, float] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    calibrator: Calibrator | None = None
    label_type: str = TEXT

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        told = asdict(self)
        told |= {"config": dict(self.config), "about": dict(self.about), "metrics": dict(self.metrics)}
        told["preprocessor"] = self.preprocessor.to_json()
        told["encoding"] = self.encoding.to_json() if self.encoding else None
        return told

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> TableCard:
        encoding = TableEncoding.from_json(told["encoding"]) if told["encoding"] else None
        return cls(
            told["learner"],
            told["config"],
            tuple(told["classes"]),
            tuple(told["features"]),
            Preprocessor.from_json(told["preprocessor"]),
            told["scaled"],
            encoding,
            told["threshold"],
            told["metrics"],
            told["about"],
            Calibrator.from_json(told["calibrator"]) if told.get("calibrator") else None,
            told.get("label_type", TEXT),
        )


@dataclass(frozen=True, eq=False)
class TableModel:
    """A trained classic model that predicts. ``card`` tells what it is."""

    card: TableCard
    fitted: Fitted

    def predict(self, inputs: Any) -> Array:
        """Inputs -> (n,) labels in the type of the data's own targets, or values in their units.

        ``inputs``: (n, ...) as the data set had them; for a model of a table also a data frame, or the path of a file.
        See ``tunebook.data.rows_of``, with its errors.
        """
        if not self.card.classes:
            return self.card.preprocessor.undo_targets(self._outputs(inputs))
        return labelled(self._outputs(inputs), self.card)

    def predict_proba(self, inputs: Any) -> Array:
        """(n, ...) inputs -> (n, classes) probabilities, in the order of ``card.classes``.

        Raises CheckpointError for a regression, which has none.
        """
        if not self.card.classes:
            raise CheckpointError("a regression has no probabilities", fix="use predict")
        return self._outputs(inputs)

    def parameters(self) -> list[Shown]:
        """What was learned: coefficients, support vectors, centroids, importances."""
        return self.fitted.shown(self.card.features, self.card.classes)

    def _outputs(self, inputs: Any) -> Array:
        rows = rows_of(inputs, self.card.preprocessor, self.card.encoding, self.card.features)
        told = self.fitted.predict(prepared(rows, self.card.preprocessor, self.card.scaled))
        return told if self.card.calibrator is None else self.card.calibrator.apply(told)


def labelled(probabilities: Array, card: TableCard) -> Array:
    """(n,) labels of (n, classes) probabilities; the card's threshold is for two classes."""
    if len(card.classes) == 2 and card.threshold != 0.5:
        codes = (probabilities[:, 1] >= card.threshold).astype(np.int64)
    else:
        codes = probabilities.argmax(axis=1)
    labels: Array = typed_labels(card.classes, card.label_type)[codes]
    return labels


def save_table_model(folder: Path, card: TableCard, fitted: Fitted) -> Path:
    """Write a model to a folder, which appears whole or not at all and replaces one that is there; returns it."""
    told = {**card.to_json(), "kind": KIND, "format": FORMAT, "versions": versions()}
    return write_sealed(folder, told, fitted.files())


def decide(folder: Path, threshold: float, calibrator: Calibrator | None) -> None:
    """Give a saved model, or ensemble, a threshold and a calibrator. Raises CheckpointError for a damaged folder."""
    told = read_card(folder)
    files = {name: read_file(folder, told, name) for name in told["files"]}
    card = {k: v for k, v in told.items() if k not in ("files", "digest")}
    decided = {"threshold": threshold, "calibrator": None if calibrator is None else asdict(calibrator)}
    write_sealed(folder, {**card, **decided}, files)


def table_model_of(folder: Path, told: Mapping[str, Any], trusted: Sequence[str] = ()) -> TableModel:
    """The model in a folder whose card was read. Raises CheckpointError for a damaged, edited or foreign one."""
    if told.get("format") != FORMAT:
        raise CheckpointError("the model was saved by another version of tunebook", where=str(folder / CARD),
                              got=f"format {told.get('format')}", expected=f"format {FORMAT}")  # fmt: skip
    files = {name: read_file(folder, told, name) for name in told["files"]}
    card = TableCard.from_json(told)
    return TableModel(card, fitted_of(told, files, str(folder), trusted))


def versions() -> dict[str, str]:
    """Of what the model's numbers depend on."""
    told = {"python": platform.python_version()}
    for package in VERSIONS:
        try:
            told[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return told
