"""``tunebook export``: every trial as JSON or CSV, in the order of their numbers."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunebook.cli.words import as_json
from tunebook.errors import SettingError
from tunebook.record import Record
from tunebook.trial import Goal, Measurement, Trial

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True)
class What:
    """What to export: the curves too, and (without ``times``) nothing that a clock or the machine decides."""

    curves: bool = False
    times: bool = True


def exported(record: Record, format: str, what: What) -> str:
    """The text to write."""
    if format == "json":
        return as_json(_document(record, what)) + "\n"
    rows = _curve_rows(record, what) if what.curves else _trial_rows(record, what)
    return _csv(list(rows))


def save(text: str, path: Path) -> None:
    """Write a file whole or not at all. Raises SettingError."""
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_text(text, encoding="utf-8", newline="")
        new.replace(path)
    except OSError as error:
        raise SettingError("the file cannot be written", where=str(path), got=str(error.strerror),
                           fix="--output with another path", code="STORE-086") from error  # fmt: skip


def _document(record: Record, what: What) -> dict[str, Any]:
    trials = record.trials
    goal = record.goal
    rounds = [
        {
            "name": name,
            "space": opened.space,
            "goal": opened.goal.as_dict(),
            "about": dict(opened.about),
            "closed": trials.closed[name].reason if name in trials.closed else None,
        }
        for name, opened in trials.opened.items()
    ]
    told = {
        "study": record.name,
        "goal": goal.as_dict() if goal else None,
        "rounds": rounds,
        "looks": [look.reason for look in trials.looks],
        "trials": [as_data(t, goal, what) for _, t in sorted(trials.items())],
    }
    return {**told, "spent": trials.spent, "notes": trials.notes} if what.times else told


def as_data(t: Trial, goal: Goal | None, what: What) -> dict[str, Any]:
    """A trial as plain data."""
    failure = t.failure
    told: dict[str, Any] = {
        "number": t.number,
        "round": t.round,
        "status": str(t.status),
        "config": dict(t.config),
        "context": {"seed": t.context.seed, "fold": t.context.fold, "fraction": t.context.fraction,
                    "final": t.context.final},
        "until": t.until,
        "step": t.step,
        "value": t.value(goal) if goal else math.nan,
        "parent": t.parent,
        "failure": None if failure is None else {"kind": str(failure.kind), "message": failure.message,
                                                 "where": failure.where},
        "note": t.note,
    }  # fmt: skip
    if what.curves:
        told["curve"] = [_measurement(m, what) for m in t.curve]
    if what.times:
        told |= {"attempt": t.attempt, "started": t.started, "ended": t.ended, "seconds": t.seconds}
        if failure is not None:
            told["failure"]["traceback"] = failure.traceback
    return told


def _measurement(m: Measurement, what: What) -> dict[str, Any]:
    told: dict[str, Any] = {"step": m.step, "metrics": dict(m.metrics)}
    return told | {"seconds": m.seconds, "memory": m.memory} if what.times else told


# tables


def _trial_rows(record: Record, what: What) -> Iterator[dict[str, Any]]:
    goal = record.goal
    for _, t in sorted(record.trials.items()):
        scored = t.scored(goal) if goal else None
        failure = t.failure
        told = {"trial": t.number, "round": t.round, "status": str(t.status), "step": t.step, "until": t.until}
        told |= {f"metric.{k}": v for k, v in (scored.metrics if scored else {}).items()}
        told |= {f"config.{k}": v for k, v in t.config.items()}
        told |= {"seed": t.context.seed, "fold": t.context.fold, "fraction": t.context.fraction,
                 "final": t.context.final, "failure": str(failure.kind) if failure else None,
                 "message": failure.message if failure else None, "note": t.note or None}  # fmt: skip
        if what.times:
            told |= {"attempt": t.attempt, "started": t.started, "ended": t.ended, "seconds": t.seconds}
        yield told


def _curve_rows(record: Record, what: What) -> Iterator[dict[str, Any]]:
    for _, t in sorted(record.trials.items()):
        for m in t.curve:
            told = {"trial": t.number, "round": t.round, "step": m.step}
            told |= {f"metric.{k}": v for k, v in m.metrics.items()}
            yield told | {"seconds": m.seconds, "memory": m.memory} if what.times else told


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with the columns that any of them has. Text that a spreadsheet would run as a formula is quoted."""
    heads = _columns(rows) or ["trial"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([safe(h) for h in heads])
    for row in rows:
        writer.writerow([safe(row.get(h)) for h in heads])
    return out.getvalue()


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """All names; those of a group (config., metric.) beside each other, whatever row they first stand in."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    groups = list(dict.fromkeys(n.partition(".")[0] if "." in n else n for n in names))
    return [n for g in groups for n in names if n == g or n.startswith(f"{g}.")]


def safe(value: Any) -> Any:
    """A cell of a CSV file that no spreadsheet takes for a formula."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(FORMULA):
        return "'" + value
    return value if value is not None else ""
