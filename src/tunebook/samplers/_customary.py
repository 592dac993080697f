"""Where the field looks first: customary values of a few hyperparameters of neural networks, known by their names.

Only where a range says that the person does not know: a log scale over six orders of magnitude or more, without a
``likely`` of its own. They are beliefs like those that a space declares: samplers look there first, and give up what
turns out to be wrong.

Learning rates: 0.01 "typically works for standard multi-layer neural networks" (Y. Bengio, "Practical recommendations
for gradient-based training of deep architectures", 2012, section 3.1.1), 0.001 for Adam (D. P. Kingma, J. Ba, "Adam",
ICLR 2015, algorithm 1), 0.1 and below for SGD with momentum. Epsilon 1e-8 in the same algorithm; D. Choi et al., "On
empirical comparisons of optimizers for deep learning", 2019, find larger ones better on some tasks. Penalties on
weights: 5e-4 (A. Krizhevsky et al., "ImageNet classification with deep convolutional neural networks", 2012), 1e-4 (K.
He et al., "Deep residual learning", 2016), next to nothing for networks that do not overfit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from tunebook.space import Float, Parameter, Space

DECADES = 6.0
RATE, PENALTY, EPSILON = (3e-4, 3e-2), (1e-7, 1e-3), (1e-9, 1e-5)
CUSTOMARY: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("lr", "learning_rate", "init_lr", "initial_lr", "base_lr", "learning_rate_init"), RATE),
    **dict.fromkeys(("weight_decay", "l1", "l2"), PENALTY),
    **dict.fromkeys(("eps", "epsilon", "adam_eps", "adam_epsilon"), EPSILON),
}


def customary(space: Space) -> dict[str, tuple[float, float]]:
    """The ranges that are looked at first, by the names of the space's hyperparameters; without their branch
    ("optimizer.adam.lr" is a "lr")."""
    told = {name: (p, CUSTOMARY.get(name.rpartition(".")[2].lower())) for name, p in space.parameters.items()}
    return {name: pair for name, (p, pair) in told.items() if pair is not None and _open(p, pair)}


def _open(p: Parameter, pair: tuple[float, float]) -> bool:
    """Whether a parameter is so wide that it says nothing, and has room for what is customary."""
    return (isinstance(p, Float) and p.log and p.likely is None and math.log10(p.high / p.low) >= DECADES - 1e-9
            and p.low <= pair[0] and pair[1] <= p.high)  # fmt: skip


def believing(space: Space) -> Space:
    """The space with what is customary as beliefs; the same codes stand for the same configurations."""
    told = customary(space)
    wide = {n: p for n, p in space.parameters.items() if n in told and isinstance(p, Float)}
    return space.updated({n: replace(p, likely=told[n]) for n, p in wide.items()}) if wide else space
