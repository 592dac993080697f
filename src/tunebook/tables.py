"""A table and no code: the playbook over model families, ensembles, and a model in hand when the time is up.

    result = tune_table("csv:churn.csv?target=churned", time_limit="10m")
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from tunebook.analysis.calibration import best_threshold, calibration
from tunebook.data import DataRef, Dataset, Folds, LockedTest, Parts, Split, leaks, open_dataset
from tunebook.ensembles import Judged, Predictions, compared, corrected, greedy
from tunebook.ensembles.base import Weighted
from tunebook.ensembles.judge import METHODS
from tunebook.errors import DataError, SettingError, StoreError, nearest
from tunebook.jobs import Result, base_for, finish, look_at_test, opened, play_plan, search_of
from tunebook.learners.auto import AutoLearner, folds_for
from tunebook.learners.base import MODEL
from tunebook.learners.ensemble import KIND, save_ensemble
from tunebook.learners.table import TableObjective, read_fold
from tunebook.metrics import METRICS, chance_level, class_report, confusion_matrix
from tunebook.objective import Run
from tunebook.playbook import Chapter, Round
from tunebook.playbook.base import ranked, tell_config
from tunebook.record import JOB, PLAN, TEST, Record, read_record
from tunebook.sealed import read_card
from tunebook.settings import Options, Settings, settings_of
from tunebook.space import Config, Space
from tunebook.story import look_of, model_of
from tunebook.study import Study
from tunebook.trial import Context, Direction, Goal, Status, Trial, Trials, config_key

ENSEMBLE, CARD = "ensemble", "model-card.md"
TRIALS = 10_000
CANDIDATES = 20
MOST_MEMBERS = 8
SEARCH_PART = 0.86  # of a time limit: the rest is for training the members of an ensemble, the test and the report
RUN_PART = 0.12  # of a time limit that one run may take
TAIL = 1.5  # seconds for what comes after the last training
SAME = 0.2  # budgets that differ by less are the same: the time to start counts, and is never the same
AFTER = 2.0  # and for each second that it took to open the data: the machine is slow, or the table large
SHARE = 0.2


@dataclass(frozen=True)
class Table:
    """A table to be tuned on: the reference, the data, how it is cut, and how a configuration is measured."""

    reference: str
    dataset: Dataset
    parts: Parts
    split: Split
    folds: Folds

    @property
    def development(self) -> np.ndarray[Any, Any]:
        """The rows that are not the test part."""
        return np.sort(np.concatenate([self.parts.train, self.parts.valid]))


def tune_table(
    data: str,
    goal: Goal | None = None,
    space: Space | None = None,
    families: Sequence[str] = (),
    test: float = SHARE,
    folds: Folds | None = None,
    **options: Unpack[Options],
) -> Result:
    """Play the playbook over model families on a table, and leave the best model, or ensemble, that was found.

    ``families`` are those to look at (all that suit the data), ``test`` the share of the rows that is locked away until
    the end (0: all rows are learned from, and no test is made). ``folds`` is how a configuration is measured: by
    cross-validation, or for large tables on one part after training on growing shares of the others. ``goal`` is
    accuracy for classes and rmse for numbers unless given. With a ``time_limit`` all is over by then.

    Raises TunebookError as ``tune_model`` does.
    """
    began = time.monotonic()
    settings = settings_of({"trials": TRIALS, **options})
    table = table_of(data, settings.seed, test, folds)
    learner = AutoLearner(tuple(families))
    goal = goal_for(learner, table.dataset, goal)
    asked = _planned(settings, table.folds.steps, time.monotonic() - began)
    objective = learner.objective(table.reference, table.split, goal, asked.steps, table.folds)
    base = base_for(space or learner.space(table.dataset), goal, asked, chance_of(table, goal))
    about = {"model": learner.name, "data": table.reference, "fingerprint": table.dataset.fingerprint(),
             "split": {p: len(getattr(table.parts, p)) for p in ("train", "valid", "test")},
             "test": test, "folds": asdict(table.folds), "budget": _finite(settings.seconds)}  # fmt: skip
    if not settings.quiet:
        for line in told_of(table):
            print(line, file=sys.stderr)
    with opened(objective, asked, about, replace(base, folds=table.folds.k)) as (study, plan):
        told = play_plan(study, plan)
        trained = model_of(study.folder, told)
        if trained is not None and trained.is_dir():
            ended = began + settings.seconds - max(0.0, study.trials.spent - (time.monotonic() - began))
            ensembled(study, table, told, trained, ended)
            if len(table.parts.test) and look_of(study.trials.notes.get(TEST), trained) is None:
                lock = LockedTest(table.dataset, table.parts, study.look, len(study.trials.looks))
                look_at_test(study, lock, trained, goal.metric)
        result = finish(told, study, goal)
        if result.model is None:
            result = replace(result, model=_plain(study, objective, result))
        (study.folder / CARD).write_text(model_card(result, table, settings), encoding="utf-8")
        return result


def _plain(study: Study, objective: TableObjective, result: Result) -> Path:
    """A model all the same where the time was too short for a last training: of the best configuration that is known.

    Raises what the training raises.
    """
    best = ranked(list(study.trials.values()), result.goal, objective.steps)
    config = best[0].config if best else result.baseline
    place = study.folder / MODEL
    run = Run(study.trials.next_number, config, objective.steps, place, study.seed, Context(final=True))
    for _ in objective(run):
        pass
    return place / MODEL


def table_of(data: str, seed: int, test: float = SHARE, folds: Folds | None = None) -> Table:
    """Open a table and cut it. Raises DataError, SettingError."""
    if isinstance(test, bool) or not 0 <= test <= 0.5:
        raise SettingError("the test part is a share of the rows", where="test", got=repr(test), expected="0 to 0.5",
                           code="CONFIG-044")  # fmt: skip
    reference = str(DataRef.parse(data).pinned())
    dataset = open_dataset(reference)
    if dataset.kind != "table":
        raise DataError("this is not a table", where=dataset.name, got=f"a data set of the kind {dataset.kind}",
                        fix="tunebook run --model cnn, or mlp")  # fmt: skip
    split = Split((1 - test) * 0.75, (1 - test) * 0.25, test, seed)
    parts = split.parts(dataset)
    rows = len(parts.train) + len(parts.valid)
    folds = folds or _folds_of(dataset, rows)
    folds.cut(parts, 1, groups=dataset.groups)  # what cannot be cut is said before anything runs
    return Table(reference, dataset, parts, split, folds)


def _folds_of(dataset: Dataset, rows: int) -> Folds:
    usual = folds_for(rows)
    if dataset.in_time:
        return replace(usual, kind="time", repeats=1)
    return usual if dataset.groups is None else replace(usual, kind="group")


def goal_of(metric: str | None) -> Goal | None:
    """The goal that a metric's name means. Raises SettingError."""
    if metric is None:
        return None
    if metric not in METRICS:
        raise SettingError("unknown metric", where="metric", got=metric, expected=nearest(metric, METRICS),
                           code="CONFIG-049")  # fmt: skip
    return Goal(metric, Direction(METRICS[metric].direction))


def goal_for(learner: AutoLearner, dataset: Dataset, goal: Goal | None) -> Goal:
    """What is optimised: the mean over all folds, not the best that it was on the way. Raises SettingError."""
    goal = goal or learner.goal(dataset)
    fitting = learner.metrics(dataset)
    for metric in goal.metrics:
        if metric not in (*fitting, "seconds", "memory"):
            raise SettingError(f"this is no metric of a {dataset.task}", where="metric", got=metric,
                               expected=nearest(metric, fitting), code="CONFIG-049")  # fmt: skip
    if goal.metric in ("f1",) and len(dataset.classes) != 2:
        raise SettingError("f1 is for two classes", where="metric", got=f"{len(dataset.classes)} classes",
                           fix="f1_macro", code="CONFIG-049")  # fmt: skip
    return replace(goal, pick="last")


def chance_of(table: Table, goal: Goal) -> float:
    """What a model that learned nothing would score."""
    targets = table.dataset.targets[table.development]
    return chance_level(targets, table.dataset.task, goal.metric)


def told_of(table: Table) -> list[str]:
    """What a person should know of a table before it is tuned on: its columns, its gaps, its classes, what is odd."""
    data, rows = table.dataset, table.development
    sizes = f"{len(data):,} rows: {len(rows):,} to learn from, {len(table.parts.test):,} locked away for the test"
    lines = [sizes, _columns(data)]
    gaps = float(np.isnan(data.inputs).mean())
    if gaps:
        lines.append(f"{gaps:.2%} of the numbers are missing: trees send them down a learned side, others get medians")
    if data.classes:
        counts = np.bincount(data.targets, minlength=len(data.classes))
        shown = ", ".join(f"{c} {n:,}" for c, n in list(zip(data.classes, counts, strict=True))[:8])
        lines.append(f"{len(data.classes)} classes: {shown}" + (", ..." if len(data.classes) > 8 else ""))
        if counts.min() < SHARE * len(data) / len(data.classes):
            lines.append("the classes are imbalanced: class weights are searched; balanced_accuracy, f1_macro or "
                         "average_precision may say more than accuracy")  # fmt: skip
    else:
        low, middle, high = np.quantile(data.targets, [0.0, 0.5, 1.0])
        lines.append(f"the target is a number from {low:.4g} to {high:.4g}, median {middle:.4g}")
    folds = table.folds
    if folds.fractions:
        shares = ", ".join(f"{f:.0%}" for f in folds.fractions)
        lines.append(f"measured on one fifth of these rows after training on {shares} of the others")
    else:
        lines.append(f"measured by {folds.k}-fold cross-validation ({folds.kind}), {folds.repeats} draw(s)")
    return [*lines, *data.notes, *table.parts.notes, *leaks(data, table.parts)]


def _columns(data: Dataset) -> str:
    if data.encoding is None:
        return f"{data.inputs.shape[1]} columns of numbers"
    numbers = [c.name for c in data.encoding.columns if c.categories is None and not c.date]
    dates = [c.name for c in data.encoding.columns if c.date]
    labels = [c.name for c in data.encoding.columns if c.categories is not None]
    told = []
    for what, names in (("numbers", numbers), ("categories", labels), ("dates", dates)):
        if names:
            told.append(f"{len(names)} {what} ({', '.join(names[:6])}{', ...' if len(names) > 6 else ''})")
    return "columns: " + "; ".join(told)


def _planned(settings: Settings, steps: int, opening: float) -> Settings:
    """The settings of the search: it ends before the time limit does, and no run may take more than a part of it.

    What comes after it takes the longer, the longer it took to open the data on this machine (``opening`` seconds). A
    study that is taken up with the same limit keeps what was planned.
    """
    if math.isinf(settings.seconds):
        return replace(settings, steps=steps)
    search = max(1.0, SEARCH_PART * settings.seconds - TAIL - AFTER * opening)
    notes = _notes(Path(settings.folder), settings.store)
    before = notes.get(JOB, {}).get("budget") or 0.0
    if PLAN in notes and abs(settings.seconds - before) <= SAME * before:
        search = notes[PLAN]["cycles"][-1]["seconds"] or search
    limit = settings.run_limit or max(2.0, RUN_PART * settings.seconds)
    return replace(settings, steps=steps, time_limit=search, run_limit=limit)


def _notes(folder: Path, store: str | None) -> Mapping[str, Any]:
    """What the record of a study notes; nothing where there is none yet."""
    try:
        return read_record(folder, store).trials.notes
    except StoreError:
        return {}


def _finite(seconds: float) -> float | None:
    return None if math.isinf(seconds) else seconds


# ensembles


def library(
    folder: Path, all_trials: Trials, table: Table, goal: Goal, needed: Sequence[Config] = ()
) -> tuple[Predictions, list[Config]] | None:
    """The out-of-fold predictions of the best configurations of a study, and the configurations, best first.

    Among them those that are ``needed``. None where no trial left any: the time was too short for all folds.
    """
    trials = [t for t in all_trials.values() if t.status is Status.COMPLETED and t.context.fold == 0]
    must = {config_key(c) for c in needed}
    found: dict[str, tuple[Trial, np.ndarray[Any, Any]]] = {}
    rows: np.ndarray[Any, Any] | None = None
    for trial in ranked(trials, goal, table.folds.steps):
        wanted = trial.key not in found and (len(found) < CANDIDATES or trial.key in must)
        told = _out_of_fold(folder / "trials" / str(trial.number), table) if wanted else None
        if told is not None and (rows is None or np.array_equal(rows, told[0])):
            rows = told[0]
            found[trial.key] = (trial, told[1])
    if not found or rows is None:
        return None
    numbers = tuple(t.number for t, _ in found.values())
    stacked = np.stack([p for _, p in found.values()])
    return Predictions(stacked, table.dataset.targets[rows], numbers), [t.config for t, _ in found.values()]


def _out_of_fold(folder: Path, table: Table) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
    """Rows and predictions of a trial: the mean over repeats; None where a fold is missing."""
    last = table.folds.steps
    steps = range(last if table.folds.fractions else 1, last + 1)
    folds = [read_fold(folder / f"fold-{step}.npz") for step in steps]
    if any(f is None for f in folds):
        return None
    told = [f for f in folds if f is not None]
    rows = np.unique(np.concatenate([f.rows for f in told]))
    total = np.zeros((len(rows), *told[0].predicted.shape[1:]))
    counts = np.zeros(len(rows))
    for f in told:
        at = np.searchsorted(rows, f.rows)
        total[at] += f.predicted
        counts[at] += 1
    return rows, total / counts.reshape((-1,) + (1,) * (total.ndim - 1))


def ensembled(study: Study, table: Table, told: Sequence[Chapter], trained: Path, ended: float) -> None:
    """Put an ensemble of the study's best configurations in place of the final model, where it is better.

    Better than the final model's configuration, on rows that the ensemble was not fitted on. Members are trained on all
    that may be learned from, those with the largest weights first, as far as time allows; what it came to is noted.
    """
    if ENSEMBLE in study.trials.notes and read_card(trained).get("kind") == KIND:
        return
    base = told[-1].conclusion.base
    metric, single = METRICS[base.goal.metric], base.config
    known = library(study.folder, study.trials, table, base.goal, [single])
    if known is None:
        return
    predictions, configs = known
    keys = [config_key(c) for c in configs]
    if config_key(single) not in keys or len(configs) < 2:
        return
    at = keys.index(config_key(single))

    def alone(told: Predictions, metric: object) -> Weighted:
        return Weighted(np.eye(len(told.P))[at])

    judged = compared(predictions, metric, {"the final model alone": alone, "greedy selection": greedy})[1]
    combination = greedy(predictions, metric)
    assert isinstance(combination, Weighted)
    chosen = [int(i) for i in np.argsort(-combination.weights, kind="stable") if combination.weights[i] > 0]
    better = base.goal.sign * judged.difference < 0
    note: dict[str, Any] = {"difference": judged.difference, "low": judged.difference_low,
                            "high": judged.difference_high, "used": False}  # fmt: skip
    if better:
        members = _trained(study, table, base.goal, [configs[i] for i in chosen[:MOST_MEMBERS]], ended)
        kept = [(place, float(combination.weights[i])) for place, i in zip(members, chosen, strict=False) if place]
        if kept:
            total = sum(w for _, w in kept)
            note |= {"used": True, "members": [int(p.parent.name) for p, _ in kept],
                     "weights": [w / total for _, w in kept]}  # fmt: skip
            save_ensemble(trained, [p for p, _ in kept], note["weights"], {"members": note["members"]})
    study.note(ENSEMBLE, note)


def _trained(study: Study, table: Table, goal: Goal, configs: Sequence[Config], ended: float) -> list[Path | None]:
    """Train configurations on all that may be learned from; where each model is, None where time was too short."""
    seed = int(np.random.SeedSequence([study.seed, 1_000_004]).generate_state(1)[0])
    runs = tuple((config, Context(seed=seed, final=True)) for config in configs)
    cost = {t.key: t.seconds for t in study.trials.values() if t.status is Status.COMPLETED}
    left = ended - time.monotonic() - TAIL
    workers = max(1, study.executor.capacity if study.executor else 1)
    fits: list[tuple[Config, Context]] = []
    for run in runs:
        left -= cost.get(config_key(run[0]), math.inf) / (max(1, table.folds.steps - 1) * workers)
        if left <= 0:
            break
        fits.append(run)
    if fits:
        question = f"The members of an ensemble: {len(fits)} configurations, on all data but the test part."
        space = study.trials.opened[next(iter(study.trials.opened))].space
        round = Round(ENSEMBLE, question, Space.from_dict(space), goal, table.folds.steps, len(fits), "listed", "full",
                      tuple(fits), metric=f"train_{goal.metric}")  # fmt: skip
        until = study.trials.spent + max(0.5, ended - time.monotonic() - TAIL)
        study.run(search_of(round, study.seed), len(fits), until)
    done = {t.key: t for t in study.trials.of(ENSEMBLE) if t.status is Status.COMPLETED}
    places = [done.get(config_key(c)) for c in configs]
    return [study.trial_folder(t.number) / MODEL if t is not None else None for t in places]


def judge_record(folder: Path, record: Record) -> list[Judged]:
    """Every kind of ensemble beside the best single model of a study. Raises DataError."""
    about, plan = record.trials.notes[JOB], record.trials.notes[PLAN]
    goal = Goal.from_dict(plan["goal"])
    table = table_of(about["data"], plan["seed"], about["test"], Folds(**{**about["folds"],
                     "fractions": tuple(about["folds"]["fractions"])}))  # fmt: skip
    known = library(folder, record.trials, table, goal)
    if known is None:
        raise DataError("no trial left predictions to combine", where=str(folder),
                        fix="a larger budget: tunebook resume", code="DATA-092")  # fmt: skip
    return compared(known[0], METRICS[goal.metric], METHODS)


# the model card


def model_card(result: Result, table: Table, settings: Settings) -> str:
    """What a person who is handed the model should know, as markdown."""
    data, goal, note = table.dataset, result.goal, result.trials.notes.get(ENSEMBLE, {})
    assert result.model is not None
    size = sum(p.stat().st_size for p in result.model.rglob("*") if p.is_file())
    model = [f"- {tell_config(result.config)}"]
    if note.get("used"):
        model = [f"- weight {w:.3g}: {tell_config(result.trials[n].config)} (trial {n})"
                 for w, n in zip(note["weights"], note["members"], strict=True)]  # fmt: skip
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
        ("## Model", [*model, f"- {size / 2**20:.3g} MiB on disk"]),
        ("## Scores", scores),
        *_finalists(result, table),
        ("## How it was found", [f"- {budget}, seed {settings.seed}", "- the space, and every trial: report.html"]),
        ("## Caveats", ["- It holds for rows like these; what has changed since they were gathered, it cannot know.",
                        "- Categories that it never saw count as none of those that it knows."]),
        ("## Use", [f"    tunebook predict {result.folder} new.csv", "", f"Versions: {versions}"]),
    ]  # fmt: skip
    return "\n\n".join(head + "\n\n" + "\n".join(lines) for head, lines in parts) + "\n"


def _without_test(result: Result, table: Table) -> list[str]:
    """What can be said of new rows where the test part was not looked at."""
    why = "time was up before the test part could be looked at" if len(table.parts.test) else "no test part was kept"
    told = [f"- {why}, so there is no score on rows that nothing has seen"]
    known = library(result.folder, result.trials, table, result.goal)
    if known is None:
        return told
    predictions = known[0]
    try:
        value, low, high = corrected(predictions, METRICS[result.goal.metric])
    except DataError:  # too little was measured
        return told
    return [*told, f"- {result.goal.metric} {value:.4g} (95 % interval {low:.4g} to {high:.4g}) by cross-validation, "
            f"corrected for having chosen the best of {len(predictions.P)}"]  # fmt: skip


def _finalists(result: Result, table: Table) -> list[tuple[str, list[str]]]:
    """Confusion matrix, scores of the classes and calibration of the default and of the final configuration, from
    predictions for rows that they were not trained on."""
    data, told = table.dataset, list[tuple[str, list[str]]]()
    if not data.classes:
        return told
    for what, config in {"The default": result.baseline, "The final configuration": result.config}.items():
        key = config_key(config)
        trials = [t for t in result.trials.values() if t.key == key and t.status is Status.COMPLETED]
        found = (_out_of_fold(result.folder / "trials" / str(t.number), table) for t in trials if not t.context.final)
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
    lines += ["", f"Probabilities are off by {curve.error:.3f} on average (calibration error)."]
    if len(classes) == 2:
        for name in ("f1", "balanced_accuracy"):
            at, value = best_threshold(truth, p, METRICS[name])
            lines.append(f"{name} is highest, {value:.4g}, when {classes[1]!r} is predicted from {at:.2f} on.")
    return lines


def _target(data: Dataset) -> str:
    return repr(data.encoding.target) if data.encoding is not None else "the target"
