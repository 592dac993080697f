"""CSV and Parquet: one test for each bad input, and real tables against pandas."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunebook.data import Reading, TableEncoding, encode_table, load_sklearn, load_table
from tunebook.data._numbers import parse
from tunebook.errors import DataError, SettingError


@pytest.fixture
def table(tmp_path):
    """Write a file and load it: table(text or bytes, **about)."""

    def load(text, target="y", name="t.csv", **about):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_table(path, target, **about)

    return load


def rows(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "diabetes"])
@pytest.mark.parametrize("form", ["csv", "semicolon", "tab", "utf-16", "parquet"])
def test_real_tables_come_back_to_the_last_bit(tmp_path, name, form):
    data = load_sklearn(name)
    frame = pd.DataFrame(data.inputs, columns=list(data.feature_names))
    frame["target"] = [data.classes[t] for t in data.targets] if data.classes else data.targets
    path = tmp_path / ("t.parquet" if form == "parquet" else "t.csv")
    if form == "parquet":
        frame.to_parquet(path)
    else:
        about = {"semicolon": {"sep": ";"}, "tab": {"sep": "\t"}, "utf-16": {"encoding": "utf-16"}}.get(form, {})
        frame.to_csv(path, index=False, **about)
    loaded = load_table(path, "target")
    order = np.argsort(np.argsort(data.classes)) if data.classes else None
    assert (loaded.inputs == data.inputs).all()
    assert (loaded.targets == (data.targets if order is None else order[data.targets])).all()
    assert loaded.feature_names == data.feature_names and loaded.task == data.task


def test_categories_missing_values_and_notes(table):
    data = table(rows("size,colour,same,none,y", "1,red,7,,a", "NA,blue,7,?,b", "3,,7,null,a", "4,red,7,,"))
    assert data.feature_names == ("size", "colour=(missing)", "colour=blue", "colour=red")
    np.testing.assert_array_equal(data.inputs, [[1, 0, 0, 1], [np.nan, 0, 1, 0], [3, 1, 0, 0]])
    assert data.classes == ("a", "b") and data.targets.tolist() == [0, 1, 0]
    assert data.notes == (
        "1 row without a target left out (first: line 5)",
        "column 'same' is constant (7): left out",
        "column 'none' is empty: left out",
    )


def test_new_rows_are_encoded_the_same_way(table, tmp_path):
    data = table(rows("size,colour,y", "1,red,a", "2,blue,b", "3,red,a"))
    stored = TableEncoding.from_json(json.loads(json.dumps(data.encoding.to_json())))
    assert stored == data.encoding
    new = tmp_path / "new.csv"
    new.write_text(rows("colour;other;size", "blue;9;1,5", "green;9;", "red;9;7"))
    with pytest.raises(DataError, match=r"column 'size' must be numbers(.|\n)*line 2: '1,5'"):
        encode_table(new, stored)
    new.write_text(rows("colour;other;size", "blue;9;1.5", "green;9;", "red;9;7"))
    np.testing.assert_array_equal(encode_table(new, stored), [[1.5, 1, 0], [np.nan, 0, 0], [7, 0, 1]])
    new.write_text(rows("color,sizes", "blue,1"))
    with pytest.raises(DataError, match=r"no column 'size'(.|\n)*'sizes'(.|\n)*no column 'colour'(.|\n)*'color'"):
        encode_table(new, stored)


def test_091_missing_target(table):
    with pytest.raises(DataError, match=r"DATA-091(.|\n)*no column 'prize'(.|\n)*did you mean 'price'"):
        table(rows("area,price", "1,2", "3,4"), "prize")
    with pytest.raises(DataError, match=r"add a header"):
        table(rows("5.1,3.5,0", "4.9,3.0,1"))
    with pytest.raises(DataError, match=r"no column 'b' to drop"):
        table(rows("a,y", "1,2", "3,4"), reading=Reading(drop=("b",)))
    with pytest.raises(DataError, match=r"no column 'b' to use as categories"):
        table(rows("a,y", "1,2", "3,4"), reading=Reading(categorical=("b",)))
    with pytest.raises(DataError, match="cannot be dropped"):
        table(rows("a,y", "1,2", "3,4"), reading=Reading(drop=("y",)))


def test_092_ragged_rows(table):
    text = rows("a,b,y", "1,2,3", "1,2", "1,2,3,4", "", "1", "1,2,3,4,5", "2,3,4")
    says = r"DATA-092\]: 4 rows have(.|\n)*line 3: 2, line 4: 4, line 6: 1, \.\.\.; expected 3 cells"
    with pytest.raises(DataError, match=says):
        table(text)
    quoted = rows("a,b,y", '1,"two', 'lines, one cell",3', "1,2")
    with pytest.raises(DataError, match=r"1 row has(.|\n)*line 4: 2"):
        table(quoted)


def test_093_delimiter(table):
    with pytest.raises(DataError, match=r"DATA-093(.|\n)*'\|' gives 3 columns(.|\n)*delimiter='\|'"):
        table(rows("a|b|y", "1|2|3", "4|5|6"), reading=Reading(delimiter=","))
    for mark in (",", ";", "\t", "|"):
        data = table(rows(*(mark.join(r) for r in (("a", "b", "y"), ("1", "2", "3"), ("4", "5", "6")))))
        assert data.feature_names == ("a", "b")
        assert any("guessed" in n for n in data.notes) == (mark != ",")
    text = rows("name;y", "Smith, John, jr;1", "Doe, Jane;2", "Roe, A;1")
    assert table(text).feature_names == ("name=Doe, Jane", "name=Roe, A", "name=Smith, John, jr")


def test_094_encoding(table):
    latin = rows("stadt,y", "Köln,1", "Bonn,2", "Köln,2").encode("cp1252")
    with pytest.raises(DataError, match=r"DATA-094(.|\n)*line 2, byte 2(.|\n)*0xf6(.|\n)*'Köln,1'"):
        table(latin)
    assert table(latin, reading=Reading(encoding="cp1252")).feature_names == ("stadt=Bonn", "stadt=Köln")
    assert table(b"\xef\xbb\xbf" + rows("a,y", "1,2", "2,3").encode()).feature_names == ("a",)
    with pytest.raises(DataError, match=r"DATA-094(.|\n)*utf-16"):
        table(rows("a,y", "1,2").encode("utf-16-le"))
    with pytest.raises(SettingError, match="unknown encoding"):
        Reading(encoding="utf-9")


def test_095_nothing_to_learn_from(table):
    with pytest.raises(DataError, match=r"DATA-095(.|\n)*'a' is constant(.|\n)*'b' is empty"):
        table(rows("a,b,y", "1,,2", "1,,3"))
    with pytest.raises(DataError, match=r"DATA-095(.|\n)*'y' is empty in every row"):
        table(rows("a,y", "1,", "2,NA"))
    with pytest.raises(DataError, match="only the target 'y'"):
        table(rows("y", "1", "2"))


def test_096_one_class(table):
    with pytest.raises(DataError, match=r"DATA-096(.|\n)*column 'y'(.|\n)*'spam'"):
        table(rows("a,y", "1,spam", "2,spam"))


def test_098_duplicate_names(table):
    with pytest.raises(DataError, match=r"DATA-098(.|\n)*'a' in columns 1, 3"):
        table(rows("a,b,a,y", "1,2,3,4", "5,6,7,8"))


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1,234.5", "2", "1,234,567"], [1234.5, 2, 1234567]),
        (["1.234,5", "2,25", "1.234.567"], [1234.5, 2.25, 1234567]),
        (["0,5", "1,234", "-3"], [0.5, 1.234, -3]),
        (["0,123", "0,456", "7"], [0.123, 0.456, 7]),
        (["1e-3", "-2.5E+2", ".5"], [0.001, -250, 0.5]),
    ],
)
def test_099_number_formats(table, cells, values):
    data = table(rows("a,y", *(f'"{c}",{i % 2}' for i, c in enumerate(cells))))
    assert data.inputs[:, 0].tolist() == values


def test_099_ambiguous_numbers(table):
    text = rows("a,y", '"1,234",1', '"2,500",0')
    with pytest.raises(DataError, match=r"DATA-099(.|\n)*'1,234' in column 'a'(.|\n)*decimal='\.'"):
        table(text)
    assert table(text, reading=Reading(decimal=".")).inputs.tolist() == [[1234], [2500]]
    assert table(text, reading=Reading(decimal=",")).inputs.tolist() == [[1.234], [2.5]]
    assert table(rows("a,b,y", '"1,234",0.5,1', '"2,500",2.5,0')).inputs.tolist() == [[1234, 0.5], [2500, 2.5]]
    with pytest.raises(DataError, match=r"two decimal marks(.|\n)*'0.5' in column 'b' and '1,5' in column 'a'"):
        table(rows("a,b,y", '"1,5",0.5,1', '"2,500",2.5,0'))


def test_099_a_few_cells_amiss_are_all_listed(table):
    lines = [f"{i},{i / 2},{i % 2}" for i in range(60)]
    lines[5], lines[9], lines[20] = "5,x,1", "l0,4.5,0", "20,n.a.,0"
    says = (
        r"'a' is numbers, except in 1 of 60 cells(.|\n)*line 11: 'l0'(.|\n)*'b' is(.|\n)*line 7: 'x', line 22: 'n.a.'"
    )
    with pytest.raises(DataError, match=says):
        table(rows("a,b,y", *lines))
    mended = rows("a,b,y", *lines).replace("l0", "10")
    data = table(mended, reading=Reading(missing=("", "x", "n.a.")))
    assert np.isnan(data.inputs[[5, 20], 1]).all()


def test_099_infinity(table):
    with pytest.raises(DataError, match=r"'a' holds infinity(.|\n)*line 3"):
        table(rows("a,y", "1,1", "1e999,2", "3,1"))


def test_100_larger_than_memory(table):
    text = rows("a,y", *(f"{i},{i % 2}" for i in range(1000)))
    with pytest.raises(DataError, match=r"DATA-100(.|\n)*about 1,0\d\d rows x 2 columns(.|\n)*sample=260"):
        table(text, memory=100_000)
    one = table(text, memory=100_000, reading=Reading(sample=260))
    assert len(one) == 260 and (np.diff(one.inputs[:, 0]) > 0).all()
    assert one == table(text, reading=Reading(sample=260))
    assert abs(one.inputs.mean() - 500) < 60


def test_an_index_column_is_left_out(tmp_path):
    pd.DataFrame({"a": [3.0, 1.0, 2.0], "y": ["u", "v", "u"]}).to_csv(tmp_path / "t.csv")
    data = load_table(tmp_path / "t.csv", "y")
    assert data.feature_names == ("a",)
    assert data.notes == ("column 1 has no name and counts the rows: left out",)


def test_columns_without_a_name_get_one(table):
    data = table(rows("a,,y", "1,5,2", "2,6,3"))
    assert data.feature_names == ("a", "column_2")
    assert "column 2 has no name: called column_2" in data.notes


def test_identifiers_are_left_out_and_many_categories_are_cut(table):
    lines = [f"id{i},{'x' if i < 30 else f'c{i % 150}'},{i % 2}" for i in range(600)]
    data = table(rows("id,code,y", *lines))
    assert data.inputs.shape == (600, 100) and "code=x" in data.feature_names
    assert data.notes[0] == "column 'id' has 600 different texts in 600 rows, such as 'id0': left out"
    assert "has 151 categories: the 100 commonest" in data.notes[1]


def test_numbers_that_are_labels(table):
    data = table(rows("zip,y", "01067,1", "80331,2", "01067,2"), reading=Reading(categorical=("zip",)))
    assert data.feature_names == ("zip=01067", "zip=80331")


def test_task(table):
    text = rows("a,y", "1,1", "2,2", "3,1")
    assert table(text).task == "classification"
    assert table(text, task="regression").task == "regression"
    with pytest.raises(DataError, match="a regression needs numbers"):
        table(rows("a,y", "1,u", "2,v"), task="regression")
    with pytest.raises(DataError, match="did you mean 'regression'"):
        table(text, task="regresion")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"a,b,y\n", "a header and no rows"),
        (b"PK\x03\x04rest", "a zip or Excel file"),
        (b"\x1f\x8brest", "a gzip file"),
        (b"PAR1 not really", "Parquet file cannot be read"),
        (b"a\x00b\x01\x02", "binary"),
        (b'a,y\n1,"two\n3,4\n', r"line 2(.|\n)*close the quote"),
        (b"\n\n", "no column 'y'|no rows"),
    ],
)
def test_files_that_are_no_tables(table, content, says):
    with pytest.raises(DataError, match=says):
        table(content)


def test_missing_file_and_folder(tmp_path):
    (tmp_path / "houses.csv").write_text("a,y\n1,2\n")
    with pytest.raises(DataError, match=r"did you mean 'houses.csv'"):
        load_table(tmp_path / "house.csv", "y")
    with pytest.raises(DataError, match="this is a folder"):
        load_table(tmp_path, "y")


def test_parquet_types(tmp_path):
    path = tmp_path / "t.parquet"
    columns = {
        "whole": pa.array([1, None, 3, 4]),
        "flag": pa.array([True, False, None, True]),
        "word": pa.array(["u", "v", None, "u"]),
        "coded": pa.array(["p", "q", "p", "q"]).dictionary_encode(),
        "day": pa.array([0, 1, 2, 3], pa.date32()),
        "list": pa.array([[1], [2], [3], [4]]),
        "nothing": pa.nulls(4),
        "y": pa.array([0.5, 1.5, 2.5, 3.5]),
    }
    pq.write_table(pa.table(columns), path)
    data = load_table(path, "y")
    names = ("whole", "flag", "word=(missing)", "word=u", "word=v", "coded=p", "coded=q")
    assert data.feature_names == names and data.task == "regression"
    np.testing.assert_array_equal(data.inputs[1], [np.nan, 0, 0, 0, 1, 0, 1])
    assert "column 'day' of type date32[day] cannot be used as numbers" in data.notes
    assert (encode_table(path, data.encoding)[0] == data.inputs[0]).all()


def test_parquet_sample_and_memory(tmp_path):
    path = tmp_path / "t.parquet"
    x = np.arange(200_000.0)
    pd.DataFrame({"a": x, "y": x / 3}).to_parquet(path, row_group_size=30_000)
    with pytest.raises(DataError, match=r"DATA-100(.|\n)*200,000 rows x 2 columns"):
        load_table(path, "y", memory=1_000_000)
    part = load_table(path, "y", memory=1_000_000, reading=Reading(sample=1000))
    assert len(part) == 1000 and (np.diff(part.inputs[:, 0]) > 0).all()
    assert abs(part.inputs.mean() - 1e5) < 1e4
    np.testing.assert_allclose(part.targets, part.inputs[:, 0] / 3)
    with pytest.raises(DataError, match="no rows or no columns"):
        pq.write_table(pa.table({"a": pa.array([], pa.float64())}), path)
        load_table(path, "a")


@pytest.mark.parametrize("about", [{"decimal": ";"}, {"sample": -1}, {"delimiter": "::"}])
def test_reading_refuses(about):
    with pytest.raises(SettingError):
        Reading(**about)


@given(value=st.floats(-1e12, 1e12), mark=st.sampled_from([".", ","]))
def test_formatted_numbers_are_read_back(value, mark):
    text = f"{value:,.3f}"
    if mark == ",":
        text = text.replace(",", " ").replace(".", ",").replace(" ", ".")
    assert parse(text, mark) == float(f"{value:.3f}")


@given(st.text(max_size=12))
def test_parse_never_raises(text):
    for mark in (".", ","):
        found = parse(text, mark)
        assert found is None or isinstance(found, float)
