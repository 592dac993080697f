"""One-line references: written, read back, opened once, pinned to a fingerprint."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunebook import tune_model
from tunebook.data import DataRef, from_arrays, open_dataset
from tunebook.errors import DataError

words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)


@given(location=words, target=words, drop=st.lists(words, max_size=3), mark=st.sampled_from([";", "\t", "|"]))
def test_a_reference_goes_through_text(location, target, drop, mark):
    options = (("target", target), *(("drop", d) for d in drop), ("delimiter", mark))
    ref = DataRef("csv", location, options, "ab12")
    assert DataRef.parse(str(ref)) == ref


def test_all_schemes_open(tmp_path):
    (tmp_path / "my table.csv").write_text("a;b;y\n1;u;0,5\n-;v;1,5\n3;w;2,5\n")
    np.savez(tmp_path / "x.npz", x=np.zeros((6, 3, 3)), y=np.arange(6) % 2)
    assert open_dataset("sklearn:digits").name == "digits"
    assert open_dataset("mnist1d").inputs.shape == (5000, 1, 40)
    assert open_dataset(f"npz:{tmp_path}/x.npz?kind=image").inputs.shape == (6, 1, 3, 3)
    data = open_dataset(f"csv:{tmp_path}/my table.csv?target=y&missing=-&drop=b&task=regression")
    assert data.feature_names == ("a",) and np.isnan(data.inputs[1, 0])
    assert len(open_dataset(f"csv:{tmp_path}/my table.csv?target=y&missing=-&sample=2")) == 2


def test_opened_once_and_again_when_the_file_changed(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,y\n1,0\n2,1\n")
    ref = f"csv:{path}?target=y"
    first = open_dataset(ref)
    assert open_dataset(ref) is first
    path.write_text("a,y\n1,0\n2,1\n3,1\n")
    os.utime(path, ns=(1, 1))
    assert len(open_dataset(ref)) == 3


def test_a_pinned_reference_notices_other_data_in_another_process(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,y\n1,0\n2,1\n")
    pinned = str(DataRef.parse(f"csv:{path}?target=y").pinned())
    code = "import sys; from tunebook.data import *; print(open_dataset(sys.argv[1]).fingerprint())"
    run = [sys.executable, "-c", code, pinned]
    told = subprocess.run(run, capture_output=True, text=True, cwd="/", check=True)
    assert told.stdout.strip() == DataRef.parse(pinned).fingerprint
    path.write_text("a,y\n1,0\n2,1\n3,1\n")
    told = subprocess.run(run, capture_output=True, text=True, check=False)
    assert told.returncode != 0 and "the data is not what it was" in told.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sklaern:digits", "did you mean 'sklearn'"),
        ("sklearn", "sklearn: needs a name"),
        ("sklearn:digit", "did you mean 'digits'"),
        ("houses.csv", r"try: csv:houses\.csv\?target=COLUMN"),
        ("data.npz", r"try: npz:data\.npz"),
        ("csv:houses.csv", r"not named(.|\n)*csv:houses\.csv\?target=COLUMN"),
        ("csv:houses.csv?targt=y", r"unknown option 'targt'(.|\n)*'target'(.|\n)*not named"),
        ("csv:nowhere.csv?target=y", "no such table"),
        ("csv:nowhere.csv?target=y&sample=many", "sample must be a number"),
        ("npz:nowhere.npz", "no such npz file"),
        ("npz", "needs a file"),
    ],
)
def test_references_that_cannot_be(text, says):
    with pytest.raises(DataError, match=says):
        open_dataset(text)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (([[1.0]], [2]), r"(?s)tuple of list, list.*numpy.savez"),
        (np.ones((3, 2)), r"(?s)a ndarray.*numpy.savez"),
        (from_arrays(np.eye(4), [0, 1, 0, 1]), r"(?s)a Dataset.*save_arrays"),
        (pd.DataFrame({"a": [1]}), r"(?s)a DataFrame.*to_csv.*csv:data.csv\?target=COLUMN"),
        (Path("x.csv"), r"csv:x.csv\?target=COLUMN"),
    ],
)
def test_data_itself_is_not_a_name_of_data(data, says):
    for use in (open_dataset, DataRef.parse, lambda told: tune_model("mlp", told)):
        with pytest.raises(DataError, match=says):
            use(data)
