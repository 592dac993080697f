"""The preprocessor learns from the training rows alone; scikit-learn is the reference."""

import json

import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tunebook.data import Dataset, Preprocessor, Split, from_arrays, load_sklearn
from tunebook.errors import DataError


def with_holes(seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    x = rng.normal(5, 3, size=(200, 4))
    x[rng.random(x.shape) < 0.2] = np.nan
    return from_arrays(x, rng.normal(100, 20, 200))


def test_agrees_with_scikit_learn():
    data = with_holes()
    rows = Split(seed=1).parts(data).train
    reference = make_pipeline(SimpleImputer(strategy="median"), StandardScaler()).fit(data.inputs[rows])
    ours = Preprocessor.fit(data, rows).apply(data.inputs)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, reference.transform(data.inputs), rtol=1e-5, atol=1e-6)


def test_other_rows_teach_it_nothing():
    data = with_holes()
    rows = Split(seed=1).parts(data).train
    other = data.inputs.copy()
    other[np.setdiff1d(np.arange(len(data)), rows)] = 1e9
    assert Preprocessor.fit(data, rows) == Preprocessor.fit(from_arrays(other, data.targets), rows)


def test_goes_through_json_unchanged():
    for data in (with_holes(), load_sklearn("digits"), load_sklearn("iris")):
        fitted = Preprocessor.fit(data)
        assert Preprocessor.from_json(json.loads(json.dumps(fitted.to_json()))) == fitted


def test_images_and_sequences_are_scaled_by_channel():
    rng = np.random.default_rng(0)
    labels = np.arange(50) % 2
    images = from_arrays(rng.normal([[[0]], [[10]], [[5]]], [[[1]], [[4]], [[9]]], size=(50, 3, 6, 7)), labels)
    scaled = Preprocessor.fit(images).apply(images.inputs)
    np.testing.assert_allclose(scaled.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=(0, 2, 3)), 1, atol=1e-4)
    flat = from_arrays(rng.normal(3, 2, size=(50, 30)), labels, kind="sequence")
    scaled = Preprocessor.fit(flat).apply(flat.inputs)
    assert abs(scaled.mean()) < 1e-5 and abs(scaled.std() - 1) < 1e-4
    assert len(Preprocessor.fit(flat).center) == 1


def test_token_ids_pass_through():
    tokens = from_arrays(np.arange(60).reshape(20, 3), np.arange(20) % 2, kind="sequence")
    assert (Preprocessor.fit(tokens).apply(tokens.inputs) == tokens.inputs).all()


def test_a_column_that_is_flat_or_empty_in_training_gives_zero():
    x = np.column_stack([np.arange(10.0), np.full(10, 0.1), np.full(10, np.nan), np.full(10, 7.0)])
    x[9] = [1, 3, 4, 8]
    data = from_arrays(x, np.arange(10) * 1.5)
    scaled = Preprocessor.fit(data, np.arange(9)).apply(data.inputs)
    assert (scaled[:, 1:] == 0).all() and np.ptp(scaled[:, 0]) > 0


def test_regression_targets_come_back_in_their_units():
    data = with_holes()
    fitted = Preprocessor.fit(data, np.arange(100))
    scaled = fitted.apply_targets(data.targets)
    assert abs(scaled[:100].mean()) < 1e-5 and abs(scaled[:100].std() - 1) < 1e-5
    np.testing.assert_allclose(fitted.undo_targets(scaled), data.targets, rtol=1e-5)
    labels = load_sklearn("iris")
    assert Preprocessor.fit(labels).apply_targets(labels.targets) is labels.targets


def test_refuses_other_shapes_and_no_rows():
    data = with_holes()
    with pytest.raises(DataError, match=r"got \(200, 3\); expected \(n, 4\)"):
        Preprocessor.fit(data).apply(data.inputs[:, :3])
    with pytest.raises(DataError, match="nothing to learn"):
        Preprocessor.fit(data, np.array([], dtype=int))
