"""Modules of people's own: ``build(config)`` or ``build(config, shape, outputs)`` makes one."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from tunebook.errors import SettingError
from tunebook.space import Config

FORMS = "build(config) or build(config, shape, outputs)"


def built(build: Callable[..., Any], config: Config, shape: tuple[int, ...], outputs: int) -> nn.Module:
    """The module of a configuration, for examples of ``shape``. Raises SettingError for what is no module."""
    made = build(config) if takes(build) == 1 else build(config, shape, outputs)
    if not isinstance(made, nn.Module):
        raise SettingError(
            "build made no torch module", where=place_of(build), got=type(made).__name__, expected="torch.nn.Module"
        )
    return made


def takes(build: Callable[..., Any]) -> int:
    """How many arguments are to be given to ``build``: 1 or 3. Raises SettingError for what takes neither."""
    if callable(build) and not isinstance(build, nn.Module):  # one module for all trials would not do
        wanted = inspect.signature(build)
        for count in (1, 3):
            try:
                wanted.bind(*range(count))
            except TypeError:
                continue
            return count
    raise SettingError("this does not build modules", where="build", got=repr(build), expected=FORMS)


def place_of(build: Callable[..., Any]) -> str:
    """Where a function comes from, ``module:name``, or ``file.py:name`` for one of the script that runs."""
    module = getattr(build, "__module__", None) or type(build).__module__
    name = getattr(build, "__qualname__", type(build).__qualname__)
    file = getattr(sys.modules.get(module), "__file__", None) if module == "__main__" else None
    return f"{Path(file).name if file else module}:{name}"
