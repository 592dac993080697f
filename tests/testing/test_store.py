"""``check_store`` passes what keeps the law and names what breaks it."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import pytest

from tunebook.errors import StoreError, StudyBusy
from tunebook.stores.memory import Log, MemoryStore
from tunebook.testing.store import check_store
from tunebook.trial import Event, Measured, Measurement, Noted


class LosesTheTail(MemoryStore):
    def append(self, events: Sequence[Event]) -> int:
        return super().append(events[:-1] if len(events) > 100 else events) + (len(events) > 100)


class Reorders(MemoryStore):
    def append(self, events: Sequence[Event]) -> int:
        return super().append(sorted(events, key=lambda e: type(e).__name__))


class LosesNaN(MemoryStore):
    def append(self, events: Sequence[Event]) -> int:
        return super().append([self.clean(e) for e in events])

    def clean(self, event: Event) -> Event:
        if not isinstance(event, Measured):
            return event
        m = event.measurement
        metrics = {k: 0.0 if math.isnan(v) else v for k, v in m.metrics.items()}
        return replace(event, measurement=Measurement(m.step, metrics, m.seconds, m.memory))


class MakesFloatsOfInts(MemoryStore):
    def append(self, events: Sequence[Event]) -> int:
        return super().append([self.float(e) for e in events])

    def float(self, event: Event) -> Event:
        if not isinstance(event, Noted):
            return event
        return replace(event, about={k: 1.0 if v == 1 else v for k, v in event.about.items()})


class TearsABatch(MemoryStore):
    """Writes event by event, so that one that cannot be written leaves the others behind."""

    def append(self, events: Sequence[Event]) -> int:
        for event in events:
            if isinstance(event, Noted) and any(type(v) is object for v in event.about.values()):
                raise StoreError("cannot be written")
            super().append([event])
        return len(self.log.events)


class ShowsHalfABatch(MemoryStore):
    """Whole in the end, but a reader may see the middle of it."""

    def append(self, events: Sequence[Event]) -> int:
        with self.claim():
            for i, event in enumerate(events):
                if i == len(events) // 2:
                    time.sleep(0)
                self.log.events.append(event)
        return len(self.log.events)

    def read(self, since: int = 0) -> list[Event]:
        return self.log.events[since:]


class IgnoresSince(MemoryStore):
    def read(self, since: int = 0) -> list[Event]:
        return super().read()


class GivesWholeBatchesSince(MemoryStore):
    """Begins with the batch that position ``since`` lies in, as a table of batches invites."""

    def read(self, since: int = 0) -> list[Event]:
        return super().read(max(0, since - 1) if since % 2 else since)


class SkipsPieces(MemoryStore):
    """Gives what is read in pieces, and the last of them not."""

    def chunks(self, since: int = 0) -> Iterator[Sequence[Event]]:
        told = self.read(since)
        yield told[: len(told) // 4 * 4 - 4]


class LendsItsList(MemoryStore):
    def read(self, since: int = 0) -> list[Event]:
        return super().read(since) if since else self.log.events


class ReturnsTheSizeOfTheBatch(MemoryStore):
    def append(self, events: Sequence[Event]) -> int:
        super().append(events)
        return len(events)


class ClaimsForNobody(MemoryStore):
    @contextmanager
    def claim(self, driver: str = "") -> Iterator[None]:
        with nullcontext():
            yield


class ClaimsOnce(MemoryStore):
    """Not re-entrant."""

    @contextmanager
    def claim(self, driver: str = "") -> Iterator[None]:
        if self._depth and driver:
            raise StudyBusy("busy")
        with super().claim(driver):
            yield


class FreesTooEarly(MemoryStore):
    """An inner claim's end frees the study."""

    @contextmanager
    def claim(self, driver: str = "") -> Iterator[None]:
        with super().claim(driver):
            yield
            if driver == "again":
                self.log.holder = None


class KeepsTheClaim(MemoryStore):
    """Frees nothing when the block ends with an error."""

    @contextmanager
    def claim(self, driver: str = "") -> Iterator[None]:
        if self._depth == 0:
            self._take(driver)
        self._depth += 1
        yield
        self._depth -= 1
        if self._depth == 0:
            self.log.holder = None


class TellsNobodysName(MemoryStore):
    @contextmanager
    def claim(self, driver: str = "") -> Iterator[None]:
        try:
            with super().claim(driver):
                yield
        except StudyBusy as busy:
            raise StudyBusy("somebody else holds the study") from busy


class AppendsToAnybodys(MemoryStore):
    def append(self, events: Sequence[Event]) -> int:
        with self.log.lock:
            self.log.events.extend(list(events))
            return len(self.log.events)


class MixesStudies(MemoryStore):
    everything: Log

    def append(self, events: Sequence[Event]) -> int:
        self.everything.events.extend(events)
        return super().append(events)

    def read(self, since: int = 0) -> list[Event]:
        mine = super().read(since)
        return mine if len(mine) != 2 else self.everything.events[-2:]


class RemembersTheLength(MemoryStore):
    """Does not see what another store wrote in the meantime."""

    length = 0

    def append(self, events: Sequence[Event]) -> int:
        super().append(events)
        self.length += len(events)
        return self.length


def makers(kind: type[MemoryStore]) -> tuple[Callable[[], MemoryStore], Callable[[], MemoryStore]]:
    logs: list[Log] = []

    def make() -> MemoryStore:
        logs.append(Log())
        return kind(logs[-1])

    return make, lambda: kind(logs[-1])


def test_a_store_that_keeps_the_law_passes() -> None:
    check_store(*makers(MemoryStore))


def test_it_may_be_asked_of_one_store_only() -> None:
    check_store(MemoryStore)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (LosesTheTail, "events where"),
        (Reorders, "was read as"),
        (LosesNaN, "was read as"),
        (MakesFloatsOfInts, "was read as"),
        (TearsABatch, "written in part"),
        (ShowsHalfABatch, "middle of a batch"),
        (IgnoresSince, "since 1, "),
        (GivesWholeBatchesSince, "since 1, "),
        (SkipsPieces, "not the fold"),
        (LendsItsList, "the log changes with the list"),
        (ReturnsTheSizeOfTheBatch, "append"),
        (ClaimsForNobody, "at the same time|freed the study"),
        (ClaimsOnce, "not re-entrant"),
        (FreesTooEarly, "freed the study while the outer one lasts"),
        (KeepsTheClaim, "after an error ended its claim"),
        (TellsNobodysName, "does not name the holder's process"),
        (AppendsToAnybodys, "append wrote to a study that another store holds"),
        (MixesStudies, "mixed"),
        (RemembersTheLength, "does not see what another one wrote|append returned"),
    ],
)
def test_each_seeded_bug_is_found(kind: type[MemoryStore], says: str) -> None:
    if kind is MixesStudies:
        MixesStudies.everything = Log()
    with pytest.raises(AssertionError, match=says):
        check_store(*makers(kind))
