"""Arrays in memory and npz files: what is inferred, what is refused, and that nothing is unpickled."""

import pickle

import numpy as np
import pandas as pd
import pytest

from tunebook.data import Split, from_arrays, load_arrays, load_sklearn, load_table, save_arrays
from tunebook.errors import DataError

RNG = np.random.default_rng(0)
TWO = np.arange(40) % 2


def test_kinds_follow_the_axes():
    assert from_arrays(RNG.normal(size=(40, 3)), TWO).kind == "table"
    assert from_arrays(RNG.normal(size=(40, 2, 30)), TWO).kind == "sequence"
    assert from_arrays(RNG.normal(size=(40, 3, 9, 8)), TWO).kind == "image"
    grey = from_arrays(RNG.normal(size=(40, 8, 8)), TWO, kind="image")
    assert grey.inputs.shape == (40, 1, 8, 8) and grey.inputs.dtype == np.float32
    assert from_arrays(RNG.integers(0, 9, size=(40, 7)), TWO, kind="sequence").inputs.dtype == np.int64
    assert from_arrays(RNG.integers(0, 9, size=(40, 7)), TWO).inputs.dtype == np.float64


def test_bytes_become_unit_pixels():
    pixels = RNG.integers(0, 256, size=(40, 1, 5, 6)).astype(np.uint8)
    data = from_arrays(pixels, TWO)
    np.testing.assert_allclose(data.inputs * 255, pixels, atol=1e-4)
    assert data.notes[0] == "pixels of 0..255 were divided by 255"


def test_targets():
    x = RNG.normal(size=(40, 2))
    labels = from_arrays(x, np.where(TWO, "spam", "ham"))
    assert labels.classes == ("ham", "spam") and labels.targets.tolist() == TWO.tolist()
    odd = from_arrays(x, TWO * 5 + 2)
    assert odd.classes == ("2", "7") and odd.targets.tolist() == TWO.tolist()
    assert from_arrays(x, TWO.astype(bool)).classes == ("False", "True")
    assert from_arrays(x, TWO, classes=("no", "yes")).classes == ("no", "yes")
    assert from_arrays(x, TWO.reshape(-1, 1)).targets.shape == (40,)
    assert from_arrays(x, x[:, 0]).task == "regression"
    assert from_arrays(x, np.arange(40)).task == "regression"
    assert from_arrays(x, TWO, task="regression").targets.dtype == np.float64
    assert "taken as a classification" in from_arrays(x, TWO).notes[-1]
    assert "'Yes' and 'yes' differ only in case" in from_arrays(x, np.where(TWO, "Yes", "yes")).notes[-1]
    assert from_arrays(x.tolist(), list(TWO)).task == "classification"
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1]})
    assert from_arrays(frame, pd.Series(["u", "v"] * 20)).classes == ("u", "v")


def test_the_arrays_are_copied():
    x = RNG.normal(size=(40, 2))
    data = from_arrays(x, TWO)
    before = data.fingerprint()
    x[:] = 0
    assert from_arrays(data.inputs, TWO).fingerprint() == before


@pytest.mark.parametrize(
    ("x", "y", "about", "says"),
    [
        (np.zeros(40), TWO, {}, r"x.reshape\(-1, 1\)"),
        (np.zeros((40, 9, 9)), TWO, {}, "grey images or sequences"),
        (np.zeros((40, 9, 8, 3)), TWO, {}, r"channels last(.|\n)*x.transpose\(0, 3, 1, 2\)"),
        ([[1, 2], [3]], [0, 1], {}, "cannot be read as an array"),
        (np.array([[1, "a"]] * 40, dtype=object), TWO, {}, "holds objects(.|\n)*got int, str"),
        (np.array([["a"]] * 40), TWO, {}, "inputs are texts"),
        (np.array([[1j]] * 40), TWO, {}, "complex"),
        (np.zeros((40, 2)), np.eye(2)[TWO], {}, r"y.argmax\(axis=1\)"),
        (np.zeros((40, 2)), [], {}, "targets have the wrong shape"),
        (np.zeros((40, 2)), 1, {}, "targets have the wrong shape"),
        (np.zeros((40, 2)), TWO[:30], {}, "do not go together"),
        (np.zeros((40, 2)), np.zeros(40), {}, "DATA-096(.|\n)*one value only"),
        (np.zeros((40, 2)), np.where(TWO, np.nan, 1), {}, "missing or infinite(.|\n)*20 of 40, first in row 1"),
        (np.zeros((40, 2)), [f"id{i}" for i in range(40)], {}, "a class of its own"),
        (np.zeros((40, 2)), np.arange(40), {"task": "classification"}, "task='regression'"),
        (np.zeros((40, 2)), ["a", "b"] * 20, {"task": "regression"}, "a regression needs numbers"),
        (np.zeros((40, 2)), TWO, {"task": "clasification"}, "did you mean 'classification'"),
        (np.zeros((40, 2)), TWO, {"kind": "grid"}, "unknown kind"),
        (np.zeros((40, 2)), TWO, {"classes": ("a",)}, "got 1 labels; expected 2"),
        (np.full((40, 2), np.inf), TWO, {}, "not finite"),
    ],
)
def test_what_is_refused(x, y, about, says):
    with pytest.raises(DataError, match=says):
        from_arrays(x, y, **about)


@pytest.mark.parametrize("names", [("x", "y"), ("X", "y"), ("inputs", "targets")])
def test_npz(tmp_path, names):
    x = RNG.normal(size=(40, 3))
    np.savez(tmp_path / "some.npz", **dict(zip(names, (x, TWO), strict=True)))
    data = load_arrays(tmp_path / "some.npz")
    assert (data.inputs == x).all() and data.name == "some"


def test_npz_with_a_test_part(tmp_path):
    x = RNG.integers(0, 256, size=(50, 6, 7)).astype(np.uint8)
    y = np.arange(50) % 3
    np.savez(tmp_path / "m.npz", x_train=x[:40], y_train=y[:40], x_test=x[40:], y_test=y[40:])
    data = load_arrays(tmp_path / "m.npz", kind="image")
    assert data.inputs.shape == (50, 1, 6, 7)
    assert (Split().parts(data).test == np.arange(40, 50)).all()


def test_saved_data_comes_back_the_same(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("a,b,y\n1,u,0.5\n2,v,1.5\n,u,2.5\n4,,3\n")
    holes = load_table(table, "y")
    for data in (load_sklearn("digits"), load_sklearn("diabetes"), holes):
        again = load_arrays(save_arrays(data, tmp_path / "saved.npz"))
        assert again == data and (again.name, again.encoding) == (data.name, data.encoding)


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_nothing_is_unpickled(tmp_path):
    evil = np.array([Canary(tmp_path / "canary")], dtype=object)
    np.savez(tmp_path / "evil.npz", x=evil, y=evil)
    (tmp_path / "plain.npz").write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    for name, says in (("evil.npz", "pickled objects"), ("plain.npz", "not an npz file")):
        with pytest.raises(DataError, match=says):
            load_arrays(tmp_path / name)
    assert not (tmp_path / "canary").exists()


def test_bad_npz_files(tmp_path):
    np.savez(tmp_path / "other.npz", features=np.zeros((3, 2)))
    whole = (tmp_path / "other.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "empty.npz").touch()
    for name, says in [
        ("other.npz", "got arrays features"),
        ("cut.npz", "damaged"),
        ("one.npy", "not an npz file"),
        ("empty.npz", "is empty"),
        ("othr.npz", "did you mean 'other.npz'"),
        ("nowhere/a.npz", "does not exist either"),
        ("", "this is a folder(.|\n)*cut.npz"),
    ]:
        with pytest.raises(DataError, match=says):
            load_arrays(tmp_path / name)


def test_arrays_larger_than_memory_are_refused_before_they_are_read(tmp_path):
    np.savez(tmp_path / "big.npz", x=np.zeros((1000, 10)), y=np.arange(1000))
    with pytest.raises(DataError, match=r"DATA-100(.|\n)*got 0\.0842 MiB; expected at most 0\.0477 MiB"):
        load_arrays(tmp_path / "big.npz", memory=50_000)


def test_a_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, x=np.zeros((1000, 10)), y=np.arange(1000) % 2)
    whole = bytearray(path.read_bytes())
    whole[20_000] ^= 1
    path.write_bytes(bytes(whole))
    with pytest.raises(DataError, match="damaged"):
        load_arrays(path)
