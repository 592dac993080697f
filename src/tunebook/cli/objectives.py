"""The objective that a command line names: FILE.py:FUNCTION or package.module:function."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from pathlib import Path
from types import FunctionType, ModuleType

from tunebook.errors import ObjectiveError, Problem, SettingError, TunebookError, nearest
from tunebook.objective import Objective, failure_of, objective

_FORM = "FILE.py:FUNCTION or package.module:function"


def objective_named(name: str) -> Objective:
    """Import an objective. Raises SettingError and ObjectiveError; what the module itself raises is raised."""
    place, colon, function = name.rpartition(":")
    if not colon or not place:
        raise SettingError(_no_function(name))
    module = _from_file(Path(place)) if place.endswith(".py") or "/" in place else _from_module(place)
    if not function.isidentifier() or not _has(module, function):
        raise SettingError(f"there is no function {function!r} in {place}", where="objective", got=name,
                           expected=nearest(function, _functions(module)), code="CONFIG-052")  # fmt: skip
    return checked(getattr(module, function), name)


def study_name(name: str) -> str:
    """What a study of an objective is called unless it is told: the file's or module's name."""
    place = name.rpartition(":")[0] or name
    return Path(place).stem if place.endswith(".py") or "/" in place else place.rpartition(".")[2]


def checked(found: object, name: str) -> Objective:
    """What was found, as an objective: a plain function is wrapped by ``tunebook.objective``."""
    if not callable(found):
        raise ObjectiveError("the objective cannot be called", where=name, got=type(found).__name__,
                             expected="a function of one argument, the run", code="OBJECTIVE-053")  # fmt: skip
    if isinstance(found, FunctionType):
        try:
            inspect.signature(found).bind(object())
        except TypeError:
            raise ObjectiveError("the objective must take one argument, the run", where=name,
                                 got=f"{found.__name__}{inspect.signature(found)}",
                                 fix=f"def {found.__name__}(run): ...", code="OBJECTIVE-053") from None  # fmt: skip
        if not inspect.isgeneratorfunction(found):
            return objective(found)
    return found


def _no_function(name: str) -> Problem:
    where = name.rstrip(":")
    return Problem("the objective has no function", "objective", name, _FORM, f"{where}:train", "CONFIG-050")


def _has(module: ModuleType, name: str) -> bool:
    return name in vars(module)


def _functions(module: ModuleType) -> list[str]:
    return [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__]


def _from_file(path: Path) -> ModuleType:
    """The module of a file under its own name, so that worker processes find it by that name."""
    if not path.is_file():
        near = [str(p) for p in sorted(path.parent.glob("*.py"))] if path.parent.is_dir() else []
        what = "this is a folder" if path.is_dir() else "there is no such file"
        raise SettingError(what, where="objective", got=str(path), expected=nearest(str(path), near) if near else _FORM,
                           code="CONFIG-033")  # fmt: skip
    name = path.stem
    if name in sys.stdlib_module_names or "." in name or _taken(name, path):
        raise SettingError("the file has the name of another module", where="objective", got=str(path),
                           expected="a name that Python and its packages do not use",
                           fix=f"mv {path} {path.with_name('my_' + name.replace('.', '_') + '.py')}",
                           code="CONFIG-051")  # fmt: skip
    folder = str(path.absolute().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return _imported(name)


def _taken(name: str, path: Path) -> bool:
    known = sys.modules.get(name)
    told = known.__file__ if known is not None else None
    return known is not None and (told is None or not os.path.samefile(told, path))


def _imported(name: str) -> ModuleType:
    """Import it. Raises ModuleNotFoundError where there is none, ObjectiveError for what its own code raises."""
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, TunebookError) or _absent(error, name):
            raise
        told = failure_of(error)
        where = f"{error.filename}:{error.lineno}" if isinstance(error, SyntaxError) else told.where
        fix = "mend the import, or install what it needs"
        if isinstance(error, SystemExit):
            fix = "what only a script does goes below: if __name__ == '__main__':"
        raise ObjectiveError(f"{name} cannot be imported: {told.message}", where=where, fix=fix,
                             code="CONFIG-051") from error  # fmt: skip


def _absent(error: BaseException, name: str) -> bool:
    """Whether the module itself is what was not found, not something that it imports."""
    told = error.name if isinstance(error, ModuleNotFoundError) else None
    return told is not None and f"{name}.".startswith(f"{told}.")


def _from_module(name: str) -> ModuleType:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return _imported(name)
    except ModuleNotFoundError:
        near = [p.stem for p in Path(here).glob("*.py")]
        raise SettingError("there is no such module", where="objective", got=name,
                           expected=nearest(name, near) if near else _FORM,
                           fix=f"a path for a file: {name.replace('.', '/')}.py:FUNCTION",
                           code="CONFIG-051") from None  # fmt: skip
