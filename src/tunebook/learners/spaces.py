"""Parts of default search spaces that the network families share."""

from __future__ import annotations

import math

from tunebook.data import Dataset
from tunebook.errors import DataError
from tunebook.space import Choice, Float, Parameter, Space, Value

STEPS = 64


def no_table(dataset: Dataset, says: str) -> DataError:
    """The error of a family that a table is not for; rows of bare arrays may be sequences that were not called so."""
    arrays = not dataset.feature_names
    return DataError(
        says,
        where=dataset.name,
        got="a table" + (f" of shape {dataset.inputs.shape}" if arrays else ""),
        expected="npz:FILE?kind=sequence, where each row is a sequence of numbers or token ids" if arrays else "",
        fix="add ?kind=sequence, or use the learner 'mlp' for a table" if arrays else "use the learner 'mlp'",
    )


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


ADAMS = ("adam", "adamw", "nadam")


def adam_knobs(trials: int) -> dict[str, Parameter]:
    """Which of Adam's hyperparameters are worth tuning beside the learning rate, with so many trials of it.

    Fewer than 10: none. From 10: beta1. From 25: eps too. From 100: beta2 too. Godbole, Dahl, Gilmer, Shallue and Nado
    2023, Deep Learning Tuning Playbook, "What are the update rules ...": all of them can matter, but few trials cannot
    tell. Ranges around the defaults; large values of eps make Adam like SGD (Choi et al. 2019, arXiv:1910.05446).

    >>> list(adam_knobs(9)), list(adam_knobs(24)), list(adam_knobs(25))
    ([], ['beta1'], ['beta1', 'eps'])
    """
    knobs: dict[str, Parameter] = {
        "beta1": Float(0.7, 0.99, default=0.9),
        "eps": Float(1e-10, 1e-2, log=True, default=1e-8),
        "beta2": Float(0.9, 0.9999, default=0.999),
    }
    return {name: knobs[name] for name, least in (("beta1", 10), ("eps", 25), ("beta2", 100)) if trials >= least}


def with_adam_knobs(space: Space, trials: int) -> Space:
    """The space, with more of Adam's hyperparameters where ``trials`` allow it: see ``adam_knobs``.

    The trials are shared by the optimizers that are to be chosen between. What the space says of them stays.
    """
    optimizer = space.parameters.get("optimizer")
    if not isinstance(optimizer, Choice):
        return space
    heads = {f"optimizer.{name}.": name for name in ADAMS if f"optimizer.{name}.lr" in space.parameters}
    told: dict[str, Parameter | Value] = {**space.parameters, **space.constants}
    knobs = adam_knobs(trials // len(optimizer.options))
    added = {f"{head}{k}": v for head in heads for k, v in knobs.items() if f"{head}{k}" not in told}
    rules = {key: {"optimizer": [heads[key[: key.rindex(".") + 1]]]} for key in added}
    return Space({**told, **added}, conditions={**space.conditions, **rules}) if added else space


def activations(first: str = "relu") -> Choice:
    """ReLU, or ``first``, as the baseline."""
    return Choice(["relu", "gelu", "silu", "leaky_relu", "tanh", "sigmoid"], default=first)


def patches(side: int, *, square: bool = False) -> dict[str, Parameter | Value]:
    """How many positions a step takes together, so that there are 4 to 64 steps: time grows with their number.

    The default is the largest that leaves ten.

    >>> patches(40)["patch"].options, patches(40)["patch"].default, patches(28, square=True)["patch"].options
    ((1, 2, 4), 4, (4, 8, 16))
    >>> patches(3)
    {'patch': 1}
    """
    steps = {p: math.ceil(side / p) ** (2 if square else 1) for p in (2**k for k in range(side.bit_length()))}
    sizes = [p for p, count in steps.items() if 4 <= count <= STEPS][:3]
    if len(sizes) < 2:
        return {"patch": (sizes or [1])[0]}
    return {"patch": Choice(sizes, ordered=True, default=max((p for p in sizes if steps[p] >= 10), default=sizes[0]))}


def augmentations(dataset: Dataset) -> dict[str, Parameter | Value]:
    """Augmentation as one parameter: ``augment``, from none (the default) to all of what is safe for most data.

    What it scales are constants, to be overridden: strengths that keep the meaning of an example in most data sets. So
    images are not mirrored, which turns letters into others, and sequences are not moved or scaled, since place and
    size may be what they are about. It is in no default space: on 300 digits it raised nothing (docs/training.md).

    >>> from tunebook.data import open_dataset
    >>> augmentations(open_dataset("sklearn:wine"))["mask"]
    0.1
    """
    strengths: dict[str, dict[str, Parameter | Value]] = {
        "image": {"rotation": 15.0, "translation": 0.125, "scaling": 0.15, "noise": 0.1, "cutout": 0.1},
        "sequence": {"noise": 0.2, "mask": 0.1},
        "table": {"noise": 0.1, "mask": 0.1},
    }
    return {**strengths[dataset.kind], "augment": Float(0.0, 1.0, default=0.0)}


def batch_size(dataset: Dataset) -> int:
    """A constant: batch size is not tuned, since all else would have to be tuned again for each value.

    Small data need small batches to make enough steps an epoch; from 8,192 rows on it is what keeps a core busy.

    >>> from tunebook.data import open_dataset
    >>> batch_size(open_dataset("sklearn:digits"))
    64
    """
    n = len(dataset)
    return 32 if n < 1024 else 64 if n < 8192 else 128 if n < 65536 else 256
