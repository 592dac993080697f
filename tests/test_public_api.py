"""What ``import tunebook`` gives, and what it must not cost."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import tunebook

HEAVY = ("torch", "sklearn", "ray", "xgboost", "starlette", "pandas", "pyarrow", "matplotlib", "keras", "lightning",
         "transformers")  # fmt: skip


def loaded_by(statement: str) -> set[str]:
    """The heavy packages that a fresh interpreter has loaded after ``statement``."""
    code = f"import sys\n{statement}\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def reexports() -> list[str]:
    """The names that ``__init__.py`` takes as ``from tunebook.module import X as X``, at once or for type checkers."""
    tree = ast.parse(Path(tunebook.__file__).read_text("utf-8"))
    aliases = [a for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for a in node.names]
    return [a.asname for a in aliases if a.asname == a.name]


def in_order(names: list[str]) -> list[str]:
    """Constants, then classes, then functions, each sorted: the order that ruff asks of ``__all__``."""
    return sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name))


def has_own_docstring(thing: object) -> bool:
    """Whether a class or function says what it is; a dataclass' generated signature does not count."""
    doc = inspect.cleandoc(thing.__doc__ or "")
    return bool(doc) and not doc.startswith(f"{getattr(thing, '__name__', '')}(")


def test_importing_tunebook_loads_nothing_heavy() -> None:
    assert loaded_by("import tunebook") == set()


def test_a_heavy_import_would_be_seen() -> None:
    assert "pandas" in loaded_by("import tunebook, pandas")


def test_all_is_sorted_and_equals_the_reexports() -> None:
    assert tunebook.__all__ == in_order(tunebook.__all__)
    assert set(tunebook.__all__) == set(reexports())
    assert len(set(tunebook.__all__)) == len(tunebook.__all__)


def test_every_public_name_exists_and_has_a_docstring() -> None:
    assert tunebook.__all__, "tunebook offers no public name"
    things = {name: getattr(tunebook, name) for name in tunebook.__all__}
    assert [name for name, thing in things.items() if not has_own_docstring(thing)] == []


def test_a_missing_docstring_would_be_seen() -> None:
    assert not has_own_docstring(lambda: None)
    assert has_own_docstring(in_order)
