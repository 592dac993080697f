"""Composition root: names and settings become objects, and the playbook is played.

    result = tune(train, space, Goal("accuracy", "maximize"), steps=20, trials=40)      # one's own objective
    result = tune_model("cnn", "sklearn:digits", steps=30, trials=60)                   # a model family and data

The same call on the same folder takes a study up where it is: nothing is lost, nothing is run twice.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Self, Unpack

from tunebook.errors import FailingStudy, Problem, SettingError, StudyMismatch, many, public, shown
from tunebook.executors.base import Executor
from tunebook.executors.local import LocalExecutor
from tunebook.executors.serial import SerialExecutor
from tunebook.look import measured
from tunebook.objective import Objective
from tunebook.origin import origin, without_password
from tunebook.playbook import Base, Chapter, Round
from tunebook.playbook.budget import smallest
from tunebook.playbook.keep import expendable
from tunebook.progress import Progress, say_at_once, stopping
from tunebook.record import (
    AUGMENTED,
    BOOK,
    CAPACITY,
    JOB,
    PLAN,
    RESOLVED,
    RESULT,
    RUNS,
    TEST,
    Record,
    resume_command,
    store_of,
)
from tunebook.report import render_html, render_markdown
from tunebook.report.story import Story, TestLook
from tunebook.report.study import NOTHING_TO_TUNE, study_report
from tunebook.samplers import sampler_named
from tunebook.samplers.auto import reason
from tunebook.schedulers import scheduler_named
from tunebook.sealed import read_card, remove_checkpoints
from tunebook.settings import Options, Settings, settings_of
from tunebook.space import Config, Space
from tunebook.stores.base import Store
from tunebook.story import base_of, chapters, extended, look_of, model_of, plan_of, played, story_of
from tunebook.study import FIRST, Interrupted, Search, Study
from tunebook.subject import learner_of, model_subject
from tunebook.trial import Goal, Status, Trials
from tunebook.warm import WARM, lessons

if TYPE_CHECKING:
    from tunebook.data import LockedTest
    from tunebook.learners import Learner



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
        last = self.chapters[-1].conclusion
        if last.beyond:
            return "\n".join([*last.says, "", f"report: {self.report}"])
        says = [last.stop] if last.stop else []
        confirmed = [c.conclusion.says for c in self.chapters if c.stage == "confirm"]
        if all(t.status is Status.FAILED for t in self.trials.values()):
            told = f"No trial succeeded: tunebook show {self.folder} tells what went wrong, and the report."
            return "\n".join([*says, told, "", f"report: {self.report}"])
        fixed = not any(c.round.space.dim for c in self.chapters)
        none = f"{NOTHING_TO_TUNE.capitalize()}." if fixed else "Nothing was confirmed: the budget was too small."
        says += confirmed[-1] if confirmed else [none]
        lines = [*says, "", *(f"  {k} = {v!r}" for k, v in self.config.items()), ""]
        if self.test is not None:
            lines += [f"test {n}: {v:.4g} (95 % interval {low:.4g} to {high:.4g})"
                      for n, (v, low, high) in self.test.metrics.items()]  # fmt: skip
        lines += [f"report: {self.report}"] + ([f"model:  {self.model}"] if self.model else [])
        return "\n".join(lines)


@public
def tune(objective: Objective, space: Space, goal: Goal, **options: Unpack[Options]) -> Result:
    """Play the playbook on one's own objective; returns the confirmed configuration and the report.

    Raises TunebookError for settings and spaces that cannot be, StudyBusy when another process drives the study,
    FailingStudy when the first trials all fail alike. An interrupted study exits with code 130; call again to resume.
    """
    _check(space, goal)
    settings = settings_of(options)
    wanted = base_for(space, goal, settings, final=False)
    with opened(objective, settings, {"objective": _name(objective)}, wanted) as (study, plan):
        return finish(play_plan(study, plan), study, goal)


@public
def tune_model(
    model: str | Learner, data: str, goal: Goal | None = None, space: Space | Mapping[str, Any] | None = None,
    **options: Unpack[Options],
) -> Result:
    """Play the playbook on a model family and a data set ("sklearn:digits", "csv:FILE?target=COLUMN").

    ``model`` is a name such as "mlp" or "cnn", or a learner: a ``ModuleLearner`` for a torch module of one's own.
    A ``space`` takes the place of the family's own; a mapping such as ``{"dropout": 0.1}``, of entries as
    ``Space.from_dict`` takes them, changes the family's: it adds, replaces, and fixes what it gives a plain value.

    Ends with a model trained on training and validation part, one look at the test part, and the report. ``goal`` is
    accuracy for classes and rmse for numbers unless given. Raises as ``tune`` does, and DataError.
    """
    from tunebook.data import DataRef, LockedTest, Split, open_dataset  # noqa: PLC0415  (keeps `import tunebook` light)
    from tunebook.metrics import METRICS, chance_level  # noqa: PLC0415

    settings, learner = settings_of(options), learner_of(model)
    goal, space = model_subject(learner, data, goal, space, settings.trials)
    reference = DataRef.parse(data).pinned()
    dataset = open_dataset(reference)
    split = Split(seed=settings.seed)
    parts = split.parts(dataset)
    objective = learner.objective(str(reference), split, goal, settings.steps)
    learned_from, scored = dataset.targets[parts.train], dataset.targets[parts.valid]
    known = goal.metric in METRICS
    chance = chance_level(scored, dataset.task, goal.metric, learned_from) if known else None
    about = {"model": learner.name, **learner.about(), "data": str(reference), "fingerprint": dataset.fingerprint(),
             "split": {p: len(getattr(parts, p)) for p in ("train", "valid", "test")},
             "notes": [*dataset.notes, *parts.notes]}  # fmt: skip
    with opened(objective, settings, about, base_for(space, goal, settings, chance)) as (study, plan):
        told = play_plan(study, plan)
        trained = model_of(study.folder, told)
        if trained is not None:
            _note_capacity(study, trained)
            _note_augmented(study, objective, told[-1].conclusion.base.config)
        if trained is not None and learner.supervised and look_of(study.trials.notes.get(TEST), trained) is None:
            lock = LockedTest(dataset, parts, study.look, len(study.trials.looks))
            look_at_test(study, lock, trained, goal.metric, learner.load_model)
        return finish(told, study, goal)


def _note_capacity(study: Study, trained: Path) -> None:
    """Note how large the final model is and what it costs, where its card says it: those of networks do."""
    told = read_card(trained).get("about", {}).get("capacity")
    if told and study.trials.notes.get(CAPACITY) != told:
        study.note(CAPACITY, told)


def _note_augmented(study: Study, objective: Any, config: Config) -> None:
    """Note what augmentation made of some examples, where the final configuration augments: what a report shows."""
    show = getattr(objective, "augmented", None)  # networks have it
    told = show(config) if show is not None else None
    if (study.trials.notes.get(AUGMENTED) or None) != told:
        study.note(AUGMENTED, told or {})


def look_at_test(
    study: Study, lock: LockedTest, trained: Path, metric: str, open_model: Callable[[Path], Any] | None = None
) -> None:
    """Look at the test part with the final model, and note what it gave; ``open_model`` loads it, else ``load``.

    A second look happens when the first one's result was lost with the driver, or the study was extended after it; it
    is counted, and the report says so.
    """
    reason = "again, for another final model" if TEST in study.trials.notes else "final evaluation"
    inputs, targets = lock.look(reason, again=lock.looks > 0)
    look = measured((open_model or load)(trained), inputs, targets, metric)
    study.note(TEST, {**asdict(look), "trial": int(trained.parent.name)})


def base_for(space: Space, goal: Goal, settings: Settings, chance: float | None = None, final: bool = True) -> Base:
    return Base(space, space.default, goal, settings.steps, settings.trials, settings.seed, settings.seconds,
                max(1, settings.capacity), chance, final)  # fmt: skip


@contextmanager
def opened(
    objective: Objective, settings: Settings, about: Mapping[str, Any], wanted: Base
) -> Iterator[tuple[Study, Mapping[str, Any]]]:
    """An executor, and a claimed study that goes together with what is asked; what the playbook starts from.

    What is needed to do the job again is kept in the folder and noted in the record.
    """
    folder = Path(settings.folder)
    with _leaving_well(folder), ExitStack() as stack:
        executor = stack.enter_context(executor_of(objective, settings))  # refuses what cannot be run, so it is first
        store = store_of(made(folder), settings.store)
        if not any((folder / name).exists() for name in (RESOLVED, BOOK)):
            _keep(settings, folder)  # a new study: from here on it can be resumed
        stack.enter_context(store.claim())
        stack.callback(executor.close)  # before the claim is given back
        progress = stack.enter_context(_shown(settings))
        study = stack.enter_context(Study(store, folder, executor, seed=settings.seed,
                                          listener=settings.listener or progress,
                                          on_stop=progress.stopping if progress else _say_stopping))  # fmt: skip
        _same_data(study, about.get("fingerprint"))
        plan = _planned(study, wanted)
        _keep(settings, folder)
        if JOB not in study.trials.notes:
            study.note(JOB, {**about, "settings": _told(settings), **origin(settings.command)})
        if study.trials.notes.get(PLAN) != plan:
            study.note(PLAN, plan)
            if progress and (advice := advice_on(wanted)):
                progress.say(advice)
        if settings.first and FIRST not in study.trials.notes:
            study.try_first(*settings.first, space=wanted.space)
        if settings.warm_start and WARM not in study.trials.notes and not study.trials:
            study.note(WARM, lessons(settings.warm_start, wanted.space))
        yield study, plan


def _shown(settings: Settings) -> AbstractContextManager[Progress | None]:
    """What shows the study on the terminal, if anything is to."""
    quiet = settings.quiet or settings.listener is not None
    return nullcontext() if quiet else Progress(settings.trials)


def _say_stopping(runs: int) -> None:
    say_at_once(stopping(runs), sys.stderr)


def advice_on(base: Base) -> str:
    """What to say of a budget before it is spent, if it is too small to come to an answer, or there is no question."""
    if not base.space.dim:
        return f"note: {NOTHING_TO_TUNE}"
    least = smallest(base)
    if base.total >= least:
        return ""
    verb = "is" if base.total == 1 else "are"
    few = f"{many(base.total, 'trial')} {verb} too few to confirm a winner on fresh seeds"
    return f"note: {few}; that takes {least} or more"


def _keep(settings: Settings, folder: Path) -> None:
    if settings.resolved is not None:
        new = folder / f".{RESOLVED}"
        new.write_text(settings.resolved, encoding="utf-8")
        new.replace(folder / RESOLVED)


def made(folder: Path | str) -> Path:
    """The folder of a study, made if it is not there. Raises SettingError where it cannot be."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n")
    except OSError as error:
        raise SettingError(
            "the study's folder cannot be made or written to",
            where=str(folder),
            got=str(error.strerror),
            fix="choose another folder",
            code="STORE-086",
        ) from error
    return folder


@contextmanager
def _leaving_well(folder: Path) -> Iterator[None]:
    """However a person ends a job: no traceback, the exit code that shells expect, and how to resume it.

    A terminal that is closed does not end it.
    """

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before[signal.SIGTERM] = signal.signal(signal.SIGTERM, terminate)
        if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as error:
        with suppress(OSError):  # the terminal may be gone
            print(f"stopped; to resume: {resume_command(folder)}", file=sys.stderr)
        raise (error if isinstance(error, Interrupted) else Interrupted()) from None
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@public
def open_study(space: Space, goal: Goal, *, sampler: str = "auto", steps: int = 1, seed: int = 0,
               folder: str | Path = f"{RUNS}/study", warm_start: Sequence[str | Path] = ()) -> Study:  # fmt: skip
    """A study for people who own their loop: in a ``with`` block, ``ask`` for trials and ``tell`` what they gave.

    ``warm_start`` names folders of earlier studies to learn from, of the same or an overlapping space. The same call
    takes the study up where it is. Raises StudyBusy when another process drives it, StudyNotFound, and SettingError for
    an earlier study from which nothing can be learned, and for a space or a goal that is none.
    """
    _check(space, goal)
    round = Round("search", "What is the best configuration?", space, goal, steps, 1, sampler)
    return _Begun(store_of(made(folder)), folder, search_of(round, seed), seed, warm_start)


def _check(space: object, goal: object) -> None:
    """Raise SettingError for a space or a goal that is none."""
    told = shown(goal) if isinstance(goal, str) else "'loss'"
    for name, given, kind, fix in (
        ("space", space, Space, "Space(lr=Float(1e-4, 1, log=True)); Space.from_dict reads plain data"),
        ("goal", goal, Goal, f"Goal({told}), or Goal({told}, 'maximize')"),
    ):
        if not isinstance(given, kind):
            raise SettingError(f"the {name} is not a {kind.__name__}", where=name, got=shown(given),
                               expected=f"a {kind.__name__}", fix=fix, code="CONFIG-043")  # fmt: skip


class _Begun(Study):
    """A study whose one round is open for ask and tell as soon as it is entered."""

    def __init__(
        self, store: Store, folder: Path | str, search: Search, seed: int, earlier: Sequence[str | Path]
    ) -> None:
        super().__init__(store, folder, seed=seed)
        self._begin_with, self._earlier = search, earlier

    def __enter__(self) -> Self:
        super().__enter__()
        before = self.trials.opened.get(self._begin_with.round)
        found = self._begin_with.space.clashes(Space.from_dict(before.space)) if before else []
        if found:
            self.__exit__(None, None, None)
            raise StudyMismatch(found)
        try:
            self._warm()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        about = self._begin_with.about
        if about.get("sampler") == "auto":
            why = reason(self._begin_with.space, self._begin_with.goal, len(self.trials))
            about = {**about, "proposals": why}
        self.begin(replace(self._begin_with, about=about))
        return self

    def _warm(self) -> None:
        """Learn from earlier studies, once: what was learned is in the record, and they may go on or be deleted."""
        if self._earlier and WARM not in self.trials.notes and not self.trials:
            self.note(WARM, lessons(self._earlier, self._begin_with.space))
        _taught(self._begin_with, self)


@public
def load(folder: Path | str, build: Callable[..., Any] | None = None) -> Any:
    """A model that ``tune_model`` saved, ready to predict; ``build`` makes the module of a ``ModuleLearner`` again.

    Raises CheckpointError for a damaged or foreign folder, and where ``build`` is missing or makes another module.
    """
    from tunebook.learners import load_model  # noqa: PLC0415

    return load_model(Path(folder), build=build)


def executor_of(objective: Objective, settings: Settings) -> Executor:
    """Worker processes, or this process for ``workers=0``."""
    if settings.workers == 0:
        return SerialExecutor(objective)
    # who limits a run to seconds does not want to wait half a minute for it to stop
    grace = 30.0 if settings.run_limit is None else min(30.0, max(1.0, settings.run_limit / 4))
    return LocalExecutor(objective, settings.capacity, time_limit=settings.run_limit, grace=grace)


def _taught(search: Search, study: Study) -> Search:
    """The search, its sampler told what the record says of earlier studies."""
    told = study.trials.notes.get(WARM)
    if told is not None:
        search.sampler.warm(told["configs"], told["scores"])
    return search


def search_of(round: Round, seed: int) -> Search:
    """The objects that a round names."""
    sampler = sampler_named(round.sampler, round.space, round.goal, seed)
    scheduler = scheduler_named(round.scheduler, round.goal, round.steps)
    about = {"question": round.question, "sampler": round.sampler, "scheduler": round.scheduler, "steps": round.steps}
    return Search(round.name, round.space, round.goal, sampler, scheduler, round.runs, round.metric, about)


def _planned(study: Study, base: Base) -> dict[str, Any]:
    """What the playbook starts from: as the record says, with a larger budget or another space where that is asked.

    Raises StudyMismatch when the record's trials would not go together with what is asked.
    """
    wanted, before = plan_of(base), study.trials.notes.get(PLAN)
    if before is None:
        return wanted
    where = str(study.folder)
    found = [
        Problem(f"the study was started with another {name}", where, _in_words(wanted[name]), _in_words(before[name]),
                "the value it had, or another folder for another study", "STORE-079")
        for name in ("goal", "steps", "seed", "final")
        if wanted[name] != before[name]
    ]  # fmt: skip
    found += base.space.clashes(Space.from_dict(before["cycles"][-1]["space"]))
    if found:
        raise StudyMismatch(found)
    return extended(before, wanted, study.trials)


def _in_words(told: Any) -> str:
    """A value of a plan; a goal is a mapping there."""
    return str(Goal.from_dict(told)) if isinstance(told, Mapping) else str(told)


def play_plan(study: Study, plan: Mapping[str, Any]) -> list[Chapter]:
    def run(round: Round, until: float, last: float) -> Trials:
        if round.name not in study.trials.opened:
            free(study, round)
        return study.run(_taught(search_of(round, plan["seed"]), study), round.trials, until, last=last)

    try:
        return list(chapters(plan, study.trials, run))
    except FailingStudy as error:
        raise _failed(study, plan, error.problems[0]) from None


def free(study: Study, round: Round) -> None:
    """Remove the checkpoints that are of no use any more when a round begins: those of the trials that were cut short
    before it. What an objective of one's own saved is left alone: it may not be ours to remove.
    """
    for number in expendable(study.trials, round.goal, round.steps, (round.name,)):
        remove_checkpoints(study.folder / "trials" / str(number))


def _failed(study: Study, plan: Mapping[str, Any], problem: Problem) -> FailingStudy:
    """The error of a study that has a bug, with what helps to find it: a report, and the objective's own traceback."""
    story = story_of(Record(study.folder, study.trials), played(plan, study.trials), base_of(plan))
    report = _reported(story, study.folder)
    fix = f"mend the objective, then run this again, or {resume_command(study.folder)}"
    last = study.trials.with_status(Status.FAILED)[-1]
    lines = [line.strip() for line in last.failure.message.splitlines()] if last.failure is not None else []
    got = "; ".join(line for line in lines if not line.startswith("-->"))  # where it was is told already
    told = FailingStudy(replace(problem, got=got, fix=f"{fix}; the report: {report}"))
    if last.failure is not None and last.failure.traceback:
        told.add_note(f"\nTrial {last.number} failed with:\n\n{last.failure.traceback.rstrip()}")
    return told


def _reported(story: Story, folder: Path) -> Path:
    """Write the report of a story into the study's folder; returns the HTML file."""
    told = study_report(story)
    (folder / "report.md").write_text(render_markdown(told), encoding="utf-8")
    path = folder / "report.html"
    path.write_text(render_html(told), encoding="utf-8")
    return path


def finish(told: Sequence[Chapter], study: Study, goal: Goal) -> Result:
    base, folder = told[-1].conclusion.base, study.folder
    result = {"trials": len(study.trials), "config": dict(base.config), "adopted": base.adopted}
    if study.trials.notes.get(RESULT) != result:
        study.note(RESULT, result)
    story = story_of(Record(folder, study.trials), told, base)
    return Result(base.config, base.baseline, base.adopted, goal, study.trials, told, folder, _reported(story, folder),
                  story.model, story.look)  # fmt: skip


def _name(objective: Objective) -> str:
    inner = getattr(objective, "__wrapped__", objective)
    return f"{getattr(inner, '__module__', '?')}.{getattr(inner, '__qualname__', type(inner).__name__)}"


def _same_data(study: Study, fingerprint: str | None) -> None:
    before = study.trials.notes.get(JOB, {}).get("fingerprint", fingerprint)
    if before != fingerprint:
        raise StudyMismatch("the data is not what this study was started with", where=str(study.folder),
                            got=str(fingerprint)[:12], expected=str(before)[:12],
                            fix="bring the old data back, or give the study another folder")  # fmt: skip


def _told(settings: Settings) -> dict[str, Any]:
    """The settings as plain JSON, without a password."""
    kept = asdict(replace(settings, listener=None))
    store = settings.store and without_password(settings.store)
    return {
        **{k: v for k, v in kept.items() if k not in ("listener", "command", "quiet", "resolved")},
        "folder": str(settings.folder),
        "store": store,
        "warm_start": list(map(str, settings.warm_start)),
    }
