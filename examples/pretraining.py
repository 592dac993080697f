"""Is pretraining worth it where labels are few? Self-made and offline, on MNIST-1D, with intervals over seeds.

The target: tell the classes 5 to 9 apart, from ten labelled examples of each. From a fresh start; after training on a
similar task, the classes 0 to 4; after training on a large set of all ten classes, other rows than those that judge.
About a minute; run it again and it takes up what is there. Needs `pip install mnist1d`.
"""

import argparse
from dataclasses import replace

import numpy as np
import torch

from tunebook import Goal
from tunebook.data import open_dataset
from tunebook.training import Part, Task, classification
from tunebook.training.models import cnn
from tunebook.training.pretrain import compare_starts

KNOWN = 5  # the target's classes are those from here on
JUDGED = 600  # rows that judge the target, and that nothing is learned from


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--folder", default="tunebook-runs/pretraining")
    ask.add_argument("--seeds", type=int, default=5)
    ask.add_argument(
        "--steps", type=int, default=20, help="epochs of a pretraining, and a third of those of the target"
    )
    ask.add_argument("--examples", type=int, default=10, help="of each class of the target")
    told = ask.parse_args()
    torch.set_num_threads(1)

    data = open_dataset("mnist1d")
    y = data.targets
    free = np.setdiff1d(np.arange(len(y)), data.test_rows)  # the published test part stays untouched
    goal = Goal("accuracy", "maximize", pick="last")  # nothing is chosen by the rows that judge

    def task(rows: np.ndarray, judged: np.ndarray, classes: range, epochs: int) -> Task:
        parts = [Part(torch.tensor(data.inputs[r]), torch.tensor(y[r] - classes.start)) for r in (rows, judged)]
        return classification(lambda c: cnn(c, (1, 40), len(classes)), *parts, epochs=epochs, goal=goal)

    def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows to learn from and rows that judge, other ones for each seed."""
        order = np.random.default_rng(seed).permutation(free)
        return order[JUDGED:], order[:JUDGED]

    def few(seed: int) -> Task:
        rows, judged = drawn(seed)
        chosen = np.concatenate([rows[y[rows] == digit][: told.examples] for digit in range(KNOWN, 10)])
        target = task(chosen, judged[y[judged] >= KNOWN], range(KNOWN, 10), 3 * told.steps)
        return replace(target, batch_size=16)

    def similar(seed: int) -> Task:
        rows, judged = drawn(seed)
        return task(rows[y[rows] < KNOWN], judged[y[judged] < KNOWN], range(KNOWN), told.steps)

    def large(seed: int) -> Task:
        return task(*drawn(seed), range(10), told.steps)

    config = {"blocks": 3, "channels": 16, "kernel_size": 5, "lr": 3e-3, "schedule": "cosine"}
    sources = {"similar task": similar, "large set": large}
    print(compare_starts(few, sources, config, seeds=told.seeds, tuning={"layer_decay": 0.5}, folder=told.folder))


if __name__ == "__main__":
    main()
