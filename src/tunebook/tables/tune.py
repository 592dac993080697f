"""Tuning on a table within a time limit: what is planned, what is kept back for the end, and the last things done."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from tunebook.analysis.calibration import calibrator, safe_threshold
from tunebook.data import Folds, LockedTest
from tunebook.errors import SettingError, StoreError
from tunebook.jobs import Result, base_for, finish, look_at_test, opened, play_plan
from tunebook.learners.auto import AutoLearner
from tunebook.learners.base import MODEL
from tunebook.learners.fitted import get_ready
from tunebook.learners.saved import decide
from tunebook.learners.table import TableObjective
from tunebook.metrics import METRICS
from tunebook.objective import Run
from tunebook.playbook.base import ranked
from tunebook.record import JOB, PLAN, RESULT, TEST, read_record
from tunebook.settings import Options, Settings, settings_of
from tunebook.space import Config, Space
from tunebook.story import look_of, model_of
from tunebook.study import Study
from tunebook.tables.card import DECISION, model_card
from tunebook.tables.combine import TAIL, Chosen, ensembled
from tunebook.tables.library import refit_seconds
from tunebook.tables.nested import NESTED, Outer, nested_score
from tunebook.tables.subject import SHARE, Table, chance_of, goal_for, table_of, told_of
from tunebook.trial import Context, Goal

CARD = "model-card.md"
TRIALS = 10_000
RUN_PART = 0.15  # of a time limit that one cross-validation may take, as far as its first folds tell
KILL_PART = 0.17  # after which a run is stopped whatever it does
LEAST_AFTER, MOST_AFTER = 0.06, 0.15  # of a time limit: for the last trainings; of tables of few cells, and of many
MANY_CELLS = 1e6
SAME = 0.2  # budgets that differ by less are the same: the time to start counts, and is never the same
OPENING = 2.0  # and for each second that it took to open the data: the machine is slow, or the table large
LABELS = ("f1", "f1_macro", "balanced_accuracy")  # what a threshold other than 0.5 may serve


class TableOptions(Options, total=False):
    """Keyword settings of ``tune_table``: those of ``tune``, and its own."""

    test: float
    folds: Folds | None
    calibrate: bool | None
    nested: int


@dataclass(frozen=True)
class _Own:
    """What ``tune_table`` takes beside the settings of a study."""

    test: float = SHARE
    folds: Folds | None = None
    calibrate: bool | None = None
    nested: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.nested, bool) or not (self.nested == 0 or 2 <= self.nested <= 20):
            raise SettingError("the number of outer folds", where="nested", got=repr(self.nested),
                               expected="0 for none, or 2 to 20", code="CONFIG-044")  # fmt: skip


def tune_table(
    data: str,
    goal: Goal | None = None,
    space: Space | None = None,
    families: Sequence[str] = (),
    **options: Unpack[TableOptions],
) -> Result:
    """Play the playbook over model families on a table, and leave the best model, or ensemble, that was found.

    families    those to look at (all that suit the data)
    goal        accuracy for classes and rmse for numbers unless given
    test        the share of the rows that is locked away until the end (0: all are learned from, and no test is made)
    folds       how a configuration is measured: by cross-validation, or for large tables on one part after training on
                growing shares of the others
    calibrate   whether probabilities are calibrated where that lowers log-loss on rows that were not learned from; by
                default for metrics of probabilities only
    nested      repeat the whole search on so many outer folds, for an estimate that no choice has touched; they share
                the time limit with the search itself

    With a ``time_limit`` all is over by then. Raises TunebookError as ``tune_model`` does.
    """
    began = time.monotonic()
    given: dict[str, Any] = dict(options)
    own = _Own(**{k: given.pop(k) for k in _Own.__dataclass_fields__ if k in given})
    settings = settings_of({"trials": TRIALS, **given})
    table = table_of(data, settings.seed, own.test, own.folds)
    learner = AutoLearner(tuple(families))
    goal = goal_for(learner, table.dataset, goal)
    opening, outer = time.monotonic() - began, None
    if own.nested and NESTED not in _notes(Path(settings.folder), settings.store):
        outer = nested_score(table, goal, own.nested, settings, lambda part, **more: tune_table(
            part, goal, space, families, **more))  # fmt: skip
        settings = replace(settings, time_limit=_rest(settings, began))
    space = space or learner.space(table.dataset)
    asked = _planned(settings, table, opening)
    asked = replace(asked, first=(*asked.first, *_first(learner, table, space)))
    objective = learner.objective(table.reference, table.split, goal, asked.steps, table.folds)
    if not math.isinf(settings.seconds):
        objective = replace(objective, limit=max(2.0, RUN_PART * settings.seconds), ends=time.time() + asked.seconds)
    base = base_for(space, goal, asked, chance_of(table, goal))
    about = {"model": learner.name, "data": table.reference, "fingerprint": table.dataset.fingerprint(),
             "split": {p: len(getattr(table.parts, p)) for p in ("train", "valid", "test")},
             "test": own.test, "folds": asdict(table.folds), "budget": _finite(settings.seconds),
             "notes": told_of(table)}  # fmt: skip
    with opened(objective, asked, about, replace(base, folds=table.folds.k)) as (study, plan):
        ended = began + _seconds(options) - max(0.0, study.trials.spent - (time.monotonic() - began))
        return _played(study, plan, table, settings, objective, (ended, own.calibrate, outer))


def _played(
    study: Study, plan: Mapping[str, Any], table: Table, settings: Settings, objective: TableObjective,
    end: tuple[float, bool | None, Outer | None],
) -> Result:  # fmt: skip
    """The search, the final model and what is told of it."""
    ended, calibrate, outer = end
    goal = objective.goal
    if outer is not None and NESTED not in study.trials.notes:
        study.note(NESTED, asdict(outer))
    if study.executor is not None and RESULT not in study.trials.notes:
        study.executor.warm()
        if study.executor.capacity > 1:  # while the first runs begin, as it would take time at the end
            threading.Thread(target=get_ready, daemon=True).start()
    told = play_plan(study, plan)
    trained = model_of(study.folder, told)
    if trained is not None and trained.is_dir():
        known = ensembled(study, table, told, trained, ended)
        if DECISION not in study.trials.notes and known is not None:
            study.note(DECISION, decided(trained, known, table, goal, calibrate))
        if len(table.parts.test) and look_of(study.trials.notes.get(TEST), trained) is None:
            lock = LockedTest(table.dataset, table.parts, study.look, len(study.trials.looks))
            look_at_test(study, lock, trained, goal.metric)
    result = finish(told, study, goal)
    if result.model is None:
        result = replace(result, model=_plain(study, objective, result, table))
    (study.folder / CARD).write_text(model_card(result, table, settings), encoding="utf-8")
    return result


def decided(model: Path, known: Chosen, table: Table, goal: Goal, calibrate: bool | None) -> dict[str, Any]:
    """Calibrate a classifier and choose its threshold, where that gains on rows it was not fitted on; what was done."""
    metric, two = METRICS[goal.metric], len(table.dataset.classes) == 2
    if not table.dataset.classes:
        return {}
    wanted = metric.name in ("log_loss", "brier") if calibrate is None else calibrate
    outputs, gain, chosen = known.outputs, 0.0, None
    if wanted:
        chosen, gain = calibrator(known.truth, outputs)
        outputs = outputs if chosen is None else chosen.apply(outputs)
    threshold = safe_threshold(known.truth, outputs, metric) if two and metric.name in LABELS else 0.5
    if chosen is not None or threshold != 0.5:
        decide(model, threshold, chosen)
    return {"calibrated": None if chosen is None else chosen.kind, "gain": gain, "threshold": threshold}


def _first(learner: AutoLearner, table: Table, space: Space) -> list[Config]:
    """Presets that have a place in the space, without those that come to the same."""
    told: list[Config] = []
    for preset in learner.presets(table.dataset) if "family" in space.parameters else []:
        whole = {**(space.adapt(preset) or {}), **preset}
        if space.contains(whole) and whole not in told:
            told.append(whole)
    return told


def _plain(study: Study, objective: TableObjective, result: Result, table: Table) -> Path:
    """A model all the same where the time was too short for a last training: of the best configuration that is known
    to be trained at once, else of the default. Raises what the training raises.
    """
    best = [t for t in ranked(list(study.trials.values()), result.goal, objective.steps)
            if refit_seconds(t, table) < TAIL]  # fmt: skip
    config = best[0].config if best else result.baseline
    place = study.folder / MODEL
    run = Run(study.trials.next_number, config, objective.steps, place, study.seed, Context(final=True))
    for _ in objective(run):
        pass
    return place / MODEL


def _planned(settings: Settings, table: Table, opening: float) -> Settings:
    """The settings of the search: it ends before the time limit does, and no run may take more than a part of it.

    What comes after it takes the longer, the larger the table is and the longer it took to open it on this machine
    (``opening`` seconds). A study that is taken up with the same limit keeps what was planned.
    """
    if math.isinf(settings.seconds):
        return replace(settings, steps=table.folds.steps)
    size = min(1.0, table.development.size * table.dataset.inputs[0].size / MANY_CELLS)
    after = settings.seconds * (LEAST_AFTER + (MOST_AFTER - LEAST_AFTER) * size)
    search = max(1.0, settings.seconds - after - TAIL - OPENING * opening)
    notes = _notes(Path(settings.folder), settings.store)
    before = notes.get(JOB, {}).get("budget") or 0.0
    if PLAN in notes and abs(settings.seconds - before) <= SAME * before:
        search = notes[PLAN]["cycles"][-1]["seconds"] or search
    limit = settings.run_limit or max(4.0, KILL_PART * settings.seconds)
    return replace(settings, steps=table.folds.steps, time_limit=search, run_limit=limit)


def _rest(settings: Settings, began: float) -> float | None:
    return _finite(settings.seconds - (time.monotonic() - began))


def _seconds(options: Mapping[str, Any]) -> float:
    return settings_of({"time_limit": options.get("time_limit")}).seconds


def _notes(folder: Path, store: str | None) -> Mapping[str, Any]:
    """What the record of a study notes; nothing where there is none yet."""
    try:
        return read_record(folder, store).trials.notes
    except StoreError:
        return {}


def _finite(seconds: float) -> float | None:
    return None if math.isinf(seconds) else seconds
