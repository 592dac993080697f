"""Reading a configuration: typed values with defaults, and the settings below a nested choice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tunebook.errors import SettingError, nearest
from tunebook.space import Config, Value


def picked(config: Config, name: str, default: str, known: Iterable[str]) -> tuple[str, Config]:
    """The option chosen for ``name`` and its settings: those nested below it, else those of the same name beside it.

    >>> picked({"optimizer": "sgd", "optimizer.sgd.lr": 0.1, "batch_size": 64}, "optimizer", "adam", ["sgd"])[1]["lr"]
    0.1

    Raises SettingError for an option that is not known.
    """
    label = word(config, name, default, known)
    head = f"{name}.{label}."
    below = {key.removeprefix(head): value for key, value in config.items() if key.startswith(head)}
    return label, {**config, **below}


def word(config: Config, name: str, default: str, known: Iterable[str]) -> str:
    """A text setting that is one of ``known``."""
    value, options = config.get(name, default), list(known)
    if value not in options:
        raise SettingError(f"unknown {name}", where=name, got=repr(value), expected=nearest(str(value), options))
    return str(value)


def real(config: Config, name: str, default: float, low: float = 0.0, high: float = float("inf")) -> float:
    """A number in [low, high]."""
    value = _plain(config, name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise SettingError(f"{name} is out of range", where=name, got=repr(value), expected=f"{low:g} to {high:g}")
    return float(value)


def whole(config: Config, name: str, default: int, low: int = 0) -> int:
    """A whole number of at least ``low``."""
    value = _plain(config, name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise SettingError(
            f"{name} is not a whole number that fits", where=name, got=repr(value), expected=f"{low} or more"
        )
    return value


def flag(config: Config, name: str, default: bool) -> bool:
    """True or false."""
    value = _plain(config, name, default)
    if not isinstance(value, bool):
        raise SettingError(f"{name} is not true or false", where=name, got=repr(value), expected="True or False")
    return value


def _plain(config: Mapping[str, Value], name: str, default: Value) -> Value:
    value = config.get(name, default)
    return default if value is None else value
