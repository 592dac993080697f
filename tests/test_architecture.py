"""The import ladder: a room imports only rooms on lower rows, never a neighbour, also inside functions."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "tunebook"
ROOT = "the package root"

LADDER = (  # lowest row first
    ("errors", "faults", "threads"),
    ("space", "goal", "pareto", "sealed"),
    ("trial",),
    ("measurement", "beginnings", "outcomes"),
    ("objective", "metrics", "data"),
    ("samplers", "schedulers", "stores", "executors/base", "analysis"),
    ("diagnose", "ensembles"),
    ("executors", "training", "playbook"),
    ("study", "report", "learners", "record"),
    ("look", "progress", "settings", "story", "origin", "subject", "warm"),
    ("jobs",),
    ("tables",),
    ("interop",),
    ("cli", "web", "testing"),
    (ROOT,),
)
ROW = {room: row for row, rooms in enumerate(LADDER) for room in rooms}
HOMES = {  # heavy packages, and the only places that may import them
    "torch": ("training/", "learners/", "interop/"),
    "keras": ("interop/keras.py",),
    "lightning": ("interop/lightning.py",),
    "ray": ("executors/ray.py",),
    "starlette": ("web/",),
}


def room(parts: list[str]) -> str:
    """The room of a module given as the parts of its name below ``tunebook``."""
    if parts[:2] == ["executors", "base"]:
        return "executors/base"
    return parts[0] if parts and parts[0] not in ("__init__", "__main__") else ROOT


def imported(source: str, package: list[str]) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of every import of a module inside ``package``, wherever in the file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            prefix = ".".join([*base, *filter(None, [node.module])])
            yield from ((node.lineno, f"{prefix}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            names = [a.value for a in node.args[:1] if isinstance(a, ast.Constant)]
            yield from ((node.lineno, str(name)) for name in names)


def complaints(path: str, source: str) -> list[str]:
    """What is wrong with the imports of ``source``, a file at ``path`` below the package."""
    parts = path.removesuffix(".py").split("/")
    here = room(parts)
    if here not in ROW:
        return [f"{path}: {here} has no row in the ladder"]
    found = []
    for line, name in imported(source, ["tunebook", *parts[:-1]]):
        top, *below = name.split(".")
        there = room(below) if not below or room(below) in ROW else ROOT
        if top == "tunebook" and there != here and ROW[there] >= ROW[here]:
            found.append(f"{path}:{line}: {here} imports {there}, which is not on a lower row")
        if top in HOMES and not path.startswith(HOMES[top]):
            found.append(f"{path}:{line}: {top} belongs to {', '.join(HOMES[top])} only")
    return found


def test_imports_only_go_down() -> None:
    files = sorted(PACKAGE.rglob("*.py"))
    assert files, f"no modules below {PACKAGE}"
    found = [c for f in files for c in complaints(f.relative_to(PACKAGE).as_posix(), f.read_text("utf-8"))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("space.py", "from tunebook.trial import Trial"),
        ("space.py", "from .trial import Trial"),
        ("samplers/tpe.py", "import tunebook.stores.sql"),
        ("samplers/tpe.py", "from ..schedulers import base"),
        ("samplers/tpe.py", "def f():\n    from tunebook.study import Study"),
        ("samplers/tpe.py", "if TYPE_CHECKING:\n    from tunebook.study import Study"),
        ("samplers/tpe.py", "from tunebook import Study"),
        ("samplers/tpe.py", "import tunebook"),
        ("samplers/tpe.py", "importlib.import_module('tunebook.study')"),
        ("samplers/tpe.py", "from tunebook.executors import local"),
        ("samplers/tpe.py", "from ..executors.base import Executor"),
        ("executors/base.py", "from .local import LocalExecutor"),
        ("playbook/explore.py", "from tunebook.study import Study"),
        ("training/models/cnn.py", "from ...playbook import base"),
        ("diagnose/boundary.py", "import torch.nn"),
        ("executors/local.py", "def f():\n    import ray"),
        ("cli/main.py", "from starlette.routing import Route"),
        ("cellar/wine.py", ""),
    ],
)
def test_a_wrong_import_is_found(path: str, source: str) -> None:
    assert len(complaints(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("trial.py", "from tunebook.space import Space\nfrom .errors import SpaceError"),
        ("samplers/tpe.py", "from ._parzen import fit\nfrom .base import Sampler\nfrom ..trial import Trial"),
        ("executors/local.py", "from tunebook.executors.base import Executor\nfrom . import base"),
        ("executors/ray.py", "def f():\n    import ray"),
        ("diagnose/base.py", "from tunebook.executors import base"),
        ("training/models/cnn.py", "import torch\nfrom ..loop import train\nfrom ...data import Split"),
        ("playbook/explore.py", "from tunebook.samplers.quasi import Sobol"),
        ("cli/main.py", "from tunebook.jobs import tune"),
        ("web/app.py", "from starlette.routing import Route"),
        ("__init__.py", "from .jobs import tune as tune"),
    ],
)
def test_a_right_import_passes(path: str, source: str) -> None:
    assert complaints(path, source) == []
