"""Labels come back in the type of the data's own targets."""

from pathlib import Path

import numpy as np
import pytest

from tunebook.data import from_arrays, load_arrays, load_sklearn, load_table, save_arrays

X = np.arange(12.0).reshape(6, 2)


@pytest.mark.parametrize(
    ("y", "dtype"),
    [
        (np.array([3, 5, 3, 5, 3, 5]), "int64"),
        (np.array([3, 5, 3, 5, 3, 5], dtype=np.uint8), "uint8"),
        (np.array([True, False] * 3), "bool"),
        (np.array(["no", "yes"] * 3), "<U3"),
        (np.array([1.0, 2.0] * 3), "int64"),
        (np.array([0.1, 1.0] * 3, dtype=np.float32), "float32"),
    ],
)
def test_labels_of_arrays(y: np.ndarray, dtype: str, tmp_path: Path) -> None:
    data = from_arrays(X, y, task="classification")
    assert all(isinstance(name, str) for name in data.classes)
    for told in (data, load_arrays(save_arrays(data, tmp_path / "d.npz")), data.take(np.arange(6))):
        labels = told.labels[told.targets]
        assert labels.dtype == np.dtype(dtype)
        assert (labels == y).all()
        assert list(map(str, told.labels)) == list(told.classes), "the texts are those of the classes"


def test_labels_that_were_given_are_texts() -> None:
    assert from_arrays(X, [0, 1] * 3, classes=("5", "6")).labels.tolist() == ["5", "6"]


@pytest.mark.parametrize(("cells", "labels"), [("01", [0, 1]), (["True", "False"], [False, True]), ("ab", ["a", "b"])])
def test_labels_of_a_table(cells: list[str], labels: list[object], tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,y\n" + "".join(f"{i},{cells[i % 2]}\n" for i in range(8)))
    assert load_table(tmp_path / "t.csv", "y").labels.tolist() == labels


def test_labels_of_bundled_sets() -> None:
    assert load_sklearn("digits").labels.tolist() == list(range(10))
    assert load_sklearn("iris").labels.tolist() == ["setosa", "versicolor", "virginica"]
