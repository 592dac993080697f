"""The record in a SQLite file."""

import os
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from pathlib import Path

import pytest
from tests.stores.conftest import Book, Drivers, wait_for
from tests.stores.drivers import batch, size

import tunebook
from tunebook.errors import SettingError, StoreError, StudyBusy, StudyNotFound
from tunebook.stores.sql import SqlStore, studies
from tunebook.testing.store import check_store
from tunebook.trial import Created, Looked


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "book.db"


def refusal(path: Path, of: type[StoreError] = StoreError) -> str:
    """What a store says when it is asked to read and to write and the book to list its studies: the same."""
    store = SqlStore(path, "a", patience=0.2)
    told = []
    for doing in (store.read, lambda: store.append([Looked("x")]), lambda: studies(path)):
        with pytest.raises(of) as error:
            doing()
        told.append(str(error.value))
    assert len({t.splitlines()[0] for t in told}) == 1, told
    assert str(path) in told[0]
    return told[0]


# the law


def test_sql_store_keeps_the_law(path: Path) -> None:
    book = Book(path)
    check_store(book.make, book.reopen)


def test_urls(path: Path) -> None:
    SqlStore(path, "a").append([Looked("x")])
    assert len(SqlStore(str(path), "a").read()) == 1
    assert len(SqlStore(f"sqlite:///{path}", "a").read()) == 1


@pytest.mark.parametrize("url", ["mysql://me:canary-7@x/y", "sqlite://", "sqlite:///:memory:", "http://x:y:z/", "://"])
def test_odd_urls_are_refused(url: str) -> None:
    with pytest.raises(SettingError) as told:
        SqlStore(url, "a")
    assert "postgresql://" in str(told.value)
    assert "canary-7" not in str(told.value)


def test_each_batch_may_wait_for_the_disk(path: Path) -> None:
    for url, level in ((f"sqlite:///{path}", 1), (f"sqlite:///{path}?synchronous=full", 2)):
        store = SqlStore(url, "a")
        with store.claim():
            assert store._held is not None
            assert store._held.connection is not None
            assert store._held.connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == level
    for odd in ("synchronous=off", "mode=rw"):
        with pytest.raises(SettingError, match="option that is not known"):
            SqlStore(f"sqlite:///{path}?{odd}", "a")


@pytest.mark.parametrize("study", ["", "a\nb", "x" * 257, 7])
def test_odd_names_are_refused(path: Path, study: str) -> None:
    with pytest.raises(SettingError, match="short printable text"):
        SqlStore(path, study)


@pytest.mark.parametrize("name", ["a b", "a?mode=rw&x=1", "50%", "#1", "ü🎲", "a'b"])
def test_odd_folders_and_studies_work(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "deeper" / f"{name}.db"
    SqlStore(path, name).append([Looked(name)])
    assert SqlStore(path, name).read() == [Looked(name)]
    assert path.exists()


def test_the_file_is_a_book_that_others_can_look_into(path: Path) -> None:
    with SqlStore(path, "a").claim("me"):
        pass
    SqlStore(path, "a").append([Created(0, "r", {"lr": 0.1}), Looked("x")])
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert raw.execute("PRAGMA application_id").fetchone() == (0x74756E65,)
    assert raw.execute("PRAGMA user_version").fetchone() == (1,)
    assert raw.execute("SELECT position, count, events FROM batches").fetchall() == [
        (0, 2, '[1,["created",0,"r",{"lr":0.1}],["looked","x"]]')
    ]
    raw.close()


def test_a_book_of_schema_1_is_read(path: Path) -> None:
    """As it lay on people's disks."""
    raw = sqlite3.connect(path)
    raw.executescript((Path(__file__).parent / "schema_1.sql").read_text("utf-8"))
    raw.close()
    assert SqlStore(path, "digits").read(1) == [Created(0, "explore", {"lr": 0.1}), Looked("the end")]
    assert SqlStore(path, "digits").append([Looked("again")]) == 4


def test_studies_are_listed_last_written_first(path: Path) -> None:
    SqlStore(path, "a").append([Created(i, "r", {}) for i in range(3)])
    SqlStore(path, "b").append([Looked("x")])
    with SqlStore(path, "empty").claim():
        pass
    SqlStore(path, "a").append([Looked("x")])
    assert [(s.name, s.events, s.trials) for s in studies(path)] == [("a", 4, 3), ("empty", 0, 0), ("b", 1, 0)]
    for s in studies(path):
        assert 1.7e9 < s.created <= s.written


def test_the_log_beside_the_file_does_not_grow_for_ever(path: Path) -> None:
    """Above 8 MB it is folded back into the file, while the study is held."""
    store, text = SqlStore(path, "a"), "x" * 100_000
    with store.claim():
        for _ in range(300):
            store.append([Looked(text)])
        assert Path(f"{path}-wal").stat().st_size < 20 << 20
    assert len(store.read()) == 300


def test_many_studies_in_one_book_are_written_at_the_same_time(path: Path, drivers: Drivers) -> None:
    stop = drivers.folder / "stop"
    outs = [drivers.run("write", path, f"s{i}", until=str(stop))[1] for i in range(8)]
    wait_for(lambda: all(len(drivers.said(o)) > 20 for o in outs), "20 batches of each driver")
    stop.touch()
    for i, out in enumerate(outs):
        lengths = [int(x) for x in drivers.said(out, "free")[1:-1]]
        assert SqlStore(path, f"s{i}").read() == [e for n in range(len(lengths)) for e in batch(n)]


# reading makes nothing


def test_reading_makes_no_file(tmp_path: Path) -> None:
    assert "no book here" in refusal_of_reading(tmp_path / "book.db")
    assert list(tmp_path.iterdir()) == []


def refusal_of_reading(path: Path) -> str:
    told = []
    for doing in (SqlStore(path, "a").read, lambda: studies(path)):
        with pytest.raises(StoreError) as error:
            doing()
        told.append(str(error.value))
    assert told[0].splitlines()[0] == told[1].splitlines()[0]
    return told[0]


def test_a_study_that_is_not_there_is_told(path: Path) -> None:
    SqlStore(path, "digits").append([Looked("x")])
    with pytest.raises(StudyNotFound, match="did you mean 'digits'"):
        SqlStore(path, "digist").read()
    assert [s.name for s in studies(path)] == ["digits"]


def test_an_empty_file_is_no_study(path: Path) -> None:
    path.touch()
    assert "0 bytes" in refusal_of_reading(path)
    assert path.stat().st_size == 0


# files that are not books


@pytest.mark.parametrize(
    ("content", "looks"),
    [
        (b"lr,loss\n0.1,0.5\n" * 50, "CSV: it begins with 'lr,loss'"),
        (b"hello\n" * 200, "text: it begins with 'hello'"),
        (b"<html>" * 200, "HTML or XML"),
        (b"\x1f\x8b\x08" * 400, "a gzip file"),
        (bytes(2000), "zeros"),
        (b"\x80\x04\x95" * 400, "a pickle"),
        (b"\xff\xfe\x00\x01" * 400, "unknown"),
    ],
)
def test_a_file_that_is_not_sqlite(path: Path, content: bytes, looks: str) -> None:
    path.write_bytes(content)
    told = refusal(path)
    assert "not a SQLite database" in told
    assert looks in told
    assert path.read_bytes() == content


def test_a_zip_file(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "x" * 2000)
    assert "a zip file" in refusal(path)


def test_a_folder(path: Path) -> None:
    path.mkdir()
    assert "this is a folder" in refusal(path)


def test_another_programs_database(path: Path) -> None:
    raw = sqlite3.connect(path)
    raw.execute("CREATE TABLE cookies (id)")
    raw.close()
    before = path.read_bytes()
    told = refusal(path)
    assert "another program" in told
    assert "cookies" in told
    assert path.read_bytes() == before


def test_a_newer_schema(path: Path) -> None:
    SqlStore(path, "a").append([Looked("x")])
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA user_version=999")
    raw.close()
    told = refusal(path)
    assert "newer tunebook" in told
    assert "schema 999" in told
    assert "pip install -U" in told


def test_a_header_of_zeros(path: Path) -> None:
    SqlStore(path, "a").append([Looked("x")])
    path.write_bytes(bytes(100) + path.read_bytes()[100:])
    assert "not a SQLite database" in refusal(path)


def test_a_file_that_was_cut(path: Path) -> None:
    store = SqlStore(path, "a")
    for _ in range(20):
        store.append([Looked("x" * 3000)])
    path.write_bytes(path.read_bytes()[:8192])
    with pytest.raises(StoreError, match="damaged") as told:
        store.read()
    assert ".recover" in told.value.problems[0].fix


def test_flipped_bits_never_give_wrong_events(path: Path, tmp_path: Path) -> None:
    """Of 150 files with one flipped bit each is read as it was written, or refused by a StoreError."""
    store = SqlStore(path, "a")
    for n in range(40):
        store.append(batch(n))
    told, whole, rng, refused = store.read(), path.read_bytes(), random.Random(5), 0
    for i in range(150):
        bad = bytearray(whole)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        copy = tmp_path / f"copy-{i}.db"
        copy.write_bytes(bad)
        try:
            assert SqlStore(copy, "a").read() == told
        except StoreError:
            refused += 1
        copy.unlink()
    assert refused > 50


def test_a_damaged_batch_is_reported_with_its_position(path: Path) -> None:
    store = SqlStore(path, "a")
    store.append([Looked("one"), Looked("two")])
    store.append([Looked("three")])
    raw = sqlite3.connect(path)
    raw.execute("UPDATE batches SET events = replace(events, 'three', 'threx')")
    raw.commit()
    with pytest.raises(StoreError, match="batch of 1 events at position 2 is damaged"):
        store.read()
    for position, missing in ((0, "0 to 1"), (2, "0 to 2")):
        raw.execute("DELETE FROM batches WHERE position = ?", (position,))
        raw.commit()
        with pytest.raises(StoreError, match=f"events {missing} are missing"):
            store.read()
    raw.close()


def test_events_of_a_newer_version_are_told_with_the_file(path: Path) -> None:
    store = SqlStore(path, "a")
    store.append([Looked("one")])
    raw = sqlite3.connect(path)
    raw.execute("UPDATE batches SET events = '[2]', crc = ?", (zlib.crc32(b"[2]"),))
    raw.commit()
    raw.close()
    with pytest.raises(StoreError, match="newer tunebook") as told:
        store.read()
    assert str(path) in told.value.problems[0].where


# places that cannot be written

AS_NOBODY = """
import os, sys
from tunebook.stores.sql import SqlStore
from tunebook.errors import StoreError
from tunebook.trial import Looked
import sqlite3, sqlalchemy.dialects.sqlite
if os.getuid() == 0:
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
for doing, path in zip(sys.argv[1::2], sys.argv[2::2]):
    try:
        store = SqlStore(path, "a")
        print(len(store.read()) if doing == "read" else store.append([Looked("x")]))
    except StoreError as error:
        print(str(error).replace(chr(10), " "))
"""


def test_what_may_not_be_written_or_read() -> None:
    """In folders that an unprivileged process may enter, and may not write to."""
    folder = Path(tempfile.mkdtemp(prefix="tunebook-"))
    try:
        book, secret = folder / "book.db", folder / "secret.db"
        for path in (book, secret):
            SqlStore(path, "a").append([Looked("x")])
        book.chmod(0o444)
        secret.chmod(0o000)
        folder.chmod(0o555)
        asked = (
            "read",
            book,
            "write",
            book,
            "read",
            secret,
            "write",
            folder / "new.db",
            "write",
            folder / "x" / "y.db",
        )
        env = os.environ | {"PYTHONPATH": str(Path(tunebook.__file__).parents[1])}
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, *asked], capture_output=True, text=True, env=env, check=False
        )
        assert done.returncode == 0, done.stderr
        read, write, hidden, new, deep = done.stdout.splitlines()
        assert read == "1"
        for told in (write, hidden, new):
            assert "cannot be written, or not be opened" in told
            assert "ls -ld" in told
        assert "folder of the book cannot be made" in deep
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_disk_that_is_full(path: Path) -> None:
    """The file may not grow any more: a batch is refused whole, with path and free space, and goes on afterwards."""
    store = SqlStore(path, "a")
    with store.claim():
        store.append([Looked("before")])
        assert store._held is not None
        assert store._held.connection is not None
        raw = store._held.connection
        raw.exec_driver_sql("PRAGMA max_page_count=1")  # it becomes the pages that there are
        raw.rollback()
        with pytest.raises(StoreError, match="disk is full") as told:
            store.append([Looked("x" * 100_000)])
        assert "MB free" in told.value.problems[0].got
        assert str(path) in told.value.problems[0].where
        assert store.read() == [Looked("before")]
        raw.exec_driver_sql("PRAGMA max_page_count=100000")
        raw.rollback()
        assert store.append([Looked("after")]) == 2
    assert store.read() == [Looked("before"), Looked("after")]


def test_a_file_size_limit_is_told_like_a_full_disk(path: Path) -> None:
    """What a quota or ulimit -f does is another error of SQLite."""
    code = (
        "import resource, signal, sys\n"
        "from tunebook.stores.sql import SqlStore\n"
        "from tunebook.errors import StoreError\n"
        "from tunebook.trial import Looked\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "store = SqlStore(sys.argv[1], 'a')\n"
        "acknowledged = 0\n"
        "with store.claim():\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))\n"
        "    try:\n"
        "        while True: acknowledged = store.append([Looked('x' * 5000)] * 2)\n"
        "    except StoreError as error:\n"
        "        print(acknowledged, error)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "    assert store.append([Looked('after')]) == acknowledged + 1\n"
    )
    env = os.environ | {"PYTHONPATH": str(Path(tunebook.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    assert "MB free" in done.stdout
    assert len(SqlStore(path, "a").read()) == int(done.stdout.split()[0]) + 1 > 2


def test_a_lock_that_is_held_too_long_names_its_holder(path: Path) -> None:
    store = SqlStore(path, "a", patience=0.2)
    with store.claim():
        store.append([Looked("x")])
        editor = sqlite3.connect(path, isolation_level=None)
        editor.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"locked by another program for more than 0.2 s") as told:
            store.append([Looked("y")])
        assert str(os.getpid()) in told.value.problems[0].got
        assert store.read() == [Looked("x")]
        editor.execute("ROLLBACK")
        editor.close()
        assert store.append([Looked("y")]) == 2


def test_a_short_lock_is_waited_for(path: Path, drivers: Drivers) -> None:
    editor = sqlite3.connect(path, isolation_level=None)
    SqlStore(path, "a").append([Looked("x")])
    editor.execute("BEGIN IMMEDIATE")
    _, out = drivers.run("start", path, "a", until=str(path))
    wait_for(out.exists, "the driver to begin")
    time.sleep(0.1)
    assert not out.read_text()
    editor.execute("ROLLBACK")
    editor.close()
    assert drivers.said(out) == ["done"]


# one writer


def test_a_second_driver_is_refused_by_name(path: Path, drivers: Drivers) -> None:
    pid, out = drivers.run("hold", path, "a")
    drivers.said(out, "held")
    with pytest.raises(StudyBusy, match=rf"process {pid} on .* since \d{{4}}-.* UTC \(the holder\)") as told:
        SqlStore(path, "a").append([Looked("x")])
    assert told.value.exit_code == 4
    assert SqlStore(path, "a").read() == []
    assert SqlStore(path, "another study").append([Looked("x")]) == 1
    drivers.kill(pid)
    assert SqlStore(path, "a").append([Looked("x")]) == 1


def test_another_name_of_the_file_is_the_same_book(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = path.parent / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(path)
    monkeypatch.chdir(path.parent)
    relative = SqlStore("book.db", "a")
    with SqlStore(path, "a").claim():
        monkeypatch.chdir("/")
        for other in (relative, SqlStore(link, "a")):
            with pytest.raises(StudyBusy):
                other.append([Looked("x")])
    assert relative.append([Looked("x")]) == 1
    assert SqlStore(link, "a").append([Looked("x")]) == 2


def test_a_driver_whose_study_was_taken_over_cannot_write(path: Path) -> None:
    """Somebody removed the lock file while the driver slept."""
    sleeper, other = SqlStore(path, "a"), SqlStore(path, "a")
    with sleeper.claim("the sleeper"):
        sleeper.append([Looked("mine")])
        Path(f"{path}-1.lock").unlink()
        with other.claim("the other"):
            assert other.append([Looked("theirs")]) == 2
            with pytest.raises(StudyBusy, match="the other"):
                sleeper.append([Looked("late")])
            assert other.append([Looked("theirs")]) == 3
        with pytest.raises(StudyBusy):
            sleeper.append([Looked("late")])
    assert [e.reason for e in other.read() if isinstance(e, Looked)] == ["mine", "theirs", "theirs"]


def test_a_log_that_grew_behind_the_drivers_back_is_told(path: Path) -> None:
    store = SqlStore(path, "a")
    with store.claim():
        store.append([Looked("one")])
        raw = sqlite3.connect(path)
        raw.execute("INSERT INTO batches SELECT study, 1, count, events, crc FROM batches")
        raw.execute("UPDATE studies SET events = 2")
        raw.commit()
        raw.close()
        with pytest.raises(StoreError, match="something else has written"):
            store.append([Looked("two")])


def test_sixteen_starters_make_one_book(tmp_path: Path, drivers: Drivers) -> None:
    for turn in range(2):
        path, go = tmp_path / f"{turn}.db", tmp_path / f"go-{turn}"
        outs = [drivers.run("start", path, "the study", until=str(go))[1] for _ in range(16)]
        go.touch()
        assert [drivers.said(out) for out in outs] == [["done"]] * 16
        assert len({e.reason for e in SqlStore(path, "the study").read() if isinstance(e, Looked)}) == 16
        assert [s.name for s in studies(path)] == ["the study"]


def test_nothing_acknowledged_is_lost_when_the_writer_is_killed(path: Path, drivers: Drivers) -> None:
    """Twenty kills at random times: the log is what was acknowledged, and at most one batch more, whole."""
    rng, written = random.Random(7), 0
    for _ in range(20):
        pid, out = drivers.run("write", path, "a")
        drivers.said(out, "held")
        time.sleep(rng.uniform(0.0, 0.03))
        drivers.kill(pid)
        lengths = [int(x) for x in out.read_text().splitlines()[1:]]
        events = SqlStore(path, "a").read()
        batches = written + len(lengths)
        told = [e for n in range(batches) for e in batch(n)]
        assert lengths[-1:] in ([], [len(told)])
        assert events[: len(told)] == told
        assert events[len(told) :] in ([], batch(batches))
        written = batches + (len(events) > len(told))
    assert written > 20
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert raw.execute("SELECT sum(count) FROM batches").fetchone() == (sum(size(n) for n in range(written)),)
    raw.close()


def test_a_stopped_driver_keeps_its_study(path: Path, drivers: Drivers) -> None:
    """A driver that sleeps is not dead: nobody may take its study, and it goes on."""
    pid, out = drivers.run("write", path, "a")
    drivers.said(out, "1")
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(StudyBusy, match=str(pid)):
        SqlStore(path, "a", patience=0.2).append([Looked("x")])
    before = len(drivers.said(out))
    os.kill(pid, signal.SIGCONT)
    wait_for(lambda: len(drivers.said(out)) > before, "the driver to go on")


def test_files_are_not_open_to_all(path: Path) -> None:
    """The book has the rights that the umask gives, not more."""
    before = os.umask(0o077)
    try:
        SqlStore(path, "a").append([Looked("x")])
    finally:
        os.umask(before)
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
