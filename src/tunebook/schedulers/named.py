"""Schedulers by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from tunebook.errors import SettingError, nearest
from tunebook.schedulers.asha import AshaScheduler
from tunebook.schedulers.auto import AutoScheduler
from tunebook.schedulers.base import Scheduler
from tunebook.schedulers.full import FullScheduler
from tunebook.schedulers.halving import HalvingScheduler, HyperbandScheduler
from tunebook.schedulers.population import PopulationScheduler
from tunebook.schedulers.race import RaceStop
from tunebook.schedulers.stops import (
    Combined,
    DivergenceStop,
    ForecastStop,
    MedianStop,
    PatienceStop,
    PlateauStop,
    Stop,
)
from tunebook.schedulers.thaw import FreezeThawScheduler
from tunebook.trial import Goal

STOPS: Mapping[str, Callable[[Goal, int], Stop]] = {
    "median": MedianStop,
    "median-point": partial(MedianStop, form="point"),
    "patience": PatienceStop,
    "plateau": PlateauStop,
    "divergence": DivergenceStop,
    "forecast": ForecastStop,
    "race": RaceStop,
}
SCHEDULERS: Mapping[str, Callable[[Goal, int], Scheduler]] = {
    "auto": AutoScheduler,
    "full": FullScheduler,
    "halving": HalvingScheduler,
    "hyperband": HyperbandScheduler,
    "asha": AshaScheduler,
    "asha-stopping": partial(AshaScheduler, form="stopping"),
    "freeze-thaw": FreezeThawScheduler,
    "population": PopulationScheduler,
    **STOPS,
}


def scheduler_named(name: str, goal: Goal, steps: int) -> Scheduler:
    """A scheduler, or several joined by "+": the first plans, any may stop, as in ``halving+divergence+patience``.

    Raises SettingError for a name that is not known.
    """
    first, *more = name.split("+")
    for part, known in ((first, SCHEDULERS), *((m, STOPS) for m in more)):
        if part not in known:
            told = sorted(known)
            raise SettingError("unknown scheduler" if part is first else "this does not stop trials", where="scheduler",
                               got=part, expected=nearest(part, told), code="CONFIG-054")  # fmt: skip
    planner = SCHEDULERS[first](goal, steps)
    return Combined(planner, *(STOPS[m](goal, steps) for m in more)) if more else planner
