"""How much, how long, where: the settings of a job."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypedDict

from tunebook.errors import SettingError, nearest, shown
from tunebook.record import RUNS
from tunebook.space import Config
from tunebook.study import Listener

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_MONEY = re.compile(
    r"(?P<money>\d+(?:\.\d+)?)(?:at|@)(?P<price>\d+(?:\.\d+)?)(?:/|an|per)(?P<unit>h|hour|m|minute|s|second)"
)
_DURATION = re.compile("".join(rf"(?:(?P<{unit}>\d+(?:\.\d+)?){unit})?" for unit in _UNITS))


class Options(TypedDict, total=False):
    """Keyword settings of ``tune`` and ``tune_model``; see Settings."""

    steps: int
    trials: int
    time_limit: str | float | None
    workers: int | None
    seed: int
    folder: str | Path
    store: str | None
    run_limit: float | None
    quiet: bool
    listener: Listener | None
    command: str | None
    resolved: str | None
    first: Sequence[Config]
    warm_start: Sequence[str | Path]


@dataclass(frozen=True)
class Settings:
    """How much, how long, where.

    steps       length of a full training, in the steps that the objective reports (epochs, rounds, ...)
    trials      budget: how many trials may be created in all
    time_limit  budget: seconds, text such as "90s", "10m", "2h", or money such as "20 at 2.50/h", what the machine
                costs; whatever ends first
    workers     processes that train at the same time; by default one for each core; 0 runs in this process
    seed        of everything random
    folder      what is written goes here and nowhere else; its last part is the study's name
    store       database URL; by default SQLite in the folder
    run_limit   seconds that one run may take
    quiet       show no progress
    listener    is told of all events instead of the progress on the terminal
    command     what to note as the command that does it again; by default that of this process
    resolved    text to keep in the folder as config.resolved.toml, once the study is known to be ours
    first       configurations to try before others; what they lack has its default
    warm_start  folders of earlier studies to learn from, of the same or an overlapping space
    """

    steps: int = 1
    trials: int = 50
    time_limit: str | float | None = None
    workers: int | None = None
    seed: int = 0
    folder: str | Path = f"{RUNS}/study"
    store: str | None = None
    run_limit: float | None = None
    quiet: bool = False
    listener: Listener | None = field(default=None, compare=False)
    command: str | None = None
    resolved: str | None = field(default=None, repr=False)
    first: Sequence[Config] = ()
    warm_start: Sequence[str | Path] = ()

    def __post_init__(self) -> None:
        for name, least, most in (("steps", 1, 10**9), ("trials", 1, 10**8), ("seed", 0, 2**63 - 1)):
            if not _whole(getattr(self, name), least, most):
                raise SettingError(f"{name} must be a whole number", where=name, got=repr(getattr(self, name)),
                                   expected=f"{least} to {most:,}", code="CONFIG-044")  # fmt: skip
        for name in ("first", "warm_start"):
            given = getattr(self, name)
            if not isinstance(given, list | tuple):
                raise SettingError(f"{name} is not a list", where=name, got=shown(given), expected="a list",
                                   fix=f"{name}=[...]", code="CONFIG-043")  # fmt: skip
        cores = os.cpu_count() or 1
        if self.workers is not None and not _whole(self.workers, 0, 16 * cores):
            raise SettingError("an odd number of workers", where="workers", got=repr(self.workers),
                               expected=f"0 to {16 * cores} on {cores} cores", code="CONFIG-057")  # fmt: skip
        seconds(self.time_limit)

    @property
    def seconds(self) -> float:
        """The time budget in seconds; infinite without one."""
        return seconds(self.time_limit)

    @property
    def capacity(self) -> int:
        """Number of workers."""
        return self.workers if self.workers is not None else (os.cpu_count() or 1)


def _whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def settings_of(options: Mapping[str, Any]) -> Settings:
    """Settings from keywords. Raises SettingError for an unknown one, with the nearest known name."""
    known = [f.name for f in fields(Settings)]
    for name in options:
        if name not in known:
            raise SettingError("unknown setting", where="settings", got=f"{name}={shown(options[name])}",
                               expected=nearest(name, known), fix="help(tunebook.settings.Settings) tells all of them",
                               code="CONFIG-042")  # fmt: skip
    return Settings(**options)


def seconds(text: str | float | None) -> float:
    """A duration in seconds: a number, text with a unit, or money and what it buys; infinite for None.

    >>> seconds("1h30m"), seconds("90s"), seconds(5)
    (5400.0, 90.0, 5.0)
    >>> seconds("20 at 2.50/h"), seconds("$1.20 at $0.01 per minute")
    (28800.0, 7200.0)
    """
    if text is None:
        return math.inf
    told = str(text).strip().lower().replace(" ", "")
    if isinstance(text, str) and re.fullmatch(r"\d+(\.\d+)?", told):
        raise SettingError("a time limit without a unit", where="time_limit", got=told, fix=f"{told}s or {told}m",
                           code="CONFIG-045")  # fmt: skip
    bought = _MONEY.fullmatch(re.sub(r"[$€£¥]", "", told)) if isinstance(text, str) else None
    if bought:
        price = float(bought["price"])
        value = float(bought["money"]) * _UNITS[bought["unit"][0]] / price if price else math.nan
    elif isinstance(text, str):
        whole = _DURATION.fullmatch(told)
        value = sum(float(n) * _UNITS[unit] for unit, n in whole.groupdict("0").items()) if whole else math.nan
    else:
        value = math.nan if isinstance(text, bool) else float(text)
    if not value > 0:
        raise SettingError("this is not a time limit", where="time_limit", got=repr(text),
                           expected="hours, minutes, seconds: 90s, 10m, 1h30m; or money: 20 at 2.50/h",
                           code="CONFIG-046")  # fmt: skip
    return value
