"""Fronts, crowding, hypervolumes and boxes, each against its definition."""

import numpy as np
import pytest

from tunebook.pareto import Array, boxes, crowding, front, hypervolume, ranks


def drawn(seed: int, n: int, m: int, ties: bool) -> Array:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 6, (n, m)).astype(float) if ties else rng.random((n, m))


def beaten(Y: Array) -> list[bool]:
    return [any((z <= y).all() and (z < y).any() for z in Y) for y in Y]


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("m", [1, 2, 3, 5])
def test_the_front_is_what_nobody_beats(m: int, ties: bool) -> None:
    for seed in range(8):
        Y = drawn(seed, 40, m, ties)
        assert (~front(Y)).tolist() == beaten(Y)


def test_the_front_without_what_is_not_finite() -> None:
    Y = np.array([[np.nan, -9.0], [1.0, 1.0], [np.inf, 0.0], [2.0, 2.0]])
    assert front(Y).tolist() == [False, True, False, False]
    assert ranks(Y).tolist() == [2, 0, 2, 1]
    assert front(np.empty((0, 2))).tolist() == [] and ranks(np.empty((0, 2))).tolist() == []


def test_sums_that_rounding_makes_equal() -> None:
    Y = np.array([[1e16, 1.0], [1e16, 0.0]])
    assert front(Y).tolist() == [False, True]


def test_ranks_peel_one_front_after_the_other() -> None:
    Y = drawn(3, 60, 2, True)
    told = ranks(Y)
    for k in range(told.max() + 1):
        left = told >= k
        assert (told[left] == k).tolist() == front(Y[left]).tolist()
    some = ranks(Y, enough=20)
    settled = some < some.max()
    assert settled.sum() >= 20 and np.array_equal(some[settled], told[settled])


def test_crowding_is_the_room_between_neighbours() -> None:
    Y = np.array([[0.0, 4.0], [1.0, 2.0], [4.0, 0.0]])
    assert crowding(Y).tolist() == [np.inf, 2.0, np.inf]
    assert crowding(np.ones((3, 2))).tolist()[1:-1] == [0.0]
    assert crowding(np.empty((0, 2))).tolist() == []


def counted(Y: Array, r: Array) -> int:
    """The hypervolume of whole numbers, cell by cell."""
    cells = np.stack(np.meshgrid(*[np.arange(-1, int(x)) for x in r], indexing="ij"), -1).reshape(-1, len(r))
    return int((Y[None] <= cells[:, None]).all(-1).any(1).sum())


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_hypervolume_counts_the_cells(m: int) -> None:
    r = np.array([5.0, 6.0, 4.0, 5.0])[:m]
    for seed in range(10):
        Y = drawn(seed, 12, m, True)
        assert hypervolume(Y, r) == pytest.approx(counted(Y, r))


def test_hypervolume_of_nothing_and_of_what_is_beyond() -> None:
    r = np.array([1.0, 1.0])
    assert hypervolume(np.empty((0, 2)), r) == 0.0
    assert hypervolume(np.array([[0.0, 1.0], [2.0, -5.0], [np.nan, 0.0]]), r) == 0.0


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_boxes_tile_what_is_not_beaten(m: int) -> None:
    """Disjoint, and together with the hypervolume they fill the space below the reference point."""
    r, floor = np.full(m, 6.0), -2.0
    for seed in range(6):
        Y = drawn(seed, 9, m, seed % 2 == 0) * 1.0
        low, high = boxes(Y, r)
        sizes = high - np.maximum(low, floor)
        assert (high > low).all()
        assert np.prod(sizes, axis=1).sum() + hypervolume(Y, r) == pytest.approx((6.0 - floor) ** m)
        at = np.random.default_rng(seed).uniform(floor, 6.0, (200, m))
        inside = ((at[:, None] > low) & (at[:, None] < high)).all(-1).sum(1)
        assert inside.tolist() == (~(Y[None] <= at[:, None]).all(-1).any(1)).astype(int).tolist()


def test_boxes_of_nothing() -> None:
    low, high = boxes(np.empty((0, 3)), np.ones(3))
    assert low.tolist() == [[-np.inf] * 3] and high.tolist() == [[1.0] * 3]
