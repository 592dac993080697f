"""Cross-validation of networks: steps are folds."""

from pathlib import Path

import numpy as np
import pytest

from tunebook.data import Split
from tunebook.learners import MlpLearner, load_model
from tunebook.learners.folded import Folded
from tunebook.objective import Run, play
from tunebook.trial import Context, Ended, Goal, Measured, Status

GOAL = Goal("accuracy", "maximize", pick="last")  # type: ignore[arg-type]


def test_a_network_is_measured_fold_by_fold(tmp_path: Path) -> None:
    inner = MlpLearner().objective("sklearn:wine", Split(), GOAL, 4, folds=3)
    objective = Folded(inner, GOAL, folds=3, inner_steps=4)
    config = {"units": 16, "batch_size": 32}
    run = Run(0, config, 3, tmp_path, 1, Context(seed=1), metric="accuracy")
    *told, ended = play(objective, run)
    assert isinstance(ended, Ended)
    assert ended.status is Status.COMPLETED, ended.failure
    measured = [e.measurement for e in told if isinstance(e, Measured)]
    folds = [m.metrics["fold_accuracy"] for m in measured]
    assert [m.step for m in measured] == [1, 2, 3]
    for i, m in enumerate(measured, 1):
        assert m.metrics["accuracy"] == pytest.approx(np.mean(folds[:i]))
    alone = Run(0, config, 4, tmp_path / "alone", 1, Context(seed=1, fold=1), metric="accuracy")
    best = max(e.measurement.metrics["accuracy"] for e in play(inner, alone) if isinstance(e, Measured))
    assert folds[1] == best
    again = [e.measurement.metrics for e in play(objective, run) if isinstance(e, Measured)]
    assert again == [m.metrics for m in measured]  # from the checkpoints of the folds


def test_a_final_training_leaves_a_model(tmp_path: Path) -> None:
    inner = MlpLearner().objective("sklearn:wine", Split(), GOAL, 4, folds=3)
    run = Run(0, {"units": 16}, 3, tmp_path, 1, Context(final=True), metric="train_accuracy")
    *told, ended = play(Folded(inner, GOAL, 3, 4), run)
    assert isinstance(ended, Ended)
    assert ended.status is Status.COMPLETED, ended.failure
    assert isinstance(told[-1], Measured)
    assert told[-1].measurement.step == 3
    assert load_model(tmp_path / "model").card.epoch >= 1
