"""Categories with many levels as one column of codes, for trees that split on sets of categories."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunebook.data import Dataset
from tunebook.errors import CheckpointError

Array = NDArray[Any]
MANY = 12  # levels from which on 0/1 columns make trees deep: each split takes out one level only
MOST = 250  # scikit-learn's histograms hold 255 codes
FILE = "categories.json"


@dataclass(frozen=True)
class Coded:
    """``groups``: (first column, number of columns) of the 0/1 columns that become one column of codes."""

    groups: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, dataset: Dataset) -> Coded:
        """The categories of a table that have many levels."""
        told, at = [], 0
        for column in dataset.encoding.columns if dataset.encoding is not None else ():
            width = len(column.feature_names())
            if column.categories is not None and MANY <= width <= MOST:
                told.append((at, width))
            at += width
        return cls(tuple(told))

    def apply(self, inputs: Array) -> Array:
        """(n, features) -> (n, other features, then a code a group); NaN for a row that is none of the categories."""
        if not self.groups:
            return inputs
        codes = []
        for first, width in self.groups:
            flags = inputs[:, first : first + width]
            codes.append(np.where(flags.max(axis=1) > 0, flags.argmax(axis=1), np.nan).astype(inputs.dtype))
        return np.column_stack([inputs[:, self._others(inputs.shape[1])], *codes])

    def is_code(self, features: int) -> list[bool]:
        """Of each column of ``apply``, given how many features go in."""
        return [False] * len(self._others(features)) + [True] * len(self.groups)

    def names(self, features: Sequence[str]) -> tuple[str, ...]:
        """Names of the columns of ``apply``."""
        others = tuple(features[i] for i in self._others(len(features)))
        return (*others, *(features[first].partition("=")[0] for first, _ in self.groups))

    def _others(self, features: int) -> list[int]:
        folded = {i for first, width in self.groups for i in range(first, first + width)}
        return [i for i in range(features) if i not in folded]

    def files(self) -> dict[str, bytes]:
        """What it takes to do the same again, as the bytes of files; none without groups."""
        return {FILE: json.dumps(self.groups).encode()} if self.groups else {}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], where: str) -> Coded:
        """Raises CheckpointError."""
        if FILE not in files:
            return cls()
        try:
            return cls(tuple((int(first), int(width)) for first, width in json.loads(files[FILE])))
        except (ValueError, TypeError) as error:
            raise CheckpointError("the categories cannot be read", where=where, got=str(error)[:200]) from error


PLAIN = Coded()
