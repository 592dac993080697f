"""What a saved model takes, what type its labels have, and what ``tunebook predict`` writes of them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tunebook
from tunebook.data import Split, open_dataset
from tunebook.errors import DataError
from tunebook.learners import learner_named
from tunebook.learners.ensemble import save_ensemble
from tunebook.objective import Run, play
from tunebook.trial import Context, Ended, Goal, Status

ROWS = 60


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of two classes, 1 and 2, and models of it: a network, a classic one, an ensemble."""
    place = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(0)
    size, town = rng.normal(size=ROWS), rng.choice(["north", "south", "7"], ROWS)
    y = 1 + (size + (town == "south") > 0.3)
    lines = [f"{s:.4f},{t},2024-01-{i % 28 + 1:02},{v}" for i, (s, t, v) in enumerate(zip(size, town, y, strict=True))]
    (place / "t.csv").write_text("size,town,day,y\n" + "\n".join(lines) + "\n")
    for name, steps in (("logistic", 1), ("mlp", 8)):
        data = f"csv:{place / 't.csv'}?target=y"
        goal = Goal("accuracy", "maximize")  # type: ignore[arg-type]
        learner = learner_named(name)
        config = learner.space_for(open_dataset(data), 10).default
        objective = learner.objective(data, Split(), goal, steps)
        run = Run(0, config, steps, place / name, 1, Context(seed=1, final=True), metric="train_accuracy")
        *_, ended = play(objective, run)
        assert isinstance(ended, Ended) and ended.status is Status.COMPLETED, ended
    save_ensemble(place / "ensemble" / "model", [place / "logistic" / "model"] * 2, [0.5, 0.5], {})
    return place


MODELS = pytest.mark.parametrize("name", ["mlp", "logistic", "ensemble"])


@MODELS
def test_labels_have_the_type_of_the_targets_and_are_written_as_texts(models: Path, name: str, here) -> None:
    data = open_dataset(f"csv:{models / 't.csv'}?target=y")
    y = np.loadtxt(models / "t.csv", delimiter=",", skiprows=1, usecols=3)
    model = tunebook.load(models / name / "model")
    labels = model.predict(data.inputs)
    assert labels.dtype == np.int64
    assert (labels == y).mean() > 0.7
    code, out, err = here("predict", models / name / "model", models / "t.csv")
    assert code == 0, err
    assert out.splitlines() == ["prediction", *map(str, labels.tolist())]
    rows = json.loads(here("predict", models / name / "model", models / "t.csv", "--json")[1])
    assert [row["prediction"] for row in rows] == list(map(str, labels.tolist()))


@MODELS
def test_a_model_of_a_table_takes_a_data_frame_and_a_file(models: Path, name: str) -> None:
    data = open_dataset(f"csv:{models / 't.csv'}?target=y")
    model = tunebook.load(models / name / "model")
    expected = model.predict_proba(data.inputs)
    frame = pd.read_csv(models / "t.csv")
    dated = frame.assign(day=pd.to_datetime(frame["day"]), size=frame["size"].astype("Float64"), more=1)
    for given in (frame, frame[["y", "town", "size", "day"]], dated, models / "t.csv", str(models / "t.csv")):
        assert (model.predict_proba(given) == expected).all()
    assert (model.predict(frame) == frame["y"]).mean() > 0.7
    with pytest.raises(DataError, match=r"(?s)there is no column 'size'.*data frame.*there is no column 'town'"):
        model.predict(frame.drop(columns=["town", "size"]))
    with pytest.raises(DataError, match=r"(?s)'size' must be numbers.*data frame.*row 2: 'big'"):
        model.predict(frame.assign(size=["1", "2", "big"] * (ROWS // 3)))
    with pytest.raises(DataError, match=r"(?s)\(60, 2\).*\(n, \d+\).*data frame"):
        model.predict(data.inputs[:, :2])
    with pytest.raises(DataError, match=r"inputs\[None\]"):
        model.predict(data.inputs[0])
    with pytest.raises(DataError, match="not numbers"):
        model.predict(frame.to_numpy())
    with pytest.raises(DataError, match="no such file"):
        model.predict(models / "none.npz")
