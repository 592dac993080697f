"""The benchmark data lies beside the repository where it is there at all; tests that need it are skipped elsewhere."""

from pathlib import Path

import pytest

DATA = Path(__file__).parents[3] / "shared" / "benchdata"


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of the benchmark data: its loader, and the suite ``open``."""
    if not (DATA / "open" / "problems.json").is_file():
        pytest.skip("no benchmark data in ../shared/benchdata")
    pytest.importorskip("onnxruntime", reason="the surrogates need onnxruntime: make bench brings it")
    pytest.importorskip("ioh", reason="the BBOB functions need ioh: make bench brings it")
    return DATA
