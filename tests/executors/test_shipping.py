"""How objectives get to worker processes, and what is said of those that cannot."""

import functools
import importlib
import importlib.util
import socket
import sqlite3
import subprocess
import sys
import textwrap
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from acts import act
from helpers import Desk

from tunebook.errors import ObjectiveError
from tunebook.executors.local import LocalExecutor
from tunebook.objective import Objective, Run, objective
from tunebook.trial import FailureKind, Measurement, Status


def value_of(function: Objective, folder: Path) -> float:
    """The value that the objective gives in a worker."""
    with LocalExecutor(function) as executor:
        desk = Desk(executor, folder)
        ended = desk.end(desk.submit(until=1))
        assert ended.status is Status.COMPLETED, ended.failure
        return desk.measured(0)[0].measurement.metrics["value"]


def run(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def with_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """A module that workers can import, with a global that cannot be sent."""
    source = """
    import threading
    from tunebook import Measurement, objective
    LOCK = threading.Lock()
    def train(run):
        with LOCK:
            yield Measurement(1, {"value": 3.0})
    @objective
    def decorated(run):
        with LOCK:
            return 4.0
    """
    (tmp_path / "with_lock.py").write_text(textwrap.dedent(source))
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("with_lock")
    del sys.modules["with_lock"]


class WithNested:
    @staticmethod
    def method(run: Run) -> Iterator[Measurement]:
        yield Measurement(1, {"value": 5.0})


class Instance:
    def __init__(self, value: float) -> None:
        self.value = value

    def __call__(self, run: Run) -> Iterator[Measurement]:
        yield Measurement(1, {"value": self.value})

    def bound(self, run: Run) -> Iterator[Measurement]:
        yield Measurement(1, {"value": -self.value})


def scaled(run: Run, factor: float) -> Iterator[Measurement]:
    yield Measurement(1, {"value": factor})


def test_functions_of_all_kinds(tmp_path: Path, with_lock: types.ModuleType) -> None:
    factor = 2.0

    def closure(run: Run) -> Iterator[Measurement]:
        yield Measurement(1, {"value": factor})

    kinds: dict[str, tuple[Objective, float]] = {
        "closure": (closure, 2.0),
        "lambda": (lambda run: iter([Measurement(1, {"value": factor + 1})]), 3.0),
        "of a module, whose lock stays where it is": (with_lock.train, 3.0),
        "decorated, of a module": (with_lock.decorated, 4.0),
        "decorated here": (objective(lambda run: 4.5), 4.5),
        "nested": (WithNested.method, 5.0),
        "instance": (Instance(6.0), 6.0),
        "bound method": (Instance(7.0).bound, -7.0),
        "partial": (functools.partial(scaled, factor=8.0), 8.0),
    }
    for i, (name, (function, value)) in enumerate(kinds.items()):
        assert value_of(function, tmp_path / str(i)) == value, name


def test_a_module_that_only_this_process_knows_goes_by_value(tmp_path: Path) -> None:
    module = types.ModuleType("made_up_module")
    source = """
    from tunebook import Measurement
    SCALE = 9.0
    def helper(): return SCALE
    def train(run):
        yield Measurement(1, {"value": helper()})
    """
    sys.modules["made_up_module"] = module
    try:
        exec(textwrap.dedent(source), module.__dict__)
        assert value_of(module.train, tmp_path) == 9.0
    finally:
        del sys.modules["made_up_module"]


def test_a_module_that_another_one_hides_goes_by_value(tmp_path: Path) -> None:
    """Such as a package ``tests`` that some other project has installed."""
    (tmp_path / "json.py").write_text("from tunebook import Measurement\ndef train(run):\n    yield Measurement(1, X)")
    spec = importlib.util.spec_from_file_location("json", tmp_path / "json.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.X = {"value": 11.0}  # type: ignore[attr-defined]
    right = sys.modules["json"]
    sys.modules["json"] = module
    try:
        executor = LocalExecutor(module.train)
    finally:
        sys.modules["json"] = right
    with executor:
        desk = Desk(executor, tmp_path)
        assert desk.end(desk.submit(until=1)).status is Status.COMPLETED
        assert desk.measured(0)[0].measurement.metrics["value"] == 11.0


def test_a_script_without_a_main_guard(tmp_path: Path) -> None:
    script = tmp_path / "my script é.py"
    (tmp_path / "beside.py").write_text("TEN = 10.0")
    script.write_text(
        textwrap.dedent("""
        import os
        from pathlib import Path
        from beside import TEN
        from tunebook import Measurement, Run, objective
        from tunebook.executors.local import LocalExecutor
        from tunebook.trial import Ended, Measured

        class Model:
            def loss(self): return HALF + TEN

        HALF = 0.5
        @objective
        def train(run):
            run.report(1, value=Model().loss(), here=float(Path("beside.py").exists()))

        with LocalExecutor(train) as executor:
            executor.submit(Run(0, {}, 1, Path("runs")))
            events = []
            while not any(isinstance(e, Ended) for e in events):
                events += executor.poll()
            print([dict(e.measurement.metrics) for e in events if isinstance(e, Measured)], events[-1].failure)
        """)
    )
    done = run(script.name, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("[{'value': 10.5, 'here': 1.0}] None\n", "")


def generator() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (threading.Lock, "_thread.lock"),
        (lambda: sqlite3.connect(":memory:"), "sqlite3.Connection"),
        (generator, "generator"),
        (socket.socket, "socket.socket"),
        (lambda: threading.Thread(target=print), "_thread.lock"),
        (lambda: open("/dev/null", "wb"), "_io.BufferedWriter"),  # noqa: SIM115
        (lambda: {"deep": [1, {"er": threading.Lock()}]}, "_thread.lock"),
        (sys._getframe, "frame"),
        (threading.local, "_thread._local"),
    ],
)
@pytest.mark.parametrize("where", ["closure", "default", "attribute", "argument", "decorated"])
def test_what_cannot_be_sent_is_named(make: Callable[[], object], kind: str, where: str) -> None:
    thing = make()

    def train(run: Run) -> Iterator[Measurement]:
        yield Measurement(1, {"value": float(thing is None)})

    def default(run: Run, thing: object = thing) -> Iterator[Measurement]:
        yield Measurement(1, {"value": 1.0})

    instance = Instance(1.0)
    instance.thing = thing  # type: ignore[attr-defined]
    forms: dict[str, tuple[Objective, str]] = {
        "closure": (train, "train: variable 'thing' around it"),
        "default": (default, "default: default of 'thing'"),
        "attribute": (instance, "Instance: attribute 'thing'"),
        "argument": (functools.partial(scaled, factor=thing), "partial: argument 'factor'"),
        "decorated": (objective(train), "train: variable 'thing' around it"),
    }
    with pytest.raises(ObjectiveError) as caught:
        LocalExecutor(forms[where][0])
    (problem,) = caught.value.problems
    assert problem.where.startswith(forms[where][1])
    assert problem.got.startswith(kind)
    assert problem.fix.count(";") == 2 and problem.code == "ENV-105"
    if isinstance(thing, socket.socket | sqlite3.Connection) or hasattr(thing, "close"):
        thing.close()  # type: ignore[union-attr]


def test_a_global_that_cannot_be_sent_is_named(with_lock: types.ModuleType) -> None:
    script = """
    import sqlite3
    from tunebook import Measurement
    from tunebook.executors.local import LocalExecutor
    from tunebook.errors import ObjectiveError
    db = sqlite3.connect(":memory:")
    def load(): return db.execute("select 1")
    def train(run):
        load()
        yield Measurement(1, {"value": 1.0})
    try:
        LocalExecutor(train)
    except ObjectiveError as error:
        print(error)
    """
    done = run("-c", textwrap.dedent(script))
    assert "train: global 'load': global 'db'" in done.stdout, done.stdout + done.stderr
    assert "sqlite3.Connection" in done.stdout
    LocalExecutor(with_lock.train).close()  # globals of an importable module are not sent at all


def test_a_large_objective_is_warned_of() -> None:
    table = b"x" * (80 << 20)

    def train(run: Run) -> Iterator[Measurement]:
        yield Measurement(1, {"value": float(len(table))})

    with pytest.warns(UserWarning, match=r"80 MB to each worker, 80 MB of it in variable 'table'"):
        LocalExecutor(train).close()


class Fragile:
    def __call__(self, run: Run) -> Iterator[Measurement]:
        return act(run)

    def __reduce__(self) -> tuple[object, ...]:
        return __import__, ("module_that_is_not_there",)


def test_an_objective_that_cannot_be_loaded_in_the_worker(tmp_path: Path) -> None:
    with LocalExecutor(Fragile(), 2) as executor:
        desk = Desk(executor, tmp_path)
        for _ in range(3):
            failure = desk.end(desk.submit()).failure
            assert failure is not None and failure.kind is FailureKind.USER_ERROR
            assert "could not be loaded in a worker process: ModuleNotFoundError" in failure.message
