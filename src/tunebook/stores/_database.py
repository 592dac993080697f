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
    Float,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError

from tunebook.errors import StoreError

SCHEMA: Final = 1

metadata: Final = MetaData()

STUDIES: Final = Table(
    "studies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("created", Float(53), nullable=False),
)

# one row a batch: events position ... position + count - 1 of the study; trials is how many of them are Created
BATCHES: Final = Table(
    "batches",
    metadata,
    Column("study", Integer, ForeignKey("studies.id"), primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False),
    Column("trials", Integer, nullable=False),
    Column("written", Float(53), nullable=False),
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

_LAST: Final = (
    select(BATCHES.c["position"] + BATCHES.c["count"])
    .where(BATCHES.c.study == bindparam("study", type_=Integer))
    .order_by(BATCHES.c["position"].desc())
    .limit(1)
)

ADD_STUDY: Final = text("INSERT INTO studies (name, created) VALUES (:name, :created) ON CONFLICT (name) DO NOTHING")

LENGTH: Final = select(func.coalesce(_LAST.scalar_subquery(), 0))

# writes nothing unless the claim is still ours and the log is as long as we think: the fence against a driver that
# slept while another took the study over
APPEND: Final = insert(BATCHES).from_select(
    [c.name for c in BATCHES.columns],
    select(*(bindparam(c.name, type_=c.type) for c in BATCHES.columns)).where(
        CLAIMS.c.study == bindparam("study", type_=Integer),
        CLAIMS.c.token == bindparam("token", type_=String),
        LENGTH.scalar_subquery() == bindparam("position", type_=BigInteger),
    ),
)


class Database(ABC):
    """A SQLite file or a PostgreSQL database. ``shown`` is how it is named in messages, without a password.

    What the driver raises, a DBAPIError, is let through: ``explain`` makes a StoreError of it.
    """

    shown: str
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
