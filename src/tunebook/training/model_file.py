"""A finished model as a folder: ``model.safetensors`` with the weights, ``model.json`` with all else.

Both are plain data, so a model from a stranger cannot run code; both are under a digest, so a damaged or edited one is
refused. ``load_model(folder).predict(inputs)`` takes inputs as the data set had them.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tunebook.data import TEXT, Preprocessor, TableEncoding, rows_of, typed_labels
from tunebook.errors import CheckpointError, nearest
from tunebook.sealed import CARD, read_card, read_file, write_sealed
from tunebook.space import Config
from tunebook.training.evaluate import channels_last, predict
from tunebook.training.losses import flat
from tunebook.training.models import BUILDERS, Inputs, LearnedTensor, built, learned
from tunebook.training.tensor_file import pack, unpack

FORMAT = 2
WEIGHTS = "model.safetensors"
Array = NDArray[Any]
Build = Callable[..., nn.Module]


@dataclass(frozen=True)
class Card:
    """What it takes to use a model again.

    builder       name in ``tunebook.training.models.BUILDERS``; empty for a model of one's own
    shape         of one example, after preprocessing
    classes       labels in the order of the outputs; empty for a regression
    encoding      how the columns of a file became the inputs, for tables
    epoch, metrics   where training ended and what it measured there
    about         what a person may want to know later: data, seed, versions
    label_type    type in which labels are predicted: that of the data's own targets
    """

    builder: str
    config: Config
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    preprocessor: Preprocessor
    encoding: TableEncoding | None = None
    epoch: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    label_type: str = TEXT

    @property
    def outputs(self) -> int:
        """Number of outputs of the network."""
        return len(self.classes) or 1

    @property
    def inputs(self) -> Inputs:
        """What an example looks like to the network."""
        return Inputs.read(self.shape, self.encoding, self.preprocessor.vocabulary)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; metrics that are not finite are left out."""
        told = asdict(self)
        told["config"], told["about"] = dict(self.config), dict(self.about)
        told["preprocessor"] = self.preprocessor.to_json()
        told["encoding"] = self.encoding.to_json() if self.encoding else None
        told["metrics"] = {name: value for name, value in self.metrics.items() if math.isfinite(value)}
        return told

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Card:
        encoding = TableEncoding.from_json(told["encoding"]) if told["encoding"] else None
        return cls(
            told["builder"],
            told["config"],
            tuple(told["shape"]),
            tuple(told["classes"]),
            Preprocessor.from_json(told["preprocessor"]),
            encoding,
            told["epoch"],
            told["metrics"],
            told["about"],
            told.get("label_type", TEXT),
        )


@dataclass(frozen=True, eq=False)
class SavedModel:
    """A trained model that predicts. ``card`` tells what it is."""

    card: Card
    network: nn.Module

    def predict(self, inputs: Any) -> Array:
        """Inputs -> (n,) labels in the type of the data's own targets, or values in their units.

        ``inputs``: (n, ...) as the data set had them; for a model of a table also a data frame, or the path of a file.
        See ``tunebook.data.rows_of``, with its errors.
        """
        outputs = self._outputs(inputs)
        if not self.card.classes:
            return self.card.preprocessor.undo_targets(flat(outputs).numpy())
        labels: Array = typed_labels(self.card.classes, self.card.label_type)[outputs.argmax(dim=1).numpy()]
        return labels

    def predict_proba(self, inputs: Any) -> Array:
        """(n, ...) inputs -> (n, classes) probabilities, float64, in the order of ``card.classes``.

        Raises CheckpointError for a regression, which has none.
        """
        if not self.card.classes:
            raise CheckpointError("a regression has no probabilities", fix="use predict")
        probabilities: Array = torch.softmax(self._outputs(inputs).double(), dim=1).numpy()
        return probabilities

    def parameters(self) -> list[LearnedTensor]:
        """What was learned, one row a tensor."""
        return learned(self.network)

    def _outputs(self, inputs: Any) -> Tensor:
        rows = rows_of(inputs, self.card.preprocessor, self.card.encoding)
        return predict(self.network, torch.from_numpy(np.array(self.card.preprocessor.apply(rows))))


def save_model(folder: Path, card: Card, weights: Mapping[str, Tensor]) -> Path:
    """Write a model to a folder, which appears whole or not at all and replaces one that is there; returns it."""
    told = {**card.to_json(), "format": FORMAT, "versions": _versions()}
    return write_sealed(folder, told, {WEIGHTS: pack({"weights": weights}, {})})


def load_model(folder: Path | str, build: Build | None = None) -> SavedModel:
    """The model in a folder. ``build`` is needed for a model that is not one of tunebook's: see ``models.built``.

    Raises CheckpointError for a folder that is missing something, was damaged or edited, or does not fit ``build``.
    """
    folder = Path(folder)
    told = read_card(folder)
    if told.get("format") != FORMAT:
        raise CheckpointError(
            "the model was saved by another version of tunebook",
            where=str(folder / CARD),
            got=f"format {told.get('format')}",
            expected=f"format {FORMAT}",
        )
    data = read_file(folder, told, WEIGHTS)
    card = Card.from_json(told)
    if build is None and card.builder not in BUILDERS:
        raise CheckpointError(
            "the model is not one that tunebook builds",
            where=str(folder),
            got=f"one that {made} built" if (made := card.about.get("build")) else repr(card.builder),
            expected="the function that built it" if made else nearest(card.builder, BUILDERS),
            fix=f"tunebook.load(folder, build={str(made or '').partition(':')[2] or 'your_function'})",
        )
    with torch.random.fork_rng([]):
        network = (
            built(build, card.config, card.shape, card.outputs)
            if build
            else BUILDERS[card.builder](card.config, card.inputs, card.outputs)
        )
    parts, _ = unpack(data, str(folder / WEIGHTS))
    try:
        network.load_state_dict(parts.get("weights", {}))
    except RuntimeError as error:
        raise CheckpointError("the weights do not fit the model", where=str(folder), got=str(error)[:500]) from error
    return SavedModel(card, channels_last(network).eval())


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "safetensors": safetensors.__version__,
    }
