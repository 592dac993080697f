"""The laws of spaces, on generated ones: codes and configurations go both ways, and a space can be changed."""

import json
import math
import time
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from tunebook.errors import SpaceError
from tunebook.space import Choice, Float, Int, Parameter, Space, branch

NAMES = ("lr", "depth", "width", "act", "drop", "batch", "seed_of", "opt")
GOOD = settings(max_examples=60, deadline=None)


# generated spaces


@st.composite
def floats(draw: st.DrawFn) -> Float:
    if draw(st.booleans()):
        low = draw(st.floats(1e-12, 1e6))
        return Float(low, low * draw(st.floats(1.5, 1e8)), log=True)
    low = draw(st.floats(-1e6, 1e6))
    return Float(low, low + max(1e-3, abs(low)) * draw(st.floats(1e-2, 1e3)))


@st.composite
def lattices(draw: st.DrawFn) -> Float:
    step = draw(st.sampled_from([0.1, 0.05, 0.25, 0.3, 1e-4, 7.5, 1 / 3]))
    low, parts = draw(st.integers(-30, 30)), draw(st.integers(1, 200))
    return Float(low * step, low * step + parts * step, step=step)


@st.composite
def ints(draw: st.DrawFn) -> Int:
    kind = draw(st.sampled_from(["plain", "log", "step", "wide"]))
    if kind == "log":
        low = draw(st.integers(1, 1000))
        return Int(low, low + draw(st.integers(1, 2**43)), log=True)
    if kind == "wide":
        return Int(draw(st.integers(-(2**47), 0)), draw(st.integers(1, 2**47)))
    low, step = draw(st.integers(-100, 100)), draw(st.integers(1, 9)) if kind == "step" else None
    return Int(low, low + draw(st.integers(1, 50)) * (step or 1), step=step)


PLAIN = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(-5, 5), st.text("abcé. ", max_size=4))


@st.composite
def choices(draw: st.DrawFn) -> Choice:
    options = draw(st.lists(PLAIN, min_size=2, max_size=6, unique_by=lambda v: v))  # by ==: True and 1 are one
    return Choice(options, ordered=draw(st.booleans()), default=draw(st.sampled_from([None, *options])))


def parameters() -> st.SearchStrategy[Parameter]:
    return st.one_of(floats(), lattices(), ints(), choices())


@st.composite
def spaces(draw: st.DrawFn, depth: int = 2) -> Space:
    items: dict[str, object] = {}
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=4 - depth // 2, unique=True)):
        if depth and draw(st.integers(0, 2)) == 0:
            labels = draw(
                st.lists(st.sampled_from(["sgd", "adam", "none", "a.b"]), min_size=1, max_size=3, unique=True)
            )
            items[name] = Choice({label: draw(spaces(depth - 1)) for label in labels})
        else:
            items[name] = draw(st.one_of(parameters(), PLAIN))
    conditions = {}
    names = list(items)
    for above, below in pairwise(names):
        parent = items[above]
        small = isinstance(parent, Parameter) and 0 < parent.size < 100
        if small and draw(st.booleans()):
            values = parent.nth(np.arange(parent.size))
            allowed = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3))
            conditions[below] = {above: allowed}
    return Space(items, conditions=conditions)


@st.composite
def spaces_with_codes(draw: st.DrawFn) -> tuple[Space, np.ndarray]:
    space = draw(spaces())
    unit = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0, 0.5, math.nextafter(1, 0)]))
    rows = draw(st.lists(st.lists(unit, min_size=space.dim, max_size=space.dim), min_size=1, max_size=6))
    return space, np.array(rows, dtype=np.float64).reshape(len(rows), space.dim)


def same(a: object, b: object) -> bool:
    """Equal for discrete values, 1e-12 relative for floats."""
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-300)
    return a == b and type(a) is type(b)


# codes


@GOOD
@given(spaces_with_codes())
def test_decode_gives_members_that_encode_to_snapped_codes(drawn: tuple[Space, np.ndarray]) -> None:
    space, units = drawn
    configs = space.decode(units)
    assert [space.complaints(c) for c in configs] == [[] for _ in units]
    codes = space.encode(configs)
    np.testing.assert_allclose(codes, space.snap(units), rtol=0, atol=1e-9)
    discrete = [a.parameter.size > 0 for a in space.axes]
    np.testing.assert_array_equal(codes[:, discrete], space.snap(units)[:, discrete])
    np.testing.assert_array_equal(np.isnan(codes), np.isnan(space.mask(units)))
    assert np.all(np.isnan(codes) | ((codes >= 0) & (codes <= 1)))


@GOOD
@given(spaces_with_codes())
def test_a_configuration_comes_back_from_its_codes(drawn: tuple[Space, np.ndarray]) -> None:
    space, units = drawn
    for config in space.decode(units):
        back = space.decode(space.encode([config]))[0]
        assert list(back) == list(config)
        for name, value in config.items():
            number = space.parameters.get(name)
            if isinstance(number, Float) and not number.log and not number.step:
                assert abs(back[name] - value) <= 1e-12 * max(abs(number.low), abs(number.high))
            else:
                assert same(back[name], value), name


@GOOD
@given(spaces_with_codes())
def test_a_name_is_active_where_its_column_is_no_nan(drawn: tuple[Space, np.ndarray]) -> None:
    space, units = drawn
    masked = space.mask(units)
    for config, row in zip(space.decode(units), masked, strict=True):
        for name, code in zip(space.names, row, strict=True):
            assert space.active(name, config) == (not math.isnan(code)) == (name in config)
        for name in space.constants:
            assert space.active(name, config) == (name in config)
    np.testing.assert_array_equal(space.mask(masked), masked)
    np.testing.assert_array_equal(space.snap(space.snap(units)), space.snap(units))


@GOOD
@given(spaces())
def test_the_default_is_a_member_with_each_declared_default(space: Space) -> None:
    default = space.default
    assert space.complaints(default) == []
    for name, parameter in space.parameters.items():
        if name in default:
            assert same(default[name], parameter.start)
    assert space.decode(np.full((2, space.dim), np.nan)) == [default, default]


@GOOD
@given(spaces())
def test_a_space_comes_back_from_json(space: Space) -> None:
    back = Space.from_dict(json.loads(json.dumps(space.as_dict())))
    assert back == space
    assert hash(back) == hash(space)
    assert back.names == space.names
    assert _axes(back) == _axes(space)


def _axes(space: Space) -> list[object]:
    return [(a.name, [(p, m.tolist()) for p, m in a.when]) for a in space.axes]


@GOOD
@given(spaces())
def test_the_grid_holds_each_configuration_once(space: Space) -> None:
    if space.size > 3000:
        return
    grid = [json.dumps(c, sort_keys=True) for c in space.grid()]
    assert len(set(grid)) == len(grid) == space.size
    assert all(space.contains(json.loads(c)) for c in grid)


@GOOD
@given(parameters(), st.floats(0, 1))
def test_a_slice_holds_just_the_codes_of_one_value(parameter: Parameter, unit: float) -> None:
    low, high = (float(end[0]) for end in parameter.slices(np.array([unit])))
    if parameter.size == 0:
        assert low == high == unit
        return
    assert low - 1e-9 <= unit <= high + 1e-9
    value = parameter.decode(unit)
    assert low < parameter.encode(value) < high
    for inside in (0.5, 0.01, 0.99):
        # ranges so wide that a slice is no wider than a few floats cannot be told apart at its ends
        if high - low > 1e-9:
            assert parameter.decode(low + inside * (high - low)) == value


def test_numbers_out_of_the_range_have_codes_beyond_it() -> None:
    space = Space(lr=Float(1e-3, 1e-1, log=True), depth=Int(2, 5), drop=Float(0, 1, step=0.25))
    codes = space.encode([{"lr": 1e-4, "depth": 7, "drop": -0.5}, {"lr": 1.0, "depth": 0, "drop": 1.25}])
    assert codes[0, 0] == pytest.approx(-0.5)
    assert codes[1, 0] == pytest.approx(1.5)
    np.testing.assert_allclose(codes[:, 1], [1.375, -0.375])
    np.testing.assert_allclose(codes[:, 2], [-0.3, 1.1])
    assert space.decode(codes)[0] == {"lr": 0.001, "depth": 5, "drop": 0.0}


def test_the_ends_are_exact() -> None:
    space = Space(
        a=Float(1e-4, 0.3, log=True), b=Float(-0.1, 0.7), c=Float(0.1, 0.7, step=0.2), d=Int(3, 1000, log=True)
    )
    assert space.decode(np.array([[0.0] * 4, [1.0] * 4, [-1.0] * 4, [np.inf] * 4])) == [
        {"a": 1e-4, "b": -0.1, "c": 0.1, "d": 3},
        {"a": 0.3, "b": 0.7, "c": 0.7, "d": 1000},
        {"a": 1e-4, "b": -0.1, "c": 0.1, "d": 3},
        {"a": 0.3, "b": 0.7, "c": 0.7, "d": 1000},
    ]


def test_steps_are_the_numbers_that_a_person_would_write() -> None:
    assert Float(0, 1, step=0.1).ladder() == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert Int(16, 64, step=16).ladder() == [16, 32, 48, 64]
    assert Int(1, 100, log=True).ladder(3) == [1, 7, 100]
    assert Int(1, 20).ladder(3) == [1, 11, 20] and Int(1, 20).ladder(1) == [11]
    assert Choice(list("abcdefg"), ordered=True).ladder(3) == ["a", "d", "g"]
    assert Float(1e-4, 1e-2, log=True).start == 0.001


@pytest.mark.parametrize(
    "parameter", [Int(1, 7), Int(-3, 9, step=3), Choice(["a", "b", "c", "d", "e"]), Float(0, 1, step=0.2)]
)
def test_uniform_codes_are_uniform_values(parameter: Parameter) -> None:
    units = np.random.default_rng(7).random(20_000)
    counts = Counter(parameter.values(units))
    assert len(counts) == parameter.size
    assert chisquare(list(counts.values())).pvalue > 1e-4


def test_uniform_codes_of_a_log_int_are_log_uniform() -> None:
    number = Int(1, 15, log=True)
    counts = Counter(number.values(np.random.default_rng(7).random(20_000)))
    widths = [math.log((v + 0.5) / (v - 0.5)) for v in range(1, 16)]
    expected = 20_000 * np.array(widths) / sum(widths)
    assert chisquare([counts[v] for v in range(1, 16)], expected).pvalue > 1e-4


def test_options_are_told_apart_by_value_and_truth() -> None:
    space = Space(a=Choice([None, True, 2, 2.5, "2"]))
    codes = space.encode([{"a": v} for v in (None, True, 2, 2.5, "2", 2.0)])[:, 0]
    np.testing.assert_allclose(codes, [0.1, 0.3, 0.5, 0.7, 0.9, 0.5])
    for wrong in (1, False, "", [1], {}):
        assert not space.contains({"a": wrong})
        with pytest.raises(SpaceError, match="not one of the options"):
            space.encode([{"a": wrong}])


def test_big_batches_are_quick() -> None:
    space = Space(
        {f"f{i}": Float(1e-6, 1, log=True) for i in range(4)},
        a=Int(1, 9), b=Choice(["x", "y", "z"]), c=Int(8, 512, log=True),
        opt=Choice({"sgd": Space(m=Float(0, 1)), "adam": Space(b=Float(0, 1, step=0.01))}),
    )  # fmt: skip
    units = np.random.default_rng(0).random((10_000, space.dim))
    began = time.process_time()
    configs = space.decode(units)
    codes = space.encode(configs)
    # the processor's time, with ten times what it takes on a slow core: a loop over rows would need more
    assert time.process_time() - began < 3.0
    np.testing.assert_allclose(codes, space.snap(units), atol=1e-9)


# conditions and nesting


NESTEROV = Choice({"yes": Space(m=Float(0.5, 1)), "no": Space()})
OPTIMIZERS = Choice({"sgd": Space(lr=Float(1e-3, 1, log=True), nesterov=NESTEROV),
                     "adam": Space(lr=Float(1e-5, 1e-2, log=True), eps=1e-8)})  # fmt: skip


def test_one_word_under_two_options_is_two_hyperparameters() -> None:
    space = Space(opt=OPTIMIZERS, depth=2)
    assert space.names == ("opt", "opt.sgd.lr", "opt.sgd.nesterov", "opt.sgd.nesterov.yes.m", "opt.adam.lr")
    config = space.decode(np.array([[0.1, 0.5, 0.1, 1.0, 0.5]]))[0]
    assert config == {"opt": "sgd", "opt.sgd.lr": pytest.approx(0.0316, rel=1e-3), "opt.sgd.nesterov": "yes",
                      "opt.sgd.nesterov.yes.m": 1.0, "depth": 2}  # fmt: skip
    label, below = branch(config, "opt")
    assert label == "sgd"
    assert branch(below, "nesterov") == ("yes", {"m": 1.0})
    adam = space.decode(np.array([[0.9, 0.5, 0.1, 1.0, 0.0]]))[0]
    assert adam == {"opt": "adam", "opt.adam.lr": 1e-5, "opt.adam.eps": 1e-8, "depth": 2}
    np.testing.assert_array_equal(np.isnan(space.encode([config, adam])), [[0, 0, 0, 0, 1], [0, 1, 1, 1, 0]])


def test_a_condition_on_a_conditional_constant_is_the_constants_own() -> None:
    space = Space(a=Choice(["x", "y"]), b=3, c=Float(0, 1), conditions={"b": {"a": "x"}, "c": {"b": [3]}})
    assert space.conditions == {"b": {"a": ("x",)}, "c": {"a": ("x",)}}
    assert [sorted(c) for c in space.decode(np.array([[0.2, 0.5], [0.8, 0.5]]))] == [["a", "b", "c"], ["a"]]


def test_conditions_on_several_parents_hold_together() -> None:
    space = Space(a=Int(1, 3), b=Choice([True, False]), c=Int(0, 9), conditions={"c": {"a": [2, 3], "b": True}})
    assert space.size == 2 * 10 + 4 == len(list(space.grid()))


def test_counting_does_not_walk_through_the_configurations() -> None:
    nest = Choice({label: Space(n=Int(1, 10)) for label in "abc"})
    assert Space({f"n{i}": nest for i in range(12)}).size == 30**12
    assert math.isinf(Space({f"n{i}": Int(1, 2**40) for i in range(60)}).size)
    assert math.isinf(Space(a=Float(0, 1)).size)
    assert Space(a=1).size == 1 == len(list(Space(a=1).grid()))
    assert list(Space().grid()) == [{}]


def test_a_grid_of_some_points_takes_all_options_and_spreads_numbers() -> None:
    space = Space(lr=Float(1e-4, 1e-2, log=True), n=Int(1, 2), opt=Choice(["a", "b", "c", "d"]))
    grid = list(space.grid(3))
    assert len(grid) == 3 * 2 * 4
    assert sorted({c["lr"] for c in grid}) == pytest.approx([1e-4, 1e-3, 1e-2])
    assert grid[:2] == [{"lr": 1e-4, "n": 1, "opt": "a"}, {"lr": 1e-4, "n": 1, "opt": "b"}]
    with pytest.raises(SpaceError, match="no finite grid"):
        space.grid()


def test_equality_looks_at_types_but_not_at_order_or_spelling() -> None:
    assert Space(a=Int(1, 2), b=1) == Space(b=1, a=Int(1, 2))
    assert Space(a=Float(0, 1)) == Space(a=Float(0.0, np.float32(1)))
    assert Space(a=Choice([0, 1])) != Space(a=Choice([False, True]))
    assert Space(a=1) != Space(a=True)
    assert Space(a=Choice(range(3))) == Space(a=Choice([0, 1, 2])) == Space(a=Choice([np.int64(0), 1, 2]))


def test_complaints_tell_each_thing_that_is_wrong() -> None:
    space = Space(lr=Float(0, 1), opt=OPTIMIZERS, depth=2, n=Int(1, 9, step=4))
    found = space.complaints({"lr": 2.0, "opt": "adam", "opt.sgd.lr": 0.1, "depth": 3, "n": 2, "x": 1})
    assert [(p.where, p.what) for p in found] == [
        ("lr", "outside its range"),
        ("opt.adam.lr", "a value is missing"),
        ("opt.adam.eps", "a value is missing"),
        ("depth", "differs from the constant"),
        ("n", "outside its range"),
        ("opt.sgd.lr", "not a hyperparameter here"),
        ("x", "not a hyperparameter here"),
    ]


# change


WIDE = Space(lr=Float(1e-4, 1e-1, log=True), depth=Int(1, 4), act=Choice(["relu", "tanh"]), opt=OPTIMIZERS)


def test_updated_freezes_widens_narrows_and_extends() -> None:
    space = WIDE.updated(
        {"lr": 0.01, "depth": Int(2, 8), "act": Choice(["relu", "tanh", "gelu"]), "drop": Float(0, 0.5)}
    )
    assert space.constants["lr"] == 0.01
    assert space.parameters["depth"] == Int(2, 8)
    assert space.parameters["act"].size == 3
    assert space.names == ("depth", "act", "opt", "opt.sgd.lr", "opt.sgd.nesterov", "opt.sgd.nesterov.yes.m",
                           "opt.adam.lr", "drop")  # fmt: skip
    assert WIDE.updated({}) == WIDE


def test_what_could_only_exist_under_a_removed_option_goes_with_it() -> None:
    assert WIDE.updated({"opt": "adam"}).names == ("lr", "depth", "act", "opt.adam.lr")
    assert WIDE.updated({"opt": Choice(["adam", "lion"])}).names == ("lr", "depth", "act", "opt", "opt.adam.lr")
    fewer = WIDE.updated({"opt.sgd.nesterov": "no"})
    assert "opt.sgd.nesterov.yes.m" not in fewer.parameters
    assert fewer.conditions["opt.sgd.nesterov"] == {"opt": ("sgd",)}


def test_a_nested_choice_can_be_replaced_whole() -> None:
    space = WIDE.updated({"opt": Choice({"sgd": Space(lr=Float(0.1, 1)), "lion": Space(b=Int(1, 2))})})
    assert space.names == ("lr", "depth", "act", "opt", "opt.sgd.lr", "opt.lion.b")
    assert space.parameters["opt.sgd.lr"] == Float(0.1, 1)


@pytest.mark.parametrize(
    "change", [{"lr": Float(2, 1)}, {"opt": Choice("adam")}, {"opt": Choice(None)}, {"act": [1, 2]}]
)
def test_a_bad_change_is_a_space_error(change: Mapping[str, Parameter]) -> None:
    with pytest.raises(SpaceError):
        WIDE.updated(change)


OLD = {"lr": 0.01, "depth": 2, "act": "relu"}
BEFORE = Space(lr=Float(1e-4, 1e-1, log=True), depth=Int(1, 4), act=Choice(["relu", "tanh"]))
CASES = {  # what became of the space: the new one, an old trial as seen in it, and why it would be refused
    "wider": (BEFORE.updated({"lr": Float(1e-6, 1, log=True)}), OLD, ""),
    "narrower": (BEFORE.updated({"lr": Float(1e-4, 1e-3, log=True)}), OLD, ""),
    "a new parameter": (BEFORE.updated({"drop": Float(0, 0.5, default=0.1)}), {**OLD, "drop": 0.1}, ""),
    "a new branch": (
        BEFORE.updated({"opt": Choice({"adam": Space(b=Float(0, 1)), "sgd": Space(m=Float(0, 1))}, default="sgd")}),
        {**OLD, "opt": "sgd", "opt.sgd.m": 0.5},
        "",
    ),
    "a new option": (BEFORE.updated({"act": Choice(["gelu", "relu", "tanh"])}), OLD, ""),
    "an option gone": (BEFORE.updated({"act": Choice(["gelu", "tanh"])}), None, ""),
    "another scale": (BEFORE.updated({"lr": Float(-1, 1)}), OLD, ""),
    "fixed": (BEFORE.updated({"lr": 0.02}), {**OLD, "lr": 0.02}, ""),
    "fixed at this option": (BEFORE.updated({"act": "relu"}), OLD, ""),
    "fixed at another option": (BEFORE.updated({"act": "tanh"}), None, ""),
    "whole numbers become real": (BEFORE.updated({"depth": Float(0, 5)}), OLD, ""),
    "gone": (Space(lr=Float(1e-4, 1e-1, log=True), act=Choice(["relu", "tanh"])), {"lr": 0.01, "act": "relu"},
             "depth=3, a constant, or another study"),
    "renamed": (Space(rate=Float(1e-4, 1e-1, log=True), depth=Int(1, 4), act=Choice(["relu", "tanh"])),
                {"rate": 0.00316227766017, "depth": 2, "act": "relu"}, "keep the name 'lr'"),
    "real numbers become whole": (BEFORE.updated({"lr": Int(1, 9)}), None, "keep Float, or call the new one lr_int"),
    "a number becomes a choice": (BEFORE.updated({"depth": Choice(["a", "b"])}), None,
                                  "keep Int, or call the new one depth_choice"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_study_opened_again_with_another_space(case: str) -> None:
    after, seen, fix = CASES[case]
    assert after.adapt(OLD) == seen
    if seen is not None:
        assert not np.isinf(after.encode([seen])).any()
    assert [p.fix for p in after.clashes(BEFORE)] == ([fix] if fix else [])


def test_trials_outside_a_narrower_range_keep_counting_and_can_be_told() -> None:
    after = CASES["narrower"][0]
    seen = after.adapt(OLD)
    assert seen is not None
    assert not after.contains(seen)
    assert after.encode([seen])[0, 0] == pytest.approx(2.0)


def test_values_without_a_code_have_no_place() -> None:
    assert Space(a=Float(1e-3, 1, log=True)).adapt({"a": -0.5}) is None
    assert Space(a=Float(1e-3, 1, log=True)).adapt({"a": "x"}) is None
    assert Space(a=Int(1, 3)).adapt({"a": 1.5}) is None
    assert Space(a=Int(1, 3)).adapt({"a": True}) is None
    assert Space(a=Float(0, 1)).adapt({"a": math.nan}) is None
    assert Space(a=Float(0, 1)).adapt({"a": 10**400}) is None


def test_what_was_nested_in_a_removed_option_is_no_clash() -> None:
    assert WIDE.updated({"opt": "adam"}).clashes(WIDE) == []
    assert WIDE.updated({"opt": Choice(["adam", "lion"])}).clashes(WIDE) == []
    assert [p.what for p in Space(a=2).clashes(Space(a=1))] == ["a constant has another value"]
    assert Space(n=Int(16, 256)).clashes(Space(n=Choice([16, 64, 256]))) == []


@GOOD
@given(spaces_with_codes())
def test_a_space_adapts_its_own_configurations_to_themselves(drawn: tuple[Space, np.ndarray]) -> None:
    space, units = drawn
    assert space.clashes(space) == []
    for config in space.decode(units):
        assert space.adapt(config) == config
    assert space.adapt({}) == space.default


@GOOD
@given(spaces(), spaces())
def test_any_space_takes_an_old_configuration_as_a_member_or_not_at_all(before: Space, after: Space) -> None:
    seen = after.adapt(before.default)
    if seen is not None:
        codes = after.encode([seen])
        assert not np.isinf(codes).any()
        outside = {p.where for p in after.complaints(seen)}
        assert all(isinstance(after.parameters[n], Float | Int) for n in outside)
