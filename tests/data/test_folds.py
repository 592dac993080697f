"""Cross-validation as a plan: what each step trains and validates on."""

from itertools import pairwise

import numpy as np
import pytest

from tunebook.data import Folds, Split, open_dataset
from tunebook.errors import DataError, SettingError

WINE = open_dataset("sklearn:wine")
PARTS = Split().parts(WINE)
DEVELOPMENT = np.sort(np.concatenate([PARTS.train, PARTS.valid]))
GROUPS = np.arange(len(WINE)) // 9


@pytest.mark.parametrize("kind", ["stratified", "plain", "group"])
def test_every_row_validates_once_in_each_repeat(kind: str) -> None:
    folds = Folds(4, 2, kind)  # type: ignore[arg-type]
    assert folds.steps == 8
    cuts = [folds.cut(PARTS, s, groups=GROUPS) for s in range(1, 9)]
    for repeat in (cuts[:4], cuts[4:]):
        assert (np.sort(np.concatenate([c.valid for c in repeat])) == DEVELOPMENT).all()
        for c in repeat:
            assert not set(c.train) & set(c.valid)
            assert len(c.train) + len(c.valid) == len(DEVELOPMENT)
            assert (c.test == PARTS.test).all()
    assert set(cuts[0].valid) != set(cuts[4].valid)
    assert set(folds.cut(PARTS, 1, 1, GROUPS).valid) not in [set(c.valid) for c in cuts]
    assert (folds.cut(PARTS, 3, groups=GROUPS).valid == cuts[2].valid).all()


def test_groups_stay_together() -> None:
    for step in range(1, 6):
        cut = Folds(5, kind="group").cut(PARTS, step, groups=GROUPS)
        assert not set(GROUPS[cut.train]) & set(GROUPS[cut.valid])
    with pytest.raises(DataError, match="groups cannot make 30 folds"):
        Folds(30, kind="group").cut(PARTS, 1, groups=GROUPS)
    with pytest.raises(DataError, match="need groups"):
        Folds(kind="group").cut(PARTS, 1)


def test_folds_in_time_train_on_what_came_before() -> None:
    cuts = [Folds(4, kind="time").cut(PARTS, s) for s in range(1, 5)]
    for c in cuts:
        assert c.train.max() < c.valid.min()
    for a, b in pairwise(cuts):
        assert set(a.train) | set(a.valid) == set(b.train)


def test_fractions_are_nested_and_validate_on_one_fold() -> None:
    folds = Folds(5, fractions=(0.1, 0.4, 1.0))
    cuts = [folds.cut(PARTS, s) for s in (1, 2, 3)]
    assert folds.steps == 3
    assert all((c.valid == cuts[0].valid).all() for c in cuts)
    assert set(cuts[0].train) < set(cuts[1].train) < set(cuts[2].train)
    assert len(cuts[2].train) + len(cuts[2].valid) == len(DEVELOPMENT)
    assert list(folds.alike(2)) == [2]
    assert list(Folds(5).alike(2)) == [1, 2]


def test_what_cannot_be_is_named() -> None:
    for told in ({"k": 1}, {"repeats": 0}, {"kind": "groups"}, {"kind": "time", "repeats": 2},
                 {"fractions": (0.5, 0.1)}, {"fractions": (0.0, 1.0)}):  # fmt: skip
        with pytest.raises(SettingError):
            Folds(**told)  # type: ignore[arg-type]
