"""Progress keeps count event by event, shows what is there, and ends with its stream."""

import io
import math
import os
import pty
import re
import sys

import pytest

from tunebook.executors.simulated import SimulatedExecutor
from tunebook.jobs import search_of
from tunebook.playbook import Round
from tunebook.progress import Counts, Progress, duration, plain
from tunebook.record import JOB
from tunebook.space import Choice, Float, Space
from tunebook.stores.memory import MemoryStore
from tunebook.study import Study
from tunebook.trial import (
    Created,
    Ended,
    Failure,
    FailureKind,
    Goal,
    Launched,
    Measured,
    Measurement,
    Opened,
    Status,
    Trials,
    apply,
)

GOAL = Goal("accuracy", "maximize")
SPACE = Space(x=Float(0.0, 1.0), name=Choice(["a", "b"]))


def objective(run):
    if run.trial % 5 == 4:
        raise ValueError("every fifth fails")
    for step in range(1, run.until + 1):
        yield Measurement(step, {"accuracy": run.config["x"] * (1 - 1 / (step + 1))})


def studied(tmp_path, listener, store=None, trials=20):
    round = Round("explore", "What is good?", SPACE, GOAL, 9, trials, "quasi", "halving")
    with Study(store or MemoryStore(), tmp_path, SimulatedExecutor(objective, 3), listener=listener) as study:
        return study.run(search_of(round, 0), trials)


def counted(trials):
    """What Counts should say, by looking at everything."""
    told = [(t.value(GOAL), t.number) for t in trials.values() if not math.isnan(t.value(GOAL))]
    return {
        "created": len(trials),
        "failed": sum(t.status is Status.FAILED for t in trials.values()),
        "best": max(told)[0] if told else math.nan,
        "running": {t.number for t in trials.with_status(Status.RUNNING)},
    }


def test_the_counts_are_those_of_the_whole_record_at_every_moment(tmp_path):
    counts, moments = Counts(), []

    def listen(events, trials):
        counts.take_in(events, trials)
        wanted = counted(trials)
        assert set(counts.running) == wanted["running"]
        assert (counts.created, counts.failed) == (wanted["created"], wanted["failed"])
        assert counts.best == wanted["best"] or (math.isnan(counts.best) and math.isnan(wanted["best"]))
        moments.append(1)

    studied(tmp_path, listen)
    assert len(moments) > 20


def test_a_second_session_goes_on_from_the_first(tmp_path):
    store = MemoryStore()
    studied(tmp_path, None, store, trials=10)
    progress = Progress(20, io.StringIO())
    trials = studied(tmp_path, progress, store, trials=20)
    wanted = counted(trials)
    assert (progress.counts.failed, progress.counts.best) == (wanted["failed"], wanted["best"])


class Once(Trials):
    """Counts how often somebody goes through all trials."""

    walks = 0

    def __iter__(self):
        self.walks += 1
        return super().__iter__()


def test_an_event_costs_the_same_however_many_trials_there_are():
    trials, progress = Once(), Progress(1000, io.StringIO())
    for number in range(200):
        batch = [
            *([Opened("r", SPACE.as_dict(), GOAL)] if number == 0 else []),
            Created(number, "r", {"x": 0.5, "name": "a"}),
            Launched(number, 1, 1),
            Measured(number, 1, Measurement(1, {"accuracy": 0.5})),
            Ended(number, 1, Status.COMPLETED),
        ]
        apply(trials, batch)
        progress(batch, trials)
    assert trials.walks == 1
    assert progress.counts.created == 200


def test_lines_where_there_is_no_terminal(tmp_path):
    stream = io.StringIO()
    with Progress(20, stream) as progress:
        trials = studied(tmp_path, progress)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "round explore: What is good?"
    assert lines[-1] == f"round explore is over: {len(trials)} trials"
    assert any(re.match(r"\[\d+/20 trials\] trial \d+ went on, ", line) for line in lines)
    assert not any(" running at" in line for line in lines), "a trial's line tells of its end, not of what came after"
    failed = [line for line in lines if "failed" in line]
    assert len(failed) == sum(t.status is Status.FAILED for t in trials.values())
    assert all("user_error: ValueError: every fifth fails" in line for line in failed)
    assert f"best {max(t.value(GOAL) for t in trials.values() if t.curve):.5g}" in lines[-2]


def test_a_stream_that_goes_away_does_not_end_the_study(tmp_path):
    stream = io.StringIO()
    progress = Progress(20, stream)
    stream.close()
    assert len(studied(tmp_path, progress)) == 20


@pytest.fixture
def terminal(monkeypatch):
    """The two ends of a terminal: what is written to the first is read from the second."""
    for name in ("CI", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    reader, writer = pty.openpty()
    with os.fdopen(writer, "w") as stream:
        yield stream, reader
    os.close(reader)


def shown(reader):
    os.set_blocking(reader, False)
    told = b""
    while True:
        try:
            told += os.read(reader, 65536)
        except BlockingIOError:
            return told.decode()


def live(progress):
    """The display as it is now, without its colours."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=100)
    console.print(progress)
    return console.file.getvalue()


def test_a_terminal_gets_a_display_that_is_taken_away_at_the_end(tmp_path, terminal):
    stream, reader = terminal
    displays = []
    with Progress(20, stream) as progress:

        def listen(events, trials):
            progress(events, trials)
            displays.append(live(progress))

        studied(tmp_path, listen)
    text = shown(reader)
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1, "the cursor is hidden, and shown again"
    assert any("explore" in d and "/20 trials" in d and "Ctrl-C" in d and "vs best" in d for d in displays)
    assert "failed" in displays[-1] and "20/20 trials" in displays[-1]


@pytest.mark.parametrize("variable", [("TERM", "dumb"), ("CI", "true")])
def test_some_terminals_get_lines(tmp_path, terminal, monkeypatch, variable):
    monkeypatch.setenv(*variable)
    stream, reader = terminal
    with Progress(20, stream) as progress:
        studied(tmp_path, progress)
    text = shown(reader)
    assert "\x1b" not in text and "round explore is over" in text


@pytest.mark.parametrize(("variable", "colours"), [(None, True), ("NO_COLOR", False)])
def test_colours(tmp_path, terminal, monkeypatch, variable, colours):
    if variable:
        monkeypatch.setenv(variable, "1")
    stream, reader = terminal
    with Progress(5, stream) as progress:
        studied(tmp_path, progress, trials=5)
    text = shown(reader)
    assert bool(re.search(r"\x1b\[[\d;]*(3\d|9\d)m", text)) == colours and "/5 trials" in text


def test_an_exception_leaves_the_terminal_as_it_was(terminal):
    stream, reader = terminal
    with pytest.raises(KeyboardInterrupt), Progress(5, stream):
        raise KeyboardInterrupt
    text = shown(reader)
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1


def test_hostile_names_are_written_out():
    stream = io.StringIO()
    progress = Progress(3, stream)
    goal = Goal("[red]m\x1b[2J")
    trials = Trials()
    batch = [
        Opened("r\x07\n", SPACE.as_dict(), goal, about={"question": "\x1b]0;x\x07?"}),
        Created(0, "r\x07\n", {"[bold]x": "\x1b[2J" * 20, "y": 1.0}),
        Launched(0, 1, 3),
        Measured(0, 1, Measurement(1, {goal.metric: 0.5})),
    ]
    progress(batch, apply(trials, batch))
    display = live(progress)
    batch = [Ended(0, 1, Status.FAILED, Failure(FailureKind.USER_ERROR, "ValueError: \x1b[31m\nmore"))]
    progress(batch, apply(trials, batch))
    for text in (display, stream.getvalue()):
        assert not {c for c in text if not c.isprintable()} - {"\n"}
    assert "[red]m" in display and "[bold]x" in display
    assert "more" not in stream.getvalue()


def test_words():
    assert plain("a" * 300, 10) == "aaaaaaaaa…"
    assert (duration(59.9), duration(3600), duration(0)) == ("0:59", "1:00:00", "0:00")
    assert sys.stderr is Progress(1).stream


def test_what_was_seen_in_the_data_is_said_once(tmp_path):
    out = io.StringIO()
    executor = SimulatedExecutor(objective, 3)
    with Progress(20, out) as shown, Study(MemoryStore(), tmp_path, executor, listener=shown) as study:
        study.note(JOB, {"data": "csv:t.csv", "notes": ["column 'a' is empty: left out", "1 row\x1b without a target"]})
        study.note("plan", {"notes": ["not of the data"]})
    assert out.getvalue().splitlines() == ["data: column 'a' is empty: left out", "data: 1 row\\x1b without a target"]
