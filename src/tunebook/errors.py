"""Every error that tunebook raises on purpose, in one tree.

    TunebookError
    |- SpaceError          a search space that cannot mean what it says
    |- SettingError        a setting, flag or argument out of range
    |- ObjectiveError      the objective returned or reported something that is not a measurement
       |- NoSuchHyperparameter   it asked its configuration for a name that is not there (a KeyError too)
    |- DataError           a table, array or split that cannot be used
    |- CheckpointError     a checkpoint or model file that is damaged or not ours
    |- MissingExtraError   an optional dependency is not installed (names the extra)
    |- FailingStudy        the first trials all failed in the same way: a bug, not bad luck
    |- StoreError          the record cannot be read or written
       |- StudyNotFound    no study of that name in this book
       |- StudyBusy        another driver holds the study (names host and process)
       |- StudyMismatch    the study was opened with another space, goal or code

An error is a list of problems, so that a person mends a file once and not once a line. Each problem says
what is wrong, where, what was given, what was expected, and how to mend it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from traceback import TracebackException
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

MOST_TOLD = 20


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: ``what`` in a sentence, the rest as far as it is known."""

    what: str
    where: str = ""
    got: str = ""
    expected: str = ""
    fix: str = ""
    code: str = ""

    def __str__(self) -> str:
        head = f"error[{self.code}]: {self.what}" if self.code else self.what
        lines = [head]
        if self.where:
            lines.append(f"  --> {self.where}")
        wanted = self.expected if self.expected.startswith("did you mean") else f"expected {self.expected}"
        told = [f"got {self.got}" if self.got else "", wanted if self.expected else ""]
        if any(told):
            lines.append("  " + "; ".join(t for t in told if t))
        if self.fix:
            lines.append(f"  try: {self.fix}")
        return "\n".join(" ".join(line.splitlines()) for line in lines)


class TunebookError(Exception):
    """Base of all errors raised on purpose. ``problems`` lists everything that was found wrong.

    ``insides`` is the traceback with tunebook's own frames, where ``public`` left them out.
    """

    exit_code = 2
    insides: TracebackException | None = None

    def __init__(self, problem: str | Problem | Sequence[Problem], **about: str) -> None:
        if isinstance(problem, str):
            problem = Problem(problem, **about)
        self.problems: tuple[Problem, ...] = (problem,) if isinstance(problem, Problem) else tuple(problem)
        told = [str(p) for p in self.problems[:MOST_TOLD]]
        more = len(self.problems) - len(told)
        super().__init__("\n".join([*told, f"... and {many(more, 'more problem')}"] if more else told))

    def __reduce__(self) -> tuple[type[TunebookError], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


class SpaceError(TunebookError):
    """A search space that cannot mean what it says."""


class SettingError(TunebookError):
    """A setting, flag or argument that is unknown or out of range."""


class ObjectiveError(TunebookError):
    """The objective returned or reported something that is not a measurement."""


class NoSuchHyperparameter(ObjectiveError, KeyError):
    """The objective asked its configuration for a name that is not there."""

    __str__ = Exception.__str__  # a KeyError shows the repr of what it was given


class DataError(TunebookError):
    """A table, array or split that cannot be used."""


class CheckpointError(TunebookError):
    """A checkpoint or model file that is damaged or was not written by tunebook."""


class MissingExtraError(TunebookError):
    """An optional dependency is not installed."""

    @classmethod
    def of(cls, module: str, extra: str, purpose: str) -> MissingExtraError:
        return cls(
            f"{purpose} needs {module}, which is not installed",
            fix=f"pip install 'tunebook[{extra}]'",
            code="ENV-103",
        )


class FailingStudy(TunebookError):
    """The first trials of a session all failed in the same way; the record is kept and the study can be resumed."""

    exit_code = 5


class StoreError(TunebookError):
    """The record cannot be read or written."""

    exit_code = 74


class StudyNotFound(StoreError):
    """No study of that name in this book."""

    exit_code = 2


class StudyBusy(StoreError):
    """Another driver holds the study."""

    exit_code = 4


class StudyMismatch(StoreError):
    """The study was opened before with something that does not go together with what is asked now."""

    exit_code = 6


def public(function: Callable[P, R]) -> Callable[P, R]:
    """A function that people call: a TunebookError raised in it has a traceback that ends at their own line.

    What is wrong is said by its message; where in tunebook that was noticed would only bury it.
    """

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except TunebookError as error:
            error.insides = error.insides or TracebackException.from_exception(error)
            raise error.with_traceback(None) from None

    return called


def nearest(word: str, known: Iterable[str]) -> str:
    """'did you mean X?' for a misspelt word, or the list of what is known.

    >>> nearest("logunifrom", ["uniform", "loguniform"])
    "did you mean 'loguniform'?"
    >>> nearest("xyz", ["a", "b"])
    'one of: a, b'
    """
    names = [str(k) for k in known]
    close = difflib.get_close_matches(word, names, n=1)
    return f"did you mean {close[0]!r}?" if close else "one of: " + ", ".join(names)


def many(n: int, noun: str) -> str:
    """A number of things in words.

    >>> many(1, "trial"), many(1200, "trial")
    ('1 trial', '1,200 trials')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def times(n: int) -> str:
    """How often.

    >>> times(1), times(3)
    ('once', '3 times')
    """
    return "once" if n == 1 else f"{n} times"


def shown(value: object, most: int = 80) -> str:
    """A value as it is shown in an error: its repr in one line, cut to ``most`` characters.

    >>> shown("a" * 100, most=9)
    "'aaaa ..."
    """
    try:
        text = repr(value)
    except Exception as odd:  # noqa: BLE001  (what cannot be shown must not hide what is wrong with it)
        text = f"a {type(value).__name__} whose repr raises {type(odd).__name__}"
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 4] + " ..."
