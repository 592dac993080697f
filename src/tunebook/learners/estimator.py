"""Any scikit-learn estimator or Pipeline, with any space."""

from __future__ import annotations

from typing import Any, ClassVar

from tunebook.data import Dataset
from tunebook.errors import SettingError, nearest
from tunebook.learners.fitted import Estimator, Fitted
from tunebook.learners.table import TableLearner, fit_quietly, sklearn
from tunebook.learners.view import View
from tunebook.space import Config, Space


class EstimatorLearner(TableLearner):
    """An estimator of one's own: the names of the space are those of its ``get_params`` (``clf__C`` in a Pipeline).

    It gets inputs as they are, with NaN where a value is missing, so its preprocessing belongs into the Pipeline: there
    it learns from training rows only. A hyperparameter below a choice goes by its last name (``kernel.rbf.gamma`` sets
    ``gamma``). ``random_state`` is set to the seed of the run where it has one. Raises SettingError.
    """

    name: ClassVar[str] = "estimator"
    scaled: ClassVar[bool] = False

    def __init__(self, estimator: Any, space: Space) -> None:
        if not all(hasattr(estimator, name) for name in ("fit", "predict", "get_params", "set_params")):
            raise SettingError("this is not a scikit-learn estimator", where="estimator", got=type(estimator).__name__,
                               expected="fit, predict, get_params and set_params")  # fmt: skip
        self.estimator, self._space = estimator, space
        known = estimator.get_params()
        for name in (*space.names, *space.constants):
            if name.rpartition(".")[2] not in known and not _selects(space, name):
                raise SettingError("the estimator has no parameter of this name", where=name,
                                   expected=nearest(name, known))  # fmt: skip

    def space(self, dataset: Dataset) -> Space:
        """The space that was given."""
        return self._space

    def fit(self, config: Config, view: View, seed: int) -> Fitted:
        told = {name.rpartition(".")[2]: value for name, value in config.items()}
        estimator = sklearn("base").clone(self.estimator)
        known = estimator.get_params()
        seeds = {n: seed for n in known if n.rpartition("__")[2] == "random_state"}
        estimator.set_params(**seeds, **{n: v for n, v in told.items() if n in known})
        return Estimator(fit_quietly(estimator, view.raw, view.targets), len(view.classes), False)


def _selects(space: Space, name: str) -> bool:
    """Whether a name only says which hyperparameters there are."""
    return any(name in rule for rule in space.conditions.values())
