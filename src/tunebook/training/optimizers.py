"""Optimizers by name, their weight decay and gradient clipping.

The configuration says ``optimizer`` and, nested below it or beside it, the settings of the one that is chosen:

    sgd       lr 0.01   momentum 0, nesterov False (without momentum it means nothing and is not used)
    adam      lr 0.001  beta1 0.9, beta2 0.999, eps 1e-8      Kingma and Ba 2015, arXiv:1412.6980
    adamw     lr 0.001  as adam, weight decay decoupled        Loshchilov and Hutter 2019, arXiv:1711.05101
    rmsprop   lr 0.001  alpha 0.99, momentum 0, eps 1e-8       Tieleman and Hinton 2012
    adagrad   lr 0.01   eps 1e-10                              Duchi et al. 2011

``weight_decay`` (default 0) acts on weights, that is on tensors of two or more axes: biases and the gains of
normalisation layers have few values, do not overfit by their size, and are left alone unless ``decay_biases`` is
true. It is the L2 penalty of torch's optimizers, except for adamw, where it is decoupled.

A model may say itself what learns at what rate, and when: by methods of these names, each of which is optional.

    parameter_groups(config) -> [{"params": parameters, "lr_scale": factor}, ...]
        The parameters that ever learn, each in one group, and the factor (default 1) on the learning rate of a group:
        discriminative rates. Those that are frozen now may be among them, to be thawed later. Weight decay acts in
        each group as it does elsewhere. Without the method, all parameters that require gradients are one group.
    begin_epoch(epoch, epochs) -> None
        Called before each epoch (1 ... epochs) with the model in training mode; may set ``requires_grad`` of
        parameters and ``eval()`` of parts of the model: gradual unfreezing. It must set everything from ``epoch``
        alone, not change what earlier calls left, since a resumed run is told only the epochs that it trains. What
        has no gradient is left alone by the optimizer, its memory and weight decay included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from tunebook.errors import SettingError
from tunebook.space import Config
from tunebook.training.settings import flag, picked, real

Groups = list[dict[str, Any]]


def _sgd(groups: Groups, told: Config) -> Optimizer:
    momentum = real(told, "momentum", 0.0, 0.0, 1.0)
    nesterov = flag(told, "nesterov", False) and momentum > 0
    return torch.optim.SGD(groups, real(told, "lr", 0.01), momentum, nesterov=nesterov, foreach=True)


def _adam(groups: Groups, told: Config) -> Optimizer:
    return torch.optim.Adam(groups, real(told, "lr", 1e-3), _betas(told), real(told, "eps", 1e-8), fused=True)


def _adamw(groups: Groups, told: Config) -> Optimizer:
    return torch.optim.AdamW(groups, real(told, "lr", 1e-3), _betas(told), real(told, "eps", 1e-8), fused=True)


def _rmsprop(groups: Groups, told: Config) -> Optimizer:
    return torch.optim.RMSprop(
        groups,
        real(told, "lr", 1e-3),
        real(told, "alpha", 0.99, 0.0, 1.0),
        real(told, "eps", 1e-8),
        momentum=real(told, "momentum", 0.0, 0.0, 1.0),
        foreach=True,
    )


def _adagrad(groups: Groups, told: Config) -> Optimizer:
    return torch.optim.Adagrad(groups, real(told, "lr", 0.01), eps=real(told, "eps", 1e-10), fused=True)


def _betas(told: Config) -> tuple[float, float]:
    return real(told, "beta1", 0.9, 0.0, 1.0), real(told, "beta2", 0.999, 0.0, 1.0)


OPTIMIZERS: Mapping[str, Callable[[Groups, Config], Optimizer]] = {
    "sgd": _sgd,
    "adam": _adam,
    "adamw": _adamw,
    "rmsprop": _rmsprop,
    "adagrad": _adagrad,
}


def optimizer_of(config: Config, model: nn.Module) -> Optimizer:
    """The optimizer that a configuration names, over the model's parameters; see the module's docstring.

    Raises SettingError for an unknown optimizer (with the nearest name) or a setting out of range.
    """
    name, told = picked(config, "optimizer", "adam", OPTIMIZERS)
    decay, everywhere = real(told, "weight_decay", 0.0), flag(told, "decay_biases", False)
    groups: Groups = []
    scales: list[float] = []
    for params, scale in _rated(model, config):
        decayed = [p for p in params if everywhere or p.ndim > 1]
        spared = [p for p in params if not (everywhere or p.ndim > 1)]
        groups += [{"params": some, "weight_decay": d} for some, d in ((decayed, decay), (spared, 0.0)) if some]
        scales += [scale] * (len(groups) - len(scales))
    optimizer = OPTIMIZERS[name](groups, told)
    for group, scale in zip(optimizer.param_groups, scales, strict=True):
        group["lr"] *= scale
    return optimizer


def _rated(model: nn.Module, config: Config) -> list[tuple[list[nn.Parameter], float]]:
    """Parameters and the factors on their learning rates, as the model says, or all that require gradients."""
    tell = getattr(model, "parameter_groups", None)
    if tell is None:
        return [([p for p in model.parameters() if p.requires_grad], 1.0)]
    rated = [(list(group["params"]), real(group, "lr_scale", 1.0)) for group in tell(config)]
    everything, own = [id(p) for params, _ in rated for p in params], {id(p) for p in model.parameters()}
    if len(set(everything)) < len(everything) or not own.issuperset(everything):
        raise SettingError(
            "the model's parameter_groups name a parameter twice, or one that is not the model's",
            where=type(model).__name__,
            got=f"{len(everything)} parameters, {len(own.intersection(everything))} different ones of the model",
            expected="each of the model's parameters at most once",
        )
    return rated


def clip(parameters: Iterable[torch.Tensor], largest: float) -> torch.Tensor:
    """Scale the gradients, together, so that their L2 norm is at most ``largest``; returns the norm before, 0-d.

    Pascanu et al. 2013, arXiv:1211.5063, algorithm 1.
    """
    return nn.utils.clip_grad_norm_(parameters, largest)
