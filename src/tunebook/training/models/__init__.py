"""Builders of models by name: (configuration, shape of an example or ``Inputs``, outputs) -> module."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from tunebook.space import Config
from tunebook.training.models.capacity import Capacity as Capacity
from tunebook.training.models.capacity import LearnedTensor as LearnedTensor
from tunebook.training.models.capacity import capacity as capacity
from tunebook.training.models.capacity import learned as learned
from tunebook.training.models.cnn import cnn as cnn
from tunebook.training.models.inputs import Inputs as Inputs
from tunebook.training.models.inputs import Shape as Shape
from tunebook.training.models.layers import ACTIVATIONS as ACTIVATIONS
from tunebook.training.models.mlp import mlp as mlp
from tunebook.training.models.own import built as built
from tunebook.training.models.own import place_of as place_of
from tunebook.training.models.rnn import rnn as rnn
from tunebook.training.models.transformer import transformer as transformer

Builder = Callable[[Config, Shape, int], nn.Module]
BUILDERS: Mapping[str, Builder] = {"mlp": mlp, "cnn": cnn, "rnn": rnn, "transformer": transformer}
