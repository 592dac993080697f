"""Parts of default search spaces that the network families share."""

from __future__ import annotations

from tunebook.data import Dataset
from tunebook.space import Choice, Float, Space


def optimizers() -> Choice:
    """Adam first, as the baseline; each optimizer has hyperparameters of its own.

    Learning rates: Adam's 0.001 is its paper's (Kingma and Ba 2015); the range has two decades above and one below it.
    Rates of SGD that work lie about a decade higher. Ranges are wide on purpose, the playbook narrows them.
    """
    return Choice(
        {
            "adam": Space(lr=Float(1e-4, 1e-1, log=True, default=1e-3)),
            # decoupled decay wants to be far larger than an L2 penalty (Loshchilov and Hutter 2019, figure 2)
            "adamw": Space(
                lr=Float(1e-4, 1e-1, log=True, default=1e-3), weight_decay=Float(1e-4, 1.0, log=True, default=1e-2)
            ),
            # Nesterov is never worse than plain momentum in deep nets at these settings (Sutskever et al. 2013)
            "sgd": Space(
                lr=Float(1e-3, 1.0, log=True, default=3e-2),
                momentum=Float(0.5, 0.99, default=0.9),
                weight_decay=Float(1e-6, 1e-2, log=True, default=1e-4),
                nesterov=True,
            ),
        }
    )


def activations() -> Choice:
    """ReLU first, as the baseline."""
    return Choice(["relu", "gelu", "silu", "leaky_relu", "tanh", "sigmoid"])


def batch_size(dataset: Dataset) -> int:
    """A constant: batch size is not tuned, since all else would have to be tuned again for each value.

    Small data need small batches to make enough steps an epoch; from 8,192 rows on it is what keeps a core busy.

    >>> from tunebook.data import open_dataset
    >>> batch_size(open_dataset("sklearn:digits"))
    64
    """
    n = len(dataset)
    return 32 if n < 1024 else 64 if n < 8192 else 128 if n < 65536 else 256
