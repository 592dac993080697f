"""Gradient boosting by XGBoost, trained round by round."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tunebook.data import Dataset
from tunebook.learners.fitted import Boosted, Fitted, xgboost
from tunebook.learners.table import RoundsLearner, known, weights
from tunebook.learners.view import View
from tunebook.space import Config, Float, Int, Space

NAMES = ("max_depth", "min_child_weight", "learning_rate", "subsample", "colsample_bytree", "reg_lambda", "reg_alpha")
OTHERS = ("rounds", "rounds_per_step", "class_weight")


class XgboostLearner(RoundsLearner):
    """XGBoost (Chen and Guestrin 2016) with histograms; missing values go down a learned side, and categories of 12
    levels or more are split on as sets.

    Each round draws from the seed and its number, so a booster that is taken up again ends like one that never paused.
    """

    name: ClassVar[str] = "xgboost"

    def load(self) -> None:
        xgboost()

    def space(self, dataset: Dataset) -> Space:
        """Depth, leaf weight, learning rate, sampling and regularisation; XGBoost's defaults first, but for the rate,
        which is 0.1: with it the default number of rounds is enough and overfits less.

        What matters most is the rate, then subsample, depth and leaf weight; ranges after Probst, Boulesteix and
        Bischl 2019 (arXiv:1802.09596, tables 1 and 3), narrowed where a CPU would only be slower: rates below 0.01 and
        depths above 12.
        """
        return Space(
            {
                "learning_rate": Float(0.01, 0.5, log=True, default=0.1),
                "max_depth": Int(2, 12, default=6),
                "min_child_weight": Float(0.1, 64.0, log=True, default=1.0),
                "subsample": Float(0.4, 1.0, default=1.0),
                "colsample_bytree": Float(0.3, 1.0, default=1.0),
                "reg_lambda": Float(1e-3, 1e3, log=True, default=1.0),
                "reg_alpha": Float(1e-6, 10.0, log=True, default=1e-6),
                "rounds_per_step": 10,
                **weights(dataset),
            }
        )

    def rounds(self, config: Config, view: View, seed: int, to: int, state: Any) -> tuple[Fitted, Any]:
        known(config, (*NAMES, *OTHERS), self.name)
        module = xgboost()
        kept, matrix = state or (None, None)
        if matrix is None:
            inputs, weight = view.coded.apply(view.raw), row_weights(config, view)
            matrix = module.DMatrix(inputs, label=view.targets, weight=weight, **_kinds(view))
        # a new booster each time, also where this one could go on: what it draws and rounds depends on its history
        booster = module.Booster(parameters(config, len(view.classes), seed), cache=[matrix])
        if kept is not None:
            booster.load_model(bytearray(kept))
        for number in range(booster.num_boosted_rounds(), to):
            booster.update(matrix, number)
        raw = bytes(booster.save_raw(raw_format="ubj"))
        return Boosted(booster, len(view.classes), coded=view.coded), (raw, matrix)

    def keep(self, state: Any) -> bytes:
        kept: bytes = state[0]
        return kept

    def take_up(self, kept: bytes) -> Any:
        return kept, None


def _kinds(view: View) -> dict[str, Any]:
    """How XGBoost is told which columns are codes."""
    if not view.coded.groups:
        return {}
    kinds = ["c" if code else "q" for code in view.coded.is_code(view.features)]
    return {"feature_types": kinds, "enable_categorical": True}


def parameters(config: Config, classes: int, seed: int) -> dict[str, Any]:
    """XGBoost's parameters of a configuration."""
    objective = "reg:squarederror" if not classes else "binary:logistic" if classes == 2 else "multi:softprob"
    told: dict[str, Any] = {name: config[name] for name in NAMES if name in config}
    told |= {"objective": objective, "tree_method": "hist", "verbosity": 0, "seed": seed, "seed_per_iteration": True}
    return told | ({"num_class": classes} if classes > 2 else {})


def row_weights(config: Config, view: View) -> Any:
    """(m,) weights that make each class count as much as any other; None without."""
    if config.get("class_weight", "none") == "none" or not view.classes:
        return None
    counts = np.bincount(view.targets, minlength=len(view.classes))
    return (len(view.targets) / (len(view.classes) * np.maximum(counts, 1)))[view.targets]
