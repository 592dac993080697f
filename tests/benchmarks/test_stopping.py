"""The benchmark of early stopping with real training: what its records hold, and how pairs of seeds are compared."""

import pytest

import stopping


def record(method: str, seed: int, values: list[float], seconds: float) -> stopping.Record:
    return {"track": "early", "task": "digits, cnn", "seed": seed, "method": method, "seconds": seconds,
            "epochs": 10, "best": max(values), "values": values}  # fmt: skip


def test_pairs_of_seeds_are_compared_by_fresh_values_and_by_time() -> None:
    told = [record("auto", 0, [0.9, 0.92], 10.0), record("full", 0, [0.9, 0.9], 40.0),
            record("auto", 1, [0.95, 0.95], 10.0), record("full", 1, [0.92, 0.92], 50.0),
            record("auto", 2, [0.5, 0.5], 1.0)]  # fmt: skip
    head, auto, full = stopping.report(told, "early", ("auto", "full"))
    assert head == "digits, cnn: 2 seeds"  # the third has no partner
    assert "0.9300 on fresh seeds" in auto and "+0.0200 (-0.1071 to +0.1471) against full" in auto
    assert "in 0.23 of its time (median; 0.20 to 0.25)" in auto
    assert "against" not in full


def test_a_search_stops_early_and_its_best_is_trained_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("TRIALS", 9), ("STEPS", 9), ("CONFIRM", 2)):
        monkeypatch.setattr(stopping, name, value)
    told = stopping.early("digits, cnn", 0, "auto")
    assert 9 <= told["epochs"] < 81 and len(told["values"]) == 2 and 0.5 < told["best"] <= 1


def test_a_population_finds_a_schedule_that_is_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("POPULATION", 4), ("EPOCHS", 2), ("INTERVAL", 1), ("BUDGET", 8), ("CONFIRM", 1)):
        monkeypatch.setattr(stopping, name, value)
    told = stopping.schedule("digits, mlp by SGD", 0, "pbt")
    ends = [until for _, until, _ in told["rates"]]
    assert told["epochs"] <= 8 and len(told["values"]) == 1
    assert [start for start, _, _ in told["rates"]] == [0, *ends[:-1]] and ends[-1] <= 2
