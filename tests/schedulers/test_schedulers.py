"""Every scheduler keeps the law, and does what its paper says on small examples."""

from functools import partial

import numpy as np
import pytest

from tunebook.errors import SettingError
from tunebook.schedulers.asha import AshaScheduler
from tunebook.schedulers.base import Plan, Resume, Scheduler, Verdict, rungs
from tunebook.schedulers.full import FullScheduler
from tunebook.schedulers.halving import HalvingScheduler, HyperbandScheduler
from tunebook.testing.scheduler import Make, check_scheduler, simulate
from tunebook.trial import Goal, Measurement, Status, Trial

GOAL = Goal("loss")
MAKES = {
    "full": FullScheduler,
    "halving": HalvingScheduler,
    "halving, small brackets": partial(HalvingScheduler, n=5, eta=2, r_min=1),
    "halving, two to the end": partial(HalvingScheduler, least=2),
    "hyperband": HyperbandScheduler,
    "asha": AshaScheduler,
    "asha, eta 2": partial(AshaScheduler, eta=2, r_min=1),
    "asha, only who stands out": partial(AshaScheduler, clear=3.0),
    "asha, stopping": partial(AshaScheduler, form="stopping"),
}


@pytest.mark.parametrize("name", MAKES)
def test_keeps_the_law(name: str) -> None:
    check_scheduler(MAKES[name])


def trial(number: int, status: Status, *losses: float, until: int = 0, failed: bool = False) -> Trial:
    curve = tuple(Measurement(i + 1, {"loss": x}) for i, x in enumerate(losses))
    return Trial(number, "r", {"x": number}, status=status, until=until or len(losses), curve=curve)


def test_rungs() -> None:
    assert rungs(81, 3, 1) == (1, 3, 9, 27, 81)
    assert rungs(100, 3) == (6, 18, 54, 100)
    assert rungs(1, 3) == (1,)
    assert rungs(5, 3, 5) == (5,)
    assert rungs(5, 3, 4) == (4, 5)
    for steps in range(1, 200):
        for eta in (2, 3, 4):
            told = rungs(steps, eta)
            assert told[-1] == steps and list(told) == sorted(set(told))


def test_halving_lockstep_costs_what_it_says() -> None:
    """27 trials, rungs 1-3-9-27: 27 + 9 * 2 + 3 * 6 + 18 steps, and the best reaches the end."""
    quality = np.random.default_rng(0).permutation(27) / 27
    curves = [[q + 1 / s for s in range(1, 28)] for q in quality]
    scheduler = HalvingScheduler(GOAL, 27, r_min=1)
    done = simulate(scheduler, curves, capacity=27)
    steps = {t.number: t.step for t in done.values()}
    assert sum(steps.values()) == 81 == scheduler.expected_steps(27)
    assert sorted(steps.values()) == [1] * 18 + [3] * 6 + [9] * 2 + [27]
    assert steps[int(np.argmin(quality))] == 27
    assert sorted(steps, key=lambda n: (-steps[n], quality[n])) == sorted(steps, key=lambda n: quality[n])


def test_halving_judges_by_the_rung_and_not_by_what_came_later() -> None:
    scheduler = HalvingScheduler(GOAL, 9, r_min=3, n=3)
    # trial 0 was best at step 3; that trial 1 was better at step 5 (an interrupted run) must not count
    trials = [
        trial(0, Status.PAUSED, 0.9, 0.9, 0.5),
        trial(1, Status.PAUSED, 0.9, 0.9, 0.6, 0.1, 0.1),
        trial(2, Status.PAUSED, 0.9, 0.9, 0.7),
    ]
    assert scheduler.plan(trials, free=4, left=0) == Plan((Resume(0, 9),))


def test_halving_waits_for_all_and_then_replaces_the_failed() -> None:
    scheduler = HalvingScheduler(GOAL, 9, r_min=3, n=3)
    first = [trial(n, Status.PAUSED, 1, 1, 0.1 * (n + 1)) for n in range(2)]
    assert scheduler.plan(first, free=2, left=5) == Plan((), (3,))
    running = trial(2, Status.RUNNING, 1, until=3)
    assert scheduler.plan([*first, running], free=2, left=5) == Plan()
    lost = trial(2, Status.FAILED, 1, until=3)
    assert scheduler.plan([*first, lost], free=2, left=5) == Plan((Resume(0, 9),))
    crashed = trial(0, Status.FAILED, 1, 1, 0.1, until=9)
    assert scheduler.plan([crashed, first[1], lost], free=2, left=5) == Plan((Resume(1, 9),))
    done = trial(1, Status.COMPLETED, *[0.2] * 9)
    assert scheduler.plan([crashed, done, lost], free=2, left=5) == Plan((), (3, 3))


def test_halving_judges_a_bracket_that_gets_no_more_trials() -> None:
    scheduler = HalvingScheduler(GOAL, 9, r_min=3, n=27)
    trials = [trial(n, Status.PAUSED, 1, 1, 0.1 * (n + 1)) for n in range(6)]
    assert scheduler.plan(trials, free=1, left=0) == Plan((Resume(0, 9),))
    assert scheduler.plan(trials, free=3, left=0) == Plan((Resume(0, 9), Resume(1, 9)))


def test_halving_counts_who_stopped_by_itself_on_every_rung() -> None:
    scheduler = HalvingScheduler(GOAL, 9, r_min=3, n=3)
    own = trial(0, Status.STOPPED, 1.0, 0.05, until=3)
    rest = [trial(n, Status.PAUSED, 1, 1, 0.1 * n) for n in (1, 2)]
    assert scheduler.plan([own, *rest], free=3, left=0) == Plan()  # it won: nobody else goes on, and it does not


def test_more_than_one_may_come_to_the_end() -> None:
    """64 begin; 21, 7, 3 and 2 of them come to the rungs above."""
    quality = np.random.default_rng(2).permutation(64) / 64
    curves = [[q + 1 / s for s in range(1, 82)] for q in quality]
    done = simulate(HalvingScheduler(GOAL, 81, n=64, r_min=1, least=2), curves, capacity=64)
    steps = [t.step for t in done.values()]
    assert [sum(s >= rung for s in steps) for rung in (1, 3, 9, 27, 81)] == [64, 21, 7, 3, 2]
    assert sum(steps) == 310


def test_hyperband_is_the_papers_table() -> None:
    """81 steps, eta 3: the (n, r) of the paper's table 1; then the brackets begin again."""
    scheduler = HyperbandScheduler(GOAL, 81)
    assert [(b.n, b.rungs[0]) for b in scheduler.brackets] == [(81, 1), (34, 3), (15, 9), (8, 27), (5, 81)]
    quality = np.random.default_rng(1).permutation(150) / 150
    curves = [[q + 1 / s for s in range(1, 82)] for q in quality]
    done = simulate(scheduler, curves, capacity=16)
    begun = [done[n].step for n in range(150)]
    assert sorted(begun[:81]) == [1] * 54 + [3] * 18 + [9] * 6 + [27] * 2 + [81]
    assert sorted(begun[81 : 81 + 34]) == [3] * 23 + [9] * 8 + [27] * 2 + [81]
    assert begun[81 + 34 + 15 + 8 : 143] == [81] * 5
    assert min(begun[143:]) == 1  # the first kind of bracket again
    assert sum(begun) == scheduler.expected_steps(150)


def test_asha_promotes_before_it_starts_anew() -> None:
    scheduler = AshaScheduler(GOAL, 9, r_min=1)
    trials = [trial(n, Status.PAUSED, 0.1 * (n + 1)) for n in range(3)]
    assert scheduler.plan(trials[:2], free=1, left=9) == Plan((), (1,))
    assert scheduler.plan(trials, free=2, left=9) == Plan((Resume(0, 3),), (1,))
    trials[0] = trial(0, Status.RUNNING, 0.1, until=3)
    assert scheduler.plan(trials, free=2, left=9) == Plan((), (1, 1))


def test_asha_brings_the_best_of_a_small_round_to_the_end() -> None:
    scheduler = AshaScheduler(GOAL, 9, r_min=1)
    trials = [trial(0, Status.PAUSED, 0.2), trial(1, Status.PAUSED, 0.1)]
    assert scheduler.plan(trials, free=2, left=0) == Plan((Resume(1, 3),))
    trials[1] = trial(1, Status.FAILED, 0.1, 0.1, until=3)
    assert scheduler.plan(trials, free=2, left=0) == Plan((Resume(0, 3),))


def test_asha_counts_the_failed_where_they_were_to_go() -> None:
    scheduler = AshaScheduler(GOAL, 9, r_min=1)
    paused = [trial(0, Status.PAUSED, 0.3), trial(1, Status.PAUSED, 0.2)]
    assert scheduler.plan([*paused, trial(2, Status.FAILED, until=1)], 1, 9) == Plan((Resume(1, 3),))
    # on rung 3 one trial failed and two rest: a rung of three promotes one
    up = [trial(n, Status.PAUSED, 0.2, 0.2, 0.1 * n) for n in (1, 2)]
    assert scheduler.plan([*up, trial(3, Status.FAILED, 0.1, until=3)], 1, 9) == Plan((Resume(1, 9),))


def test_asha_stopping_form() -> None:
    scheduler = AshaScheduler(GOAL, 9, r_min=1, form="stopping")
    assert scheduler.plan([], free=2, left=5) == Plan((), (9, 9))
    first = trial(0, Status.RUNNING, 0.5, until=9)
    assert scheduler.judge(first, [first]) is Verdict.GO
    worse, better = trial(1, Status.RUNNING, 0.6, until=9), trial(1, Status.RUNNING, 0.4, until=9)
    assert scheduler.judge(worse, [first, worse]) is Verdict.STOP
    assert scheduler.judge(better, [first, better]) is Verdict.GO
    between = trial(1, Status.RUNNING, 0.4, 0.9, until=9)
    assert scheduler.judge(between, [first, between]) is Verdict.GO  # step 2 is no rung
    assert AshaScheduler(GOAL, 9, r_min=1).judge(worse, [first, worse]) is Verdict.GO


def test_stopping_form_compares_like_with_like_where_reports_are_rare() -> None:
    """Rung 3, reports at 2 and 4: what counts is step 4 of both, though one has gone further."""
    scheduler = AshaScheduler(GOAL, 9, r_min=3, form="stopping")
    far = Trial(0, "r", {}, status=Status.RUNNING, until=9, curve=tuple(
        Measurement(s, {"loss": 1 / s}) for s in (2, 4, 6, 8)))  # fmt: skip
    late = Trial(1, "r", {}, status=Status.RUNNING, until=9, curve=tuple(
        Measurement(s, {"loss": 0.9 / s}) for s in (2, 4)))  # fmt: skip
    assert scheduler.judge(late, [far, late]) is Verdict.GO


def test_interrupted_trials_go_on_first() -> None:
    rested = trial(0, Status.PAUSED, 0.5, until=3)
    makes: list[Make] = [partial(HalvingScheduler, r_min=3), partial(AshaScheduler, r_min=3)]
    for make in makes:
        assert make(GOAL, 9).plan([rested], free=1, left=5) == Plan((Resume(0, 3),))
    assert FullScheduler(GOAL, 9).plan([rested], free=2, left=5) == Plan((Resume(0, 9),), (9,))
    assert AshaScheduler(GOAL, 9, form="stopping").plan([rested], free=1, left=5) == Plan((Resume(0, 9),))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (partial(HalvingScheduler, eta=1), "eta must be"),
        (partial(HalvingScheduler, n=0), "a bracket needs trials"),
        (partial(HalvingScheduler, r_min=0), "r_min must be"),
        (partial(AshaScheduler, r_min=99), "r_min must be"),
        (partial(AshaScheduler, form="promotoin"), "did you mean 'promotion'"),
    ],
)
def test_settings_out_of_range(make: Make, told: str) -> None:
    with pytest.raises(SettingError, match=told):
        make(GOAL, 9)


def test_synchronous_halving_on_crossing_curves_is_cheap_and_good() -> None:
    """64 configurations in lockstep over 81 epochs whose curves cross: a ninth of the epochs, small regret."""
    spent, regret = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        end, rate = rng.random(64), rng.uniform(0.02, 0.2, 64)
        epochs = np.arange(1, 82)
        curves = end[:, None] + (1.5 - end[:, None]) * np.exp(-rate[:, None] * epochs)
        scheduler: Scheduler = HalvingScheduler(GOAL, 81, n=64, r_min=3)
        done = simulate(scheduler, curves.tolist(), capacity=64)
        spent.append(sum(t.step for t in done.values()))
        regret.append(min(t.loss(GOAL) for t in done.values()) - curves[:, -1].min())
    assert max(spent) < 0.11 * 64 * 81
    assert np.mean(regret) < 0.02
