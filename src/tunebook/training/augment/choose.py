"""From a configuration to what is done to each training batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Generator, Tensor

from tunebook.data.dataset import Kind
from tunebook.errors import DataError, SettingError
from tunebook.space import Config
from tunebook.training.augment import images, sequences, tables
from tunebook.training.augment.base import noise
from tunebook.training.settings import real, whole, word
from tunebook.training.task import Augment

MOST: Mapping[Kind, Mapping[str, float]] = {  # the settings of each kind of data, and how large they can be
    "image": {
        "rotation": 180.0,
        "translation": 1.0,
        "scaling": 10.0,
        "flip": 1.0,
        "crop": 10_000,
        "noise": 100.0,
        "cutout": 1.0,
    },
    "sequence": {"noise": 100.0, "scaling": 10.0, "shift": 1.0, "mask": 1.0},
    "table": {"noise": 100.0, "mask": 1.0},
}
NAMES = ("augment", "fill", *dict.fromkeys(name for most in MOST.values() for name in most))


@dataclass(frozen=True)
class ImageAugment:
    """In this order: affine map, mirroring, crop, noise, cut-out. See ``tunebook.training.augment.images``."""

    rotation: float = 0.0
    translation: float = 0.0
    scaling: float = 0.0
    flip: float = 0.0
    crop: int = 0
    noise: float = 0.0
    cutout: float = 0.0
    fill: str = "background"

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        x = images.affine(
            x,
            generator,
            rotation=self.rotation,
            translation=self.translation,
            scaling=self.scaling,
            fill=self.fill,
        )
        x = images.flip(x, generator, self.flip)
        x = images.crop(x, generator, self.crop, self.fill)
        return images.cutout(noise(x, generator, self.noise), generator, self.cutout)


@dataclass(frozen=True)
class SequenceAugment:
    """In this order: shift, scaling, noise, mask. See ``tunebook.training.augment.sequences``."""

    noise: float = 0.0
    scaling: float = 0.0
    shift: float = 0.0
    mask: float = 0.0

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        if not x.is_floating_point():
            raise DataError("token ids are not augmented", got=str(x.dtype), expected="sequences of measured values")
        x = sequences.scaling(sequences.shift(x, generator, self.shift), generator, self.scaling)
        return sequences.mask(noise(x, generator, self.noise), generator, self.mask)


@dataclass(frozen=True)
class TableAugment:
    """Noise, then mask. See ``tunebook.training.augment.tables``."""

    noise: float = 0.0
    mask: float = 0.0

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        return tables.mask(noise(x, generator, self.noise), generator, self.mask)


MADE: Mapping[Kind, Any] = {"image": ImageAugment, "sequence": SequenceAugment, "table": TableAugment}


def augmentation(config: Config, kind: Kind) -> Augment | None:
    """What a configuration does to batches of a kind of data; None where every strength is 0, as it is unless told.

    image      rotation (degrees), translation (share of a side), scaling, flip (probability), crop (pixels), noise
               (standard deviation), cutout (share of the area); fill: background, edge or mean
    sequence   noise, scaling (standard deviations), shift, mask (shares of the length)
    table      noise (standard deviation), mask (share of the values)

    ``augment`` (default 1) is a factor on all of them: one number to tune, with what it scales held constant, as in
    RandAugment (Cubuk et al. 2020, arXiv:1909.13719). Targets stay as they are.

    Raises SettingError for values out of range, and for a setting of another kind of data.
    """
    factor = real(config, "augment", 1.0)
    told: dict[str, Any] = {}
    for name in NAMES[2:]:
        most = MOST[kind].get(name)
        whole_number = name == "crop"
        value = whole(config, name, 0) if whole_number else real(config, name, 0.0, 0.0, most or float("inf"))
        if value and most is None:
            raise SettingError(
                f"{name} is no augmentation of this kind of data", where=name, got=kind, expected=", ".join(MOST[kind])
            )
        if value and most is not None:
            told[name] = round(value * factor) if whole_number else min(value * factor, most)
    if not any(told.values()):
        return None
    if kind == "image":
        told["fill"] = word(config, "fill", "background", images.FILLS)
    made: Augment = MADE[kind](**told)
    return made
