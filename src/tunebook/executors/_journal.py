"""What a run measured, kept in its folder until no attempt needs it any more.

An objective goes on when its measurement was handed over, and may then save a checkpoint. The driver can be killed
before it has written that measurement to the record; the next attempt starts from the checkpoint, behind it. So a
measurement is appended to ``measured.jsonl`` first, and the next attempt hands over again what is there. What the
driver has already, it passes over. When a worker dies, the driver itself looks here for what it did not hear any more.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tunebook.executors._common import Meter
from tunebook.executors.base import OWN_FILES
from tunebook.objective import Run, failure_of
from tunebook.trial import Ended, Event, Measured, Measurement, Status

NAME = OWN_FILES[1]


def journalled(events: Iterator[Event], run: Run) -> Iterator[Event]:
    """The events of a run, after the measurements of its earlier attempts; each measurement is kept before it is given.

    Seconds that the objective left out are filled in. A journal that cannot be written ends the run FAILED.
    """
    try:
        known, journal = _opened(run)
    except OSError as error:
        yield Ended(run.trial, run.attempt, Status.FAILED, failure_of(error))
        return
    try:
        last = 0
        for m in known:
            last = m.step
            yield Measured(run.trial, run.attempt, m)
        meter = Meter()
        for event in events:
            if isinstance(event, Measured):
                if event.measurement.step > last:
                    told = meter.timed(event)
                    try:
                        os.write(journal, _line(told.measurement))
                    except OSError as error:
                        yield Ended(run.trial, run.attempt, Status.FAILED, failure_of(error))
                        return
                    yield told
                meter.go_on()
            elif last >= run.until and isinstance(event, Ended) and event.failure and not event.failure.traceback:
                # the checkpoint was at the last step already, so that there was nothing left to measure
                yield replace(event, status=Status.COMPLETED, failure=None)
            else:
                yield event
    finally:
        os.close(journal)


def _opened(run: Run) -> tuple[list[Measurement], int]:
    """What earlier attempts measured, and the file to append to. Raises OSError."""
    run.folder.mkdir(parents=True, exist_ok=True)
    known = journal_of(run) if run.attempt > 1 else []
    start = os.O_APPEND if known else os.O_TRUNC
    return known, os.open(run.folder / NAME, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | start, 0o644)


def journal_of(run: Run) -> list[Measurement]:
    """What the attempts at a run have measured, up to its last step; none without a journal. Raises OSError."""
    path = run.folder / NAME
    return [m for m in _read(path) if m.step <= run.until] if path.exists() else []


def _line(m: Measurement) -> bytes:
    return json.dumps([m.step, dict(m.metrics), m.seconds, m.memory]).encode() + b"\n"


def _read(path: Path) -> list[Measurement]:
    """The measurements of whole lines, by step. A line that was cut by a full disk is passed over."""
    found: dict[int, Measurement] = {}
    for line in path.read_bytes().splitlines():
        try:
            step, metrics, seconds, memory = json.loads(line)
        except ValueError:
            continue
        found[step] = Measurement(step, metrics, seconds, memory)
    return [found[step] for step in sorted(found)]
