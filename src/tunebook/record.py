"""Where a study's record lies, and what is noted in it beside the trials. Reading claims nothing and runs nothing."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from tunebook.outcomes import best_single, front, once
from tunebook.playbook.confirm import searched
from tunebook.stores.base import ALONE, Holder
from tunebook.stores.drivers import driver_of
from tunebook.stores.sql import SqlStore
from tunebook.trial import Goal, Trial, Trials

RUNS = "tunebook-runs"
BOOK = "book.db"
RESOLVED = "config.resolved.toml"
STUDY = ALONE
_REAL = 1e9  # seconds since the epoch: before that a clock is a virtual one
JOB, PLAN, RESULT, TEST, CAPACITY = "job", "plan", "result", "test", "capacity"  # the topics of notes
AUGMENTED, PROBES = "augmented", "probes"


def store_of(folder: Path | str, url: str | None = None) -> SqlStore:
    """The record of the study in a folder: SQLite there, or the database at ``url``, under the folder's name."""
    if url is None:
        return SqlStore(f"sqlite:///{Path(folder) / BOOK}", STUDY)
    return SqlStore(url, Path(folder).name)


@dataclass(frozen=True)
class Record:
    """A study as its log tells it, and who is at work on it."""

    folder: Path
    trials: Trials
    driver: Holder | None = None

    @property
    def name(self) -> str:
        """What the study is called: its folder."""
        return self.folder.absolute().name

    @property
    def goal(self) -> Goal | None:
        """What is optimised; None before the first round was opened."""
        plan = self.trials.notes.get(PLAN)
        if plan is not None:
            return Goal.from_dict(plan["goal"])
        return next((opened.goal for opened in reversed(self.trials.opened.values())), None)

    @property
    def finished(self) -> bool:
        """Whether the study came to its end, and nothing was added since."""
        told = self.trials.notes.get(RESULT)
        closed = all(name in self.trials.closed for name in self.trials.opened)
        return told is not None and told["trials"] == len(self.trials) and closed

    @property
    def best(self) -> Trial | None:
        """The trial with the best single value; None without one. It may have been lucky.

        With several goals that is the value of the first one.
        """
        goal = self.goal
        return None if goal is None else best_single(self.trials.values(), goal)

    @property
    def front(self) -> list[Trial]:
        """The trials that no other beats in all of the goals, within the limits: those that searched, a configuration
        once."""
        goal = self.goal
        told = self.trials.values() if self.asked else searched(self.trials.values())
        return [] if goal is None else once(front(told, goal))

    @property
    def asked(self) -> bool:
        """Whether its owner asks for trials in a loop of their own: then no playbook ends it."""
        return bool(self.trials.opened) and PLAN not in self.trials.notes

    @property
    def active(self) -> float | None:
        """When something last began or ended, in seconds since the epoch; None where time was simulated."""
        at = self.trials.clock
        return at if at is not None and at > _REAL else None

    @property
    def status(self) -> str:
        """running, finished, open (its owner asks for trials), or unfinished (nobody is at work on it)."""
        over = "finished" if self.finished else "open" if self.asked else "unfinished"
        return over if self.driver is None else "running"

    @property
    def go_on(self) -> str:
        """What to do to take the study up."""
        return f"run your own loop again: open_study(..., folder={str(self.folder)!r})" if self.asked else (
            resume_command(self.folder)
        )


def read_record(folder: Path | str, url: str | None = None) -> Record:
    """The record of the study in a folder, which a driver may be writing. Raises StoreError, StudyNotFound."""
    store = store_of(folder, url)
    driver = driver_of(store)  # before the log: a study that has just ended is then not told as one that was abandoned
    return Record(Path(folder), store.trials(), driver)


def resume_command(folder: Path) -> str:
    """What to type, here, to take up the study in a folder."""
    usual = folder.absolute().parent == Path(RUNS).absolute()
    return "tunebook resume " + shlex.quote(folder.name if usual else str(folder))
