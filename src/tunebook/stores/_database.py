"""What SqlStore needs of a database: its tables, and how SQLite and PostgreSQL differ."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Dialect,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    exists,
    insert,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError

from tunebook.errors import StoreError

SCHEMA: Final = 1

metadata: Final = MetaData()

# events, trials and written tell of all batches: how long the log must be, how many trials, when the last was written
STUDIES: Final = Table(
    "studies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("created", Float(53), nullable=False),
    Column("written", Float(53), nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("trials", Integer, nullable=False),
)

# one row a batch: events position ... position + count - 1 of the study
BATCHES: Final = Table(
    "batches",
    metadata,
    Column("study", Integer, ForeignKey("studies.id"), primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False),
    Column("events", Text, nullable=False),
    Column("crc", BigInteger, nullable=False),
)

# who writes to a study; the row of a dead driver stays until the next claim, what excludes is the database's lock
CLAIMS: Final = Table(
    "claims",
    metadata,
    Column("study", Integer, ForeignKey("studies.id"), primary_key=True, autoincrement=False),
    Column("token", String, nullable=False),
    Column("host", String, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("since", Float(53), nullable=False),
    Column("driver", String, nullable=False),
)

ADD_STUDY: Final = text(
    "INSERT INTO studies (name, created, written, events, trials) VALUES (:name, :now, :now, 0, 0)"
    " ON CONFLICT (name) DO NOTHING"
)

# does nothing unless the claim is still ours and the log is as long as we think: the fence against a driver that slept
# while another took the study over
GROW: Final = (
    update(STUDIES)
    .where(
        STUDIES.c.id == bindparam("of"),
        STUDIES.c.events == bindparam("position"),
        exists().where(CLAIMS.c.study == bindparam("of"), CLAIMS.c.token == bindparam("token")),
    )
    .values(
        events=STUDIES.c.events + bindparam("count"),
        trials=STUDIES.c.trials + bindparam("new"),
        written=bindparam("now"),
    )
)


def as_text(dialect: Dialect) -> tuple[str, str]:
    """GROW and the insertion of a batch in the driver's own words: to compile them again costs half of an append."""
    return str(GROW.compile(dialect=dialect)), str(insert(BATCHES).compile(dialect=dialect))


class Database(ABC):
    """A SQLite file or a PostgreSQL database. ``shown`` is how it is named in messages, without a password.

    What the driver raises, a DBAPIError, is let through: ``explain`` makes a StoreError of it.
    """

    shown: str
    append_as_text: tuple[str, str]
    events_as_bytes: Any  # the events column as an expression that is quick and safe to fetch

    @abstractmethod
    def reader(self) -> Connection:
        """A new connection to read with. Raises StoreError when there is no book of ours; never creates one."""

    @abstractmethod
    def writer(self) -> Connection:
        """A new connection to write with; makes the book if there is none. Raises StoreError."""

    @abstractmethod
    def begin(self, connection: Connection) -> None:
        """Begin a transaction that will write."""

    @contextmanager
    def transaction(self, connection: Connection) -> Iterator[None]:
        """A transaction that writes: committed at the end, rolled back after an error."""
        try:
            self.begin(connection)
            yield
            connection.commit()
        except BaseException:
            connection.rollback()
            raise

    @abstractmethod
    def lock(self, connection: Connection, study: int) -> Callable[[], None] | None:
        """Take the study's lock, and give the function that frees it; None if somebody has it.

        The system frees the lock when the process that holds it is gone.
        """

    @abstractmethod
    def wrote(self, connection: Connection, size: int) -> None:
        """Called after ``size`` bytes were committed."""

    @abstractmethod
    def lost(self, error: DBAPIError) -> bool:
        """Whether the connection is gone, so that another one may do better."""

    @abstractmethod
    def explain(self, error: DBAPIError) -> StoreError:
        """A database's error as one that tells what to do."""
