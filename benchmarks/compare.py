"""Records of benchmark runs: kept in a file as they come, and compared pair by pair.

A record is {"problem", "seed", "method", "regret": {mark: regret}, "ms"} and whatever else a benchmark adds. A file is
a JSON list with a record on each line, so that a run that was cut off is found whole up to its last record.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata, wilcoxon

Record = Mapping[str, Any]
Pair = tuple[str, int]


def load(path: Path) -> list[Record]:
    """The records of a file, none where there is no file; a last line that was cut off is left out."""
    text = path.read_text("utf-8") if path.exists() else ""
    try:
        whole: list[Record] = json.loads(text or "[]")
        return whole
    except json.JSONDecodeError:
        lines = [line.rstrip(",") for line in text.splitlines() if line.startswith("{")]
        sound = [line for line in lines if line.endswith("}")]
        return [json.loads(line) for line in sound]


class Kept:
    """A file of records, each in it as soon as it is added; None keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.records: list[Record] = load(path) if path else []
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = ",\n".join(json.dumps(r) for r in self.records)
            fresh = path.with_name(path.name + ".new")
            fresh.write_text(f"[\n{lines}\n]\n" if lines else "[\n]\n", "utf-8")
            fresh.replace(path)

    def add(self, record: Record) -> None:
        if self.path:
            with self.path.open("r+b") as file:
                file.seek(-2, 2)  # before the closing bracket
                head = b"" if not self.records else b","
                if self.records:
                    file.seek(-3, 2)  # and before the end of the line above
                    head = b",\n"
                file.write(head + json.dumps(record).encode() + b"\n]\n")
        self.records.append(record)


def _cells(records: Iterable[Record]) -> dict[str, dict[Pair, Record]]:
    """The records of each method by problem and seed."""
    out: dict[str, dict[Pair, Record]] = defaultdict(dict)
    for r in records:
        out[r["method"]][r["problem"], r["seed"]] = r
    return out


def _marks(records: Iterable[Record]) -> list[str]:
    found = {m for r in records for m in r["regret"]}
    return sorted(found, key=lambda m: (m == "end", int(m) if m.isdigit() else 0))


def _scores(
    cells: Mapping[str, Mapping[Pair, Record]], methods: Sequence[str], mark: str, pairs: Iterable[Pair]
) -> Any:
    """Regrets (pairs, methods) at a mark, of the pairs whose runs came that far."""
    rows = [[cells[m][p]["regret"].get(mark, np.nan) for m in methods] for p in pairs]
    told = np.array(rows, dtype=np.float64).reshape(-1, len(methods))
    return told[~np.isnan(told).any(axis=1)]


def report(records: Sequence[Record], methods: Sequence[str]) -> Iterable[str]:
    """The lines of a report: means and ranks over what all methods ran, by family, and the first against each other."""
    cells, marks = _cells(records), _marks(records)
    methods = [m for m in methods if m in cells]
    if not methods:
        yield "no records"
        return
    common = sorted(set.intersection(*(set(cells[m]) for m in methods)))
    yield from _means(cells, methods, marks, common)
    yield from _families(cells, methods, marks, common)
    if len(methods) > 1:
        yield from _duels(cells, methods, marks)


def _means(cells: Any, methods: Sequence[str], marks: Sequence[str], common: Sequence[Pair]) -> Iterable[str]:
    """Mean regret and mean rank of each method, over the pairs that all have."""
    problems = len({problem for problem, _ in common})
    yield f"{len(common)} pairs of {problems} problems and a seed that all of these methods have:"
    yield ""
    if not common:
        return
    yield "| method | " + " | ".join([*(f"regret {m}" for m in marks), *(f"rank {m}" for m in marks)]) + " | ms |"
    yield "|---" * (2 * len(marks) + 2) + "|"
    scores = {m: _scores(cells, methods, m, common) for m in marks}
    ranks = {m: rankdata(s, axis=1) for m, s in scores.items()}
    for i, name in enumerate(methods):
        ms = np.mean([cells[name][p]["ms"] for p in common])
        parts = [f"{scores[m][:, i].mean():.4f}" if len(scores[m]) else "-" for m in marks]
        parts += [f"{ranks[m][:, i].mean():.2f}" if len(scores[m]) else "-" for m in marks]
        yield f"| {name} | " + " | ".join(parts) + f" | {ms:.1f} |"
    yield ""


def _families(cells: Any, methods: Sequence[str], marks: Sequence[str], common: Sequence[Pair]) -> Iterable[str]:
    """Mean regret by family of problems, the first part of a name, at the marks from the middle on."""
    families: dict[str, list[Pair]] = defaultdict(list)
    for pair in common:
        families[pair[0].partition("/" if "/" in pair[0] else "_")[0]].append(pair)
    if len(families) < 2:
        return
    shown = marks[len(marks) // 2 - (len(marks) > 1) :]
    yield f"Mean regret at {' / '.join(shown)} by family of problems:"
    yield ""
    yield "| family | pairs | " + " | ".join(methods) + " |"
    yield "|---" * (len(methods) + 2) + "|"
    for family, pairs in families.items():
        means = [_scores(cells, methods, m, pairs) for m in shown]
        told = [" / ".join(f"{s[:, i].mean():.3f}" if len(s) else "-" for s in means) for i in range(len(methods))]
        yield f"| {family} | {len(pairs)} | " + " | ".join(told) + " |"
    yield ""


def _duels(cells: Any, methods: Sequence[str], marks: Sequence[str]) -> Iterable[str]:
    """The first method against each other over what both ran, by Wilcoxon's signed-rank test, two-sided."""
    first = methods[0]
    yield f"{first} against each, over the pairs that both have (p of Wilcoxon's signed-rank test):"
    yield ""
    yield "| against | at | pairs | regret | theirs | won | lost | equal | p |"
    yield "|---" * 9 + "|"
    for other in methods[1:]:
        both = sorted(set(cells[first]) & set(cells[other]))
        for mark in marks:
            told = _scores(cells, [first, other], mark, both)
            if not len(told):
                continue
            gap = told[:, 1] - told[:, 0]
            won, lost = int((gap > 1e-12).sum()), int((gap < -1e-12).sum())
            p = float(wilcoxon(gap).pvalue) if won + lost else 1.0
            mine, theirs = told.mean(axis=0)
            yield (f"| {other} | {mark} | {len(gap)} | {mine:.4f} | {theirs:.4f} | {won} | {lost} "
                   f"| {len(gap) - won - lost} | {p:.2g} |")  # fmt: skip
    yield ""
