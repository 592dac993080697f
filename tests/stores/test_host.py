"""What the machine tells about a file."""

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tunebook.errors import StoreError
from tunebook.stores import _sqlite
from tunebook.stores._host import NETWORK, alive, filesystem, lock_holders, look_of
from tunebook.stores.sql import SqlStore
from tunebook.trial import Looked

MOUNTS = """\
sysfs /sys sysfs rw 0 0
/dev/vda / ext4 rw,relatime 0 0
server:/home /home nfs4 rw 0 0
/dev/vdb /home/me/local xfs rw 0 0
me@host:/x /mnt/with\\040space fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data/book.db", "ext4"),
        ("/home/you/book.db", "nfs4"),
        ("/homework/book.db", "ext4"),
        ("/home/me/local/runs/book.db", "xfs"),
        ("/mnt/with space/book.db", "fuse.sshfs"),
    ],
)
def test_the_file_system_of_a_path(path: str, kind: str) -> None:
    assert filesystem(Path(path), MOUNTS) == kind


def test_the_file_system_of_this_machine(tmp_path: Path) -> None:
    assert filesystem(tmp_path)
    assert filesystem(tmp_path, "") == ""


def test_a_book_on_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "nfs4" in NETWORK
    monkeypatch.setattr(_sqlite, "filesystem", lambda path: filesystem(path, f"server:/x {tmp_path} nfs4 rw 0 0\n"))
    with pytest.raises(StoreError, match="network file system") as told:
        SqlStore(tmp_path / "book.db", "a").append([Looked("x")])
    assert "PostgreSQL" in told.value.problems[0].fix
    assert list(tmp_path.iterdir()) == []


def test_who_holds_a_lock(tmp_path: Path) -> None:
    path = tmp_path / "book.db"
    path.touch()
    assert lock_holders(path) == []
    with path.open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        assert lock_holders(path) == [os.getpid()]
    assert lock_holders(path, "1: POSIX  ADVISORY  WRITE 77 fe:00:1 0 EOF\nodd line\n") == []


def test_whether_a_process_is_there() -> None:
    here = socket.gethostname()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert alive(here, os.getpid())
    assert alive(here, 1)
    assert not alive(here, gone.pid)
    assert alive("another-host", gone.pid)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"SQLite format 3\x00", "a damaged SQLite database"),
        (b'{"a": 1}', "JSON"),
        (b"a\tb\n", "unknown"),
        (b"plain words\n", "text"),
    ],
)
def test_what_a_file_looks_like(head: bytes, kind: str) -> None:
    assert look_of(head).startswith(f"{kind}: it begins with")
    assert look_of(b"") == "nothing: it is empty"
