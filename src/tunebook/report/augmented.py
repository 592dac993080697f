"""What augmentation made of some examples, as figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tunebook.report.base import Axis, Block, Column, Image, Images, Lines, Series, Table, text


def augmented(told: Mapping[str, Any]) -> Iterable[Block]:
    """A sentence, and a figure for each example, of what ``tunebook.training.augment.previewed`` gave."""
    strengths = ", ".join(f"{name} {value:.4g}" for name, value in told["settings"].items() if name != "fill")
    yield text(
        f"Training augmented each batch: {strengths}. Below are examples of the training part, and what training made "
        "of them; each time that one comes up, that is drawn anew."
    )
    if told["kind"] == "table":
        yield _rows(told["examples"])
        return
    for number, example in enumerate(told["examples"], 1):
        title = f"Augmented, example {number}"
        yield _pictures(title, example) if told["kind"] == "image" else _curves(title, example)


def _pictures(title: str, example: Sequence[Any]) -> Images:
    captions = ("original", *(f"sample {i}" for i in range(1, len(example))))
    shown = [
        Image(pixels, caption, "info" if caption == "original" else "plain")
        for pixels, caption in zip(example, captions, strict=True)
    ]
    return Images(title, shown)


def _curves(title: str, example: Sequence[Any]) -> Lines:
    names = ("original", *(f"sample {i}" for i in range(1, len(example))))
    lines = [
        Series(name, range(1, len(values) + 1), values, dash="solid" if name == "original" else "dashed")
        for name, values in zip(names, example, strict=True)
    ]
    return Lines(title, Axis("position"), Axis("standardised value"), lines)


def _rows(examples: Sequence[Any]) -> Table:
    width = len(examples[0][0])
    rows = [
        [number, "original" if i == 0 else f"sample {i}", *values]
        for number, example in enumerate(examples, 1)
        for i, values in enumerate(example)
    ]
    features = [Column(f"feature {i}", "number", 3) for i in range(1, width + 1)]
    columns = (Column("example", "number"), Column(""), *features)
    return Table(columns, rows, "Augmented rows, standardised values", note=f"The first {width} features.")
