"""Searches under one protocol: tunebook's samplers here, other packages through ``bridge.py`` in their own processes.

A method is named ``family`` or ``family:kind``: ``tunebook:gp``, ``random``, ``optuna:tpe``, ``smac:bb``. A peer's
interpreter is ``.venvs/FAMILY/bin/python``, which ``scripts/peers.sh`` makes, or this one where there is no such folder
and the package is installed here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tunebook.samplers import SAMPLERS
from tunebook.samplers.recommend import recommend
from tunebook.space import Choice, Config, Int, Parameter, Space, Value
from tunebook.trial import Goal, Measurement, Status, Trial

GOAL = Goal("loss")
ROOT = Path(__file__).resolve().parents[1]
PEERS = ("optuna", "hyperopt", "smac", "hebo", "ax", "nevergrad")


class NoMethod(Exception):
    """This method cannot run here, and why."""


class Method(Protocol):
    """A search that is asked for one configuration at a time; several may be out. ``ms`` is CPU time so far."""

    ms: float

    def ask(self) -> Config: ...

    def tell(self, config: Config, loss: float) -> None: ...

    def recommend(self) -> Config | None:
        """What it hands over as the best so far; None for the best loss it was told."""


class Tunebook:
    """A sampler of ours, by its name in a job."""

    def __init__(self, space: Space, seed: int, kind: str) -> None:
        if kind not in SAMPLERS:
            raise NoMethod(f"tunebook has no sampler {kind!r}: there are {', '.join(SAMPLERS)}")
        self.space, self.seed, self.ms = space, seed, 0.0
        self.sampler, self.number = SAMPLERS[kind](space, GOAL, seed), 0
        self.out: list[tuple[int, Config]] = []
        self.trials: list[Trial] = []

    def ask(self) -> Config:
        start = time.process_time()
        config = self.sampler.ask(1, [c for _, c in self.out], self.number)[0]
        self.ms += 1e3 * (time.process_time() - start)
        self.out.append((self.number, config))
        self.number += 1
        return config

    def tell(self, config: Config, loss: float) -> None:
        at = next(i for i, (_, c) in enumerate(self.out) if c is config)
        number, _ = self.out.pop(at)
        trial = Trial(
            number, "search", config, status=Status.COMPLETED, until=1, curve=(Measurement(1, {"loss": loss}),)
        )
        self.trials.append(trial)
        start = time.process_time()
        self.sampler.tell([trial])
        self.ms += 1e3 * (time.process_time() - start)

    def recommend(self) -> Config | None:
        """As ``study.best``: the best by the model of all trials, not the luckiest."""
        told = recommend(self.space, GOAL, self.trials, self.seed)
        return None if told is None else told.config


class Random:
    """Independent uniform draws."""

    def __init__(self, space: Space, seed: int) -> None:
        self.space, self.rng, self.ms = space, np.random.default_rng(seed), 0.0

    def ask(self) -> Config:
        return self.space.decode(self.rng.random((1, self.space.dim)))[0]

    def tell(self, config: Config, loss: float) -> None:
        """Learns nothing."""

    def recommend(self) -> Config | None:
        return None


class Bridged:
    """A peer in a process of its own; the process serves one search after the other."""

    def __init__(self, space: Space, noisy: bool, seed: int, trials: int, name: str) -> None:
        self.space, self.ms = space, 0.0
        self.out: dict[int, Config] = {}
        family, _, kind = name.partition(":")
        self.bridge = bridge(family)
        told = {"start": f"{family}:{kind}", "space": axes(self.space), "seed": seed, "trials": trials, "noisy": noisy}
        self.version = self.bridge.call(told)["version"]

    def ask(self) -> Config:
        told = self.bridge.call({"ask": True})
        self.ms += told["ms"]
        config = _whole(self.space, told["config"])
        self.out[told["number"]] = config
        return config

    def tell(self, config: Config, loss: float) -> None:
        number = next(n for n, c in self.out.items() if c is config)
        del self.out[number]
        self.ms += self.bridge.call({"tell": number, "loss": loss})["ms"]

    def recommend(self) -> Config | None:
        return None


def method(name: str, space: Space, noisy: bool, seed: int, trials: int) -> Method:
    """A fresh search. Raises NoMethod."""
    family, _, kind = name.partition(":")
    if family == "tunebook":
        return Tunebook(space, seed, kind)
    if family == "random":
        return Random(space, seed)
    if family in PEERS:
        return Bridged(space, noisy, seed, trials, name)
    raise NoMethod(f"no such method; families are tunebook, random, {', '.join(PEERS)}")


# how a space is told


def axes(space: Space) -> list[dict[str, Any]]:
    """A space as ``bridge.py`` reads it; an axis in steps is a row of options."""
    return [
        _axis(name, p) | {"when": [[q, list(ok)] for q, ok in space.conditions.get(name, {}).items()]}
        for name, p in space.parameters.items()
    ]


def _axis(name: str, p: Parameter) -> dict[str, Any]:
    if isinstance(p, Choice) or (p.step or 1) != 1:
        return {"name": name, "type": "cat" if p.unordered else "ordinal", "choices": p.ladder()}
    kind = "int" if isinstance(p, Int) else "float"
    return {"name": name, "type": kind, "low": p.low, "high": p.high, "log": p.log}


def _whole(space: Space, told: Mapping[str, Value]) -> Config:
    return told | {n: v for n, v in space.constants.items() if space.active(n, told)}


# processes


class Bridge:
    """A running ``bridge.py``."""

    def __init__(self, family: str) -> None:
        self.family, self.said = family, tempfile.TemporaryFile("w+")  # noqa: SIM115  (open as long as the process)
        self.process = subprocess.Popen(
            [str(interpreter(family)), str(ROOT / "benchmarks" / "bridge.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.said, text=True, env=_quiet(),
        )  # fmt: skip

    def call(self, line: Mapping[str, Any]) -> dict[str, Any]:
        """Raises NoMethod with what the peer said when it cannot go on."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(line) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self.said.seek(0)
            said = self.said.read()[-300:].strip()
            bridge.cache_clear()
            self.close()
            raise NoMethod(f"{self.family} ended: {said}")
        told: dict[str, Any] = json.loads(answer)
        if "error" in told:
            raise NoMethod(f"{self.family}: {told['error']}")
        return told

    def close(self) -> None:
        self.process.communicate()
        self.said.close()


@cache
def bridge(family: str) -> Bridge:
    return Bridge(family)


def interpreter(family: str) -> Path:
    """The Python that has a peer. Raises NoMethod where none has."""
    own = ROOT / ".venvs" / family / "bin" / "python"
    if own.exists():
        return own
    if find_spec(family) is None:
        raise NoMethod(f"{family} is not installed: scripts/peers.sh {family} installs it")
    return Path(sys.executable)


def _quiet() -> dict[str, str]:
    """One thread, and no word about GPUs."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **one, "PYTHONWARNINGS": "ignore", "PYTHONHASHSEED": "0"}
