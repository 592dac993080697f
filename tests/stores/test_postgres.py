"""The record in PostgreSQL, on a real server."""

import os
import signal
import time

import pytest
from tests.stores.conftest import Book, Drivers, Server, server_or_skip, wait_for
from tests.stores.drivers import batch, size

from tunebook.errors import StoreError, StudyBusy, StudyNotFound
from tunebook.stores.sql import SqlStore, studies
from tunebook.testing.store import check_store
from tunebook.trial import Looked

pytestmark = pytest.mark.postgres


def problem(store: SqlStore) -> str:
    """What a store says when it is asked to read, and then to write: the same."""
    with pytest.raises(StoreError) as reading:
        store.read()
    with pytest.raises(StoreError) as writing:
        store.append([Looked("x")])
    assert reading.value.problems[0].what == writing.value.problems[0].what
    return str(writing.value)


def test_sql_store_keeps_the_law(database: str) -> None:
    book = Book(database)
    check_store(book.make, book.reopen)


def test_a_database_without_a_book_is_told(database: str) -> None:
    with pytest.raises(StoreError, match="no book in this database"):
        SqlStore(database, "a").read()
    with pytest.raises(StoreError, match="no book in this database"):
        studies(database)


def test_a_study_that_is_not_there_is_told(database: str) -> None:
    SqlStore(database, "digits").append([Looked("x")])
    with pytest.raises(StudyNotFound, match="did you mean 'digits'"):
        SqlStore(database, "digit").read()


def test_studies_are_listed(database: str) -> None:
    SqlStore(database, "a").append([Looked("x")] * 3)
    with SqlStore(database, "b").claim():
        pass
    assert {(s.name, s.events) for s in studies(database)} == {("a", 3), ("b", 0)}


# refusals: each has a text of its own, and none shows the password


def test_nobody_listens(postgres: Server) -> None:
    told = problem(SqlStore("postgresql://me:canary-7@127.0.0.1:1/x", "a", patience=0))
    assert "no PostgreSQL answers there" in told
    assert "canary-7" not in told


def test_no_socket(postgres: Server) -> None:
    assert "no PostgreSQL answers there" in problem(SqlStore("postgresql://me@/x?host=/none", "a", patience=0))


def test_unknown_host() -> None:
    told = problem(SqlStore("postgresql://me:canary-7@no-such-host.invalid/x", "a", patience=0))
    assert "host is not known" in told
    assert "canary-7" not in told


def test_no_such_database(postgres: Server) -> None:
    told = problem(SqlStore(postgres.url("nowhere"), "a"))
    assert "no such database" in told
    assert "createdb" in told


def test_no_such_user(postgres: Server) -> None:
    assert "no such user" in problem(SqlStore(postgres.url(user="nobody"), "a"))


def test_wrong_password(postgres: Server) -> None:
    postgres.sql("DROP ROLE IF EXISTS guarded; CREATE ROLE guarded LOGIN PASSWORD 'right'")
    told = problem(SqlStore(postgres.url(user="guarded", password="canary-7"), "a"))
    assert "refuses the user or the password" in told
    assert "canary-7" not in told
    assert "wants a password" in problem(SqlStore(postgres.url(user="guarded"), "a"))


def test_a_user_that_is_not_let_in(postgres: Server) -> None:
    postgres.sql("DROP ROLE IF EXISTS outsider; CREATE ROLE outsider LOGIN")
    assert "does not let this user in from here" in problem(SqlStore(postgres.url(user="outsider"), "a"))


def test_no_ssl(postgres: Server) -> None:
    url = f"postgresql://postgres:canary-7@127.0.0.1:{postgres.port}/postgres?sslmode=require"
    told = problem(SqlStore(url, "a"))
    assert "do not agree on SSL" in told
    assert "canary-7" not in told


def test_too_many_connections(postgres: Server) -> None:
    postgres.sql("DROP ROLE IF EXISTS crowd; CREATE ROLE crowd LOGIN CONNECTION LIMIT 0")
    assert "no connection left" in problem(SqlStore(postgres.url(user="crowd"), "a"))


def test_no_permission_to_make_tables(postgres: Server, database: str) -> None:
    postgres.sql("DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN")
    guest = database.replace("postgres@", "guest@")
    with pytest.raises(StoreError, match="may not do that"):
        SqlStore(guest, "a").append([Looked("x")])


def test_the_password_is_nowhere(postgres: Server) -> None:
    assert "canary-7" not in repr(SqlStore("postgresql://me:canary-7@127.0.0.1/x", "a"))


def test_tables_of_another_program(postgres: Server, database: str) -> None:
    postgres.sql("CREATE TABLE batches (id int)", database.split("@/")[1].split("?", maxsplit=1)[0])
    told = problem(SqlStore(database, "a"))
    assert "another program" in told


def test_a_newer_schema(postgres: Server, database: str) -> None:
    SqlStore(database, "a").append([Looked("x")])
    postgres.sql("COMMENT ON TABLE batches IS 'tunebook schema 999'", database.split("@/")[1].split("?", maxsplit=1)[0])
    told = problem(SqlStore(database, "a"))
    assert "newer tunebook" in told
    assert "schema 999" in told


def test_a_damaged_batch_is_reported_with_its_position(postgres: Server, database: str) -> None:
    store = SqlStore(database, "a")
    store.append([Looked("one"), Looked("two")])
    store.append([Looked("three")])
    name = database.split("@/")[1].split("?", maxsplit=1)[0]
    postgres.sql("UPDATE batches SET events = replace(events, 'three', 'threx')", name)
    with pytest.raises(StoreError, match="position 2 is damaged"):
        store.read()
    assert "study 'a'" in problem_of(store)


def problem_of(store: SqlStore) -> str:
    with pytest.raises(StoreError) as told:
        store.read()
    return told.value.problems[0].where


# one writer, and a server that goes away


def test_sixteen_starters_make_one_book(database: str, drivers: Drivers) -> None:
    go = drivers.folder / "go"
    outs = [drivers.run("start", database, "the study", until=str(go))[1] for _ in range(16)]
    go.touch()
    assert [drivers.said(out)[0] for out in outs] == ["done"] * 16
    assert len(SqlStore(database, "the study").read()) == 16


def test_a_killed_holder_frees_the_study(database: str, drivers: Drivers) -> None:
    store = SqlStore(database, "a")
    pid, out = drivers.run("hold", database, "a")
    drivers.said(out, "held")
    with pytest.raises(StudyBusy, match=rf"process {pid} on .* since .*the holder"):
        store.append([Looked("x")])
    drivers.kill(pid)

    def free() -> bool:
        try:
            return store.append([Looked("x")]) == 1
        except StudyBusy:
            return False

    wait_for(free, "the server to notice")


def test_a_connection_that_the_server_ends_is_replaced(postgres: Server, database: str) -> None:
    store = SqlStore(database, "a")
    with store.claim():
        for i in range(5):
            assert store.append([Looked(str(i))]) == i + 1
            _end_connections(postgres, database)
    assert store.read() == [Looked(str(i)) for i in range(5)]
    with SqlStore(database, "a").claim():
        pass


def test_a_driver_that_slept_while_another_took_over_cannot_write(
    postgres: Server, database: str, drivers: Drivers
) -> None:
    pid, out = drivers.run("write", database, "a")
    drivers.said(out, "1")
    os.kill(pid, signal.SIGSTOP)
    store = SqlStore(database, "a")
    with pytest.raises(StudyBusy):
        store.append([Looked("x")])
    _end_connections(postgres, database)
    with store.claim():
        length = store.append([Looked("taken over")])
        os.kill(pid, signal.SIGCONT)
        assert str(os.getpid()) in "".join(drivers.said(out, "StudyBusy"))
        assert store.append([Looked("still ours")]) == length + 1
    acknowledged = [int(x) for x in drivers.said(out, "StudyBusy") if x.isdigit()]
    assert acknowledged[-1] <= length - 1


def _end_connections(postgres: Server, database: str) -> None:
    name = database.split("@/")[1].split("?", maxsplit=1)[0]
    query = f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}'"
    postgres.sql(query)
    idle = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'"
    wait_for(lambda: postgres.sql(idle)[0][0] == 0, "the connections to end")


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_when_the_server_is_killed(drivers: Drivers) -> None:
    """Two kills under load, with the server's own durable settings; the driver waits, and no batch is there twice."""
    server = server_or_skip()
    try:
        stop = drivers.folder / "stop"
        _, out = drivers.run("write", server.url(), "a", until=str(stop))
        drivers.said(out, "held")
        for _ in range(2):
            before = len(drivers.said(out))
            wait_for(lambda before=before: len(drivers.said(out)) > before + 50, "50 batches")
            server.stop(signal.SIGKILL)
            time.sleep(0.3)
            server.start()
        before = len(drivers.said(out))
        wait_for(lambda: len(drivers.said(out)) > before + 50, "50 batches after the last kill")
        stop.touch()
        said = drivers.said(out, "free")
        lengths = [int(x) for x in said if x.isdigit()]
        sizes = [size(n) for n in range(len(lengths))]
        assert lengths == [sum(sizes[: n + 1]) for n in range(len(sizes))]
        assert SqlStore(server.url(), "a").read() == [e for n in range(len(sizes)) for e in batch(n)]
    finally:
        server.remove()


def test_patience_ends(drivers: Drivers) -> None:
    server = server_or_skip("fsync=off")
    try:
        store = SqlStore(server.url(), "a", patience=0.5)
        with store.claim():
            store.append([Looked("before")])
            server.stop(signal.SIGKILL)
            with pytest.raises(StoreError, match=r"no PostgreSQL answers|lost"):
                store.append([Looked("away")])
            server.start()
            assert store.append([Looked("after")]) == 2
        assert store.read() == [Looked("before"), Looked("after")]
    finally:
        server.remove()
