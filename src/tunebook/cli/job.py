"""What ``tunebook run`` is asked to do: from flags, the environment and a file, to one resolved job.

The keys are the same everywhere. Flags win over TUNEBOOK_... variables, those over the file, that over defaults.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, ValidationError

from tunebook.cli.files import read_data
from tunebook.cli.toml import to_toml
from tunebook.errors import Problem, SettingError, StudyMismatch, nearest
from tunebook.origin import without_password
from tunebook.record import RESOLVED, RUNS
from tunebook.settings import Settings
from tunebook.space import Space

PREFIX = "TUNEBOOK_"
INTERNAL = ("TUNEBOOK_FAULTS", "TUNEBOOK_PLACE")  # not settings: of tests, and of workers
TRIALS = 50
MODEL_STEPS = 27


class Job(BaseModel):
    """A job. ``space`` is plain data for ``Space.from_dict``; ``cwd`` is where relative paths start.

    With a model, ``space`` changes the family's own; with ``space_only`` it is all there is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    objective: StrictStr | None = None
    model: StrictStr | None = None
    data: StrictStr | None = None
    metric: StrictStr | None = None
    direction: StrictStr | None = None
    also: StrictStr | list[StrictStr | dict[str, StrictStr]] | None = None
    limits: StrictStr | list[StrictStr] | dict[str, dict[str, StrictInt | StrictFloat]] | None = None
    steps: StrictInt | None = None
    trials: StrictInt = TRIALS
    time_limit: StrictStr | StrictInt | StrictFloat | None = None
    workers: StrictInt | None = None
    seed: StrictInt = 0
    run_limit: StrictInt | StrictFloat | None = None
    study: StrictStr | None = None
    folder: StrictStr | None = None
    store: StrictStr | None = None
    cwd: StrictStr | None = None
    space_only: StrictBool = False
    space: dict[str, Any] | None = Field(default=None)

    def settings(self, folder: Path, quiet: bool = False, command: str | None = None) -> Settings:
        """The settings of the run in a folder. Raises SettingError."""
        steps = self.steps if self.steps is not None else MODEL_STEPS if self.model else 1
        return Settings(steps, self.trials, self.time_limit, self.workers, self.seed, folder, self.store,
                        self.run_limit, quiet, command=command, resolved=resolved_text(self, folder))  # fmt: skip

    def own_space(self) -> Space | None:
        """The search space, if one is told in full. Raises SpaceError."""
        changes = self.model is not None and not self.space_only
        return None if self.space is None or changes else Space.from_dict(self.space)

    def model_space(self) -> Space | Mapping[str, Any] | None:
        """What ``tune_model`` takes as space: a whole one, or changes of the family's. Raises SpaceError."""
        return self.own_space() or self.space


KEYS = tuple(Job.model_fields)
IN_FILES = ("space", "space_only")  # not in the environment
NUMBERS = ("steps", "trials", "workers", "seed", "run_limit")
FLAGS = {"limits": "--limit"}  # of keys whose flag has another name
INSTEAD = {"study": ("folder",), "folder": ("study",), "objective": ("model", "data"), "model": ("objective",)}


def resolve(flags: Mapping[str, Any], file: Path | None, changes: Sequence[str], space: Path | None) -> Job:
    """One job from all that was told. Raises SettingError with every problem found, and the place of each."""
    given = {k: v for k, v in flags.items() if v is not None}
    if space is not None:
        given["space"] = read_space(space)
    told: dict[str, Any] = {}
    places: dict[str, str] = {}
    for source, place in (
        (read_data(file, "job file") if file else {}, lambda k: f"{file}: {k}"),
        (environment(os.environ), lambda k: PREFIX + k.upper()),
        (given, lambda k: FLAGS.get(k, "--" + k.replace("_", "-"))),
    ):
        for k in source:
            told = {name: v for name, v in told.items() if name not in INSTEAD.get(k, ()) or name in source}
        told |= source
        places |= {k: place(k) for k in source}
    for change in changes:
        name = _set(told, change, given)
        places[name] = f"--set {name}"
    return checked(told, places)


def checked(told: Mapping[str, Any], places: Mapping[str, str]) -> Job:
    """The job that plain data tells. Raises SettingError; ``places`` says where each key was told."""
    try:
        job = Job(**told)
    except ValidationError as bad:
        first: dict[object, Mapping[str, Any]] = {}
        for error in bad.errors(include_url=False):  # a key of several types has an error for each
            first.setdefault(error["loc"][0], error)
        raise SettingError([_problem(e, places) for e in first.values()]) from None
    if job.objective is None and job.model is None:
        raise SettingError(
            "there is nothing to tune",
            where="tunebook run",
            expected="an objective, or a model and data",
            fix="tunebook run FILE.py:FUNCTION --space space.toml --metric loss, or --model cnn --data sklearn:digits",
            code="CONFIG-048",
        )
    problems = [*_missing(job), *_conflicts(job)]
    if problems:
        raise SettingError(problems)
    return job


def _missing(job: Job) -> list[Problem]:
    if job.objective is not None:
        wanted = {"metric": "--metric loss: the name that your objective reports",
                  "space": "--space space.toml, or a [space] table in the file"}  # fmt: skip
    else:
        wanted = {"data": "--data sklearn:digits, or --data 'csv:FILE?target=COLUMN'"}
    return [Problem(f"no {k} is given", k, fix=fix, code="CONFIG-048")
            for k, fix in wanted.items() if getattr(job, k) is None]  # fmt: skip


def _conflicts(job: Job) -> list[Problem]:
    pairs = (("objective", "model"), ("study", "folder"))
    return [Problem(f"{a} and {b} exclude each other", f"{a}, {b}", fix="give one of the two", code="CONFIG-059")
            for a, b in pairs if getattr(job, a) is not None and getattr(job, b) is not None]  # fmt: skip


def _problem(error: Mapping[str, Any], places: Mapping[str, str]) -> Problem:
    name = str(error["loc"][0])
    where = places.get(name, name)
    if error["type"] == "extra_forbidden":
        return Problem("unknown key", where, name, nearest(name, KEYS), code="CONFIG-042")
    number = name in ("trials", "steps", "seed", "workers")
    other = {"run_limit": "a number", "space": "a table", "space_only": "true or false",
             "also": 'a list of metrics, or of {metric = "recall", direction = "maximize"}',
             "limits": "a table such as { memory = { most = 500 } }, or a list of texts"}.get(name, "text")  # fmt: skip
    return Problem(f"{name} has the wrong type", where, repr(error["input"]), "a whole number" if number else other,
                   code="CONFIG-044" if number else "CONFIG-043")  # fmt: skip


# sources


def read_space(path: Path) -> dict[str, Any]:
    """The space in a file: the whole file, or its [space] table."""
    told = read_data(path, "space file")
    inner = told.get("space")
    return inner if isinstance(inner, dict) and "type" not in inner else told


def environment(variables: Mapping[str, str]) -> dict[str, Any]:
    """The keys that TUNEBOOK_... variables tell. Raises SettingError for a number that is none."""
    told: dict[str, Any] = {}
    for name, text in variables.items():
        key = name.removeprefix(PREFIX).lower()
        if name.startswith(PREFIX) and key in KEYS and key not in IN_FILES:
            told[key] = _number(text, name) if key in NUMBERS else text
    return told


def unknown_variables(variables: Mapping[str, str]) -> list[str]:
    """A sentence for each TUNEBOOK_... variable that means nothing."""
    known = [PREFIX + k.upper() for k in KEYS if k not in IN_FILES]
    odd = [n for n in variables if n.startswith(PREFIX) and n not in known and n not in INTERNAL]
    return [f"{name} is not a setting: {nearest(name, known)}" for name in odd]


def _number(text: str, where: str) -> int | float:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    raise SettingError("this is not a number", where=where, got=repr(text), expected="for example 4", code="ENV-101")


def _set(told: dict[str, Any], change: str, given: Mapping[str, Any]) -> str:
    """Apply ``key=value`` with a dotted key; returns the first part of the key. Raises SettingError."""
    name, equals, text = change.partition("=")
    parts = _parts(name.strip())
    if not equals or not all(parts):
        raise SettingError("this sets nothing", where="--set", got=change, expected="key=value",
                           fix="""--set trials=60, --set space.lr.high=0.5, --set 'space."optimizer.adam.lr"=0.01'""",
                           code="CONFIG-042")  # fmt: skip
    if parts[0] in given:
        raise SettingError(f"{parts[0]} is told twice", where=f"--set {change}", got=f"--{parts[0]} too",
                           fix="give one of the two", code="CONFIG-059")  # fmt: skip
    table = told
    for part in parts[:-1]:
        inner = table.get(part, {})
        if not isinstance(inner, Mapping):
            raise SettingError("this key has nothing below it", where=f"--set {name}", got=f"{part} = {inner!r}",
                               code="CONFIG-042")  # fmt: skip
        table[part] = dict(inner)
        table = table[part]
    table[parts[-1]] = _plain(text.strip())
    return parts[0]


def _parts(name: str) -> list[str]:
    """The parts of a dotted key, as in TOML: what stands in quotes is one. [""] for what is no key."""
    try:
        table: Any = tomllib.loads(f"{name} = true")
    except tomllib.TOMLDecodeError:
        return name.split(".") if '"' not in name else [""]
    parts: list[str] = []
    while isinstance(table, dict):
        parts, table = [*parts, next(iter(table), "")], next(iter(table.values()), None)
    return parts


def _plain(text: str) -> Any:
    """A value as TOML reads it; what it cannot read is text."""
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


# the study's folder


def folder_of(job: Job, name: str) -> Path:
    """Where the study goes: as told, or tunebook-runs/NAME. Raises SettingError for a name that is a path."""
    if job.folder is not None:
        return Path(job.folder)
    told = job.study if job.study is not None else name
    if not told.strip(".") or told != Path(told).name or not told.isprintable() or len(told) > 200:
        raise SettingError("this is not a study's name", where="--study", got=repr(told)[:80],
                           expected="a short name without slashes", fix="--folder PATH for another place",
                           code="CONFIG-043")  # fmt: skip
    return Path(RUNS) / told


def resolved_text(job: Job, folder: Path) -> str:
    """The job as its folder keeps it. ``cwd`` is relative where the folder lies inside, so that both can be moved."""
    cwd, place = Path.cwd(), folder.absolute()
    inside = place.is_relative_to(cwd)
    told = job.model_dump() | {"cwd": os.path.relpath(cwd, place) if inside else str(cwd), "folder": str(folder)}
    told |= {"study": None, "store": job.store and without_password(job.store)}
    return "# written by tunebook run; tunebook resume reads it\n" + to_toml(told)


def same_task(job: Job, folder: Path) -> None:
    """Raise StudyMismatch when the folder holds a study of something else."""
    if not (folder / RESOLVED).exists():
        return
    before = read_resolved(folder)
    found = [Problem(f"the study has another {key}", f"{folder}: {key}", str(getattr(job, key)),
                     str(getattr(before, key)), "--study NAME for a new study", "STORE-079")
             for key in ("objective", "model", "data") if getattr(job, key) != getattr(before, key)]  # fmt: skip
    if found:
        raise StudyMismatch(found)


def read_resolved(folder: Path) -> Job:
    """The job of a folder, for its working directory. Raises SettingError."""
    path = folder / RESOLVED
    told = read_data(path, "job file")
    cwd = (path.parent / told.get("cwd", ".")).resolve()
    if "model" in told and "space" in told:
        told.setdefault("space_only", True)  # what a study from before this key was started with
    return checked({**told, "cwd": str(cwd), "folder": str(folder.absolute())}, {k: f"{path}: {k}" for k in told})
