"""The lock on the test part: one look, written down first, and no other way in."""

import copy
import pickle

import numpy as np
import pytest

from tunebook.data import LockedTest, Split, develop, load_sklearn
from tunebook.errors import DataError

DATA = load_sklearn("wine")
PARTS = Split(seed=1).parts(DATA)


class Record:
    """A list of reasons that tells how many it holds."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def __call__(self, reason: str) -> int:
        self.reasons.append(reason)
        return len(self.reasons)


def test_development_has_train_and_valid_only():
    seen = develop(DATA, PARTS)
    assert (seen.train.inputs == DATA.inputs[PARTS.train]).all()
    assert (seen.valid.targets == DATA.targets[PARTS.valid]).all()
    merged = seen.merged()
    assert len(merged) == len(PARTS.train) + len(PARTS.valid) == len(DATA) - len(PARTS.test)
    rows = {r.tobytes() for r in merged.inputs}
    assert not rows & {r.tobytes() for r in DATA.inputs[PARTS.test]}
    assert merged.feature_names == DATA.feature_names


def test_one_look_is_recorded_before_the_data_is_given():
    record = Record()
    locked = LockedTest(DATA, PARTS, record)
    assert (record.reasons, locked.looks) == ([], 0)
    inputs, targets = locked.look("final evaluation")
    assert (record.reasons, locked.looks) == (["final evaluation"], 1)
    assert (inputs == DATA.inputs[PARTS.test]).all() and (targets == DATA.targets[PARTS.test]).all()


def test_a_second_look_is_refused_unless_said_and_counted():
    record = Record()
    locked = LockedTest(DATA, PARTS, record)
    locked.look("final evaluation")
    with pytest.raises(DataError, match="looked at already"):
        locked.look("once more")
    assert record.reasons == ["final evaluation"]
    locked.look("a reviewer asked", again=True)
    assert record.reasons == ["final evaluation", "a reviewer asked"]


def test_looks_of_earlier_processes_count():
    record = Record()
    record("yesterday")
    with pytest.raises(DataError, match="1 time"):
        LockedTest(DATA, PARTS, record, looks=1).look("today")
    with pytest.raises(DataError, match="looked at already"):
        LockedTest(DATA, PARTS, record, looks=0).look("a lock that did not know")
    assert len(record.reasons) == 2


def test_no_record_no_data():
    def broken(reason: str) -> int:
        raise OSError("disk full")

    locked = LockedTest(DATA, PARTS, broken)
    with pytest.raises(OSError, match="disk full"):
        locked.look("final evaluation")
    for reason in ("", "  "):
        with pytest.raises(DataError, match="needs a reason"):
            LockedTest(DATA, PARTS, Record()).look(reason)


def test_it_does_not_leak():
    locked = LockedTest(DATA, PARTS, Record())
    assert repr(locked) == f"LockedTest({len(PARTS.test)} rows, 0 looks)"
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(DataError, match="cannot be pickled or copied"):
            leak(locked)
    with pytest.raises(TypeError, match="__dict__"):
        vars(locked)


def test_the_given_arrays_are_copies():
    locked = LockedTest(DATA, PARTS, Record())
    inputs, _ = locked.look("one")
    inputs[:] = 0
    again, _ = locked.look("two", again=True)
    assert np.any(again)


def test_parts_of_other_data_and_no_test_part():
    with pytest.raises(DataError, match="other data"):
        LockedTest(load_sklearn("iris"), PARTS, Record())
    with pytest.raises(DataError, match="other data"):
        develop(load_sklearn("iris"), PARTS)
    with pytest.raises(DataError, match="no test part"):
        LockedTest(DATA, Split(0.8, 0.2, 0.0).parts(DATA), Record())
