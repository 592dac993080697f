"""Forests of trees grown independently: random forests and extremely randomised trees."""

from __future__ import annotations

from typing import Any, ClassVar

from tunebook.data import Dataset
from tunebook.learners.fitted import Fitted
from tunebook.learners.table import TableLearner, class_weight, fitted, known, sklearn, weights
from tunebook.learners.view import View
from tunebook.space import Choice, Config, Float, Int, Space


class ForestLearner(TableLearner):
    """Random forests (Breiman 2001) and extra trees (Geurts et al. 2006); missing values go down a learned side."""

    name: ClassVar[str] = "forest"
    scaled: ClassVar[bool] = False

    def space(self, dataset: Dataset) -> Space:
        """Features a split may choose from, rows of a leaf, and the kind; the number of trees is not tuned.

        More trees are never worse on average, only slower (Probst and Boulesteix 2018, arXiv:1705.05654). What is
        worth tuning is max_features, then the leaf and the sample size (Probst, Wright and Boulesteix 2019,
        arXiv:1804.03515, section 4). Defaults are scikit-learn's: the square root of the features for classes, all of
        them for a regression.
        """
        features = max(1, len(dataset.feature_names) or dataset.inputs.shape[1])
        start = min(1.0, max(0.05, round(features**-0.5, 3))) if dataset.classes else 1.0
        return Space(
            {
                "kind": Choice(["random_forest", "extra_trees"]),
                "max_features": Float(0.05, 1.0, default=start),
                "min_samples_leaf": Int(1, 32, log=True, default=1),
                "trees": 100,
                **weights(dataset),
            }
        )

    def fit(self, config: Config, view: View, seed: int) -> Fitted:
        known(config, ("kind", "max_features", "min_samples_leaf", "trees", "class_weight"), self.name)
        module = sklearn("ensemble")
        kind = "ExtraTrees" if config.get("kind") == "extra_trees" else "RandomForest"
        model: Any = getattr(module, kind + ("Classifier" if view.classes else "Regressor"))
        told: dict[str, Any] = {
            "n_estimators": config.get("trees", 100),
            "max_features": config.get("max_features", 1.0),
            "min_samples_leaf": config.get("min_samples_leaf", 1),
            "random_state": seed,
        }
        weight = {"class_weight": class_weight(config)} if view.classes else {}
        return fitted(self, model(**told, **weight), view)
