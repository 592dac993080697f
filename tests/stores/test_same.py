"""Memory, SQLite and PostgreSQL in lockstep: the same calls give the same answers, those of a list and a name."""

from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from tests.stores.strategies import EVENTS

from tunebook.errors import StudyBusy
from tunebook.stores.base import Store
from tunebook.stores.memory import Log, MemoryStore
from tunebook.stores.sql import SqlStore
from tunebook.testing.store import exact
from tunebook.trial import Event

Handles = Callable[[int], Store]  # one more store of the study with this number
HANDLES = st.integers(0, 1)


class Lockstep(RuleBasedStateMachine):
    """Two stores of one study in each kind; the model is a list of events and which of the two holds the study."""

    kinds: tuple[Handles, ...] = ()
    numbers = count()

    def __init__(self) -> None:
        super().__init__()
        number = next(self.numbers)
        self.stores = [[make(number), make(number)] for make in self.kinds]
        self.log: list[Event] = []
        self.held: list[ExitStack] = []
        self.holder: int | None = None
        self.do(0, lambda store: store.append([]))

    def do(self, handle: int, what: Callable[[Store], Any]) -> Any:
        """What every kind answers; StudyBusy where the model says so."""
        answers = []
        for pair in self.stores:
            try:
                answers.append(exact(what(pair[handle])))
            except StudyBusy:
                answers.append("busy")
        assert all(a == answers[0] for a in answers), answers
        return answers[0]

    def free(self, handle: int) -> bool:
        return self.holder in (None, handle)

    @rule(handle=HANDLES, batch=st.lists(EVENTS, max_size=4))
    def append(self, handle: int, batch: list[Event]) -> None:
        told = self.do(handle, lambda store: store.append(batch))
        self.log += batch if self.free(handle) else []
        assert told == (exact(len(self.log)) if self.free(handle) else "busy")

    @rule(handle=HANDLES, since=st.integers(0, 12))
    def read(self, handle: int, since: int) -> None:
        assert self.do(handle, lambda store: store.read(since)) == exact(self.log[since:])

    @rule(handle=HANDLES)
    def claim(self, handle: int) -> None:
        claims = ExitStack()
        told = self.do(handle, lambda store: claims.enter_context(store.claim()))
        assert told == (exact(None) if self.free(handle) else "busy")
        if self.free(handle):
            self.holder = handle
            self.held.append(claims)

    @precondition(lambda self: self.held)
    @rule()
    def release(self) -> None:
        self.held.pop().close()
        if not self.held:
            self.holder = None

    def teardown(self) -> None:
        for claims in reversed(self.held):
            claims.close()


def run(examples: int, *kinds: Handles) -> None:
    """Run the machine on memory and on other kinds of stores."""
    logs: dict[int, Log] = {}
    machine = type("Machine", (Lockstep,), {"kinds": (lambda n: MemoryStore(logs.setdefault(n, Log())), *kinds)})
    quick = settings(
        max_examples=examples,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate),
    )
    run_state_machine_as_test(machine, settings=quick)  # type: ignore[no-untyped-call]


def test_memory_and_sqlite_are_the_same(tmp_path: Path) -> None:
    run(15, lambda n: SqlStore(tmp_path / "book.db", f"s{n}"))


@pytest.mark.postgres
def test_memory_sqlite_and_postgresql_are_the_same(tmp_path: Path, database: str) -> None:
    run(4, lambda n: SqlStore(tmp_path / "book.db", f"s{n}"), lambda n: SqlStore(database, f"s{n}"))


@pytest.mark.soak
@pytest.mark.postgres
def test_memory_sqlite_and_postgresql_are_the_same_for_long(tmp_path: Path, database: str) -> None:
    run(1000, lambda n: SqlStore(tmp_path / "book.db", f"s{n}"), lambda n: SqlStore(database, f"s{n}"))


class Forgets(MemoryStore):
    """A seeded bug: a batch of four loses its last event."""

    def append(self, events: Any) -> int:
        length = super().append(events)
        if len(events) == 4:
            self.log.events.pop()
        return length


def test_a_store_that_differs_is_found() -> None:
    logs: dict[int, Log] = {}
    with pytest.raises(AssertionError):
        run(100, lambda n: Forgets(logs.setdefault(n, Log())))
