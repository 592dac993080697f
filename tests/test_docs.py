"""Docs are tests: every block of README.md and docs/ runs, every link leads somewhere.

A file's blocks run from top to bottom in one new folder that holds a copy of ``examples/``: python blocks in
one namespace, and of bash blocks the lines that start with ``tunebook``. Lines of make, pip and python are
only checked: the target, extra or file must exist. A block whose info string says ``no-run`` is left alone.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tunebook.cli.job import KEYS
from tunebook.space import Space

ROOT = Path(__file__).parents[1]
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w+)?([^\n]*)\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(<?([^)\s>]+)[^)]*\)|<(?:img|a)\s[^>]*?(?:src|href)=\"([^\"]+)\"")
NOT_RUN = {"git", "cd", "source", ".", "export", "python3", "apt-get", "sudo"}


@dataclass(frozen=True)
class Block:
    """A fenced block that is to be run; ``line`` is where its first line stands in the file."""

    language: str
    line: int
    text: str


def blocks(text: str) -> Iterator[Block]:
    """The python and bash blocks of a markdown text that do not say ``no-run``."""
    for match in FENCE.finditer(text):
        language, info, body = match.groups()
        if language in ("python", "bash") and "no-run" not in info.split():
            yield Block(language, text.count("\n", 0, match.start()) + 2, body)


def commands(text: str) -> list[str]:
    """The commands of a bash block: continued lines joined, without prompts, comments and the venv's path."""
    lines = (line.strip().removeprefix("$ ") for line in text.replace("\\\n", " ").splitlines())
    return [line.removeprefix(".venv/bin/") for line in lines if line and not line.startswith("#")]


def complaint(command: str) -> str:
    """What is wrong with a command that is checked and not run; empty when nothing is."""
    words = shlex.split(command, comments=True)
    if words[0] == "make":
        targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        unknown = [w for w in words[1:] if "=" not in w and w not in targets]
        return f"no such make target: {', '.join(unknown)}" if unknown else ""
    if words[0] == "pip":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        extras = [e for group in re.findall(r"\[([\w,-]+)\]", command) for e in group.split(",")]
        unknown = [e for e in extras if e not in project["optional-dependencies"]]
        return f"no such extra: {', '.join(unknown)}" if unknown else ""
    if words[0] == "python" and len(words) > 1 and words[1].endswith(".py"):
        return "" if (ROOT / words[1]).exists() else f"no such file: {words[1]}"
    return "" if words[0] in NOT_RUN | {"python"} else f"not checked: {command!r} (mark the block no-run)"


def run_command(command: str, folder: Path) -> None:
    """Run one ``tunebook`` line of a bash block with this environment's tunebook."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\nexit code {done.returncode}\n{done.stdout}"


def run_file(file: Path, folder: Path) -> None:
    """Run a file's blocks in order; tracebacks and ``inspect.getsource`` see the markdown file itself."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(file.read_text("utf-8")):
        if block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.text, str(file), "exec"), namespace)
            continue
        for command in commands(block.text):
            if command.split()[0] == "tunebook":
                run_command(command, folder)
            else:
                wrong = complaint(command)
                assert not wrong, f"{file.name}:{block.line}: {wrong}"


def broken_links(file: Path) -> list[str]:
    """Relative links of a markdown file to files that do not exist."""
    text = FENCE.sub("", file.read_text("utf-8"))
    targets = [a or b for a, b in LINK.findall(text)]
    local = [t.split("#")[0] for t in targets if not re.match(r"[a-z]+:", t)]
    return [t for t in local if t and not (file.parent / t).exists()]


@pytest.mark.parametrize("file", DOCS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_block_runs(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if (ROOT / "examples").exists():
        shutil.copytree(ROOT / "examples", tmp_path / "examples")
    run_file(file, tmp_path)


def test_the_job_files_of_the_page_on_them_can_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("def train(run):\n    return 1.0\n", "utf-8")
    page = (ROOT / "docs" / "jobs.md").read_text("utf-8")
    jobs = [body for language, _, body in FENCE.findall(page) if language == "toml"]
    assert len(jobs) == 3
    for text in jobs:
        (tmp_path / "job.toml").write_text(text, "utf-8")
        run_command("tunebook run --config job.toml --dry-run", tmp_path)


def test_the_page_on_job_files_has_every_key_and_every_entry() -> None:
    page = (ROOT / "docs" / "jobs.md").read_text("utf-8")
    first = re.findall(r"^\| (`[^|]*) \|", page, re.MULTILINE)
    assert {*KEYS} <= {name for cell in first for name in re.findall(r"`(\w+)`", cell)}
    entries = re.findall(r"^\| [^|]* \| `(\w+ = [^`]*)`", page, re.MULTILINE)
    assert len(entries) == 7
    for entry in entries:
        rest = 'optimizer = { type = "choice", options = ["sgd", "adam"] }\n' if "when" in entry else ""
        assert len(Space.from_dict(tomllib.loads(rest + entry)).default) >= 1


@pytest.mark.parametrize("file", DOCS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(file: Path) -> None:
    assert broken_links(file) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("```python\nx = 1\n```\n\n```python\nassert x == 2, 'x is 1'\n```\n", "x is 1"),
        ("```bash\n$ tunebook no-such-command\n```\n", "exit code"),
        ("```bash\nmake tea\n```\n", "no such make target: tea"),
        ("```bash\n.venv/bin/pip install 'tunebook[tea]'\n```\n", "no such extra: tea"),
        ("```bash\npython examples/gone.py\n```\n", r"no such file: examples/gone\.py"),
        ("```bash\nbrew install tunebook\n```\n", "not checked"),
    ],
)
def test_a_wrong_block_is_found(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text(text, "utf-8")
    with pytest.raises(AssertionError, match=says):
        run_file(file, tmp_path)


def test_right_and_unmarked_blocks_pass(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    not_run = "```python no-run\n1 / 0\n```\n```text\ntunebook?\n```\n```bash no-run\ntunebook?\n```\n"
    checked = "```bash\n$ make demo  # minutes\npip install 'tunebook[torch]'\n```\n"
    file.write_text(not_run + checked, "utf-8")
    run_file(file, tmp_path)


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text('[a](page.md#top) [b](https://example.org) [c](gone.md) <img src="gone.png">', "utf-8")
    assert broken_links(file) == ["gone.md", "gone.png"]
