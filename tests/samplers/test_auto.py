"""The default sampler: what it chooses. The law it keeps as those that it chooses from do."""

import numpy as np

from tunebook.samplers._customary import customary
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


WIDE = Space(
    lr=Float(1e-8, 10, log=True), eps=Float(1e-10, 1, log=True, likely=(1e-3, 1e-1)), l2=Float(1e-5, 1e-2, log=True),
    kind=Choice({"adam": Space(epsilon=Float(1e-10, 1e3, log=True)), "sgd": Space(weight_decay=Float(0, 10))}),
)  # fmt: skip


def test_begins_where_values_are_customary_if_a_range_is_wide_and_says_nothing() -> None:
    assert customary(WIDE) == {"lr": (3e-4, 3e-2), "kind.adam.epsilon": (1e-9, 1e-5)}
    assert "customary, as these ranges are wide: lr (0.0003 to 0.03), kind.adam.epsilon" in reason(WIDE, GOAL, 10)
    auto, gp = AutoSampler(WIDE, GOAL, 3), GPSampler(WIDE, GOAL, 3)
    rates = [sum(1e-4 < c["lr"] < 1e-1 for c in s.ask(64, [], 1)) for s in (auto, gp)]
    assert rates[0] > 40 and rates[1] < 24


def test_what_is_customary_is_given_up_where_it_is_wrong() -> None:
    space, best = Space(lr=Float(1e-8, 10, log=True)), 1e-7
    auto = AutoSampler(space, GOAL, 0)
    for i in range(30):
        config = auto.ask(1, [], i)[0]
        loss = (np.log10(config["lr"]) - np.log10(best)) ** 2
        auto.tell([Trial(i, "r", config, status=Status.COMPLETED, until=1, curve=(Measurement(1, {"loss": loss}),))])
    assert min(t.curve[-1].metrics["loss"] for t in auto.told) < 0.01
