"""Bad spaces 1 to 32 of the list of bad inputs: each message says what, where, what was got and how to mend it."""

import math
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunebook.errors import Problem, SettingError, SpaceError, TunebookError, shown
from tunebook.space import Choice, Config, Float, Int, Space, branch, read_toml

Make = Callable[[], object]


def foreign(module: str, name: str, **about: object) -> object:
    """A stand-in for another library's object: its type says where it is from."""
    return type(name, (), {"__module__": module, **about})()


def optuna(name: str, *args: Any, **named: Any) -> object:
    return getattr(pytest.importorskip("optuna.distributions"), name)(*args, **named)


def scipy(name: str, *args: Any) -> object:
    return getattr(pytest.importorskip("scipy.stats"), name)(*args)


def entry(**told: object) -> Make:
    return lambda: Space.from_dict({"lr": told})


# item, what makes it, where it is, words of the message
CASES: list[tuple[int, Make, str, str]] = [
    (1, lambda: Space(lr=Float(1.0, 0.1)), "lr", "swap them: low=0.1, high=1.0"),
    (1, lambda: Space(n=Int(5, 2)), "n", "swap them: low=2, high=5"),
    (2, lambda: Space(lr=Float(0.1, 0.1)), "lr",
     "a constant; got low=0.1, high=0.1; expected low < high; try: write lr=0.1"),
    (3, lambda: Space(lr=Float(0, 0.1, log=True)), "lr", "low=1e-05, or log=False"),
    (3, lambda: Space(n=Int(0, 9, log=True)), "n", "low=1, or log=False"),
    (4, lambda: Space(lr=Float(-1, 0.1, log=True)), "lr", "low=1e-05, or log=False"),
    (4, lambda: Space(lr=Float(-2, -1, log=True)), "lr", "log=False, or a range above 0"),
    (5, lambda: Space(lr=Float(math.nan, 1)), "lr", "got low=nan"),
    (6, lambda: Space(lr=Float(0, math.inf)), "lr", "got high=inf"),
    (6, lambda: Space(lr=Float(0, 10**400)), "lr", "too large for a 64-bit float"),
    (6, lambda: Space(lr=Float(-1e308, 1e308)), "lr", "too wide"),
    (7, lambda: Space(lr=Float("1e-4", 0.1)), "lr", "YAML 1.1 reads 1e-4 as text: write 1.0e-4"),
    (7, lambda: Space(lr=Float(None, 0.1)), "lr", "give low a finite number"),
    (7, lambda: Space(lr=Float(0, 1j)), "lr", "got high=1j"),
    (8, lambda: Space(lr=Float(False, True)), "lr", "did you mean Choice([False, True])?"),
    (8, lambda: Space(lr=Float(0, 1, log="no")), "lr", "log is neither true nor false; got log='no'"),
    (8, lambda: Space(o=Choice(["a", "b"], ordered=1)), "o", "ordered is neither true nor false"),
    (9, lambda: Space(lr=Float(0, 1, step=0)), "lr", "got step=0; expected step > 0"),
    (9, lambda: Space(n=Int(0, 9, step=-1)), "n", "got step=-1"),
    (9, lambda: Space(n=Int(0, 9, step="2")), "n", "got step='2'"),
    (9, lambda: Space(n=Float(0, 9, step=math.nan)), "n", "got step=nan"),
    (10, lambda: Space(n=Int(0, 5, step=9)), "n", "the only value would be 0"),
    (11, lambda: Space(lr=Float(0, 1, step=0.3)), "lr", "the largest value would be 0.9; got"),
    (11, lambda: Space(n=Int(1, 10, step=4)), "n", "high=9"),
    (12, lambda: Space(lr=Float(0.1, 1, log=True, step=0.1)), "lr", "Choice([...], ordered=True)"),
    (13, lambda: Space(n=Int(1.0, 4)), "n", "low=1"),
    (13, lambda: Space(n=Int(1, 4.5)), "n", "use Float, or round the bound"),
    (13, lambda: Space(n=Int(1, 4, step=1.5)), "n", "use Float, or round it"),
    (14, lambda: Space(n=Int(0, 2**53 + 2)), "n", "too large to be exact in a 64-bit float"),
    (14, lambda: Space(n=Int(1, 2**46, log=True)), "n", "too large to be exact on a log scale"),
    (14, lambda: Space(lr=Float(0, 1, step=1e-17)), "lr", "the steps are too many"),
    (15, lambda: Space(o=Choice([])), "o", "list the options"),
    (15, lambda: Space(o=Choice({})), "o", "list the options"),
    (15, lambda: Space(o=Choice({"sgd", "adam"})), "o", "sorted if they come from a set"),
    (15, lambda: Space(o=Choice(None)), "o", "Choice([...])"),
    (16, lambda: Space(o=Choice(["adam"])), "o", "write o='adam'"),
    (17, lambda: Space(o=Choice(["a", "b", "a"])), "o", "an option stands twice; got 'a' and 'a'"),
    (18, lambda: Space(o=Choice([1, 1.0])), "o", "equal in Python; got 1 and 1.0"),
    (18, lambda: Space(o=Choice([0, 2, False])), "o", "got 0 and False"),
    (19, lambda: Space(o=Choice([[64, 64], [128]])), "o", "{label: value}"),
    (19, lambda: Space(o=[1, 2]), "o", "try: Choice([1, 2])"),
    (19, lambda: Space(o={"lr": Float(0, 1)}), "o", "Choice({label: Space(...)})"),
    (19, lambda: Space(o=Choice({"sgd": {"lr": Float(0, 1)}, "adam": Space()})), "o.sgd", "'sgd': Space()"),
    (19, lambda: Space([("lr", 1)]), "Space", "Space(lr=Float(...))"),
    (20, lambda: Space(o=Choice([int, print])), "o", "use its name, as text"),
    (20, lambda: Space(o=Choice([math.nan, 1.0])), "o", "cannot be written as JSON; got nan (float)"),
    (20, lambda: Space(o=object), "o", "neither a parameter nor a plain value"),
    (20, lambda: Space(o=math.inf), "o", "got inf (float)"),
    (20, lambda: Space(o=np.zeros(3)), "o", "(ndarray)"),
    (21, lambda: Space(o=Choice(range(20_000))), "o", "got 20,000; expected at most 10,000; try: did you mean Int"),
    (22, lambda: Space(o=Choice("adam,sgd")), "o", "Choice(['adam', 'sgd'])"),
    (23, entry(type="logunifrom", low=1, high=2), "space.lr", "did you mean 'loguniform'?"),
    (23, entry(low=1, high=2), "space.lr", "type = 'float', 'int' or 'choice'"),
    (23, entry(type=3, low=1, high=2), "space.lr", "unknown type; got 3"),
    (24, entry(type="float", lo=1, high=2), "space.lr", "got 'lo'; expected did you mean 'low'?"),
    (24, entry(type="float", min=1, max=2), "space.lr", "got 'max'; expected did you mean 'high'?"),
    (24, entry(type="choice", values=[1, 2]), "space.lr", "did you mean 'options'?"),
    (24, entry(type="float", low=1), "space.lr", "add high = ..."),
    (24, lambda: Space.from_dict([1, 2]), "space", "a space is not a table; got [1, 2]"),
    (25, lambda: Space({"": 1}), "''", "a name is empty"),
    (25, lambda: Space({" lr": Float(0, 1)}), "' lr'", "blanks around it"),
    (25, lambda: Space({"a\nb": 1}), "'a\\nb'", "control characters"),
    (25, lambda: Space({"a/b": 1}), "'a/b'", "a slash"),
    (25, lambda: Space({"a\u202eb": 1}), "'a\\u202eb'", "control characters"),
    (25, lambda: Space({"x" * 300: 1}), "'xxx", "longer than 256"),
    (25, lambda: Space({"caf\u00e9": 1, "cafe\u0301": 2}), "'cafe\u0301'", "would look like another"),
    (25, lambda: Space({3: Float(0, 1)}), "3", "a name is not text; got 3; expected text; try: '3'"),
    (27, lambda: Space({"lr": Float(0, 1)}, lr=Int(0, 1)), "lr", "got Float(0.0, 1.0) and Int(0, 1)"),
    (27, lambda: Space({"o.a.x": 1, "o": Choice({"a": Space(x=2), "b": Space()})}), "o.a.x", "rename one"),
    (28, lambda: Space(m=Float(0, 1), conditions={"m": {"opt": ["sgd"]}}), "m when opt", "unknown parent; got 'opt'"),
    (28, lambda: Space(m=1, opt=1, conditions={"n": {"opt": [1]}}), "n", "a condition on an unknown name"),
    (28, lambda: Space(m=1, conditions={"m": ["opt"]}), "conditions.m", "{'momentum': {'optimizer': ['sgd']}}"),
    (28, lambda: Space(m=1, conditions=["m"]), "conditions", "got ['m']"),
    (29, lambda: Space(a=Int(0, 1), b=Int(0, 1), c=Int(0, 1), conditions={"a": {"b": [1]}, "b": {"a": [1]},
     "c": {"a": [1]}}),
     "a", "got a -> b -> a"),
    (29, lambda: Space(a=Int(0, 1), conditions={"a": {"a": [1]}}), "a", "got a -> a"),
    (30, lambda: Space(m=1, o=Choice(["a", "b"]), conditions={"m": {"o": ["c"]}}), "m when o", "expected 'a', 'b'"),
    (30, lambda: Space(m=1, o=Choice(["a", "b"]), conditions={"m": {"o": []}}), "m when o", "can never hold; got []"),
    (30, lambda: Space(m=1, o=Choice([0, 1]), conditions={"m": {"o": [True]}}), "m when o",
     "can never hold; got [True]"),
    (30, lambda: Space(m=1, x=Float(0, 1), conditions={"m": {"x": [0.5]}}), "m when x", "a Choice of regimes"),
    (30, lambda: Space(m=1, x=Int(0, 2**40), conditions={"m": {"x": [5]}}), "m when x", "endless"),
    (31, lambda: Space(lr=Float(0, 1, default=2)), "lr", "got default=2; expected a number from 0.0 to 1.0"),
    (31, lambda: Space(n=Int(0, 8, step=2, default=3)), "n", "a whole number from 0 to 8 in steps of 2"),
    (31, lambda: Space(o=Choice(["relu", "tanh"], default="rely")), "o", "did you mean 'relu'?"),
    (32, lambda: Space(lr=optuna("FloatDistribution", 1e-4, 0.1, log=True)), "lr", "lr=Float(0.0001, 0.1, log=True)"),
    (32, lambda: Space(n=optuna("IntDistribution", 1, 9)), "n", "an Optuna distribution, not tunebook's"),
    (32, lambda: Space(o=optuna("CategoricalDistribution", ["a", "b"])), "o", "Choice(['a', 'b'])"),
    (32, lambda: Space(lr=scipy("loguniform", 1e-4, 0.1)), "lr", "lr=Float(0.0001, 0.1, log=True)"),
    (32, lambda: Space(lr=scipy("uniform", 1.0, 2.0)), "lr", "lr=Float(1.0, 3.0)"),
    (32, lambda: Space(n=scipy("randint", 1, 9)), "n", "Int(1, 8)"),
    (32, lambda: Space(n=scipy("norm", 1, 9)), "n", "a scipy distribution"),
    (32, lambda: Space(lr=foreign("hyperopt.pyll.base", "Apply")), "lr", "a Hyperopt expression"),
    (32, lambda: Space(lr=foreign("ray.tune.search.sample", "Float", lower=0.1, upper=1.0,
                                  sampler=foreign("ray.tune.search.sample", "_LogUniform"))),
     "lr", "lr=Float(0.1, 1.0, log=True)"),
    (32, lambda: Space(n=foreign("ray.tune.search.sample", "Integer", lower=1, upper=9)), "n", "Int(1, 8)"),
    (32, lambda: Space(o=foreign("ray.tune.search.sample", "Categorical", categories=["a", "b"])), "o",
     "Choice(['a', 'b'])"),
    (32, lambda: Space(lr=foreign("keras_tuner.engine", "Float", min_value=0.1, max_value=1.0, sampling="log")), "lr",
     "lr=Float(0.1, 1.0, log=True)"),
    (32, lambda: Space(lr={"distribution": "log_uniform_values", "min": 1e-4, "max": 0.1}), "lr",
     "lr=Float(0.0001, 0.1, log=True)"),
    (32, entry(distribution="log_uniform_values", min=1e-4, max=0.1), "space.lr", "Float(0.0001, 0.1, log=True)"),
    (32, entry(values=["adam", "sgd"]), "space.lr", "Choice(['adam', 'sgd'])"),
    (32, entry(min=1, max=9), "space.lr", "Int(1, 9)"),
    (32, entry(_type="loguniform", _value=[0.1, 1]), "space.lr", "Float(0.1, 1, log=True)"),
    (32, entry(_type="choice", _value=[0.1, 1]), "space.lr", "Choice([0.1, 1])"),
    (32, entry(type="range", bounds=[0.1, 1.0]), "space.lr", "Float(0.1, 1.0)"),
]  # fmt: skip


@pytest.mark.parametrize(("item", "make", "where", "words"), CASES, ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)])
def test_a_bad_space_is_told_clearly(item: int, make: Make, where: str, words: str) -> None:
    with pytest.raises(SpaceError) as caught:
        make()
    mine = [p for p in caught.value.problems if p.code == f"SPACE-{item:03}"]
    assert mine, str(caught.value)
    assert any(p.where.startswith(where) and words in in_a_row(p) for p in mine), [in_a_row(p) for p in mine]


def in_a_row(p: Problem) -> str:
    return f"{p.what}; got {p.got}; expected {p.expected}; try: {p.fix}"


def test_all_of_the_items_have_a_case() -> None:
    assert {c[0] for c in CASES} == set(range(1, 33)) - {26}  # 26 is a file's: below


def test_messages_are_short_and_whole() -> None:
    lengths = []
    for item, make, _, _ in CASES:
        with pytest.raises(SpaceError) as caught:
            make()
        for problem in caught.value.problems:
            assert problem.what and problem.where and problem.got and problem.expected and problem.fix, (item, problem)
            assert problem.code.startswith("SPACE-")
            lengths.append(len(str(problem).splitlines()))
            assert max(map(len, str(problem).splitlines())) < 250
    assert max(lengths) <= 8
    assert median(lengths) <= 4


def test_all_problems_of_a_space_are_told_at_once() -> None:
    with pytest.raises(SpaceError) as caught:
        Space(
            {
                " x": 1,
                "lr": Float(1, 0),
                "o": Choice("a,b"),
                "n": Int(0.5, "3"),
                "m": Float(0, 1),
                "k": Float(0, 1, step=2),
            },
            conditions={"m": {"nope": [1]}, "q": {"lr": [1]}},
        )
    codes = [p.code.removeprefix("SPACE-0") for p in caught.value.problems]
    assert codes == ["25", "01", "22", "13", "07", "10", "28", "28"]


def test_all_problems_of_a_file_are_told_at_once_with_their_place() -> None:
    with pytest.raises(SpaceError) as caught:
        Space.from_dict({
            "lr": {"type": "float", "low": 1, "high": 0},
            "n": {"type": "whole", "low": 1, "high": 2},
            "o": {"type": "choice", "options": {"a": {"x": {"type": "int", "low": 1, "hihg": 2}}, "b": {}}},
            "m": {"type": "float", "low": 0, "high": 1, "when": {"n": 1}},
            "k": {"type": "float", "low": 0, "high": 1, "when": {"z": 1}},
        }, "study.space")  # fmt: skip
    assert [(p.where, p.code) for p in caught.value.problems] == [
        ("study.space.n", "SPACE-023"),
        ("study.space.o.a.x", "SPACE-024"),
        ("study.space.lr", "SPACE-001"),
        ("study.space.k when z", "SPACE-028"),
    ]


def test_a_thousand_problems_are_not_a_thousand_lines() -> None:
    with pytest.raises(SpaceError) as caught:
        Space({f"x{i}": Float(1, 0) for i in range(1000)})
    assert len(caught.value.problems) == 1000
    assert str(caught.value).endswith("... and 980 more problems")


def test_text_for_a_number_is_taken_in_a_file() -> None:
    assert Space.from_dict({"lr": {"type": "float", "low": "1e-4", "high": "0.1", "log": True}}).parameters[
        "lr"
    ] == Float(1e-4, 0.1, log=True)
    assert Space.from_dict({"n": {"type": "int", "low": "1", "high": "8"}}).parameters["n"] == Int(1, 8)


@pytest.mark.parametrize(
    ("text", "place", "got"),
    [
        ("[space]\nlr = 1\nn = 2\nlr = 3\n", "study.toml:4", "lr in line 2 and line 4"),
        ("[a]\nlr = 1\n[b]\nlr = 2\nx = 1\n'lr' = 3", "study.toml:6", "lr in line 4 and line 6"),
        ("[space]\nlr = 1\n[space]\nlr = 2\n", "study.toml:3", "[space] in line 1 and line 3"),
    ],
)
def test_a_name_that_stands_twice_in_a_file_is_told_with_both_lines(text: str, place: str, got: str) -> None:
    with pytest.raises(SettingError) as caught:
        read_toml(text, "study.toml")
    (problem,) = caught.value.problems
    assert (problem.code, problem.got) == ("SPACE-026", got)
    assert problem.where.startswith(place)


def test_bad_toml_is_told_with_its_line() -> None:
    with pytest.raises(SettingError) as caught:
        read_toml("a = 1\nb = = 2\n", "study.toml")
    (problem,) = caught.value.problems
    assert problem.code == "CONFIG-037"
    assert problem.where == "study.toml:2:5"
    assert problem.got == "'b = = 2'"
    with pytest.raises(SettingError, match="not valid TOML"):
        read_toml("a = [1,")
    assert read_toml("a = 1") == {"a": 1}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s: s.decode(np.zeros((2, 3))), "wrong shape"),
        (lambda s: s.decode(np.zeros((2, 2, 2))), "wrong shape"),
        (lambda s: s.mask([["a", "b"]]), "wrong shape"),
        (lambda s: s.encode([{"lr": 0.5}]), "lacks a value"),
        (lambda s: s.encode([{"lr": "x", "o": 1}]), "no place on the scale"),
        (lambda s: s.encode([{"lr": 0.5, "o": 3}]), "not one of the options"),
        (lambda s: s.grid(), "no finite grid"),
        (lambda s: branch({"opt": 1}, "optt"), "did you mean 'opt'?"),
    ],
)
def test_misuse_is_a_space_error_too(call: Callable[[Space], object], words: str) -> None:
    with pytest.raises(SpaceError) as caught:
        call(Space(lr=Float(0, 1), o=Choice([1, 2])))
    assert words in str(caught.value)
    (problem,) = caught.value.problems
    assert problem.where and problem.code


def test_an_object_whose_repr_fails_is_still_named() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    with pytest.raises(SpaceError, match="a Broken whose repr raises RuntimeError"):
        Space(o=Broken())
    assert len(shown("x" * 10_000_000)) == 80
    assert shown("a\nb") == "'a\\nb'"


ODD = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6), st.binary(max_size=2),
              st.sampled_from([10**400, -0.0, np.float32(2), np.int64(3), object(), print, "1e-4", "float", "choice"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(
        ["type", "low", "high", "log", "step", "default", "options", "ordered", "when", "value", "min", "_value"]),
        inner, max_size=5)), max_leaves=6)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.one_of(st.text(max_size=3), st.integers()), ODD, max_size=4))
def test_any_plain_data_is_a_space_or_a_space_error(data: dict[Any, Any]) -> None:
    try:
        space = Space.from_dict(data)
    except TunebookError as told:
        assert str(told)
    else:
        assert Space.from_dict(space.as_dict()) == space


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([Float, Int]), ODD, ODD, ODD, ODD, ODD, ODD)
def test_any_arguments_make_a_sound_number_or_a_space_error(
    kind: type[Float | Int], low: Any, high: Any, log: Any, step: Any, default: Any, value: Any
) -> None:
    try:
        space = Space(x=kind(low, high, log=log, step=step, default=default))
    except SpaceError as told:
        assert str(told)
    else:
        config: Config = space.default
        assert space.contains(config)
        assert space.contains({"x": value}) in (True, False)


@settings(max_examples=300, deadline=None)
@given(ODD, ODD, ODD, st.dictionaries(st.sampled_from("ox"), ODD, max_size=2))
def test_any_options_make_a_sound_choice_or_a_space_error(
    options: Any, default: Any, value: Any, conditions: Any
) -> None:
    try:
        space = Space(o=Choice(options, default=default), x=1, conditions=conditions)
    except SpaceError as told:
        assert str(told)
    else:
        assert space.contains(space.default)
        assert space.contains({"o": value, "x": 1}) in (True, False)
