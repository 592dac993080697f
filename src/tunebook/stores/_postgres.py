"""PostgreSQL as the place of a book, for studies that many machines look at."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote

from sqlalchemy import URL, Connection, Engine, create_engine, inspect, text
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from tunebook.errors import MissingExtraError, StoreError
from tunebook.stores._database import BATCHES, SCHEMA, Database, as_text, metadata

LOCK_SPACE: Final = 0x74756E65
_MARK: Final = "tunebook schema "

# seconds; a driver's machine that fell silent loses its lock after about 15 + 3 * 5
CONNECT: Final[dict[str, Any]] = {
    "connect_timeout": 10,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "application_name": "tunebook",
}

# what the server or libpq says, what it means, what to do
_REFUSALS: Final = (
    (r"password authentication failed", "PostgreSQL refuses the user or the password",
     "check both in the URL, or PGPASSWORD and ~/.pgpass", "STORE-089"),
    (r"no password supplied", "PostgreSQL wants a password",
     "postgresql://user:password@host/database, PGPASSWORD or ~/.pgpass", "STORE-089"),
    (r"authentication failed", "PostgreSQL refuses the user", "check the user in the URL", "STORE-089"),
    (r"pg_hba\.conf", "PostgreSQL does not let this user in from here", "ask for a line in pg_hba.conf", "STORE-089"),
    (r"role \".*\" does not exist", "PostgreSQL has no such user", "check the user in the URL", "STORE-089"),
    (r"database \".*\" does not exist", "PostgreSQL has no such database", "createdb NAME, or check the URL",
     "STORE-089"),
    (r"connection refused|no such file", "no PostgreSQL answers there",
     "start the server, or check host and port in the URL", "STORE-089"),
    (r"could not translate host name|failed to resolve host", "the PostgreSQL server's host is not known",
     "check the host in the URL", "STORE-089"),
    (r"timeout expired", "the PostgreSQL server does not answer", "check host, port and firewall", "STORE-089"),
    (r"ssl", "PostgreSQL and this client do not agree on SSL", "?sslmode=require or ?sslmode=disable in the URL",
     "STORE-089"),
    (r"too many (clients|connections)|connection slots", "the PostgreSQL server has no connection left",
     "raise max_connections, or close some", "STORE-089"),
    (r"permission denied", "the PostgreSQL user may not do that", "GRANT CREATE, USAGE ON SCHEMA public TO user",
     "STORE-086"),
    (r"read-only transaction", "the PostgreSQL server is read-only (a standby?)", "use the primary's URL", "STORE-086"),
    (r"no space left", "the PostgreSQL server's disk is full", "free some space there, then resume the study",
     "STORE-090"),
)  # fmt: skip

# a server that says so may well be there again in a moment
_FOR_NOW: Final = (
    "starting up",
    "not yet accepting",
    "shutting down",
    "recovery mode",
    "connection refused",
    "no such file",
)


class PostgresDatabase(Database):
    """A database of a PostgreSQL server.

    The advisory lock of a study and its writes share one connection: a driver whose lock is gone cannot write.
    """

    append_as_text = as_text(PGDialect_psycopg())  # type: ignore[no-untyped-call]
    events_as_bytes = BATCHES.c["events"]

    def __init__(self, url: URL) -> None:
        self.shown = unquote(url.render_as_string(hide_password=True))
        self._password = url.password or ""
        self._engine = _engine(url)

    def reader(self) -> Connection:
        connection = self._engine.connect()
        try:
            if not self._is_book(connection):
                raise StoreError("there is no book in this database", where=self.shown, code="STORE-078")
        except BaseException:
            connection.close()
            raise
        return connection

    def writer(self) -> Connection:
        connection = self._engine.connect()
        try:
            with self.transaction(connection):
                connection.execute(text("SELECT pg_advisory_xact_lock(:space, 0)"), {"space": LOCK_SPACE})
                if not self._is_book(connection):
                    metadata.create_all(connection)
                    connection.exec_driver_sql(f"COMMENT ON TABLE batches IS '{_MARK}{SCHEMA}'")
        except BaseException:
            connection.close()
            raise
        return connection

    def _is_book(self, connection: Connection) -> bool:
        """Whether our tables are there, by the comment on one of them. Raises StoreError for those of others."""
        if not inspect(connection).has_table(BATCHES.name):
            return False
        query = text("SELECT obj_description(to_regclass('batches'), 'pg_class')")
        told = str(connection.execute(query).scalar_one() or "no comment on it")
        if not told.startswith(_MARK):
            raise StoreError(
                "the database has a table 'batches' of another program",
                where=self.shown,
                got=told,
                fix="another database, or a schema of its own: ?options=-csearch_path%3Dtunebook",
                code="STORE-082",
            )
        if told != f"{_MARK}{SCHEMA}":
            raise StoreError(
                "the book was written by a newer tunebook",
                where=self.shown,
                got=told,
                expected=f"at most schema {SCHEMA}",
                fix="pip install -U tunebook",
                code="STORE-083",
            )
        return True

    def begin(self, connection: Connection) -> None:
        """The driver begins one with the first statement."""

    def lock(self, connection: Connection, study: int) -> Callable[[], None] | None:
        """A session's advisory lock, which the server frees with the connection."""
        key = "hashtextextended(CAST(CAST(to_regclass('batches') AS oid) AS text) || '/' || :study, :space)"
        query = text(f"SELECT pg_try_advisory_lock({key})")
        taken = connection.execute(query, {"space": LOCK_SPACE, "study": str(study)}).scalar_one()
        connection.commit()
        return connection.invalidate if taken else None

    def wrote(self, connection: Connection, size: int) -> None:
        """Nothing to do: the server keeps house."""

    def lost(self, error: DBAPIError) -> bool:
        told = str(error.orig).lower()
        return error.connection_invalidated or any(sign in told for sign in _FOR_NOW)

    def explain(self, error: DBAPIError) -> StoreError:
        told = str(error.orig)
        if self._password:
            told = told.replace(self._password, "***")
        for sign, what, fix, code in _REFUSALS:
            if re.search(sign, told, re.IGNORECASE):
                return StoreError(what, where=self.shown, got=_first(told), fix=fix, code=code)
        if error.connection_invalidated:
            return StoreError(
                "the connection to PostgreSQL is lost", where=self.shown, got=_first(told), code="STORE-089"
            )
        return StoreError("PostgreSQL refuses", where=self.shown, got=_first(told))


def _first(text: str) -> str:
    """The line that says something, at a length for a screen."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"{lines[0] if lines else 'no reason':.300}"


def _engine(url: URL) -> Engine:
    told = {name: value for name, value in CONNECT.items() if name not in url.query}
    try:
        return create_engine(
            url.set(drivername="postgresql+psycopg"),
            poolclass=NullPool,
            hide_parameters=True,
            isolation_level="READ COMMITTED",  # whatever the server's default: nothing here needs to be tried again
            connect_args=told,
        )
    except ModuleNotFoundError as missing:
        raise MissingExtraError.of("psycopg", "postgres", "a PostgreSQL record") from missing
