"""The command line: parse, call, print. What a command needs is imported when it runs, so that help is quick."""

from __future__ import annotations

import errno
import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, NoReturn

import typer

from tunebook.cli.words import complain
from tunebook.errors import Problem, SettingError, TunebookError, nearest

INTERNAL, STORAGE, INTERRUPTED = 1, 74, 130
BUG = "this is a bug in tunebook or a broken installation; --debug shows where"
_MISUSE: type[Exception] = typer.BadParameter.__mro__[
    2
]  # the base of typer's usage errors, which it exports under no name


def _examples(*lines: str) -> str:
    """The end of a help text; \\b keeps its lines."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


app = typer.Typer(
    name="tunebook",
    help="The deep learning tuning playbook as software: from a baseline to a confirmed model and its report.",
    epilog=_examples(
        "tunebook run --model cnn --data sklearn:digits --trials 60",
        "tunebook run train.py:train --space space.toml --metric accuracy --direction maximize --steps 20",
        "tunebook resume digits",
        "tunebook best digits",
    ),
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    suggest_commands=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Name = Annotated[str, typer.Argument(metavar="NAME|FOLDER", help="A study in tunebook-runs, or a study's folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Store = Annotated[
    str | None, typer.Option("--store", metavar="URL", help="The database of the record, if not in the folder.")
]
Trials = Annotated[int | None, typer.Option("--trials", "-n", metavar="N", help="Budget: trials in all.")]
TimeLimit = Annotated[
    str | None, typer.Option("--time-limit", metavar="TIME", help="Budget: 90s, 10m, 1h30m; or money: 20 at 2.50/h.")
]


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run a command and leave with its exit code."""
    code = call(sys.argv[1:] if argv is None else argv)
    try:
        sys.stdout.flush()
    except OSError as error:
        code = code or _unsaid(error)
    if code > 128:  # somebody waits for it to be gone: everything is closed, and taking the interpreter down is slow
        os._exit(code)
    sys.exit(code)


def call(words: Sequence[str]) -> int:
    """Run a command; returns its exit code, whatever happens."""
    try:
        command = typer.main.get_command(app)
        with command.make_context("tunebook", list(words) or ["--help"]) as context:
            return int(command.invoke(context))
    except typer.Exit as done:  # of --help
        return done.exit_code
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else INTERNAL
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  (the last resort: each is explained to the person at the terminal)
        if "--debug" in words:
            insides = getattr(error, "insides", None)
            print("".join((insides or traceback.TracebackException.from_exception(error)).format()), file=sys.stderr)
        return _explained(error, words)


def _explained(error: Exception, words: Sequence[str]) -> int:
    """Say what went wrong, in house style; returns the exit code."""
    if isinstance(error, OSError):
        return _unsaid(error)
    if isinstance(error, _MISUSE):
        error = _misused(error, words)
    if isinstance(error, TunebookError):
        complain(error)
        return error.exit_code
    complain(f"error[INTERNAL]: {type(error).__name__}: {error}\n  {BUG}")
    return INTERNAL


def _unsaid(error: OSError) -> int:
    """The exit code of what could not be read or written. That nobody reads stdout any more is no error."""
    if error.filename is None:  # what is still in the buffer of stdout must not raise again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno in (errno.EPIPE, errno.EIO):  # a closed pipe, a closed terminal
            return 0
    complain(SettingError(f"this could not be read or written: {error.strerror}", where=error.filename or "stdout",
                          fix="free some space, or choose another place", code="STORE-090"))  # fmt: skip
    return STORAGE


def _misused(misuse: Exception, words: Sequence[str]) -> TunebookError:
    """typer's complaint as one of ours, with the nearest command or flag."""
    says = str(getattr(misuse, "format_message", lambda: misuse)()).strip()
    context: Any = getattr(misuse, "ctx", None)
    command = context.command_path if context is not None else "tunebook"
    option = getattr(misuse, "option_name", None)
    if option is not None and says.lower().startswith("no such option"):
        known = [flag for p in context.command.params for flag in p.opts] if context is not None else []
        return SettingError(Problem("there is no such flag", command, str(option), nearest(str(option), known),
                                    f"{command} --help", "CONFIG-060"))  # fmt: skip
    if says.lower().startswith("no such command"):
        names = [c.name or c.callback.__name__ for c in app.registered_commands if c.callback is not None]
        got = says.partition("'")[2].rpartition("'")[0]
        return SettingError(Problem("there is no such command", "tunebook", got, nearest(got, names),
                                    "tunebook --help", "CONFIG-060"))  # fmt: skip
    flags = getattr(getattr(misuse, "param", None), "opts", ())
    got = next((b for a, b in pairwise(words) if a in flags), "")
    return SettingError(Problem(says.rstrip("."), command, got, fix=f"{command} --help", code="CONFIG-060"))


@app.command(
    epilog=_examples(
        "tunebook run train.py:train --space space.toml --metric loss --steps 20 --trials 40",
        "tunebook run --model cnn --data sklearn:digits --trials 60 --study digits",
        "tunebook run --model mlp --data sklearn:digits --also seconds --limit 'parameters <= 20000'",
        "tunebook run --config job.toml --set space.lr.high=0.5 --dry-run",
    )
)
def run(  # noqa: PLR0913, PLR0917  (a command's flags are its arguments)
    objective: Annotated[
        str | None, typer.Argument(metavar="FILE.py:FUNCTION", help="Your objective, or package.module:function.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="A model family instead: mlp, cnn, xgboost, ...")] = None,
    data: Annotated[
        str | None, typer.Option(help="Its data: sklearn:digits, csv:FILE?target=COLUMN, npz:FILE, ...")
    ] = None,
    space: Annotated[Path | None, typer.Option(help="A TOML file with the search space.")] = None,
    metric: Annotated[str | None, typer.Option(help="The metric to optimise, as the objective reports it.")] = None,
    direction: Annotated[str | None, typer.Option(help="minimize or maximize.")] = None,
    also: Annotated[
        list[str] | None, typer.Option(metavar="METRIC[:DIRECTION]", help="A further goal: seconds, recall:maximize.")
    ] = None,
    limit: Annotated[
        list[str] | None, typer.Option(metavar="LIMIT", help="What must hold: 'memory <= 500', 'recall >= 0.9'.")
    ] = None,
    steps: Annotated[int | None, typer.Option(metavar="N", help="Length of a full training, in steps.")] = None,
    trials: Trials = None,
    time_limit: TimeLimit = None,
    workers: Annotated[
        int | None, typer.Option("--workers", "-j", metavar="N", help="Processes; 0 runs in this one.")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Of everything random.")] = None,
    run_limit: Annotated[float | None, typer.Option(metavar="SECONDS", help="Time that one run may take.")] = None,
    study: Annotated[str | None, typer.Option("--study", "-s", help="Name: the folder tunebook-runs/NAME.")] = None,
    folder: Annotated[str | None, typer.Option("--folder", "-f", help="Another folder for the study.")] = None,
    store: Annotated[str | None, typer.Option(metavar="URL", help="Database; by default SQLite in the folder.")] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="A TOML file with these keys.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key.")] = None,
    json: Json = False,
    quiet: Quiet = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done.")] = False,
    debug: Debug = False,
) -> int:
    """Tune an objective, or a model on data.

    Baseline, explore, refine, exploit, confirm; the report says what was decided and why.
    """
    from tunebook.cli.job import resolve  # noqa: PLC0415
    from tunebook.cli.run import Ways, plan, run_job  # noqa: PLC0415

    flags = {"objective": objective, "model": model, "data": data, "metric": metric, "direction": direction,
             "also": also or None, "limits": limit or None, "steps": steps, "trials": trials, "time_limit": time_limit,
             "workers": workers, "seed": seed, "run_limit": run_limit, "study": study, "folder": folder,
             "store": store}  # fmt: skip
    job = resolve(flags, config, set_ or [], space)
    if dry_run:
        return plan(job, json)
    return run_job(job, Ways(quiet, json), shlex.join(["tunebook", *sys.argv[1:]]))


@app.command(
    epilog=_examples("tunebook probe job.toml", "tunebook probe job.toml --with optimizer.adam.lr=0.1 --steps 500")
)
def probe(  # noqa: PLR0913, PLR0917  (a command's flags are its arguments)
    job: Annotated[Path, typer.Argument(metavar="JOB.toml", help="A job as for tunebook run --config.")],
    with_: Annotated[
        list[str] | None, typer.Option("--with", metavar="NAME=VALUE", help="Another hyperparameter.")
    ] = None,
    steps: Annotated[int, typer.Option(metavar="N", help="Training steps that may be spent.")] = 2000,
    time_limit: TimeLimit = "60s",
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Show the findings in the report of the job's study.")] = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Look at a network's training before it is tuned.

    Learning rate, stability, gradients, first loss, chance, throughput; each finding with a proposal.
    """
    from tunebook.cli.job import resolve  # noqa: PLC0415
    from tunebook.cli.probe import Extent, probe_job  # noqa: PLC0415
    from tunebook.settings import seconds  # noqa: PLC0415

    told = resolve({}, job, set_ or [], None)
    return probe_job(told, Extent(steps, seconds(time_limit), with_ or []), json, keep)


@app.command(
    epilog=_examples(
        "tunebook tune churn.csv --target churned --budget 10m",
        "tunebook tune houses.parquet --target price --metric mae --families linear,xgboost",
    )
)
def tune(  # noqa: PLR0913, PLR0917  (a command's flags are its arguments)
    data: Annotated[str, typer.Argument(metavar="FILE", help="A CSV or Parquet table, or sklearn:wine.")],
    target: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column to predict.")] = None,
    budget: Annotated[str, typer.Option("--budget", "-b", metavar="TIME", help="When it ends: 90s, 10m, 2h.")] = "10m",
    metric: Annotated[str | None, typer.Option(help="accuracy, roc_auc, log_loss, rmse, mae, ...")] = None,
    test: Annotated[float, typer.Option(metavar="SHARE", help="Rows locked away for the test at the end.")] = 0.2,
    families: Annotated[str | None, typer.Option(metavar="A,B", help="Model families; all that suit.")] = None,
    group: Annotated[str | None, typer.Option(metavar="COLUMN", help="Rows alike in it stay together.")] = None,
    time: Annotated[str | None, typer.Option(metavar="COLUMN", help="Learn from the past, test on the future.")] = None,
    drop: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Leave a column out.")] = None,
    categorical: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Numbers that are labels.")] = None,
    sample: Annotated[int | None, typer.Option(metavar="ROWS", help="Use so many rows, drawn evenly.")] = None,
    calibrate: Annotated[
        bool | None, typer.Option(help="Probabilities, where it helps; so by default for log_loss, brier.")
    ] = None,
    nested: Annotated[int, typer.Option(metavar="K", help="Repeat the search on K outer folds: an honest score.")] = 0,
    trials: Trials = None,
    workers: Annotated[
        int | None, typer.Option("--workers", "-j", metavar="N", help="Processes; 0 runs in this one.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of everything random.")] = 0,
    study: Annotated[str | None, typer.Option("--study", "-s", help="Name: the folder tunebook-runs/NAME.")] = None,
    folder: Annotated[str | None, typer.Option("--folder", "-f", help="Another folder for the study.")] = None,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """The best model for a table, from many families.

    Ends in time, with a saved model, its score on rows that nothing has seen, and the report.
    """
    from tunebook.cli.run import Ways  # noqa: PLC0415
    from tunebook.cli.tune import reference_of, tune  # noqa: PLC0415

    columns = {"target": target, "group": group, "time": time, "drop": drop, "categorical": categorical,
               "sample": sample}  # fmt: skip
    told = {"metric": metric, "test": test, "families": families, "study": study, "began": monotonic(),
            "calibrate": calibrate, "nested": nested}  # fmt: skip
    options = {"time_limit": budget, "trials": trials, "workers": workers, "seed": seed, "folder": folder}
    return tune(reference_of(data, columns), told, options, Ways(quiet, json))


@app.command(epilog=_examples("tunebook ensembles churn"))
def ensembles(name: Name, json: Json = False, debug: Debug = False) -> int:
    """Voting, averaging, greedy selection and stacking beside the best single model of a study of a table."""
    from tunebook.cli.tune import ensembles  # noqa: PLC0415

    return ensembles(name, json)


@app.command(epilog=_examples("tunebook resume digits", "tunebook resume digits --trials 100"))
def resume(
    name: Name, trials: Trials = None, time_limit: TimeLimit = None, store: Store = None,
    json: Json = False, quiet: Quiet = False, debug: Debug = False,
) -> int:  # fmt: skip
    """Take a study up where it is.

    With more --trials than before its budget is extended.
    """
    from tunebook.cli.run import Ways, resume  # noqa: PLC0415

    return resume(name, {"trials": trials, "time_limit": time_limit, "store": store}, Ways(quiet, json))


@app.command("list", epilog=_examples("tunebook list", "tunebook list --json"))
def list_(
    root: Annotated[Path, typer.Argument(help="The folder that studies lie in.")] = Path("tunebook-runs"),
    json: Json = False, debug: Debug = False,
) -> int:  # fmt: skip
    """The studies in a folder, and where they stand."""
    from tunebook.cli.listing import list_studies  # noqa: PLC0415

    return list_studies(root, json)


@app.command(epilog=_examples("tunebook show digits", "tunebook show digits --trial 3"))
def show(
    name: Name,
    trial: Annotated[int | None, typer.Option("--trial", "-t", metavar="N", help="One trial, with its error.")] = None,
    store: Store = None, json: Json = False, debug: Debug = False,
) -> int:  # fmt: skip
    """What was run and decided in a study, and why."""
    from tunebook.cli.show import show, show_trial  # noqa: PLC0415

    return show(name, store, json) if trial is None else show_trial(name, store, trial, json)


@app.command(epilog=_examples("tunebook best digits --json"))
def best(name: Name, store: Store = None, json: Json = False, debug: Debug = False) -> int:
    """The configuration to use.

    Says whether it was confirmed on fresh seeds or only seen once.
    """
    from tunebook.cli.show import best  # noqa: PLC0415

    return best(name, store, json)


@app.command(epilog=_examples("tunebook report digits", "tunebook report digits --format md --output -"))
def report(
    name: Name,
    format: Annotated[str, typer.Option("--format", help="html, md, json or terminal.")] = "html",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; - is stdout.")] = None,
    store: Store = None, debug: Debug = False,
) -> int:  # fmt: skip
    """Build a study's report again from its record."""
    from tunebook.cli.show import report  # noqa: PLC0415

    return report(name, store, format, output)


@app.command(epilog=_examples("tunebook export digits -o trials.csv", "tunebook export digits --format json --curves"))
def export(  # noqa: PLR0913, PLR0917  (a command's flags are its arguments)
    name: Name,
    format: Annotated[str, typer.Option("--format", help="csv or json.")] = "csv",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of stdout.")] = None,
    curves: Annotated[bool, typer.Option("--curves", help="Every measurement too.")] = False,
    no_times: Annotated[bool, typer.Option("--no-times", help="Leave out what a clock decides.")] = False,
    store: Store = None, json: Annotated[bool, typer.Option("--json", help="As --format json.")] = False,
    debug: Debug = False,
) -> int:  # fmt: skip
    """All trials of a study as CSV or JSON."""
    from tunebook.cli.export import What  # noqa: PLC0415
    from tunebook.cli.listing import export  # noqa: PLC0415

    return export(name, store, "json" if json else format, What(curves, not no_times), output)


@app.command(
    epilog=_examples("tunebook predict digits new.npz", "tunebook predict tunebook-runs/wine/trials/23/model new.csv")
)
def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL|NAME", help="A model's folder, or a study that left one.")],
    file: Annotated[Path, typer.Argument(help="New rows: a CSV or Parquet table, or arrays as .npz or .npy.")],
    proba: Annotated[bool, typer.Option("--proba", help="The probability of each class too.")] = False,
    json: Json = False, debug: Debug = False,
) -> int:  # fmt: skip
    """What a saved model says of new rows, as CSV."""
    from tunebook.cli.predict import predict  # noqa: PLC0415

    return predict(model, file, proba, json)


@app.command(epilog=_examples("tunebook version --json"))
def version(json: Json = False, debug: Debug = False) -> int:
    """The versions of tunebook and of what it runs on."""
    from tunebook.cli.words import as_json, tell  # noqa: PLC0415
    from tunebook.origin import versions  # noqa: PLC0415

    told = versions()
    tell(as_json(told) if json else "\n".join(f"{name} {number}" for name, number in told.items()))
    return 0


if __name__ == "__main__":
    main()
