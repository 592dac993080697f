"""How often is each verdict wrong? False alarms and misses of every check on cases whose truth is known.

    python benchmarks/diagnosis.py --seeds 200                    all; well over half an hour on one core
    python benchmarks/diagnosis.py --only boundary --seeds 50

Each line is a case: what is true in it, how many trials there are, and in how many of the seeds the check said so. For
a case in which there is nothing to be found, the last column is the false alarms, else the misses.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc

from tunebook.analysis.bootstrap import gain_of_doubling
from tunebook.analysis.compare import compare, race
from tunebook.analysis.importance import importance
from tunebook.diagnose import boundary, coverage, divergence, narrow, noise, overfit, saturation, underfit
from tunebook.diagnose.base import Evidence, Finding, Severity
from tunebook.diagnose.coverage import ENOUGH
from tunebook.space import Float, Int, Space
from tunebook.trial import Failure, FailureKind, Goal, Measurement, Status, Trial

LOSS = Goal("loss")
GAIN = Goal("accuracy", "maximize")


@dataclass(frozen=True)
class Case:
    """``says`` runs a seed and tells whether the verdict fell; ``there`` whether it should."""

    check: str
    truth: str
    there: bool
    says: Callable[[int], bool]


def space_of(d: int) -> Space:
    """A log axis first, then linear ones, the last a whole number."""
    items = {"lr": Float(1e-4, 1e-1, log=True)} | {f"x{j}": Float(0.0, 3.0) for j in range(1, d)}
    return Space({**items, **({f"x{d - 1}": Int(1, 8)} if d > 2 else {})})


def design(n: int, d: int, seed: int) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not a power of 2
        return qmc.Sobol(d, rng=np.random.default_rng([seed, n, d])).random(n)


def trials_of(space: Space, units: np.ndarray, losses: np.ndarray) -> list[Trial]:
    return [
        Trial(i, "r", c, status=Status.COMPLETED, until=1, curve=(Measurement(1, {"loss": float(v)}),))
        for i, (c, v) in enumerate(zip(space.decode(units), losses, strict=True))
    ]


def bowl(n: int, d: int, seed: int, optimum: float | None, sd: float, flat: bool = False) -> Evidence:
    """A skew bowl with interactions; the optimum of the first axis given (as a code) or inside like the others'."""
    rng = np.random.default_rng([seed, n, d, 7])
    space, units = space_of(d), design(n, d, seed)
    centre, weight = rng.uniform(0.2, 0.8, d), np.exp(rng.normal(size=d))
    if optimum is not None:
        centre[0], weight[0] = optimum, max(weight)
    gap = units - centre
    gap[:, -1] += rng.choice([-0.3, 0.3]) * gap[:, 0] * (optimum is None)
    loss = np.exp(rng.uniform(0.3, 1.0) * np.sqrt((weight * gap**2).sum(axis=1)))
    loss = np.zeros(n) if flat else (loss - loss.mean()) / loss.std()
    return Evidence(trials_of(space, units, loss + sd * rng.normal(size=n)), space, LOSS)


def boundary_cases() -> Iterator[Case]:
    for n in (16, 32, 64):
        for d in (2, 4, 8):
            if n < 2 * d + 4:
                continue

            def inside(seed: int, n: int = n, d: int = d) -> bool:
                return bool(boundary(bowl(n, d, seed, None, (0.1, 0.3, 0.6)[seed % 3])))

            def beyond(seed: int, n: int = n, d: int = d) -> bool:
                found = boundary(bowl(n, d, seed, 1.25, (0.1, 0.3, 0.6)[seed % 3]))
                return any(f.parameter == "lr" and f.figures["edge"] == 0.1 for f in found)

            def flat(seed: int, n: int = n, d: int = d) -> bool:
                return bool(boundary(bowl(n, d, seed, None, 1.0, flat=True)))

            what = f"{n} trials, {d} axes"
            yield Case("boundary", f"optimum inside; {what}", False, inside)
            yield Case("boundary", f"nothing matters; {what}", False, flat)
            yield Case("boundary", f"optimum a quarter of the range outside; {what}", True, beyond)


def failing(n: int, seed: int, inside: float, outside: float, cut: float) -> Evidence:
    """Trials that diverge above code ``cut`` of the first axis with one probability, elsewhere with another."""
    rng = np.random.default_rng([seed, n, 11])
    space, units = space_of(4), design(n, 4, seed)
    trials = trials_of(space, units, ((units - 0.5) ** 2).sum(axis=1) + 0.1 * rng.normal(size=n))
    bad = rng.random(n) < np.where(units[:, 0] > cut, inside, outside)
    lost = Failure(FailureKind.DIVERGED, "loss is nan")
    out = [
        Trial(t.number, "r", t.config, status=Status.FAILED, failure=lost) if b else t
        for t, b in zip(trials, bad, strict=True)
    ]
    return Evidence(out, space, LOSS)


def divergence_cases() -> Iterator[Case]:
    def cut_near(found: list[Finding], code: float) -> bool:
        return any(f.parameter == "lr" and abs(f.figures["cut"] - code) < 0.15 and f.proposal for f in found)

    for n in (16, 32, 64):
        yield Case(
            "divergence",
            f"95 % diverge in the upper 30 % of lr, 3 % elsewhere; {n} trials",
            True,
            lambda s, n=n: cut_near(divergence(failing(n, s, 0.95, 0.03, 0.7)), 0.7),
        )
        yield Case(
            "divergence",
            f"15 % fail at random (alarm: a range is cut); {n} trials",
            False,
            lambda s, n=n: any(f.proposal for f in divergence(failing(n, s, 0.15, 0.15, 0.7))),
        )
        yield Case(
            "divergence",
            f"80 % fail at random (said: a bug); {n} trials",
            True,
            lambda s, n=n: any(f.severity is Severity.BAD for f in divergence(failing(n, s, 0.8, 0.8, 0.7))),
        )
        yield Case(
            "divergence",
            f"20 % fail at random (alarm: a bug); {n} trials",
            False,
            lambda s, n=n: any(f.severity is Severity.BAD for f in divergence(failing(n, s, 0.2, 0.2, 0.7))),
        )


def training(seed: int, shape: str, steps: int = 30, n: int = 20, alike: float = 0.0, sd: float = 0.02) -> Evidence:
    """Loss curves of ``n`` trials; the noise of a step depends on the one before by ``alike``.

    Shapes: "settles" (two thirds in), "overfits", "improves" to the end, "quick" (settled in a tenth), "poor" (so is
    training).
    """
    rng = np.random.default_rng([seed, steps, 13])
    space, units, out = space_of(2), design(n, 2, seed), []
    t = np.arange(1, steps + 1) / steps
    for i, config in enumerate(space.decode(units)):
        floor = 0.3 + 0.2 * float(units[i, 0])
        speed = {"quick": 0.02, "improves": 0.7}.get(shape, 0.12) * rng.uniform(0.8, 1.2)
        val = floor + np.exp(-t / speed)
        train = (floor if shape == "poor" else 0.15) * 0.97 + np.exp(-t / speed) * 0.98
        if shape == "overfits":
            val = val + 0.3 * np.maximum(0.0, t - 0.35)
            train = train - 0.1 * t
        if shape == "poor":
            val, train = val + 0.5, train + 0.5
        shock = rng.normal(size=steps) * sd * np.sqrt(1 - alike**2)
        walk = np.zeros(steps)
        for k in range(steps):
            walk[k] = alike * (walk[k - 1] if k else 0.0) + shock[k]
        curve = tuple(
            Measurement(k + 1, {"loss": float(val[k] + walk[k]), "train_loss": float(train[k])}) for k in range(steps)
        )
        out.append(Trial(i, "r", config, status=Status.COMPLETED, until=steps, curve=curve))
    return Evidence(out, space, LOSS, steps, "train_loss", chance=1.3)


def curve_cases() -> Iterator[Case]:
    for steps in (10, 30, 100):
        for alike in (0.0, 0.7):
            how = f"{steps} steps, noise alike by {alike:g}"

            def run(
                check: Callable[[Evidence], list[Finding]], shape: str, steps: int = steps, alike: float = alike
            ) -> Callable[[int], bool]:
                return lambda s: bool(check(training(s, shape, steps, alike=alike)))

            yield Case("overfit", f"validation settles; {how}", False, run(overfit, "settles"))
            yield Case("overfit", f"validation improves to the end; {how}", False, run(overfit, "improves"))
            yield Case("overfit", f"validation rises by a fifth; {how}", True, run(overfit, "overfits"))

            def said(shape: str, key: str, steps: int = steps, alike: float = alike) -> Callable[[int], bool]:
                return lambda s: any(key in f.figures for f in saturation(training(s, shape, steps, alike=alike)))

            yield Case("saturation (too short)", f"settles; {how}", False, said("settles", "gain"))
            yield Case("saturation (too short)", f"overfits; {how}", False, said("overfits", "gain"))
            yield Case("saturation (too short)", f"improves to the end; {how}", True, said("improves", "gain"))
            yield Case("saturation (too long)", f"improves to the end; {how}", False, said("improves", "settled"))
            yield Case("saturation (too long)", f"settles half-way; {how}", False, said("settles", "settled"))
            yield Case("saturation (too long)", f"settles in a tenth; {how}", True, said("quick", "settled"))
        yield Case("underfit", f"training fits well; {steps} steps", False, run(underfit, "settles"))
        yield Case("underfit", f"overfits; {steps} steps", False, run(underfit, "overfits"))
        yield Case("underfit", f"training is as poor as validation; {steps} steps", True, run(underfit, "poor"))


def noisy(seed: int, ratio: float, n: int = 40, repeats: int = 1) -> Evidence:
    """Trials whose best tenth truly differ by sd 1, with noise of sd ``ratio`` from step to step, or seed to seed."""
    rng = np.random.default_rng([seed, n, repeats, 17])
    space, units = space_of(2), design(n, 2, seed)
    true = np.sort(rng.exponential(size=n))
    true *= 1.0 / np.std(true[:5], ddof=1)
    out = []
    for i, config in enumerate(space.decode(units)):
        for _ in range(repeats):
            moved = ratio * rng.normal(size=20 if repeats == 1 else 1) + 10.0 + true[i]
            curve = tuple(Measurement(k + 1, {"loss": float(v)}) for k, v in enumerate(moved))
            out.append(Trial(len(out), "r", config, status=Status.COMPLETED, until=len(curve), curve=curve))
    return Evidence(out, space, Goal("loss", pick="last"), len(out[0].curve))


def noise_cases() -> Iterator[Case]:
    for what, repeats in (("steps", 1), ("2 seeds each", 2)):
        for n in (20, 80):

            def run(ratio: float, n: int = n, repeats: int = repeats) -> Callable[[int], bool]:
                return lambda s: bool(noise(noisy(s, ratio, n, repeats)))

            yield Case("noise", f"{what}: noise a fifth of the contenders' spread; {n} trials", False, run(0.2))
            yield Case("noise", f"{what}: noise 3 times the contenders' spread; {n} trials", True, run(3.0))


def coverage_cases() -> Iterator[Case]:
    """Truth: what doubling does bring, on average over 50 doublings of the same random search."""

    def enough(seed: int, n: int, d: int, sd: float) -> bool:
        rng = np.random.default_rng([seed, n, d, 19])
        loss = ((rng.random((n, d)) - 0.4) ** 2).sum(axis=1)
        told = gain_of_doubling(list(loss), LOSS)
        return told is not None and told.gain < ENOUGH * sd

    def true_gain(n: int, d: int) -> float:
        rng = np.random.default_rng([n, d, 23])
        loss = ((rng.random((2000, 2 * n, d)) - 0.4) ** 2).sum(axis=2)
        return float(np.mean(loss[:, :n].min(axis=1) - loss.min(axis=1)))

    for n in (16, 32, 64):
        for d in (2, 4):
            gain = true_gain(n, d)
            what = f"{n} trials, {d} axes"
            yield Case(
                "coverage (enough)",
                f"doubling brings twice the noise; {what}",
                False,
                lambda s, n=n, d=d, g=gain: enough(s, n, d, 0.5 * g),
            )
            yield Case(
                "coverage (enough)",
                f"doubling brings a third of the noise; {what}",
                True,
                lambda s, n=n, d=d, g=gain: enough(s, n, d, 3.0 * g),
            )
    few = Case("coverage (too few)", "40 trials, 4 axes", False, lambda s: bool(_few(bowl(40, 4, s, None, 0.3))))
    yield few
    yield Case("coverage (too few)", "8 trials, 4 axes", True, lambda s: bool(_few(bowl(8, 4, s, None, 0.3))))


def _few(evidence: Evidence) -> list[Finding]:
    return [f for f in coverage(evidence) if "needed" in f.figures]


def narrow_cases() -> Iterator[Case]:
    def outside(seed: int, n: int, d: int) -> bool:
        """Whether a proposal cuts the true optimum off. The bowl's centres are drawn again from its seed."""
        centre = np.random.default_rng([seed, n, d, 7]).uniform(0.2, 0.8, d)
        told = bowl(n, d, seed, 0.5, (0.1, 0.3, 0.6)[seed % 3])
        centre[0] = 0.5
        best = told.space.decode(centre[None, :])[0]
        ranges = {k: v for f in narrow(told) for k, v in f.proposal.items() if isinstance(v, Float | Int)}
        return any(not p.contains(best[k]) for k, p in ranges.items())

    def cuts(seed: int, n: int, d: int) -> bool:
        return any(f.parameter == "lr" for f in narrow(bowl(n, d, seed, 0.5, 0.1)))

    def freezes(seed: int, n: int, weight: float) -> bool:
        rng = np.random.default_rng([seed, n, 29])
        space, units = space_of(4), design(n, 4, seed)
        parts = (units - 0.5) ** 2 / np.std((units - 0.5) ** 2, axis=0)
        loss = parts @ np.sqrt([0.6, weight, 0.3, 0.1]) + 0.2 * rng.normal(size=n)
        found = narrow(Evidence(trials_of(space, units, loss), space, LOSS))
        return any(f.parameter == "x1" and not isinstance(f.proposal["x1"], Float) for f in found)

    for n in (40, 80):
        for d in (2, 4):
            what = f"{n} trials, {d} axes"
            yield Case("narrow", f"the optimum is cut off; {what}", False, lambda s, n=n, d=d: outside(s, n, d))
            yield Case(
                "narrow", f"optimum in the middle of the main axis; {what}", True, lambda s, n=n, d=d: cuts(s, n, d)
            )
        yield Case(
            "narrow (freeze)", f"the axis makes a tenth of the variance; {n} trials", False,
            lambda s, n=n: freezes(s, n, 0.1),
        )  # fmt: skip
        yield Case("narrow (freeze)", f"the axis does nothing; {n} trials", True, lambda s, n=n: freezes(s, n, 0.0))


def compare_cases() -> Iterator[Case]:
    def once(seed: int, n: int, effect: float, paired: bool) -> bool:
        rng = np.random.default_rng([seed, n, 31])
        shared = rng.normal(size=n) * (1.0 if paired else 0.0)
        a, b = effect + shared + rng.normal(size=n), shared + rng.normal(size=n)
        return compare(list(a), list(b), GAIN, paired=paired).adopt

    def until(seed: int, effect: float) -> bool:
        """Three looks, after 3, 6 and 9 seeds: adopt at the first that is separable."""
        rng = np.random.default_rng([seed, 37])
        a, b = effect + rng.normal(size=9), rng.normal(size=9)
        return any(compare(list(a[:n]), list(b[:n]), GAIN, looks=3).adopt for n in (3, 6, 9))

    def four(seed: int, n: int) -> bool:
        rng = np.random.default_rng([seed, n, 41])
        told = race({str(k): list(rng.normal(size=n)) for k in range(4)}, list(rng.normal(size=n)), GAIN)
        return any(ok for _, ok in told.values())

    for n in (3, 5, 10):
        yield Case("compare (adopt)", f"no difference; {n} seeds", False, lambda s, n=n: once(s, n, 0.0, False))
        yield Case("compare (adopt)", f"no difference; {n} pairs", False, lambda s, n=n: once(s, n, 0.0, True))
        yield Case("compare (adopt)", f"4 finalists, no difference; {n} seeds", False, lambda s, n=n: four(s, n))
        yield Case("compare (adopt)", f"2 sd better; {n} seeds", True, lambda s, n=n: once(s, n, 2.0, False))
        yield Case("compare (adopt)", f"2 sd better; {n} pairs", True, lambda s, n=n: once(s, n, 2.0, True))
    yield Case("compare (adopt)", "no difference; looks after 3, 6 and 9 seeds", False, lambda s: until(s, 0.0))
    yield Case("compare (adopt)", "2 sd better; looks after 3, 6 and 9 seeds", True, lambda s: until(s, 2.0))


def importance_cases() -> Iterator[Case]:
    """Shares of an additive truth with noise: 0.5, 0.2, 0.1, 0 and noise 0.2."""
    truth = {"lr": 0.5, "x1": 0.2, "x2": 0.1, "x3": 0.0}

    def told(seed: int, n: int) -> dict[str, tuple[float, float, float]]:
        rng = np.random.default_rng([seed, n, 43])
        space, units = space_of(4), design(n, 4, seed)
        waves = np.sqrt(2.0) * np.cos(np.pi * (units + 0.0))
        loss = waves @ np.sqrt([0.5, 0.2, 0.1, 0.0]) + np.sqrt(0.2) * rng.normal(size=n)
        found = importance(trials_of(space, units, loss), space, LOSS)
        return {i.name: (i.value, i.low, i.high) for i in found}

    def holds(found: dict[str, tuple[float, float, float]]) -> bool:
        return found["lr"][1] <= truth["lr"] <= found["lr"][2]

    for n in (24, 48, 96):
        yield Case(
            "importance", f"the useless axis gets 5 % or more; {n} trials", False,
            lambda s, n=n: told(s, n)["x3"][0] >= 0.05,
        )  # fmt: skip
        yield Case(
            "importance", f"the main axis comes first; {n} trials", True,
            lambda s, n=n: max(told(s, n).items(), key=lambda kv: kv[1][0])[0] == "lr",
        )  # fmt: skip
        yield Case(
            "importance", f"the 90 % intervals hold the true share (of lr); {n} trials", True,
            lambda s, n=n: holds(told(s, n)),
        )  # fmt: skip


CASES: dict[str, Callable[[], Iterator[Case]]] = {
    "boundary": boundary_cases,
    "divergence": divergence_cases,
    "curves": curve_cases,
    "noise": noise_cases,
    "coverage": coverage_cases,
    "narrow": narrow_cases,
    "compare": compare_cases,
    "importance": importance_cases,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--only", choices=[*CASES, "real"], nargs="*", default=[*CASES, "real"])
    told = parser.parse_args()
    print("| check | what is true | said | false alarms | misses |\n|---|---|---|---|---|", flush=True)
    for name in told.only:
        if name == "real":
            from diagnosis_real import cases as real_cases

            cases: Iterator[Case] = (Case(*c) for c in real_cases())
            seeds = min(10, told.seeds)
        else:
            cases, seeds = CASES[name](), told.seeds
        for case in cases:
            said = float(np.mean([case.says(s) for s in range(seeds)]))
            wrong = f"| | {100 * (1 - said):.1f} % |" if case.there else f"| {100 * said:.1f} % | |"
            print(f"| {case.check} | {case.truth} | {100 * said:.1f} % {wrong}", flush=True)


if __name__ == "__main__":
    main()
