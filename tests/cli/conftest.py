"""A folder with objectives and a space, and a way to call the command line in this process."""

import os
import sys
from pathlib import Path

import pytest

from tunebook.cli.main import call

sys.path.insert(0, str(Path(__file__).parent))

from clidesk import QUICK, furnish, tunebook


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A furnished working directory; what is imported from it is forgotten afterwards."""
    for name in list(os.environ):
        if name.startswith("TUNEBOOK_") or name in ("CI", "FORCE_COLOR"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(furnish(tmp_path))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path.parent)):
            del sys.modules[name]


@pytest.fixture
def here(folder, capfd):
    """Call the command line in this process: exit code, stdout, stderr."""

    def say(*words: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = call([str(w) for w in words])
        sys.stdout.flush()
        out, err = capfd.readouterr()
        return code, out, err

    return say


@pytest.fixture(scope="session")
def shelf(tmp_path_factory):
    """A folder with a study that is finished ("done") and one whose driver was killed ("cut")."""
    place = furnish(tmp_path_factory.mktemp("shelf"))
    done = tunebook(place, *QUICK, "--trials", "16", "--workers", "0", "--study", "done", "--quiet")
    assert done.returncode == 0, done.stderr
    cut = tunebook(place, *QUICK, "--trials", "16", "--workers", "0", "--study", "cut", TUNEBOOK_FAULTS="kill:60")
    assert cut.returncode == -9
    return place
