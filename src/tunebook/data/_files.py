"""Finding a file, and how much memory is free to read it into."""

from __future__ import annotations

import os
from pathlib import Path

from tunebook.errors import DataError, nearest


def existing_file(path: str | Path, what: str) -> Path:
    """The path, if it is a file with something in it.

    Raises DataError for a missing file (with the nearest name in its folder), a folder or an empty file.
    """
    path = Path(path)
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.is_file())
        shown = "one of: " + ", ".join(inside[:5]) if inside else ""
        raise DataError(f"{what} expected, but this is a folder", where=str(path), fix=shown, code="DATA-034")
    if not path.exists():
        beside = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else []
        hint = nearest(path.name, beside[:200]) if beside else ""
        fix = hint if hint.startswith("did") else "check the path; it is relative to the current folder"
        if not path.parent.is_dir():
            fix = f"the folder {str(path.parent)!r} does not exist either"
        raise DataError(f"there is no such {what}", where=str(path), fix=fix, code="DATA-033")
    if path.stat().st_size == 0:
        raise DataError(f"the {what} is empty", where=str(path), got="0 bytes", code="DATA-035")
    return path


def available_memory() -> int:
    """Bytes of memory that are free now, or could be freed without swapping; all of it where none says."""
    pages = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")


def mebibytes(count: int) -> str:
    """A number of bytes for people.

    >>> mebibytes(3_000), mebibytes(5 * 2**30)
    ('0.00286 MiB', '5,120 MiB')
    """
    size = count / 2**20
    return f"{size:,.0f} MiB" if size >= 10 else f"{size:.3g} MiB"
