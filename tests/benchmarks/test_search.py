"""The benchmark of searches: its records, going on where it was cut off, and the bridge to other packages."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from compare import Kept, load, report
from methods import Bridge, NoMethod, axes, interpreter
from problems import Problem
from search import trace
from tunebook.space import Choice, Config, Float, Int, Space

ROOT = Path(__file__).parents[2]
SPACE = Space(
    kind=Choice({"a": Space(depth=Int(1, 9)), "b": Space(rate=Float(1e-4, 1, log=True), flag=Choice([True, False]))}),
    size=Choice([8, 16, 32], ordered=True),
)


def searched(*arguments: str | Path) -> str:
    """What search.py prints."""
    told = [sys.executable, ROOT / "benchmarks" / "search.py", *arguments]
    done = subprocess.run([str(t) for t in told], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_run_gives_the_records_and_a_second_run_adds_what_is_missing(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "records" / "out.json"
    base = ("--suite", data / "open", "--track", "rl", "--only", "cartpole", "--seeds", "1", "--json", out)
    searched(*base, "--trials", "2", "--methods", "tunebook:random,random")
    records = json.loads(out.read_text("utf-8"))
    assert [r["method"] for r in records] == ["tunebook:random", "random"]
    for r in records:
        assert set(r) == {"problem", "seed", "method", "regret", "ms"}
        assert (r["problem"], r["seed"], set(r["regret"])) == ("arlbench/cc_cartpole_ppo", 0, {"end"})
        assert 0 <= r["regret"]["end"] <= 1 and r["ms"] >= 0

    text = searched(*base, "--trials", "26", "--methods", "tunebook:random,tunebook:quasi,tunebook:nothing")
    again = json.loads(out.read_text("utf-8"))
    assert again[:2] == records and [r["method"] for r in again[2:]] == ["tunebook:quasi"]
    assert set(again[2]["regret"]) == {"25", "end"}
    assert "| tunebook:random | " in text and "| tunebook:quasi | " in text and "tunebook:nothing" not in text


def test_optuna_runs_through_the_bridge(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    out = tmp_path / "out.json"
    searched("--suite", data / "open", "--track", "bb", "--only", "rbv2_super/1485", "--trials", "3", "--seeds", "1",
             "--methods", "optuna:tpe", "--flight", "2", "--json", out)  # fmt: skip
    (record,) = json.loads(out.read_text("utf-8"))
    assert record["method"] == "optuna:tpe@2" and record["ms"] > 0


@pytest.fixture
def optuna() -> Iterator[Bridge]:
    pytest.importorskip("optuna")
    bridge = Bridge("optuna")
    yield bridge
    bridge.close()


def test_the_bridge_proposes_members_of_the_space(optuna: Bridge) -> None:
    optuna.call({"start": "optuna:tpe", "space": axes(SPACE), "seed": 1, "trials": 12, "noisy": False})
    kinds = set()
    for i in range(12):
        told = optuna.call({"ask": True})
        assert told["number"] == i and told["ms"] > 0
        assert SPACE.complaints(told["config"]) == []
        kinds.add(told["config"]["kind"])
        optuna.call({"tell": i, "loss": 0.1 * i})
    assert kinds == {"a", "b"}


def test_a_search_that_fails_says_why_and_the_next_one_runs(optuna: Bridge) -> None:
    with pytest.raises(NoMethod, match="optuna: KeyError"):
        optuna.call({"start": "optuna:nothing", "space": axes(SPACE), "seed": 0, "trials": 1, "noisy": False})
    with pytest.raises(NoMethod, match="nothing was started"):
        optuna.call({"ask": True})
    assert optuna.call({"start": "optuna:tpe", "space": axes(SPACE), "seed": 0, "trials": 1, "noisy": False})["version"]


def test_a_peer_that_is_not_installed_is_named_with_what_installs_it() -> None:
    with pytest.raises(NoMethod, match=r"scripts/peers\.sh no_such_peer"):
        interpreter("no_such_peer")


class Line(Problem):
    """The distance from 7 of a whole number."""

    name, space, best, median, best_seen = "line", Space(x=Int(0, 99)), 0.0, 40.0, 0.0

    def loss(self, config: Config, seed: int | None) -> float:
        return float(abs(int(config["x"]) - 7))  # type: ignore[arg-type]


class Counting:
    """Proposes 0, 1, 2, ... and writes down how many were out when it was asked."""

    ms = 0.0

    def __init__(self) -> None:
        self.asked, self.out, self.told = 0, list[int](), list[int]()

    def ask(self) -> Config:
        self.out.append(self.asked - len(self.told))
        self.asked += 1
        return {"x": self.asked - 1}

    def tell(self, config: Config, loss: float) -> None:
        self.told.append(int(config["x"]))  # type: ignore[arg-type]

    def recommend(self) -> Config | None:
        return None


@pytest.mark.parametrize("flight", [1, 4])
def test_so_many_trials_are_out_and_all_are_told_in_order(flight: int) -> None:
    search = Counting()
    regret = trace(Line(), search, seed=0, trials=30, flight=flight)
    assert search.told == list(range(30))
    assert search.out == [min(i, flight - 1) for i in range(30)]
    assert regret == {"25": 0.0, "end": 0.0}
    assert trace(Line(), Counting(), seed=0, trials=5, flight=flight) == {"end": pytest.approx(3 / 40)}


def record(method: str, problem: str, seed: int, regret: float) -> dict[str, object]:
    return {"problem": problem, "seed": seed, "method": method, "regret": {"25": regret, "end": regret / 2}, "ms": 1.5}


def test_records_survive_a_cut_in_the_middle_of_one(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    kept = Kept(path)
    for seed in range(3):
        kept.add(record("a", "p/1", seed, 0.5))
        assert json.loads(path.read_text("utf-8")) == kept.records
    path.write_text(path.read_text("utf-8")[:-20], "utf-8")
    assert load(path) == kept.records[:2]
    again = Kept(path)
    again.add(record("a", "p/1", 9, 0.5))
    assert [r["seed"] for r in json.loads(path.read_text("utf-8"))] == [0, 1, 9]


def test_the_report_compares_what_both_ran() -> None:
    mine = [record("a", f"p/{i}", 0, 0.1) for i in range(8)]
    theirs = [record("b", f"p/{i}", 0, 0.2 if i else 0.04) for i in range(8)]
    few = [record("c", "q/1", 0, 0.2), record("c", "p/1", 0, 0.1)]
    text = "\n".join(report([*mine, *theirs, *few], ["a", "b"]))
    assert "8 pairs of 8 problems" in text
    assert "| a | 0.1000 | 0.0500 | 1.12 | 1.12 | 1.5 |" in text
    line = next(t for t in text.splitlines() if t.startswith("| b | 25 | 8 |"))
    assert line.startswith("| b | 25 | 8 | 0.1000 | 0.1800 | 7 | 1 | 0 |")
    assert float(line.split("|")[-2]) == pytest.approx(0.0156, abs=0.001)  # 2 * 2 / 2**8: exact, one rank against
    assert "| c | 25 | 1 | 0.1000 | 0.1000 | 0 | 0 | 1 | 1 |" in "\n".join(report([*mine, *few], ["a", "c"]))
