"""K-means: clusters without targets, their number chosen by silhouette, with a look at stability."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tunebook.data import Dataset, Folds, Split
from tunebook.errors import SettingError, nearest
from tunebook.learners.base import Learner
from tunebook.learners.fitted import Estimator, Fitted
from tunebook.learners.table import TableLearner, TableObjective, fit_quietly, known, sklearn, whole
from tunebook.learners.view import View
from tunebook.objective import Run
from tunebook.space import Choice, Config, Int, Space
from tunebook.trial import Direction, Goal, Measurement

Array = NDArray[Any]
METRICS = ("silhouette", "stability", "inertia")
MOST_SCORED = 2_000  # rows at most whose silhouette is measured: it looks at every pair


class KMeansLearner(TableLearner):
    """K-means with k-means++ starts (Arthur and Vassilvitskii 2007) on standardised inputs. Targets are not looked at.

    silhouette   of the validation rows with the centroids learned from the training rows (Rousseeuw 1987)
    stability    adjusted Rand index, on the validation rows, of the clusterings that two halves of the training rows
                 give (Ben-Hur, Elisseeff and Guyon 2002): near 1 where the clusters are there, not drawn
    inertia      mean squared distance of a validation row to its centroid
    """

    name: ClassVar[str] = "kmeans"
    supervised: ClassVar[bool] = False

    def goal(self, dataset: Dataset) -> Goal:
        """Silhouette."""
        return Goal("silhouette", Direction.MAXIMIZE)

    def metrics(self, dataset: Dataset) -> list[str]:
        return list(METRICS)

    def costs(self) -> list[str]:
        return Learner.costs(self)

    def space(self, dataset: Dataset) -> Space:
        """The number of clusters, from 2, and how they start; scikit-learn's 8 clusters first."""
        most = int(max(3, min(20, len(dataset) // 10)))
        return Space(clusters=Int(2, most, default=min(8, most)), init=Choice(["k-means++", "random"]))

    def fit(self, config: Config, view: View, seed: int) -> Fitted:
        known(config, ("clusters", "init"), self.name)
        return Clusters(_fitted(config, view.scaled, seed), 0, True)

    def objective(self, data: str, split: Split, goal: Goal, steps: int, folds: Folds | None = None) -> TableObjective:
        """As ``Learner.objective``, for the goals silhouette, stability and inertia."""
        if goal.metric not in METRICS:
            raise SettingError("this is no metric of a clustering", where="metric", got=goal.metric,
                               expected=nearest(goal.metric, METRICS), code="CONFIG-049")  # fmt: skip
        return ClusterObjective(self, data, split, goal, steps, folds)


class Clusters(Estimator):
    """A fitted K-means: what it predicts is the number of the cluster."""


class ClusterObjective(TableObjective):
    """Learns centroids from training rows and looks at how they do on validation rows."""

    def __call__(self, run: Run) -> Iterator[Measurement]:
        if run.context.final:
            yield from self._last(run)
            return
        began = time.perf_counter()
        share = run.context.fraction * run.until / self.steps
        seen = self.view(replace(run.context, fraction=min(1.0, share)))
        scores = clustered(run.config, seen, run.seed)
        yield Measurement(run.until, scores, time.perf_counter() - began)

    def _last(self, run: Run) -> Iterator[Measurement]:
        began = time.perf_counter()
        seen = self.view(run.context)
        fitted = self.learner.fit(run.config, seen, run.seed)
        assert isinstance(fitted, Clusters)
        scores = {f"train_{n}": v for n, v in _scores(fitted.estimator, seen.scaled).items()}
        scores["train_stability"] = 1.0
        self.save(run, fitted, seen, scores)
        yield Measurement(run.until, scores, time.perf_counter() - began)


def clustered(config: Config, seen: View, seed: int) -> dict[str, float]:
    """The scores of a configuration on the validation rows of a view."""
    rows = seen.inputs(seen.valid, True)
    model = _fitted(config, seen.scaled, seed)
    order = np.random.default_rng([seed, 5]).permutation(len(seen.scaled))
    halves = [_fitted(config, seen.scaled[half], seed).predict(rows) for half in np.array_split(order, 2)]
    stability = float(sklearn("metrics").adjusted_rand_score(*halves))
    return {**_scores(model, rows), "stability": stability}


def _fitted(config: Config, inputs: Array, seed: int) -> Any:
    clusters = min(whole(config, "clusters", 8), len(inputs))
    model = sklearn("cluster").KMeans(clusters, init=config.get("init", "k-means++"), n_init=5, random_state=seed)
    return fit_quietly(model, inputs, None)


def _scores(model: Any, rows: Array) -> dict[str, float]:
    """Silhouette (-1 where all rows are in one cluster, or each in its own) and inertia."""
    rows = rows[np.sort(np.random.default_rng(0).permutation(len(rows))[:MOST_SCORED])]
    labels = model.predict(rows)
    inertia = float(((rows - model.cluster_centers_[labels]) ** 2).sum(axis=1).mean())
    found = len(np.unique(labels))
    fits = 2 <= found < len(rows)
    silhouette = float(sklearn("metrics").silhouette_score(rows, labels)) if fits else -1.0
    return {"silhouette": silhouette, "inertia": inertia}
