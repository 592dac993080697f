"""Tuning problems of our own, the only ones to develop on: synthetic surfaces, BBOB functions, real training.

``OWN[track][name]()`` opens one, ``OWN_TRIALS[track]`` says how many trials it gets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from problems import Array, Problem
from tunebook.space import Choice, Config, Float, Int, Parameter, Space, Value

OWN_TRIALS = {"bb": 100, "fn": 100, "rl": 40}


class Own(Problem):
    """A synthetic problem: ``surface`` of the codes (dim,), NaN where inactive, plus normal noise."""

    def __init__(self, name: str, space: Space, surface: Any, noise: float = 0.0, log: bool = False) -> None:
        self.name, self.space, self.surface, self.sd, self.log = name, space, surface, noise, log
        self.noisy = noise > 0
        losses = np.sort([self.surface(u) for u in space.encode(space.decode(_draws(space)))])
        self.median, self.best = float(np.median(losses)), 0.0
        if log:
            self.best = 1e-4 * self.median

    def loss(self, config: Config, seed: int | None) -> float:
        true = float(self.surface(self.space.encode([config])[0]))
        return (
            true if seed is None or not self.noisy else true + self.sd * np.random.default_rng(seed).standard_normal()
        )


def _draws(space: Space) -> Array:
    return np.random.default_rng(99).random((1001, space.dim))


def _network(seed: int, noise: float) -> Problem:
    """A conditional space like a network's: losses with a valley in the learning rate that moves with the others, a
    cliff where training diverges, and options that matter differently."""
    space = Space(
        {
            "optimizer": Choice({
                "sgd": Space(lr=Float(1e-4, 10, log=True), momentum=Float(0, 0.99), nesterov=Choice([False, True])),
                "adam": Space(lr=Float(1e-6, 1e-1, log=True), beta1=Float(0.5, 0.99), beta2=Float(0.9, 0.9999)),
            }),
            "layers": Int(1, 4), "first": Int(8, 512, log=True), "second": Int(8, 512, log=True),
            "act": Choice(["relu", "gelu", "tanh"]), "dropout": Float(0, 0.6), "decay": Float(1e-7, 1e-1, log=True),
            "batch": Choice([16, 32, 64, 128, 256], ordered=True),
        },
        conditions={"second": {"layers": [2, 3, 4]}},
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    w, at = rng.uniform(0.1, 1.2, space.dim), rng.uniform(0.2, 0.8, space.dim)
    option = rng.uniform(0, 0.12, 3)
    names = space.names

    def surface(u: Array) -> float:
        v = dict(zip(names, np.nan_to_num(u, nan=0.5).tolist(), strict=True))
        sgd = u[0] < 0.5
        head = "optimizer.sgd." if sgd else "optimizer.adam."
        lr = v[head + "lr"] - at[1] - 0.25 * (v["batch"] - 0.5) + 0.15 * (v["layers"] - 0.5)
        if sgd:
            lr += 0.3 * (v[head + "momentum"] - 0.5)
        bend = sum(w[j] * (v[n] - at[j]) ** 2 for j, n in enumerate(names)
                   if not n.startswith("optimizer") and n != "act" and not np.isnan(u[j]))  # fmt: skip
        inner = [n for n in names if n.startswith(head) and not n.endswith("lr")]
        bend += sum(w[names.index(n)] * (v[n] - at[names.index(n)]) ** 2 for n in inner)
        loss = 2.0 * lr**2 + 0.3 * bend + (0.06 if sgd else 0.0) + option[min(int(v["act"] * 3), 2)] - option.min()
        return float(np.tanh(loss) + (1.0 / (1.0 + math.exp(-40 * (lr - 0.3)))))

    return Own(f"own/network_{seed}{'_noisy' if noise else ''}", space, surface, noise)


def _peaked(seed: int, dim: int, noise: float) -> Problem:
    """Most axes hardly matter, two interact, the optimum is sharp at one end: what surrogates of boosting look like."""
    parts: dict[str, Parameter | Value] = {f"x{j}": Float(0, 1) for j in range(dim - 3)}
    parts |= {"n": Int(1, 15), "m": Int(1, 500, log=True), "c": Choice(["a", "b", "c", "d"])}
    space = Space(parts)
    rng = np.random.default_rng(1000 + seed)
    w, at = 10 ** rng.uniform(-2.5, 0.3, dim - 1), rng.uniform(0, 1, dim - 1)
    offset = rng.permutation([0.0, 0.05, 0.1, 0.4])

    def surface(u: Array) -> float:
        apart = np.abs(u[:-1] - at)
        told = float(w @ apart**1.5) + 0.6 * abs(apart[0] * apart[1]) + 0.5 * math.exp(-8 * u[2])
        return told + float(offset[min(int(u[-1] * 4), 3)])

    return Own(f"own/peaked_{seed}_{dim}", space, surface, noise)


def _branches(seed: int, many: int, noise: float) -> Problem:
    """Several learners, each with hyperparameters of its own, as in a choice among model families."""
    rng = np.random.default_rng(2000 + seed)
    below: dict[str, Space] = {}
    truth: dict[str, tuple[Array, Array, float]] = {}
    for k in range(many):
        parts: dict[str, Parameter | Value] = {
            f"a{j}": Float(1e-4, 1, log=True) for j in range(int(rng.integers(1, 4)))
        }
        parts |= {"n": Int(1, 20), "s": Float(0, 1)} if k % 2 else {"c": Choice(["u", "v", "w"])}
        below[f"m{k}"] = Space(parts)
        truth[f"m{k}"] = 10 ** rng.uniform(-1.5, 0.5, len(parts)), rng.uniform(0, 1, len(parts)), rng.uniform(0, 0.3)
    space = Space(learner=Choice(below), scaling=Choice(["none", "unit", "rank"]), features=Float(0.1, 1))
    lowest = min(offset for *_, offset in truth.values())

    def surface(u: Array) -> float:
        w, at, offset = truth[f"m{min(int(u[0] * many), many - 1)}"]
        own = u[1:-2][~np.isnan(u[1:-2])]
        told = float(w @ (own - at) ** 2) + 0.1 * float(u[-2] > 0.34) + 0.2 * (u[-1] - 0.7) ** 2
        return float(offset - lowest + 1 - math.exp(-2 * told))

    return Own(f"own/branches_{seed}", space, surface, noise)


def _bbob(fid: int, dim: int, noise: float = 0.0) -> Problem:
    import ioh

    function = ioh.get_problem(fid, 7, dim, ioh.ProblemClass.BBOB)
    low = float(function.optimum.y)
    space = Space({f"x{j}": Float(-5, 5) for j in range(dim)})
    problem = Own(f"own/bbob_f{fid}_{dim}{'_noisy' if noise else ''}", space,
                  lambda u: float(function((10 * u - 5).tolist())) - low, log=True)  # fmt: skip
    problem.sd, problem.noisy = noise * problem.median, noise > 0
    return problem


class Trained(Problem):
    """A support vector machine on data that scikit-learn brings; error of 3-fold cross-validation."""

    def __init__(self, data: str) -> None:
        from sklearn import datasets

        self.name = f"own/svc_{data}"
        self.X, self.y = getattr(datasets, f"load_{data}")(return_X_y=True)
        keep = np.random.default_rng(5).permutation(len(self.X))[:300]
        self.X, self.y = self.X[keep], self.y[keep]
        self.space = Space(
            kernel=Choice({
                "rbf": Space(gamma=Float(1e-6, 1e2, log=True)), "linear": Space(),
                "poly": Space(gamma=Float(1e-6, 1e2, log=True), degree=Int(2, 5), coef0=Float(0, 5)),
            }),
            C=Float(1e-4, 1e4, log=True), scaler=Choice(["none", "standard", "minmax"]),
            shrinking=Choice([True, False]), components=Int(2, min(13, self.X.shape[1])),
        )  # fmt: skip
        self.best, self.median = {"wine": (0.0, 0.3), "breast_cancer": (0.015, 0.12), "digits": (0.05, 0.5)}[data]

    def loss(self, config: Config, seed: int | None) -> float:
        from sklearn.decomposition import PCA
        from sklearn.model_selection import cross_val_score
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
        from sklearn.svm import SVC

        kernel = str(config["kernel"])
        own = {k.rpartition(".")[2]: v for k, v in config.items() if k.startswith(f"kernel.{kernel}.")}
        model = SVC(kernel=kernel, C=config["C"], shrinking=config["shrinking"], max_iter=20_000, **own)
        scaler = {"none": FunctionTransformer(), "standard": StandardScaler(), "minmax": MinMaxScaler()}
        steps = (scaler[str(config["scaler"])], PCA(int(config["components"] or 2)), model)  # type: ignore[arg-type]
        return 1.0 - float(cross_val_score(make_pipeline(*steps), self.X, self.y, cv=3).mean())


OWN: Mapping[str, Mapping[str, Any]] = {
    "bb": {
        "network_1": lambda: _network(1, 0.0), "network_2": lambda: _network(2, 0.02),
        "network_3": lambda: _network(3, 0.05), "peaked_1": lambda: _peaked(1, 7, 0.0),
        "peaked_2": lambda: _peaked(2, 9, 0.01), "peaked_3": lambda: _peaked(3, 14, 0.02),
        "branches_1": lambda: _branches(1, 6, 0.0), "branches_2": lambda: _branches(2, 8, 0.01),
        "svc_wine": lambda: Trained("wine"), "svc_digits": lambda: Trained("digits"),
        "svc_cancer": lambda: Trained("breast_cancer"),
    },
    "fn": {f"f{fid}_{dim}": (lambda fid=fid, dim=dim: _bbob(fid, dim))
           for fid, dim in ((1, 5), (3, 5), (8, 5), (9, 10), (13, 5), (14, 10), (17, 5), (22, 5))},
    "rl": {f"f{fid}_{dim}": (lambda fid=fid, dim=dim: _bbob(fid, dim, 0.3))
           for fid, dim in ((1, 9), (3, 8), (8, 6), (17, 9))},
}  # fmt: skip
