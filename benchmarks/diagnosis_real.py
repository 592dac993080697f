"""Small real trainings whose truth is known by construction, for ``diagnosis.py``.

Networks and linear models of scikit-learn, trained epoch by epoch on its digits and circles. The best learning rate is
found beforehand on a fine grid; ranges that hold it, or end well below it, follow from that.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
from scipy.stats import qmc
from sklearn.datasets import load_digits, make_circles
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from tunebook.diagnose import boundary, divergence, overfit, underfit
from tunebook.diagnose.base import Evidence
from tunebook.space import Config, Float, Int, Space
from tunebook.trial import Failure, FailureKind, Goal, Measurement, Status, Trial

LOSS = Goal("loss")
BLOWN_UP = 50.0
Parts = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@cache
def digits(rows: int, wrong: float, seed: int) -> Parts:
    """Training part of so many rows, a share of its labels drawn at random; the rest of the data to validate on."""
    X, y = load_digits(return_X_y=True)
    a, b, ya, yb = train_test_split(X / 16.0, y, train_size=rows, stratify=y, random_state=seed)
    rng = np.random.default_rng(seed)
    return a, np.where(rng.random(rows) < wrong, rng.integers(10, size=rows), ya), b[:400], yb[:400]


@cache
def circles(seed: int) -> Parts:
    X, y = make_circles(800, noise=0.1, factor=0.5, random_state=seed)
    a, b, ya, yb = train_test_split(X, y, test_size=0.5, random_state=seed)
    return a, ya, b, yb


def train(model: Any, parts: Parts, epochs: int) -> tuple[list[Measurement], bool]:
    """Losses on the training and validation part after each epoch; and whether the training blew up."""
    a, ya, b, yb = parts
    curve, classes = [], np.unique(ya)
    for epoch in range(1, epochs + 1):
        try:
            model.partial_fit(a, ya, classes=classes)
            seen, unseen = (float(log_loss(y, model.predict_proba(X), labels=classes)) for X, y in ((a, ya), (b, yb)))
        except ValueError:  # scikit-learn refuses weights that are not finite
            return curve, True
        if not np.isfinite(unseen) or seen > BLOWN_UP:
            return curve, True
        curve.append(Measurement(epoch, {"loss": unseen, "train_loss": seen}))
    return curve, False


def study(make: Callable[[Config], Any], space: Space, parts: Parts, n: int, epochs: int, seed: int) -> Evidence:
    lost = Failure(FailureKind.DIVERGED, "loss is not finite")
    trials = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        units = qmc.Sobol(space.dim, rng=np.random.default_rng(seed)).random(n)
        for i, config in enumerate(space.decode(units)):
            curve, blown = train(make(config), parts, epochs)
            status = Status.FAILED if blown else Status.COMPLETED
            trials.append(Trial(i, "r", config, status=status, until=epochs, curve=tuple(curve),
                                failure=lost if blown else None))  # fmt: skip
    chance = float(log_loss(parts[3], np.full((len(parts[3]), k := len(np.unique(parts[1]))), 1.0 / k),
                            labels=np.unique(parts[1])))  # fmt: skip
    return Evidence(trials, space, LOSS, epochs, "train_loss", chance)


def network(config: Config, hidden: int = 32, solver: str = "sgd") -> Any:
    return MLPClassifier(
        (hidden,), solver=solver, learning_rate_init=config["lr"], alpha=config["decay"],
        batch_size=config.get("batch", 32), momentum=0.9, random_state=0,
    )  # fmt: skip


def space(low: float, high: float) -> Space:
    return Space(lr=Float(low, high, log=True), decay=Float(1e-6, 1e-2, log=True), batch=Int(16, 128, log=True))


@cache
def best_rate() -> float:
    """The best learning rate of the network on 300 digits after 8 epochs, the rest in the middle of its range."""
    rates = np.geomspace(1e-4, 3.0, 19)
    parts, ends = digits(300, 0.0, 99), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for rate in rates:
            curve, blown = train(network({"lr": float(rate), "decay": 1e-4, "batch": 45}), parts, 8)
            ends.append(np.inf if blown or not curve else curve[-1].metrics["loss"])
    return float(rates[int(np.argmin(ends))])


@cache
def on_digits(low: float, high: float, seed: int, n: int = 24) -> Evidence:
    return study(network, space(low, high), digits(300, 0.0, seed), n, 8, seed)


@cache
def small_noisy(seed: int, rows: int, wrong: float, epochs: int, top_rate: float) -> Evidence:
    """Adam on digits: few rows with wrong labels overfit; many clean ones at a low rate do not."""
    two = Space(lr=Float(top_rate / 10, top_rate, log=True), decay=Float(1e-6, 1e-3, log=True))
    return study(lambda c: network(c, 100, "adam"), two, digits(rows, wrong, seed), 10, epochs, seed)


@cache
def on_circles(seed: int, linear: bool) -> Evidence:
    two = Space(lr=Float(3e-3, 0.1, log=True), decay=Float(1e-6, 1e-3, log=True))

    def make(c: Config) -> Any:
        if linear:
            return SGDClassifier("log_loss", alpha=c["decay"], learning_rate="constant", eta0=c["lr"], random_state=0)
        return network(c, 32, "adam")

    return study(make, two, circles(seed), 10, 20, seed)


def cases() -> Iterator[tuple[str, str, bool, Callable[[int], bool]]]:
    """(check, truth, whether there is something to find, the verdict of a seed)."""

    def edge(evidence: Evidence, side: str) -> bool:
        p = evidence.space.parameters["lr"]
        assert isinstance(p, Float)
        return any(f.parameter == "lr" and f.figures["edge"] == getattr(p, side) for f in boundary(evidence))

    rate = best_rate()
    what = f"digits, network, 24 trials (best lr about {rate:.2g})"
    yield (
        "boundary",
        f"{what}: range from lr/100 to 10 lr",
        False,
        lambda s: bool(boundary(on_digits(rate / 100, 10 * rate, s))),
    )
    yield (
        "boundary",
        f"{what}: range from lr/1000 to lr/10",
        True,
        lambda s: edge(on_digits(rate / 1000, rate / 10, s), "high"),
    )
    yield (
        "boundary",
        f"{what}: range from lr/10,000 to lr/30",
        True,
        lambda s: edge(on_digits(rate / 10_000, rate / 30, s), "high"),
    )
    yield (
        "divergence",
        "digits, network, 24 trials: lr up to 10,000",
        True,
        lambda s: any(f.parameter == "lr" and f.proposal for f in divergence(on_digits(1e-3, 1e4, s))),
    )
    yield (
        "divergence",
        f"{what}: range from lr/100 to lr",
        False,
        lambda s: any(f.proposal for f in divergence(on_digits(rate / 100, rate, s))),
    )
    yield (
        "overfit",
        "digits, 200 rows, a quarter of the labels wrong, 40 epochs, lr 0.005 to 0.05 (all of the best end 7 % or more "
        "above their own minimum)",
        True,
        lambda s: bool(overfit(small_noisy(s, 200, 0.25, 40, 5e-2))),
    )
    yield (
        "overfit",
        "the same with lr 0.001 to 0.01 (about half of the best trials have not begun to overfit)",
        True,
        lambda s: bool(overfit(small_noisy(s, 200, 0.25, 40, 1e-2))),
    )
    yield (
        "overfit",
        "digits, 1,300 rows, clean, 15 epochs",
        False,
        lambda s: bool(overfit(small_noisy(s, 1300, 0.0, 15, 1e-3))),
    )
    yield "underfit", "circles, linear model", True, lambda s: bool(underfit(on_circles(s, True)))
    yield "underfit", "circles, network", False, lambda s: bool(underfit(on_circles(s, False)))
    yield (
        "underfit",
        "digits, 200 rows, a quarter of the labels wrong",
        False,
        lambda s: bool(underfit(small_noisy(s, 200, 0.25, 40, 1e-2))),
    )
