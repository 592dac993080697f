"""How a budget is spent: the trials that each stage may take, and the smallest budget that comes to an answer."""

from __future__ import annotations

from dataclasses import replace

from tunebook.playbook.base import Base
from tunebook.playbook.baseline import Baseline
from tunebook.playbook.confirm import FEWEST_SEEDS, Confirm, reserve
from tunebook.playbook.exploit import Exploit
from tunebook.playbook.explore import FEWEST, Explore, Refine, explore_part, refine_part
from tunebook.playbook.finalize import Finalize


def split(base: Base) -> dict[str, int]:
    """How many trials each stage may take at most; a time limit may leave fewer."""
    left = base.total - 1
    search = left if base.space.dim else 0
    explore = min(search, max(FEWEST, base.part(explore_part(base))))
    refine = min(search - explore, base.part(refine_part(base)))
    refine = refine if refine >= FEWEST else 0
    exploit = max(0, search - explore - refine - reserve(base))
    rest = left - explore - refine - exploit
    told = {Baseline.name: 1, Explore.name: explore, Refine.name: refine, Exploit.name: exploit}
    told[Confirm.name] = max(0, rest - base.final)
    return told | ({Finalize.name: min(1, rest)} if base.final else {})


def smallest(base: Base) -> int:
    """The fewest trials that leave enough of them to confirm a winner on fresh seeds."""
    total = 1 + base.final
    while base.space.dim and split(replace(base, total=total))[Confirm.name] < 2 * FEWEST_SEEDS:
        total += 1
    return total
