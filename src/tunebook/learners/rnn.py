"""Recurrent networks: sequences, images row by row, and token ids."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from tunebook.data import Dataset
from tunebook.learners.net import NetLearner
from tunebook.learners.spaces import activations, batch_size, no_table, optimizers, patches
from tunebook.space import Choice, Config, Float, Int, Space
from tunebook.training.models import Shape, rnn
from tunebook.training.models.rnn import NAMES


class RnnLearner(NetLearner):
    """GRU, LSTM or plain recurrent layers under a dense head; see ``tunebook.training.models.rnn``."""

    name: ClassVar[str] = "rnn"
    names: ClassVar[tuple[str, ...]] = NAMES

    def space(self, dataset: Dataset) -> Space:
        """Cell, units, layers, directions, pooling, segment, dropout and the optimizer with its own settings.

        Raises DataError for a table.
        """
        if dataset.kind == "table":
            raise no_table(dataset, "a recurrent network needs sequences")
        shape = dataset.inputs.shape[1:]
        steps = shape[1] if len(shape) == 3 else shape[-1]
        tokens = dataset.inputs.dtype.kind != "f"
        start = {"embedding": Choice([16, 32, 64], ordered=True, default=32)} if tokens else patches(steps)
        return Space(
            start,
            # a GRU learns as well as an LSTM with fewer numbers (Chung et al. 2014, arXiv:1412.3555)
            cell=Choice(["gru", "lstm", "rnn"]),
            units=Int(8, 128, log=True, default=32),
            layers=Int(1, 3, default=1),
            bidirectional=Choice([False, True]),
            pool=Choice(["last", "mean", "max"]),
            dropout=Float(0.0, 0.6, default=0.0),
            head_units=Choice([0, 32, 64, 128], ordered=True),
            activation=activations(),
            optimizer=optimizers(),
            # constant: gradients through many steps explode now and then (Pascanu et al. 2013, arXiv:1211.5063)
            clip_norm=1.0,
            batch_size=batch_size(dataset),
        )

    def build(self, config: Config, shape: Shape, outputs: int) -> nn.Module:
        return rnn(config, shape, outputs)
