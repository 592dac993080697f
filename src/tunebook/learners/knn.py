"""Nearest neighbours."""

from __future__ import annotations

from typing import Any, ClassVar

from tunebook.data import Dataset
from tunebook.learners.fitted import Fitted
from tunebook.learners.table import TableLearner, fitted, known, sklearn, whole
from tunebook.learners.view import View
from tunebook.space import Choice, Config, Int, Space


class KnnLearner(TableLearner):
    """The vote, or the mean, of the k nearest training rows, on standardised inputs."""

    name: ClassVar[str] = "knn"

    def space(self, dataset: Dataset) -> Space:
        """k, whether near neighbours count more, and the metric; 5 equal neighbours first, as in scikit-learn.

        k up to the square root of the rows, an old rule of thumb (Duda and Hart 1973), doubled to be wide.
        """
        most = int(max(10, min(200, 2 * len(dataset) ** 0.5)))
        return Space(
            k=Int(1, most, log=True, default=5),
            weights=Choice(["uniform", "distance"]),
            metric=Choice(["euclidean", "manhattan"]),
        )

    def fit(self, config: Config, view: View, seed: int) -> Fitted:
        known(config, ("k", "weights", "metric"), self.name)
        module = sklearn("neighbors")
        model: Any = module.KNeighborsClassifier if view.classes else module.KNeighborsRegressor
        k = min(whole(config, "k", 5), len(view.train))
        told = {"weights": config.get("weights", "uniform"), "metric": config.get("metric", "euclidean")}
        return fitted(self, model(n_neighbors=k, **told), view)
