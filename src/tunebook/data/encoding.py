"""How the columns of a table became numbers: remembered, so that new rows are read the same way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ColumnCode:
    """One column of a file. ``categories`` is None for numbers; else each becomes a 0/1 column, in order.

    ``date`` is the form of a column of dates (see ``data._dates``), which becomes numbers: ``parts`` of the date. An
    empty category stands for a missing value. A text that is none of them sets all its columns to 0.
    """

    name: str
    categories: tuple[str, ...] | None = None
    date: str = ""
    parts: tuple[str, ...] = ()

    def feature_names(self) -> tuple[str, ...]:
        if self.date:
            return tuple(f"{self.name} ({part})" for part in self.parts)
        if self.categories is None:
            return (self.name,)
        return tuple(f"{self.name}={c or '(missing)'}" for c in self.categories)


@dataclass(frozen=True)
class TableEncoding:
    """The columns that were kept, in order, the target's name and the decimal mark of the file."""

    columns: tuple[ColumnCode, ...]
    target: str
    decimal: str = "."

    def feature_names(self) -> tuple[str, ...]:
        return tuple(name for column in self.columns for name in column.feature_names())

    def to_json(self) -> dict[str, Any]:
        columns = [
            {"name": c.name, "categories": None if c.categories is None else list(c.categories)}
            | ({"date": c.date, "parts": list(c.parts)} if c.date else {})
            for c in self.columns
        ]
        return {"columns": columns, "target": self.target, "decimal": self.decimal}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> TableEncoding:
        columns = tuple(
            ColumnCode(
                c["name"],
                None if c["categories"] is None else tuple(c["categories"]),
                c.get("date", ""),
                tuple(c.get("parts", ())),
            )
            for c in stored["columns"]
        )
        return cls(columns, stored["target"], stored["decimal"])
