"""Whatever family suits a table: the family is a choice, and each has its own space below it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import ClassVar

from tunebook.data import Dataset, Folds
from tunebook.errors import SettingError, nearest
from tunebook.learners.adaboost import AdaBoostLearner
from tunebook.learners.fitted import Fitted
from tunebook.learners.forest import ForestLearner
from tunebook.learners.histgb import HistGradientLearner
from tunebook.learners.knn import KnnLearner
from tunebook.learners.linear import LinearLearner
from tunebook.learners.logistic import LogisticLearner
from tunebook.learners.network import NetworkLearner
from tunebook.learners.svm import SvmLearner
from tunebook.learners.table import TableLearner
from tunebook.learners.view import View
from tunebook.learners.xgboost import XgboostLearner
from tunebook.space import Choice, Config, Float, Int, Space, branch

FAMILIES: tuple[type[TableLearner], ...] = (
    LogisticLearner,
    LinearLearner,
    HistGradientLearner,
    XgboostLearner,
    ForestLearner,
    SvmLearner,
    KnnLearner,
    AdaBoostLearner,
    NetworkLearner,
)
USUAL = ("logistic", "linear", "histgb", "xgboost", "forest", "svm", "knn", "network")
# what is tried first, the strongest first: (family, what is not its default). Small tables as a rule are won by smooth
# models and forests, others by boosting; slow and shallow boosting is what most of its tuned winners look like
PRESETS: tuple[tuple[str, Config], ...] = (
    ("xgboost", {}),
    ("histgb", {}),
    ("xgboost", {"rounds": 300, "learning_rate": 0.05, "max_depth": 5, "subsample": 0.8, "colsample_bytree": 0.7}),
    ("svm", {}),
    ("forest", {}),
    ("histgb", {"rounds": 300, "learning_rate": 0.05, "max_leaf_nodes": 15, "max_features": 0.7}),
    ("forest", {"kind": "extra_trees"}),
    ("network", {}),
    ("knn", {"k": 11, "weights": "distance"}),
    ("adaboost", {}),
    ("linear", {}),
    ("logistic", {}),
)
LARGE_FIRST: tuple[tuple[str, Config], ...] = (
    ("xgboost", {"rounds": 400, "max_depth": 7, "subsample": 0.8, "colsample_bytree": 0.7}),
    ("histgb", {"rounds": 300, "max_leaf_nodes": 63}),
)
# how much the families are believed to hold the best: on trees against the rest see Grinsztajn et al. 2022
# (arXiv:2207.08815) and McElfresh et al. 2023 (arXiv:2305.02997)
LIKELY = {"xgboost": 3.0, "histgb": 3.0, "forest": 2.0, "svm": 2.0}
# where most tuned values of boosting lie, cf. Probst, Boulesteix and Bischl 2019 (arXiv:1802.09596): the few
# configurations that a short time allows are drawn from there, two of three, and a model soon outweighs it
RANGES: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "xgboost": {"rounds": (80, 500), "learning_rate": (0.03, 0.2), "max_depth": (4, 9), "min_child_weight": (0.5, 10.0),
                "subsample": (0.6, 1.0), "colsample_bytree": (0.5, 1.0), "reg_lambda": (0.1, 10.0)},
    "histgb": {"rounds": (80, 500), "learning_rate": (0.03, 0.2), "max_leaf_nodes": (10, 63),
               "min_samples_leaf": (5, 50), "l2_regularization": (1e-6, 10.0), "max_features": (0.5, 1.0)},
}  # fmt: skip
SMOOTH = ("svm", "network", "knn")  # for few rows: elsewhere they cost more than they find, and are no presets
# rows beyond which a family takes too long for what it gives: kernels look at every pair of rows
MOST_ROWS = {"svm": 5_000, "knn": 100_000}
SMALL, LARGE = 1_000, 20_000


class AutoLearner(TableLearner):
    """The families of ``names``, or those that are usual for the data; the first of them is the baseline."""

    name: ClassVar[str] = "auto"

    def __init__(self, names: tuple[str, ...] = ()) -> None:
        known = {family.name: family for family in FAMILIES}
        for name in names:
            if name not in known:
                raise SettingError("unknown model family", where="families", got=repr(name),
                                   expected=nearest(name, known))  # fmt: skip
        self.names = names

    def families(self, dataset: Dataset) -> list[TableLearner]:
        """The families that fit the data, simple ones first. Raises SettingError when none does."""
        wanted = self.names or USUAL
        made = [family() for family in FAMILIES if family.name in wanted and dataset.task in family.tasks]
        if not self.names:
            made = [f for f in made if len(dataset) <= MOST_ROWS.get(f.name, len(dataset))]
            made = [f for f in made if f.name != "xgboost" or find_spec("xgboost") is not None]
        if not made:
            raise SettingError(f"no family of these is for a {dataset.task}", where="families",
                               got=", ".join(self.names), fix="leave families out")  # fmt: skip
        return made

    def load(self) -> None:
        for family in FAMILIES:
            if family.name in (self.names or USUAL) and (family is not XgboostLearner or find_spec("xgboost")):
                family().load()

    def space(self, dataset: Dataset) -> Space:
        """``family``, and below it the space of each."""
        families = self.families(dataset)
        few = len(dataset) <= SMALL
        likely = [LIKELY.get(f.name, 1.0) if few or f.name not in SMOOTH else 0.5 for f in families]
        return Space(family=Choice({f.name: _believed(f.name, f.whole(dataset)) for f in families}, likely=likely))

    def presets(self, dataset: Dataset) -> list[Config]:
        """Configurations to try before any search, the most promising first; what they lack has its default.

        Large and slow models come first only where a share of the rows tells soon what they take.
        """
        spaces, rows = {f.name: f.whole(dataset) for f in self.families(dataset)}, len(dataset)
        few = rows <= SMALL or bool(self.names)
        told = [*(LARGE_FIRST if rows > LARGE else ()), *(p for p in PRESETS if few or p[0] not in SMOOTH)]
        return [{"family": name, **{f"family.{name}.{key}": value for key, value in settings.items()}}
                for name, settings in told if name in spaces and all(key in spaces[name].parameters for key in settings)
                ]  # fmt: skip

    def fit(self, config: Config, view: View, seed: int) -> Fitted:
        name, told = branch(config, "family")
        learner = next(family for family in FAMILIES if family.name == name)()
        return learner.fit(told, view, seed)


def _believed(family: str, space: Space) -> Space:
    """A family's space, with where good values are believed to be."""
    told = {n: p if not isinstance(p, Float | Int) else replace(p, likely=RANGES.get(family, {}).get(n))
            for n, p in space.parameters.items()}  # fmt: skip
    return Space({**told, **space.constants}, conditions=space.conditions)


def folds_for(rows: int) -> Folds:
    """How to measure a configuration on so many rows: small tables twice over, as one draw of folds is noisy there;
    large ones on one part, after training on growing shares of the rest."""
    if rows <= SMALL:
        return Folds(5, 2)
    return Folds(5) if rows <= LARGE else Folds(5, fractions=(0.1, 0.3, 1.0))
