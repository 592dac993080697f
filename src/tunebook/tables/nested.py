"""Nested cross-validation: the whole search again on each outer fold's training part, scored on what it never saw.

Correcting for the choice by bootstrap (``ensembles.judge.corrected``) costs nothing and is the default; this costs as
many searches as there are outer folds, and also covers what the correction cannot: the search's adaptivity, ensembles,
calibration and thresholds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from scipy.special import stdtrit

from tunebook.data import Folds, save_arrays
from tunebook.errors import SettingError
from tunebook.jobs import Result
from tunebook.learners import load_model
from tunebook.look import codes_of
from tunebook.metrics import METRICS
from tunebook.settings import Settings
from tunebook.tables.subject import Table
from tunebook.trial import Goal

NESTED = "nested"
LEVEL = 0.95


@dataclass(frozen=True)
class Outer:
    """Scores on the outer folds, their mean, and the 95 % interval for their overlap (Nadeau and Bengio 2003)."""

    metric: str
    scores: tuple[float, ...]
    mean: float
    low: float
    high: float
    seconds: float


def nested_score(table: Table, goal: Goal, outer: int, settings: Settings, tune: Callable[..., Result]) -> Outer:
    """Search, train and score on each of ``outer`` folds of the rows that are not the test part.

    Each gets an equal share of the time limit, as the search itself does after them. Raises SettingError for a table
    whose rows are in groups or in time, where each fold would need more than arrays.
    """
    data = table.dataset
    if data.groups is not None or data.in_time:
        raise SettingError("outer folds are for rows that are independent of each other", where="nested",
                           fix="leave nested out: the test part is of other groups, or of later rows")  # fmt: skip
    began, told = time.monotonic(), list[float]()
    for i in range(1, outer + 1):
        parts = Folds(outer).cut(table.parts, i, 1)
        folder = Path(settings.folder) / NESTED / str(i)
        folder.mkdir(parents=True, exist_ok=True)
        save_arrays(data.take(parts.train), folder / "data.npz")
        share = None if math.isinf(settings.seconds) else settings.seconds / (outer + 1)
        more = {"trials": settings.trials, "workers": settings.workers, "seed": settings.seed + i, "quiet": True}
        reference = f"npz:{quote(str(folder / 'data.npz'))}"
        result = tune(reference, test=0.0, time_limit=share, folder=folder / "study", **more)
        assert result.model is not None
        told.append(_score(result.model, data.inputs[parts.valid], data.targets[parts.valid], goal.metric))
    half = float(stdtrit(outer - 1, (1 + LEVEL) / 2)) * math.sqrt((1 / outer + 1 / (outer - 1)) * np.var(told, ddof=1))
    mean = float(np.mean(told))
    return Outer(goal.metric, tuple(told), mean, mean - half, mean + half, time.monotonic() - began)


def _score(model: Path, inputs: np.ndarray[Any, Any], targets: np.ndarray[Any, Any], metric: str) -> float:
    loaded = load_model(model)
    measure = METRICS[metric]
    if not loaded.card.classes:
        return measure(targets, loaded.predict(inputs))
    labels = measure.needs == "labels"
    return measure(targets, codes_of(loaded, inputs) if labels else loaded.predict_proba(inputs))
