"""What is random in an epoch, as a function of the run's seed and the epoch alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch


class Drawn(NamedTuple):
    """Generators of an epoch: for the order of the examples, on the CPU; for what is done to batches, on the device;
    and for single numbers, numpy's."""

    order: torch.Generator
    batch: torch.Generator
    numbers: np.random.Generator


@contextmanager
def seeded(seed: int, epoch: int, device: str) -> Iterator[Drawn]:
    """Seed torch's generators from (seed, epoch) inside the block, and put them back; yields further ones."""
    everything, order, batch, numbers = np.random.SeedSequence([seed, epoch]).generate_state(4, np.uint64).tolist()
    on_cpu = torch.device(device).type == "cpu"
    with torch.random.fork_rng([] if on_cpu else [device]):
        # torch.manual_seed seeds every kind of device, and for those that are not there it keeps a list of calls
        (torch.default_generator.manual_seed if on_cpu else torch.manual_seed)(everything)
        yield Drawn(
            torch.Generator().manual_seed(order),
            torch.Generator(device).manual_seed(batch),
            np.random.default_rng(numbers),
        )
