"""Numbers of training: float32, or most of the work in 16 bits; and compiled models.

    precision   float32; bf16 (the range of float32, 8 bits of it exact); fp16 (11 bits exact, a small range: the loss
                is scaled up so that gradients do not vanish, Micikevicius et al. 2018, arXiv:1710.03740)
    compile     True: torch.compile makes the model's kernels, which takes from seconds to a minute before the first
                update and needs a compiler

Weights, their optimizer, the loss and what is judged and saved are float32 in each case.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler

from tunebook.errors import SettingError
from tunebook.space import Config
from tunebook.training.settings import flag, word

PRECISIONS = ("float32", "bf16", "fp16")
SMALLEST_SCALE = 2.0**-10  # scaled up by less than this, gradients that overflow do so for themselves

Cast = Callable[[], AbstractContextManager[object]]


def cast_of(config: Config, device: str) -> Cast:
    """What the forward pass runs in: nothing, or torch's autocast. Raises SettingError for fp16 on a CPU."""
    name, kind = word(config, "precision", "float32", PRECISIONS), torch.device(device).type
    if name == "float32":
        return nullcontext
    if name == "fp16" and kind == "cpu":
        raise SettingError(
            "fp16 is for graphics cards: a CPU has no fast arithmetic for it, and its range needs a scaled loss",
            where="precision",
            got="fp16 on a CPU",
            expected="bf16 or float32",
            fix="precision bf16",
        )
    return partial(torch.autocast, kind, torch.bfloat16 if name == "bf16" else torch.float16)


def scaler_of(config: Config, device: str) -> GradScaler:
    """The scaler of the loss: for fp16; for all else one that does nothing."""
    kind = torch.device(device).type
    return GradScaler(kind, enabled=config.get("precision") == "fp16")


def check_scale(scaler: GradScaler) -> None:
    """Raise FloatingPointError, which is a diverged run, when the scale of the loss has collapsed."""
    if scaler.is_enabled() and scaler.get_scale() < SMALLEST_SCALE:
        raise FloatingPointError(
            f"the scale of the fp16 loss has fallen to {scaler.get_scale():g}: gradients are not finite at any scale; "
            "precision bf16, a lower learning rate or clip_norm may help"
        )


def compiled(model: nn.Module, config: Config, device: str) -> nn.Module:
    """The model, which compiles itself when it is first called if the configuration says ``compile``.

    Raises SettingError where there is no compiler: torch.compile makes C++ for a CPU, and Triton needs one in C.
    """
    if not flag(config, "compile", False):
        return model
    on_cpu = torch.device(device).type == "cpu"
    wanted = [os.environ.get("CXX", "g++"), "clang++"] if on_cpu else [os.environ.get("CC", "gcc"), "clang"]
    if not any(shutil.which(name) for name in wanted):
        raise SettingError(
            "torch.compile needs a compiler",
            where="compile",
            got=f"none of {' and '.join(wanted)}",
            fix=f"install one, name it in {'CXX' if on_cpu else 'CC'}, or leave compile out",
        )
    model.compile()
    return model
