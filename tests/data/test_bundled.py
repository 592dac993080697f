"""Data sets that need no download, against scikit-learn and the published sizes."""

import random

import numpy as np
import pytest
from sklearn import datasets

from tunebook.data import Split, load_mnist1d, load_sklearn
from tunebook.errors import DataError


@pytest.mark.parametrize("name", ["breast_cancer", "diabetes", "iris", "wine"])
def test_tables(name):
    bunch = getattr(datasets, f"load_{name}")()
    data = load_sklearn(name)
    assert (data.inputs == bunch.data).all() and (data.targets == bunch.target).all()
    assert data.feature_names == tuple(bunch.feature_names)
    assert data.classes == (() if name == "diabetes" else tuple(bunch.target_names))


def test_digits_are_images_in_the_unit_interval():
    data = load_sklearn("digits")
    assert data.inputs.shape == (1797, 1, 8, 8) and data.inputs.dtype == np.float32
    assert (data.inputs.min(), data.inputs.max()) == (0, 1)
    assert (data.inputs.reshape(1797, 64) * 16 == datasets.load_digits().data).all()
    assert data.classes == tuple("0123456789")


def test_an_unknown_set():
    with pytest.raises(DataError, match="did you mean 'digits'"):
        load_sklearn("digit")


def test_mnist1d():
    random.seed(7)
    np.random.seed(7)
    expected = (random.random(), np.random.random())
    random.seed(7)
    np.random.seed(7)
    data = load_mnist1d()
    assert (random.random(), np.random.random()) == expected
    assert data.inputs.shape == (5000, 1, 40) and data.kind == "sequence"
    assert abs(data.inputs.mean()) < 1e-4 and abs(data.inputs.std() - 1) < 1e-3
    assert np.bincount(data.targets).tolist() == [500] * 10
    parts = Split(seed=0).parts(data)
    assert (parts.test == np.arange(4000, 5000)).all()
    assert (len(parts.train), len(parts.valid)) == (3000, 1000)
    assert load_mnist1d() == data
