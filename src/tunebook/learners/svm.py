"""Support vector machines."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tunebook.data import Dataset
from tunebook.learners.fitted import Fitted
from tunebook.learners.table import TableLearner, class_weight, fitted, known, sklearn, weights
from tunebook.learners.view import View
from tunebook.space import Choice, Config, Float, Int, Space, branch

FOLDS = 3  # of the calibration
STEPS, LEAST_STEPS = 20, 20_000  # of the solver: for each row, and at least; machines that are any good need fewer


class SvmLearner(TableLearner):
    """Support vector classification with calibrated probabilities, or regression, on standardised inputs.

    Probabilities are by Platt's sigmoid (1999) on out-of-fold scores, with one machine trained on all rows.
    """

    name: ClassVar[str] = "svm"

    def space(self, dataset: Dataset) -> Space:
        """Kernel, C, and gamma or degree; the RBF kernel with C = 1 and gamma = 1 / features first, as scikit-learn's
        defaults are on standardised inputs.

        Ranges after Hsu, Chang and Lin, "A practical guide to support vector classification" (2003, section 3.2):
        C 2^-5 to 2^15, gamma 2^-15 to 2^3; cut where fits of large C take long.
        """
        features = int(np.prod(dataset.inputs.shape[1:]))
        gamma = Float(3e-5, 8.0, log=True, default=round(1 / features, 6))
        regression = {} if dataset.classes else {"epsilon": Float(1e-3, 1.0, log=True, default=0.1)}
        kernel = Choice({"rbf": Space(gamma=gamma), "linear": Space(), "poly": Space(gamma=gamma, degree=Int(2, 4))})
        cost = Float(3e-2, 1e3, log=True, default=1.0)
        return Space({"C": cost, "kernel": kernel, **regression, **weights(dataset)})

    def fit(self, config: Config, view: View, seed: int) -> Fitted:
        known(config, ("C", "kernel", "epsilon", "class_weight"), self.name)
        module = sklearn("svm")
        kernel, told = branch(config, "kernel")
        more: dict[str, Any] = {"C": config.get("C", 1.0), "kernel": kernel, "cache_size": 500, **told}
        more["max_iter"] = max(LEAST_STEPS, STEPS * len(view.train))
        if not view.classes:
            return fitted(self, module.SVR(epsilon=config.get("epsilon", 0.1), **more), view)
        machine = module.SVC(class_weight=class_weight(config), random_state=seed, **more)
        if np.bincount(view.targets, minlength=len(view.classes)).min() < FOLDS:
            return fitted(self, machine, view)  # too few rows of a class to calibrate on: labels only
        calibrated = sklearn("calibration").CalibratedClassifierCV(machine, cv=FOLDS, ensemble=False)
        return fitted(self, calibrated, view)
