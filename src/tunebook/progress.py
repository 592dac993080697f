"""What a terminal shows while a study runs: a live table, or a line for each trial that ended.

    with Progress(trials=40) as progress:
        Study(..., listener=progress)

It is told of events and keeps count, so that an event costs the same in a study of ten trials and of ten thousand.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tunebook.errors import many
from tunebook.outcomes import amount, broken
from tunebook.record import JOB
from tunebook.space import Config, Value
from tunebook.study import GRACE_SECONDS
from tunebook.trial import (
    Closed,
    Ended,
    Event,
    Goal,
    Launched,
    Measured,
    Noted,
    Opened,
    Status,
    Trial,
    Trials,
    is_whole,
)

REFRESHES = 4  # a second
MOST_ROWS = 16
MOST_PARAMETERS = 4
LONGEST = 24
HINT = "Ctrl-C: stop after the next step; the study can be resumed"


def plain(text: object, longest: int = 200) -> str:
    """Text in one line that cannot move a cursor: what is not printable is written as its escape.

    >>> plain("a\\x1b[2J\\n")
    'a\\\\x1b[2J\\\\n'
    """
    told = str(text)
    if not told.isprintable():
        told = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in told)
    return told if len(told) <= longest else told[: longest - 1] + "…"


def shown(value: Value) -> str:
    """A value of a hyperparameter, short."""
    return f"{value:.4g}" if isinstance(value, float) else plain(value, LONGEST)


def stopping(runs: int) -> str:
    """What a study waits for when it was asked to stop."""
    told = f": waiting for {many(runs, 'run')} to end a step and save ({GRACE_SECONDS:g} s at most)" if runs else ""
    return f"stopping{told}; Ctrl-C again leaves at once"


def say_at_once(text: str, stream: TextIO) -> None:
    """A line from a signal handler: past the stream's buffer, which the code that was interrupted may be filling."""
    try:
        os.write(stream.fileno(), f"{text}\n".encode())
    except (OSError, ValueError):  # the stream has no file, or nobody listens: there is nobody to tell
        return


def duration(seconds: float) -> str:
    """Seconds as people read them.

    >>> duration(3725), duration(65), duration(5)
    ('1:02:05', '1:05', '0:05')
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@dataclass
class Counts:
    """What is known of a study, kept up to date event by event."""

    goal: Goal | None = None
    created: int = 0
    failed: int = 0
    best: float = math.nan
    best_trial: int | None = None
    running: dict[int, Trial] = field(default_factory=dict)
    latest: dict[int, float] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """Trials that are not running."""
        return max(0, self.created - len(self.running))

    def begin(self, trials: Trials) -> None:
        """Count what an earlier session left."""
        opened = list(trials.opened.values())
        self.goal = opened[-1].goal if opened else self.goal
        for trial in trials.values():
            self.failed += trial.status is Status.FAILED
            if self.goal is not None and self._counts(trial):
                self._better(trial.number, trial.value(self.goal))

    def take_in(self, events: Sequence[Event], trials: Trials) -> None:
        """Fold a batch."""
        self.created = len(trials)
        for event in events:
            if isinstance(event, Opened):
                self.goal = event.goal
            elif isinstance(event, Launched):
                self.running[event.number] = trials[event.number]
            elif isinstance(event, Measured):
                self._measured(event, trials)
            elif isinstance(event, Ended):
                self.running.pop(event.number, None)
                self.failed += event.status is Status.FAILED

    def _measured(self, event: Measured, trials: Trials) -> None:
        trial = trials[event.number]
        if event.number in self.running:
            self.running[event.number] = trial
        if self.goal is not None and self._counts(trial):
            self._better(event.number, event.measurement.metrics.get(self.goal.metric, math.nan))

    def _counts(self, trial: Trial) -> bool:
        """Whether a trial can be the best: it searched, and keeps the limits so far."""
        goal = self.goal
        sound = goal is not None and not trial.context.final and is_whole(trial, goal)
        return sound and goal is not None and not (goal.limits and max(trial.excess(goal)) > 0)

    def _better(self, number: int, value: float) -> None:
        if self.goal is None or not math.isfinite(value):
            return
        if math.isnan(self.best) or self.goal.better(value, self.best):
            self.best, self.best_trial = value, number

    def latest_of(self, trial: Trial) -> float:
        """The metric that a trial measured last; NaN before it did."""
        return trial.curve[-1].metrics.get(self.goal.metric, math.nan) if self.goal and trial.curve else math.nan

    def against_best(self, value: float) -> str:
        """How far a value is from the best so far, as a signed difference."""
        return f"{value - self.best:+.4g}" if math.isfinite(value) and math.isfinite(self.best) else ""


class Progress:
    """Shows a study on a terminal (``stream``, by default stderr) as its listener.

    Live where the stream is a terminal; elsewhere, under CI and with TERM=dumb a line for each trial that ended. Obeys
    NO_COLOR, FORCE_COLOR and COLUMNS. A stream that goes away (a closed terminal, a broken pipe) ends the showing, not
    the study. ``trials`` is the budget, for the bar.
    """

    def __init__(self, trials: int, stream: TextIO | None = None) -> None:
        self.budget, self.stream = trials, sys.stderr if stream is None else stream
        self.counts = Counts()
        self._begun = time.monotonic()
        self._seen = False
        self._live: Live | None = None
        self._lost = False
        self._stopping = ""

    def __enter__(self) -> Self:
        if _interactive(self.stream):
            console = Console(file=self.stream)
            self._live = Live(self, console=console, refresh_per_second=REFRESHES, transient=True,
                              redirect_stdout=sys.stdout.isatty(), redirect_stderr=True)  # fmt: skip
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        live, self._live = self._live, None
        if live is not None:
            try:
                live.stop()
            except (OSError, ValueError):
                self._lost = True

    def __call__(self, events: Sequence[Event], trials: Trials) -> None:
        """Take a batch of events in: the listener of ``Study``."""
        if not self._seen:
            self.counts.begin(trials)
            self._seen = True
        self.counts.take_in(events, trials)
        for event in events:
            if isinstance(event, Noted) and event.topic == JOB:
                for line in event.about.get("notes", ()):
                    self.say(f"data: {plain(line)}")
        if self._live is None:
            self._tell([line for e in events if (line := self._line(e, trials))])

    def say(self, line: str) -> None:
        """A remark before or between the trials."""
        if self._live is None:
            self._tell([line])
        else:
            self._live.console.print(Text(line))

    def stopping(self, runs: int) -> None:
        """The study was asked to stop, and waits for so many runs. May be called by a signal handler."""
        self._stopping = stopping(runs)
        if self._live is None:
            say_at_once(self._stopping, self.stream)

    # lines

    def _tell(self, lines: Sequence[str]) -> None:
        if not lines or self._lost:
            return
        try:
            self.stream.write("".join(f"{line}\n" for line in lines))
            self.stream.flush()
        except (OSError, ValueError):  # whoever read this is gone; the study goes on
            self._lost = True

    def _line(self, event: Event, trials: Trials) -> str:
        if isinstance(event, Opened):
            return f"round {plain(event.round)}: {plain(event.about.get('question', 'begins'))}"
        if isinstance(event, Closed):
            return f"round {plain(event.round)} is over: {many(trials.count(event.round), 'trial')}"
        if isinstance(event, Ended) and event.number in trials:
            return self._of_trial(event, trials[event.number])
        return ""

    def _of_trial(self, ended: Ended, trial: Trial) -> str:
        goal = self.counts.goal
        again = "went on, " if ended.attempt > 1 else ""
        counted = f"[{self.counts.done}/{self.budget} trials]"
        told = [f"{counted} trial {trial.number} {again}{ended.status} at step {trial.step}"]
        if ended.failure is not None:
            told.append(f"{ended.failure.kind}: {plain(ended.failure.line)}")
        elif goal is not None and (scored := trial.scored(goal)) is not None:
            at = "" if scored.step == trial.step else f" at step {scored.step}"
            told.append(f"{plain(goal.metric)} {scored.metrics[goal.metric]:.5g}{at}")
            values = trial.values(goal)
            told += [f"{plain(name)} {amount(value)}" for name, value in values.items() if name != goal.metric]
            told += [f"beyond {plain(over)}" for over in broken(values, goal.limits)]
            told += [f"best {self.counts.best:.5g}"] if math.isfinite(self.counts.best) else []
        return "; ".join(told)

    # live

    def __rich__(self) -> Group:
        """The table, the bar and the footer as they are now."""
        return Group(self._table(), self._bar(), self._footer())

    def _table(self) -> Table:
        running = list(self.counts.running.values())
        names = _varying([t.config for t in running])
        metric = plain(self.counts.goal.metric, LONGEST) if self.counts.goal else "metric"
        table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
        for head in ("trial", "round", "step", metric, "vs best"):
            table.add_column(Text(head), justify="left" if head == "round" else "right", no_wrap=True)
        for name in names:
            table.add_column(Text(plain(name, LONGEST)), justify="right", no_wrap=True)
        for t in running[:MOST_ROWS]:
            value = self.counts.latest_of(t)
            cells = (str(t.number), plain(t.round, LONGEST), f"{t.step}/{t.until}",
                     "" if math.isnan(value) else f"{value:.5g}", self.counts.against_best(value),
                     *(shown(t.config[n]) if n in t.config else "" for n in names))  # fmt: skip
            table.add_row(*map(Text, cells))
        if len(running) > MOST_ROWS:
            table.add_row(Text("…"), Text(f"{len(running) - MOST_ROWS} more"))
        return table

    def _bar(self) -> Table:
        done = self.counts.done
        grid = Table.grid(padding=(0, 1))
        grid.add_row(ProgressBar(total=self.budget, completed=min(done, self.budget), width=40),
                     Text(f"{done}/{self.budget} trials"))  # fmt: skip
        return grid

    def _footer(self) -> Text:
        if self._stopping:
            return Text(self._stopping, style="bold")
        counts = self.counts
        told = []
        if counts.goal is not None and counts.best_trial is not None:
            told.append(f"best {plain(counts.goal.metric, LONGEST)} {counts.best:.5g} (trial {counts.best_trial})")
        if counts.failed:
            told.append(f"{counts.failed} failed")
        told.append(duration(time.monotonic() - self._begun))
        return Text(" · ".join([*told, HINT]), style="dim")


def _varying(configs: Sequence[Mapping[str, Value] | Config]) -> list[str]:
    """Names to show: those in which configurations differ first."""
    names = list(dict.fromkeys(n for c in configs for n in c))
    differing = [n for n in names if len({str(c.get(n)) for c in configs}) > 1]
    return [*differing, *(n for n in names if n not in differing)][:MOST_PARAMETERS]


def _interactive(stream: TextIO) -> bool:
    """Whether a live display has a place there: a terminal that can move its cursor, with a person before it."""
    dumb = os.environ.get("TERM", "").lower() in ("dumb", "unknown")
    return stream.isatty() and not dumb and not os.environ.get("CI")
