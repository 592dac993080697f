"""``tunebook predict``: what a saved model says of new rows."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np

from tunebook.cli.export import safe
from tunebook.cli.find import found, read
from tunebook.cli.words import as_json, tell
from tunebook.data import encode_table
from tunebook.errors import DataError, SettingError
from tunebook.jobs import load
from tunebook.story import story_in

CARD = "model.json"


def predict(model: str, file: Path, probabilities: bool, json: bool) -> int:
    """Labels (or values) of the rows of a file, in their order, as CSV."""
    loaded = load(model_folder(model))
    inputs = inputs_of(file, loaded.card)
    predicted = loaded.predict(inputs)
    shown = [str(label) for label in predicted] if loaded.card.classes else predicted.tolist()
    columns: dict[str, list[Any]] = {"prediction": shown}
    if probabilities:
        told = loaded.predict_proba(inputs)
        columns |= {f"p({name})": told[:, i].tolist() for i, name in enumerate(loaded.card.classes)}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if json:
        tell(as_json(rows))
        return 0
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(safe, columns))
    writer.writerows([safe(v) for v in row.values()] for row in rows)
    print(out.getvalue(), end="")
    return 0


def model_folder(name: str) -> Path:
    """The folder of a model: itself, or that of a study's model. Raises SettingError, StudyNotFound."""
    if (Path(name) / CARD).exists():
        return Path(name)
    found(name)
    story = story_in(read(name, None))
    if story is None or story.model is None:
        raise SettingError("the study has no model", where=name, expected="a finished study of --model and --data",
                           fix=f"tunebook show {name}")  # fmt: skip
    return story.model


def inputs_of(file: Path, card: Any) -> Any:
    """Rows as the model was trained on: a table for a model of a table, arrays for one of arrays. Raises DataError."""
    if file.suffix.lower() not in (".npz", ".npy"):
        if card.encoding is None:
            raise DataError("this model takes arrays, not tables", where=str(file), got=file.suffix or "no suffix",
                            expected=".npz with an array x, or .npy", code="DATA-091")  # fmt: skip
        return encode_table(file, card.encoding)
    if not file.is_file():
        raise DataError("there is no such file", where=str(file), code="CONFIG-033")
    try:
        stored = np.load(file, allow_pickle=False)
        told = stored if isinstance(stored, np.ndarray) else stored["x" if "x" in stored else stored.files[0]]
        return np.asarray(told)
    except (ValueError, OSError, IndexError) as error:
        raise DataError("the file is not an array that can be read", where=str(file), got=str(error),
                        expected="numpy.savez(file, x=...)") from error  # fmt: skip
