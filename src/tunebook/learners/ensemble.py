"""Saved models that answer together: a weighted mean of what they predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunebook.data import rows_of
from tunebook.errors import CheckpointError
from tunebook.learners.fitted import Shown
from tunebook.learners.saved import FORMAT, TableCard, TableModel, labelled, table_model_of, versions
from tunebook.sealed import CARD, read_card, read_file, write_sealed

Array = NDArray[Any]
KIND = "ensemble"


@dataclass(frozen=True, eq=False)
class EnsembleModel:
    """Trained models and their weights, which sum to 1; used like one of them."""

    card: TableCard
    members: tuple[TableModel, ...]
    weights: tuple[float, ...]

    def predict(self, inputs: Any) -> Array:
        """Inputs -> (n,) labels in the type of the data's own targets, or values in their units.

        ``inputs``: (n, ...) as the data set had them; for a model of a table also a data frame, or the path of a file.
        See ``tunebook.data.rows_of``, with its errors.
        """
        if self.card.classes:
            return labelled(self.predict_proba(inputs), self.card)
        rows = self._rows(inputs)
        return self._mean([m.predict(rows) for m in self.members])

    def predict_proba(self, inputs: Any) -> Array:
        """(n, ...) inputs -> (n, classes) probabilities. Raises CheckpointError for a regression, which has none."""
        rows = self._rows(inputs)
        told = self._mean([m.predict_proba(rows) for m in self.members])
        return told if self.card.calibrator is None else self.card.calibrator.apply(told)

    def parameters(self) -> list[Shown]:
        """The weights of the members."""
        return [Shown("weights", np.array(self.weights), tuple(m.card.learner for m in self.members))]

    def _rows(self, inputs: Any) -> Array:
        return rows_of(inputs, self.card.preprocessor, self.card.encoding, self.card.features)

    def _mean(self, told: Sequence[Array]) -> Array:
        total = np.zeros_like(told[0])
        for weight, one in zip(self.weights, told, strict=True):  # in order, so that sums are the same everywhere
            total = total + weight * one
        return total


def save_ensemble(folder: Path, members: Sequence[Path], weights: Sequence[float], about: Mapping[str, Any]) -> Path:
    """Write the models of some folders, with their weights, to one folder; returns it."""
    told: dict[str, Any] = {}
    files: dict[str, bytes] = {}
    for i, member in enumerate(members):
        card = read_card(member)
        told = told or card
        files[f"member-{i}/{CARD}"] = (member / CARD).read_bytes()
        files |= {f"member-{i}/{name}": read_file(member, card, name) for name in card["files"]}
    first = TableCard.from_json(told)
    own = replace(first, learner="ensemble", config={}, metrics={}, about=dict(about))
    whole = {**own.to_json(), "kind": KIND, "format": FORMAT, "versions": versions(), "weights": list(weights)}
    return write_sealed(folder, whole, files)


def ensemble_of(folder: Path, told: Mapping[str, Any], trusted: Sequence[str] = ()) -> EnsembleModel:
    """The model in a folder whose card was read. Raises CheckpointError for a damaged, edited or foreign one."""
    if told.get("format") != FORMAT:
        raise CheckpointError("the model was saved by another version of tunebook", where=str(folder / CARD),
                              got=f"format {told.get('format')}", expected=f"format {FORMAT}")  # fmt: skip
    for name in told["files"]:
        read_file(folder, told, name)
    places = [folder / f"member-{i}" for i in range(len(told["weights"]))]
    members = tuple(table_model_of(place, read_card(place), trusted) for place in places)
    return EnsembleModel(TableCard.from_json(told), members, tuple(told["weights"]))
