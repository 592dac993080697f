"""One constraints file, exact and complete, read by every install command."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def pins() -> dict[str, str]:
    """Name and version of each line of constraints.txt; a line that is not an exact pin is an error."""
    text = (ROOT / "constraints.txt").read_text("utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = dict(line.split("==") for line in lines)
    assert len(found) == len(lines), "a package is pinned twice"
    return {str(canonicalize_name(name)): version for name, version in found.items()}


def asked_for() -> list[Requirement]:
    """Every requirement that pyproject.toml states: runtime, extras, groups and build."""
    project = PROJECT["project"]
    lists = [project["dependencies"], PROJECT["build-system"]["requires"]]
    lists += [*project["optional-dependencies"].values(), *PROJECT["dependency-groups"].values()]
    return [r for texts in lists for r in map(Requirement, texts) if r.name != "tunebook"]


def needs(requirement: Requirement) -> list[Requirement]:
    """What an installed distribution needs on this machine; nothing for one that is not installed."""
    try:
        texts = distribution(requirement.name).requires or []
    except PackageNotFoundError:
        return []
    extras = ["", *requirement.extras]
    wanted = [Requirement(text) for text in texts]
    return [r for r in wanted if r.marker is None or any(r.marker.evaluate({"extra": e}) for e in extras)]


def test_every_package_of_every_install_is_pinned() -> None:
    pinned, queue, seen = pins(), asked_for(), set()
    while queue:
        requirement = queue.pop()
        if str(requirement) not in seen:
            seen.add(str(requirement))
            queue += needs(requirement)
            name = canonicalize_name(requirement.name)
            assert name in pinned, f"{requirement} is not in constraints.txt"
            assert requirement.specifier.contains(pinned[name], prereleases=True), requirement


def test_what_is_pinned_is_what_is_installed() -> None:
    """The tests speak for the pinned versions only if those are the ones they ran on."""
    for name in ("numpy", "scipy", "sqlalchemy", "pydantic", "torch", "scikit-learn", "pytest", "mypy"):
        assert distribution(name).version.split("+")[0] == pins()[name]


def test_xgboost_is_the_cpu_distribution() -> None:
    assert "xgboost-cpu" in pins()
    assert "xgboost" not in pins() and "xgboost" not in {r.name for r in asked_for()}


def test_every_install_command_reads_the_constraints() -> None:
    files = [ROOT / "Makefile", ROOT / ".ci" / "run", *(ROOT / "scripts").iterdir()]
    lines = [line for file in files for line in file.read_text("utf-8").splitlines()]
    commands = [line for line in lines if not line.startswith("#")]
    installs = [line for line in commands if re.search(r"\bpip (install|wheel|download)\b", line)]
    assert installs
    assert [line for line in installs if "-c constraints.txt" not in line] == []


def test_what_a_peer_runs_on_is_pinned_too() -> None:
    """benchmarks/peers/NAME.txt is the whole environment of a peer, in which torch is the one that we have."""
    for file in (ROOT / "benchmarks" / "peers").glob("*.txt"):
        lines = [line for line in file.read_text("utf-8").splitlines() if not line.startswith("#")]
        assert lines and all(re.fullmatch(r"[a-z0-9.-]+==[a-z0-9.]+", line) for line in lines), file.name
        found = dict(line.split("==") for line in lines)
        assert found.get("torch", pins()["torch"]) == pins()["torch"], file.name
        assert "xgboost" not in found


def test_the_package_runs_as_a_module() -> None:
    told = subprocess.run([sys.executable, "-m", "tunebook", "version"], capture_output=True, text=True, check=False)
    assert told.returncode == 0 and told.stdout.startswith("tunebook "), told.stderr
