"""A real PostgreSQL server, and driver processes that may be killed."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import tunebook
from tunebook.stores.base import Store
from tunebook.stores.sql import SqlStore

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
PATIENCE = 60.0


def wait_for(what: Callable[[], Any], why: str) -> Any:
    """The first true value of ``what()``; fails after a minute."""
    deadline = time.monotonic() + PATIENCE
    while not (value := what()):
        assert time.monotonic() < deadline, f"waited in vain for {why}"
        time.sleep(0.01)
    return value


class Server:
    """A private PostgreSQL server. It refuses to run as root, so that root lends it another user; only the server."""

    def __init__(self, *options: str) -> None:
        self.binaries = BINARIES[-1].parent if BINARIES else Path(shutil.which("postgres") or "/none/postgres").parent
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self.who: dict[str, Any] = {}
        if os.getuid() == 0:
            self.who = {"user": "postgres", "group": "postgres", "extra_groups": []}
            shutil.chown(self.folder, "postgres", "postgres")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.options = [f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self.folder}"]
        self.options += options
        self.process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-D", "data", "-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-locale", "--no-sync")
        rules = "local all guarded scram-sha-256\nlocal all outsider reject\n"
        hba = self.folder / "data" / "pg_hba.conf"
        hba.write_text(rules + hba.read_text())
        self.start()

    def _run(self, tool: str, *args: str) -> None:
        done = subprocess.run(
            [self.binaries / tool, *args], cwd=self.folder, capture_output=True, text=True, check=False, **self.who
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Start it and wait until it answers; after a kill its memory may be in use for a moment."""
        options = [word for option in self.options for word in ("-c", option)]

        def up() -> bool:
            if self.process is None or self.process.poll() is not None:
                with (self.folder / "log").open("ab") as log:
                    self.process = subprocess.Popen(
                        [self.binaries / "postgres", "-D", "data", *options],
                        cwd=self.folder,
                        stdout=log,
                        stderr=log,
                        **self.who,
                    )
            ready = [self.binaries / "pg_isready", "-q", "-h", self.folder, "-p", str(self.port)]
            return subprocess.run(ready, check=False).returncode == 0

        wait_for(up, "the PostgreSQL server")

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        assert self.process is not None
        self.process.send_signal(how)
        self.process.wait()

    def url(self, database: str = "postgres", user: str = "postgres", password: str = "") -> str:
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@/{database}?host={self.folder}&port={self.port}"

    def sql(self, statement: str, database: str = "postgres") -> list[Any]:
        import psycopg

        with psycopg.connect(
            host=str(self.folder), port=self.port, user="postgres", dbname=database, autocommit=True
        ) as c:
            cursor = c.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def remove(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.folder)


def server_or_skip(*options: str) -> Server:
    if not BINARIES and not shutil.which("postgres"):
        pytest.skip("no PostgreSQL server on this machine: apt-get install postgresql")
    pytest.importorskip("psycopg")
    return Server(*options)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """One server for all tests; it need not survive a power cut."""
    server = server_or_skip("fsync=off", "full_page_writes=off", "max_connections=40")
    try:
        yield server
    finally:
        server.remove()


@pytest.fixture
def database(postgres: Server) -> Iterator[str]:
    """The URL of a new, empty database."""
    name = f"test_{time.monotonic_ns()}"
    postgres.sql(f"CREATE DATABASE {name}")
    yield postgres.url(name)
    postgres.sql(f"DROP DATABASE {name} WITH (FORCE)")


class Book:
    """New studies in one book, and more stores of the last one."""

    def __init__(self, url: str | Path) -> None:
        self.url, self.numbers, self.study = url, count(), "none"

    def make(self) -> Store:
        self.study = f"study {next(self.numbers)}"
        return self.reopen()

    def reopen(self) -> Store:
        return SqlStore(self.url, self.study)


class Drivers:
    """Driver processes, see drivers.py."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.numbers = folder, count()
        env = os.environ | {"PYTHONPATH": str(Path(tunebook.__file__).parents[1])}
        self.parent = subprocess.Popen(
            [sys.executable, Path(__file__).parent / "drivers.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
        self.pids: list[int] = []

    def run(self, command: str, url: str | Path, study: str, **more: Any) -> tuple[int, Path]:
        """A new driver: its process, and the file of what it says."""
        assert self.parent.stdin is not None
        assert self.parent.stdout is not None
        out = self.folder / f"said-{next(self.numbers)}"
        about = {"command": command, "url": str(url), "study": study, "out": str(out), **more}
        self.parent.stdin.write(json.dumps(about) + "\n")
        self.parent.stdin.flush()
        self.pids.append(int(self.parent.stdout.readline()))
        return self.pids[-1], out

    @staticmethod
    def said(out: Path, word: str = "") -> list[str]:
        """The lines said, once one of them begins with ``word``."""
        wait_for(lambda: out.exists() and any(x.startswith(word) for x in out.read_text().splitlines()), word)
        return out.read_text().splitlines()

    @staticmethod
    def kill(pid: int) -> None:
        """SIGKILL, and wait until it is gone."""
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the end of a process")

    def close(self) -> None:
        for pid in self.pids:
            if Path(f"/proc/{pid}").exists():
                self.kill(pid)
        self.parent.communicate()


@pytest.fixture
def drivers(tmp_path: Path) -> Iterator[Drivers]:
    them = Drivers(tmp_path)
    try:
        yield them
    finally:
        them.close()
