"""What earlier studies teach a new one: their configurations, and how good each was among its own.

Losses of other studies are on other scales (other data, other metrics), so only their order counts: the k-th best of n
scores the standard normal quantile of (k - 1/2) / n, as in D. Salinas, H. Shen, V. Perrone, "A quantile-based approach
for hyperparameter transfer learning", ICML 2020.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

from tunebook.errors import SettingError, StudyNotFound, shown
from tunebook.record import BOOK, read_record
from tunebook.space import Config, Space
from tunebook.trial import Goal, Group, Trials, groups

WARM = "warm"
MOST = 300


def lessons(folders: Sequence[str | Path], space: Space) -> dict[str, Any]:
    """The configurations (of those studies that have a place in the space) and their scores, as plain JSON.

    Raises StudyNotFound, StoreError, and SettingError for a study from which nothing can be learned: without trials, or
    without any in which a hyperparameter of the space has a value.
    """
    if not isinstance(folders, list | tuple):
        raise SettingError("warm_start is not a list", where="warm_start", got=shown(folders),
                           expected="a list of folders", fix=f"warm_start=[{shown(folders)}]",
                           code="CONFIG-043")  # fmt: skip
    missing = [str(folder) for folder in folders if not (Path(folder) / BOOK).exists()]
    if missing:
        raise StudyNotFound("there is no study in this folder", where="warm_start", got=missing[0],
                            fix="tunebook list shows the studies that there are")  # fmt: skip
    told: dict[str, Any] = {"studies": [], "configs": [], "scores": []}
    for folder in folders:
        record = read_record(folder)
        pairs = [] if record.goal is None else scored(record.trials, record.goal)
        known = [(c, s) for c, s in pairs if any(name in space.parameters for name in c)]
        fitting = [(c, s) for c, s in ((space.adapt(c), s) for c, s in known) if c is not None]
        if not fitting:
            raise SettingError("nothing can be learned from this study", where="warm_start", got=str(folder),
                               expected="a study with trials whose hyperparameters have a place in the space",
                               fix="leave it out", code="CONFIG-059")  # fmt: skip
        told["studies"].append({"name": record.name, "trials": len(record.trials), "taken": len(fitting)})
        told["configs"] += [dict(c) for c, _ in fitting]
        told["scores"] += [s for _, s in fitting]
    return told


def scored(trials: Trials, goal: Goal) -> list[tuple[Config, float]]:
    """The configurations from best to worst with their scores; what failed or was beyond a limit is the worst of all.

    Of more than 300 the best third, and others evenly.
    """
    every = groups(t for t in trials.values() if t.status.over and not t.context.final)
    if not every:
        return []
    order = sorted(((_loss(g, goal), i) for i, g in enumerate(every)))
    n, normal = len(order), NormalDist()
    pairs = [(every[i].config, normal.inv_cdf((k + 0.5) / n)) for k, (_, i) in enumerate(order)]
    if n <= MOST:
        return pairs
    best = MOST // 3
    rest = MOST - best
    return pairs[:best] + [pairs[best + (n - best - 1) * k // (rest - 1)] for k in range(rest)]


def _loss(group: Group, goal: Goal) -> float:
    told = [t.loss(goal) for t in group.trials]
    sound = [x for x in told if math.isfinite(x)]
    return sum(sound) / len(sound) if sound else math.inf
