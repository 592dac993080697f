"""What a person believes about good values: densities, draws, and that samplers look there first and do not stay."""

from collections.abc import Callable

import numpy as np
import pytest

from tunebook.errors import SpaceError
from tunebook.samplers import (
    CmaesSampler,
    DESampler,
    EvolutionSampler,
    GPSampler,
    NSGA2Sampler,
    QuasiSampler,
    RandomSampler,
    TPESampler,
)
from tunebook.samplers._belief import Belief
from tunebook.samplers.base import Sampler
from tunebook.space import Choice, Config, Float, Int, Parameter, Space
from tunebook.testing.sampler import SPACES, check_sampler
from tunebook.trial import Goal, Measurement, Status, Trial

GOAL = Goal("loss")
SPACE = Space(
    lr=Float(1e-5, 1, log=True, likely=(1e-3, 1e-2)),
    layers=Int(1, 9, likely=(2, 4)),
    free=Float(0, 1),
    kind=Choice({"a": Space(depth=Int(1, 50, likely=(40, 45))), "b": Space()}, likely=(3, 1)),
)


def search(sampler: Sampler, n: int, loss: Callable[[Config], float]) -> list[Trial]:
    out: list[Trial] = []
    for i in range(n):
        config = sampler.ask(1, [], i)[0]
        curve = (Measurement(1, {"loss": loss(config)}),)
        out.append(Trial(i, "r", config, status=Status.COMPLETED, until=1, curve=curve))
        sampler.tell(out[-1:])
    return out


def test_a_belief_is_part_of_the_space() -> None:
    told = SPACE.as_dict()
    assert told["lr"]["likely"] == [1e-3, 1e-2] and told["kind"]["likely"] == [3, 1]
    assert Space.from_dict(told) == SPACE and Space.from_dict(told).as_dict() == told
    assert "likely" not in Float(0, 1).as_dict() and "likely=(0.1, 0.2)" in repr(Float(0, 1, likely=(0.1, 0.2)))


@pytest.mark.parametrize(
    "bad",
    [
        Float(0, 1, likely=(0.5, 0.5)),
        Float(0, 1, likely=(0.5,)),  # type: ignore[arg-type]
        Float(0, 1, likely=0.5),  # type: ignore[arg-type]
        Float(0, 1, likely=(float("nan"), 1.0)),
        Float(1e-3, 1, log=True, likely=(0.0, 0.5)),
        Int(1, 9, likely=("2", "4")),  # type: ignore[arg-type]
        Int(1, 4, likely=(3, 3)),
        Float(0, 1, likely=(2, 3)),
        Float(0, 1, likely=(-1, 0)),
        Int(5, 9, likely=(1, 5)),
        Choice(["a", "b"], likely=[1]),
        Choice(["a", "b"], likely=[1, -1]),
        Choice(["a", "b"], likely=[0, 0]),
        Choice(["a", "b"], likely="ab"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_belief_is_refused(bad: Parameter) -> None:
    with pytest.raises(SpaceError, match="likely") as refused:
        Space(x=bad)
    if not isinstance(bad, Choice):
        assert f"try: likely=({bad.low!r}, {bad.high!r}), or a part of it" in str(refused.value)  # type: ignore[attr-defined]


def test_a_belief_may_reach_beyond_the_range() -> None:
    assert Space(x=Float(0, 1, likely=(0.8, 1.2))).parameters["x"].likely == (0.8, 1.2)  # type: ignore[attr-defined]


def test_densities_are_relative_to_the_uniform_one() -> None:
    """Their mean over even points is 1 on each axis, whatever is active."""
    belief = Belief(SPACE)
    U = np.random.default_rng(0).random((20_000, SPACE.dim))
    X = SPACE.mask(U)
    assert np.exp(belief.log_density(X, [0])).mean() == pytest.approx(1.0, abs=0.03)
    assert np.exp(belief.log_density(X, [3])).mean() == pytest.approx(1.0, abs=0.03)
    assert np.exp(belief.log_density(X, [4])).mean() == pytest.approx(1.0, abs=0.15)
    apart = sum(belief.log_density(X, [j]) for j in range(SPACE.dim))
    assert belief.log_density(X) == pytest.approx(apart)
    assert belief.any and not Belief(SPACES["conditions"]).any


def test_slopes_of_the_belief() -> None:
    belief = Belief(SPACE)
    t, active = np.random.default_rng(1).random((4, 4)), np.array([[True] * 4, [True, True, True, False]] * 2)
    _, slopes = belief.of_numbers(t, active)
    for j in range(4):
        step = np.zeros(4)
        step[j] = 1e-6
        up, down = (belief.of_numbers(t + sign * step, active)[0] for sign in (1, -1))
        assert slopes[:, j] == pytest.approx((up - down) / 2e-6, rel=1e-5, abs=1e-6)


def test_draws_come_from_the_belief() -> None:
    configs = RandomSampler(SPACE, GOAL, 0).ask(600, [], 0)
    rates = np.log10([float(c["lr"]) for c in configs])  # type: ignore[arg-type]
    assert abs(np.mean((rates > -3) & (rates < -2)) - 0.64) < 0.06
    assert abs(np.mean([c["kind"] == "a" for c in configs]) - 0.725) < 0.06
    depths = [int(c["kind.a.depth"]) for c in configs if c["kind"] == "a"]  # type: ignore[arg-type]
    assert np.mean([39 <= d <= 46 for d in depths]) > 0.55
    assert abs(np.mean([float(c["free"]) for c in configs]) - 0.5) < 0.05  # type: ignore[arg-type]
    even = QuasiSampler(SPACE, GOAL, 0).ask(64, [], 0)
    assert sum(c["kind"] == "a" for c in even) == 32  # the even spread knows of nothing


ONE = Space({f"x{i}": Float(0, 1, likely=(0.75, 0.85)) for i in range(4)})
NONE = Space({f"x{i}": Float(0, 1) for i in range(4)})
MAKES = [GPSampler, TPESampler, CmaesSampler, DESampler, EvolutionSampler, NSGA2Sampler]


def bowl(centre: float) -> Callable[[Config], float]:
    return lambda config: float(sum((float(v) - centre) ** 2 for v in config.values()))  # type: ignore[arg-type]


@pytest.mark.parametrize("make", MAKES, ids=lambda m: m.__name__)
def test_a_good_belief_helps(make: type[Sampler]) -> None:
    with_it, without = (np.mean([min(t.loss(GOAL) for t in search(make(space, GOAL, seed), 12, bowl(0.8)))
                                 for seed in range(4)]) for space in (ONE, NONE))  # fmt: skip
    assert with_it < 0.5 * without


@pytest.mark.parametrize("make", [GPSampler, TPESampler], ids=lambda m: m.__name__)
def test_a_bad_belief_is_given_up(make: type[Sampler]) -> None:
    late = search(make(ONE, GOAL, 0), 60, bowl(0.2))[45:]
    assert np.median([float(v) for t in late for v in t.config.values()]) < 0.4  # type: ignore[arg-type]
    assert min(t.loss(GOAL) for t in late) < 0.3  # 1.44 where it was believed to be


def test_a_belief_in_options_counts() -> None:
    space = Space(kind=Choice(["a", "b", "c", "d"], likely=[1, 1, 1, 40]), x=Float(0, 1))
    for make in (GPSampler, TPESampler):
        early = search(make(space, GOAL, 0), 16, lambda c: float(c["x"]))[8:]  # type: ignore[arg-type]
        assert sum(t.config["kind"] == "d" for t in early) >= 3


def believed(space: Space) -> Space:
    """The same with beliefs about its numbers and options."""
    changes: dict[str, Parameter] = {}
    for name, p in space.parameters.items():
        if isinstance(p, Float | Int):
            low, high = p.decode(0.6), p.decode(0.9)
            assert isinstance(low, int | float) and isinstance(high, int | float)
            if low < high:
                changes[name] = type(p)(p.low, p.high, p.log, p.step, likely=(low, high))
    return space.updated(changes)


def test_samplers_keep_the_law_with_beliefs(monkeypatch: pytest.MonkeyPatch) -> None:
    some = {name: believed(SPACES[name]) for name in ("tiny, conditions", "tiny", "constants")}
    monkeypatch.setattr("tunebook.testing.sampler.SEVERAL", ())
    monkeypatch.setattr("tunebook.testing.sampler.SPACES", some)
    for make in (GPSampler, TPESampler):
        check_sampler(make)


def test_improvement_a_second() -> None:
    """Two equal valleys, one of them ten times slower: per second the quick one is looked into."""
    space = Space(x=Float(0, 1))

    def told(per_second: bool) -> float:
        sampler, slow = GPSampler(space, GOAL, 0, per_second=per_second), 0.0
        for i in range(24):
            config = sampler.ask(1, [], i)[0]
            x = float(config["x"])  # type: ignore[arg-type]
            seconds = 10.0 if x > 0.5 else 1.0
            curve = (Measurement(1, {"loss": min((x - 0.2) ** 2, (x - 0.8) ** 2)}, seconds),)
            sampler.tell([Trial(i, "r", config, status=Status.COMPLETED, until=1, curve=curve)])
            slow += seconds > 1 and i >= 5
        return slow

    assert told(True) <= 0.6 * told(False)
