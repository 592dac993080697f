"""The playbook on objectives whose truth is known: what it adopts, what it refuses, what it costs."""

import math

import numpy as np
import pytest

from tunebook.errors import SettingError
from tunebook.executors.simulated import SimulatedExecutor
from tunebook.jobs import search_of
from tunebook.playbook import Base, Baseline, Confirm, Exploit, Explore, Finalize, Refine, play
from tunebook.playbook.baseline import beats_chance
from tunebook.space import Choice, Float, Int, Space
from tunebook.stores.memory import MemoryStore
from tunebook.story import model_of
from tunebook.study import Study
from tunebook.trial import Goal, Measurement

GOAL = Goal("accuracy", "maximize")
SPACE = Space(lr=Float(1e-4, 1e-1, log=True, default=1e-3), width=Int(8, 256, log=True), act=Choice(["relu", "tanh"]))
STAGES = (Baseline, Explore, Refine, Exploit, Confirm, Finalize)


def objective_with(best_lr=0.02, effect=0.1, noise=0.005):
    """Accuracy peaks at a learning rate, rises with the steps, and differs a little from seed to seed."""

    def objective(run):
        rng = np.random.default_rng(run.seed)
        distance = abs(math.log10(run.config["lr"] / best_lr))
        top = 0.9 - effect * distance + noise * rng.standard_normal()
        for step in range(1, run.until + 1):
            value = top * (1 - math.exp(-step / 2)) + noise / 3 * rng.standard_normal()
            metrics = {"train_accuracy": value + 0.01}
            yield Measurement(step, metrics if run.context.final else {**metrics, "accuracy": value}, seconds=1.0)

    return objective


def played(tmp_path, objective, total=60, seed=0, store=None, capacity=2, **about):
    base = Base(about.pop("space", SPACE), {}, GOAL, 9, total, seed, **about)
    store = MemoryStore() if store is None else store
    with Study(store, tmp_path, SimulatedExecutor(objective, capacity), seed=seed) as study:

        def run(round):
            return study.run(search_of(round, seed), round.trials, round.share * base.seconds)

        return list(play([s() for s in STAGES], base, run)), study.trials


def test_a_real_improvement_is_adopted_and_everything_is_told(tmp_path):
    chapters, trials = played(tmp_path, objective_with())
    assert [c.stage for c in chapters][:5] == ["baseline", "explore", "refine", "exploit", "confirm"]
    assert chapters[-1].stage == "finalize"
    base = chapters[-1].conclusion.base
    assert base.adopted
    assert 0.005 < base.config["lr"] < 0.08
    assert all(c.round.question and c.conclusion.says for c in chapters)
    assert len(trials) <= 60
    figures = next(c for c in reversed(chapters) if c.stage == "confirm").conclusion.figures
    assert figures["low"] > 0
    search_seeds = {t.context.seed for t in trials.values() if not t.round.startswith(("confirm", "finalize"))}
    assert not search_seeds & {t.context.seed for c in chapters if c.stage == "confirm" for t in c.trials}


def test_nothing_is_adopted_where_nothing_matters(tmp_path):
    adopted = 0
    for seed in range(40):
        chapters, _ = played(tmp_path, objective_with(effect=0.0), total=40, seed=seed)
        base = chapters[-1].conclusion.base
        adopted += base.adopted
        if not base.adopted:
            assert dict(base.config) == SPACE.default
    assert adopted <= 4, "a difference that is not there was adopted too often: 5 % is promised"


@pytest.mark.parametrize("total", [1, 2, 5, 8, 13, 20, 37, 60])
def test_the_budget_is_never_exceeded(tmp_path, total):
    chapters, trials = played(tmp_path, objective_with(), total=total)
    assert len(trials) <= total
    assert chapters
    if total >= 20:
        assert chapters[-1].stage == "finalize"


def test_a_playbook_played_again_decides_the_same_and_runs_nothing(tmp_path):
    store = MemoryStore()
    first, trials = played(tmp_path, objective_with(), store=store)

    def never(run):
        raise AssertionError("nothing is left to run")
        yield

    again, after = played(tmp_path, never, store=store)
    assert [c.conclusion for c in again] == [c.conclusion for c in first]
    assert len(after) == len(trials)


def test_the_space_is_widened_where_the_best_trials_crowd_a_bound(tmp_path):
    narrow = Space(lr=Float(1e-4, 5e-3, log=True), width=Int(8, 256, log=True))
    chapters, _ = played(tmp_path, objective_with(best_lr=0.03, effect=0.2), space=narrow)
    assert chapters[-1].conclusion.base.space.parameters["lr"].high > 5e-3
    assert chapters[-1].conclusion.base.config["lr"] > 5e-3
    refine = next(c for c in chapters if c.stage == "refine")
    assert any("widened" in s for s in refine.conclusion.says)


def test_no_better_than_chance_stops_before_the_budget_is_wasted(tmp_path):
    chapters, trials = played(tmp_path, objective_with(), chance=0.95)
    assert "chance" in chapters[-1].conclusion.stop
    assert len(trials) < 30


def test_a_table_is_searched_on_where_little_can_be_learned(tmp_path):
    chapters, trials = played(tmp_path, objective_with(), chance=0.95, folds=5)
    explore = next(c for c in chapters if c.stage == "explore")
    assert "better than chance" in explore.conclusion.says[-1] and not explore.conclusion.stop
    assert chapters[-1].stage == "finalize" and trials.count("exploit") > 10


def test_nothing_is_said_to_be_hopeless_that_was_not_looked_at(tmp_path):
    chapters, _ = played(tmp_path, objective_with(), chance=0.95, seconds=22.0, capacity=1)
    assert [c.stage for c in chapters[:2]] == ["baseline", "explore"] and not chapters[1].trials
    assert not chapters[1].conclusion.stop


def test_where_time_is_limited_a_table_is_searched_by_what_a_second_brings(tmp_path):
    timed, _ = played(tmp_path / "a", objective_with(), total=20, folds=5, seconds=1e6)
    free, _ = played(tmp_path / "b", objective_with(), total=20, folds=5)
    samplers = [next(c.round.sampler for c in told if c.stage == "exploit") for told in (timed, free)]
    assert samplers == ["gp-per-second", "auto"]


@pytest.mark.parametrize(
    ("value", "chance", "better"), [(0.86, 0.8585, False), (0.87, 0.8585, True), (0.12, 0.1, True)]
)
def test_what_is_better_than_chance_depends_on_what_is_left_to_gain(value, chance, better):
    assert beats_chance(GOAL, value, chance) is better
    assert beats_chance(Goal("rmse", "minimize"), 0.9 * chance, chance)


def test_a_time_budget_is_kept(tmp_path):
    chapters, trials = played(tmp_path, objective_with(), total=1000, seconds=300.0)
    assert trials.spent <= 301.0
    assert trials.spent >= 150.0, "a budget that is there is used"
    assert chapters[-1].stage == "finalize"


def test_a_failing_default_is_said_and_the_search_goes_on(tmp_path):
    inner = objective_with()

    def objective(run):
        if run.config["lr"] == SPACE.default["lr"]:
            raise ValueError("cannot train with this")
        yield from inner(run)

    chapters, _ = played(tmp_path, objective)
    assert any("cannot train with this" in s for s in chapters[0].conclusion.says)
    assert len(chapters) >= 4


def test_what_failed_whenever_it_was_trained_is_not_trained_at_last(tmp_path):
    def objective(run):
        raise SettingError("unknown optimizer", where="optimizer", got="'adamx'", expected="did you mean 'adam'?")

    chapters, trials = played(tmp_path, objective, space=Space(lr=1e-3))
    assert [c.stage for c in chapters] == ["baseline", "finalize"] and len(trials) == 1
    for chapter in chapters:
        assert "unknown optimizer: got 'adamx'; did you mean 'adam'?" in chapter.conclusion.says[0]
    assert "failed whenever" in chapters[-1].conclusion.stop
    assert model_of(tmp_path, chapters) is None


def test_everything_failing_ends_with_a_reason(tmp_path):
    def objective(run):
        yield Measurement(1, {"accuracy": math.nan})

    chapters, _ = played(tmp_path, objective)
    assert chapters[-1].conclusion.stop == "no trial succeeded"


def test_a_space_of_constants_is_confirmed_as_it_is(tmp_path):
    chapters, _ = played(tmp_path, objective_with(), space=Space(lr=1e-3, width=8))
    assert [c.stage for c in chapters] == ["baseline", "finalize"]
