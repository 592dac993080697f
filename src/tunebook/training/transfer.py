"""Transfer learning: start from weights that were learned elsewhere, with a new head, and decide what learns when.

    def build(config):
        model = cnn(config, shape, outputs)
        start_from(model, read_weights("runs/large/trials/40/model"))     # all but the head
        return fine_tuned(model, config)

The configuration says how it goes on from there:

    strategy          full      everything learns from the start (the default)
                      head      the head alone learns; the rest keeps its weights and its batch statistics
                      gradual   the head first, then, from the top down, one more group of layers every
                                ``unfreeze_every`` epochs (default 1)
    layer_decay       the learning rate of each group of layers is that of the group above it times this, 0 to 1;
                      default 1, all alike

Gradual unfreezing and discriminative rates are those of Howard and Ruder 2018 (ULMFiT, arXiv:1801.06146, 3.2 and 3.3);
their factor of 2.6 between layers is a ``layer_decay`` of 0.385.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tunebook.errors import CheckpointError, SettingError, nearest
from tunebook.space import Choice, Config, Float, Parameter, Space
from tunebook.training.averaging import frozen_norms
from tunebook.training.settings import picked, real, whole
from tunebook.training.weights import read_weights

STRATEGIES = ("full", "head", "gradual")
NAMES = ("start", "strategy", "layer_decay", "unfreeze_every")
TOLD = 5


def head_of(model: nn.Module) -> str:
    """The name of the layer that makes the outputs: what ``get_classifier`` of the model gives (timm's models have it),
    else the last nn.Linear. Raises SettingError for a model without one.
    """
    layers = dict(model.named_modules())
    ask = getattr(model, "get_classifier", None)
    if callable(ask):
        given = ask()
        found = [name for name, layer in layers.items() if layer is given]
    else:
        found = [name for name, layer in layers.items() if type(layer) is nn.Linear]
    if not found or not found[-1]:
        raise SettingError(
            "no head was found in the model",
            where=type(model).__name__,
            expected="a torch.nn.Linear that makes the outputs",
            fix="name it: replace_head(model, outputs, head='name.of.the.layer')",
        )
    name: str = found[-1]
    return name


def replace_head(model: nn.Module, outputs: int, head: str = "") -> nn.Module:
    """Give a model a new, freshly drawn last layer with so many outputs; returns the model.

    The weights are drawn as those of tunebook's own heads, from torch's generator: uniform (Glorot and Bengio 2010),
    biases 0. Raises SettingError for a head that is not there or is no nn.Linear.
    """
    name = head or head_of(model)
    old = _layer(model, name)
    if not isinstance(old, nn.Linear):
        raise SettingError("a head to replace is a torch.nn.Linear", where=name, got=type(old).__name__)
    new = nn.Linear(
        old.in_features, outputs, bias=old.bias is not None, device=old.weight.device, dtype=old.weight.dtype
    )
    nn.init.xavier_uniform_(new.weight)
    if new.bias is not None:
        nn.init.zeros_(new.bias)
    owner, _, last = name.rpartition(".")
    setattr(model.get_submodule(owner), last, new)
    return model


def start_from(model: nn.Module, weights: Mapping[str, Tensor], head: str = "") -> list[str]:
    """Give a model the weights and buffers of another, all but those of its head; returns the names that were set.

    Names may have something before them that the model's do not, as wrappers add it ("module.", "model."). Raises
    CheckpointError, and leaves the model as it was, where a tensor is missing or has another shape.
    """
    skipped = (head or head_of(model)) + "."
    wanted = {name: t for name, t in model.state_dict().items() if not name.startswith(skipped)}
    given = _aligned(weights, wanted)
    odd = [name for name, t in wanted.items() if name not in given or given[name].shape != t.shape]
    if odd:
        told = [
            f"{n} is missing" if n not in given else f"{n} {tuple(given[n].shape)}, not {tuple(wanted[n].shape)}"
            for n in odd[:TOLD]
        ]
        raise CheckpointError(
            "the weights to start from do not fit the model",
            where=type(model).__name__,
            got=f"{len(odd)} of {len(wanted)} tensors do not fit: " + "; ".join(told),
            expected="the same layers below the head",
            fix="build the model with the configuration that the weights were trained under",
        )
    model.load_state_dict({name: given[name] for name in wanted}, strict=False)
    return list(wanted)


def layer_groups(model: nn.Module, head: str = "") -> list[list[str]]:
    """The parameters' names in groups, the head first, then layer by layer down to the inputs.

    A group is a member of a list of layers (nn.Sequential, nn.ModuleList), or what lies beside such lists; a
    normalisation belongs to the layer before it. A parameter that several layers share is in the group nearest to the
    inputs.
    """
    name = head or head_of(model)
    parameters = dict(model.named_parameters())
    top = [n for n in parameters if n.startswith(name + ".")]
    groups: list[list[str]] = []
    for names in _split(model, ""):
        kept = [n for n in names if n in parameters and n not in top]
        if groups and all(parameters[n].ndim < 2 for n in kept):
            groups[-1] += kept
        elif kept:
            groups.append(kept)
    return [top, *reversed(groups)] if top else list(reversed(groups))


def fine_tuned(model: nn.Module, config: Config, head: str = "") -> nn.Module:
    """The model, told to learn as the configuration says: see the module's docstring. Returns the same model.

    It stays of its class, with the names that its weights had, and gets the methods ``parameter_groups`` and
    ``begin_epoch`` that ``tunebook.training.optimizers`` looks for. A forward pass that gives an object with ``logits``
    (as those of transformers do) gives the logits. Raises SettingError for settings that cannot be.
    """
    strategy, told = picked(config, "strategy", "full", STRATEGIES)
    decay, every = real(told, "layer_decay", 1.0, 0.0, 1.0), whole(told, "unfreeze_every", 1, 1)
    groups = layer_groups(model, head)
    model.__class__ = _between(type(model))
    assert isinstance(model, FineTuned)
    model.fine_tuning = Plan(groups, strategy, decay, every)
    model.begin_epoch(1, 1)
    return model


class Plan:
    """What learns when, and at what rate."""

    def __init__(self, groups: Sequence[Sequence[str]], strategy: str, decay: float, every: int) -> None:
        self.groups, self.strategy, self.decay, self.every = groups, strategy, decay, every

    def learning(self, epoch: int) -> int:
        """How many groups learn in an epoch (from 1), from the head down."""
        if self.strategy == "gradual":
            return min(len(self.groups), 1 + (epoch - 1) // self.every)
        return 1 if self.strategy == "head" else len(self.groups)


class FineTuned(nn.Module):
    """What ``fine_tuned`` adds to a model's class."""

    fine_tuning: Plan

    def parameter_groups(self, config: Config) -> list[dict[str, Any]]:
        """Each group of layers that will ever learn, with the factor on its learning rate."""
        named, plan = dict(self.named_parameters()), self.fine_tuning
        ever = plan.groups[:1] if plan.strategy == "head" else plan.groups
        return [
            {"params": [named[name] for name in names], "lr_scale": plan.decay**depth}
            for depth, names in enumerate(ever)
        ]

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Freeze what does not learn in this epoch; its batch statistics stay as they are too."""
        named, learning = dict(self.named_parameters()), self.fine_tuning.learning(epoch)
        for depth, names in enumerate(self.fine_tuning.groups):
            for name in names:
                named[name].requires_grad_(depth < learning)
        for name in frozen_norms(self):
            self.get_submodule(name).eval()

    def forward(self, *inputs: Any, **named: Any) -> Any:
        made = super().forward(*inputs, **named)
        return getattr(made, "logits", made)


def _between(base: type[nn.Module]) -> type[nn.Module]:
    """A class made for the purpose, between the model and its own, as torch.nn.utils.parametrize does it.

    A wrapper would put its own name before those of all weights.
    """
    if issubclass(base, FineTuned):
        return base
    made: type[nn.Module] = type(f"FineTuned{base.__name__}", (FineTuned, base), {"__module__": base.__module__})
    return made


def started(model: nn.Module, config: Config) -> nn.Module:
    """The model as its configuration has it: from the weights that ``start`` names, if it names any.

    With ``start``, a path that ``read_weights`` takes, ``fine_tuned`` says what learns; without it, or where it is
    empty, the model is given back as it is.
    """
    path = config.get("start") or ""
    if not path:
        return model
    if not isinstance(path, str):
        raise SettingError("what to start from is named by a path", where="start", got=repr(path))
    start_from(model, _kept(str(Path(path).resolve()), Path(path).stat().st_mtime_ns if Path(path).exists() else 0))
    return fine_tuned(model, config)


def fine_tuning(*starts: str) -> dict[str, Parameter | str]:
    """A piece of a search space: where to start from, and how to go on. An empty text is a fresh start.

    >>> sorted(fine_tuning("models/large"))
    ['layer_decay', 'start', 'strategy']
    """
    return {
        "start": Choice(list(starts)) if len(starts) > 1 else starts[0],
        "strategy": Choice({"full": Space(), "head": Space(), "gradual": Space(unfreeze_every=1)}),
        "layer_decay": Float(0.3, 1.0, log=True, default=1.0),
    }


@lru_cache(maxsize=4)
def _kept(path: str, changed: int) -> Mapping[str, Tensor]:
    """Weights are read once in a process, not once a trial; ``changed`` tells files of one name apart."""
    return read_weights(path)


def _layer(model: nn.Module, name: str) -> nn.Module:
    layers: dict[str, nn.Module] = dict(model.named_modules())
    if name not in layers or not name:
        raise SettingError("the model has no such layer", where="head", got=repr(name), fix=nearest(name, layers))
    return layers[name]


def _aligned(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under the model's names: without what wrappers put before them, if more of them fit so."""
    best = dict(weights)
    shorter = best
    while shorter:
        shorter = {name.partition(".")[2]: t for name, t in shorter.items() if "." in name}
        if len(shorter.keys() & wanted) > len(best.keys() & wanted):
            best = shorter
    return best


def _split(module: nn.Module, name: str) -> Iterator[list[str]]:
    """Names of parameters by layer, in the order in which the layers were made."""
    children = [(n, m) for n, m in module.named_children() if any(True for _ in m.parameters())]
    a_list = isinstance(module, nn.Sequential | nn.ModuleList)
    if not a_list and not any(isinstance(m, nn.Sequential | nn.ModuleList) for m in module.modules()):
        yield [f"{name}{n}" for n, _ in module.named_parameters()]
        return
    own = [f"{name}{n}" for n, _ in module.named_parameters(recurse=False)]
    for at, child in children:
        inside = f"{name}{at}."
        if a_list and not isinstance(child, nn.Sequential | nn.ModuleList):
            parts: Iterable[list[str]] = [[f"{inside}{n}" for n, _ in child.named_parameters()]]
        else:
            parts = _split(child, inside)
        for part in parts:
            yield own + part
            own = []
    if own:
        yield own
