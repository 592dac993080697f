"""New rows in other forms are the rows that a file, or an array of the right shape, would give."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tunebook.data import (
    Preprocessor,
    Reading,
    encode_frame,
    encode_table,
    from_arrays,
    load_sklearn,
    load_table,
    rows_of,
)
from tunebook.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 1, 4, 6)).astype(np.uint8)
Y = [0, 1] * 10


def test_a_frame_is_encoded_as_its_file(tmp_path: Path) -> None:
    lines = [f"{i},{'ab'[i % 2]},0{i % 3},{i % 2 == 0},{'' if i == 4 else i * 0.5},{i % 27 + 1:02}/02/2024,{i % 2}"
             for i in range(40)]  # fmt: skip
    (tmp_path / "t.csv").write_text("n,letter,zip,flag,gap,day,y\n" + "\n".join(lines) + "\n")
    encoding = load_table(tmp_path / "t.csv", "y", reading=Reading(categorical=("zip",))).encoding
    assert encoding is not None
    expected = encode_table(tmp_path / "t.csv", encoding)
    frame = pd.read_csv(tmp_path / "t.csv")
    assert frame.dtypes["zip"] == np.int64 and frame.dtypes["flag"] == np.bool_
    dated = frame.assign(day=pd.to_datetime(frame["day"], format="%d/%m/%Y"), letter=frame["letter"].astype("category"))
    for told in (frame, frame.iloc[:, ::-1], dated, dated.convert_dtypes(), frame.assign(zip=frame["zip"] * 1.0)):
        np.testing.assert_array_equal(encode_frame(told, encoding), expected)


def test_a_channel_axis_may_be_left_out() -> None:
    data = from_arrays(IMAGES, Y)
    preprocessor = Preprocessor.fit(data)
    expected = preprocessor.apply(data.inputs)
    for given in (data.inputs, data.inputs[:, 0], IMAGES, IMAGES[:, 0]):  # uint8 as when the data was loaded
        np.testing.assert_array_equal(preprocessor.apply(rows_of(given, preprocessor)), expected)
    for given, says in (
        (IMAGES[0, 0], r"(?s)\(4, 6\).*\(n, 1, 4, 6\) or \(n, 4, 6\).*inputs\[None\]"),
        (IMAGES.transpose(0, 2, 3, 1), r"transpose\(0, 3, 1, 2\)"),
        (IMAGES.reshape(20, 24), r"reshape\(-1, 1, 4, 6\)"),
        (IMAGES[..., :3], "images of the size"),
    ):
        with pytest.raises(DataError, match=says):
            rows_of(given, preprocessor)


def test_images_of_bytes_are_not_divided_where_training_was_not() -> None:
    preprocessor = Preprocessor.fit(from_arrays(IMAGES.astype(np.float32), Y))
    assert rows_of(IMAGES, preprocessor).max() > 1


def test_a_signal_without_its_channel_axis() -> None:
    signals = np.random.default_rng(0).normal(size=(20, 1, 9))
    preprocessor = Preprocessor.fit(from_arrays(signals, Y))
    assert rows_of(signals[:, 0], preprocessor).shape == (20, 1, 9)
    with pytest.raises(DataError, match="sequences of the size"):
        rows_of(signals[..., :5], preprocessor)


def test_columns_by_name_where_there_is_no_file() -> None:
    data = load_sklearn("iris")
    preprocessor, names = Preprocessor.fit(data), data.feature_names
    frame = pd.DataFrame(data.inputs, columns=list(names)).assign(more=0)
    np.testing.assert_array_equal(rows_of(frame.iloc[:, ::-1], preprocessor, None, names), data.inputs)
    with pytest.raises(DataError, match="no column 'sepal width"):
        rows_of(frame.drop(columns=[names[1]]), preprocessor, None, names)
    np.testing.assert_array_equal(rows_of(data.inputs.tolist(), preprocessor, None, names), data.inputs)
    with pytest.raises(DataError, match="array"):
        rows_of([[1.0, 2.0], [3.0]], preprocessor)
