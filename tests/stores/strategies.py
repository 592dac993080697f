"""Events as hypothesis strategies: whatever fits the types."""

import string

from hypothesis import strategies as st

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

TEXT = st.text(max_size=12) | st.text(string.printable, max_size=5)
NUMBER = st.integers(0, 10**9)
TIME = st.floats(allow_nan=False)
FLOAT = st.floats()
VALUE = st.none() | st.booleans() | st.integers() | FLOAT | TEXT
CONFIG = st.dictionaries(TEXT, VALUE, max_size=6)
JSON = st.dictionaries(
    TEXT, st.recursive(VALUE, lambda x: st.lists(x, max_size=3) | st.dictionaries(TEXT, x, max_size=3), max_leaves=6),
    max_size=4,
)  # fmt: skip
CONTEXT = st.builds(Context, NUMBER, NUMBER, FLOAT, st.booleans())
GOAL = st.builds(Goal, st.sampled_from(["loss", "ü≈🎲"]), st.sampled_from(Direction), st.sampled_from(["best", "last"]))
FAILURE = st.builds(Failure, st.sampled_from(FailureKind), TEXT, TEXT, TEXT)
MEASUREMENT = st.builds(Measurement, NUMBER, st.dictionaries(TEXT, FLOAT, max_size=5), FLOAT, FLOAT)

EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(Opened, TEXT, JSON, GOAL, TIME, JSON),
    st.builds(Created, NUMBER, TEXT, CONFIG, CONTEXT, st.none() | NUMBER),
    st.builds(Launched, NUMBER, NUMBER, NUMBER, TIME, TEXT),
    st.builds(Measured, NUMBER, NUMBER, MEASUREMENT),
    st.builds(Ended, NUMBER, NUMBER, st.sampled_from(Status), st.none() | FAILURE, TIME, TEXT),
    st.builds(Closed, TEXT, TEXT),
    st.builds(Looked, TEXT),
    st.builds(Noted, TEXT, JSON),
)
