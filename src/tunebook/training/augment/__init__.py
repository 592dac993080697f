"""Augmentation: what is done to the inputs of a training batch, on its device. Targets are never changed.

Pure functions of a batch and a generator, by kind of data: ``images``, ``sequences``, ``tables``. A strength of 0 gives
back the batch itself. ``augmentation(config, kind)`` puts together what a configuration names.
"""

from tunebook.training.augment.choose import NAMES as NAMES
from tunebook.training.augment.choose import ImageAugment as ImageAugment
from tunebook.training.augment.choose import SequenceAugment as SequenceAugment
from tunebook.training.augment.choose import TableAugment as TableAugment
from tunebook.training.augment.choose import augmentation as augmentation
from tunebook.training.augment.preview import preview as preview
from tunebook.training.augment.preview import previewed as previewed
