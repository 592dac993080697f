"""``tunebook tune`` and ``tunebook ensembles``: a table, and no code."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from tunebook.cli.find import found
from tunebook.cli.run import Ways, run_told, succeeded
from tunebook.cli.words import as_json, cell, clean_lines, say, table, tell
from tunebook.data import SCHEMES
from tunebook.errors import SettingError
from tunebook.record import JOB, RUNS, read_record
from tunebook.settings import seconds
from tunebook.tables import goal_of, judge_record, tune_table

NO_SUCCESS = 3


def reference_of(data: str, options: Mapping[str, Any]) -> str:
    """The data set of a file and its flags; a reference (``sklearn:wine``) stays as it is. Raises SettingError."""
    pairs = [(k, v) for k, told in options.items() for v in (told if isinstance(told, list) else [told]) if v]
    if data.partition(":")[0] in SCHEMES and not Path(data).exists():
        more = "&".join(f"{k}={quote(str(v))}" for k, v in pairs)
        return data + (("&" if "?" in data else "?") + more if more else "")
    suffix = Path(data).suffix.lower()
    scheme = "parquet" if suffix in (".parquet", ".pq") else "npz" if suffix == ".npz" else "csv"
    if "target" not in dict(pairs) and scheme != "npz":
        raise SettingError("the column to predict is not named", where="--target", fix=f"--target {_last_column(data)}",
                           code="CONFIG-048")  # fmt: skip
    return f"{scheme}:{quote(data)}" + ("?" if pairs else "") + "&".join(f"{k}={quote(str(v))}" for k, v in pairs)


def _last_column(data: str) -> str:
    """A guess at the target, for the sake of an example."""
    path = Path(data)
    if not path.is_file() or path.suffix.lower() not in (".csv", ".tsv", ".txt"):
        return "COLUMN"
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline().strip().replace(";", ",").rpartition(",")[2].strip('"') or "COLUMN"


def _name(data: str) -> str:
    """The name of a study of a data reference: that of the file or set."""
    return Path(unquote(data.partition("?")[0].partition(":")[2])).stem


def tune(data: str, told: Mapping[str, Any], options: Mapping[str, Any], ways: Ways) -> int:
    """Tune on a table; returns the exit code."""
    folder = options.get("folder") or str(Path(RUNS) / (told["study"] or _name(data)))
    families = tuple(f.strip() for f in (told["families"] or "").split(",") if f.strip())
    settings = {k: v for k, v in options.items() if v is not None} | {"folder": folder, "quiet": ways.quiet}
    settings["time_limit"] = max(1.0, seconds(options["time_limit"]) - (time.monotonic() - told["began"]))
    result = tune_table(data, goal_of(told["metric"]), None, families, test=told["test"], calibrate=told["calibrate"],
                        nested=told["nested"], **settings)  # fmt: skip
    tell(as_json(run_told(result)) if ways.json else clean_lines(str(result)))
    if succeeded(result):
        if result.model is not None:
            say(f"to use it: tunebook predict {folder} new.csv")
        return 0
    say("no trial succeeded: tunebook show tells what went wrong")
    return NO_SUCCESS


def ensembles(name: str, json: bool) -> int:
    """Compare the kinds of ensembles of a study's models with its best single one."""
    folder = found(name)
    record = read_record(folder)
    if record.trials.notes.get(JOB, {}).get("model") != "auto":
        raise SettingError("this study has no predictions to combine", where=name, fix="a study of tunebook tune")
    judged = judge_record(folder, record)
    if json:
        costs = [{"seconds_for_1000_rows": _known(c.latency), "bytes": _known(c.size)} for c in judged]
        tell(as_json([vars(c.judged) | {"separable": c.judged.separable} | cost
                      for c, cost in zip(judged, costs, strict=True)]))  # fmt: skip
        return 0
    heads = ("method", "score", "95 % interval", "against the best single", "95 % interval", "models", "ms for 1,000",
             "MiB")  # fmt: skip
    rows = [(j.method, cell(j.value), f"{cell(j.low)} to {cell(j.high)}", f"{j.difference:+.4g}",
             f"{j.difference_low:+.4g} to {j.difference_high:+.4g}", j.models, _cost(1000 * c.latency),
             _cost(c.size / 2**20)) for c in judged for j in [c.judged]]  # fmt: skip
    tell(table(heads, rows))
    tell("on rows that neither a model nor a combination was fitted on")
    tell("adopted where it is better, and separably so or for little (250 ms for 1,000 rows, 100 MiB)")
    return 0


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _cost(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"
