"""Folders of plain files under digests: what was damaged or edited since is refused. Nothing is ever unpickled.

A folder holds ``model.json``, which names each other file with its sha256 and has one of its own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from tunebook.errors import CheckpointError

CARD = "model.json"
CHECKPOINT = re.compile(r"checkpoint-(\d+)-([0-9a-f]{64})\.safetensors")


def digest(data: bytes) -> str:
    """sha256 in hex."""
    return sha256(data).hexdigest()


def write_whole(path: Path, data: bytes, *, lasting: bool = True) -> None:
    """Write a file so that after a crash or power cut there is the old one or the new one, never a part.

    Without ``lasting`` that holds for crashes of programs; after a power cut there may be a part of it, or nothing.
    """
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            if lasting:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if lasting:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder last, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_checkpoints(folder: Path) -> int:
    """Remove the checkpoints that tunebook wrote or sealed in a run's folder, and nothing else; returns their bytes."""
    if not folder.is_dir():
        return 0
    found = [path for path in folder.iterdir() if CHECKPOINT.fullmatch(path.name)]
    freed = sum(path.stat().st_size for path in found)
    for path in found:
        path.unlink(missing_ok=True)
    for card in list(folder.rglob(f"checkpoint-*/{CARD}")):
        freed += sum(path.stat().st_size for path in card.parent.rglob("*") if path.is_file())
        shutil.rmtree(card.parent, ignore_errors=True)
    return freed


def seal_folder(folder: Path, told: Mapping[str, Any]) -> None:
    """Seal a folder that somebody else has filled: write a card of plain JSON with the digests of its files."""
    files = {name: digest(read_bytes(folder / name)) for name in _files_of(folder)}
    card = {**told, "files": files}
    card["digest"] = seal(card)
    write_whole(folder / CARD, (json.dumps(card, indent=2, sort_keys=True) + "\n").encode())


def read_sealed(folder: Path) -> dict[str, Any]:
    """The card of a folder, all of whose files are what the card says. Raises CheckpointError."""
    card = read_card(folder)
    if _files_of(folder) != sorted(card.get("files", {})):
        raise tampered(folder)
    for name in card["files"]:
        read_file(folder, card, name)
    return card


def _files_of(folder: Path) -> list[str]:
    """The names of the files in a folder and those in it, its card excepted."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    return sorted(name for name in found if name != CARD)


def write_sealed(folder: Path, told: Mapping[str, Any], files: Mapping[str, bytes]) -> Path:
    """Write a card of plain JSON and the files it speaks of; the folder appears whole, in place of one that is there.

    File names may have a folder before them.
    """
    card = {**told, "files": {name: digest(data) for name, data in files.items()}}
    card["digest"] = seal(card)
    new = folder.with_name(f".tmp-{os.getpid()}-{folder.name}")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for name, data in files.items():
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        write_whole(new / name, data)
    write_whole(new / CARD, (json.dumps(card, indent=2, sort_keys=True) + "\n").encode())
    shutil.rmtree(folder, ignore_errors=True)
    new.replace(folder)
    sync_folder(folder.parent)
    return folder


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a folder. Raises CheckpointError where there is none, or one that was damaged or edited."""
    path = folder / CARD
    try:
        told = json.loads(read_bytes(path))
    except ValueError as error:
        raise tampered(path) from error
    if not isinstance(told, dict) or told.get("digest") != seal({k: v for k, v in told.items() if k != "digest"}):
        raise tampered(path)
    return told


def read_file(folder: Path, card: Mapping[str, Any], name: str) -> bytes:
    """A file that the card names. Raises CheckpointError for another content than the card says."""
    data = read_bytes(folder / name)
    if digest(data) != card.get("files", {}).get(name):
        raise tampered(folder / name)
    return data


def read_bytes(path: Path) -> bytes:
    """The bytes of a file of a model. Raises CheckpointError where there is none."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            "there is no model here", where=str(path), got=type(error).__name__, expected=f"a folder with {CARD}"
        ) from error


def seal(told: Mapping[str, Any]) -> str:
    """The digest of a card."""
    return digest(json.dumps(told, sort_keys=True).encode())


def tampered(path: Path) -> CheckpointError:
    """The error of a file that is not what it was."""
    return CheckpointError(
        "a model file is damaged or was edited", where=str(path), fix="take it from a backup, or train the model again"
    )
