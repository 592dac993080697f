"""Gradient boosting on histograms, scikit-learn's own."""

from __future__ import annotations

from typing import Any, ClassVar

from tunebook.data import Dataset
from tunebook.learners.fitted import Estimator, Fitted, dumped, loaded
from tunebook.learners.table import RoundsLearner, class_weight, fit_quietly, known, sklearn, weights
from tunebook.learners.view import View
from tunebook.space import Config, Float, Int, Space

NAMES = ("learning_rate", "max_leaf_nodes", "min_samples_leaf", "l2_regularization", "max_features")


class HistGradientLearner(RoundsLearner):
    """HistGradientBoosting, which follows LightGBM (Ke et al. 2017); missing values go down a learned side.

    Categories of 12 levels or more are split on as sets.
    """

    name: ClassVar[str] = "histgb"

    def space(self, dataset: Dataset) -> Space:
        """Learning rate, leaves, rows of a leaf, L2 and features a split; scikit-learn's defaults first.

        Ranges as of LightGBM in the AutoML benchmarks (Gijsbers et al. 2024, arXiv:2207.12560) where they overlap;
        leaves up to 255, beyond which a tree on histograms of 255 bins gains little.
        """
        return Space(
            {
                "learning_rate": Float(0.01, 0.5, log=True, default=0.1),
                "max_leaf_nodes": Int(4, 255, log=True, default=31),
                "min_samples_leaf": Int(2, 200, log=True, default=20),
                "l2_regularization": Float(1e-6, 1e3, log=True, default=1e-6),
                "max_features": Float(0.3, 1.0, default=1.0),
                "rounds_per_step": 10,
                **weights(dataset),
            }
        )

    def rounds(self, config: Config, view: View, seed: int, to: int, state: Any) -> tuple[Fitted, Any]:
        known(config, (*NAMES, "rounds", "rounds_per_step", "class_weight"), self.name)
        if state is None:
            module = sklearn("ensemble")
            kind = "Classifier" if view.classes else "Regressor"
            model: Any = getattr(module, f"HistGradientBoosting{kind}")
            told = {name: config[name] for name in NAMES if name in config}
            weight = {"class_weight": class_weight(config)} if view.classes else {}
            columns = {"categorical_features": view.coded.is_code(view.features)} if view.coded.groups else {}
            state = model(early_stopping=False, warm_start=True, random_state=seed, **told, **weight, **columns)
        state.set_params(max_iter=to)
        fit_quietly(state, view.coded.apply(view.raw), view.targets)
        return Estimator(state, len(view.classes), False, view.coded), state

    def keep(self, state: Any) -> bytes:
        return dumped(state)

    def take_up(self, kept: bytes) -> Any:
        return loaded(kept, "the state of a run")
