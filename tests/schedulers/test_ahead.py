"""Where curves are going: believed as far as it came true before."""

import numpy as np
import pytest

from tunebook.schedulers.ahead import ahead, means
from tunebook.schedulers.auto import AutoScheduler
from tunebook.schedulers.halving import HalvingScheduler
from tunebook.testing.scheduler import check_scheduler, simulate
from tunebook.trial import Goal, Measurement, Status, Trial

GOAL = Goal("loss")
RUNGS = (3, 9, 27, 81)


def crossing(seed: int, noise: float = 0.0, n: int = 64) -> np.ndarray:
    """Exponentials (n, 81): what ends well is as often slow as quick."""
    rng = np.random.default_rng(seed)
    end, rate = rng.random((n, 1)), rng.uniform(0.02, 0.2, (n, 1))
    return np.asarray(end + (1.5 - end) * np.exp(-rate * np.arange(1, 82)) + noise * rng.standard_normal((n, 81)))


def gains(curves: np.ndarray, k: int) -> np.ndarray:
    told = [np.array([means(range(1, 82), c.tolist(), r) for c in curves]) for r in RUNGS]
    return ahead(told[k], told[k - 1] if k else None, (RUNGS[k - 1] if k else 0, RUNGS[k], 81))


def trial(number: int, losses: list[float], status: Status = Status.PAUSED, every: int = 1) -> Trial:
    curve = tuple(Measurement(every * (i + 1), {"loss": v}) for i, v in enumerate(losses))
    return Trial(number, "r", {"x": number}, status=status, until=len(losses) * every, curve=curve)


@pytest.mark.parametrize("k", [0, 1, 2])
def test_smooth_curves_are_followed_to_their_ends(k: int) -> None:
    curves = crossing(1)
    np.testing.assert_allclose(curves[:, RUNGS[k] - 1] - gains(curves, k), curves[:, -1], atol=0.01)


def test_under_noise_losses_count_as_they_are() -> None:
    curves = crossing(1, noise=0.1)
    assert (gains(curves, 0) == 0).all()
    assert np.abs(gains(curves, 1)).max() < 0.05 and np.abs(gains(curves, 2)).max() < 0.2


def test_few_curves_tell_nothing() -> None:
    curves = crossing(1, n=2)
    assert (gains(curves, 1) == 0).all()
    assert (gains(crossing(1, n=7), 0) == 0).all()  # on the first rung it takes eight


def test_thirds_of_a_curve() -> None:
    assert means([1, 2, 3], [3.0, 2.0, 1.5], 3) == (3.0, 2.0, 1.5, 1.5)
    assert means([1, 2, 3, 4, 5, 6, 7], [6.0, 4.0, 3.0, 3.0, 2.0, 1.0, 0.0], 6) == (5.0, 3.0, 1.5, 1.0)
    assert means([1], [1.0], 1) is None and means([3, 6], [1.0, 0.5], 6) is None
    assert means([1, 2, 3], [3.0, np.inf, 1.5], 3) is None


def test_trials_in_the_order_of_what_they_will_end_with() -> None:
    scheduler = HalvingScheduler(GOAL, 81)
    curves = crossing(2)
    trials = [trial(i, c[:27].tolist()) for i, c in enumerate(curves)]
    short = [trial(100, [0.9, 0.9], Status.STOPPED), trial(101, [], Status.FAILED)]
    order = [t.number for t in scheduler.foreseen([*trials, *short], RUNGS, 2)]
    assert len(order) == 65 and 101 not in order
    assert [n for n in order if n != 100][:8] == np.argsort(curves[:, -1])[:8].tolist()
    assert [t.number for t in scheduler.ranked(trials, 27)][:8] != np.argsort(curves[:, -1])[:8].tolist()
    rare = [trial(i, c[2::3][:9].tolist(), every=3) for i, c in enumerate(curves)]
    assert [t.number for t in scheduler.foreseen(rare, RUNGS, 2)][:2] == np.argsort(curves[:, -1])[:2].tolist()


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_many_slots_find_among_crossing_curves_what_ends_well(noise: float) -> None:
    """64 in lockstep, at a sixteenth of all epochs: better than comparing losses as they are where there is no noise,
    and about the same where there is."""
    regret = {}
    for name in ("auto", "as they are"):
        told = []
        for seed in range(12):
            curves, truth = crossing(seed, noise), crossing(seed)
            wide = AutoScheduler(GOAL, 81)._wide(64)
            wide.ahead = name == "auto"
            done = simulate(AutoScheduler(GOAL, 81) if name == "auto" else wide, curves.tolist(), capacity=64)
            assert sum(t.step for t in done.values()) <= 312
            told.append(min(truth[t.number, : t.step].min() for t in done.values()) - truth.min())
        regret[name] = np.mean(told)
    assert regret["auto"] < (0.6 if noise == 0 else 1.1) * regret["as they are"]


def test_keeps_the_law() -> None:
    check_scheduler(lambda goal, steps: HalvingScheduler(goal, steps, n=9, least=2))
