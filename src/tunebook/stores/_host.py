"""What this machine tells about a file: what it looks like, where it lies, who has locked it."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Final

NETWORK: Final = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "fuse.sshfs", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse")
)

_FIRST_BYTES: Final = {
    b"PK\x03\x04": "a zip file",
    b"\x1f\x8b": "a gzip file",
    b"PAR1": "a Parquet file",
    b"\x89HDF": "an HDF5 file",
    b"%PDF": "a PDF",
    b"\x7fELF": "a program",
    b"\x80": "a pickle",
    b"<": "HTML or XML",
    b"{": "JSON",
    b"[": "JSON",
    b"SQLite format 3\x00": "a damaged SQLite database",
}


def look_of(head: bytes) -> str:
    """What the first bytes of a file look like, and the bytes.

    >>> look_of(b"a,b,c\\n1,2,3\\n")
    "CSV: it begins with 'a,b,c'"
    >>> look_of(b"PK\\x03\\x04....")
    "a zip file: it begins with b'PK\\\\x03\\\\x04....'"
    """
    if not head:
        return "nothing: it is empty"
    kind = next((told for sign, told in _FIRST_BYTES.items() if head.startswith(sign)), "")
    if not kind and not head.strip(b"\x00"):
        kind = "zeros"
    try:
        line = next(iter(head.decode("ascii").splitlines()), "")
        text = line.isprintable()
    except UnicodeDecodeError:
        line, text = "", False
    if text and not kind:
        kind = "CSV" if "," in line else "text"
    return f"{kind or 'unknown'}: it begins with {(line[:40] if text else head[:16])!r}"


def filesystem(path: Path, mounts: str | None = None) -> str:
    """The type of the file system that ``path`` lies on; empty where the system does not say.

    ``mounts`` is text like that of /proc/mounts, which is read if it is not given.
    """
    told = _read("/proc/mounts") if mounts is None else mounts
    place, best, kind = path.absolute(), Path(), ""
    for line in told.splitlines():
        _, point, type, *_ = [*line.split(" "), "", "", ""]
        at = Path(point.replace("\\040", " ")) if point else place / "nowhere"
        if place.is_relative_to(at) and len(at.parts) >= len(best.parts):
            best, kind = at, type
    return kind


def lock_holders(path: Path, locks: str | None = None) -> list[int]:
    """Processes that hold a write lock on a SQLite file or its log; empty where the system does not say.

    ``locks`` is text like that of /proc/locks, which is read if it is not given.
    """
    told = _read("/proc/locks") if locks is None else locks
    parts = [p for p in (path, Path(f"{path}-shm")) if p.exists()]
    nodes = {str(p.stat().st_ino) for p in parts}
    rows = [line.split() for line in told.splitlines()]
    return sorted({int(r[4]) for r in rows if len(r) > 5 and r[3] == "WRITE" and r[5].rpartition(":")[2] in nodes})


def alive(host: str, pid: int) -> bool:
    """Whether a process is there; yes for those of other hosts, of which nothing is known."""
    if host != socket.gethostname():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _read(path: str) -> str:
    """A file of /proc; empty where there is none."""
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""
