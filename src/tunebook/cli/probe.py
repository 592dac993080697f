"""``tunebook probe``: short trainings of a job's first configuration, before the job is paid for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tunebook.cli.job import Job, folder_of
from tunebook.cli.objectives import objective_named
from tunebook.cli.run import name_of, subject
from tunebook.cli.words import as_json, clean, clean_lines, say, tell
from tunebook.diagnose.base import Finding
from tunebook.errors import SettingError, nearest
from tunebook.record import BOOK, PROBES, store_of
from tunebook.space import Config, Float, Int, Parameter, Space, Value
from tunebook.trial import Context, Noted

if TYPE_CHECKING:
    from tunebook.learners.net import NetLearner
    from tunebook.training import Probed, Task

BAD = 3


@dataclass(frozen=True)
class Extent:
    """How much may be spent: training steps and seconds; and the change of hyperparameters, as NAME=VALUE."""

    steps: int
    seconds: float
    changes: Sequence[str] = ()


def probe_job(job: Job, extent: Extent, json: bool, keep: bool) -> int:
    """Probe the default configuration of a job; returns 3 when something is so bad that tuning would be in vain.

    With ``keep`` the findings go into the record of the job's study, if there is one, and so into its report.
    """
    from tunebook.training import probe  # noqa: PLC0415

    task, space, learner = task_of(job)
    config = changed(space, extent.changes, learner.names if learner is not None else ())
    if learner is not None:
        learner.check(config)
    told = probe(task, config, steps=extent.steps, seconds=extent.seconds, seed=job.seed)
    tell(as_json(as_data(told, config)) if json else _in_words(told, config))
    if keep:
        _keep(job, told, config)
    return BAD if any(f.severity == "bad" for f in told.findings) else 0


def task_of(job: Job) -> tuple[Task, Space, NetLearner | None]:
    """The training task of a job, its space, and the family of its model unless it has an objective of its own.

    Raises SettingError for a job that trains no network of ours.
    """
    from tunebook.data import Split  # noqa: PLC0415
    from tunebook.learners import learner_named  # noqa: PLC0415
    from tunebook.learners.net import NetLearner  # noqa: PLC0415
    from tunebook.training import Task  # noqa: PLC0415

    goal, space = subject(job)
    if job.objective is not None:
        found = objective_named(job.objective)
        if isinstance(found, partial) and found.args and isinstance(found.args[0], Task):
            return found.args[0], space, None
        raise SettingError("this objective cannot be looked into", where="tunebook probe", got=job.objective,
                           expected="functools.partial(tunebook.training.train, task)",
                           fix="call tunebook.training.probe(task, config) in a script", code="CONFIG-052")  # fmt: skip
    assert job.model is not None and job.data is not None
    learner = learner_named(job.model)
    if not isinstance(learner, NetLearner):
        raise SettingError(
            "probes are for networks", where="model", got=job.model, expected="mlp, cnn, rnn, transformer"
        )
    steps = job.settings(folder_of(job, name_of(job))).steps
    return learner.objective(job.data, Split(seed=job.seed), goal, steps).task(Context()), space, learner


def changed(space: Space, changes: Sequence[str], own: Collection[str] = ()) -> dict[str, Value]:
    """The default configuration of a space with NAME=VALUE changes, as a study would try it.

    Another option of a choice brings the defaults of what stands below it, and a name below an option chooses it. Names
    that the space lacks are those of training settings or in ``own``, the model family's. Raises SettingError.
    """
    told = _chosen([_parsed(change) for change in changes], space)
    config: dict[str, Value] = {}
    starts = {**{n: p.start for n, p in space.parameters.items()}, **space.constants}  # parents before children
    for name, start in starts.items():
        if space.active(name, config):
            config[name] = told.get(name, start)
    for name in told.keys() - config.keys():
        _check_known(name, told[name], config, space, own)
    return config | told


def _parsed(change: str) -> tuple[str, Value]:
    import tomllib  # noqa: PLC0415

    name, equals, text = change.partition("=")
    if not equals:
        raise SettingError("this is not a change", where=f"--with {change}", got=change, expected="NAME=VALUE",
                           code="CONFIG-042")  # fmt: skip
    try:
        value = tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        value = text
    return name.strip(), value if isinstance(value, str | int | float) else text


def _chosen(changes: Sequence[tuple[str, Value]], space: Space) -> dict[str, Value]:
    """The changes, and the options that their names say: optimizer.sgd.lr is of the option sgd of optimizer."""
    told = dict(changes)
    for name, _ in changes:
        nested = name in space.conditions or not (name in space.parameters or name in space.constants)
        parts = name.split(".") if nested else []
        for i in range(1, len(parts) - 1, 2):
            head, option = ".".join(parts[:i]), parts[i]
            if told.setdefault(head, option) != option:
                raise SettingError("this belongs to another option", where=f"--with {name}", code="CONFIG-042",
                                   got=f"{head}={told[head]}", expected=f"{head}={option}")  # fmt: skip
    return told


def _check_known(name: str, value: Value, config: Config, space: Space, own: Collection[str]) -> None:
    """Raise SettingError for a name that nothing would read."""
    from tunebook.learners.net import TRAINING  # noqa: PLC0415

    known = {*own, *TRAINING}
    below = [n for n in config if n.endswith(f".{name}")]
    if name in space.conditions:
        what, expected = "it does not exist beside what else is chosen", str(dict(space.conditions[name]))
    elif below or not {name.partition(".")[0], name.rpartition(".")[2]} & known:
        what = "there is no such hyperparameter"
        expected = below[0] if below else nearest(name, [*config, *sorted(known - config.keys())])
    else:
        return
    raise SettingError(what, where=f"--with {name}={value}", got=name, expected=expected, code="CONFIG-042")


def as_data(told: Probed, config: Config) -> dict[str, Any]:
    """What was found, as plain JSON."""
    readings = [
        {"probe": r.probe, "says": r.says, "figures": dict(r.figures),
         "curves": {name: [list(x), list(y)] for name, (x, y) in r.curves.items()}}
        for r in told.readings
    ]  # fmt: skip
    return {
        "config": dict(config),
        "readings": readings,
        "findings": [_finding(f) for f in told.findings],
        "proposal": {name: _plain(value) for name, value in told.proposal.items()},
        "left_out": dict(told.left_out),
        "seconds": told.seconds,
    }


def _finding(f: Finding) -> dict[str, Any]:
    return {
        "check": f.check,
        "severity": f.severity.value,
        "says": f.says,
        "advice": f.advice,
        "proposal": {name: _plain(value) for name, value in f.proposal.items()},
        "figures": dict(f.figures),
    }


def _plain(value: Parameter | Value) -> Any:
    return value if isinstance(value, str | int | float | None) else value.as_dict()


def _in_words(told: Probed, config: Config) -> str:
    lines = [f"probed: {clean(', '.join(f'{k}={v}' for k, v in config.items()), 300)}", "", clean_lines(str(told))]
    if told.proposal:
        lines += ["", "proposed:", *(f"  {clean(k)} = {_shown(v)}" for k, v in told.proposal.items())]
    return "\n".join([*lines, "", f"{told.seconds:.0f} s"])


def _shown(value: Parameter | Value) -> str:
    if isinstance(value, Float | Int):
        return f"{value.low:.3g} to {value.high:.3g}" + (", log" if value.log else "")
    return f"{value:.3g}" if isinstance(value, float) else clean(value)


def _keep(job: Job, told: Probed, config: Config) -> None:
    """Put the findings into the record of the job's study. Raises StudyBusy while a driver runs."""
    folder = folder_of(job, name_of(job))
    if job.store is None and not (folder / BOOK).exists():
        say(f"note: there is no study in {clean(folder)} yet, so the findings are kept nowhere")
        return
    store = store_of(folder, job.store)
    about = {k: v for k, v in as_data(told, config).items() if k in ("config", "findings", "seconds")}
    about["readings"] = [[r.probe, r.says] for r in told.readings]
    with store.claim():
        store.append([Noted(PROBES, about)])
    say(f"kept in the record of {clean(folder)}: tunebook report shows them")
