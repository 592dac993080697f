"""Composition root: names and settings become objects, and the playbook is played.

    result = tune(train, space, Goal("accuracy", "maximize"), steps=20, trials=40)      # one's own objective
    result = tune_model("cnn", "sklearn:digits", steps=30, trials=60)                   # a model family and data

The same call on the same folder takes a study up where it is: nothing is lost, nothing is run twice.
"""

from __future__ import annotations

import math
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, fields, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Self, TypedDict, Unpack

from tunebook.errors import DataError, SettingError, nearest
from tunebook.executors.base import Executor
from tunebook.executors.local import LocalExecutor
from tunebook.executors.serial import SerialExecutor
from tunebook.objective import Objective
from tunebook.playbook import Base, Baseline, Chapter, Confirm, Exploit, Explore, Finalize, Refine, Round, Stage, play
from tunebook.report import render_html, render_markdown
from tunebook.report.study import Story, TestLook, study_report
from tunebook.samplers import GridSampler, QuasiSampler, RandomSampler, Sampler, TPESampler
from tunebook.schedulers import AshaScheduler, FullScheduler, HalvingScheduler, Scheduler
from tunebook.space import Config, Space
from tunebook.stores.base import Store
from tunebook.stores.sql import SqlStore
from tunebook.study import Listener, Search, Study
from tunebook.trial import Goal, Trials

RUNS = "tunebook-runs"
STUDY = "tune"

SAMPLERS: Mapping[str, type[Sampler]] = {
    "grid": GridSampler,
    "random": RandomSampler,
    "quasi": QuasiSampler,
    "tpe": TPESampler,
    "listed": RandomSampler,  # a round of listed runs never asks it
}
SCHEDULERS: Mapping[str, type[Scheduler]] = {
    "full": FullScheduler,
    "halving": HalvingScheduler,
    "asha": AshaScheduler,
}


class Options(TypedDict, total=False):
    """Keyword settings of ``tune`` and ``tune_model``; see Settings."""

    steps: int
    trials: int
    time_limit: str | float | None
    workers: int | None
    seed: int
    folder: str | Path
    store: str | None
    run_limit: float | None
    listener: Listener | None
    command: str | None


@dataclass(frozen=True)
class Settings:
    """How much, how long, where.

    steps       length of a full training, in the steps that the objective reports (epochs, rounds, ...)
    trials      budget: how many trials may be created in all
    time_limit  budget: seconds, or text such as "90s", "10m", "2h"; whatever ends first
    workers     processes that train at the same time; by default one for each core; 0 runs in this process
    seed        of everything random
    folder      what is written goes here and nowhere else; its last part is the study's name
    store       database URL; by default SQLite in the folder
    run_limit   seconds that one run may take
    """

    steps: int = 1
    trials: int = 50
    time_limit: str | float | None = None
    workers: int | None = None
    seed: int = 0
    folder: str | Path = f"{RUNS}/study"
    store: str | None = None
    run_limit: float | None = None
    listener: Listener | None = field(default=None, compare=False)
    command: str | None = None

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("trials", 1), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise SettingError(f"{name} must be a whole number", where=name, got=repr(value),
                                   expected=f"{least} or more", code="CONFIG-044")  # fmt: skip
        cores = os.cpu_count() or 1
        if self.workers is not None and not 0 <= self.workers <= 16 * cores:
            raise SettingError("an odd number of workers", where="workers", got=repr(self.workers),
                               expected=f"0 to {16 * cores} on {cores} cores", code="CONFIG-057")  # fmt: skip
        seconds(self.time_limit)

    @property
    def seconds(self) -> float:
        """The time budget in seconds; infinite without one."""
        return seconds(self.time_limit)

    @property
    def capacity(self) -> int:
        """Number of workers."""
        return self.workers if self.workers is not None else (os.cpu_count() or 1)


def settings_of(options: Mapping[str, Any]) -> Settings:
    """Settings from keywords. Raises SettingError for an unknown one, with the nearest known name."""
    known = [f.name for f in fields(Settings)]
    for name in options:
        if name not in known:
            raise SettingError("unknown setting", where=name, expected=nearest(name, known), code="CONFIG-042")
    return Settings(**options)


def seconds(text: str | float | None) -> float:
    """A duration in seconds: a number, or text with a unit.

    >>> seconds("1h30m"), seconds("90s"), seconds(5)
    (5400.0, 90.0, 5.0)
    """
    if text is None:
        return math.inf
    told = str(text).strip().lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", told)
    if isinstance(text, str) and re.fullmatch(r"\d+(\.\d+)?", told):
        raise SettingError("a time limit without a unit", where="time_limit", got=told, fix=f"{told}s or {told}m",
                           code="CONFIG-045")  # fmt: skip
    value = float(text) if isinstance(text, int | float) else sum(float(n) * _UNITS[u] for n, u in parts)
    whole = isinstance(text, int | float) or "".join(n + u for n, u in parts) == told.replace(" ", "")
    if not whole or not value > 0:
        raise SettingError("this is not a time limit", where="time_limit", got=repr(text),
                           expected="for example 90s, 10m, 1h30m", code="CONFIG-046")  # fmt: skip
    return value


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}


@dataclass(frozen=True)
class Result:
    """What a finished study hands over.

    ``config`` is the configuration to use: the confirmed winner if ``adopted``, else the baseline. ``model`` is the
    folder of the trained model (of ``tune_model``), ``test`` what the one look at the test part gave.
    """

    config: Config
    baseline: Config
    adopted: bool
    goal: Goal
    trials: Trials
    chapters: Sequence[Chapter]
    folder: Path
    report: Path
    model: Path | None = None
    test: TestLook | None = None

    def __str__(self) -> str:
        """What a person wants to read first."""
        says = [self.chapters[-1].conclusion.stop] if self.chapters[-1].conclusion.stop else []
        confirmed = [c.conclusion.says for c in self.chapters if c.stage == "confirm"]
        says += confirmed[-1] if confirmed else ["Nothing was confirmed: the budget was too small."]
        lines = [*says, "", *(f"  {k} = {v!r}" for k, v in self.config.items()), ""]
        if self.test is not None:
            lines += [f"test {n}: {v:.4g} (95 % interval {low:.4g} to {high:.4g})"
                      for n, (v, low, high) in self.test.metrics.items()]  # fmt: skip
        lines += [f"report: {self.report}"] + ([f"model:  {self.model}"] if self.model else [])
        return "\n".join(lines)


def tune(objective: Objective, space: Space, goal: Goal, **options: Unpack[Options]) -> Result:
    """Play the playbook on one's own objective; returns the confirmed configuration and the report.

    Raises TunebookError for settings and spaces that cannot be, StudyBusy when another process drives the study,
    FailingStudy when the first trials all fail alike. An interrupted study exits with code 130; call again to resume.
    """
    settings = settings_of(options)
    stages: list[Stage] = [Baseline(), Explore(), Refine(), Exploit(), Confirm()]
    base = Base(space, space.default, goal, settings.steps, settings.trials, settings.seed, settings.seconds,
                max(1, settings.capacity), final=False)  # fmt: skip
    with _opened(objective, settings) as (study, note):
        note({"objective": _name(objective)})
        told = _play(study, stages, base)
        return _finish(told, study, settings, goal)


def tune_model(
    model: str, data: str, goal: Goal | None = None, space: Space | None = None, **options: Unpack[Options]
) -> Result:
    """Play the playbook on a model family ("mlp", "cnn") and a data set ("sklearn:digits", "csv:FILE?target=COLUMN").

    Ends with a model trained on training and validation part, one look at the test part, and the report. ``goal`` is
    accuracy for classes and rmse for numbers unless given. Raises as ``tune`` does, and DataError.
    """
    from tunebook.data import DataRef, LockedTest, Split, open_dataset  # noqa: PLC0415  (keeps `import tunebook` light)
    from tunebook.learners import learner_named  # noqa: PLC0415
    from tunebook.metrics import METRICS, chance_level  # noqa: PLC0415

    settings = settings_of(options)
    reference = DataRef.parse(data).pinned()
    dataset = open_dataset(reference)
    classes = dataset.task == "classification"
    goal = goal or (Goal("accuracy", "maximize") if classes else Goal("rmse", "minimize"))  # type: ignore[arg-type]
    learner = learner_named(model)
    split = Split(seed=settings.seed)
    parts = split.parts(dataset)
    space = space or learner.space(dataset)
    objective = learner.objective(str(reference), split, goal, settings.steps)
    known = goal.metric in METRICS
    learned_from, scored = dataset.targets[parts.train], dataset.targets[parts.valid]
    chance = chance_level(scored, dataset.task, goal.metric, learned_from) if known else None
    base = Base(space, space.default, goal, settings.steps, settings.trials, settings.seed, settings.seconds,
                max(1, settings.capacity), chance=chance)  # fmt: skip
    stages: list[Stage] = [Baseline(), Explore(), Refine(), Exploit(), Confirm(), Finalize()]
    with _opened(objective, settings) as (study, note):
        note({"model": model, "data": str(reference), "fingerprint": dataset.fingerprint(),
              "split": {p: len(getattr(parts, p)) for p in ("train", "valid", "test")}})  # fmt: skip
        _same_data(study, dataset.fingerprint())
        told = _play(study, stages, base)
        trained = _trained(study, told)
        look = None
        if trained is not None:
            lock = LockedTest(dataset, parts, study.look, len(study.trials.looks))
            look = _test(study, lock, trained, dataset.task)
        return _finish(told, study, settings, goal, trained, look)


class _opened:
    """An executor and a claimed study for a job; what is needed to do it again is noted in the record."""

    def __init__(self, objective: Objective, settings: Settings) -> None:
        self.objective, self.settings = objective, settings
        self.stack = ExitStack()

    def __enter__(self) -> tuple[Study, Callable[[Mapping[str, Any]], None]]:
        settings = self.settings
        folder = Path(settings.folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n")
        store = store_of(folder, settings.store)
        self.stack.__enter__()
        self.stack.enter_context(store.claim())
        executor = self.stack.enter_context(executor_of(self.objective, settings))
        study = self.stack.enter_context(Study(store, folder, executor, seed=settings.seed, listener=settings.listener))

        def note(about: Mapping[str, Any]) -> None:
            if "job" not in study.trials.notes:
                study.note("job", {**about, **_origin(settings)})

        return study, note

    def __exit__(self, *about: Any) -> None:
        self.stack.__exit__(*about)


def open_study(space: Space, goal: Goal, *, sampler: str = "tpe", steps: int = 1, seed: int = 0,
               folder: str | Path = f"{RUNS}/study") -> Study:  # fmt: skip
    """A study for people who own their loop: use it in a ``with`` block, ``ask`` for trials and ``tell`` what they gave.

    The same call takes the study up where it is. Raises StudyBusy when another process drives it.
    """
    round = Round("search", "What is the best configuration?", space, goal, steps, 1, sampler)
    Path(folder).mkdir(parents=True, exist_ok=True)
    (Path(folder) / ".gitignore").write_text("*\n")
    return _Begun(store_of(folder), folder, search_of(round, seed), seed)


class _Begun(Study):
    """A study whose one round is open for ask and tell as soon as it is entered."""

    def __init__(self, store: Store, folder: Path | str, search: Search, seed: int) -> None:
        super().__init__(store, folder, seed=seed)
        self._begin_with = search

    def __enter__(self) -> Self:
        super().__enter__()
        self.begin(self._begin_with)
        return self


def load(folder: Path | str) -> Any:
    """A model that ``tune_model`` saved, ready to predict. Raises CheckpointError for a damaged or foreign folder."""
    from tunebook.learners import load_model  # noqa: PLC0415

    return load_model(Path(folder))


def store_of(folder: Path | str, url: str | None = None) -> Store:
    """The record of the study in a folder: SQLite there, or the database at ``url``, under the folder's name."""
    if url is None:
        return SqlStore(f"sqlite:///{Path(folder) / 'book.db'}", STUDY)
    return SqlStore(url, Path(folder).name)


def executor_of(objective: Objective, settings: Settings) -> Executor:
    """Worker processes, or this process for ``workers=0``."""
    if settings.workers == 0:
        return SerialExecutor(objective)
    return LocalExecutor(objective, settings.capacity, time_limit=settings.run_limit)


def search_of(round: Round, seed: int) -> Search:
    """The objects that a round names."""
    for what, name, known in (("sampler", round.sampler, SAMPLERS), ("scheduler", round.scheduler, SCHEDULERS)):
        if name not in known:
            raise SettingError(
                f"unknown {what}", where=what, got=name, expected=nearest(name, known), code="CONFIG-054"
            )
    sampler = SAMPLERS[round.sampler](round.space, round.goal, seed)
    scheduler = SCHEDULERS[round.scheduler](round.goal, round.steps)
    about = {"question": round.question, "sampler": round.sampler, "scheduler": round.scheduler, "steps": round.steps}
    return Search(round.name, round.space, round.goal, sampler, scheduler, round.runs, round.metric, about)


def _play(study: Study, stages: Sequence[Stage], base: Base) -> list[Chapter]:
    chapters = []
    for chapter in play(stages, base, lambda r: study.run(search_of(r, base.seed), r.trials, r.share * base.seconds)):
        chapters.append(chapter)
    return chapters


def _finish(
    chapters: Sequence[Chapter], study: Study, settings: Settings, goal: Goal, model: Path | None = None,
    look: TestLook | None = None,
) -> Result:  # fmt: skip
    folder = Path(settings.folder)
    base = chapters[-1].conclusion.base
    story = Story(folder.name, goal, base, study.trials, chapters, look, model, settings.steps)
    report = study_report(story)
    (folder / "report.html").write_text(render_html(report), encoding="utf-8")
    (folder / "report.md").write_text(render_markdown(report), encoding="utf-8")
    return Result(base.config, base.baseline, base.adopted, goal, study.trials, chapters, folder,
                  folder / "report.html", model, look)  # fmt: skip


def _trained(study: Study, chapters: Sequence[Chapter]) -> Path | None:
    """The folder of the model that the last training left."""
    last = chapters[-1]
    if last.stage != "finalize" or last.conclusion.stop:
        return None
    return study.folder / "trials" / str(last.trials[0].number) / "model"


def _name(objective: Objective) -> str:
    inner = getattr(objective, "__wrapped__", objective)
    return f"{getattr(inner, '__module__', '?')}.{getattr(inner, '__qualname__', type(inner).__name__)}"


def _same_data(study: Study, fingerprint: str) -> None:
    before = study.trials.notes["job"].get("fingerprint")
    if before != fingerprint:
        raise DataError(
            "the data is not what this study was started with",
            where=str(study.folder),
            got=fingerprint[:12],
            expected=str(before)[:12],
            fix="give the study another folder",
        )


def _origin(settings: Settings) -> dict[str, Any]:
    """What it takes to do the job again: command, folder, code version, package versions, machine."""
    packages = ("tunebook", "numpy", "scipy", "scikit-learn", "torch")
    versions = {p: v for p in packages if (v := _version(p))}
    told = {k: v for k, v in asdict(replace(settings, listener=None)).items() if k not in ("listener", "command")}
    return {
        "settings": {k: str(v) if isinstance(v, Path) else v for k, v in told.items()},
        "command": settings.command or " ".join(sys.orig_argv),
        "argv": [] if settings.command else list(sys.orig_argv),
        "cwd": os.getcwd(),
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted": bool(_git("status", "--porcelain")),
        "versions": {"python": platform.python_version(), **versions},
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _git(*words: str) -> str:
    """The output of a git command in the working folder; empty outside a repository."""
    try:
        told = subprocess.run(["git", *words], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return told.stdout.strip() if told.returncode == 0 else ""


def _test(study: Study, lock: Any, model: Path, task: str) -> TestLook:
    """Look at the test part once, with the model that was trained last; a look that was made before is read back."""
    before = study.trials.notes.get("test")
    if before is None:
        inputs, targets = lock.look("final evaluation of the trained model")
        study.note("test", asdict(_measured(model, inputs, targets, task)))
        before = study.trials.notes["test"]
    return TestLook(
        {k: (v[0], v[1], v[2]) for k, v in before["metrics"].items()},
        before["rows"],
        tuple(before["classes"]),
        tuple(tuple(r) for r in before["confusion"]),
    )


def _measured(folder: Path, inputs: Any, targets: Any, task: str) -> TestLook:
    from tunebook.learners import load_model  # noqa: PLC0415
    from tunebook.metrics import METRICS, bootstrap_interval, confusion_matrix, wilson  # noqa: PLC0415

    model = load_model(folder)
    if task == "regression":
        values = model.predict_values(inputs)
        metrics = {n: _with_interval(METRICS[n], targets, values, bootstrap_interval) for n in ("rmse", "mae", "r2")}
        return TestLook(metrics, len(targets))
    probabilities = model.predict_proba(inputs)
    labels = probabilities.argmax(axis=1)
    right = int((labels == targets).sum())
    metrics = {"accuracy": (right / len(targets), *wilson(right, len(targets)))}
    metrics["log_loss"] = _with_interval(METRICS["log_loss"], targets, probabilities, bootstrap_interval)
    matrix = confusion_matrix(targets, labels, len(model.classes))
    return TestLook(metrics, len(targets), model.classes, tuple(tuple(int(v) for v in row) for row in matrix))


def _with_interval(
    metric: Callable[..., float], targets: Any, predicted: Any, interval: Callable[..., tuple[float, float]]
) -> tuple[float, float, float]:
    low, high = interval(metric, targets, predicted)
    return metric(targets, predicted), low, high
