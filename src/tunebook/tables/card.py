"""What a person who is handed a model should know, as markdown."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from tunebook.analysis.calibration import best_threshold, calibration
from tunebook.data import Dataset
from tunebook.jobs import Result
from tunebook.metrics import METRICS, class_report, confusion_matrix
from tunebook.playbook.base import tell_config
from tunebook.sealed import read_card
from tunebook.settings import Settings
from tunebook.tables.combine import seconds_for, size_of
from tunebook.tables.library import ENSEMBLE, expected, out_of_fold
from tunebook.tables.nested import NESTED
from tunebook.tables.subject import Table, told_of
from tunebook.trial import Status, config_key

DECISION = "decision"  # the topic of the note on calibration and threshold


def model_card(result: Result, table: Table, settings: Settings) -> str:
    """What a person who is handed the model should know, as markdown."""
    data, goal = table.dataset, result.goal
    assert result.model is not None
    scores = _without_test(result, table)
    if result.test is not None:
        rows = f"{result.test.rows:,} rows that were locked away until the end"
        scores = [f"- {n} {v:.4g} (95 % interval {low:.4g} to {high:.4g}) on {rows}"
                  for n, (v, low, high) in result.test.metrics.items()]  # fmt: skip
    budget = f"{len(result.trials)} trials" + ("" if math.isinf(settings.seconds) else f", {settings.seconds:g} s")
    versions = ", ".join(f"{k} {v}" for k, v in read_card(result.model).get("versions", {}).items())
    parts = [
        (f"# {result.folder.name}", [f"Predicts {_target(data)} ({data.task}), tuned for {goal.metric}."]),
        ("## Data", [f"- {data.name}: {len(data):,} rows, fingerprint {data.fingerprint()[:16]}",
                     *(f"- {line}" for line in told_of(table))]),
        ("## Model", _model(result, result.model, table)),
        ("## Scores", [*scores, *_outer(result)]),
        *_finalists(result, table),
        ("## How it was found", [f"- {budget}, seed {settings.seed}", "- the space, and every trial: report.html"]),
        ("## Caveats", ["- It holds for rows like these; what has changed since they were gathered, it cannot know.",
                        "- Categories that it never saw count as none of those that it knows."]),
        ("## Use", [f"    tunebook predict {result.folder} new.csv", "", f"Versions: {versions}"]),
    ]  # fmt: skip
    return "\n\n".join(head + "\n\n" + "\n".join(lines) for head, lines in parts) + "\n"


def _model(result: Result, model: Path, table: Table) -> list[str]:
    """What the model is, what it costs, and what was done to its probabilities."""
    notes, goal = result.trials.notes, result.goal
    note, decision = notes.get(ENSEMBLE, {}), notes.get(DECISION, {})
    lines = [f"- {tell_config(result.config)}"]
    if note.get("used"):
        lines = [f"- {note['kind']}: a weighted mean of {len(note['members'])} models"]
        lines += [f"- weight {w:.3g}: {tell_config(result.trials[n].config)} (trial {n})"
                  for w, n in zip(note["weights"], note["members"], strict=True)]  # fmt: skip
    if "difference" in note:
        gain = f"{note['difference']:+.4g} {goal.metric} (95 % interval {note['low']:+.4g} to {note['high']:+.4g})"
        verb = "adopted" if note["used"] else "left"
        lines.append(f"- {note['kind']} was {verb}: {gain} against the best configuration alone; {note['why']}")
    key = "latency" if note.get("used") else "single_latency"
    lines.append(f"- {_cost(size_of(model), note[key] if key in note else seconds_for(model, table))}")
    if "latency" in note:
        what, head = ("the best configuration alone", "single_") if note["used"] else (note["kind"], "")
        lines.append(f"- {what}: {_cost(note[f'{head}size'], note[f'{head}latency'])}")
    if decision.get("calibrated"):
        gain = f"log-loss {-decision['gain']:+.4g}"
        lines.append(f"- its probabilities are calibrated ({decision['calibrated']}): {gain} "
                     "on rows that the calibration was not fitted on")  # fmt: skip
    if decision.get("threshold", 0.5) != 0.5:
        second = repr(table.dataset.classes[1])
        lines.append(f"- {second} is predicted from a probability of {decision['threshold']:.3g} on, "
                     f"chosen for {goal.metric} on rows that were not trained on")  # fmt: skip
    return lines


def _cost(size: float, latency: float) -> str:
    return f"{size / 2**20:.3g} MiB on disk, {1000 * latency:.3g} ms for 1,000 rows on one core"


def _outer(result: Result) -> list[str]:
    told = result.trials.notes.get(NESTED)
    if told is None:
        return []
    return [f"- {told['metric']} {told['mean']:.4g} (95 % interval {told['low']:.4g} to {told['high']:.4g}) by nested "
            f"cross-validation: the whole search again on {len(told['scores'])} outer folds"]  # fmt: skip


def _without_test(result: Result, table: Table) -> list[str]:
    """What can be said of new rows where the test part was not looked at."""
    why = "time was up before the test part could be looked at" if len(table.parts.test) else "no test part was kept"
    told = [f"- {why}, so there is no score on rows that nothing has seen"]
    known = expected(result.folder, result.trials, table, result.goal, result.config)
    if known is None:
        return [*told, "- there was no time for enough folds of its cross-validation either"]
    value, low, high = known
    return [*told, f"- {result.goal.metric} {value:.4g} (95 % interval {low:.4g} to {high:.4g}) by cross-validation, "
            "corrected for having chosen the best, and for the rows that folds do not train on"]  # fmt: skip


def _finalists(result: Result, table: Table) -> list[tuple[str, list[str]]]:
    """Confusion matrix, scores of the classes and calibration of the default and of the final configuration, from
    predictions for rows that they were not trained on."""
    data, told = table.dataset, list[tuple[str, list[str]]]()
    if not data.classes:
        return told
    for what, config in {"The default": result.baseline, "The final configuration": result.config}.items():
        key = config_key(config)
        trials = [t for t in result.trials.values() if t.key == key and t.status is Status.COMPLETED]
        found = (out_of_fold(result.folder / "trials" / str(t.number), table) for t in trials if not t.context.final)
        kept = next((f for f in found if f is not None), None)
        if kept is None:
            continue
        truth, p = data.targets[kept[0]], kept[1]
        told.append((f"## {what}, on {len(truth):,} rows by cross-validation", _scores_of(data.classes, truth, p)))
    return told


def _scores_of(classes: tuple[str, ...], truth: np.ndarray[Any, Any], p: np.ndarray[Any, Any]) -> list[str]:
    labels = p.argmax(axis=1)
    matrix = confusion_matrix(truth, labels, len(classes))
    lines = ["| true \\ predicted | " + " | ".join(classes) + " | precision | recall | F1 |",
             "|---|" + "---|" * (len(classes) + 3)]  # fmt: skip
    for row, score in zip(matrix.tolist(), class_report(truth, labels, classes), strict=True):
        counts = " | ".join(f"{v:,}" for v in row)
        lines.append(f"| {score.label} | {counts} | {score.precision:.3f} | {score.recall:.3f} | {score.f1:.3f} |")
    curve = calibration(truth, p)
    what = f"the share of {classes[1]!r}" if len(classes) == 2 else "the share that was right"
    lines += ["", f"Probabilities are off by {curve.error:.3f} on average (calibration error):", "",
              f"| predicted | {what} | 95 % interval | rows |", "|---|---|---|---|"]  # fmt: skip
    lines += [f"| {b.predicted:.3f} | {b.observed:.3f} | {b.low:.3f} to {b.high:.3f} | {b.count:,} |"
              for b in curve.bins]  # fmt: skip
    lines.append("")
    if len(classes) == 2:
        for name in ("f1", "balanced_accuracy"):
            at, value = best_threshold(truth, p, METRICS[name])
            lines.append(f"{name} is highest, {value:.4g}, when {classes[1]!r} is predicted from {at:.2f} on.")
    return lines


def _target(data: Dataset) -> str:
    return repr(data.encoding.target) if data.encoding is not None else "the target"
