"""What training code may see, and the lock on the test part: a look is written down before it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from tunebook.data.dataset import Dataset
from tunebook.data.split import Parts
from tunebook.errors import DataError

Array = NDArray[Any]


@dataclass(frozen=True)
class Development:
    """The training and the validation part as data sets of their own; the test part is not in here."""

    train: Dataset
    valid: Dataset

    def merged(self) -> Dataset:
        """Train and validation as one data set, for the last training run when the choice is made."""
        return Dataset(
            np.concatenate([self.train.inputs, self.valid.inputs]),
            np.concatenate([self.train.targets, self.valid.targets]),
            self.train.kind,
            self.train.task,
            self.train.classes,
            self.train.feature_names,
            self.train.name,
            encoding=self.train.encoding,
        )


def develop(dataset: Dataset, parts: Parts) -> Development:
    """The two parts that training code may see.

    Raises DataError when the parts were cut from other data.
    """
    _check_same(dataset, parts)
    return Development(dataset.take(parts.train), dataset.take(parts.valid))


class LockedTest:
    """The test part behind ``look``: once, with a reason, and recorded before the data is given out.

    record   writes the look to the study's record and returns how many looks it holds now, this one included
    looks    how many looks the record holds already

    It refuses to be pickled or copied, and its repr shows no data.
    """

    __slots__ = ("_inputs", "_looks", "_record", "_rows", "_targets")

    def __init__(self, dataset: Dataset, parts: Parts, record: Callable[[str], int], looks: int = 0) -> None:
        _check_same(dataset, parts)
        if len(parts.test) == 0:
            raise DataError("this split has no test part", where=dataset.name, fix="Split(test=0.2)")
        self._record = record
        self._looks = looks
        self._rows = len(parts.test)
        self._inputs = dataset.inputs[parts.test]
        self._targets = dataset.targets[parts.test]

    @property
    def looks(self) -> int:
        """How many looks the record held when it was last asked."""
        return self._looks

    def __len__(self) -> int:
        return self._rows

    def __repr__(self) -> str:
        return f"LockedTest({self._rows} rows, {self._looks} looks)"

    def __reduce__(self) -> NoReturn:
        raise DataError(
            "the locked test part cannot be pickled or copied",
            fix="open the data set again where it is needed, and lock it there",
            code="DATA-201",
        )

    def look(self, reason: str, again: bool = False) -> tuple[Array, Array]:
        """Inputs (n, ...) and targets (n,) of the test part; the arrays are copies.

        Raises DataError without a reason, and on a second look unless ``again`` is True. When the record
        turns out to hold a look that this lock did not know of, the new look stays recorded, but no data is
        given. An error of ``record`` passes through, also without data.
        """
        if not reason.strip():
            raise DataError("a look at the test part needs a reason", fix="look('final evaluation')")
        if self._looks and not again:
            raise self._refusal(self._looks)
        before, self._looks = self._looks, self._record(reason)
        if self._looks != before + 1 and not again:
            raise self._refusal(self._looks - 1)
        return self._inputs.copy(), self._targets.copy()

    def _refusal(self, looks: int) -> DataError:
        return DataError(
            f"the test part was looked at already ({looks} {'time' if looks == 1 else 'times'})",
            where=f"{self._rows} test rows",
            expected="one look, after the configuration is chosen",
            fix="look(reason, again=True) if it must be; the report will count it",
            code="DATA-200",
        )


def _check_same(dataset: Dataset, parts: Parts) -> None:
    if parts.dataset != dataset.fingerprint():
        raise DataError(
            "this split was made from other data",
            where=dataset.name,
            got=f"fingerprint {dataset.fingerprint()[:12]}",
            expected=parts.dataset[:12],
            fix="split this data set: Split(...).parts(dataset)",
        )
