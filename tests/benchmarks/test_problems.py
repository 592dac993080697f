"""Problems read here give the losses and regrets that the data's own loader gives."""

import importlib.util
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from problems import Curve, Problem, filed, open_filed
from tunebook.space import Config


@pytest.fixture(scope="module")
def suite(data: Path) -> Any:
    """The data's own loader."""
    spec = importlib.util.spec_from_file_location("benchdata", data / "benchdata.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Suite(str(data / "open"))


def pairs(ours: Problem, theirs: Any, many: int) -> list[tuple[Config, dict[str, Any]]]:
    """Configurations under our names and theirs."""
    rng = np.random.default_rng(3)
    drawn = [theirs.sample(rng) for _ in range(many)]
    return [({k.replace(".", "_"): v for k, v in c.items()}, c) for c in drawn]


def test_losses_and_regrets_are_the_loaders(data: Path, suite: Any) -> None:
    names = [n for track in ("bb", "fn", "rl", "mf") for n, _ in filed(data / "open", track)]
    assert set(names) == set(suite.names())
    for name in dict.fromkeys(names):
        ours, theirs = open_filed(data / "open", name), suite[name]
        ours.reset()
        for mine, c in pairs(ours, theirs, 6):
            assert ours.space.contains(mine) or name.startswith(("taskset", "opda", "arlbench")), (name, mine)
            for seed in (None, 12345) if ours.noisy else (None,):
                told = theirs.evaluate(c, seed=seed)["loss"] if seed is not None else theirs.true_loss(c)
                assert ours.loss(mine, seed) == pytest.approx(told, rel=1e-6, abs=1e-9), (name, mine, seed)
                assert ours.regret(told) == pytest.approx(theirs.regret(told), abs=1e-9)


def test_curves_are_the_loaders(data: Path, suite: Any) -> None:
    for name, _ in filed(data / "open", "mf"):
        ours, theirs = open_filed(data / "open", name), suite[name]
        ours.reset()
        assert ours.best_seen == theirs.meta.get("f_best_anytime", theirs.f_best)
        for mine, c in pairs(ours, theirs, 3):
            curve, told = ours.curve(mine, None), theirs.curve(c)
            assert isinstance(curve, Curve) and len(curve.valid) == ours.steps == theirs.max_fidelity
            assert curve.valid == pytest.approx(told["valid"], rel=1e-6)
            assert curve.cost == pytest.approx(told["cost"])
            for extra in {"train", "test"} & set(told):
                assert curve.more[extra] == pytest.approx(told[extra])


def test_trained_configurations_are_in_the_space_and_stay_themselves(data: Path, suite: Any) -> None:
    ours = open_filed(data / "open", "arlbench/cc_acrobot_dqn")
    configs = ours.trained()
    assert len(configs) == 256 and all(ours.space.contains(c) for c in configs)
    ours.reset()
    told = [suite[ours.name].valid[i].mean(axis=1)[-1] for i in range(20)]
    assert [ours.loss(c, None) for c in configs[:20]] == pytest.approx(told)


def test_a_loss_that_is_no_number_is_no_better_than_the_median(data: Path) -> None:
    assert open_filed(data / "open", "nb201/cifar10").regret(math.nan) == 1.0
