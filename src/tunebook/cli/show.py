"""``tunebook show``, ``best`` and ``report``: what a study came to. Nothing here writes to a record."""

from __future__ import annotations

import io
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from tunebook.cli.answer import answer_of, in_words
from tunebook.cli.export import What, as_data, save
from tunebook.cli.find import read
from tunebook.cli.words import as_json, clean, clean_lines, colourful, say, table, tell
from tunebook.errors import SettingError, many, nearest, times
from tunebook.record import Record
from tunebook.report import Report, render_html, render_markdown, render_terminal
from tunebook.report.base import as_data as report_data
from tunebook.report.story import Story
from tunebook.report.study import study_report
from tunebook.space import Space
from tunebook.story import story_in
from tunebook.trial import Trial
from tunebook.warm import WARM

MOST_FAILURES = 5
FORMATS: Mapping[str, Callable[[Report], str]] = {
    "html": render_html,
    "md": render_markdown,
    "json": lambda told: as_json(report_data(told)),
}


def show(name: str, store: str | None, json: bool) -> int:
    """Rounds, counts, decisions, the best, and looks at the test part."""
    record = read(name, store)
    told = _shown(record, story_in(record))
    tell(as_json(told) if json else _in_words(record, told))
    return 0


def _shown(record: Record, story: Story | None) -> dict[str, Any]:
    trials = record.trials
    rounds = [
        {
            "name": name,
            "question": opened.about.get("question"),
            "sampler": opened.about.get("sampler"),
            "proposals": opened.about.get("proposals"),
            "trials": trials.count(name),
            "statuses": dict(Counter(str(t.status) for t in trials.of(name))),
            "closed": trials.closed[name].reason if name in trials.closed else None,
        }
        for name, opened in trials.opened.items()
    ]
    chapters = story.chapters if story is not None else ()
    failures = Counter(_failure(t) for t in trials.values() if t.failure is not None)
    return {
        "study": record.name,
        "folder": str(record.folder),
        "status": record.status,
        "driver": None if record.driver is None else str(record.driver),
        "trials": len(trials),
        "statuses": dict(Counter(str(t.status) for t in trials.values())),
        "spent": trials.spent,
        "rounds": rounds,
        "failures": [
            {"trials": n, "kind": kind, "message": message, "where": where}
            for (kind, message, where), n in failures.most_common(MOST_FAILURES)
        ],
        "decisions": [{"round": c.round.name, "says": list(c.conclusion.says)} for c in chapters],
        "best": answer_of(record, story),
        "looks": [look.reason for look in trials.looks],
        "exhausted": _exhausted(record),
        "warm_start": trials.notes.get(WARM, {}).get("studies", []),
    }


def _exhausted(record: Record) -> bool:
    """Whether every configuration of the space, as it was told last, was tried."""
    opened = list(record.trials.opened.values())
    space = Space.from_dict(opened[-1].space) if opened else None
    if space is None or space.size > len(record.trials):
        return False
    return len({t.key for t in record.trials.values() if space.contains(t.config)}) >= space.size


def _failure(trial: Trial) -> tuple[str, str, str]:
    assert trial.failure is not None
    return str(trial.failure.kind), trial.failure.line, trial.failure.where


def _in_words(record: Record, told: dict[str, Any]) -> str:
    counts = ", ".join(f"{n} {status}" for status, n in told["statuses"].items())
    status = told["status"] + (f" by {told['driver']}" if told["driver"] else "")
    lines = [f"{clean(told['study'])}: {clean(status)}; {many(told['trials'], 'trial')} ({counts or 'none yet'}); "
             f"{told['spent']:.0f} s of work"]  # fmt: skip
    if told["warm_start"]:
        names = ", ".join(f"{clean(s['name'])} ({many(s['taken'], 'configuration')})" for s in told["warm_start"])
        lines += [f"it began with what earlier studies taught: {names}"]
    if told["exhausted"]:
        lines += ["the space is exhausted: all of its configurations were tried"]
    if told["rounds"]:
        rows = [(r["name"], r["trials"], f"over: {r['closed']}" if r["closed"] else "open") for r in told["rounds"]]
        lines += ["", table(("round", "trials", "state"), rows)]
        lines += [clean(r["proposals"], 300) for r in told["rounds"] if r["proposals"]]
    for f in told["failures"]:
        lines += ["", clean(f"{f['trials']} failed ({f['kind']}): {f['message']}", 300)]
        lines += [f"  --> {clean(f['where'])}"] if f["where"] else []
    for decision in told["decisions"]:
        lines += ["", f"{clean(decision['round'])}:", *(f"  {clean(says)}" for says in decision["says"])]
    lines += ["", in_words(told["best"])]
    if told["looks"]:
        lines += ["", f"The test part was looked at {times(len(told['looks']))}."]
    if told["status"] in ("unfinished", "open"):
        lines += ["", f"to go on: {clean(record.go_on)}"]
    return "\n".join(lines)


def show_trial(name: str, store: str | None, number: int, json: bool) -> int:
    """One trial: its configuration, what it measured, and how it failed, with the traceback."""
    record = read(name, store)
    trial = record.trials.get(number)
    if trial is None:
        raise SettingError("there is no such trial", where=name, got=str(number),
                           expected=f"0 to {len(record.trials) - 1}" if record.trials else "no trial yet")  # fmt: skip
    told = as_data(trial, record.goal, What(curves=True))
    if json:
        tell(as_json(told))
        return 0
    note = f"; {clean(trial.note)}" if trial.note else ""
    tell(f"trial {number} of round {clean(trial.round)}: {trial.status} at step {trial.step} of {trial.until}{note}")
    tell(f"seed {trial.context.seed}, attempt {trial.attempt}")
    tell("\n" + table(("hyperparameter", "value"), trial.config.items()))
    if trial.curve:
        heads = list(dict.fromkeys(name for m in trial.curve for name in m.metrics))
        rows = [(m.step, *(m.metrics.get(h) for h in heads)) for m in trial.curve]
        tell("\n" + table(("step", *heads), rows))
    if trial.failure is not None:
        tell("\n" + clean_lines(trial.failure.traceback or trial.failure.message))
    log = record.folder / "trials" / str(number) / "log.txt"
    if log.exists():
        tell(f"\nwhat it printed: {clean(log)}")
    return 0


def best(name: str, store: str | None, json: bool) -> int:
    """The configuration to use; exit code 3 when there is none."""
    record = read(name, store)
    told = answer_of(record, story_in(record))
    tell(as_json(told) if json else in_words(told))
    return 0 if told["config"] is not None else 3


def report(name: str, store: str | None, format: str, output: Path | None) -> int:
    """Build the report again from the record; a path of "-" is stdout."""
    known = (*FORMATS, "terminal")
    if format not in known:
        raise SettingError("unknown format", where="--format", got=format, expected=nearest(format, known))
    record = read(name, store)
    story = story_in(record)
    if story is None or not record.trials:
        raise SettingError("the study has no trials to report on", where=str(record.folder),
                           fix=record.go_on, code="STORE-078")  # fmt: skip
    told = study_report(story)
    if not record.finished and not record.asked:
        say("the study is not finished: the report tells of what is there")
    if format == "terminal" and output is None:
        render_terminal(told, Console(no_color=None if colourful(sys.stdout) else True))
        return 0
    text = _plain(told) if format == "terminal" else FORMATS[format](told)
    if str(output) == "-":
        tell(text)
    else:
        path = output or record.folder / f"report.{format}"
        save(text, path)
        tell(clean(path))
    return 0


def _plain(told: Report) -> str:
    console = Console(file=io.StringIO(), no_color=True, width=100)
    with console.capture() as captured:
        render_terminal(told, console)
    return captured.get()
