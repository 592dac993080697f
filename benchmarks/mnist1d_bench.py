"""mnist1d (Greydanus and Kobak 2024, arXiv:2011.14439) tuned by tunebook beside the accuracies that its paper reports.

    make bench-mnist1d
    .venv/bin/python benchmarks/mnist1d_bench.py --only gru --trials 24

Each family is tuned by the playbook on a validation part of the 4,000 training examples, its winner is trained on all
of them, and the 1,000 test examples are looked at once. The spaces lie around the published models; what is not in
them is as published (batches of 100) or fixed here (AdamW, cosine schedule). In the row "mlp-shifted" the playbook
also chooses how far training sequences are moved at random: the paper's models had nothing of the kind.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunebook import Choice, Float, Int, Space, tune_model
from tunebook.jobs import Result
from tunebook.space import Parameter, Value

ITEMS = Mapping[str, Parameter | Value]
TRAINING: ITEMS = {
    "optimizer": "adamw",
    "weight_decay": Float(1e-3, 3.0, log=True, default=1e-1),
    "batch_size": 100,
    "schedule": "cosine",
}
SHIFTED: ITEMS = {"shift": Float(0.0, 0.25, default=0.0)}
MLP: ITEMS = {
    "layers": Int(1, 3, default=2),
    "units": Int(128, 512, log=True, default=256),
    "activation": Choice(["relu", "gelu", "tanh"]),
    "dropout": Float(0.0, 0.5, default=0.0),
    "norm": Choice(["none", "batch", "layer"]),
    "lr": Float(3e-4, 1e-2, log=True, default=3e-3),
    **TRAINING,
}
CNN: ITEMS = {
    "blocks": Int(2, 4, default=3),
    "channels": Int(16, 32, log=True, default=25),
    "kernel_size": Choice([3, 5, 7], ordered=True, default=5),
    "head": Choice(["flatten", "average"]),
    "units": Choice([0, 64], ordered=True),
    "dropout": Float(0.0, 0.5, default=0.0),
    "lr": Float(1e-3, 3e-2, log=True, default=3e-3),
    **TRAINING,
}
GRU: ITEMS = {
    "cell": "gru",
    "units": Int(16, 64, log=True, default=32),
    "bidirectional": Choice([False, True]),
    "pool": Choice(["last", "mean", "max"]),
    "patch": Choice([1, 2], ordered=True),
    "dropout": Float(0.0, 0.5, default=0.0),
    "lr": Float(3e-3, 3e-2, log=True, default=1e-2),
    "clip_norm": 1.0,
    **TRAINING,
}


@dataclass(frozen=True)
class Entry:
    """A row of the table: what is tuned, over what, for how long, and what the paper reports of such a model."""

    name: str
    family: str
    items: ITEMS
    published: float
    epochs: int
    trials: int


ENTRIES = (
    Entry("logistic", "mlp", {"layers": 0, "lr": Float(1e-3, 1e-1, log=True, default=1e-2), **TRAINING}, 0.32, 30, 16),
    Entry("mlp", "mlp", MLP, 0.68, 60, 24),
    Entry("mlp-shifted", "mlp", {**MLP, **SHIFTED}, 0.68, 60, 24),
    Entry("cnn", "cnn", CNN, 0.94, 40, 16),
    Entry("gru", "rnn", GRU, 0.91, 60, 16),
)


def main(words: list[str] | None = None) -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--folder", default="tunebook-runs/bench-mnist1d", help="studies that are there are taken up")
    ask.add_argument("--only", default="", help="names of rows, with commas")
    ask.add_argument("--trials", type=int, default=None, help="budget of each row, instead of its own")
    ask.add_argument("--epochs", type=int, default=None, help="length of a full training, instead of each row's own")
    ask.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    ask.add_argument("--seed", type=int, default=0)
    told = ask.parse_args(words)
    wanted = [name.strip() for name in told.only.split(",")] if told.only else [e.name for e in ENTRIES]
    unknown = [name for name in wanted if name not in {e.name for e in ENTRIES}]
    if unknown:
        ask.error(f"no such row: {', '.join(unknown)}; rows: {', '.join(e.name for e in ENTRIES)}")
    lines = list(table([e for e in ENTRIES if e.name in wanted], told))
    print("\n".join(lines))
    return 0


def table(entries: list[Entry], told: argparse.Namespace) -> Iterator[str]:
    """The lines of the table, a row a model, as they come."""
    head = ("model", "published", "test", "95 % interval", "validation", "numbers", "epochs", "trials", "minutes")
    yield "| " + " | ".join(head) + " |"
    yield "|---" * len(head) + "|"
    for entry in entries:
        began = time.monotonic()
        folder = Path(told.folder) / entry.name
        epochs = told.epochs or entry.epochs
        result = tune_model(entry.family, "mnist1d", space=Space(dict(entry.items)), steps=epochs,
                            trials=told.trials or entry.trials, folder=folder, workers=told.workers, seed=told.seed,
                            quiet=True)  # fmt: skip
        line = "| " + " | ".join(row(entry, result, (time.monotonic() - began) / 60)) + " |"
        print(line, "  ", tell(result.config), file=sys.stderr, flush=True)
        yield line


def row(entry: Entry, result: Result, minutes: float) -> list[str]:
    """The cells of a finished study."""
    if result.test is None:
        return [entry.name, f"{entry.published:.0%}", *["not reached: the budget is too small"], *[""] * 6]
    value, low, high = result.test.metrics["accuracy"]
    best = min((t for t in result.trials.values() if not t.context.final), key=lambda t: t.loss(result.goal))
    told: Mapping[str, Any] = result.trials.notes["capacity"]
    final = [t for t in result.trials.values() if t.context.final][-1]
    return [
        entry.name,
        f"{entry.published:.0%}",
        f"{value:.1%}",
        f"{low:.1%} to {high:.1%}",
        f"{best.value(result.goal):.1%}",
        f"{told['parameters']:,}",
        str(final.step),
        str(len(result.trials)),
        f"{minutes:.1f}",
    ]


def tell(config: Mapping[str, Value]) -> str:
    return ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in config.items())


if __name__ == "__main__":
    sys.exit(main())
