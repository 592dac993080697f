"""Every check on a clear case and on its opposite; proposals make spaces; odd evidence is no reason to fail."""

import math

import numpy as np
import pytest

from tunebook.diagnose import CHECKS, diagnose
from tunebook.diagnose.base import Evidence, Severity
from tunebook.diagnose.boundary import boundary
from tunebook.diagnose.coverage import coverage
from tunebook.diagnose.divergence import divergence
from tunebook.diagnose.narrow import narrow
from tunebook.diagnose.noise import noise
from tunebook.diagnose.overfit import overfit
from tunebook.diagnose.saturation import saturation
from tunebook.diagnose.underfit import underfit
from tunebook.space import Choice, Float, Int, Space
from tunebook.trial import Context, Failure, FailureKind, Goal, Limit, Measurement, Status, Trial

LOSS = Goal("loss")
SPACE = Space(lr=Float(1e-4, 1e-1, log=True), units=Int(1, 16), idle=Float(0.0, 2.0))
NESTED = Space(
    opt=Choice({"sgd": Space(lr=Float(1e-3, 1.0, log=True), momentum=Float(0.0, 0.9)), "adam": Space()}),
    width=Float(1.0, 3.0),
)


def trial(number, config, values, status=Status.COMPLETED, train=None, metric="loss", **more):
    curve = tuple(
        Measurement(k + 1, {metric: float(v)} | ({} if train is None else {f"train_{metric}": float(train[k])}))
        for k, v in enumerate(values)
    )
    return Trial(number, "r", config, status=status, until=max(1, len(values)), curve=curve, **more)


def failed(t, kind=FailureKind.DIVERGED, message="loss is nan"):
    return Trial(t.number, "r", t.config, status=Status.FAILED, failure=Failure(kind, message, "train.py:3"))


def drawn(n, loss, space=SPACE, seed=0, sd=0.0, goal=LOSS):
    rng = np.random.default_rng(seed)
    configs = space.decode(rng.random((n, space.dim)))
    codes = space.encode(configs)
    told = [
        trial(i, c, [goal.value(loss(u) + sd * rng.normal())], metric=goal.metric)
        for i, (c, u) in enumerate(zip(configs, codes, strict=True))
    ]
    return Evidence(told, space, goal)


def applied(evidence, findings):
    """The space with every proposal adopted: raises if one is not sound."""
    space = evidence.space
    for finding in findings:
        space = space.updated(finding.proposal)
    return space


def curves_of(shape, n=12, steps=30, sd=0.01, train=None, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(1, steps + 1) / steps
    configs = SPACE.decode(rng.random((n, 3)))
    told = [
        trial(i, c, 0.2 * i / n + shape(t) + sd * rng.normal(size=steps), train=None if train is None else train(t))
        for i, c in enumerate(configs)
    ]
    return Evidence(told, SPACE, LOSS, steps, None if train is None else "train_loss")


def decays(t):
    return np.exp(-t / 0.1)


# boundary


def test_the_best_at_an_edge_is_found_and_the_range_widened_on_its_scale():
    evidence = drawn(40, lambda u: (u[0] - 1.3) ** 2 + 0.1 * (u[1] - 0.5) ** 2, sd=0.02)
    (found,) = boundary(evidence)
    assert found.parameter == "lr"
    assert found.proposal["lr"] == Float(1e-4, 1.0, log=True)
    assert "upper end" in found.says
    assert found.figures["probability"] > 0.9
    assert applied(evidence, [found]).parameters["lr"].high == 1.0


def test_the_lower_edge_of_a_maximised_metric():
    evidence = drawn(40, lambda u: (u[0] + 0.3) ** 2, sd=0.02, goal=Goal("acc", "maximize"))
    (found,) = boundary(evidence)
    assert found.proposal["lr"] == Float(1e-5, 1e-1, log=True)


def test_an_optimum_inside_and_pure_noise_are_no_edge():
    assert boundary(drawn(40, lambda u: (u[0] - 0.6) ** 2 + (u[1] - 0.4) ** 2, sd=0.02)) == []
    assert boundary(drawn(40, lambda u: 0.0, sd=1.0)) == []


def test_a_natural_limit_is_told_and_not_crossed():
    space = Space(momentum=Float(0.0, 0.999), x=Float(0.0, 3.0))
    (found,) = boundary(drawn(40, lambda u: (u[0] - 1.3) ** 2, space, sd=0.02))
    assert found.proposal == {}
    assert found.severity is Severity.INFO
    assert "0.999" in found.advice


def test_no_edge_where_the_trials_beyond_fail():
    evidence = drawn(60, lambda u: (u[0] - 1.0) ** 2, sd=0.01)
    told = [failed(t) if t.config["lr"] > 0.04 else t for t in evidence.trials]
    assert [f for f in boundary(Evidence(told, SPACE, LOSS)) if f.parameter == "lr"] == []


def test_trials_of_the_earlier_narrower_and_wider_space_count():
    wide = Space(lr=Float(1e-5, 1.0, log=True), units=Int(1, 16), idle=Float(0.0, 2.0))
    evidence = drawn(60, lambda u: (u[0] - 0.5) ** 2, wide, sd=0.01)
    assert boundary(Evidence(evidence.trials, SPACE, LOSS)) == []
    cut = Space(lr=Float(1e-5, 1e-4, log=True), units=Int(1, 16), idle=Float(0.0, 2.0))
    found = boundary(Evidence(evidence.trials, cut, LOSS))
    assert [f.parameter for f in found] == ["lr"]
    assert found[0].proposal["lr"].high == pytest.approx(1e-3)


def test_a_conditional_axis_has_an_edge_too():
    evidence = drawn(80, lambda u: 1.0 if math.isnan(u[2]) else (u[2] - 1.3) ** 2, NESTED, sd=0.02)
    (found,) = [f for f in boundary(evidence) if f.parameter != "width"]
    assert found.parameter == "opt.sgd.momentum"
    assert found.proposal["opt.sgd.momentum"].high == 0.999
    assert applied(evidence, [found]).names == NESTED.names


# divergence


def test_the_region_that_diverges_is_cut_off():
    evidence = drawn(40, lambda u: (u[0] - 0.3) ** 2, sd=0.01)
    told = [failed(t) if t.config["lr"] > 0.01 else t for t in evidence.trials]
    (found,) = divergence(Evidence(told, SPACE, LOSS))
    assert found.parameter == "lr"
    assert 0.005 < found.proposal["lr"].high < 0.02
    assert "(100 %)" in found.says
    assert found.trials == tuple(t.number for t in told if t.status is Status.FAILED)


def test_failures_at_random_cut_nothing_and_everywhere_is_a_bug():
    rng = np.random.default_rng(0)
    evidence = drawn(40, lambda u: u[0])
    few = [failed(t) if rng.random() < 0.15 else t for t in evidence.trials]
    (found,) = divergence(Evidence(few, SPACE, LOSS))
    assert found.proposal == {}
    assert found.severity is not Severity.BAD
    most = [failed(t, FailureKind.USER_ERROR, "KeyError: 'x'") if i % 5 else t for i, t in enumerate(evidence.trials)]
    (bug,) = divergence(Evidence(most, SPACE, LOSS))
    assert bug.severity is Severity.BAD
    assert "KeyError: 'x'" in bug.says


def test_an_option_that_fails_is_dropped_unless_others_hang_on_it():
    space = Space(act=Choice(["relu", "exp", "tanh"]), x=Float(0.0, 3.0))
    evidence = drawn(45, lambda u: u[1], space)
    told = [failed(t) if t.config["act"] == "exp" else t for t in evidence.trials]
    (found,) = divergence(Evidence(told, space, LOSS))
    assert found.proposal["act"] == Choice(("relu", "tanh"))
    nested = drawn(45, lambda u: u[3], NESTED)
    lost = [failed(t) if t.config["opt"] == "sgd" else t for t in nested.trials]
    (kept,) = divergence(Evidence(lost, NESTED, LOSS))
    assert kept.parameter == "opt"
    assert kept.proposal == {}


def test_memory_and_divergence_are_told_apart():
    evidence = drawn(60, lambda u: (u[0] - 0.5) ** 2)
    told = []
    for t in evidence.trials:
        if t.config["units"] > 12:
            told.append(failed(t, FailureKind.OOM_CPU, "MemoryError"))
        elif t.config["lr"] > 0.03:
            told.append(failed(t))
        else:
            told.append(t)
    found = divergence(Evidence(told, SPACE, LOSS))
    assert {f.parameter for f in found} == {"lr", "units"}
    space = applied(evidence, found)
    assert space.parameters["units"].high in (12, 13)


def test_a_training_that_blows_up_without_an_error_counts():
    evidence = drawn(40, lambda u: 0.0)
    told = [
        trial(t.number, t.config, [2.0, 500.0] if t.config["lr"] > 0.02 else [2.0, 1.0, 0.5]) for t in evidence.trials
    ]
    (found,) = divergence(Evidence(told, SPACE, LOSS))
    assert found.parameter == "lr"
    at_once = [trial(t.number, t.config, [9.0 if t.config["lr"] > 0.02 else 0.5]) for t in evidence.trials]
    assert divergence(Evidence(at_once, SPACE, LOSS)) == []
    assert divergence(Evidence(at_once, SPACE, LOSS, chance=2.3))[0].parameter == "lr"


# curves


def test_overfitting_is_found_and_a_plateau_is_not():
    bad = curves_of(lambda t: decays(t) + 0.4 * np.maximum(0, t - 0.3), train=decays)
    (found,) = overfit(bad)
    assert found.severity is Severity.WARN
    assert found.figures["rise"] > 0.1
    assert 5 <= found.figures["step"] <= 15
    assert overfit(curves_of(decays, train=decays)) == []
    assert overfit(curves_of(decays, sd=0.2, train=decays)) == []


def test_a_loss_that_rises_in_training_too_is_no_overfitting():
    def both(t):
        return decays(t) + 0.4 * np.maximum(0, t - 0.3)

    assert overfit(curves_of(both, train=both)) == []


def test_overfitting_of_an_accuracy_and_of_the_others_only():
    rng = np.random.default_rng(0)
    goal = Goal("acc", "maximize")
    t = np.arange(1, 31) / 30
    configs = SPACE.decode(rng.random((12, 3)))
    falls = 0.8 - decays(t) - 0.3 * np.maximum(0, t - 0.3)
    told = [trial(i, c, falls + 0.005 * rng.normal(size=30), metric="acc") for i, c in enumerate(configs)]
    (found,) = overfit(Evidence(told, SPACE, goal, 30))
    assert len(found.trials) >= 5
    best = [trial(12 + i, SPACE.default | {"idle": i / 10}, 0.95 - decays(t), metric="acc") for i in range(5)]
    (others,) = overfit(Evidence([*told, *best], SPACE, goal, 30))
    assert others.severity is Severity.INFO
    assert set(others.trials) == set(range(12))


def test_underfitting_needs_a_poor_fit_and_no_gap():
    poor = curves_of(lambda t: 0.6 + 0.4 * decays(t), train=lambda t: 0.59 + 0.4 * decays(t))
    assert underfit(poor)[0].figures["left"] > 0.25
    assert underfit(curves_of(decays, train=decays)) == []
    gap = curves_of(lambda t: 0.6 + 0.4 * decays(t), train=lambda t: 0.05 + 0.9 * decays(t))
    assert underfit(gap) == []
    assert underfit(curves_of(lambda t: 0.6 + 0.4 * decays(t))) == []


def test_too_short_and_too_long_trainings():
    (late,) = saturation(curves_of(lambda t: 1.0 - 0.5 * t))
    assert "still improve" in late.says
    (early,) = saturation(curves_of(lambda t: np.exp(-t / 0.02), steps=60))
    assert early.figures["settled"] <= 15
    assert saturation(curves_of(lambda t: np.exp(-t / 0.15), steps=60)) == []
    assert saturation(curves_of(lambda t: 1.0 - 0.5 * t, steps=5)) == []


# noise, coverage, narrowing


def test_noise_between_steps_and_between_seeds():
    loud = curves_of(lambda t: 0 * t, sd=1.0)
    assert any("step to step" in f.says for f in noise(loud))
    assert noise(curves_of(lambda t: 0 * t, sd=1e-3)) == []
    rng = np.random.default_rng(0)

    def repeated(sd):
        configs = SPACE.decode(rng.random((10, 3)))
        told = [
            trial(2 * i + k, c, [i + sd * rng.normal()], context=Context(seed=k))
            for i, c in enumerate(configs)
            for k in range(2)
        ]
        return Evidence(told, SPACE, LOSS)

    assert any("seed to seed" in f.says for f in noise(repeated(20.0)))
    assert noise(repeated(0.01)) == []


def test_what_is_beyond_a_limit_is_said_to_be_left_out():
    told = drawn(12, lambda u: u[0])
    goal = Goal("loss", limits=[Limit("loss", most=sorted(t.value(LOSS) for t in told.trials)[6])])
    (few,) = coverage(Evidence(told.trials, SPACE, goal))
    assert few.says.startswith("7 configurations within the limits are too few")
    assert few.says.endswith("(5 beyond the limits left out)")


def test_too_few_trials_and_enough():
    (few,) = coverage(drawn(6, lambda u: u[0]))
    assert few.figures == {"trials": 6.0, "needed": 10.0}
    flat = curves_of(lambda t: 0 * t, n=40, sd=0.5)
    (enough,) = [f for f in coverage(flat) if "gain" in f.figures]
    assert "enough" in enough.advice
    told = drawn(40, lambda u: u[0]).trials
    steady = [trial(t.number, t.config, [t.curve[0].metrics["loss"]] * 12) for t in told]
    (more,) = [f for f in coverage(Evidence(steady, SPACE, LOSS)) if "gain" in f.figures]
    assert "run 40 more" in more.advice


def test_an_option_that_hardly_ran_is_told():
    space = Space(act=Choice(["a", "b"]), x=Float(0.0, 3.0))
    told = drawn(30, lambda u: u[1], space).trials
    skewed = [t for t in told if t.config["act"] == "a"] + [t for t in told if t.config["act"] == "b"][:1]
    (found,) = [f for f in coverage(Evidence(skewed, space, LOSS)) if f.parameter == "act"]
    assert "'b' (1)" in found.says


def test_narrowing_holds_the_optimum_and_freezes_what_does_nothing():
    evidence = drawn(60, lambda u: 4 * (u[0] - 0.5) ** 2 + 2 * (u[1] - 0.5) ** 2, sd=0.01)
    found = {f.parameter: f for f in narrow(evidence)}
    lr = found["lr"].proposal["lr"]
    assert 1e-4 < lr.low < 3.16e-3 < lr.high < 1e-1
    assert isinstance(found["idle"].proposal["idle"], float)
    space = applied(evidence, found.values())
    assert space.dim == 2
    best = min(evidence.trials, key=lambda t: t.loss(LOSS))
    assert space.adapt(best.config) is not None
    assert narrow(drawn(20, lambda u: u[0])) == []


def test_an_axis_on_which_others_depend_is_neither_cut_nor_fixed():
    space = Space(
        {"layers": Int(1, 6), "second": Float(0.0, 3.0), "x": Float(0.0, 3.0)},
        conditions={"second": {"layers": [5, 6]}},
    )
    evidence = drawn(80, lambda u: (u[0] - 0.2) ** 2, space, sd=0.01)
    assert all(f.parameter != "layers" for f in narrow(evidence))
    told = [failed(t) if t.config["layers"] >= 5 else t for t in evidence.trials]
    (found,) = divergence(Evidence(told, space, LOSS))
    assert found.parameter == "layers"
    assert found.proposal == {}


# laws


ODD = {
    "nothing": Evidence([], SPACE, LOSS),
    "one trial": drawn(1, lambda u: u[0]),
    "all failed": Evidence([failed(t) for t in drawn(20, lambda u: u[0]).trials], SPACE, LOSS),
    "all alike": drawn(30, lambda u: 1.0),
    "no axes": drawn(5, lambda u: 1.0, Space(x=3)),
    "running": Evidence([Trial(0, "r", SPACE.default, status=Status.RUNNING)], SPACE, LOSS),
    "another metric": Evidence(drawn(20, lambda u: u[0]).trials, SPACE, Goal("acc", "maximize"), 5, "train_acc"),
    "one configuration": Evidence(
        [trial(i, SPACE.default, [1.0 + i], context=Context(seed=i)) for i in range(12)], SPACE, LOSS
    ),
    "not of this space": Evidence(drawn(30, lambda u: u[0], Space(opt=Choice(["a", "b"]))).trials, NESTED, LOSS),
    "huge values": drawn(30, lambda u: 1e300 * u[0]),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("name", ODD)
def test_odd_evidence_is_no_reason_to_fail(check, name):
    evidence = ODD[name]
    applied(evidence, check(evidence))


@pytest.mark.parametrize("seed", range(4))
def test_checks_are_pure_and_their_proposals_make_spaces(seed):
    evidence = drawn(60, lambda u: (u[3] - 1.2) ** 2 + np.nansum((u[1:3] - 0.5) ** 2), NESTED, seed, 0.05)
    told = [failed(t) if t.config.get("opt.sgd.lr", 0.0) > 0.3 else t for t in evidence.trials]
    evidence = Evidence(told, NESTED, LOSS, 1)
    before = list(told)
    found = diagnose(evidence)
    assert found == diagnose(Evidence(list(reversed(told))[::-1], NESTED, LOSS, 1))
    assert told == before
    assert found
    for finding in found:
        assert finding.says[0].strip() and "nan" not in finding.says
        assert all(isinstance(v, float) for v in finding.figures.values())
        evidence.space.updated(finding.proposal)
