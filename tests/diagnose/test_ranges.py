"""Ranges are moved on their scale and lattice, and never past what the hyperparameter can mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunebook.diagnose.ranges import limits, narrowed, widened
from tunebook.space import Choice, Float, Int, Space


@pytest.mark.parametrize(
    ("name", "parameter", "side", "expected"),
    [
        ("lr", Float(1e-4, 1e-1, log=True), "high", (1e-4, 1.0)),
        ("lr", Float(1e-4, 1e-1, log=True), "low", (1e-5, 1e-1)),
        ("width", Float(1.0, 3.0), "high", (1.0, 4.0)),
        ("shift", Float(-1.0, 1.0), "low", (-2.0, 1.0)),
        ("width", Float(1.0, 3.0), "low", (0.0, 3.0)),
        ("units", Int(16, 128, log=True), "high", (16, 1280)),
        ("units", Int(4, 128, log=True), "low", (1, 128)),
        ("layers", Int(2, 5), "high", (2, 6)),
        ("layers", Int(2, 5), "low", (1, 5)),
        ("layers", Int(1, 5), "low", None),
        ("skips", Int(0, 5), "low", None),
        ("offset", Int(-4, 4), "low", (-8, 4)),
        ("dropout", Float(0.0, 0.5), "high", (0.0, 0.75)),
        ("dropout", Float(0.0, 0.9), "high", (0.0, 0.95)),
        ("dropout", Float(0.0, 0.5), "low", None),
        ("optimizer.sgd.momentum", Float(0.0, 0.99), "high", (0.0, 0.999)),
        ("optimizer.adam.beta1", Float(0.8, 0.999), "high", None),
        ("subsample", Float(0.5, 1.0), "high", None),
        ("share", Float(0.0, 1.0), "high", None),
        ("heads", Int(2, 8, step=2), "high", (2, 10)),
        ("units", Int(32, 256, step=32), "low", None),
        ("x", Float(0.5, 2.0, step=0.25), "high", (0.5, 2.75)),
        ("kind", Choice(["a", "b"]), "high", None),
        ("sizes", Choice([1, 2, 4], ordered=True), "high", None),
    ],
)
def test_widening(name, parameter, side, expected):
    got = widened(name, parameter, side)
    assert (None if got is None else (got.low, got.high)) == expected


def test_what_was_declared_is_never_outside_the_limits():
    assert limits("dropout", Float(0.0, 0.99)) == (0.0, 0.99)
    assert limits("momentum", Float(-0.5, 0.9))[0] == -0.5


def test_the_default_stays_inside():
    got = narrowed(Float(1e-4, 1.0, log=True, default=0.9), 0.0, 0.5)
    assert got.default == got.high
    assert got.problems("x") == []


def test_a_belief_that_the_trials_have_left_behind_goes():
    low, both = Float(0, 1, likely=(0.1, 0.2)), Float(0, 1, likely=(0.1, 0.9))
    assert narrowed(low, 0.5, 1.0) == Float(0.5, 1)
    assert narrowed(both, 0.5, 1.0) == Float(0.5, 1, likely=(0.1, 0.9))


def test_narrowing_rounds_outwards_on_a_lattice_and_leaves_small_cuts():
    assert narrowed(Float(0.0, 1.0), 0.04, 0.97) is None
    got = narrowed(Int(1, 100), 0.3, 0.6)
    assert (got.low, got.high) == (31, 61)
    assert narrowed(Choice(["a", "b"]), 0.2, 0.5) is None


@given(
    low=st.floats(1e-6, 10.0),
    ratio=st.floats(1.5, 1e5),
    log=st.booleans(),
    side=st.sampled_from(["low", "high"]),
    name=st.sampled_from(["lr", "dropout", "momentum", "width", "beta2", "fraction"]),
)
def test_a_wider_range_holds_the_old_one_and_makes_a_space(low, ratio, log, side, name):
    old = Float(low, low * ratio, log=log)
    new = widened(name, old, side)
    if new is not None:
        assert new.low <= old.low and new.high >= old.high
        assert (new.low, new.high) != (old.low, old.high)
        least, most = limits(name, old)
        assert least <= new.low and new.high <= most
        Space({name: new})


@given(
    low=st.integers(-50, 50),
    span=st.integers(2, 200),
    a=st.floats(0.0, 1.0),
    b=st.floats(0.0, 1.0),
)
def test_a_narrower_range_lies_in_the_old_one_and_holds_the_region(low, span, a, b):
    old = Int(low, low + span)
    a, b = min(a, b), max(a, b)
    new = narrowed(old, a, b)
    if new is not None:
        assert old.low <= new.low < new.high <= old.high
        assert new.contains(old.decode(0.5 * (a + b)))
        Space(x=new)
