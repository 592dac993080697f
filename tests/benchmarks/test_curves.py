"""The benchmark of early stopping: its records, and its own problems."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from own_curves import CURVES

ROOT = Path(__file__).parents[2]


def test_records_tell_regret_and_when_it_was_reached(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    told = [sys.executable, ROOT / "benchmarks" / "curves.py", "--only", "own/short", "--budget", "8", "--seeds", "1",
            "--methods", "asha,random", "--json", out]  # fmt: skip
    done = subprocess.run([str(t) for t in told], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    records = {r["method"]: r for r in json.loads(out.read_text("utf-8"))}
    assert set(records) == {"asha", "random"}
    for r in records.values():
        assert set(r) == {"problem", "seed", "method", "workers", "regret", "ms", "trials", "reached"}
        assert set(r["reached"]) == {"0.1", "0.03"} and set(r["regret"]) == {"10", "25", "50", "100"}
        for goal, spent in r["reached"].items():
            if spent is None:
                assert r["regret"]["100"] > float(goal)
            else:
                assert 0 < spent <= 8.0 and r["regret"]["100"] <= float(goal)
    assert "Full trainings until a regret was reached" in done.stdout


def test_few_configurations_of_an_optimizer_learn_and_no_two_proposals_get_the_same() -> None:
    problem = CURVES["own/optimizer"]()
    configs = problem.trained()
    curves = np.array([problem.curve(c, None).valid for c in configs])
    learned = (curves.min(axis=1) - problem.best_seen) / (problem.median - problem.best_seen) < 0.5
    assert 0.01 < learned.mean() < 0.1
    assert len(np.unique(curves, axis=0)) == len(configs)
    again = [problem.curve(c, None).valid for c in configs[:5]]
    np.testing.assert_array_equal(again, curves[:5])
    assert problem.regret(curves.min(), problem.best_seen) == 0.0
