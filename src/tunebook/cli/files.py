"""Files that people write: text, and TOML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunebook.errors import SettingError, nearest
from tunebook.space.read import read_toml

LARGEST = 1 << 20  # bytes of a file


def read_text(path: Path, what: str) -> str:
    """The text of a file. Raises SettingError for one that is missing, a folder, empty, too large or no text."""

    def problem(says: str, code: str, **more: str) -> SettingError:
        return SettingError(says, where=str(path), code=code, **more)

    if path.is_dir():
        raise problem(f"a {what} is a file, this is a folder", "CONFIG-034")
    if not path.exists():
        near = [p.name for p in sorted(path.absolute().parent.glob("*.*"))] if path.absolute().parent.is_dir() else []
        raise problem("there is no such file", "CONFIG-033", expected=nearest(path.name, near[:20]) if near else what)
    try:
        if path.stat().st_size > LARGEST:
            raise problem(f"the file is too large for a {what}", "CONFIG-040", expected="at most 1 MB")
        data = path.read_bytes()
    except OSError as error:
        raise problem("the file cannot be read", "CONFIG-033", got=str(error.strerror)) from error
    if not data.strip():
        raise problem("the file is empty", "CONFIG-035", expected=what)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as bad:
        raise problem("the file is not UTF-8 text", "CONFIG-038", got=f"byte {data[bad.start]:#04x} at {bad.start}",
                      fix="save it as UTF-8") from None  # fmt: skip


def read_data(path: Path, what: str) -> dict[str, Any]:
    """A TOML file. Raises SettingError."""
    if path.suffix.lower() in (".yaml", ".yml", ".json"):
        raise SettingError(f"a {what} is written in TOML", where=str(path), got=path.suffix,
                           fix="lr = { type = 'float', low = 1e-4, high = 0.1, log = true }",
                           code="CONFIG-037")  # fmt: skip
    return read_toml(read_text(path, what), str(path))
