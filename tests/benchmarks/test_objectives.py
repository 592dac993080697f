"""The benchmark of several goals: its problems against what is known of them, and a run's records."""

import numpy as np
import pytest

from objectives import FUNCTIONS, Problem, run
from tunebook.space import Config


def on_front(name: str, t: float) -> Config:
    """A configuration on the known front of a function."""
    if name == "dtlz2":
        return {f"x{i}": t if i < 2 else 0.5 for i in range(12)}
    return {f"x{i}": t if i == 0 else 0.0 for i in range(30)}


def known(name: str, t: float) -> list[float]:
    if name == "dtlz2":
        a = 0.5 * np.pi * t
        return [np.cos(a) ** 2, np.cos(a) * np.sin(a), np.sin(a)]
    second = {"zdt1": 1 - t**0.5, "zdt2": 1 - t**2, "zdt3": 1 - t**0.5 - t * np.sin(10 * np.pi * t)}
    return [t, second[name]]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_have_their_known_fronts(name: str) -> None:
    problem: Problem = FUNCTIONS[name]()
    for t in (0.0, 0.3, 0.8, 1.0):
        assert problem.losses(on_front(name, t)) == pytest.approx(known(name, t))
    drawn = problem.space.decode(np.random.default_rng(0).random((50, problem.space.dim)))
    best = np.array([problem.losses(on_front(name, t)) for t in np.linspace(0, 1, 40)])
    chance = np.array([problem.losses(c) for c in drawn])
    assert (best >= problem.ideal - 1e-9).all()
    assert 1.0 > problem.share(best) > 1.2 * problem.share(chance) > 0


@pytest.mark.parametrize("method", ["tunebook:nsga2", "optuna:default"])
def test_a_run_is_its_seed(method: str) -> None:
    if method.startswith("optuna"):
        pytest.importorskip("optuna")
    told = [run((None, "zdt1", method, 3, 26)) for _ in range(2)]
    assert told[0]["share"] == told[1]["share"] and set(told[0]["share"]) == {"25", "26"}
    assert 0 < told[0]["share"]["25"] <= told[0]["share"]["26"] < 1
