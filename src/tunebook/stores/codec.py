"""Events as text: one batch is one JSON array, the format's version first, then one array an event.

    [1,["created",0,"explore",{"lr":0.1},[7]],["launched",0,1,10,1754000000.0]]

The fields of an event are in the order of its class; defaults at the end are left out. Numbers keep their type and
every digit; NaN and the infinities are written as Python's json does (``NaN``, ``Infinity``). The text is ASCII.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from tunebook.errors import SettingError, StoreError
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
)

VERSION: Final = 1

_STATUS: Final = {str(s): s for s in Status}
_KIND: Final = {str(k): k for k in FailureKind}


def _plain(thing: object) -> Any:
    """What json does not know: any Mapping is an object, any Sequence an array."""
    if isinstance(thing, Mapping):
        return dict(thing)
    if isinstance(thing, Sequence) and not isinstance(thing, bytes | bytearray | memoryview):
        return list(thing)
    raise TypeError(f"{thing!r:.100} ({type(thing).__name__}) is not plain JSON")


_WRITER: Final = json.JSONEncoder(separators=(",", ":"), check_circular=False, default=_plain)


# to text


def _trim(row: list[Any], defaults: Sequence[Any]) -> list[Any]:
    """Leave out the trailing fields that have their default; one that is equal but not the same (-0.0) stays."""
    for default in reversed(defaults):
        if row[-1] != default or repr(row[-1]) != repr(default):
            break
        row.pop()
    return row


def _goal(goal: Goal) -> list[Any]:
    also = [[g.metric, g.direction, g.pick] for g in goal.also]
    limits = [[x.metric, x.most, x.least] for x in goal.limits]
    return _trim([goal.metric, goal.direction, goal.pick, also, limits], ([], []))


def _context(c: Context) -> list[Any]:
    return _trim([c.seed, c.fold, c.fraction, c.final], (0, 0, 1.0, False))


def _failure(f: Failure | None) -> list[Any] | None:
    return None if f is None else _trim([f.kind, f.message, f.where, f.traceback], ("", ""))


def _measured(e: Measured) -> list[Any]:
    m = e.measurement
    return _trim(["measured", e.number, e.attempt, m.step, m.metrics, m.seconds, m.memory], (0.0, 0.0))


_ROWS: Final[Mapping[type, Callable[[Any], list[Any]]]] = {
    Opened: lambda e: ["opened", e.round, e.space, _goal(e.goal), e.at, e.about],
    Created: lambda e: _trim(
        ["created", e.number, e.round, e.config, _context(e.context), e.parent, e.start], ([], None, 0)
    ),
    Launched: lambda e: _trim(["launched", e.number, e.attempt, e.until, e.at, e.why], (0.0, "")),
    Measured: _measured,
    Ended: lambda e: _trim(
        ["ended", e.number, e.attempt, e.status, _failure(e.failure), e.at, e.note], (None, 0.0, "")
    ),
    Closed: lambda e: ["closed", e.round, e.reason],
    Looked: lambda e: ["looked", e.reason],
    Noted: lambda e: ["noted", e.topic, e.about],
}


def encode(events: Sequence[Event]) -> str:
    """A batch of events as text. Raises StoreError for a value that is not plain JSON."""
    try:
        return _WRITER.encode([VERSION, *(_ROWS[type(e)](e) for e in events)])
    except (TypeError, ValueError, KeyError, RecursionError) as bad:
        raise StoreError(
            "an event cannot be written to the record",
            got=str(bad),
            expected="plain values: numbers, texts, true/false, null, and lists and mappings of them",
            code="STORE-091",
        ) from bad


# from text


class _Makers(dict[str, Callable[..., Event]]):
    """How each kind of event is made from the fields of its array; texts that repeat are kept once."""

    def __init__(self) -> None:
        self.same: dict[str, str] = {}
        self.plain_context = Context()
        super().__init__(
            opened=self.opened,
            created=self.created,
            launched=Launched,
            measured=self.measured,
            ended=self.ended,
            closed=Closed,
            looked=Looked,
            noted=Noted,
        )

    def opened(self, round: str, space: Any, goal: list[Any], at: float, about: Any) -> Event:
        metric, direction, pick, *more = goal
        also = [Goal(*g) for g in more[0]] if more else []
        limits = [Limit(*x) for x in more[1]] if len(more) > 1 else []
        return Opened(round, space, Goal(metric, Direction(direction), pick, also, limits), at, about)

    def created(
        self, number: int, round: str, config: Any, context: Any = None, parent: Any = None, start: int = 0
    ) -> Event:
        told = Context(*context) if context else self.plain_context
        return Created(number, self.same.setdefault(round, round), config, told, parent, start)

    def measured(
        self, number: int, attempt: int, step: int, metrics: Any, seconds: float = 0.0, memory: float = 0.0
    ) -> Event:
        return Measured(number, attempt, Measurement(step, metrics, seconds, memory))

    def ended(
        self, number: int, attempt: int, status: str, failure: Any = None, at: float = 0.0, note: str = ""
    ) -> Event:
        told = None if failure is None else Failure(_KIND[failure[0]], *failure[1:])
        return Ended(number, attempt, _STATUS[status], told, at, self.same.setdefault(note, note))


def decode(text: str) -> list[Event]:
    """The events of a batch. Raises StoreError for text of a newer version, or that is not a batch."""
    return next(decode_many([[text.encode()]]))


def decode_many(chunks: Iterable[Sequence[bytes]], where: str = "") -> Iterator[list[Event]]:
    """The events of many batches, chunk by chunk. The batches of a chunk are parsed as one text, which is quicker.

    ``where`` is told in errors.
    """
    makers = _Makers()
    for chunk in chunks:
        events: list[Event] = []
        for rows in _parse(chunk, where):
            if not isinstance(rows, list) or not rows or rows[0] != VERSION:
                raise _foreign(f"{rows!r:.60}", where)
            del rows[0]
            try:
                events += [makers[row.pop(0)](*row) for row in rows]
            except (KeyError, TypeError, ValueError, AttributeError, IndexError, SettingError) as bad:
                raise _foreign(f"{bad!r:.100}", where) from bad
        yield events


def _parse(texts: Sequence[bytes], where: str) -> list[Any]:
    try:
        parsed: list[Any] = json.loads((b"[" + b",".join(texts) + b"]").decode("ascii"))
        if len(parsed) != len(texts):
            raise ValueError(f"{len(texts)} batches hold {len(parsed)} values")
    except ValueError as bad:
        raise StoreError(
            "a batch of the record is not readable",
            where=where,
            got=str(bad),
            expected="a JSON array as written by tunebook",
            fix="restore the file from a copy",
            code="STORE-085",
        ) from bad
    return parsed


def _foreign(got: str, where: str) -> StoreError:
    return StoreError(
        "the record was written by a newer tunebook, or by something else",
        where=where,
        got=got,
        expected=f"events of format version {VERSION}",
        fix="pip install -U tunebook",
        code="STORE-083",
    )
