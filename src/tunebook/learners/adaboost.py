"""AdaBoost: shallow trees one after the other, each on the rows that those before it got wrong."""

from __future__ import annotations

from typing import Any, ClassVar

from tunebook.data import Dataset
from tunebook.learners.fitted import Fitted
from tunebook.learners.table import TableLearner, fitted, known, sklearn
from tunebook.learners.view import View
from tunebook.space import Config, Float, Int, Space


class AdaBoostLearner(TableLearner):
    """AdaBoost (Freund and Schapire 1997; SAMME of Zhu et al. 2009 for many classes, Drucker 1997 for values)."""

    name: ClassVar[str] = "adaboost"

    def space(self, dataset: Dataset) -> Space:
        """Rounds, learning rate and depth; 50 rounds at rate 1 first, as in scikit-learn; stumps for classes.

        Rate and rounds trade against each other; deeper trees help on larger tables (van Rijn and Hutter 2018,
        arXiv:1710.04725, where the depth matters most, then the rate).
        """
        return Space(
            rounds=Int(20, 400, log=True, default=50),
            learning_rate=Float(0.01, 2.0, log=True, default=1.0),
            max_depth=Int(1, 8, default=1 if dataset.classes else 3),
        )

    def fit(self, config: Config, view: View, seed: int) -> Fitted:
        known(config, ("rounds", "learning_rate", "max_depth"), self.name)
        kind = "Classifier" if view.classes else "Regressor"
        tree: Any = getattr(sklearn("tree"), f"DecisionTree{kind}")(max_depth=config.get("max_depth", 1))
        model: Any = getattr(sklearn("ensemble"), f"AdaBoost{kind}")
        told = {"n_estimators": config.get("rounds", 50), "learning_rate": config.get("learning_rate", 1.0)}
        return fitted(self, model(estimator=tree, random_state=seed, **told), view)
