"""Optimizers by name, their weight decay and gradient clipping.

The configuration says ``optimizer`` and, nested below it or beside it, the settings of the one that is chosen:

    sgd       lr 0.01   momentum 0, dampening 0, nesterov False   Robbins and Monro 1951; Polyak 1964
    momentum  lr 0.01   sgd with momentum 0.9
    nesterov  lr 0.01   sgd with momentum 0.9 and nesterov True     Sutskever et al. 2013
    adam      lr 0.001  beta1 0.9, beta2 0.999, eps 1e-8, amsgrad False     Kingma and Ba 2015, arXiv:1412.6980
    adamw     lr 0.001  as adam, weight decay decoupled           Loshchilov and Hutter 2019, arXiv:1711.05101
    nadam     lr 0.002  beta1, beta2, eps as adam, momentum_decay 0.004     Dozat 2016
    rmsprop   lr 0.001  alpha 0.99, momentum 0, eps 1e-8, centered False    Tieleman and Hinton 2012
    adagrad   lr 0.01   eps 1e-10, lr_decay 0, initial_accumulator_value 0  Duchi et al. 2011
    torch:X   any class X of torch.optim, as torch:RAdam, with the settings and defaults of its signature

Nesterov's momentum and dampening mean nothing without momentum, and are not used then; with nesterov there is no
dampening. Of a ``torch:X``, settings that are one number, True or False are taken, and ``beta1`` and ``beta2`` for its
``betas``; those written below ``optimizer.torch:X`` must be in its signature. LBFGS, which calls the loss, is refused.

``weight_decay`` (default 0, whatever torch's default) acts on weights, that is on tensors of two or more axes: biases
and the gains of normalisation layers have few values, do not overfit by their size, and are left alone unless
``decay_biases`` is true. It is the L2 penalty of torch's optimizers, except for those where it is decoupled, as adamw.

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

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer
from torch.optim.adam import adam as adam_step

from tunebook.errors import SettingError, nearest
from tunebook.space import Config
from tunebook.training.settings import flag, picked, real

Groups = list[dict[str, Any]]
BELOW_1 = 1.0 - 2.0**-53  # the largest number below 1
THEIRS = "torch:"  # prefix of the names of torch's own classes
MACHINERY = ("params", "lr", "weight_decay", "foreach", "fused", "maximize", "capturable", "differentiable")


def _sgd(groups: Groups, told: Config, momentum: float = 0.0, nesterov: bool = False) -> Optimizer:
    momentum = real(told, "momentum", momentum, 0.0, 1.0)
    ahead = flag(told, "nesterov", nesterov) and momentum > 0
    dampening = 0.0 if ahead or not momentum else real(told, "dampening", 0.0, 0.0, 1.0)
    return torch.optim.SGD(groups, real(told, "lr", 0.01), momentum, dampening, nesterov=ahead, fused=True)


def _adam(groups: Groups, told: Config) -> Optimizer:
    lr, betas, eps, largest = _adam_settings(told)
    return torch.optim.Adam(groups, lr, betas, eps, amsgrad=largest, fused=True)


def _adamw(groups: Groups, told: Config) -> Optimizer:
    lr, betas, eps, largest = _adam_settings(told)
    return torch.optim.AdamW(groups, lr, betas, eps, amsgrad=largest, fused=True)


def _nadam(groups: Groups, told: Config) -> Optimizer:
    lr, betas, eps, _ = _adam_settings(told, 2e-3)
    decay = real(told, "momentum_decay", 4e-3)
    return torch.optim.NAdam(groups, lr, betas, eps, momentum_decay=decay, foreach=True)


def _rmsprop(groups: Groups, told: Config) -> Optimizer:
    return torch.optim.RMSprop(
        groups,
        real(told, "lr", 1e-3),
        real(told, "alpha", 0.99, 0.0, 1.0),
        real(told, "eps", 1e-8),
        momentum=real(told, "momentum", 0.0, 0.0, 1.0),
        centered=flag(told, "centered", False),
        foreach=True,
    )


def _adagrad(groups: Groups, told: Config) -> Optimizer:
    on_cpu = all(p.device.type == "cpu" for group in groups for p in group["params"])  # torch fuses it there alone
    return torch.optim.Adagrad(
        groups,
        real(told, "lr", 0.01),
        real(told, "lr_decay", 0.0),
        initial_accumulator_value=real(told, "initial_accumulator_value", 0.0),
        eps=real(told, "eps", 1e-10),
        fused=on_cpu,
    )


def _adam_settings(told: Config, lr: float = 1e-3) -> tuple[float, tuple[float, float], float, bool]:
    betas = real(told, "beta1", 0.9, 0.0, BELOW_1), real(told, "beta2", 0.999, 0.0, BELOW_1)
    return real(told, "lr", lr), betas, real(told, "eps", 1e-8), flag(told, "amsgrad", False)


OPTIMIZERS: Mapping[str, Callable[[Groups, Config], Optimizer]] = {
    "sgd": _sgd,
    "momentum": lambda groups, told: _sgd(groups, told, 0.9),
    "nesterov": lambda groups, told: _sgd(groups, told, 0.9, nesterov=True),
    "adam": _adam,
    "adamw": _adamw,
    "nadam": _nadam,
    "rmsprop": _rmsprop,
    "adagrad": _adagrad,
}


def optimizer_of(config: Config, model: nn.Module) -> Optimizer:
    """The optimizer that a configuration names, over the model's parameters; see the module's docstring.

    Raises SettingError for an unknown optimizer (with the nearest name) or a setting out of range.
    """
    name = config.get("optimizer")
    theirs = isinstance(name, str) and name.startswith(THEIRS)
    name, told = picked(config, "optimizer", "adam", [*OPTIMIZERS, str(name)] if theirs else OPTIMIZERS)
    groups, scales = _groups(model, config, told)
    optimizer = _of_torch(name, groups, told, config) if theirs else OPTIMIZERS[name](groups, told)
    for group, scale in zip(optimizer.param_groups, scales, strict=True):
        group["lr"] *= scale
    return optimizer


def settings_of_torch(name: str) -> dict[str, bool | float]:
    """Settings of ``torch:X`` beside lr and weight_decay, with their defaults; betas as beta1 and beta2.

    Raises SettingError, with the nearest name, for what is not an optimizer of torch that a loop can step.
    """
    known = {n: c for n, c in vars(torch.optim).items() if inspect.isclass(c) and issubclass(c, Optimizer)}
    usable = [THEIRS + n for n in known if n not in ("Optimizer", "LBFGS")]
    if name not in usable:
        raise SettingError("unknown optimizer", where="optimizer", got=repr(name), expected=nearest(name, usable))
    found: dict[str, bool | float] = {}
    for key, parameter in inspect.signature(known[name.removeprefix(THEIRS)]).parameters.items():
        if key == "betas":
            found |= {"beta1": parameter.default[0], "beta2": parameter.default[1]}
        elif key not in MACHINERY and isinstance(parameter.default, bool | int | float):
            found[key] = parameter.default
    return found


def _of_torch(name: str, groups: Groups, told: Config, config: Config) -> Optimizer:
    """The optimizer ``torch:X``. Settings below its name that it does not have are an error, not passed over."""
    known, head = settings_of_torch(name), f"optimizer.{name}."
    for key in config:
        if key.startswith(head) and key.removeprefix(head) not in {*known, "lr", "weight_decay", "decay_biases"}:
            raise SettingError(
                f"{name} has no such setting", where=key, got=repr(config[key]),
                expected=nearest(key.removeprefix(head), [*known, "lr", "weight_decay"]),
            )  # fmt: skip
    given: dict[str, Any] = {}
    for key, default in known.items():
        value = flag(told, key, default) if isinstance(default, bool) else real(told, key, default, float("-inf"))
        given[key] = told[key] if isinstance(told.get(key), int) else value  # a whole number stays one
    kind = getattr(torch.optim, name.removeprefix(THEIRS))
    parameters = inspect.signature(kind).parameters
    if "betas" in parameters:
        given["betas"] = (given.pop("beta1"), given.pop("beta2"))
    if "weight_decay" not in parameters:
        for group in groups:
            del group["weight_decay"]
    try:
        made: Optimizer = kind(groups, lr=real(told, "lr", parameters["lr"].default), **given)
    except ValueError as error:
        raise SettingError(f"torch refuses the optimizer: {error}", where="optimizer", got=name) from error
    return made


def _groups(model: nn.Module, config: Config, told: Config) -> tuple[Groups, list[float]]:
    """Parameter groups with their weight decay, and the factor on each one's learning rate."""
    decay, everywhere = real(told, "weight_decay", 0.0), flag(told, "decay_biases", False)
    groups: Groups = []
    scales: list[float] = []
    for params, scale in _rated(model, config):
        alike = everywhere or not decay  # a group more costs as much as a step of a small model
        decayed = [p for p in params if alike or p.ndim > 1]
        spared = [p for p in params if not (alike or p.ndim > 1)]
        groups += [{"params": some, "weight_decay": d} for some, d in ((decayed, decay), (spared, 0.0)) if some]
        scales += [scale] * (len(groups) - len(scales))
    if not groups:
        raise SettingError("the model has nothing to train", where=type(model).__name__,
                           expected="at least one parameter that requires gradients")  # fmt: skip
    return groups, scales


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


def rates_of(optimizer: Optimizer) -> Callable[[float], None]:
    """A function that sets all learning rates to a factor times what they are now."""
    base, current = [group["lr"] for group in optimizer.param_groups], 1.0

    def set_rates(factor: float) -> None:
        nonlocal current
        if factor != current:
            current = factor
            for group, rate in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = rate * factor

    return set_rates


def update_of(optimizer: Optimizer, scaler: GradScaler) -> Callable[[], object]:
    """A function that does one update; where gradients are scaled, by the scaler.

    Adam's and AdamW's arithmetic is called as torch's function, with lists that are kept from step to step: the same
    numbers, and for a small network the update takes two thirds of the time of ``Optimizer.step``.
    """
    if scaler.is_enabled():

        def scaled() -> None:
            scaler.step(optimizer)
            scaler.update()

        return scaled
    adam = type(optimizer) in (torch.optim.Adam, torch.optim.AdamW)
    if not adam or any(g["amsgrad"] or g["maximize"] or not g["fused"] for g in optimizer.param_groups):
        return optimizer.step
    kept: list[tuple[dict[str, Any], list[list[Tensor]]]] = []

    def direct() -> None:
        grads = [[p.grad for p in group["params"]] for group, _ in kept]
        if not kept or any(g is None for some in grads for g in some):
            optimizer.step()
            if all(optimizer.state[p] for group in optimizer.param_groups for p in group["params"]):
                kept[:] = [(group, _memory(optimizer, group["params"])) for group in optimizer.param_groups]
            return
        for (group, (mean, square, steps)), some in zip(kept, grads, strict=True):
            adam_step(
                group["params"], some, mean, square, [], steps, fused=True, amsgrad=False,
                beta1=group["betas"][0], beta2=group["betas"][1], lr=group["lr"], weight_decay=group["weight_decay"],
                eps=group["eps"], maximize=False, decoupled_weight_decay=group["decoupled_weight_decay"],
            )  # fmt: skip

    return torch.no_grad()(direct)


def _memory(optimizer: Optimizer, parameters: Iterable[Tensor]) -> list[list[Tensor]]:
    """Adam's running means of gradients and of their squares, and its step counts, a tensor a parameter."""
    memory = [optimizer.state[p] for p in parameters]
    return [[m[key] for m in memory] for key in ("exp_avg", "exp_avg_sq", "step")]


def clip(parameters: Iterable[torch.Tensor], largest: float) -> torch.Tensor:
    """Scale the gradients, together, so that their L2 norm is at most ``largest``; returns the norm before, 0-d.

    Pascanu et al. 2013, arXiv:1211.5063, algorithm 1.
    """
    return nn.utils.clip_grad_norm_(parameters, largest)
