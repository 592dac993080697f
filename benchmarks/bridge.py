"""Other people's searches behind one small protocol, so that each may live in an environment of its own.

    .venvs/smac/bin/python benchmarks/bridge.py

One JSON object a line, in and out:

    {"start": "smac:", "space": [...], "seed": 0, "trials": 100, "noisy": false}   -> {"version": "2.4.1"}
    {"ask": true}                                                  -> {"number": 0, "config": {...}, "ms": 1.5}
    {"tell": 0, "loss": 0.25}                                      -> {"ms": 0.2}

``ms`` is CPU time of the peer's own work. A line that fails gives {"error": "..."} and the search is over; another
"start" begins a new one. A space is a list of axes, parents before children:

    {"name": "lr", "type": "float" or "int", "low": ..., "high": ..., "log": true or false}
    {"name": "units", "type": "ordinal" or "cat", "choices": [...]}
    and where it applies "when": [[parent, [values]], ...], which must all hold.

Every search is as its package makes it by default; only the seed is set, and the budget and whether the objective is
noisy where the package asks for it. Conditions are told as far as a package can hold them; an axis that is proposed
though its conditions do not hold is left out of the configuration. Nothing here imports tunebook.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

Entry = Mapping[str, Any]
Found = dict[str, Any]


class Peer(ABC):
    """One search: ``ask`` gives a handle and values by name, ``tell`` gets the handle back with the loss."""

    package: str

    def __init__(self, space: Sequence[Entry], seed: int, trials: int, noisy: bool, kind: str) -> None:
        self.space, self.seed, self.trials, self.noisy, self.kind = list(space), seed, trials, noisy, kind
        self.by_name = {e["name"]: e for e in self.space}
        self.open()

    @abstractmethod
    def open(self) -> None:
        """Make the search."""

    @abstractmethod
    def ask(self) -> tuple[Any, Found]:
        """A handle, and values: options of a "cat" or "ordinal" by their number."""

    @abstractmethod
    def tell(self, handle: Any, loss: float) -> None: ...

    def config(self, found: Found) -> Found:
        """The configuration: options by value, numbers inside their ranges, inactive axes left out."""
        out: Found = {}
        for e in self.space:
            if any(parent not in out or out[parent] not in values for parent, values in e.get("when", ())):
                continue
            value = found[e["name"]]
            if "choices" in e:
                out[e["name"]] = e["choices"][int(value)]
            else:
                inside = min(max(float(value), e["low"]), e["high"])
                out[e["name"]] = round(inside) if e["type"] == "int" else inside
        return out

    def rule(self, e: Entry) -> tuple[str, list[int]] | None:
        """The nearest parent with plain options and which of them (by number) allow an axis; None for a free axis."""
        return next(self.rules(e), None)

    def rules(self, e: Entry) -> Iterator[tuple[str, list[int]]]:
        """Of every parent with plain options, the nearest first: the last in order stands below the others."""
        order = list(self.by_name)
        for parent, values in sorted(e.get("when", ()), key=lambda told: order.index(told[0]), reverse=True):
            if self.by_name[parent]["type"] == "cat":
                yield parent, [self.by_name[parent]["choices"].index(v) for v in values]

    def below(self, parent: str, option: int) -> list[Entry]:
        """The axes right below an option."""
        rules = [(e, self.rule(e)) for e in self.space]
        return [e for e, rule in rules if rule is not None and rule[0] == parent and option in rule[1]]

    def free(self) -> list[Entry]:
        return [e for e in self.space if self.rule(e) is None]


class Optuna(Peer):
    """TPE, GP, CMA-ES: suggestions one axis after the other, conditions as plain code."""

    package = "optuna"

    def open(self) -> None:
        import logging

        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        logging.getLogger("optuna").setLevel(logging.ERROR)
        make = {
            "": optuna.samplers.TPESampler, "tpe": optuna.samplers.TPESampler, "gp": optuna.samplers.GPSampler,
            "cmaes": optuna.samplers.CmaEsSampler, "random": optuna.samplers.RandomSampler,
        }[self.kind]  # fmt: skip
        self.study = optuna.create_study(sampler=make(seed=self.seed))

    def ask(self) -> tuple[Any, Found]:
        trial = self.study.ask()
        found: Found = {}
        held: Found = {}
        for e in self.space:
            name = e["name"]
            if any(parent not in held or held[parent] not in values for parent, values in e.get("when", ())):
                continue
            if e["type"] == "cat":
                held[name] = trial.suggest_categorical(name, e["choices"])
                found[name] = e["choices"].index(held[name])
            elif e["type"] == "ordinal":
                found[name] = trial.suggest_int(name, 0, len(e["choices"]) - 1)
                held[name] = e["choices"][found[name]]
            elif e["type"] == "int":
                found[name] = held[name] = trial.suggest_int(name, e["low"], e["high"], log=e["log"])
            else:
                found[name] = held[name] = trial.suggest_float(name, e["low"], e["high"], log=e["log"])
        return trial, found

    def tell(self, handle: Any, loss: float) -> None:
        self.study.tell(handle, loss)

    def add(self, config: Found, loss: float) -> None:
        """A finished trial that this search has not proposed."""
        import optuna

        kinds = {e["name"]: self._distribution(e) for e in self.space if e["name"] in config}
        told = {
            n: self.by_name[n]["choices"].index(v) if self.by_name[n]["type"] == "ordinal" else v
            for n, v in config.items()
        }
        self.study.add_trial(optuna.create_trial(params=told, distributions=kinds, value=loss))

    @staticmethod
    def _distribution(e: Entry) -> Any:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if e["type"] == "cat":
            return CategoricalDistribution(e["choices"])
        if e["type"] == "ordinal":
            return IntDistribution(0, len(e["choices"]) - 1)
        kind = IntDistribution if e["type"] == "int" else FloatDistribution
        return kind(e["low"], e["high"], log=e["log"])


class Hyperopt(Peer):
    """``tpe.suggest``; an axis below an option stands in that option of a ``hp.choice``."""

    package = "hyperopt"

    def open(self) -> None:
        import numpy as np
        from hyperopt import Trials, tpe
        from hyperopt.base import Domain

        self.nodes: Found = {}
        self.trials_, self.suggest = Trials(), tpe.suggest
        self.domain = Domain(lambda _: 0.0, {e["name"]: self._node(e) for e in self.free()})
        self.rng = np.random.default_rng(self.seed)

    def _node(self, e: Entry) -> Any:
        """One node an axis, however many options hold it."""
        name = e["name"]
        if name not in self.nodes:
            self.nodes[name] = self._made(e)
        return self.nodes[name]

    def _made(self, e: Entry) -> Any:
        from hyperopt import hp

        name = e["name"]
        if e["type"] == "cat":
            below = [[self._node(b) for b in self.below(name, i)] for i in range(len(e["choices"]))]
            return hp.choice(name, [{"option": i, "below": nodes} for i, nodes in enumerate(below)])
        if e["type"] == "ordinal":
            return hp.quniform(name, -0.5, len(e["choices"]) - 0.5, 1)
        if e["type"] == "int":
            low, high = e["low"] - 0.5, e["high"] + 0.5
            if e["log"]:
                return hp.qloguniform(name, math.log(max(low, 0.5 * e["low"])), math.log(high), 1)
            return hp.quniform(name, low, high, 1)
        if e["log"]:
            return hp.loguniform(name, math.log(e["low"]), math.log(e["high"]))
        return hp.uniform(name, e["low"], e["high"])

    def ask(self) -> tuple[Any, Found]:
        self.trials_.refresh()
        numbers = self.trials_.new_trial_ids(1)
        documents = self.suggest(numbers, self.domain, self.trials_, int(self.rng.integers(2**31 - 1)), verbose=False)
        self.trials_.insert_trial_docs(documents)
        self.trials_.refresh()
        values = documents[0]["misc"]["vals"]
        found = {name: told[0] for name, told in values.items() if len(told)}
        for e in self.space:
            if e["type"] == "ordinal" and e["name"] in found:
                found[e["name"]] = min(max(round(found[e["name"]]), 0), len(e["choices"]) - 1)
        return numbers[0], found

    def tell(self, handle: Any, loss: float) -> None:
        from hyperopt import JOB_STATE_DONE, STATUS_OK

        document = next(d for d in self.trials_._dynamic_trials if d["tid"] == handle)
        document["state"], document["result"] = JOB_STATE_DONE, {"status": STATUS_OK, "loss": loss}
        self.trials_.refresh()


class Smac(Peer):
    """The facade for hyperparameters (random forest), or with ``bb`` the one for black boxes (Gaussian process)."""

    package = "smac"

    def open(self) -> None:
        from smac import BlackBoxFacade, HyperparameterOptimizationFacade, Scenario

        self.folder = tempfile.TemporaryDirectory()
        scenario = Scenario(self._space(), deterministic=not self.noisy, n_trials=self.trials, seed=self.seed,
                            output_directory=self.folder.name)  # fmt: skip
        facade = {"": HyperparameterOptimizationFacade, "bb": BlackBoxFacade}[self.kind]
        self.facade = facade(scenario, _nothing, overwrite=True, logging_level=50)

    def _space(self) -> Any:
        import ConfigSpace as cs

        space = cs.ConfigurationSpace(seed=self.seed)
        axes: Found = {}
        for e in self.space:
            name = e["name"]
            if e["type"] == "cat":
                axes[name] = cs.CategoricalHyperparameter(name, list(range(len(e["choices"]))))
            elif e["type"] == "ordinal":
                axes[name] = cs.OrdinalHyperparameter(name, list(range(len(e["choices"]))))
            elif e["type"] == "int":
                axes[name] = cs.UniformIntegerHyperparameter(name, e["low"], e["high"], log=e["log"])
            else:
                axes[name] = cs.UniformFloatHyperparameter(name, e["low"], e["high"], log=e["log"])
        space.add(list(axes.values()))
        for e in self.space:
            rules = []
            for parent, values in e.get("when", ()):
                above = self.by_name[parent]
                codes = [above["choices"].index(v) for v in values] if "choices" in above else list(values)
                rules.append(cs.InCondition(axes[e["name"]], axes[parent], codes))
            if rules:
                space.add(cs.AndConjunction(*rules) if len(rules) > 1 else rules[0])
        return space

    def ask(self) -> tuple[Any, Found]:
        info = self.facade.ask()
        return info, dict(info.config)

    def tell(self, handle: Any, loss: float) -> None:
        from smac.runhistory import TrialValue

        self.facade.tell(handle, TrialValue(cost=loss))


def _nothing(config: Any, seed: int = 0) -> float:
    """What SMAC wants as its target, and never calls when it is asked and told."""
    raise NotImplementedError


class Hebo(Peer):
    """Knows no conditions: every axis is always there."""

    package = "HEBO"

    def open(self) -> None:
        import numpy as np
        import torch
        from hebo.design_space.design_space import DesignSpace
        from hebo.optimizers.hebo import HEBO

        np.random.seed(self.seed)
        torch.manual_seed(self.seed)
        self.search = HEBO(DesignSpace().parse([self._axis(e) for e in self.space]), scramble_seed=self.seed)

    @staticmethod
    def _axis(e: Entry) -> Found:
        if e["type"] == "cat":
            return {"name": e["name"], "type": "cat", "categories": list(map(str, range(len(e["choices"]))))}
        if e["type"] == "ordinal":
            return {"name": e["name"], "type": "int", "lb": 0, "ub": len(e["choices"]) - 1}
        kind = {("float", False): "num", ("float", True): "pow", ("int", False): "int", ("int", True): "pow_int"}
        return {"name": e["name"], "type": kind[e["type"], bool(e["log"])], "lb": e["low"], "ub": e["high"]}

    def ask(self) -> tuple[Any, Found]:
        table = self.search.suggest(n_suggestions=1)
        return table, table.iloc[0].to_dict()

    def tell(self, handle: Any, loss: float) -> None:
        import numpy as np

        self.search.observe(handle, np.array([[loss]]))


class Ax(Peer):
    """``Client`` with its default strategy. A condition is told where one value of a parent allows an axis."""

    package = "ax-platform"

    def open(self) -> None:
        import logging

        from ax.api.client import Client

        logging.disable(logging.CRITICAL)
        self.client = Client(random_seed=self.seed)
        self.client.configure_experiment([self._axis(e) for e in self.space])
        self.client.configure_optimization(objective="-loss")
        self.client.configure_generation_strategy(initialization_random_seed=self.seed)

    def _axis(self, e: Entry) -> Any:
        from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

        name = e["name"]
        if e["type"] == "cat":
            options = [f"o{i}" for i in range(len(e["choices"]))]
            below: dict[Any, list[str]] = {}
            for other in self.space:
                rule = next((r for r in self.rules(other) if len(r[1]) == 1), None)
                if rule is not None and rule[0] == name:
                    below.setdefault(options[rule[1][0]], []).append(other["name"])
            return ChoiceParameterConfig(name, options, "str", is_ordered=False, dependent_parameters=below or None)
        if e["type"] == "ordinal":
            return ChoiceParameterConfig(name, list(range(len(e["choices"]))), "int", is_ordered=True)
        scaling: Any = "log" if e["log"] else "linear"
        return RangeParameterConfig(name, (e["low"], e["high"]), e["type"], scaling=scaling)

    def ask(self) -> tuple[Any, Found]:
        ((number, told),) = self.client.get_next_trials(max_trials=1).items()
        return number, {k: int(v[1:]) if isinstance(v, str) else v for k, v in told.items()}

    def tell(self, handle: Any, loss: float) -> None:
        self.client.complete_trial(handle, raw_data={"loss": loss})


class Nevergrad(Peer):
    """``NGOpt``; an axis below an option stands in a dictionary of that option, one copy an option."""

    package = "nevergrad"

    def open(self) -> None:
        import nevergrad as ng

        whole = ng.p.Dict(**{e["name"]: self._node(e) for e in self.free()})
        whole.random_state.seed(self.seed)
        self.search = ng.optimizers.NGOpt(parametrization=whole, budget=self.trials, num_workers=1)

    def _node(self, e: Entry) -> Any:
        import nevergrad as ng

        if e["type"] == "cat":
            options = [
                ng.p.Dict(option=i, **{b["name"]: self._node(b) for b in self.below(e["name"], i)})
                for i in range(len(e["choices"]))
            ]
            return ng.p.Choice(options)
        if e["type"] == "ordinal":
            return ng.p.TransitionChoice(list(range(len(e["choices"]))))
        kind = ng.p.Log if e["log"] else ng.p.Scalar
        axis = kind(lower=e["low"], upper=e["high"])
        return axis.set_integer_casting() if e["type"] == "int" else axis

    def ask(self) -> tuple[Any, Found]:
        candidate = self.search.ask()
        return candidate, dict(self._flat(candidate.value))

    def _flat(self, told: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for name, value in told.items():
            if isinstance(value, dict):
                yield name, value["option"]
                yield from self._flat({k: v for k, v in value.items() if k != "option"})
            else:
                yield name, value

    def tell(self, handle: Any, loss: float) -> None:
        self.search.tell(handle, loss)


PEERS: Mapping[str, type[Peer]] = {
    "optuna": Optuna,
    "hyperopt": Hyperopt,
    "smac": Smac,
    "hebo": Hebo,
    "ax": Ax,
    "nevergrad": Nevergrad,
}


@contextmanager
def _timed(answer: Found) -> Iterator[None]:
    start = time.process_time()
    yield
    answer["ms"] = 1e3 * (time.process_time() - start)


class Served:
    """Answers one line after the other."""

    def __init__(self) -> None:
        self.peer: Peer | None = None
        self.open: dict[int, Any] = {}

    def answer(self, told: Found) -> Found:
        out: Found = {}
        if "start" in told:
            family, _, kind = told["start"].partition(":")
            self.open = {}
            self.peer = PEERS[family](told["space"], told["seed"], told["trials"], told["noisy"], kind)
            return {"version": version(self.peer.package)}
        if self.peer is None:
            raise RuntimeError("nothing was started")
        if "ask" in told:
            with _timed(out):
                handle, found = self.peer.ask()
            out["number"] = len(self.open)
            self.open[out["number"]] = handle
            out["config"] = {k: v.item() if hasattr(v, "item") else v for k, v in self.peer.config(found).items()}
        else:
            with _timed(out):
                self.peer.tell(self.open[told["tell"]], told["loss"])
            self.open[told["tell"]] = None
        return out


def main() -> None:
    # what a package prints must not get between the answers
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    served = Served()
    for line in sys.stdin:
        try:
            out = served.answer(json.loads(line))
        except Exception as failure:  # noqa: BLE001  (whatever a package raises ends this search, not the bridge)
            served = Served()
            out = {"error": f"{type(failure).__name__}: {failure}"}
        answers.write(json.dumps(out) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
