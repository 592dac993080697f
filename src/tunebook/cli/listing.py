"""``tunebook list`` and ``tunebook export``: what can be told without playing the playbook again."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from tunebook.cli.export import What, exported, save
from tunebook.cli.find import read, studies_in
from tunebook.cli.words import as_json, say, table, tell
from tunebook.errors import SettingError, TunebookError, nearest
from tunebook.trial import Status

COLUMNS = ("study", "status", "trials", "failed", "best", "metric", "active")


def list_studies(root: Path, json: bool) -> int:
    """A line for each study below a folder."""
    told = [listed(root / name) for name in studies_in(root)]
    if json:
        tell(as_json(told))
    elif told:
        tell(table((*COLUMNS[:-1], "last activity"), [[row[c] for c in COLUMNS] for row in told]))
    else:
        say(f"no studies in {root}")
    return 0


def listed(folder: Path) -> dict[str, Any]:
    """What is told of a study in a list; of one that cannot be read, why."""
    row: dict[str, Any] = dict.fromkeys(COLUMNS) | {"study": folder.name}
    try:
        record = read(str(folder.absolute()), None)
    except TunebookError as error:
        return row | {"status": error.problems[0].what}
    goal, best = record.goal, record.best
    return row | {
        "status": record.status,
        "trials": len(record.trials),
        "failed": len(record.trials.with_status(Status.FAILED)),
        "best": best.value(goal) if best is not None and goal is not None else None,
        "metric": goal.metric if goal else None,
        "active": None if record.active is None else f"{datetime.fromtimestamp(record.active):%Y-%m-%d %H:%M:%S}",
    }


def export(name: str, store: str | None, format: str, what: What, output: Path | None) -> int:
    """Every trial, to a file or stdout."""
    if format not in ("csv", "json"):
        raise SettingError("unknown format", where="--format", got=format, expected=nearest(format, ("csv", "json")))
    text = exported(read(name, store), format, what)
    if output is None:
        print(text, end="")
    else:
        save(text, output)
    return 0
