"""Transformer encoders: sequences, images in patches, and token ids."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from tunebook.data import Dataset
from tunebook.learners.net import NetLearner
from tunebook.learners.spaces import activations, batch_size, no_table, optimizers, patches
from tunebook.space import Choice, Config, Float, Int, Space
from tunebook.training.models import Shape, transformer
from tunebook.training.models.transformer import NAMES


class TransformerLearner(NetLearner):
    """Blocks of attention and feed-forward; see ``tunebook.training.models.transformer``."""

    name: ClassVar[str] = "transformer"
    names: ClassVar[tuple[str, ...]] = NAMES

    def space(self, dataset: Dataset) -> Space:
        """Depth, heads and their width, patches, positions, pooling, dropout and the optimizer with its own settings.

        Raises DataError for a table.
        """
        if dataset.kind == "table":
            raise no_table(dataset, "a transformer needs sequences or images")
        shape, tokens = dataset.inputs.shape[1:], dataset.inputs.dtype.kind != "f"
        start = {} if tokens else patches(min(shape[1:]), square=True) if len(shape) == 3 else patches(shape[-1])
        return Space(
            start,
            depth=Int(1, 4, default=2),
            # the width is heads * head_units, so that every pair is possible
            heads=Choice([1, 2, 4], ordered=True, default=4),
            head_units=Choice([8, 16, 32], ordered=True, default=16),
            factor=Choice([1, 2, 4], ordered=True, default=2),
            # sinusoids need not be learned first: mnist1d, 30 epochs of Adam at 0.001, 0.82 against 0.73 on validation
            positions=Choice(["sinusoidal", "learned"]),
            pool=Choice(["mean", "class", "max"]),
            dropout=Float(0.0, 0.5, default=0.0),
            activation=activations("gelu"),
            optimizer=optimizers(),
            # constants: with norms before the parts, the first steps need no warm-up (Xiong et al. 2020); clipping as
            # usual for transformers
            pre_norm=True,
            clip_norm=1.0,
            batch_size=batch_size(dataset),
        )

    def build(self, config: Config, shape: Shape, outputs: int) -> nn.Module:
        return transformer(config, shape, outputs)
