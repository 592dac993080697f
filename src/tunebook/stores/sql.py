"""The record in SQL: a SQLite file by default, or PostgreSQL. One row a batch of events.

A driver holds its study by a lock that the system frees when the process is gone (flock beside a SQLite file, an
advisory lock of PostgreSQL), and a row that says who it is. A batch is written by one statement that does nothing
unless that row is still ours and the log is as long as we think: a driver that slept while another took the study
over cannot write between its batches.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, CursorResult, Select, delete, func, insert, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError

from tunebook.errors import SettingError, StoreError, StudyBusy, StudyNotFound, nearest
from tunebook.stores._database import ADD_STUDY, BATCHES, CLAIMS, STUDIES, Database
from tunebook.stores._host import alive
from tunebook.stores._postgres import PostgresDatabase
from tunebook.stores._sqlite import SqliteDatabase
from tunebook.stores.base import Holder, Store, busy
from tunebook.stores.codec import decode_many, encode
from tunebook.trial import Created, Event, uncollected

PATIENCE: Final = 30.0
FETCHED: Final = 200
LONGEST_NAME: Final = 256
_URLS: Final = "a path, sqlite:///PATH or postgresql://USER@HOST/DATABASE"


@dataclass
class _Held:
    """A claim that is held. ``connection`` is None after it was lost; ``end`` is the length of the log."""

    study: int
    token: str
    connection: Connection | None
    unlock: Callable[[], None]
    end: int = 0


class SqlStore(Store):
    """The record of the study called ``study`` in the book at ``url``.

    ``url`` is a path, or a URL of SQLite (``sqlite:///runs/book.db``) or PostgreSQL (``postgresql://user@host/name``).
    A SQLite file loses nothing when a process dies, and after a power cut perhaps the last moment, never its order;
    ``?synchronous=full`` waits for the disk at each batch.
    ``patience`` is how many seconds locks and a server that is away are waited for. Nothing is opened or made before
    the first use, and only ``claim`` and ``append`` make anything.
    """

    def __init__(self, url: str | Path, study: str, patience: float = PATIENCE) -> None:
        if not isinstance(study, str) or not study or len(study) > LONGEST_NAME or not study.isprintable():
            raise SettingError(
                "a study's name is a short printable text", where="study", got=f"{study!r:.80}", code="CONFIG-043"
            )
        self.study, self.patience = study, patience
        self._database = _database(url, patience)
        self._mutex = threading.RLock()
        self._held: _Held | None = None
        self._depth = 0

    def __repr__(self) -> str:
        return f"SqlStore({self._database.shown!r}, {self.study!r})"

    # read

    def read(self, since: int = 0) -> list[Event]:
        """Events from position ``since`` on, oldest first.

        Raises StudyNotFound, and StoreError for a book that cannot be read, with the position of a damaged batch.
        """
        with uncollected():
            return [event for events in self.chunks(since) for event in events]

    def chunks(self, since: int = 0) -> Iterator[Sequence[Event]]:
        """What ``read`` gives, the events of some hundred batches at a time."""
        since = max(0, since)
        with self._explained(), closing(self._database.reader()) as connection:
            study, length = self._find(connection)
            first = select(func.coalesce(func.max(BATCHES.c["position"]), 0)).where(
                BATCHES.c.study == study, BATCHES.c["position"] <= since
            )
            start = connection.execute(first).scalar_one()
            query = (
                select(BATCHES.c["position"], BATCHES.c["count"], self._database.events_as_bytes, BATCHES.c["crc"])
                .where(BATCHES.c.study == study, BATCHES.c["position"] >= start)
                .order_by(BATCHES.c["position"])
            )
            known = since - start
            for events in decode_many(self._checked(connection.execute(query), start, length), where=self._where()):
                yield events[known:] if known else events
                known = max(0, known - len(events))

    def driver(self) -> Holder | None:
        """Who writes to the study now; None when nobody does, as far as can be seen from this host. Needs no claim."""
        with self._explained(), closing(self._database.reader()) as connection:
            holder = self._holder(connection, self._find(connection)[0])
        return holder if holder is not None and alive(holder.host, holder.pid) else None

    def _find(self, connection: Connection) -> tuple[int, int]:
        """The study's id and how many events it has at least."""
        study = connection.execute(
            select(STUDIES.c.id, STUDIES.c.events).where(STUDIES.c.name == self.study)
        ).one_or_none()
        if study is None:
            names = connection.execute(select(STUDIES.c.name)).scalars().all()
            raise StudyNotFound(
                f"there is no study {self.study!r} in this book",
                where=self._database.shown,
                expected=nearest(self.study, names) if names else "nothing: the book has no study yet",
                fix="tunebook list",
                code="STORE-078",
            )
        return study.id, study.events

    def _checked(self, result: CursorResult[Any], at: int, length: int) -> Iterator[list[bytes]]:
        """The texts of batches, some hundred at a time; each checksum is compared, and that none is missing.

        The rows are taken from the driver's cursor: SQLAlchemy's would double the time that a long log takes to fetch.
        """
        crc32 = zlib.crc32
        while rows := self._fetch(result):
            texts = []
            for position, count, raw, crc in rows:
                text = raw if type(raw) is bytes else str(raw).encode()
                if position != at or crc32(text) != crc:
                    raise self._damaged(at, position, count)
                at += count
                texts.append(text)
            yield texts
        if at < length:
            raise self._damaged(at, length, 0)

    def _fetch(self, result: CursorResult[Any]) -> list[Any]:
        try:
            return list(result.cursor.fetchmany(FETCHED))
        except result.dialect.loaded_dbapi.Error as error:
            raise DBAPIError("fetchmany", None, error) from error

    def _damaged(self, at: int, position: int, count: int) -> StoreError:
        return StoreError(
            f"the batch of {count} events at position {position:,} is damaged"
            if position == at
            else f"the events {at:,} to {position - 1:,} are missing",
            where=self._where(),
            fix="restore the book from a copy",
            code="STORE-085",
        )

    def _where(self) -> str:
        return f"{self._database.shown}, study {self.study!r}"

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._database.explain(error) from error

    # claim

    @contextmanager
    def claim(self, driver: str = "") -> Iterator[None]:
        """Hold the study as its only writer; makes the book and the study if they are not there.

        Re-entrant for the same object. Raises StudyBusy naming host, process and since when, and StoreError.
        """
        with self._mutex:
            if self._depth == 0:
                with self._explained():
                    self._held = self._take(driver)
            self._depth += 1
        try:
            yield
        finally:
            with self._mutex:
                self._depth -= 1
                if self._depth == 0:
                    self._release()

    def _take(self, driver: str) -> _Held:
        connection = self._database.writer()
        try:
            study = self._study(connection)
            unlock = self._lock(connection, study)
        except BaseException:
            connection.close()
            raise
        held = _Held(study, secrets.token_hex(8), connection, unlock)
        try:
            with self._database.transaction(connection):
                connection.execute(delete(CLAIMS).where(CLAIMS.c.study == study))
                row = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.time(), "driver": driver}
                connection.execute(insert(CLAIMS), {"study": study, "token": held.token, **row})
                held.end = connection.execute(_length(study)).scalar_one()
        except BaseException:
            unlock()
            connection.close()
            raise
        return held

    def _study(self, connection: Connection) -> int:
        """The study's id; makes the study. Writes nothing if it is there, so that no lock is waited for."""
        query = select(STUDIES.c.id).where(STUDIES.c.name == self.study)
        found = connection.execute(query).scalar_one_or_none()
        connection.rollback()
        if found is not None:
            return int(found)
        with self._database.transaction(connection):
            connection.execute(ADD_STUDY, {"name": self.study, "now": time.time()})
            return int(connection.execute(query).scalar_one())

    def _lock(self, connection: Connection, study: int) -> Callable[[], None]:
        """The study's lock. Raises StudyBusy; a holder that has it and no row yet is given a moment."""
        for patience in (0.05, 0.1, 0.2, 0.4, 0.0):
            unlock = self._database.lock(connection, study)
            if unlock is not None:
                return unlock
            holder = self._holder(connection, study)
            if holder is not None and alive(holder.host, holder.pid):
                break
            time.sleep(patience)
        raise StudyBusy(busy(self.study, self._database.shown, holder))

    def _holder(self, connection: Connection, study: int) -> Holder | None:
        row = connection.execute(select(CLAIMS).where(CLAIMS.c.study == study)).one_or_none()
        connection.rollback()
        return None if row is None else Holder(row.host, row.pid, row.since, row.driver)

    def _release(self) -> None:
        held, self._held = self._held, None
        if held is None or held.connection is None:
            return
        try:
            with self._database.transaction(held.connection):
                held.connection.execute(delete(CLAIMS).where(CLAIMS.c.token == held.token))
        except DBAPIError:
            pass  # the row only tells names; the lock is what counts, and it is freed below
        finally:
            held.unlock()
            held.connection.close()

    # append

    def append(self, events: Sequence[Event]) -> int:
        """Write a batch by one transaction; returns the length of the log.

        Raises StudyBusy when the study is held, or was taken over, by another driver; StoreError when the batch cannot
        be written, and then nothing of it is.
        """
        with self._mutex:
            held = self._held
            if held is None:
                with self.claim():
                    return self.append(events)
            if events:
                batch = _batch(held, events)
                self._write(held, batch)
                held.end += batch["count"]
                if held.connection is not None:
                    self._database.wrote(held.connection, len(batch["events"]))
            return held.end

    def _write(self, held: _Held, batch: dict[str, Any]) -> None:
        """Write a batch; when the connection is lost, on another one, until the patience ends."""
        deadline, pause, again = time.monotonic() + self.patience, 0.05, False
        while True:
            try:
                return self._write_once(held, batch, again)
            except DBAPIError as error:
                if not self._database.lost(error):
                    raise self._database.explain(error) from error
                if held.connection is not None:
                    held.connection.invalidate()
                    held.connection = None
                if time.monotonic() + pause > deadline:
                    raise self._database.explain(error) from error
            again = True
            time.sleep(pause)
            pause = min(2 * pause, 1.0)

    def _write_once(self, held: _Held, batch: dict[str, Any], again: bool) -> None:
        connection = held.connection or self._take_again(held)
        grow, add = self._database.append_as_text
        with self._database.transaction(connection):
            if connection.exec_driver_sql(grow, batch).rowcount == 1:
                connection.exec_driver_sql(add, batch)
            elif not (again and self._is_there(connection, batch)):  # a lost connection may have committed before
                raise self._refusal(connection, held, batch)

    def _take_again(self, held: _Held) -> Connection:
        """Another connection with the study's lock, which the server frees once it notices that ours is gone."""
        connection = self._database.writer()
        deadline = time.monotonic() + self.patience
        try:
            while (unlock := self._database.lock(connection, held.study)) is None:
                if time.monotonic() > deadline or self._token(connection, held.study) != held.token:
                    raise StudyBusy(busy(self.study, self._database.shown, self._holder(connection, held.study)))
                time.sleep(0.2)
        except BaseException:
            connection.close()
            raise
        held.connection, held.unlock = connection, unlock
        return connection

    def _token(self, connection: Connection, study: int) -> str | None:
        token = connection.execute(select(CLAIMS.c.token).where(CLAIMS.c.study == study)).scalar_one_or_none()
        connection.rollback()
        return token

    def _is_there(self, connection: Connection, batch: Mapping[str, Any]) -> bool:
        query = select(BATCHES.c["count"], BATCHES.c["crc"]).where(
            BATCHES.c.study == batch["study"], BATCHES.c["position"] == batch["position"]
        )
        row = connection.execute(query).one_or_none()
        return row is not None and tuple(row) == (batch["count"], batch["crc"])

    def _refusal(self, connection: Connection, held: _Held, batch: Mapping[str, Any]) -> StoreError:
        """Why nothing was written: the claim is not ours any more, or the log is not as long as it should be."""
        length = connection.execute(_length(held.study)).scalar_one()
        if self._token(connection, held.study) != held.token:
            return StudyBusy(busy(self.study, self._database.shown, self._holder(connection, held.study)))
        return StoreError(
            "something else has written to the study",
            where=self._where(),
            got=f"{length:,} events",
            expected=f"{batch['position']:,}, as this driver left it",
            fix="resume the study",
            code="STORE-017",
        )


@dataclass(frozen=True)
class Entry:
    """A study in a book. ``created`` and last ``written`` to in seconds since the epoch."""

    name: str
    events: int
    trials: int
    created: float
    written: float


def studies(url: str | Path, patience: float = PATIENCE) -> list[Entry]:
    """The studies of a book, the one written to last first. Opens it for reading; raises StoreError."""
    database = _database(url, patience)
    query = select(STUDIES).order_by(STUDIES.c.written.desc(), STUDIES.c.id.desc())
    try:
        with closing(database.reader()) as connection:
            rows = connection.execute(query).all()
    except DBAPIError as error:
        raise database.explain(error) from error
    return [Entry(row.name, row.events, row.trials, row.created, row.written) for row in rows]


def _length(study: int) -> Select[Any]:
    return select(STUDIES.c.events).where(STUDIES.c.id == study)


def _batch(held: _Held, events: Sequence[Event]) -> dict[str, Any]:
    text = encode(events)
    return {
        "study": held.study,
        "position": held.end,
        "count": len(events),
        "events": text,
        "crc": zlib.crc32(text.encode("ascii")),
        "of": held.study,
        "token": held.token,
        "new": sum(type(e) is Created for e in events),
        "now": time.time(),
    }


def _database(url: str | Path, patience: float) -> Database:
    if isinstance(url, Path) or "://" not in url:
        return SqliteDatabase(Path(url), patience)
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as bad:
        # the URL itself is not shown: it may hold a password
        raise SettingError("the URL of the book cannot be read", where="storage", expected=_URLS) from bad
    kind = parsed.get_backend_name() if parsed.drivername != "postgres" else "postgresql"
    if kind == "sqlite" and parsed.database not in (None, "", ":memory:"):
        how = str(parsed.query.get("synchronous", "normal")).upper()
        if how not in ("NORMAL", "FULL") or set(parsed.query) - {"synchronous"}:
            raise SettingError("the URL has an option that is not known", where="storage", got=str(dict(parsed.query)),
                               expected="?synchronous=full, or none", fix=f"sqlite:///{parsed.database}")  # fmt: skip
        return SqliteDatabase(Path(str(parsed.database)), patience, how)
    if kind == "postgresql":
        return PostgresDatabase(parsed)
    raise SettingError(
        "a book is kept in a SQLite file or in PostgreSQL", where="storage", got=parsed.drivername, expected=_URLS
    )
