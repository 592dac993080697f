"""Where a job comes from: command, folder, versions of code and packages, machine."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
from importlib import metadata
from typing import Any

PACKAGES = ("tunebook", "numpy", "scipy", "scikit-learn", "torch")


def origin(command: str | None = None) -> dict[str, Any]:
    """What it takes to do the job again, as plain JSON. ``argv`` is empty where ``command`` is told instead."""
    argv = [sys.executable, *sys.orig_argv[1:]] if sys.executable else list(sys.orig_argv)
    return {
        "command": command or shlex.join(sys.orig_argv),
        "argv": [] if command else argv,
        "cwd": os.getcwd(),
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted": bool(_git("status", "--porcelain")),
        "versions": versions(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }


def versions() -> dict[str, str]:
    """Of tunebook, Python, and the packages on which results depend, as far as they are installed."""
    told = {p: v for p in PACKAGES if (v := _version(p))}
    return {"tunebook": told.pop("tunebook", "not installed"), "python": platform.python_version(), **told}


def without_password(url: str) -> str:
    """A database URL that may be shown and kept.

    >>> without_password("postgresql://ann:s3cret@db/runs?sslmode=require&password=x")
    'postgresql://ann@db/runs?sslmode=require'
    """
    head, mark, query = url.partition("?")
    head = re.sub(r"(://[^/@:]*):.*@", r"\1@", head)
    kept = [part for part in query.split("&") if part and not part.lower().startswith("password=")]
    return head + (mark + "&".join(kept) if kept else "")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _git(*words: str) -> str:
    """The output of a git command in the working folder; empty outside a repository."""
    try:
        told = subprocess.run(["git", *words], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return told.stdout.strip() if told.returncode == 0 else ""
