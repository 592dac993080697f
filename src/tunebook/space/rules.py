"""What is wrong with a declaration: pure functions from plain values to problems, all that there are."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

from tunebook.errors import Problem, nearest, shown
from tunebook.space.dialects import translation

# codes are 64-bit floats: in wider ranges a whole number would not come back from its code
EXACT = 2**48
EXACT_LOG = 2**44
MOST_OPTIONS = 10_000
LONGEST_NAME = 256
PLAIN = "a number, text, true/false or None"


def problem(item: int, where: str, what: str, got: str = "", expected: str = "", fix: str = "") -> Problem:
    """A problem with the code of the list of bad inputs."""
    return Problem(what, where, got, expected, fix, f"SPACE-{item:03}")


def is_plain(value: object) -> bool:
    """Whether the value comes back from JSON as it is."""
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or type(value) in (bool, int, str)


def flag(where: str, name: str, value: object) -> list[Problem]:
    """A setting that is yes or no."""
    if isinstance(value, bool):
        return []
    return [problem(8, where, f"{name} is neither true nor false", f"{name}={shown(value)}", "True or False",
                    f"{name}=True")]  # fmt: skip


# numbers


def number(where: str, low: object, high: object, log: object, step: object, *, whole: bool) -> list[Problem]:
    """A range of numbers; ``whole`` for integers."""
    found = [*flag(where, "log", log), *_bound(where, "low", low, whole), *_bound(where, "high", high, whole)]
    if not found and isinstance(low, int | float) and isinstance(high, int | float):
        found = [*_range(where, low, high, bool(log), whole)] or [*_step(where, low, high, bool(log), step, whole)]
    return found


def _bound(where: str, side: str, value: object, whole: bool) -> Iterator[Problem]:
    got, wanted = f"{side}={shown(value)}", "a whole number" if whole else "a finite number"
    give = f"give {side} {wanted}"
    if isinstance(value, bool):
        yield problem(8, where, "a bound is true/false", got, wanted, "did you mean Choice([False, True])?")
    elif isinstance(value, str):
        fix = f"{side}={value} without quotes (YAML 1.1 reads 1e-4 as text: write 1.0e-4)"
        yield problem(7, where, "a bound is text", got, wanted, fix)
    elif not isinstance(value, int | float):
        yield problem(7, where, "a bound is not a number", got, wanted, give)
    elif isinstance(value, float) and not math.isfinite(value):
        code, what = (5, "a bound is NaN") if math.isnan(value) else (6, "a bound is infinite")
        yield problem(code, where, what, got, wanted, give)
    elif whole and isinstance(value, float):
        fix = f"{side}={int(value)}" if value == int(value) else "use Float, or round the bound"
        yield problem(13, where, "a bound of Int is not a whole number", got, wanted, fix)
    elif whole and abs(value) > EXACT:
        yield problem(14, where, "a bound is too large to be exact in a 64-bit float", got, f"at most {EXACT}",
                      "use Float(..., log=True) and round in your code")  # fmt: skip
    elif not whole and abs(value) > 1e308:
        yield problem(6, where, "a bound is too large for a 64-bit float", got, "at most 1e308", give)


def _range(where: str, low: float, high: float, log: bool, whole: bool) -> Iterator[Problem]:
    got = f"low={low!r}, high={high!r}"
    if low > high:
        yield problem(1, where, "low is above high", got, "low < high", f"swap them: low={high!r}, high={low!r}")
    elif low == high:
        yield problem(2, where, "low equals high: a constant", got, "low < high", f"write {_last(where)}={low!r}")
    elif log and low <= 0:
        smallest = 1 if whole else high * 1e-4
        fix = f"low={smallest:g}, or log=False" if 0 < smallest < high else "log=False, or a range above 0"
        yield problem(3 if low == 0 else 4, where, "a log scale needs low > 0", got, "low > 0", fix)
    elif log and whole and high > EXACT_LOG:
        yield problem(14, where, "a bound is too large to be exact on a log scale", got, f"at most {EXACT_LOG}",
                      "use Float(..., log=True) and round in your code")  # fmt: skip
    elif not math.isfinite(high - low):
        yield problem(6, where, "the range is too wide for a 64-bit float", got, "high - low below 1.8e308",
                      "a narrower range")  # fmt: skip


def _step(where: str, low: float, high: float, log: bool, step: object, whole: bool) -> Iterator[Problem]:
    if step is None:
        return
    got, span = f"step={shown(step)}", high - low
    if isinstance(step, bool) or not isinstance(step, int | float) or not 0 < step < math.inf:
        yield problem(9, where, "step must be a positive number", got, "step > 0", "leave step out for no lattice")
    elif whole and isinstance(step, float):
        yield problem(13, where, "a step of Int is not a whole number", got, "a whole number", "use Float, or round it")
    elif log:
        yield problem(12, where, "step and log do not go together", got, "one of them",
                      "a log lattice is Choice([...], ordered=True)")  # fmt: skip
    elif step > span * (1 + 1e-9):
        yield problem(10, where, f"step is larger than the range: the only value would be {low}", got,
                      f"step <= {span}", "a smaller step")  # fmt: skip
    elif span / step > EXACT:
        yield problem(14, where, "the steps are too many to be exact", got, f"at most {EXACT}", "leave step out")
    elif abs(span / step - round(span / step)) > 1e-6:
        top = Decimal(str(low)) + int(span / step) * Decimal(str(step))
        yield problem(11, where, f"step does not divide the range: the largest value would be {top}",
                      f"{got}, low={low!r}, high={high!r}", "a step that divides it", f"high={top}")  # fmt: skip


# choices


def choice(where: str, options: object, ordered: object) -> list[Problem]:
    """The options of a choice."""
    found = flag(where, "ordered", ordered)
    if isinstance(options, str):
        split = [w.strip() for w in options.split(",")]
        found.append(problem(22, where, "the options are one text", shown(options), "a list", f"Choice({split})"))
    elif not isinstance(options, Sequence | Mapping) or isinstance(options, bytes):
        found.append(problem(15, where, "the options are not a list", shown(options), "a list or a mapping",
                             "Choice([...]), sorted if they come from a set"))  # fmt: skip
    elif len(options) == 0:
        found.append(problem(15, where, "a choice without options", "none", "two or more", "list the options"))
    elif len(options) == 1 and not isinstance(options, Mapping):
        found.append(problem(16, where, "a choice of one: a constant", shown(options[0]), "two or more options",
                             f"write {_last(where)}={shown(options[0])}"))  # fmt: skip
    elif len(options) > MOST_OPTIONS:
        found.append(problem(21, where, "too many options", f"{len(options):,}", f"at most {MOST_OPTIONS:,}",
                             "did you mean Int(low, high)?"))  # fmt: skip
    else:
        found += _options(where, options)
    return found


def _options(where: str, options: Iterable[object]) -> Iterator[Problem]:
    seen: dict[object, object] = {}
    for option in options:
        if isinstance(option, list | tuple | dict | set):
            yield problem(19, where, "an option is a collection", shown(option), PLAIN,
                          "give each a label as option, look it up in your code: {label: value}")  # fmt: skip
        elif not is_plain(option):
            yield problem(20, where, "an option cannot be written as JSON", _typed(option), PLAIN,
                          "use its name, as text")  # fmt: skip
        elif option in seen:
            same = type(seen[option]) is type(option)
            what = "an option stands twice" if same else "two options are equal in Python"
            yield problem(17 if same else 18, where, what, f"{shown(seen[option])} and {shown(option)}",
                          "distinct options", "drop one of them")  # fmt: skip
        else:
            seen[option] = option


def default(where: str, value: object, expected: str) -> Problem:
    """A default that is not a member."""
    return problem(31, where, "the default is not one of the values", f"default={shown(value)}", expected,
                   "move the default inside, or widen the range")  # fmt: skip


# beliefs


def likely_range(where: str, likely: object, low: float, high: float, log: bool) -> list[Problem]:
    """Where good numbers are believed to be: a range that is, at least in part, inside that of the hyperparameter."""
    if likely is None:
        return []
    pair = likely if isinstance(likely, tuple) and len(likely) == 2 else ()
    least, most = pair if all(_is_finite(x) for x in pair) and pair else (1.0, 0.0)
    if least < most and (least > 0 or not log) and max(least, low) < min(most, high):
        return []
    what = "the likely values are outside of the range" if least < most else "this is no range of likely values"
    expected = f"(a, b), a < b, within {low!r} to {high!r}" + (", above 0" if log else "")
    return [problem(121, where, what, f"likely={shown(likely)}", expected,
                    f"likely=({low!r}, {high!r}), or a part of it")]  # fmt: skip


def likely_options(where: str, likely: object, options: Sequence[object] | Mapping[str, object]) -> list[Problem]:
    """How much each option is believed to be the best."""
    if likely is None:
        return []
    told = likely if isinstance(likely, tuple) else ()
    if len(told) == len(options) and all(_is_finite(x) and x >= 0 for x in told) and sum(told) > 0:
        return []
    return [problem(121, where, "these are no weights of the options", f"likely={shown(likely)}",
                    f"{len(options)} numbers >= 0, one an option", f"likely={[1] * min(len(options), 9)}")]  # fmt: skip


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


# names, constants and what is no parameter at all


def name(value: object) -> list[Problem]:
    """A hyperparameter's name."""
    if not isinstance(value, str):
        return [problem(25, shown(value), "a name is not text", shown(value), "text", f"{str(value)!r}")]
    what = ""
    if not value.strip() or value != value.strip():
        what = "a name is empty or has blanks around it"
    elif len(value) > LONGEST_NAME:
        what = f"a name is longer than {LONGEST_NAME} characters"
    elif "/" in value or any(unicodedata.category(c).startswith("C") for c in value):
        what = "a name has control characters or a slash"
    elif unicodedata.normalize("NFC", value) != value:
        what = "a name is not in Unicode's composed form (NFC): it would look like another"
    fix = "letters, digits, '_', '-', '.'"
    return [problem(25, shown(value), what, shown(value), "a short printable name", fix)] if what else []


def constant(where: str, item: object) -> list[Problem]:
    """Something in a space that is no parameter, so a constant or a mistake."""
    foreign = translation(item)
    if foreign:
        fix = foreign[1].replace("Float(", f"{where}=Float(", 1) if foreign[1].startswith("Float(") else foreign[1]
        return [problem(32, where, f"this is {foreign[0]}, not tunebook's", shown(item), "a tunebook parameter", fix)]
    if is_plain(item):
        return []
    if isinstance(item, Mapping):
        fix = "Choice({label: Space(...)}) nests a space; Space.from_dict reads plain mappings"
        return [problem(19, where, "a mapping is not a constant", shown(item), "a parameter or a plain value", fix)]
    if isinstance(item, list | tuple | set | range):
        fix = f"Choice({shown(list(item))})"
        return [problem(19, where, "a collection is not a constant", shown(item), "a parameter or a plain value", fix)]
    return [problem(20, where, "neither a parameter nor a plain value", _typed(item),
                    "Float, Int, Choice or a constant: " + PLAIN, "use its name, as text")]  # fmt: skip


def unknown(where: str, what: str, word: object, known: Iterable[str], item: int = 28) -> Problem:
    """A name that stands for nothing."""
    return problem(item, where, what, shown(word), nearest(str(word), known), f"one that exists, or drop {shown(word)}")


def _typed(value: object) -> str:
    return f"{shown(value)} ({type(value).__name__})"


def _last(where: str) -> str:
    return where.rpartition(".")[2]
