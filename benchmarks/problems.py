"""Benchmark data as tuning problems: a folder with ``problems.json`` and files beside it.

``problems.json`` names the problems, their spaces and their protocol. They are of four kinds:

* ``onnx``: a surrogate network; numbers and encoded options in, metrics out;
* ``grid``: every configuration of a lattice was trained, some several times;
* ``pool``: a set of configurations was trained; a proposal is moved to the nearest that this run has not had;
* ``bbob``: a function of the COCO suite, from the package ioh.

Regret is 0 for the best known loss, 1 for the median random draw, or the same of log10 of the losses. Problems of our
own, in ``own.py``, are of the same class.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tunebook.space import Choice, Config, Float, Int, Parameter, Space, Value

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """What training a configuration gives, step by step: ``valid`` (steps,) losses, ``cost`` (steps,) spent so far in
    full trainings of usual length, and ``more`` (steps,) by name ("train", "test") where the data has it."""

    valid: Array
    cost: Array
    more: Mapping[str, Array] = field(default_factory=dict)


class Problem(ABC):
    """``name``, ``space``, ``noisy``; ``best`` and ``median`` losses; whether regret is of logarithms.

    ``steps`` is the length of a learning curve (1: there is none), ``best_seen`` the best loss at any step.
    """

    name: str
    space: Space
    noisy: bool = False
    log: bool = False
    best: float
    median: float
    steps: int = 1
    best_seen: float

    def reset(self) -> None:  # noqa: B027  (most have nothing to forget)
        """A new run begins."""

    @abstractmethod
    def loss(self, config: Config, seed: int | None) -> float:
        """One evaluation; with None the loss without noise, which regret is about."""

    def curve(self, config: Config, seed: int | None) -> Curve:
        """The whole learning curve of one training; with None the mean over repetitions."""
        raise TypeError(f"{self.name} has no learning curve")

    def trained(self) -> list[Config]:
        """The only configurations there are, where the problem is a set of trained ones."""
        return []

    def regret(self, loss: float, best: float | None = None) -> float:
        """Where a loss lies between ``best`` (the problem's unless given) and the median, within [0, 1]."""
        if math.isnan(loss):
            return 1.0
        told = (min(loss, 1e300), self.best if best is None else best, self.median)
        loss, best, median = (math.log10(max(v, 1e-300)) for v in told) if self.log else told
        return min(max((loss - best) / (median - best), 0.0), 1.0)


class _Filed(Problem):
    """What the kinds share: hyperparameters under names that a Space takes."""

    def __init__(self, folder: Path, told: Mapping[str, Any]) -> None:
        self.folder, self.told, self.name = folder, told, str(told["name"])
        self.noisy, self.log = bool(told.get("noisy")), told.get("regret_scale") == "log10"
        self.best, self.median = float(told["f_best"]), float(told["f_ref"])
        self.best_seen, self.steps = float(told.get("f_best_anytime", self.best)), int(told.get("max_fidelity", 1))
        self.entries: list[Mapping[str, Any]] = list(told["space"])
        self.ours = {e["name"]: str(e["name"]).replace(".", "_") for e in self.entries}
        conditions = {
            self.ours[e["name"]]: {self.ours[parent]: list(values) for parent, values in e["when"]}
            for e in self.entries if e.get("when")
        }  # fmt: skip
        self.space = Space({self.ours[e["name"]]: _parameter(e) for e in self.entries}, conditions=conditions)
        self.open()

    def open(self) -> None:
        """Read what the problem needs."""

    def theirs(self, config: Config) -> dict[str, Value]:
        return {e["name"]: config[self.ours[e["name"]]] for e in self.entries if self.ours[e["name"]] in config}


def _parameter(entry: Mapping[str, Any]) -> Parameter:
    kind, log = entry["type"], bool(entry.get("log"))
    if kind == "cat":
        return Choice(entry["choices"])
    if kind == "ordinal":
        values = entry["values"]
        return Choice(values, ordered=True, default=values[len(values) // 2])
    return Int(entry["low"], entry["high"], log) if kind == "int" else Float(entry["low"], entry["high"], log)


class _Surrogate(_Filed):
    sessions: dict[Path, Any] = {}  # noqa: RUF012  (one for each file: problems share networks)

    def open(self) -> None:
        path = self.folder / self.told["file"]
        if path not in self.sessions:
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            options.log_severity_level = 3
            self.sessions[path] = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.session = self.sessions[path]

    def loss(self, config: Config, seed: int | None) -> float:
        return float(self._target(self._outputs(config, [self.steps]))[0])

    def curve(self, config: Config, seed: int | None) -> Curve:
        if self.steps == 1:
            return super().curve(config, seed)
        steps = list(range(1, self.steps + 1))
        out, test = self._outputs(config, steps), self.told["target"].get("test_index")
        more = {} if test is None else {"test": out[:, test]}
        return Curve(self._target(out), np.array(steps) / self.steps, more)

    def _outputs(self, config: Config, steps: list[int]) -> Array:
        """What the network says of a configuration at each of some steps, (steps, outputs)."""
        told, values = self.told, {**self.told["fixed"], **self.theirs(config)}
        full = told.get("fidelity")
        rows = [{**values, full["name"]: full["offset"] + step * full["scale"]} if full else values for step in steps]
        numbers = np.array([[row.get(n, 0.0) for n in told["cont"]] for row in rows], dtype=np.float32)
        codes = [[told["encoding"][n][row[n]] if n in row else 0 for n in told["cat"]] for row in rows]
        options = np.array(codes, dtype=np.int32)
        out: Array = self.session.run(None, {"x_cont": numbers, "x_cat": options})[0].astype(np.float64)
        return out

    def _target(self, out: Array) -> Array:
        target = self.told["target"]
        value: Array = out[:, target["index"]] / target.get("div", 1.0)
        return 1.0 - value if target["maximise"] else value


class _Lattice(_Filed):
    def open(self) -> None:
        with np.load(self.folder / self.told["file"]) as data:
            self.table = data["loss"]

    def loss(self, config: Config, seed: int | None) -> float:
        values = self.theirs(config)
        at = tuple(list(e.get("values") or e["choices"]).index(values[e["name"]]) for e in self.entries)
        repeats = self.table[at]
        return float(repeats.mean() if seed is None else repeats[seed % len(repeats)])


class _Pool(_Filed):
    def open(self) -> None:
        with np.load(self.folder / self.told["file"]) as data:
            self.curves = {k: data[k].astype(np.float64) for k in ("valid", "train", "test") if k in data.files}
            self.raw: Array = data["X"].astype(np.float64)
            one = np.ones(len(self.raw))
            self.cost: Array = data["cost"].astype(np.float64) if "cost" in data.files else one
        self.options = np.array([e["type"] == "cat" for e in self.entries])
        self.units = np.column_stack([self._unit(e, self.raw[:, j]) for j, e in enumerate(self.entries)])
        self.reset()

    @staticmethod
    def _unit(entry: Mapping[str, Any], values: Array) -> Array:
        """Where values are: options by number, others from 0 to 1."""
        if entry["type"] == "cat":
            return values
        if entry["type"] == "ordinal":
            steps = np.asarray(entry["values"], dtype=np.float64)
            near = np.abs(steps - values[:, None]).argmin(axis=1) / max(len(steps) - 1, 1)
            return np.where(np.isnan(values), np.nan, near)
        low, high = float(entry["low"]), float(entry["high"])
        if entry.get("log"):
            return np.clip((np.log(values) - math.log(low)) / (math.log(high) - math.log(low)), 0.0, 1.0)
        return np.clip((values - low) / (high - low), 0.0, 1.0)

    def reset(self) -> None:
        self.had = np.zeros(len(self.units), dtype=bool)
        self.which: dict[tuple[Any, ...], int] = {}

    def loss(self, config: Config, seed: int | None) -> float:
        return float(self._repeat(self.curves["valid"][self._nearest(config)], seed)[-1])

    def curve(self, config: Config, seed: int | None) -> Curve:
        i = self._nearest(config)
        told = {name: self._repeat(curves[i], seed) for name, curves in self.curves.items()}
        return Curve(told.pop("valid"), self.cost[i] * np.arange(1, self.steps + 1) / self.steps, told)

    def trained(self) -> list[Config]:
        return [
            {self.ours[e["name"]]: self._value(e, raw) for e, raw in zip(self.entries, row, strict=True)
             if not math.isnan(raw)} for row in self.raw.tolist()
        ]  # fmt: skip

    @staticmethod
    def _repeat(curve: Array, seed: int | None) -> Array:
        """(steps,) of (steps,) or (steps, repetitions): the mean or one of them."""
        if curve.ndim == 1:
            return curve
        one: Array = curve.mean(axis=1) if seed is None else curve[:, seed % curve.shape[1]]
        return one

    @staticmethod
    def _value(entry: Mapping[str, Any], raw: float) -> Value:
        if entry["type"] == "cat":
            return entry["choices"][int(raw)]
        if entry["type"] == "ordinal":
            return min(entry["values"], key=lambda v: abs(v - raw))
        inside = min(max(raw, entry["low"]), entry["high"])
        return round(inside) if entry["type"] == "int" else float(inside)

    def _nearest(self, config: Config) -> int:
        key = tuple(sorted(config.items()))
        if key not in self.which:
            values = self.theirs(config)
            here = np.full(len(self.entries), np.nan)
            for j, e in enumerate(self.entries):
                if e["name"] in values:
                    value = values[e["name"]]
                    number = e["choices"].index(value) if e["type"] == "cat" else float(value)  # type: ignore[arg-type]
                    here[j] = self._unit(e, np.array([number], dtype=np.float64))[0]
            apart = np.abs(self.units - here)
            apart = np.where(self.options & ~np.isnan(apart), apart > 0, apart)
            one, both = np.isnan(self.units) ^ np.isnan(here), np.isnan(self.units) & np.isnan(here)
            far = (np.where(both, 0.0, np.where(one, 0.5, apart)) ** 2).sum(axis=1)
            far[self.had & (not self.had.all())] = np.inf
            self.which[key] = int(far.argmin())
            self.had[self.which[key]] = True
        return self.which[key]


class _Bbob(_Filed):
    def open(self) -> None:
        import ioh

        told = self.told["bbob"]
        self.function = ioh.get_problem(told["fid"], told["instance"], told["dim"], ioh.ProblemClass.BBOB)

    def loss(self, config: Config, seed: int | None) -> float:
        x = [float(config[self.ours[e["name"]]]) for e in self.entries]  # type: ignore[arg-type]
        return float(self.function(x)) - float(self.function.optimum.y)


KINDS: Mapping[str, type[_Filed]] = {"onnx": _Surrogate, "grid": _Lattice, "pool": _Pool, "bbob": _Bbob}


def filed(folder: Path, track: str) -> list[tuple[str, int]]:
    """Names of a folder's problems in a track, each with its budget: trials, or full trainings where curves count."""
    whole = json.loads((folder / "problems.json").read_text("utf-8"))
    told = whole["protocol"][track]
    plain = told["trials"] if "trials" in told else told["full_runs"]
    conditional = told.get("trials_cond", plain)
    return [
        (m["name"], int(conditional if "cond" in m["tracks"] else plain))
        for m in whole["problems"] if track in m["tracks"]
    ]  # fmt: skip


def open_filed(folder: Path, name: str) -> Problem:
    whole = json.loads((folder / "problems.json").read_text("utf-8"))
    told = next(m for m in whole["problems"] if m["name"] == name)
    space = told["space"] if isinstance(told["space"], list) else whole["spaces"][told["space"]]
    told = {**told, "space": space, **whole.get("shared", {}).get(told.get("shared"), {})}
    return KINDS[told["kind"]](folder, told)
