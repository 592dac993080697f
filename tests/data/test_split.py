"""Laws of Split, Parts, fractions and folds, by property; and their errors."""

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunebook.data import Dataset, Split, leaks, load_sklearn
from tunebook.errors import DataError, SettingError


def classification(counts: list[int], seed: int = 0) -> Dataset:
    """A table with this many rows of each class, shuffled."""
    targets = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    inputs = np.arange(len(targets), dtype=float)[:, None]
    return Dataset(inputs, targets, "table", "classification", tuple(f"c{i}" for i in range(len(counts))))


def regression(n: int) -> Dataset:
    values = np.random.default_rng(n).normal(size=n)
    return Dataset(values[:, None], values, "table", "regression")


class_counts = st.lists(st.integers(3, 40), min_size=2, max_size=12)
shares = st.sampled_from([(0.6, 0.2, 0.2), (0.8, 0.1, 0.1), (0.5, 0.25, 0.25), (0.7, 0.3, 0.0), (0.34, 0.33, 0.33)])


@given(counts=class_counts, share=shares, seed=st.integers(0, 10**6))
def test_parts_are_disjoint_complete_and_stratified(counts, share, seed):
    data = classification([*counts, 30, 30])
    parts = Split(*share, seed=seed).parts(data)
    rows = np.concatenate([parts.train, parts.valid, parts.test])
    assert sorted(rows.tolist()) == list(range(len(data)))
    for part, ratio in zip((parts.train, parts.valid, parts.test), share, strict=True):
        assert (np.diff(part) > 0).all()
        assert abs(len(part) - ratio * len(data)) < 2
        for code, total in enumerate([*counts, 30, 30]):
            assert abs(int((data.targets[part] == code).sum()) - ratio * total) < 1 + 1e-9


def test_many_tiny_classes_still_fill_every_part():
    """Rounding each class on its own would give the test part nothing: the error is carried over."""
    data = classification([3] * 100)
    parts = Split(seed=3).parts(data)
    assert [len(parts.train), len(parts.valid), len(parts.test)] == [180, 60, 60]


@given(counts=class_counts, seed=st.integers(0, 10**6))
def test_fractions_are_nested_and_keep_every_class(counts, seed):
    data = classification([*counts, 30])
    parts = Split(seed=seed).parts(data)
    before: set[int] = set()
    for share in (0.05, 0.1, 0.2, 0.5, 0.9, 1.0):
        part = parts.fraction(share)
        rows = set(part.train.tolist())
        assert before <= rows <= set(parts.train.tolist())
        assert len(rows) == int(np.ceil(round(share * len(parts.train), 9)))
        assert (part.valid == parts.valid).all() and (part.test == parts.test).all()
        if len(rows) >= len(counts) + 1:
            assert len(set(data.targets[part.train].tolist())) == len(counts) + 1
        before = rows
    assert (parts.fraction(1.0).train == parts.train).all()


def test_a_fraction_keeps_the_proportions_of_classes():
    data = classification([1000, 500, 100])
    part = Split(seed=1).parts(data).fraction(0.1)
    found = Counter(data.targets[part.train].tolist())
    assert [abs(found[c] - n * 0.06) <= 1 for c, n in enumerate([1000, 500, 100])] == [True] * 3


@given(counts=st.lists(st.integers(6, 30), min_size=2, max_size=8), k=st.integers(2, 5), seed=st.integers(0, 99))
def test_every_row_validates_in_one_fold(counts, k, seed):
    data = classification(counts)
    parts = Split(seed=seed).parts(data)
    folds = [parts.fold(k, i) for i in range(k)]
    development = sorted(np.concatenate([parts.train, parts.valid]).tolist())
    assert sorted(np.concatenate([f.valid for f in folds]).tolist()) == development
    for fold in folds:
        assert sorted(np.concatenate([fold.train, fold.valid]).tolist()) == development
        assert (fold.test == parts.test).all()
    sizes = [len(f.valid) for f in folds]
    assert max(sizes) - min(sizes) <= 1
    for code in range(len(counts)):
        mine = [int((data.targets[f.valid] == code).sum()) for f in folds]
        assert max(mine) - min(mine) <= 1


@given(n=st.integers(30, 300), seed=st.integers(0, 99))
def test_a_regression_is_stratified_by_the_size_of_its_target(n, seed):
    data = regression(n)
    parts = Split(seed=seed).parts(data)
    bins = min(10, n // 5)
    ranks = np.argsort(np.argsort(data.targets)) * bins // n
    for code in range(bins):
        mine = int((ranks == code).sum())
        assert abs(int((ranks[parts.valid] == code).sum()) - 0.2 * mine) < 1 + 1e-9


def test_the_seed_decides_and_nothing_else():
    data = load_sklearn("iris")
    one, same, other = (Split(seed=s).parts(data) for s in (5, 5, 6))
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()
    assert Split(seed=5).fingerprint() != Split(seed=6).fingerprint()
    code = (
        "from tunebook.data import *; d = load_sklearn('iris'); p = Split(seed=5).parts(d)\n"
        "print(d.fingerprint(), p.fingerprint(), p.fold(3, 1).fraction(0.3).fingerprint())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert told == [data.fingerprint(), one.fingerprint(), one.fold(3, 1).fraction(0.3).fingerprint()]


def test_without_stratify_it_is_a_plain_shuffle():
    data = classification([50, 50])
    found = {int((data.targets[Split(seed=s, stratify=False).parts(data).valid] == 0).sum()) for s in range(20)}
    assert len(found) > 1


def test_a_fixed_test_part_is_kept():
    data = classification([40, 40])
    fixed = np.arange(60, 80)
    data = Dataset(data.inputs, data.targets, "table", "classification", data.classes, test_rows=fixed)
    parts = Split(0.6, 0.2, 0.2, seed=2).parts(data)
    assert (parts.test == fixed).all()
    assert (len(parts.train), len(parts.valid)) == (45, 15)
    assert "fixed by the data set" in parts.notes[0]
    assert (Split(0.8, 0.2, 0.0).parts(data).test == fixed).all()


def test_leaks_are_counted():
    inputs = np.array([[i % 25, 0.0] for i in range(100)])
    data = Dataset(inputs, np.arange(100) % 2, "table", "classification", ("a", "b"))
    parts = Split(seed=0).parts(data)
    known = {tuple(r) for r in inputs[parts.train].tolist()}
    twins = sum(tuple(r) in known for r in inputs[parts.test].tolist())
    assert twins > 0
    assert leaks(data, parts)[1].startswith(f"{twins} of {len(parts.test)} rows of the test part")
    assert leaks(classification([30, 30]), Split().parts(classification([30, 30]))) == ()


def test_a_negative_zero_is_a_zero_to_leaks():
    labels = np.arange(40) % 2
    rows = Split(seed=0).parts(Dataset(np.arange(40.0)[:, None], labels, "table", "classification", ("a", "b"))).test
    inputs = np.arange(40.0)[:, None]
    inputs[np.setdiff1d(np.arange(40), rows)[0]] = 0.0
    inputs[rows] = -0.0
    data = Dataset(inputs, labels, "table", "classification", ("a", "b"))
    parts = Split(seed=0).parts(data)
    assert 0.0 in inputs[parts.train]
    assert leaks(data, parts)[-1].startswith("8 of 8 rows of the test part")


def test_classes_of_one_row_all_go_to_the_training_part():
    data = classification([50] + [1] * 20)
    parts = Split(seed=0).parts(data)
    assert set(range(21)) <= set(data.targets[parts.train].tolist())
    assert len(parts.valid) + len(parts.test) >= 20


def test_a_rare_class_goes_to_the_training_part_and_is_told():
    data = classification([50, 1])
    parts = Split(seed=0).parts(data)
    assert 1 in data.targets[parts.train]
    assert any("no row of class 'c1' in the test part" in n for n in parts.notes)
    with pytest.raises(DataError, match="class 'c1' has one row outside"):
        parts.fold(3, 0)
    few = Split(seed=0).parts(classification([60, 4])).fold(5, 0)
    assert any("class 'c1' has 3 rows for 5 folds" in n for n in few.notes)


def test_a_class_in_the_test_part_only_is_refused():
    data = classification([30, 30, 1])
    (odd,) = np.flatnonzero(data.targets == 2)
    fixed = Dataset(
        data.inputs, data.targets, "table", "classification", data.classes, test_rows=np.array(sorted({0, int(odd)}))
    )
    with pytest.raises(DataError, match=r"DATA-096(.|\n)*the test part has classes(.|\n)*'c2'"):
        Split().parts(fixed)


@pytest.mark.parametrize(
    ("settings_", "says"),
    [
        ({"train": 0.5, "valid": 0.2, "test": 0.2}, "sum to 1(.|\n)*try: train=0.5556, valid=0.2222"),
        ({"train": 1.2, "valid": -0.2, "test": 0.0}, "must be positive"),
        ({"train": float("nan"), "valid": 0.5, "test": 0.5}, "must be positive"),
        ({"train": 0.8, "valid": 0.0, "test": 0.2}, "must be positive"),
        ({"seed": -1}, "integer >= 0"),
        ({"seed": 1.5}, "integer >= 0"),
        ({"seed": True}, "integer >= 0"),
    ],
)
def test_settings_that_cannot_be(settings_, says):
    with pytest.raises(SettingError, match=says):
        Split(**settings_)


def test_too_few_rows():
    with pytest.raises(DataError, match=r"the valid part would be empty|the test part would be empty"):
        Split().parts(classification([1, 1]))
    parts = Split().parts(classification([6, 6]))
    with pytest.raises(DataError, match=r"DATA-097(.|\n)*cannot make 50 folds"):
        parts.fold(50, 0)
    for k, i in ((1, 0), (3, 3), (3, -1)):
        with pytest.raises(SettingError, match="no such fold"):
            parts.fold(k, i)
    for share in (0, -0.1, 1.1, float("nan"), "half"):
        with pytest.raises(SettingError, match="a fraction of the training part"):
            parts.fraction(share)


def test_parts_cannot_be_written_to():
    parts = Split().parts(classification([9, 9]))
    with pytest.raises(ValueError, match="read-only"):
        parts.test[0] = 1
    assert repr(parts) == "Parts(train 11, valid 4, test 3, seed 0)"


@settings(max_examples=20)
@given(counts=class_counts)
def test_digests_differ_between_parts_of_different_data(counts):
    one, other = classification(counts, 0), classification(counts, 1)
    if (one.targets != other.targets).any():
        assert Split().parts(one).fingerprint() != Split().parts(other).fingerprint()
