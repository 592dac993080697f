"""``check_sampler`` passes what keeps the law and names what breaks it."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from tunebook.samplers.base import History, Sampler
from tunebook.samplers.random import RandomSampler
from tunebook.space import Array, Config
from tunebook.testing.sampler import Make, check_sampler
from tunebook.trial import Status, Trial


class Base(Sampler):
    """A sound sampler to break: random, and near the best of what was told."""

    def propose(self, n: int, first: int, history: History, pending: Array, rng: np.random.Generator) -> Array:
        drawn = rng.random((n, self.space.dim))
        if history.feasible.any():
            best = history.X[np.argmin(history.y)]
            drawn = np.where(rng.random(drawn.shape) < 0.2, np.clip(np.nan_to_num(best, nan=0.5), 0, 1), drawn)
        return drawn


def broken(**methods: Any) -> Make:
    """Base with some methods replaced, also those that nobody should."""
    return type("Broken", (Base,), methods)


def ignores_pending(self: Any, n: int, pending: Sequence[Config], first: int) -> list[Config]:
    return [*pending[:1], *Base.ask(self, n, [], first)][:n]


def repeats_in_a_batch(self: Any, n: int, pending: Sequence[Config], first: int) -> list[Config]:
    got = Base.ask(self, n, pending, first)
    return [*got[:1], *got[:1], *got[2:]] if len(got) > 1 else got


def proposes_the_evaluated(self: Any, n: int, pending: Sequence[Config], first: int) -> list[Config]:
    best = self.space.decode(np.clip(self.history.X[:1], 0, 1))
    return [*best, *Base.ask(self, n, pending, first)][:n]


def keeps_the_inactive(self: Any, n: int, pending: Sequence[Config], first: int) -> list[Config]:
    got = Base.ask(self, n, pending, first)
    return [{name: c.get(name, p.start) for name, p in self.space.parameters.items()} | c for c in got]


def global_random(self: Any, n: int, first: int, history: History, pending: Array, rng: Any) -> Array:
    return np.random.random((n, self.space.dim))


def fresh_random(self: Any, n: int, first: int, history: History, pending: Array, rng: Any) -> Array:
    return np.random.default_rng().random((n, self.space.dim))


def counts_calls(self: Any, n: int, first: int, history: History, pending: Array, rng: np.random.Generator) -> Array:
    if len(history) % 40 != self.__dict__.get("before", 0) % 40:  # the same answer as long as nothing was told
        self.asked = self.__dict__.get("asked", 0) + 1
    self.before = len(history)
    return np.random.default_rng([first, self.__dict__.get("asked", 0)]).random((n, self.space.dim))


def remembers_the_last(self: Any, trials: Iterable[Trial]) -> None:
    told = list(trials)
    Base.tell(self, told)
    self.shift = told[-1].number if told else 0


def shifted(self: Any, n: int, first: int, history: History, pending: Array, rng: np.random.Generator) -> Array:
    return (rng.random((n, self.space.dim)) + 0.01 * self.__dict__.get("shift", 0)) % 1.0


def counts_trials(self: Any, trials: Iterable[Trial]) -> None:
    told = list(trials)
    Base.tell(self, told)
    self.shift = self.__dict__.get("shift", 0) + len(told)


def adds_up_losses(self: Any, trials: Iterable[Trial]) -> None:
    told = sorted(trials, key=lambda t: t.number)
    Base.tell(self, told)
    self.seen = self.__dict__.get("seen", {})
    for t in told:
        if t.curve and t.number not in self.seen:
            self.seen[t.number] = t.curve[0].metrics["score"]  # what it said first, not what it says now
    self.shift = sum(round(1000 * x) % 97 for x in self.seen.values() if abs(x) < 1e9)


def stops_early(self: Any, n: int, pending: Sequence[Config], first: int) -> list[Config]:
    return Base.ask(self, min(n, 3), pending, first)


def never_stops(self: Any, n: int, pending: Sequence[Config], first: int) -> list[Config]:
    got = Base.ask(self, n, pending, first)
    return got or self.space.decode(np.random.default_rng(first).random((n, self.space.dim)))


def too_many(self: Any, n: int, pending: Sequence[Config], first: int) -> list[Config]:
    return Base.ask(self, n + 1, pending, first)


def worst_first(self: Any, n: int, first: int, history: History, pending: Array, rng: np.random.Generator) -> Array:
    spread = (history.y - history.y.min()) / (history.y.max() - history.y.min()) if len(history) else np.zeros(1)
    return rng.random((n, self.space.dim)) * (1 + 0 * np.nansum(spread))


def changes_pending(self: Any, n: int, pending: Sequence[Config], first: int) -> list[Config]:
    got = Base.ask(self, n, pending, first)
    if isinstance(pending, list):
        pending += got
    return got


def forgets_the_failed(self: Any, trials: Iterable[Trial]) -> None:
    Base.tell(self, [t for t in trials if t.status is not Status.FAILED])


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (broken(ask=ignores_pending), "although it is pending"),
        (broken(ask=repeats_in_a_batch), "stands in the same batch"),
        (broken(ask=proposes_the_evaluated), "although it was evaluated"),
        (broken(ask=keeps_the_inactive), "is not in the space"),
        (broken(propose=global_random), "asked again|made anew"),
        (broken(propose=fresh_random), "asked again"),
        (broken(propose=counts_calls), "what was asked before"),
        (broken(tell=remembers_the_last, propose=shifted), "differs from tell|the order in which"),
        (broken(tell=counts_trials, propose=shifted), "told twice"),
        (broken(tell=adds_up_losses, propose=shifted), "before it went on"),
        (broken(ask=stops_early), "although there are more"),
        (broken(ask=never_stops), "there are more|are left|all is pending"),
        (broken(ask=too_many), "were asked for"),
        (broken(ask=changes_pending), "changed the pending"),
        (broken(tell=forgets_the_failed), "although it was evaluated"),
    ],
)
def test_catches(make: Make, told: str) -> None:
    with pytest.raises(AssertionError, match=told):
        check_sampler(make)


def test_a_warning_counts_as_an_error() -> None:
    with pytest.raises(RuntimeWarning):
        check_sampler(broken(propose=worst_first))


@pytest.mark.parametrize("sound", [Base, RandomSampler])
def test_passes_a_sound_one(sound: Make) -> None:
    check_sampler(sound)
