"""Convolutional networks: images and sequences."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from tunebook.data import Dataset
from tunebook.learners.net import NetLearner
from tunebook.learners.spaces import activations, batch_size, no_table, optimizers
from tunebook.space import Choice, Config, Float, Int, Space
from tunebook.training.models import Shape, cnn
from tunebook.training.models.cnn import NAMES, POOLS


class CnnLearner(NetLearner):
    """Blocks of convolution and pooling under a dense head; see ``tunebook.training.models.cnn``."""

    name: ClassVar[str] = "cnn"
    names: ClassVar[tuple[str, ...]] = NAMES

    def space(self, dataset: Dataset) -> Space:
        """Depth, width, kernel, pooling, dense units, dropout, activation and the optimizer with its own settings.

        Raises DataError for a table.
        """
        if dataset.kind == "table":
            raise no_table(dataset, "a CNN needs images or sequences")
        # a map of fewer than 8 positions a side has nothing left to pool after two blocks
        deepest = 3 if min(dataset.inputs.shape[2:], default=dataset.inputs.shape[-1]) <= 16 else 5
        tokens = (
            {} if dataset.inputs.dtype.kind == "f" else {"embedding": Choice([16, 32, 64], ordered=True, default=32)}
        )
        return Space(
            tokens,
            blocks=Int(1, deepest, default=2),
            channels=Int(8, 32, log=True, default=16),
            # small kernels in depth see as far as large ones (Simonyan and Zisserman 2015, arXiv:1409.1556, 2.3), but
            # large ones may pay where there are few blocks
            kernel_size=Choice([3, 5, 7], ordered=True),
            pool_size=Choice([2, 3], ordered=True),
            pool=Choice(list(POOLS)),
            units=Int(16, 256, log=True, default=64),
            dropout=Float(0.0, 0.6, default=0.0),
            activation=activations(),
            optimizer=optimizers(),
            # constant: with it, learning rates that work span a wider range (Ioffe and Szegedy 2015, arXiv:1502.03167)
            norm="batch",
            # shortcuts pay in depth (He et al. 2016); with up to five blocks they are a choice
            residual=Choice([False, True]),
            head="flatten",
            batch_size=batch_size(dataset),
        )

    def build(self, config: Config, shape: Shape, outputs: int) -> nn.Module:
        return cnn(config, shape, outputs)
