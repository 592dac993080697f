"""The law of stores as a test, for people who write one."""

from __future__ import annotations

import math
import os
import random
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from typing import Any, Final

from tunebook.errors import StoreError, StudyBusy
from tunebook.space import Value
from tunebook.stores.base import Store
from tunebook.trial import (
    Closed,
    Context,
    Created,
    Direction,
    Ended,
    Event,
    Failure,
    FailureKind,
    Goal,
    Launched,
    Limit,
    Looked,
    Measured,
    Measurement,
    Noted,
    Opened,
    Status,
    replay,
)

Make = Callable[[], Store]

FLOATS: Final = (0.0, -0.0, 1.0, 0.1, 5e-324, 1.7976931348623157e308, math.nan, math.inf, -math.inf, 1 / 3)
TEXTS: Final = (
    "",
    "a",
    "lr",
    "ü≈🎲",
    'quo"te\\',
    "line\nend\r\t\x00\x7f",
    "\u2028",
    "\ud800",
    "'; DROP TABLE batches; --",
)
VALUES: Final[tuple[Value, ...]] = (True, False, 0, 1, 1.0, -1, 2**53 + 1, 2**70, None, *FLOATS[:6], *TEXTS)


def check_store(make: Make, reopen: Make | None = None) -> None:
    """Raises AssertionError with a sentence if the stores of ``make()`` break the law of ``tunebook.stores.base``.

    ``make()`` gives the store of a study that is new. ``reopen()`` gives one more store of the study that ``make`` gave
    last, as another process would open it; without it nothing is asked of two stores of one study.
    """
    _check_a_new_study(make())
    for seed in range(3):
        _check_what_was_written(make(), reopen, seed)
    _check_the_fold(make())
    _check_its_lists_are_its_own(make())
    _check_a_batch_that_cannot_be_written(make())
    _check_studies_do_not_mix(make)
    _check_nested_claims(make(), reopen)
    if reopen is not None:
        _check_one_writer(make(), reopen)
        _check_taking_turns(make(), reopen)
        _check_a_claim_ends_with_an_error(make(), reopen)
        _check_threads(make(), reopen)
        _check_readers_see_whole_batches(make(), reopen)


def random_events(rng: random.Random, count: int) -> list[Event]:
    """Events of all kinds with awkward content, in no sensible order: a store has no opinion about what it keeps."""
    return [rng.choice(_MAKERS)(rng) for _ in range(count)]


def exact(thing: Any) -> Any:
    """A form in which things are equal only if they are the same to the last bit: 1 is not 1.0, NaN is NaN."""
    if isinstance(thing, float):
        return "nan" if math.isnan(thing) else struct.pack("d", thing)
    if is_dataclass(thing):
        return (type(thing).__name__, *(exact(getattr(thing, f.name)) for f in fields(thing)))
    if isinstance(thing, Mapping):
        return {key: exact(value) for key, value in thing.items()}
    if isinstance(thing, Sequence) and not isinstance(thing, str):
        return [exact(item) for item in thing]
    return (type(thing).__name__, thing)


# events


def _config(rng: random.Random) -> dict[str, Value]:
    return {f"{rng.choice(TEXTS)}{i}": rng.choice(VALUES) for i in range(rng.randrange(12))}


def _json(rng: random.Random, depth: int = 2) -> dict[str, Any]:
    about: dict[str, Any] = dict(_config(rng))
    if depth:
        about["list"] = [_json(rng, depth - 1), rng.choice(VALUES), [], {}]
    return about


def _created(rng: random.Random) -> Event:
    context = Context(rng.getrandbits(32), rng.randrange(3), rng.choice((1.0, 0.1)), rng.random() < 0.2)
    told = rng.choice((Context(), context))
    parent, start = rng.choice(((None, 0), (0, 1), (7, 30)))
    return Created(rng.randrange(10**6), rng.choice(TEXTS), _config(rng), told, parent, start)


def _measured(rng: random.Random) -> Event:
    metrics = {f"m{i}": rng.choice(FLOATS) for i in range(rng.randrange(1, 6))}
    m = Measurement(rng.randrange(1, 99), metrics, rng.choice(FLOATS[2:6]), rng.choice((0.0, 512.5)))
    return Measured(rng.randrange(10**6), rng.randrange(1, 4), m)


def _ended(rng: random.Random) -> Event:
    failure = Failure(rng.choice(list(FailureKind)), rng.choice(TEXTS), rng.choice(TEXTS), rng.choice(TEXTS) * 50)
    how, why = rng.choice(list(Status)), rng.choice((None, failure))
    return Ended(rng.randrange(10**6), rng.randrange(1, 4), how, why, rng.random() * 2e9, rng.choice(TEXTS))


def _opened(rng: random.Random) -> Event:
    also = rng.choice(([], [Goal("seconds", rng.choice(list(Direction)), "last")]))
    limits = rng.choice(([], [Limit("memory", most=500), Limit("recall", least=0.25)]))
    names, picks = ("loss", "ü≈🎲"), ("best", "last")
    goal = Goal(rng.choice(names), rng.choice(list(Direction)), rng.choice(picks), also, limits)
    return Opened(rng.choice(TEXTS), _json(rng), goal, rng.random() * 2e9, _json(rng))


_MAKERS: Final[tuple[Callable[[random.Random], Event], ...]] = (
    _opened,
    _created,
    _created,
    lambda rng: Launched(rng.randrange(10**6), rng.randrange(1, 4), rng.randrange(1, 99), 1.5, rng.choice(TEXTS)),
    _measured,
    _measured,
    _ended,
    lambda rng: Closed(rng.choice(TEXTS), rng.choice(TEXTS)),
    lambda rng: Looked(rng.choice(TEXTS)),
    lambda rng: Noted(rng.choice(TEXTS), _json(rng)),
)


def _step(number: int, step: int) -> Event:
    return Measured(number, 1, Measurement(step, {"loss": step / 7}))


# checks


def _same(got: Sequence[Event], told: Sequence[Event], when: str) -> None:
    assert len(got) == len(told), f"{when}, read() gave {len(got)} events where {len(told)} were written"
    for i, (a, b) in enumerate(zip(got, told, strict=True)):
        assert exact(a) == exact(b), f"{when}, event {i} was read as {a!r:.300} and was written as {b!r:.300}"


def _check_a_new_study(store: Store) -> None:
    with store.claim():
        assert store.read() == [], "a new study has events"
        assert store.append([]) == 0, "append([]) to a new study did not return 0"
        assert store.append([Looked("once")]) == 1, "the first append of one event did not return 1"
        assert store.append([]) == 1, "append([]) did not return the length of the log"
    assert len(store.read()) == 1, "an empty batch left something behind, or one event was lost"


def _check_what_was_written(store: Store, reopen: Make | None, seed: int) -> None:
    rng = random.Random(seed)
    told: list[Event] = []
    with store.claim():
        for size in (1, 2, 40, 1, 7, *(rng.randrange(1, 5) for _ in range(12)), 120):
            batch = random_events(rng, size)
            told += batch
            length = store.append(batch)
            assert length == len(told), f"append returned {length} with {len(told)} events written"
        _same(store.read(), told, "while the study is claimed")
        if reopen is not None:
            _same(reopen().read(), told, "from another store while the study is claimed")
    _same(store.read(), told, "after the claim")
    for since in (1, 2, 3, 20, 43, len(told) - 1, len(told), len(told) + 5):
        _same(store.read(since), told[since:], f"since {since}")


def _check_the_fold(store: Store) -> None:
    for number in range(3):
        store.append([Created(number, "r", {"x": number}), Launched(number, 1, 2)])
        store.append([_step(number, 1), Ended(number, 1, Status.COMPLETED)])
    told = store.trials()
    assert told == replay(store.read()), "trials() is not the fold of what read() gives"
    assert [t.status for t in told.values()] == [Status.COMPLETED] * 3, "trials() is not the fold of the log"


def _check_its_lists_are_its_own(store: Store) -> None:
    batch: list[Event] = [Looked("a"), Looked("b")]
    store.append(batch)
    batch.append(Looked("c"))
    store.read().clear()
    assert len(store.read()) == 2, "the log changes with the list that was appended, or with the one that was read"


def _check_a_batch_that_cannot_be_written(store: Store) -> None:
    odd: list[Event] = [Looked("good"), Noted("bad", {"thing": object()}), Looked("good")]
    with store.claim():
        store.append([Looked("before")])
        try:
            length = store.append(odd)
        except StoreError:
            length = 1
        assert len(store.read()) == length, "a batch that could not be written was written in part"
        assert store.append([Looked("after")]) == length + 1, "after a batch that could not be written the log is torn"
        assert store.read()[length:] == [Looked("after")], "what was written after a refused batch is not there"


def _check_studies_do_not_mix(make: Make) -> None:
    one, other = make(), make()
    one.append([Looked("one")])
    other.append([Looked("other"), Looked("other")])
    one.append([Looked("one")])
    assert one.read() == [Looked("one")] * 2, "the events of two studies are mixed"
    assert other.read() == [Looked("other")] * 2, "the events of two studies are mixed"


def _check_nested_claims(store: Store, reopen: Make | None) -> None:
    try:
        with store.claim():
            with store.claim("again"):
                store.append([Looked("inside")])
            store.append([Looked("outside")])
            if reopen is not None:
                assert not _claims(reopen()), "the end of an inner claim freed the study while the outer one lasts"
    except StudyBusy as busy:
        raise AssertionError("a claim is not re-entrant for the same store object") from busy
    assert len(store.read()) == 2, "events of nested claims are missing"


def _claims(store: Store) -> bool:
    try:
        with store.claim():
            return True
    except StudyBusy:
        return False


def _check_one_writer(store: Store, reopen: Make) -> None:
    other = reopen()
    with store.claim("the first"):
        store.append([Looked("mine")])
        try:
            with other.claim():
                raise AssertionError("two stores hold a claim of one study at the same time")
        except StudyBusy as busy:
            assert str(os.getpid()) in str(busy), f"StudyBusy does not name the holder's process: {busy}"
        with suppress(StudyBusy):
            other.append([Looked("theirs")])
            raise AssertionError("append wrote to a study that another store holds")
        assert other.read() == [Looked("mine")], "a store that does not hold the study cannot read it"
        store.append([Looked("mine")])
    assert store.read() == [Looked("mine")] * 2, "a refused writer left its mark in the log"
    assert _claims(other), "the study is not free after its claim ended"


def _check_taking_turns(store: Store, reopen: Make) -> None:
    stores, told = (store, reopen(), reopen()), list[Event]()
    for i in range(12):
        told += [Looked(str(i)), Looked("and")]
        assert stores[i % 3].append(told[-2:]) == len(told), "a store does not see what another one wrote before"
    for each in stores:
        _same(each.read(), told, "after three stores took turns")


def _check_a_claim_ends_with_an_error(store: Store, reopen: Make) -> None:
    with suppress(ZeroDivisionError), store.claim():
        raise ZeroDivisionError
    assert _claims(reopen()), "the study is not free after an error ended its claim"


def _check_threads(store: Store, reopen: Make) -> None:
    """Threads with a store each fight for the claim: never two inside, and each one's events lie together."""
    store.append([Looked("start")])
    inside, worst, told = [0], [0], [0]
    guard, start = threading.Lock(), threading.Barrier(4)

    def fight(number: int, mine: Store) -> None:
        start.wait()
        for turn in range(10):
            with suppress(StudyBusy), mine.claim():
                with guard:
                    inside[0] += 1
                    worst[0] = max(worst[0], inside[0])
                for step in (1, 2, 3):
                    mine.append([_step(10 * number + turn, step)])
                with guard:
                    inside[0] -= 1
                    told[0] += 3

    threads = [threading.Thread(target=fight, args=(i, reopen())) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert worst[0] <= 1, f"{worst[0]} threads held the claim at the same time"
    assert told[0], "no thread ever got the claim"
    log = store.read()[1:]
    assert len(log) == told[0], f"{told[0]} events were acknowledged by threads, {len(log)} are there"
    for i in range(0, len(log), 3):
        turn = log[i : i + 3]
        number = turn[0].number if isinstance(turn[0], Measured) else -1
        _same(turn, [_step(number, s) for s in (1, 2, 3)], "after a fight of threads")


def _check_readers_see_whole_batches(store: Store, reopen: Make) -> None:
    """A reader beside the writer sees a prefix of the log that ends where a batch ends."""
    sizes = [1 + 13 * i % 37 for i in range(60)]
    ends, seen, done = {0}, list[int](), threading.Event()
    store.append([])
    reader = reopen()

    def watch() -> None:
        while not done.is_set():
            seen.append(len(reader.read()))

    thread = threading.Thread(target=watch)
    thread.start()
    with store.claim():
        for i, size in enumerate(sizes):
            ends.add(store.append([_step(i, s + 1) for s in range(size)]))
    done.set()
    thread.join()
    torn = sorted(set(seen) - ends)
    assert not torn, f"a reader saw {torn[0]} events, which is in the middle of a batch"
    assert seen == sorted(seen), "a reader saw the log shrink"
