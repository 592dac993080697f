"""What ``tunebook probe --keep`` noted in a study's record, as blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tunebook.report.base import Block, Callout, Column, Heading, Table, text


def probed(note: Mapping[str, Any] | None) -> Iterable[Block]:
    """The readings and findings of a note with ``config``, ``readings`` and ``findings``; nothing without one."""
    if not note:
        return
    yield Heading("Probes")
    config = ", ".join(f"{name}={value}" for name, value in note["config"].items())
    yield text(f"Short trainings of one configuration, {config}.")
    yield Table((Column("probe"), Column("what it read")), [tuple(row) for row in note["readings"]])
    for f in note["findings"]:
        yield Callout(f["severity"], f["says"], f["advice"], f["check"])
