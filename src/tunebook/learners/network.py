"""Multi-layer perceptrons without torch: small networks for tables, as members of ensembles above all."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tunebook.data import Dataset
from tunebook.learners.fitted import Fitted
from tunebook.learners.table import TableLearner, fitted, known, sklearn, whole
from tunebook.learners.view import View
from tunebook.space import Choice, Config, Float, Int, Space

NAMES = ("layers", "units", "activation", "alpha", "learning_rate", "batch_size", "epochs")
RARE_ROWS = 20  # of a class: fewer cannot be split
STOPPING_FROM = 1_000  # rows from which on a tenth of them is worth keeping back to stop early


class NetworkLearner(TableLearner):
    """scikit-learn's perceptrons, trained by Adam on standardised inputs; ``mlp`` is the same family in torch.

    From 1,000 rows on a tenth of the training rows says when to stop; they are training rows all the same, as the rows
    that are validated on are never among them.
    """

    name: ClassVar[str] = "network"

    def space(self, dataset: Dataset) -> Space:
        """Depth, width, activation, L2, learning rate and batch; two hidden layers of 128 first.

        Ranges after Kadra et al. 2021 (arXiv:2106.11189) and Gorishniy et al. 2021 (arXiv:2106.11959), narrowed to what
        a CPU trains in seconds.
        """
        small = len(dataset) < STOPPING_FROM
        return Space(
            {
                "layers": Int(1, 3, default=2),
                "units": Int(16, 256, log=True, default=64 if small else 128),
                "activation": Choice(["relu", "tanh"]),
                "alpha": Float(1e-6, 10.0, log=True, default=1e-2 if small else 1e-4),
                "learning_rate": Float(3e-4, 3e-2, log=True, default=3e-3),
                "batch_size": Choice([32, 128, 512], ordered=True, default=32 if small else 128),
                "epochs": 100,
            }
        )

    def fit(self, config: Config, view: View, seed: int) -> Fitted:
        known(config, NAMES, self.name)
        module = sklearn("neural_network")
        model: Any = module.MLPClassifier if view.classes else module.MLPRegressor
        rows = len(view.train)
        enough = not view.classes or np.bincount(view.targets, minlength=len(view.classes)).min() >= RARE_ROWS
        network = model(
            hidden_layer_sizes=(whole(config, "units", 128),) * whole(config, "layers", 2),
            activation=config.get("activation", "relu"),
            alpha=config.get("alpha", 1e-4),
            learning_rate_init=config.get("learning_rate", 3e-3),
            batch_size=min(whole(config, "batch_size", 128), rows),
            max_iter=whole(config, "epochs", 100),
            early_stopping=rows >= STOPPING_FROM and enough,
            n_iter_no_change=8,
            random_state=seed,
        )
        told = fitted(self, network, view)
        for leftover in ("_optimizer", "_random_state"):  # of the training: not needed to predict, and not to be saved
            vars(told.estimator).pop(leftover, None)
        return told
