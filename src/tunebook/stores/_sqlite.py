"""SQLite as the place of a book: one file, many studies, any number of readers."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, literal_column
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from tunebook.errors import StoreError
from tunebook.stores._database import SCHEMA, Database, as_text, metadata
from tunebook.stores._host import NETWORK, filesystem, lock_holders, look_of

APPLICATION: Final = 0x74756E65  # "tune": SQLite's application_id of a book
CHECKPOINT_BYTES: Final = 8 << 20


class SqliteDatabase(Database):
    """A file. WAL, so that readers and the writer do not wait for each other; ``patience`` in seconds for its locks.

    ``synchronous`` as in SQLite: NORMAL survives every death of a process, FULL the last second before a power cut too.
    """

    append_as_text = as_text(SQLiteDialect_pysqlite(paramstyle="named"))
    events_as_bytes = literal_column("CAST(events AS BLOB)")

    def __init__(self, path: Path, patience: float, synchronous: str = "NORMAL") -> None:
        # whatever its name and however the process moves, one file has one lock
        self.path, self.patience, self.shown = path.expanduser().resolve(), patience, str(path)
        self._synchronous = synchronous
        self._unchecked = 0
        self._writers = _engine(lambda: self._connect("rwc"))
        self._readers = _engine(lambda: self._connect("ro"))

    # connections

    def reader(self) -> Connection:
        self._look()
        connection = self._readers.connect()
        try:
            if not self._is_book(connection):
                raise StoreError(
                    "the file is an empty database, not a book of studies", where=self.shown, code="STORE-081"
                )
        except BaseException:
            connection.close()
            raise
        return connection

    def writer(self) -> Connection:
        self._refuse_network()
        self._prepare_folder()
        connection = self._writers.connect()
        try:
            self._create(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self, mode: str) -> sqlite3.Connection:
        uri = f"file:{quote(str(self.path))}?mode={mode}"
        if mode == "ro" and self._frozen():
            uri += "&immutable=1"
        raw = sqlite3.connect(uri, uri=True, timeout=self.patience, isolation_level=None, check_same_thread=False)
        try:
            raw.execute("PRAGMA foreign_keys=ON")
            if mode != "ro":
                raw.execute(f"PRAGMA synchronous={self._synchronous}")
                # before 3.51.3 a checkpoint beside a commit can lose it: ours runs with the writer's lock, in wrote()
                raw.execute("PRAGMA wal_autocheckpoint=0")
        except BaseException:
            raw.close()
            raise
        return raw

    def _frozen(self) -> bool:
        """Whether the file lies still in a folder where SQLite can make no shared memory to read a WAL with."""
        log = Path(f"{self.path}-wal")
        return not os.access(self.path.parent, os.W_OK) and not (log.exists() and log.stat().st_size)

    # the file

    def _look(self) -> None:
        """Raise StoreError unless there is a file with something in it.

        Its bytes are left alone here: to close a second handle of an open SQLite file drops the locks of the first.
        """
        if not self.path.exists():
            raise StoreError("there is no book here", where=self.shown, code="STORE-078")
        self._refuse_folder()
        if self.path.stat().st_size == 0:
            raise StoreError(
                "the file is empty: no study was ever written to it",
                where=self.shown,
                got="0 bytes",
                fix="delete it, or run a study there",
                code="STORE-081",
            )

    def _refuse_folder(self) -> None:
        if self.path.is_dir():
            raise StoreError(
                "a book is a file, this is a folder",
                where=self.shown,
                fix=f"{self.path / 'book.db'}",
                code="STORE-080",
            )

    def _prepare_folder(self) -> None:
        self._refuse_folder()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                "the folder of the book cannot be made",
                where=str(self.path.parent),
                got=str(error.strerror),
                fix="choose another folder",
                code="STORE-086",
            ) from error

    def _refuse_network(self) -> None:
        kind = filesystem(self.path)
        if kind in NETWORK:
            raise StoreError(
                "SQLite loses data on a network file system",
                where=self.shown,
                got=kind,
                expected="a local disk",
                fix="a folder on a local disk (copy it afterwards), or a PostgreSQL URL",
                code="STORE-088",
            )

    # schema

    def _is_book(self, connection: Connection) -> bool:
        """Whether the database is a book of this version; False when it has nothing in it. Raises StoreError."""
        connection.exec_driver_sql("BEGIN")  # one view of all three, while another process may be making the book
        try:
            return self._is_book_now(connection)
        finally:
            connection.rollback()

    def _is_book_now(self, connection: Connection) -> bool:
        application = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
        version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        tables = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars().all()
        if application == APPLICATION and version > SCHEMA:
            raise StoreError(
                "the book was written by a newer tunebook",
                where=self.shown,
                got=f"schema {version}",
                expected=f"at most {SCHEMA}",
                fix="pip install -U tunebook",
                code="STORE-083",
            )
        if application != APPLICATION and (application or version or tables):
            told = f"tables {', '.join(sorted(tables)[:4])}" if tables else f"application id {application:#x}"
            raise StoreError(
                "the file is the database of another program",
                where=self.shown,
                got=told,
                expected="a book of tunebook, or a new file",
                fix="choose another name",
                code="STORE-082",
            )
        return bool(application)

    def _create(self, connection: Connection) -> None:
        """Make the schema if the file is new; of many that start together one makes it and the others wait."""
        deadline = time.monotonic() + self.patience
        while True:
            try:
                # the busy timeout does not hold for the switch to WAL, so that this needs patience of its own
                if not self._is_book(connection):
                    connection.exec_driver_sql("PRAGMA journal_mode=WAL").close()
                    self._create_once(connection)
                return
            except DBAPIError as error:
                connection.rollback()
                if _name(error) not in ("SQLITE_BUSY", "SQLITE_LOCKED") or time.monotonic() > deadline:
                    raise
                time.sleep(random.uniform(0.005, 0.05))

    def _create_once(self, connection: Connection) -> None:
        with self.transaction(connection):
            if not self._is_book_now(connection):
                metadata.create_all(connection)
                connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION}")
                connection.exec_driver_sql(f"PRAGMA user_version={SCHEMA}")

    # one writer

    def begin(self, connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def lock(self, connection: Connection, study: int) -> Callable[[], None] | None:
        """flock on a file beside the book: it is gone with the process and its forks, whatever way they die."""
        path = f"{self.path}-{study}.lock"
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise StoreError(
                "the study's lock file cannot be made",
                where=path,
                got=str(error.strerror),
                fix="a folder that can be written to",
                code="STORE-086",
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return None
            raise
        return lambda: os.close(handle)

    def wrote(self, connection: Connection, size: int) -> None:
        """Fold the WAL back into the file now and then; a reader in the way means: later."""
        self._unchecked += size
        if self._unchecked >= CHECKPOINT_BYTES:
            self._unchecked = 0
            with closing(connection.connection.cursor()) as cursor:
                cursor.execute("PRAGMA busy_timeout=500")
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                cursor.execute(f"PRAGMA busy_timeout={int(self.patience * 1000)}")

    # errors

    def lost(self, error: DBAPIError) -> bool:
        return False

    def explain(self, error: DBAPIError) -> StoreError:
        name, text = _name(error), str(error.orig)
        for sign, explained in (
            ("SQLITE_NOTADB", self._not_a_database),
            ("SQLITE_BUSY", self._locked),
            ("SQLITE_LOCKED", self._locked),
            ("SQLITE_READONLY", self._read_only),
            ("SQLITE_CANTOPEN", self._read_only),
            ("SQLITE_PERM", self._read_only),
            ("SQLITE_FULL", self._full),
            ("SQLITE_IOERR", self._full),
            ("SQLITE_CORRUPT", self._malformed),
        ):
            if name.startswith(sign):
                return explained(text)
        return self._malformed(text) if "utf-8" in text.lower() else StoreError(text, where=self.shown, got=name)

    def _not_a_database(self, text: str) -> StoreError:
        return StoreError(
            "the file is not a SQLite database",
            where=self.shown,
            got=look_of(self.path.read_bytes()[:512]),
            expected="a book written by tunebook",
            fix="check the path; for a damaged book restore a copy",
            code="STORE-080",
        )

    def _locked(self, text: str) -> StoreError:
        pids = ", ".join(str(p) for p in lock_holders(self.path))
        return StoreError(
            f"the book is locked by another program for more than {self.patience:g} s",
            where=self.shown,
            got=f"a lock of process {pids}" if pids else text,
            fix="end the program that holds it open for writing (an editor, a backup?), then go on with the study",
            code="STORE-087",
        )

    def _read_only(self, text: str) -> StoreError:
        return StoreError(
            "the book cannot be written, or not be opened",
            where=self.shown,
            got=text,
            expected="a file and a folder that this user may write to (SQLite keeps its log beside the file)",
            fix=f"ls -ld {self.path} {self.path.parent}",
            code="STORE-086",
        )

    def _full(self, text: str) -> StoreError:
        free = shutil.disk_usage(self.path.parent).free
        return StoreError(
            "the book cannot be written: the disk is full, or fails",
            where=self.shown,
            got=f"{text}; {free / 2**20:,.1f} MB free",
            fix="free some space, then resume the study: everything that was written is there",
            code="STORE-090",
        )

    def _malformed(self, text: str) -> StoreError:
        return StoreError(
            "the book is damaged",
            where=self.shown,
            got=text,
            fix=f"restore a copy, or save what can be read: sqlite3 {self.path.name} .recover | sqlite3 saved.db",
            code="STORE-085",
        )


def _engine(connect: Callable[[], sqlite3.Connection]) -> Engine:
    return create_engine("sqlite+pysqlite://", creator=connect, poolclass=NullPool, hide_parameters=True)


def _name(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlite_errorname", "")) or "SQLITE_ERROR"
