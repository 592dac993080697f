"""Multi-layer perceptrons: tables, and anything else flattened."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from tunebook.data import Dataset
from tunebook.errors import DataError
from tunebook.learners.net import NetLearner
from tunebook.learners.spaces import activations, batch_size, optimizers
from tunebook.space import Choice, Config, Float, Int, Space
from tunebook.training.models import Shape, mlp
from tunebook.training.models.layers import NORMS
from tunebook.training.models.mlp import NAMES


class MlpLearner(NetLearner):
    """Hidden layers of one width; see ``tunebook.training.models.mlp``."""

    name: ClassVar[str] = "mlp"
    names: ClassVar[tuple[str, ...]] = NAMES

    def space(self, dataset: Dataset) -> Space:
        """Depth, width, activation, dropout, norm and the optimizer with its own settings; embeddings of categories.

        Raises DataError for token ids.
        """
        if dataset.inputs.dtype.kind != "f":
            raise DataError(
                "an MLP takes numbers that are measured, not token ids: these need an embedding",
                where=dataset.name,
                got=f"inputs of dtype {dataset.inputs.dtype}",
                fix="use the learner 'rnn', 'transformer' or 'cnn'",
            )
        # one size for all columns, as in Gorishniy et al. 2021; 0 leaves each category its own 0/1 column
        texts = dataset.encoding is not None and any(c.categories for c in dataset.encoding.columns)
        embedding = {"embedding": Choice([0, 4, 8, 16, 32], ordered=True)} if texts else {}
        return Space(
            embedding,
            # one or two hidden layers are enough for most tables (Gorishniy et al. 2021, arXiv:2106.11959, table 13)
            layers=Int(1, 4, default=2),
            units=Int(16, 512, log=True, default=128),
            activation=activations(),
            # the baseline has no regularisation: the playbook starts simple and adds what overfitting asks for
            dropout=Float(0.0, 0.6, default=0.0),
            norm=Choice(list(NORMS)),
            optimizer=optimizers(),
            batch_size=batch_size(dataset),
        )

    def build(self, config: Config, shape: Shape, outputs: int) -> nn.Module:
        return mlp(config, shape, outputs)
