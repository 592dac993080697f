"""Studies by their name or folder."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from tunebook.cli.files import read_data
from tunebook.errors import SettingError, StudyNotFound, nearest
from tunebook.record import BOOK, RESOLVED, RUNS, Record, read_record, resume_command

FEW = 5


@dataclass(frozen=True)
class Place:
    """A study's folder, and the URL of its record where that is not in the folder."""

    folder: Path
    store: str | None = None


def is_study(folder: Path) -> bool:
    """Whether a study was begun in the folder."""
    return (folder / BOOK).exists() or (folder / RESOLVED).exists()


def found(name: str) -> Path:
    """The folder of a study: tunebook-runs/NAME, or a folder. Raises StudyNotFound with the nearest name."""
    if not name.strip() or "\0" in name:
        raise SettingError("this is not a study's name", where="study", got=repr(name), code="STORE-078")
    for folder in (Path(RUNS) / name, Path(name)):
        if is_study(folder):
            return folder
    names = studies_in(Path(RUNS))
    raise StudyNotFound(f"there is no study {name!r}", where=f"{RUNS}/{name}",
                        expected=_nearest(name, names),
                        fix="tunebook list, or give the study's folder", code="STORE-078")  # fmt: skip


def _nearest(name: str, names: list[str]) -> str:
    """The name that was meant, or the few that are nearest of many."""
    if not names:
        return f"nothing: no study lies in {RUNS}"
    few = get_close_matches(name, names, n=FEW, cutoff=0.0)
    told = nearest(name, names if len(names) <= FEW else few)
    return told if len(names) <= FEW or told.startswith("did") else f"{told} ... (the nearest of {len(names):,})"


def studies_in(root: Path) -> list[str]:
    """Names of the studies below a folder."""
    try:
        return sorted(p.name for p in root.iterdir() if is_study(p))
    except OSError:
        return []


def place_of(name: str, store: str | None) -> Place:
    """A study to read: ``store`` is told for one whose record is in a database and that a script started."""
    if store is not None:
        return Place(Path(RUNS) / name if Path(name).name == name else Path(name), store)
    folder = found(name)
    if (folder / BOOK).exists():
        return Place(folder)
    told = read_data(folder / RESOLVED, "job file").get("store")
    return Place(folder, str(told) if told is not None else None)


def read(name: str, store: str | None) -> Record:
    """A study by its name. Raises StoreError and StudyNotFound."""
    place = place_of(name, store)
    if place.store is None and not (place.folder / BOOK).exists():
        raise StudyNotFound("the study was never begun", where=str(place.folder), fix=resume_command(place.folder),
                            code="STORE-078")  # fmt: skip
    return read_record(place.folder, place.store)
