"""The histogram of best steps, and what it advises."""

import pytest

from tunebook.report.lengths import lengths
from tunebook.trial import Goal, Measurement, Status, Trial

STEPS = 40


def trial(number: int, best: int, upto: int = STEPS, sign: int = 1) -> Trial:
    curve = tuple(Measurement(s, {"m": sign * abs(s - best) / STEPS}) for s in range(1, upto + 1))
    status = Status.COMPLETED if upto == STEPS else Status.PAUSED
    return Trial(number, "r", {"x": number}, status=status, until=upto, curve=curve)


@pytest.mark.parametrize("sign", [1, -1])
def test_each_whole_training_counts_in_the_tenth_of_its_best_step(sign: int) -> None:
    goal = Goal("m", "minimize" if sign == 1 else "maximize")  # type: ignore[arg-type]
    told = lengths([trial(n, b, sign=sign) for n, b in enumerate((1, 4, 5, 20, 40))] + [trial(9, 3, 9)], goal, STEPS)
    assert [b.value for b in told.bars] == [2, 1, 0, 0, 1, 0, 0, 0, 0, 1]
    assert [told.bars[0].label, told.bars[-1].label] == ["0-10 %", "90-100 %"]
    assert not told.empty and "by the step" in told.note


@pytest.mark.parametrize(
    ("best", "says"), [((2, 3, 4, 4, 30), "8 of 40 steps would do"), ((31, 36, 40, 39, 2), "longer")]
)
def test_what_nearly_all_agree_on_is_advised(best: tuple[int, ...], says: str) -> None:
    assert says in lengths([trial(n, b) for n, b in enumerate(best)], Goal("m"), STEPS).note


def test_little_says_nothing() -> None:
    assert "2 of 3 needed" in lengths([trial(n, 2) for n in range(2)], Goal("m"), STEPS).empty
    assert lengths([trial(n, 1, 9) for n in range(5)], Goal("m"), STEPS).empty
    one = [Trial(n, "r", {}, status=Status.COMPLETED, until=1, curve=(Measurement(1, {"m": 1.0}),)) for n in range(5)]
    assert lengths(one, Goal("m"), 1).empty
