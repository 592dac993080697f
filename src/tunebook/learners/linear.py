"""Linear regression with a penalty: ridge, lasso, elastic net."""

from __future__ import annotations

from typing import Any, ClassVar

from tunebook.data import Dataset
from tunebook.learners.fitted import Fitted
from tunebook.learners.table import TableLearner, fitted, known, sklearn
from tunebook.learners.view import View
from tunebook.space import Choice, Config, Float, Space, branch


class LinearLearner(TableLearner):
    """Least squares plus a penalty on the coefficients, on standardised inputs and targets."""

    name: ClassVar[str] = "linear"
    tasks: ClassVar[tuple[str, ...]] = ("regression",)

    def space(self, dataset: Dataset) -> Space:
        """The penalty and its strength; ridge with alpha 1, scikit-learn's default, first.

        Ranges: from next to none to one that leaves nothing. For targets of unit variance a lasso above alpha 1 has no
        coefficient left (Friedman, Hastie and Tibshirani 2010, J. Stat. Softw. 33(1), section 2.5), and they search
        three decades below that; the mixture is the elastic net's (Zou and Hastie 2005).
        """
        return Space(
            penalty=Choice(
                {
                    "ridge": Space(alpha=Float(1e-4, 1e4, log=True, default=1.0)),
                    "lasso": Space(alpha=Float(1e-5, 1.0, log=True, default=1e-2)),
                    "elastic_net": Space(
                        alpha=Float(1e-5, 1.0, log=True, default=1e-2), l1_ratio=Float(0.05, 0.95, default=0.5)
                    ),
                }
            )
        )

    def fit(self, config: Config, view: View, seed: int) -> Fitted:
        known(config, ("penalty",), self.name)
        module = sklearn("linear_model")
        kind, told = branch(config, "penalty")
        model: Any = {"ridge": module.Ridge, "lasso": module.Lasso, "elastic_net": module.ElasticNet}[kind]
        more: dict[str, Any] = {} if kind == "ridge" else {"max_iter": 5000, "random_state": seed}
        return fitted(self, model(**told, **more), view)
