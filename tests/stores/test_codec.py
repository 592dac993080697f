"""The codec keeps every bit, and refuses what it does not know."""

import json
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.stores.strategies import EVENTS

from tunebook.errors import StoreError
from tunebook.stores.codec import decode, decode_many, encode
from tunebook.testing.store import exact, random_events
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
    Looked,
    Measured,
    Measurement,
    Noted,
    Opened,
    Status,
)

# what version 1 looks like on people's disks: it must be read for ever
EVERYTHING: list[Event] = [
    Opened(
        "explore",
        {"lr": {"low": 1e-4, "high": 0.1}},
        Goal("accuracy", Direction.MAXIMIZE, "last"),
        5.0,
        {"a": [1, None]},
    ),
    Created(0, "explore", {"lr": 0.1, "layers": 2, "bias": True, "opt": "sgd", "none": None}),
    Created(1, "explore", {}, Context(7, 2, 0.5, True), 0),
    Launched(0, 1, 10),
    Launched(1, 2, 10, 1754000000.25, "a worker was lost"),
    Measured(0, 1, Measurement(1, {"loss": 0.25, "bad": math.nan, "worse": -math.inf}, 0.5, 300.0)),
    Measured(0, 1, Measurement(2, {"loss": math.inf})),
    Ended(0, 1, Status.COMPLETED),
    Ended(1, 2, Status.FAILED, Failure(FailureKind.OOM_GPU, "too big", "a.py:3", "Traceback"), 9.5, "note"),
    Ended(1, 2, Status.FAILED, Failure(FailureKind.TIMEOUT, "late")),
    Closed("explore", "trials"),
    Looked("the end"),
    Noted("versions", {"torch": "2.13"}),
]
WRITTEN = (
    '[1,["opened","explore",{"lr":{"low":0.0001,"high":0.1}},["accuracy","maximize","last"],5.0,{"a":[1,null]}],'
    '["created",0,"explore",{"lr":0.1,"layers":2,"bias":true,"opt":"sgd","none":null}],'
    '["created",1,"explore",{},[7,2,0.5,true],0],'
    '["launched",0,1,10],["launched",1,2,10,1754000000.25,"a worker was lost"],'
    '["measured",0,1,1,{"loss":0.25,"bad":NaN,"worse":-Infinity},0.5,300.0],["measured",0,1,2,{"loss":Infinity}],'
    '["ended",0,1,"completed"],["ended",1,2,"failed",["oom_gpu","too big","a.py:3","Traceback"],9.5,"note"],'
    '["ended",1,2,"failed",["timeout","late"]],'
    '["closed","explore","trials"],["looked","the end"],["noted","versions",{"torch":"2.13"}]]'
)


def test_version_1_is_written_as_it_always_was() -> None:
    assert encode(EVERYTHING) == WRITTEN


def test_version_1_is_read_as_it_was_meant() -> None:
    assert exact(decode(WRITTEN)) == exact(EVERYTHING)


@given(st.lists(EVENTS, max_size=8))
def test_what_is_written_is_read(events: list[Event]) -> None:
    text = encode(events)
    assert text.isascii()
    assert "\n" not in text
    assert json.loads(text)[0] == 1
    assert exact(decode(text)) == exact(events)


def test_many_batches_are_read_as_one_by_one() -> None:
    rng = random.Random(3)
    batches = [random_events(rng, n % 5) for n in range(50)]
    texts = [encode(b).encode() for b in batches]
    told = [e for b in batches for e in b]
    chunks = [*decode_many([texts[:7], [], texts[7:]])]
    assert [len(c) for c in chunks] == [sum(n % 5 for n in range(7)), 0, sum(n % 5 for n in range(7, 50))]
    assert exact([e for c in chunks for e in c]) == exact(told)


def test_numpy_floats_and_unusual_mappings_become_plain() -> None:
    class Config(dict[str, float]):
        pass

    event = Created(0, "r", Config(lr=np.float64(0.1)), Context(3))
    assert decode(encode([event])) == [Created(0, "r", {"lr": 0.1}, Context(3))]


@pytest.mark.parametrize("value", [object(), {1, 2}, np.float32(1.0), b"bytes", 1j])
def test_a_value_that_is_not_plain_is_refused(value: object) -> None:
    with pytest.raises(StoreError, match="cannot be written") as told:
        encode([Noted("odd", {"x": value})])
    assert "plain" in told.value.problems[0].expected


def test_a_thing_that_contains_itself_is_refused() -> None:
    loop: dict[str, object] = {}
    loop["loop"] = loop
    with pytest.raises(StoreError, match="cannot be written"):
        encode([Noted("odd", loop)])


@pytest.mark.parametrize(
    "text",
    [
        "[2]",
        '[1,["paused",0]]',
        "[]",
        "7",
        "{}",
        '[1,["launched",0]]',
        '[1,["launched",0,1,2,0.0,"","more"]]',
        '[1,["ended",0,1,"sleeping"]]',
        '[1,["ended",0,1,["completed"]]]',
        '[1,["ended",0,1,"failed",["bad luck","x"]]]',
        '[1,["opened","r",{},["loss","sideways","best"],0.0,{}]]',
        "[1,[]]",
        "[1,7]",
    ],
)
def test_what_a_newer_version_may_have_written_is_refused(text: str) -> None:
    with pytest.raises(StoreError, match="newer tunebook") as told:
        decode(text)
    assert "pip install -U" in told.value.problems[0].fix


@pytest.mark.parametrize("text", ["", "[1", "[1],[1", "[1],[1]", "not json", "[1,\x00]"])
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(StoreError, match="not readable"):
        decode(text)


@given(st.integers(0, len(WRITTEN) - 1), st.sampled_from('[]{}",:019eN-\\ ax\x00'))
def test_a_changed_letter_never_gives_another_error(at: int, letter: str) -> None:
    text = WRITTEN[:at] + letter + WRITTEN[at + 1 :]
    try:
        events = decode(text)
    except StoreError:
        return
    assert isinstance(events, list)
