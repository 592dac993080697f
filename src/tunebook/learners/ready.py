"""A data set under a context, as tensors that the training loop takes; opened once in a process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tunebook.data import Dataset, Parts, Preprocessor, Split, TableEncoding, open_dataset
from tunebook.errors import DataError
from tunebook.metrics import METRICS
from tunebook.metrics import Metric as Score
from tunebook.training import Part
from tunebook.training.losses import flat
from tunebook.training.models import Inputs
from tunebook.training.task import CLASSIFICATION, Metric, regression_metrics
from tunebook.trial import Context

OPENED = 4  # contexts that a process keeps


@dataclass(frozen=True, eq=False)
class Ready:
    """Preprocessed parts. The preprocessing was learned from the rows that are trained on, and from no others."""

    train: Part
    valid: Part | None
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    preprocessor: Preprocessor
    encoding: TableEncoding | None
    fingerprint: str
    label_type: str

    @property
    def outputs(self) -> int:
        """Number of outputs that a network needs."""
        return len(self.classes) or 1

    @property
    def inputs(self) -> Inputs:
        """What an example looks like to a network."""
        return Inputs.read(self.shape, self.encoding, self.preprocessor.vocabulary)

    def metrics(self, wanted: Sequence[str]) -> dict[str, Metric]:
        """What is measured each epoch: the loss and the usual scores, and those ``wanted`` for goals and limits."""
        usual = CLASSIFICATION if self.classes else regression_metrics(1 / self.preprocessor.target_gain)
        further = [METRICS[name] for name in wanted if name in METRICS and name not in usual]
        fitting = [m for m in further if (m.task == "classification") == bool(self.classes)]
        return {**usual, **{m.name: partial(self._score, m) for m in fitting}}

    def _score(self, metric: Score, outputs: Tensor, targets: Tensor) -> float:
        return metric(self._told(targets), self._predicted(outputs))

    def _predicted(self, outputs: Tensor) -> NDArray[Any]:
        return torch.softmax(outputs.double(), 1).cpu().numpy() if self.classes else self._told(flat(outputs))

    def _told(self, targets: Tensor) -> NDArray[Any]:
        values = targets.cpu().numpy()
        return values if self.classes else self.preprocessor.undo_targets(values)


@lru_cache(maxsize=OPENED)
def ready(data: str, split: Split, folds: int, context: Context) -> Ready:
    """The data set named ``data``, split, cut down to what the context says. The context's seed should be 0.

    Raises DataError for data that cannot be opened or is not for networks.
    """
    dataset = open_dataset(data)
    if dataset.inputs.dtype.kind != "f" and dataset.kind != "sequence":
        raise DataError(
            "networks need inputs that are measured, not counted out",
            where=dataset.name,
            got=f"inputs of dtype {dataset.inputs.dtype}",
            expected="floating-point numbers, or sequences of token ids",
            fix="convert them to float",
        )
    parts = split.parts(dataset)
    parts = parts.fold(folds, context.fold) if folds > 1 else parts
    if context.final:
        everything = np.sort(np.concatenate([parts.train, parts.valid]))
        return _ready(dataset, replace(parts, train=everything), with_valid=False)
    return _ready(dataset, parts.fraction(context.fraction) if context.fraction < 1 else parts, with_valid=True)


def _ready(dataset: Dataset, parts: Parts, *, with_valid: bool) -> Ready:
    preprocessor = Preprocessor.fit(dataset, parts.train)

    kind = np.int64 if preprocessor.vocabulary else np.float32

    def part(rows: NDArray[Any]) -> Part:
        inputs = torch.from_numpy(np.array(preprocessor.apply(dataset.inputs[rows]), dtype=kind))
        return Part(inputs, torch.from_numpy(np.array(preprocessor.apply_targets(dataset.targets[rows]))))

    return Ready(
        part(parts.train),
        part(parts.valid) if with_valid else None,
        tuple(dataset.inputs.shape[1:]),
        dataset.classes,
        preprocessor,
        dataset.encoding,
        parts.fingerprint(),
        dataset.label_type,
    )
