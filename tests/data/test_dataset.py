"""The law of Dataset: shapes, codes, frozen arrays, a fingerprint that other processes agree with."""

import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tunebook.data import Dataset, load_sklearn
from tunebook.errors import DataError

X = np.arange(12.0).reshape(6, 2)
Y = np.array([0, 1, 0, 1, 1, 0])


def make(**changes) -> Dataset:
    told = {"inputs": X, "targets": Y, "kind": "table", "task": "classification", "classes": ("a", "b")}
    return Dataset(**(told | changes))


def test_the_fingerprint_covers_what_matters():
    base = make()
    x = X.copy()
    x[0, 0] = 0.5
    others = [
        make(inputs=x),
        make(inputs=X.astype(np.float32)),
        make(targets=Y[::-1]),
        make(classes=("a", "c")),
        make(feature_names=("u", "v")),
        make(kind="sequence"),
        make(test_rows=np.array([1])),
        make(test_rows=np.array([2])),
        make(inputs=X.reshape(6, 1, 2), kind="sequence"),
    ]
    digests = [base.fingerprint(), *(o.fingerprint() for o in others)]
    assert len(set(digests)) == len(digests)
    assert make(name="other", notes=("a note",)).fingerprint() == base.fingerprint()


def test_the_fingerprint_does_not_depend_on_the_memory_layout():
    assert make(inputs=np.asfortranarray(X)).fingerprint() == make().fingerprint()
    assert make(inputs=X.astype(">f8")).fingerprint() == make().fingerprint()


def test_the_fingerprint_is_the_same_in_another_process():
    code = "from tunebook.data import *; print(load_sklearn('digits').fingerprint())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == load_sklearn("digits").fingerprint()


def test_it_is_frozen_also_after_pickling():
    for data in (make(), pickle.loads(pickle.dumps(make()))):
        assert data == make() and hash(data) == hash(make())
        with pytest.raises(ValueError, match="read-only"):
            data.inputs[0] = 1
    assert make() != make(classes=("x", "y")) and make() != "data"
    assert repr(make()) == "Dataset('data', table, inputs (6, 2), 2 classes)"


def test_take():
    part = replace(make(), test_rows=np.array([5])).take(np.array([3, 1]))
    assert part.targets.tolist() == [1, 1] and part.inputs.tolist() == [[6, 7], [2, 3]]
    assert part.test_rows is None and part.classes == ("a", "b")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kind": "tabel"}, "unknown kind"),
        ({"task": "clustering"}, "unknown task"),
        ({"inputs": X[0]}, "wrong shape for kind 'table'"),
        ({"inputs": X, "kind": "image"}, r"expected \(n, channels, height, width\)"),
        ({"inputs": X[:0], "targets": Y[:0]}, "empty"),
        ({"targets": Y[:5]}, r"6 inputs and targets of shape \(5,\)"),
        ({"feature_names": ("one",)}, "feature names do not fit"),
        ({"inputs": X.astype(str)}, "not numbers"),
        ({"inputs": np.where(X == 3, np.inf, X)}, r"1 input values are not finite(.|\n)*first at \(1, 1\)"),
        ({"inputs": np.where(X == 3, np.nan, X), "kind": "sequence"}, "not finite"),
        ({"classes": ("a",)}, "DATA-096"),
        ({"classes": ("a", "a")}, "same label"),
        ({"targets": Y + 1}, "not codes(.|\n)*from 1 to 2(.|\n)*from 0 to 1"),
        ({"targets": Y - 1}, "not codes"),
        ({"targets": Y.astype(float)}, "not codes"),
        ({"task": "regression"}, "a regression has no classes"),
        ({"task": "regression", "classes": ()}, "finite numbers"),
        ({"task": "regression", "classes": (), "targets": np.where(Y, np.nan, 1.0)}, "finite numbers"),
        ({"test_rows": np.arange(6)}, "do not name rows"),
        ({"test_rows": np.array([], dtype=int)}, "do not name rows"),
        ({"test_rows": np.array([0.5])}, "do not name rows"),
        ({"test_rows": np.array([3, 3])}, "do not name rows"),
        ({"test_rows": np.array([6])}, "do not name rows"),
        ({"test_rows": np.array([-1])}, "do not name rows"),
    ],
)
def test_what_it_refuses(changes, says):
    with pytest.raises(DataError, match=says):
        make(**changes)


def test_missing_values_are_allowed_in_tables():
    assert np.isnan(make(inputs=np.where(X == 3, np.nan, X)).inputs).sum() == 1
