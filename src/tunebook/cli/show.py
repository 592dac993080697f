"""``tunebook list``, ``show``, ``best`` and ``report``: what a record tells. Nothing here writes to a record."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

from tunebook.cli.answer import answer_of, best_observed, in_words
from tunebook.cli.export import What, exported, save
from tunebook.cli.find import Place, place_of, studies_in
from tunebook.cli.words import as_json, cell, clean, say, table, tell
from tunebook.errors import SettingError, TunebookError, nearest
from tunebook.jobs import resume_command
from tunebook.record import BOOK, Record, read_study
from tunebook.report import render_html, render_markdown
from tunebook.report.study import study_report
from tunebook.trial import Status

FORMATS = {"html": render_html, "md": render_markdown}


def read(name: str, store: str | None, *, conclude: bool = True) -> tuple[Place, Record]:
    """A study by its name. Raises StoreError and StudyNotFound."""
    place = place_of(name, store)
    return place, read_study(place.folder, place.store, conclude=conclude)


# list


def list_studies(root: Path, json: bool) -> int:
    """A line for each study below a folder."""
    told = [_listed(root / name) for name in studies_in(root)]
    if json:
        tell(as_json(told))
    elif not told:
        say(f"no studies in {root}")
    else:
        heads = ("study", "status", "trials", "failed", "best", "metric", "last activity")
        tell(table(heads, [list(t.values()) for t in told]))
    return 0


def _listed(folder: Path) -> dict[str, Any]:
    """What is told of a study in a list; of one that cannot be read, why."""
    told: dict[str, Any] = {"study": folder.name} | dict.fromkeys(
        ("status", "trials", "failed", "best", "metric", "active")
    )
    try:
        place, record = read(str(folder.absolute()), None, conclude=False)
    except TunebookError as error:
        return told | {"status": f"cannot be read: {error.problems[0].what}"}
    best = best_observed(record.trials, record.goal)
    return told | {
        "status": status_of(record),
        "trials": len(record.trials),
        "failed": len(record.trials.with_status(Status.FAILED)),
        "best": best.value(record.goal) if best is not None and record.goal is not None else None,
        "metric": record.goal.metric if record.goal else None,
        "active": _active(place),
    }


def _active(place: Place) -> str | None:
    """When something was last written to the record."""
    files = [p for p in (place.folder / BOOK, place.folder / f"{BOOK}-wal") if p.exists()]
    if not files:
        return None
    return datetime.fromtimestamp(max(p.stat().st_mtime for p in files)).strftime("%Y-%m-%d %H:%M:%S")


def status_of(record: Record) -> str:
    """Where a study stands."""
    return "finished" if record.finished else "unfinished"


# show, best


def show(name: str, store: str | None, json: bool) -> int:
    """Rounds, counts, decisions, the best, and looks at the test part."""
    place, record = read(name, store)
    told = _shown(place, record)
    tell(as_json(told) if json else _in_words(place, told))
    return 0


def _shown(place: Place, record: Record) -> dict[str, Any]:
    trials = record.trials
    rounds = [
        {
            "name": name,
            "question": opened.about.get("question"),
            "trials": trials.count(name),
            "statuses": dict(Counter(str(t.status) for t in trials.of(name))),
            "closed": trials.closed[name].reason if name in trials.closed else None,
        }
        for name, opened in trials.opened.items()
    ]
    decisions = [{"round": c.round.name, "says": list(c.conclusion.says)} for c in record.chapters]
    return {
        "study": record.name,
        "folder": str(place.folder),
        "status": status_of(record),
        "trials": len(trials),
        "statuses": dict(Counter(str(t.status) for t in trials.values())),
        "spent": trials.spent,
        "rounds": rounds,
        "decisions": decisions,
        "best": answer_of(record),
        "looks": [look.reason for look in trials.looks],
    }


def _in_words(place: Place, told: dict[str, Any]) -> str:
    counts = ", ".join(f"{n} {status}" for status, n in told["statuses"].items())
    lines = [f"{clean(told['study'])}: {told['status']}; {told['trials']} trials ({counts or 'none yet'}); "
             f"{told['spent']:.0f} s of work"]  # fmt: skip
    if told["rounds"]:
        rows = [(r["name"], r["trials"], _closed(r["closed"])) for r in told["rounds"]]
        lines += ["", table(("round", "trials", "state"), rows)]
    for decision in told["decisions"]:
        lines += ["", f"{clean(decision['round'])}:", *(f"  {clean(says)}" for says in decision["says"])]
    lines += ["", in_words(told["best"])]
    if told["looks"]:
        lines += ["", f"The test part was looked at {len(told['looks'])} time(s)."]
    if told["status"] == "unfinished":
        lines += ["", f"to go on: {resume_command(place.folder)}"]
    return "\n".join(lines)


def _closed(reason: str | None) -> str:
    return "open" if reason is None else f"over: {cell(reason)}"


def best(name: str, store: str | None, json: bool) -> int:
    """The configuration to use; exit code 3 when there is none."""
    told = answer_of(read(name, store)[1])
    tell(as_json(told) if json else in_words(told))
    return 0 if told["config"] is not None else 3


# report, export


def report(name: str, store: str | None, format: str, output: Path | None) -> int:
    """Build the report again from the record; a path of "-" is stdout."""
    render = FORMATS.get(format)
    if render is None:
        raise SettingError("unknown format", where="--format", got=format, expected=nearest(format, FORMATS))
    place, record = read(name, store)
    if record.story is None or not record.trials:
        raise SettingError("the study has no trials to report on", where=str(place.folder),
                           fix=resume_command(place.folder), code="STORE-078")  # fmt: skip
    text = render(study_report(record.story))
    if (format == "terminal" and output is None) or str(output) == "-":
        tell(text)
        return 0
    path = output or place.folder / f"report.{format}"
    save(text, path)
    if not record.finished:
        say("the study is not finished: the report tells of what is there")
    tell(str(path))
    return 0


def export(name: str, store: str | None, format: str, what: What, output: Path | None) -> int:
    """Every trial, to a file or stdout."""
    if format not in ("csv", "json"):
        raise SettingError("unknown format", where="--format", got=format, expected=nearest(format, ("csv", "json")))
    text = exported(read(name, store, conclude=False)[1], format, what)
    if output is None:
        print(text, end="")
    else:
        save(text, output)
    return 0
