"""The law of samplers as a test, for people who write one."""

from __future__ import annotations

import copy
import math
import random
import warnings
from collections.abc import Callable, Sequence

import numpy as np

from tunebook.samplers.base import Sampler
from tunebook.space import Choice, Config, Float, Int, Parameter, Space, Value
from tunebook.trial import Direction, Failure, FailureKind, Goal, Limit, Measurement, Status, Trial, config_key

Make = Callable[[Space, Goal, int], Sampler]

NET: dict[str, Parameter | Value] = {
    "optimizer": Choice({"sgd": Space(lr=Float(1e-3, 1, log=True), momentum=Float(0, 0.99)),
                         "adam": Space(lr=Float(1e-5, 1e-2, log=True), beta=Choice([0.9, 0.99, 0.999], ordered=True))}),
    "layers": Int(1, 3),
    "first": Int(8, 256, log=True),
    "second": Int(8, 256, log=True),
    "epochs": 10,
}  # fmt: skip
SPACES: dict[str, Space] = {
    "one float": Space(x=Float(-1, 1)),
    "log and steps": Space(lr=Float(1e-6, 1, log=True), drop=Float(0, 0.5, step=0.05), units=Int(1, 1000, log=True)),
    "choices": Space(
        a=Choice(list("abcdefgh")), b=Choice([1, 2, 4, 8], ordered=True), c=Choice([True, False]), d=Float(0, 1)
    ),
    "conditions": Space(NET, conditions={"second": {"layers": [2, 3]}}),
    "nested twice": Space(
        a=Choice({"x": Space(b=Choice({"y": Space(c=Float(0, 1)), "z": Space(n=Int(0, 5), k=3)})), "w": Space()}),
        d=Float(0, 1),
    ),
    "thirty axes": Space({f"x{i}": Float(0, 1) for i in range(30)}),
    "tiny": Space(a=Choice(["p", "q", "r"]), b=Choice([False, True]), c=Int(1, 3)),
    "tiny, conditions": Space(a=Choice({"p": Space(b=Int(1, 3)), "q": Space(c=Choice(["u", "v"]))}), d=Int(0, 1)),
    "constants": Space(a=1, b="fixed"),
}  # fmt: skip
HISTORIES = 6
TINY = ("tiny", "tiny, conditions", "constants")
SEVERAL = ("conditions",)
WITH_LIMITS = Goal("score", also=[Goal("size", Direction.MAXIMIZE)], limits=[Limit("memory", most=512)])


def check_sampler(make: Make) -> None:
    """Raises AssertionError with a sentence if samplers of ``make(space, goal, seed)`` break the law of
    ``tunebook.samplers.base``.

    On small and large, conditional and constant spaces, with trials that failed, diverged, have other budgets or come
    from another space, with one goal or several and a limit: every proposal is a member of the space and new; what is
    asked depends on what was told, what is pending, the seed and the number of the trial, and not on how it was told or
    what was asked before; a finite space is exhausted and then no more is proposed. A warning counts as an error.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, space in SPACES.items():
            for k in range(HISTORIES):
                goal = Goal("score", list(Direction)[k % 2])
                told, trials = _histories(space, goal)[k]
                _Check(make, space, goal, f"space {name!r}, {goal.direction}, {told}").run(trials, seed=k)
            _from_another_space(make, name, space)
        for name in SEVERAL:
            told, trials = _histories(SPACES[name], WITH_LIMITS)[1]
            _Check(make, SPACES[name], WITH_LIMITS, f"space {name!r}, several goals and a limit, {told}").run(trials, 1)
        for name in TINY:
            _exhausted(make, name)


class _Check:
    """The law on one space with one history."""

    def __init__(self, make: Make, space: Space, goal: Goal, where: str) -> None:
        self.make, self.space, self.goal, self.where = make, space, goal, where

    def require(self, sound: bool, sentence: str) -> None:
        _require(sound, sentence, self.where)

    def told(self, seed: int, *batches: Sequence[Trial]) -> Sampler:
        sampler = self.make(self.space, self.goal, seed)
        for batch in batches:
            sampler.tell(batch)
        return sampler

    def run(self, trials: Sequence[Trial], seed: int) -> None:
        first = 1 + max((t.number for t in trials), default=-1)
        pending = _drawn(self.space, 3, [seed, 7])
        whole = self.told(seed, trials)
        got = self.asked(whole, 5, pending, first, trials)
        self.require(got == whole.ask(5, pending, first), "the same question got another answer when asked again")
        self.fold(got, trials, pending, seed, first)
        self.alone(got, trials, pending, seed, first)
        batch = self.asked(whole, 16, pending, first, trials)
        self.asked(whole, 4, [*pending, *batch], first + 16, trials)
        self.require(whole.ask(0, pending, first) == [], "something is proposed though nothing is asked for")
        self.asked(whole, 1, pending, 10**6, trials)

    def asked(
        self, sampler: Sampler, n: int, pending: Sequence[Config], first: int, trials: Sequence[Trial]
    ) -> list[Config]:
        """Ask, and look at the answer: members of the space, new, no more than ``n``."""
        before = copy.deepcopy(list(pending))
        configs = sampler.ask(n, pending, first)
        self.require(list(pending) == before, "ask() changed the pending configurations")
        self.require(len(configs) <= n, f"{len(configs)} configurations are proposed, {n} were asked for")
        again = sampler.repeats and math.isinf(self.space.size)
        taken = {} if again else {t.key: "was evaluated" for t in trials}
        taken |= {config_key(c): "is pending" for c in pending}
        for config in configs:
            wrong = self.space.complaints(config)
            self.require(not wrong, f"{config} is not in the space: {wrong[0] if wrong else ''}")
            key = config_key(config)
            self.require(key not in taken, f"{config} is proposed although it {taken.get(key)}")
            taken[key] = "stands in the same batch already"
        if len(configs) < n:
            more = sampler.ask(n, [*pending, *configs], first + len(configs))
            self.require(not more, f"{len(configs)} of {n} are proposed although there are more")
        return configs

    def fold(self, got: list[Config], trials: Sequence[Trial], pending: list[Config], seed: int, first: int) -> None:
        """tell(a); tell(b) equals tell(a + b), whatever was asked between, in whatever order, told twice or once."""
        half = len(trials) // 2
        parts = self.told(seed, trials[:half], trials[half:])
        self.require(parts.ask(5, pending, first) == got, "tell(a); tell(b) differs from tell(a + b)")
        between = self.told(seed, trials[:half])
        between.ask(3, pending, first)
        between.ask(2, [], first + 5)
        between.tell(trials[half:])
        self.require(between.ask(5, pending, first) == got, "what was asked before changes what is proposed")
        order = list(np.random.default_rng(seed).permutation(len(trials)))
        mixed = self.told(seed, [trials[i] for i in order[:half]], [trials[i] for i in order[half:]])
        self.require(mixed.ask(5, pending, first) == got, "the order in which trials are told changes what is proposed")
        twice = self.told(seed, trials, trials[::-1])
        self.require(twice.ask(5, pending, first) == got, "trials that are told twice count twice")
        early = [_cut(t) for t in trials]
        self.require(
            self.told(seed, early, trials).ask(5, pending, first) == got,
            "what a trial had told before it went on still counts",
        )

    def alone(self, got: list[Config], trials: Sequence[Trial], pending: list[Config], seed: int, first: int) -> None:
        """Nothing outside the arguments plays a part, nor is changed."""
        copied = copy.deepcopy(list(trials))
        states = random.getstate(), np.random.get_state()
        try:
            random.seed(seed + 1)
            np.random.seed(seed + 1)
            mark = _global_state()
            again = self.told(seed, trials).ask(5, pending, first)
            touched = mark != _global_state()
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
        self.require(again == got, "a sampler made anew, told the same, proposes something else")
        self.require(not touched, "global random state is used")
        self.require(copied == list(trials), "tell() changed the trials")


def _global_state() -> tuple[object, ...]:
    _, keys, at, *rest = np.random.get_state()
    return random.getstate(), np.asarray(keys).tobytes(), at, *rest


def _require(sound: bool, sentence: str, where: str) -> None:
    if not sound:
        raise AssertionError(f"{sentence} ({where})")


def _drawn(space: Space, n: int, seed: Sequence[int]) -> list[Config]:
    """Distinct random configurations; fewer on a small space."""
    drawn = space.decode(np.random.default_rng(seed).random((4 * n, space.dim)))
    distinct: dict[str, Config] = {config_key(c): c for c in drawn}
    return list(distinct.values())[:n]


def _trial(number: int, config: Config, *scores: float, failed: bool = False) -> Trial:
    size, memory = (7 * number) % 11, 100.0 * (number % 9)
    curve = tuple(Measurement(3 * i + 3, {"score": x, "size": size, "memory": memory}) for i, x in enumerate(scores))
    failure = Failure(FailureKind.DIVERGED, "simulated") if failed else None
    status = Status.FAILED if failed else Status.COMPLETED if len(curve) == 3 else Status.PAUSED
    return Trial(number, "round", config, status=status, until=9, curve=curve, failure=failure)


def _cut(trial: Trial) -> Trial:
    """The trial as it was when it had measured less: it did better then."""
    if len(trial.curve) < 2:
        return trial
    m = trial.curve[0]
    lucky = Measurement(m.step, {k: v / 2 - 1 for k, v in m.metrics.items()}, m.seconds)
    return _trial(trial.number, trial.config, lucky.metrics["score"])


def _histories(space: Space, goal: Goal) -> list[tuple[str, list[Trial]]]:
    configs = _drawn(space, 40, [1])
    scores = [goal.value(float(np.nansum((u - 0.3) ** 2))) for u in space.encode(configs)]
    mixed: list[Trial] = []
    for i, (config, x) in enumerate(zip(configs, scores, strict=True)):
        kind = i % 7
        if kind == 1:
            mixed.append(_trial(i, config, failed=True))
        elif kind == 2:
            mixed.append(_trial(i, config, x, math.nan, failed=True))
        else:
            curve = [goal.value(goal.loss(x) + 1 / s) for s in range(1, 4 if kind > 3 else 2)]
            mixed.append(_trial(i, config, *curve))
    first = len(mixed)
    repeats = [_trial(first + i, c, *(s + 0.1,) * 3) for i, (c, s) in enumerate(zip(configs, scores, strict=True))]
    equal = [_trial(i, c, *((0.5,) * 3 if i % 3 else (math.inf,))) for i, c in enumerate(configs[:15])]
    huge = [_trial(i, c, *(1e308 * (-1) ** i,) * 3) for i, c in enumerate(configs[:3])]
    return [
        ("nothing told", []),
        ("40 trials, some failed, budgets differ, five repeated", [*mixed, *repeats[:5]]),
        ("all failed", [_trial(i, c, failed=True) for i, c in enumerate(configs[:12])]),
        ("losses equal or infinite", equal),
        (
            "40 trials, none failed",
            [_trial(i, c, *(x,) * 3) for i, (c, x) in enumerate(zip(configs, scores, strict=True))],
        ),
        ("three trials, huge losses", huge),
    ]


def _from_another_space(make: Make, name: str, space: Space) -> None:
    """Trials of a space with wider ranges, other options and other names keep counting or are left out."""
    wider: dict[str, Parameter | Value] = {"unheard_of": Float(0, 1)}
    for key, p in space.parameters.items():
        if isinstance(p, Float | Int):
            kind, span = type(p), p.high - p.low
            low = p.low if p.log else p.low - span
            wider[key] = kind(low, p.high + span, p.log, p.step)
        elif space.conditions.get(key) is None and not any(key in when for when in space.conditions.values()):
            wider[key] = Choice([*p.ladder(), "a new one"])
    old = space.updated(wider)
    goal = Goal("score")
    trials = [_trial(i, c, 1.0, 0.5, i * 0.1) for i, c in enumerate(_drawn(old, 30, [5]))]
    check = _Check(make, space, goal, f"space {name!r}, trials of a wider space")
    check.run(trials, seed=3)
    strange: list[Config] = [{"no": "such thing"}, *_drawn(old, 3, [6])]
    check.asked(check.told(0, trials), 3, strange, 30, [])


def _exhausted(make: Make, name: str) -> None:
    """A small space is proposed from end to end, each configuration once, and then nothing."""
    space, goal = SPACES[name], Goal("score")
    sampler, size, seen = make(space, goal, 0), int(space.size), set[str]()
    while True:
        configs = sampler.ask(4, [], len(seen))
        due = min(4, size - len(seen))
        where = f"space {name!r}, {len(seen)} of {size} configurations evaluated"
        _require(len(configs) == due, f"{len(configs)} configurations are proposed, {due} are left", where)
        if not configs:
            break
        new = [_trial(len(seen) + i, c, *(1.0 / (1 + len(seen) + i),) * 3) for i, c in enumerate(configs)]
        _require(len({t.key for t in new} - seen) == due, "a configuration is proposed twice", where)
        seen |= {t.key for t in new}
        sampler.tell(new)
    waiting = list(space.grid(3))
    _require(not make(space, goal, 0).ask(3, waiting, 0), "something is proposed although all is pending", repr(name))
