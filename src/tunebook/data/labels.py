"""Labels of classes as texts, and back in the type that the targets had."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
TEXT = "text"
EXACT = 2.0**53  # whole numbers below it are the same as int64 and as float64


def label_type(targets: Array) -> str:
    """The type in which labels of such targets come back: "text", "bool", or numpy's name of a type of numbers.

    Whole floats, as a table's target with gaps has them, come back as int64; they are equal to what they were.

    >>> label_type(np.array([0, 1], np.uint8)), label_type(np.array([1.0, 2.0])), label_type(np.array(["a", "b"]))
    ('uint8', 'int64', 'text')
    """
    kind = targets.dtype.kind
    if kind == "b":
        return "bool"
    if kind in "iu":
        return targets.dtype.name
    if kind == "f":
        whole = bool((targets == np.floor(targets)).all())
        if whole:
            return "int64" if float(np.abs(targets).max()) < EXACT else TEXT
        return targets.dtype.name if targets.dtype.itemsize <= 8 else TEXT
    return "bool" if set(np.unique(targets).tolist()) == {"True", "False"} else TEXT


def typed_labels(classes: Sequence[str], kind: str) -> Array:
    """(classes,) labels, in the type that ``label_type`` named.

    >>> typed_labels(("1", "2"), "int64").dtype.name, typed_labels(("False", "True"), "bool").tolist()
    ('int64', [False, True])
    """
    if kind == TEXT:
        return np.array(classes)
    if kind == "bool":
        return np.array([name == "True" for name in classes])
    dtype = np.dtype(kind)
    return np.array([float(name) if dtype.kind == "f" else int(name) for name in classes], dtype=dtype)
