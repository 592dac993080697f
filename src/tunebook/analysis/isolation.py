"""The isolation plot: the best over everything else, for each value of one hyperparameter. (playbook A11)"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tunebook.analysis.bootstrap import expected_best, loss_of_best
from tunebook.analysis.rows import Rows, tabulate
from tunebook.errors import SettingError, nearest
from tunebook.space import Float, Int, Parameter, Space, Value
from tunebook.trial import Goal, Trial

BUCKETS = 5


@dataclass(frozen=True)
class Cell:
    """One value (or bucket) of the hyperparameter: ``label``, the ``best`` metric over the ``n`` trials there with the
    interval of its bootstrap, and ``fair``: the expected best of as many trials as the smallest cell has, so that cells
    that were tuned longer have no advantage. ``wins`` is the bootstrap probability that this cell is the best at equal
    tuning. Metrics are NaN where nothing succeeded."""

    label: str
    best: float
    low: float
    high: float
    fair: float
    wins: float
    n: int
    numbers: tuple[int, ...]


def isolation(
    trials: Iterable[Trial], space: Space, goal: Goal, name: str, buckets: int = BUCKETS, level: float = 0.9
) -> list[Cell]:
    """Cells of the axis ``name``, in its order: one an option, or ``buckets`` equal parts of the sampling scale.

    Meant for quasi-random trials, where each cell was tuned by as many draws as it has trials. Raises SettingError for
    an unknown name.
    """
    if name not in space.names:
        raise SettingError("no such hyperparameter", where="isolation", got=name, expected=nearest(name, space.names))
    rows = tabulate(trials, space, goal)
    j = space.names.index(name)
    parts = _parts(space.axes[j].parameter, rows.X[:, j], buckets)
    losses = [np.sort(rows.loss[at]) for _, at in parts]
    smallest = min((len(x) for x in losses if len(x)), default=0)
    wins = _wins(losses, smallest)
    return [
        _cell(goal, rows, (label, at), (losses[i], smallest, wins[i], level)) for i, (label, at) in enumerate(parts)
    ]


def _parts(parameter: Parameter, codes: npt.NDArray[np.float64], buckets: int) -> list[tuple[str, list[int]]]:
    there = [i for i in range(len(codes)) if 0.0 <= codes[i] <= 1.0]
    few = 0 < parameter.size <= max(buckets, 8) or parameter.unordered
    parts = parameter.size if few else buckets
    members: list[list[int]] = [[] for _ in range(parts)]
    if few:
        values = _every(parameter)
        for i in there:
            members[values.index(parameter.decode(float(codes[i])))].append(i)
        return [(str(v), m) for v, m in zip(values, members, strict=True)]
    for i in there:
        members[min(parts - 1, int(codes[i] * parts))].append(i)
    ends = [parameter.decode(k / parts) for k in range(parts + 1)]
    return [(f"{_short(ends[k])} to {_short(ends[k + 1])}", m) for k, m in enumerate(members)]


def _every(parameter: Parameter) -> list[Value]:
    """All values of a discrete parameter, in order."""
    if isinstance(parameter, Float | Int):
        step = parameter.step or 1
        return [parameter.decode(parameter.encode(parameter.low + k * step)) for k in range(parameter.size)]
    return [parameter.decode((k + 0.5) / parameter.size) for k in range(parameter.size)]


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _wins(losses: list[npt.NDArray[np.float64]], n: int, draws: int = 2000) -> list[float]:
    """Probability of each cell to hold the smallest of ``n`` bootstrap draws; ties are shared."""
    if n == 0:
        return [float("nan")] * len(losses)
    rng = np.random.default_rng(0)
    best = np.full((draws, len(losses)), np.inf)
    for i, x in enumerate(losses):
        if len(x):
            best[:, i] = x[rng.integers(len(x), size=(draws, n)).min(axis=1)]
    lowest = best == best.min(axis=1, keepdims=True)
    return [float(w) for w in np.mean(lowest / lowest.sum(axis=1, keepdims=True), axis=0)]


def _cell(
    goal: Goal,
    rows: Rows,
    part: tuple[str, list[int]],
    told: tuple[npt.NDArray[np.float64], int, float, float],
) -> Cell:
    (label, at), (loss, smallest, wins, level) = part, told
    numbers = tuple(rows.numbers[i][0] for i in at)
    nothing = float("nan")
    if not len(loss) or not np.isfinite(loss[0]):
        return Cell(label, nothing, nothing, nothing, nothing, wins, len(at), numbers)
    sound = loss[np.isfinite(loss)]
    tail = 0.5 * (1.0 - level)
    ends = sorted(goal.value(loss_of_best(sound, len(sound), q)) for q in (tail, 1.0 - tail))
    fair = goal.value(expected_best(sound, min(smallest, len(sound))))
    return Cell(label, goal.value(float(loss[0])), ends[0], ends[1], fair, wins, len(at), numbers)
