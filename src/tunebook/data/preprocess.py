"""Imputation and standardisation as plain numbers, learned from the training rows only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunebook.data.dataset import Dataset, Kind
from tunebook.errors import DataError

Array = NDArray[Any]


@dataclass(frozen=True)
class Preprocessor:
    """Fills missing values, then maps x to (x - center) * gain, per feature or channel.

    fill     median of the training rows of each feature (tables; else unused)
    center   mean of the training rows: one number a feature (table) or channel (image, sequence);
             a sequence (n, length) has one channel
    gain     1 / standard deviation, and 0 for a feature that does not vary in the training rows: it carries
             nothing there, and an untrained weight on it would be noise elsewhere
    target_center, target_gain   the same for the target of a regression; 0 and 1 for a classification
    shape    shape of one example

    vocabulary   of token ids (integer sequences): one more than the largest of the training rows, else 0

    Token ids pass through unchanged: center and gain are empty.
    """

    kind: Kind
    shape: tuple[int, ...]
    fill: tuple[float, ...]
    center: tuple[float, ...]
    gain: tuple[float, ...]
    target_center: float = 0.0
    target_gain: float = 1.0
    vocabulary: int = 0

    @classmethod
    def fit(cls, dataset: Dataset, rows: Array | None = None) -> Preprocessor:
        """Learn from these rows only, the training part; from all rows where none are named.

        Raises DataError when there are no rows, and for token ids below 0.
        """
        inputs = dataset.inputs if rows is None else dataset.inputs[rows]
        targets = dataset.targets if rows is None else dataset.targets[rows]
        if len(inputs) == 0:
            raise DataError("nothing to learn the preprocessing from", where=dataset.name, got="0 rows")
        told = (0.0, 1.0)
        if dataset.task == "regression":
            told = float(targets.mean()), _gain(np.array([targets.std()]), targets.mean(keepdims=True))[0] or 1.0
        shape = tuple(inputs.shape[1:])
        if dataset.kind == "sequence" and inputs.dtype.kind in "iu":
            return cls(dataset.kind, shape, (), (), (), *told, _vocabulary(inputs, dataset.name))
        fill: tuple[float, ...] = ()
        values = inputs.astype(np.float64)
        if dataset.kind == "table":
            seen = ~np.isnan(values).all(axis=0)
            medians = np.zeros(values.shape[1])
            medians[seen] = np.nanmedian(values[:, seen], axis=0)
            values = np.where(np.isnan(values), medians, values)
            fill = tuple(medians.tolist())
        axes = _pooled_axes(values.ndim, dataset.kind)
        center = np.atleast_1d(values.mean(axis=axes))
        gain = _gain(np.atleast_1d(values.std(axis=axes)), center)
        return cls(dataset.kind, shape, fill, tuple(center.tolist()), tuple(gain.tolist()), *told)

    def apply(self, inputs: Array) -> Array:
        """(n, ...) inputs as the data set gives them -> float32 of the same shape without missing values.

        Raises DataError for another shape than that of the examples it was fitted on.
        """
        inputs = self.fitting(inputs)
        if not self.center:
            return inputs
        values = inputs.astype(np.float64)
        if self.fill:
            values = np.where(np.isnan(values), np.array(self.fill), values)
        one = (1, -1) + (1,) * (values.ndim - 2) if len(self.center) > 1 else (1,) * values.ndim
        scaled = (values - np.array(self.center).reshape(one)) * np.array(self.gain).reshape(one)
        standard: Array = scaled.astype(np.float32)
        return standard

    def fitting(self, inputs: Array) -> Array:
        """The inputs, with the channel axis of one that (n, height, width) and (n, length) leave out.

        Raises DataError for another shape than that of the examples that it was fitted on.
        """
        one_channel = len(self.shape) > 1 and self.shape[0] == 1
        if tuple(inputs.shape[1:]) == self.shape:
            return inputs
        if one_channel and tuple(inputs.shape[1:]) == self.shape[1:]:
            return inputs[:, None]
        forms = [self.shape, *([self.shape[1:]] if one_channel else [])]
        raise DataError(
            "inputs do not have the shape of what the model was trained on",
            got=str(tuple(inputs.shape)),
            expected=" or ".join(f"(n, {', '.join(map(str, form))})" for form in forms),
            fix=self._way_to(inputs),
        )

    def _way_to(self, inputs: Array) -> str:
        """How inputs of another shape may come to the one that is needed."""
        if tuple(inputs.shape) in (self.shape, self.shape[1:] if self.shape[0] == 1 and self.kind != "table" else ()):
            return "inputs[None] for a single example"
        if inputs.ndim == 4 and len(self.shape) == 3 and (inputs.shape[3], *inputs.shape[1:3]) == self.shape:
            return "inputs.transpose(0, 3, 1, 2): channels come first"
        if inputs.ndim > 1 and np.prod(inputs.shape[1:]) == np.prod(self.shape):
            return f"inputs.reshape(-1, {', '.join(map(str, self.shape))}), if the values are in that order"
        if self.kind == "table":
            return "one number for each feature; a model of a CSV or Parquet file takes a data frame or such a file"
        return f"{self.kind}s of the size that was trained on: resize, cut or pad them"

    def apply_targets(self, targets: Array) -> Array:
        """(n,) targets of a regression, standardised to float32; class codes come back unchanged."""
        if targets.dtype.kind in "iu":
            return targets
        scaled: Array = ((targets - self.target_center) * self.target_gain).astype(np.float32)
        return scaled

    def undo_targets(self, targets: Array) -> Array:
        """(n,) standardised predictions of a regression back in the units of the data, float64."""
        restored: Array = np.asarray(targets, dtype=np.float64) / self.target_gain + self.target_center
        return restored

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, texts and lists."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Preprocessor:
        told: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
        return cls(**told)


def _vocabulary(ids: Array, where: str) -> int:
    if ids.min() < 0:
        raise DataError(
            "token ids are numbers from 0 on", where=where, got=str(ids.min()), fix="shift them; a sign needs floats"
        )
    return int(ids.max()) + 1


def _pooled_axes(ndim: int, kind: Kind) -> tuple[int, ...]:
    """Axes to average over: all but the features of a table or the channels; a (n, length) signal is one channel.

    >>> _pooled_axes(4, "image"), _pooled_axes(2, "table"), _pooled_axes(2, "sequence")
    ((0, 2, 3), (0,), (0, 1))
    """
    return tuple(axis for axis in range(ndim) if axis != 1 or (ndim == 2 and kind == "sequence"))


def _gain(std: Array, center: Array) -> Array:
    """1 / std, and 0 where the spread is only rounding (below 1e-7 of the size of the values)."""
    flat = std <= 1e-7 * np.abs(center)
    return np.where(flat, 0.0, 1.0 / np.where(flat, 1.0, std))
