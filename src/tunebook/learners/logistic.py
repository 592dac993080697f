"""Logistic regression."""

from __future__ import annotations

from typing import ClassVar

from tunebook.data import Dataset
from tunebook.learners.fitted import Fitted
from tunebook.learners.table import TableLearner, class_weight, fitted, known, sklearn, weights
from tunebook.learners.view import View
from tunebook.space import Config, Float, Space


class LogisticLearner(TableLearner):
    """Multinomial logistic regression with an L2 penalty, on standardised inputs."""

    name: ClassVar[str] = "logistic"
    tasks: ClassVar[tuple[str, ...]] = ("classification",)

    def space(self, dataset: Dataset) -> Space:
        """The inverse strength C of the penalty, and class weights where classes are imbalanced.

        C = 1 is scikit-learn's default and is first; its LogisticRegressionCV searches the same 1e-4 to 1e4.
        """
        return Space({"C": Float(1e-4, 1e4, log=True, default=1.0), **weights(dataset)})

    def fit(self, config: Config, view: View, seed: int) -> Fitted:
        known(config, ("C", "class_weight"), self.name)
        model = sklearn("linear_model").LogisticRegression
        weight = class_weight(config)
        return fitted(self, model(C=config.get("C", 1.0), class_weight=weight, max_iter=500, random_state=seed), view)
