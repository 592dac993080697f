"""An objective on its way to worker processes: by name where the worker can import it, by value where it cannot.

Functions of a script, of a notebook and of modules that were loaded in an unusual way go by value.
"""

from __future__ import annotations

import functools
import inspect
import io
import os
import pickle
import sys
import types
import warnings
from collections.abc import Iterator
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
from operator import attrgetter
from types import CodeType, FunctionType, ModuleType
from typing import Any

import cloudpickle

from tunebook.errors import ObjectiveError, Problem
from tunebook.objective import Objective

LARGE = 50 * 2**20
DEEPEST = 6
FIXES = (
    "make it inside the objective; or give the objective what it is made from (a path, a URL); "
    "or use one process: SerialExecutor, workers=0"
)


def packed_objective(objective: Objective, memory_limit: int | None) -> bytes:
    """What a worker needs to begin: (limit of memory in bytes, (module, name) or None, the objective by value).

    Raises ObjectiveError naming the variable if the objective cannot be sent. Warns if it is very large.
    """
    name = _importable_name(objective)
    try:
        blob = b"" if name else _by_value(objective)
    except Exception as error:
        raise _unsendable(objective, error) from error
    if len(blob) > LARGE:
        size, where = max(((_size(v), path) for path, v in _parts(inspect.unwrap(objective))), default=(0, "?"))
        warnings.warn(
            f"the objective carries {len(blob) / 2**20:.0f} MB to each worker, {size / 2**20:.0f} MB of it in {where}: "
            "load large data inside the objective",
            stacklevel=4,
        )
    return pickle.dumps((memory_limit, name, blob))


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Takes functions and classes of modules that a worker would not find by value, as those of ``__main__``."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.found: dict[str, bool] = {"__main__": True}
        self.by_value: list[ModuleType] = []

    def reducer_override(self, obj: object) -> Any:
        name = getattr(obj, "__module__", None) if isinstance(obj, FunctionType | type) else None
        if isinstance(name, str) and name not in self.found:
            self.found[name] = _importable(name)
            registered = name in cloudpickle.list_registry_pickle_by_value()
            if not self.found[name] and name in sys.modules and not registered:
                self.by_value.append(sys.modules[name])
                cloudpickle.register_pickle_by_value(sys.modules[name])
        return super().reducer_override(obj)


def _by_value(value: object) -> bytes:
    with io.BytesIO() as file:
        pickler = _Pickler(file)
        try:
            pickler.dump(value)
        finally:
            for module in pickler.by_value:
                cloudpickle.unregister_pickle_by_value(module)
        return file.getvalue()


def _importable_name(objective: object) -> tuple[str, str] | None:
    """Module and name under which a worker will find this very object; None if it has to go by value."""
    module, name = getattr(objective, "__module__", None), getattr(objective, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or "<" in name or module not in sys.modules:
        return None
    try:
        found = attrgetter(name)(sys.modules[module])
    except AttributeError:
        return None
    return (module, name) if found is objective and _importable(module) else None


def _importable(name: str) -> bool:
    """Whether a fresh interpreter with the same path finds this very module, and no other one of its name."""
    module = sys.modules.get(name)
    if name == "__main__" or module is None:
        return False
    editable = [f for f in sys.meta_path if getattr(f, "__module__", "").startswith("__editable__")]
    finders: list[Any] = [BuiltinImporter, FrozenImporter, PathFinder, *editable]
    parts, path, spec = name.split("."), None, None
    for i in range(len(parts)):
        found = (finder.find_spec(".".join(parts[: i + 1]), path) for finder in finders)
        spec = next((s for s in found if s is not None), None)
        if spec is None:
            return False
        path = spec.submodule_search_locations
    file = getattr(module, "__file__", None)
    return spec is not None and (file is None or os.path.realpath(spec.origin or "") == os.path.realpath(file))


def _unsendable(objective: Objective, error: Exception) -> ObjectiveError:
    inner = inspect.unwrap(objective)
    name = getattr(inner, "__name__", type(inner).__name__)
    path, culprit = _culprit(inner, (), set())
    return ObjectiveError(
        Problem(
            "the objective cannot be sent to worker processes",
            where=": ".join([name, *path]),
            got=f"{_type_name(culprit)} ({error})" if path else str(error),
            expected="values that can be pickled",
            fix=FIXES,
            code="ENV-105",
        )
    )


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _culprit(value: object, path: tuple[str, ...], seen: set[int]) -> tuple[tuple[str, ...], object]:
    """The innermost part that cannot be pickled, and the way to it."""
    seen.add(id(value))
    if len(path) < DEEPEST:
        for label, part in _parts(value):
            if id(part) not in seen and not _sendable(part):
                return _culprit(part, (*path, label), seen)
    return path, value


def _sendable(value: object) -> bool:
    try:
        _by_value(value)
    except Exception:  # noqa: BLE001  (whatever a __reduce__ raises means no)
        return False
    return True


def _size(value: object) -> int:
    return len(_by_value(value)) if _sendable(value) else 0


def _parts(value: object) -> Iterator[tuple[str, object]]:
    """What is sent along with a value, each with words for it."""
    if isinstance(value, FunctionType):
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=False):
            try:
                yield f"variable {name!r} around it", cell.cell_contents
            except ValueError:  # not assigned yet
                continue
        for name in sorted(_global_names(value.__code__) & value.__globals__.keys()):
            if not isinstance(value.__globals__[name], ModuleType):
                yield f"global {name!r}", value.__globals__[name]
        names, given = value.__code__.co_varnames[: value.__code__.co_argcount], value.__defaults__ or ()
        defaults = [*zip(names[len(names) - len(given) :], given, strict=True), *(value.__kwdefaults__ or {}).items()]
        yield from ((f"default of {key!r}", part) for key, part in defaults)
    elif isinstance(value, functools.partial):
        yield "its function", value.func
        yield from ((f"argument {key!r}", part) for key, part in [*enumerate(value.args), *value.keywords.items()])
    elif isinstance(value, types.MethodType):
        yield "self", value.__self__
    elif isinstance(value, dict):
        yield from ((f"entry {key!r}", part) for key, part in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((f"item {i}", part) for i, part in enumerate(value))
    else:
        yield from ((f"attribute {key!r}", part) for key, part in _attributes(value))


def _attributes(value: Any) -> Iterator[tuple[str, object]]:
    yield from getattr(value, "__dict__", {}).items()
    if isinstance(value, type):
        return
    for name in getattr(type(value), "__slots__", ()):
        if name in ("__dict__", "__weakref__"):
            continue
        part = getattr(value, name, None)
        if part is not None:
            yield name, part


def _global_names(code: CodeType) -> set[str]:
    inner = (c for c in code.co_consts if isinstance(c, CodeType))
    return set(code.co_names).union(*map(_global_names, inner))
