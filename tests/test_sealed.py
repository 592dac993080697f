"""Folders that others have filled and tunebook has sealed: no change goes unnoticed, only what is ours is removed."""

import random
from pathlib import Path

import pytest

from tunebook.errors import CheckpointError
from tunebook.sealed import CARD, read_sealed, remove_checkpoints, seal_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint with a folder in it."""
    home = tmp_path / "run" / "checkpoint-12"
    (home / "part").mkdir(parents=True)
    rng = random.Random(0)
    for name, size in (("weights.bin", 400), ("state.json", 90), ("part/rest.bin", 50), ("empty", 0)):
        (home / name).write_bytes(rng.randbytes(size))
    seal_folder(home, {"step": 12, "identity": "a"})
    return home


def test_three_hundred_flipped_bits_are_noticed(folder: Path) -> None:
    rng = random.Random(1)
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.stat().st_size]
    assert folder / CARD in files
    for _ in range(300):
        path = rng.choice(files)
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError):
            read_sealed(folder)
        path.write_bytes(whole)
    card = read_sealed(folder)
    assert (card["step"], card["identity"], len(card["files"])) == (12, "a", 4)


def test_files_that_are_gone_or_new_are_noticed(folder: Path) -> None:
    (folder / "part" / "new.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match="damaged or was edited"):
        read_sealed(folder)
    (folder / "part" / "new.bin").unlink()
    read_sealed(folder)
    (folder / "empty").unlink()
    with pytest.raises(CheckpointError):
        read_sealed(folder)
    (folder / CARD).unlink()
    with pytest.raises(CheckpointError):
        read_sealed(folder)


def test_only_sealed_folders_are_removed(folder: Path) -> None:
    run = folder.parent
    kept = [run / "checkpoint-13" / "weights.bin", run / "model" / CARD, run / "notes.txt"]
    for path in kept:
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    assert remove_checkpoints(run) == size
    assert not folder.exists() and all(path.exists() for path in kept)
