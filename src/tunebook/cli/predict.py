"""``tunebook predict``: what a saved model says of new rows."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from tunebook.cli.export import safe
from tunebook.cli.find import found, read
from tunebook.cli.words import as_json, tell
from tunebook.data import read_rows
from tunebook.errors import SettingError
from tunebook.jobs import load
from tunebook.story import story_in

CARD = "model.json"


def predict(model: str, file: Path, probabilities: bool, json: bool) -> int:
    """Labels (or values) of the rows of a file, in their order, as CSV."""
    loaded = load(model_folder(model))
    inputs = read_rows(file, loaded.card.encoding)
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
