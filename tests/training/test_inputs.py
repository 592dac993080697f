"""Categories of a table and token ids: how they reach a network, against a plain lookup."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tunebook.data import Dataset, Preprocessor, TableEncoding, encode_table, from_arrays, load_table
from tunebook.errors import DataError
from tunebook.training import Card, load_model, save_model
from tunebook.training.models import Inputs, mlp
from tunebook.training.models.inputs import Categories

COLOURS, SIZES = ("blue", "green", "red"), ("", "s")


def table(folder: Path, rows: int = 60) -> Path:
    rng = np.random.default_rng(0)
    path = folder / "t.csv"
    lines = ["colour,weight,size,price"]
    for _ in range(rows):
        colour, size = rng.choice(COLOURS), rng.choice(SIZES)
        lines.append(f"{colour},{rng.normal():.3f},{size},{rng.normal() + 10 * (colour == 'red'):.3f}")
    path.write_text("\n".join(lines) + "\n")
    return path


def fitted(folder: Path) -> tuple[Dataset, TableEncoding, Preprocessor, Inputs]:
    data = load_table(table(folder), "price")
    assert data.encoding is not None
    preprocessor = Preprocessor.fit(data)
    return data, data.encoding, preprocessor, Inputs.read((data.inputs.shape[1],), data.encoding, 0)


def test_the_encoding_says_which_columns_are_categories(tmp_path: Path) -> None:
    _, encoding, _, inputs = fitted(tmp_path)
    assert [c.categories for c in encoding.columns] == [COLOURS, None, SIZES]
    assert inputs.categories == ((0, 3), (4, 2))
    assert Inputs.of((3, 4)) == Inputs((3, 4)) and Inputs.of(inputs) is inputs


def test_a_category_has_its_embedding(tmp_path: Path) -> None:
    data, _, preprocessor, inputs = fitted(tmp_path)
    torch.manual_seed(0)
    layer = Categories(inputs, 3)
    x = torch.from_numpy(preprocessor.apply(data.inputs))
    with torch.no_grad():
        told = layer(x)
    for row, seen in zip(told, data.inputs, strict=True):
        colour, size = int(seen[:3].argmax()), int(seen[4:].argmax())
        # a row of "another one" stands before the categories of each column
        expected = torch.cat([layer.table.weight[1 + colour], layer.table.weight[4 + 1 + size]])
        torch.testing.assert_close(row[1:], expected)
    torch.testing.assert_close(told[:, 0], x[:, 3])
    # a text that is none of them sets all its columns to 0
    unseen = torch.from_numpy(preprocessor.apply(np.array([[0.0, 0.0, 0.0, 0.5, 0.0, 1.0]])))
    with torch.no_grad():
        torch.testing.assert_close(layer(unseen)[0, 1:4], layer.table.weight[0])


def test_embeddings_are_learned_saved_and_predict(tmp_path: Path) -> None:
    data, encoding, preprocessor, inputs = fitted(tmp_path)
    config = {"embedding": 2, "layers": 0}
    torch.manual_seed(0)
    model = mlp(config, inputs, 1)
    x = torch.from_numpy(preprocessor.apply(data.inputs))
    y = torch.from_numpy(preprocessor.apply_targets(data.targets))
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x).squeeze(1), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    card = Card("mlp", config, (6,), (), preprocessor, encoding)
    loaded = load_model(save_model(tmp_path / "m", card, model.state_dict()))
    (tmp_path / "new.csv").write_text("size,colour,weight\ns,red,0\ns,blue,0\n,violet,0\n")
    red, blue, violet = loaded.predict(encode_table(tmp_path / "new.csv", encoding))
    assert red - blue == pytest.approx(10, abs=1.5) and np.isfinite(violet)
    told = loaded.network(x).detach()
    torch.testing.assert_close(told, model.eval()(x).detach())


def test_without_embedding_or_texts_the_columns_stay() -> None:
    assert isinstance(mlp({"embedding": 4}, (6,), 2)[0], nn.Flatten)  # type: ignore[index]
    assert isinstance(mlp({}, Inputs((6,), ((0, 3),)), 2)[0], nn.Flatten)  # type: ignore[index]


def test_token_ids_pass_the_preprocessing() -> None:
    ids = np.array([[0, 1, 2], [3, 1, 1], [7, 0, 0]])
    data = from_arrays(ids, np.array([0, 1, 0]), kind="sequence")
    told = Preprocessor.fit(data, np.array([0, 1]))
    assert told.vocabulary == 4  # of the rows that are trained on
    np.testing.assert_array_equal(told.apply(data.inputs), ids)
    assert Preprocessor.from_json(told.to_json()) == told
    with pytest.raises(DataError, match="from 0 on"):
        Preprocessor.fit(from_arrays(ids - 1, np.array([0, 1, 0]), kind="sequence"))
