"""Averages of the weights: what is judged and saved is the average, while training goes on with the weights.

    ema   decay, below 1: an exponential moving average of the weights after each update. The first 1 / (1 - decay)
          updates count the same, so that it does not start at the first weights (Tarvainen and Valpola 2017,
          arXiv:1703.01780, mean-teacher's ramp)
    swa   share of the training after which the weights at the end of each epoch are averaged, all alike (Izmailov et
          al. 2018, arXiv:1803.05407). ``swa_rate`` and ``swa_anneal`` say what the learning rate does then: see
          ``tunebook.training.schedules``

All floating-point parameters and buffers are averaged, other buffers copied, as torch's AveragedModel does with
``use_buffers``. An EMA averages batch norm's running statistics so too. For SWA, whose weights are further apart, they
are counted anew at the end of each averaged epoch, from the rows that the training metrics are measured on; those of
a frozen layer stay.
"""

from __future__ import annotations

import copy
import math
from itertools import chain

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from tunebook.errors import SettingError
from tunebook.space import Config
from tunebook.training.evaluate import at_a_time, fast_layout
from tunebook.training.settings import real


class Average:
    """The average of a model that is trained; of nothing, with ``decay`` and ``start`` 0.

    decay   of the moving average; 0 for none
    start   the first epoch at whose end the weights are averaged; 0 for none
    """

    def __init__(self, model: nn.Module, decay: float = 0.0, start: int = 0) -> None:
        self.model, self.decay, self.start, self.count = model, decay, start, 0
        self.averaged = copy.deepcopy(model).requires_grad_(False) if decay or start else model
        self._into, self._from = _tensors(self.averaged), _tensors(model)

    @property
    def judged(self) -> nn.Module:
        """The averaged model, or the model itself while nothing has been averaged."""
        return self.averaged if self.count else self.model

    @property
    def state(self) -> dict[str, Tensor]:
        """The averaged weights for a checkpoint; empty while nothing has been averaged."""
        return self.averaged.state_dict() if self.count else {}

    def restore(self, weights: dict[str, Tensor], count: int) -> None:
        """Go on from what a checkpoint holds, which may be of a trial without an average, or of one with."""
        if count and (self.decay or self.start):
            self.count = count
            self.averaged.load_state_dict(weights)

    def after_step(self) -> None:
        """An update was made."""
        if self.decay:
            self._take(max(1.0 - self.decay, 1.0 / (self.count + 1)))

    def after_epoch(self, epoch: int, inputs: Tensor) -> None:
        """An epoch is over; batch norm's statistics are counted on ``inputs`` (n, ...)."""
        if self.start and epoch >= self.start:
            self._take(1.0 / (self.count + 1))
            kept = [self.averaged.get_submodule(name) for name in frozen_norms(self.model)]
            before = [{n: b.clone() for n, b in norm.named_buffers()} for norm in kept]
            update_bn((fast_layout(x) for x in torch.split(inputs, at_a_time(inputs))), self.averaged)
            for norm, buffers in zip(kept, before, strict=True):
                norm.load_state_dict(buffers, strict=False)

    @torch.no_grad()
    def _take(self, weight: float) -> None:
        """Move the average by ``weight`` of the way to the weights."""
        floats, others = self._into
        torch._foreach_lerp_(floats, self._from[0], weight)
        for mine, theirs in zip(others, self._from[1], strict=True):
            mine.copy_(theirs)
        self.count += 1


def average_of(config: Config, model: nn.Module, epochs: int) -> Average:
    """The average that a configuration asks for, of a training of ``epochs``. Raises SettingError."""
    decay, swa = real(config, "ema", 0.0, 0.0, 1.0), real(config, "swa", 0.0, 0.0, 1.0)
    if decay == 1.0 or swa == 1.0 or (decay and swa):
        raise SettingError(
            "weights are averaged by ema or by swa, over something",
            where="ema, swa",
            got=f"ema {decay:g}, swa {swa:g}",
            expected="one of them, below 1",
        )
    return Average(model, decay, math.floor(swa * epochs) + 1 if swa else 0)


def frozen_norms(model: nn.Module) -> list[str]:
    """Names of the batch norms whose parameters do not learn: what they counted elsewhere is to stay."""
    return [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, nn.modules.batchnorm._NormBase)
        and layer.affine
        and not any(p.requires_grad for p in layer.parameters(recurse=False))
    ]


def _tensors(model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Floating-point parameters and buffers, and all others, in the model's order."""
    found = list(chain(model.parameters(), model.buffers()))
    return [t.detach() for t in found if t.is_floating_point()], [t for t in found if not t.is_floating_point()]
