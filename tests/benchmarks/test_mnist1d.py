"""The mnist1d benchmark in a small budget: a row for each model, of a study that looked at the test part once."""

from pathlib import Path

import pytest

import mnist1d_bench
from tunebook.record import read_record


def test_a_row_says_what_was_reached(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--folder", str(tmp_path), "--only", "logistic", "--trials", "12", "--epochs", "2", "--workers", "0"]
    assert mnist1d_bench.main(words) == 0
    _, _, row = capsys.readouterr().out.splitlines()
    name, published, test, interval, *_ = [cell.strip() for cell in row.strip("|").split("|")]
    assert (name, published) == ("logistic", "32%")
    low, high = (float(end.strip(" %")) for end in interval.split("to"))
    assert 10 < low < float(test.strip("%")) < high < 45
    record = read_record(tmp_path / "logistic")
    assert [look.reason for look in record.trials.looks] == ["final evaluation"]
    with pytest.raises(SystemExit):
        mnist1d_bench.main(["--only", "logistics"])


@pytest.mark.parametrize("entry", mnist1d_bench.ENTRIES, ids=lambda entry: entry.name)
def test_the_spaces_are_of_their_families(entry: mnist1d_bench.Entry) -> None:
    from tunebook.learners import NetLearner, learner_named
    from tunebook.space import Space

    learner = learner_named(entry.family)
    assert isinstance(learner, NetLearner)
    learner.check(Space(dict(entry.items)).default)
