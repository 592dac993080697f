"""``tunebook run`` and ``tunebook resume``."""

from __future__ import annotations

import math
import os
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from types import FrameType
from typing import Any

from tunebook.cli.answer import answer_of
from tunebook.cli.find import found
from tunebook.cli.goals import goal_of
from tunebook.cli.job import Job, folder_of, read_resolved, same_task, unknown_variables
from tunebook.cli.objectives import objective_named, study_name
from tunebook.cli.words import as_json, clean_lines, say, tell
from tunebook.errors import SettingError, StudyNotFound
from tunebook.jobs import Result, tune, tune_model
from tunebook.outcomes import closest
from tunebook.record import BOOK, JOB, RESOLVED, Record, read_record
from tunebook.space import Space
from tunebook.story import story_of
from tunebook.subject import model_subject
from tunebook.trial import Goal

NO_SUCCESS = 3


@dataclass(frozen=True)
class Ways:
    """How a job is shown."""

    quiet: bool = False
    json: bool = False


def run_job(job: Job, ways: Ways, command: str) -> int:
    """Run a job in its folder, or take it up there; returns the exit code."""
    for odd in unknown_variables(os.environ):
        say(f"note: {odd}")
    folder = folder_of(job, name_of(job))
    settings = job.settings(folder, ways.quiet, command)
    goal, space = goal_of(job), job.own_space()
    objective = None if job.objective is None else objective_named(job.objective)
    same_task(job, folder)
    if (folder / RESOLVED).exists() and not ways.quiet:
        say(f"taking up the study in {folder}")
    options: Any = {f.name: getattr(settings, f.name) for f in fields(settings)}
    if objective is not None:
        assert goal is not None and space is not None  # a job that was checked has them
        result = tune(objective, space, goal, **options)
    else:
        assert job.model is not None and job.data is not None
        result = tune_model(job.model, job.data, goal, job.model_space(), **options)
    tell(as_json(run_told(result)) if ways.json else clean_lines(str(result)))
    if succeeded(result):
        return 0
    say(f"{without(result)}: tunebook show tells what went wrong")
    return NO_SUCCESS


def without(result: Result) -> str:
    """Why there is nothing to use."""
    near = closest(result.trials.values(), result.goal)
    return "no trial succeeded" if near is None else "no trial keeps the limits"


def plan(job: Job, json: bool) -> int:
    """Show what would be done."""
    from tunebook.cli.plan import tell_plan  # noqa: PLC0415  (opens the data of a model, for its space)

    folder = folder_of(job, name_of(job))
    settings = job.settings(folder)
    tell_plan(job, folder, settings, *subject(job), json)
    return 0


def subject(job: Job) -> tuple[Goal, Space]:
    """What would be optimised, and where. Raises TunebookError."""
    goal, space = goal_of(job), job.own_space()
    if job.objective is not None:
        assert goal is not None and space is not None
        objective_named(job.objective)
        return goal, space
    assert job.model is not None and job.data is not None
    return model_subject(job.model, job.data, goal, job.model_space(), job.trials)


def name_of(job: Job) -> str:
    """What the study is called unless it is told: after the file of the objective, or the data."""
    if job.objective is not None:
        return study_name(job.objective)
    told = (job.data or "").partition("?")[0]
    return Path(told.partition(":")[2] or told).stem


def run_told(result: Result) -> dict[str, Any]:
    """What a run gives, as plain JSON."""
    record = Record(result.folder, result.trials)
    told = answer_of(record, story_of(record, result.chapters, result.chapters[-1].conclusion.base))
    return {**told, "trials": len(result.trials), "folder": str(result.folder), "report": str(result.report)}


def succeeded(result: Result) -> bool:
    """Whether any trial has a value, and something was found that keeps the limits."""
    beyond = result.chapters[-1].conclusion.beyond
    return not beyond and any(math.isfinite(t.loss(result.goal)) for t in result.trials.values())


def resume(name: str, changes: dict[str, Any], ways: Ways) -> int:
    """Take a study up: as its resolved file says, or by its recorded command; returns the exit code."""
    folder = found(name)
    if (folder / RESOLVED).exists():
        job = read_resolved(folder)
        if job.cwd is not None:
            os.chdir(job.cwd)
        told = {k: v for k, v in changes.items() if v is not None}
        if told.get("trials", job.trials) < job.trials:
            raise SettingError("a study cannot be resumed with fewer trials", where="--trials", got=str(told["trials"]),
                               expected=f"{job.trials} or more", code="CONFIG-044")  # fmt: skip
        again = shlex.join(["tunebook", "run", "--config", str(folder / RESOLVED)])
        return run_job(job.model_copy(update=told), ways, again)
    if any(v is not None for v in changes.values()):
        command = read_record(folder).trials.notes.get(JOB, {}).get("command", "the script")
        raise SettingError("the command or script that started this study sets its budget", where=str(folder),
                           fix=f"give it more there, and run it again: {command}", code="CONFIG-044")  # fmt: skip
    return _again(folder)


def _again(folder: Path) -> int:
    """Run the command that the record holds once more, in its folder."""
    record = read_record(folder)
    job = record.trials.notes.get(JOB, {})
    if record.asked:
        raise SettingError("its owner asks for this study's trials: there is no command to run again",
                           where=str(folder), fix=record.go_on, code="STORE-079")  # fmt: skip
    if not job.get("argv"):
        raise StudyNotFound("the record does not hold the command that started the study", where=str(folder / BOOK),
                            fix="run the script again: it takes the study up", code="STORE-079")  # fmt: skip
    argv, cwd = [str(word) for word in job["argv"]], str(job["cwd"])
    say(f"cd {shlex.quote(cwd)} && {shlex.join(argv)}")
    try:
        child = subprocess.Popen(argv, cwd=cwd)
    except OSError as error:
        raise SettingError("the recorded command cannot be run", where=str(folder), got=f"{error.strerror}: {argv[0]}",
                           fix="run the script again yourself", code="STORE-079") from error  # fmt: skip

    def hand_on(number: int, frame: FrameType | None) -> None:
        child.send_signal(number)

    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, hand_on)}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the child too
    try:
        code = child.wait()
    finally:
        for number, old in before.items():
            signal.signal(number, old)
    sys.stdout.flush()
    return code if code >= 0 else 128 - code
