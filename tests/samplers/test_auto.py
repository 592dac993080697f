"""The default sampler: what it chooses. The law it keeps as those that it chooses from do."""

import numpy as np

from tunebook.samplers.auto import AutoSampler, reason
from tunebook.samplers.gp import GPSampler
from tunebook.samplers.tpe import TPESampler
from tunebook.space import Choice, Float, Space
from tunebook.trial import Goal, Measurement, Status, Trial

GOAL = Goal("loss")
SPACE = Space(x=Float(0, 1), kind=Choice({"a": Space(y=Float(0, 1)), "b": Space()}))


def told(n: int) -> list[Trial]:
    units = np.random.default_rng(0).random((n, SPACE.dim))
    curves = [(Measurement(1, {"loss": float((u**2).sum())}),) for u in units]
    return [Trial(i, "r", c, status=Status.COMPLETED, until=1, curve=m)
            for i, (c, m) in enumerate(zip(SPACE.decode(units), curves, strict=True))]  # fmt: skip


def test_processes_for_few_trials_and_densities_for_many() -> None:
    for n, like in ((60, GPSampler), (2100, TPESampler)):
        auto, other = AutoSampler(SPACE, GOAL, 3), like(SPACE, GOAL, 3)
        for sampler in (auto, other):
            sampler.tell(told(n))
        assert auto.ask(3, [], n) == other.ask(3, [], n)


def test_says_what_it_does() -> None:
    assert "some by TPE, the more the more noise: 3 hyperparameters, 1 of them conditional" in reason(SPACE, GOAL, 10)
    assert "local model where there is little noise: one hyperparameter," in reason(Space(x=Float(0, 1)), GOAL, 10)
    assert "by TPE: a Gaussian process would hold some of 2,500" in reason(SPACE, GOAL, 2500)
    assert "one a goal" in reason(SPACE, Goal("loss", also=[Goal("size")]), 10)
