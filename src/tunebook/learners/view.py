"""A data set under a context, as arrays that classic learners take. What is learned from data is from training rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunebook.data import Dataset, Folds, Parts, Preprocessor, Split, open_dataset
from tunebook.learners.categories import Coded
from tunebook.metrics import METRICS
from tunebook.trial import Context

Array = NDArray[Any]
OPENED = 12  # views that a process keeps: the folds of a cross-validation
PROBED = 1_000  # training rows at most on which training scores are measured


@dataclass(frozen=True, eq=False)
class View:
    """Rows to train on and rows to validate on (none for the final training); ``draw`` seeds what is drawn."""

    dataset: Dataset
    train: Array
    valid: Array
    fingerprint: str

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels in the order of their codes; empty for a regression."""
        return self.dataset.classes

    @property
    def features(self) -> int:
        """Number of input columns."""
        return int(np.prod(self.dataset.inputs.shape[1:]))

    @cached_property
    def preprocessor(self) -> Preprocessor:
        """Learned from the rows that are trained on, and from no others."""
        return Preprocessor.fit(self.dataset, self.train)

    @cached_property
    def targets(self) -> Array:
        """(m,) targets of the training rows: codes, or values standardised to mean 0 and deviation 1."""
        told = self.dataset.targets[self.train]
        return told if self.classes else (told - self.preprocessor.target_center) * self.preprocessor.target_gain

    @cached_property
    def probed(self) -> Array:
        """Training rows on which training scores are measured."""
        if len(self.train) <= PROBED:
            return self.train
        return np.sort(np.random.default_rng(0).choice(self.train, PROBED, replace=False))

    def inputs(self, rows: Array, scaled: bool) -> Array:
        """(m, features) inputs of rows: filled and standardised, or as they are, with NaN where a value is missing."""
        return prepared(self.dataset.inputs[rows], self.preprocessor, scaled)

    @cached_property
    def scaled(self) -> Array:
        """Training rows, filled and standardised, float64."""
        return self.inputs(self.train, True)

    @cached_property
    def raw(self) -> Array:
        """Training rows as they are, float32."""
        return self.inputs(self.train, False)

    @cached_property
    def coded(self) -> Coded:
        """Which categories have so many levels that trees do better with codes."""
        return Coded.of(self.dataset)

    def undo(self, values: Array) -> Array:
        """Predicted values of a regression in the units of the target."""
        return self.preprocessor.undo_targets(values)

    def scores(self, wanted: Sequence[str], rows: Array, predicted: Array, prefix: str = "") -> dict[str, float]:
        """The usual metrics of predictions for rows, and those ``wanted`` for goals and limits."""
        usual = ("accuracy", "log_loss") if self.classes else ("rmse", "r2")
        names = [*usual, *(n for n in wanted if n in METRICS and n not in usual)]
        truth = self.dataset.targets[rows]
        constant = not self.classes and float(np.ptp(truth)) == 0.0  # R2 is not defined there
        return {
            prefix + n: METRICS[n](truth, predicted)
            for n in names
            if METRICS[n].task == self.dataset.task and not (n == "r2" and constant and n not in wanted)
        }


def prepared(inputs: Array, preprocessor: Preprocessor, scaled: bool) -> Array:
    """(n, features) inputs for an estimator: float64 filled and standardised, or float32 with NaN as it is."""
    flat = inputs.reshape(len(inputs), -1)
    if scaled:
        return preprocessor.apply(inputs).reshape(len(inputs), -1).astype(np.float64)
    return flat.astype(np.float32)


@lru_cache(maxsize=OPENED)
def view(data: str, split: Split, folds: Folds | None, step: int, context: Context) -> View:
    """The data set named ``data`` under a context (its seed should be 0); a step matters with ``folds`` only.

    With folds, ``context.fold`` numbers other draws of them; of a final training it is the fold that a model of a bag
    is trained without, 0 for none. Raises DataError.
    """
    dataset = open_dataset(data)
    parts = split.parts(dataset)
    if context.final and context.fold and folds is not None:
        bag = folds.cut(parts, context.fold, 0, dataset.groups)
        return _view(dataset, replace(bag, valid=bag.valid[:0]))
    if context.final:
        everything = np.sort(np.concatenate([parts.train, parts.valid]))
        return _view(dataset, replace(parts, train=everything, valid=everything[:0]))
    if folds is not None:
        parts = folds.cut(parts, step, context.fold, dataset.groups)
    return _view(dataset, parts.fraction(context.fraction) if context.fraction < 1 else parts)


def _view(dataset: Dataset, parts: Parts) -> View:
    return View(dataset, parts.train, parts.valid, parts.fingerprint())
