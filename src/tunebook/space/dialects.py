"""Search spaces of other libraries, recognised so that an error can show the same range in our words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LIBRARIES = {
    "optuna": "an Optuna distribution",
    "hyperopt": "a Hyperopt expression",
    "ray": "a Ray Tune domain",
    "scipy": "a scipy distribution",
    "keras_tuner": "a KerasTuner hyperparameter",
    "skopt": "a scikit-optimize dimension",
    "ConfigSpace": "a ConfigSpace hyperparameter",
}
_LOW = ("low", "lower", "min", "min_value")
_HIGH = ("high", "upper", "max", "max_value")
_OPTIONS = ("choices", "categories", "values")
_SCALE = ("prior", "sampling", "sampler", "distribution")
_KEYS = (*_LOW, *_HIGH, *_OPTIONS, *_SCALE, "log")
FOREIGN_KEYS = frozenset({"distribution", "_type", "_value", "min", "max", "values", "bounds", "lower", "upper"})


def translation(item: object) -> tuple[str, str] | None:
    """Whose search space an object or mapping comes from, and the same in ours; None if it is nobody's we know."""
    if isinstance(item, Mapping):
        return ("a W&B or NNI entry", _from_mapping(item)) if FOREIGN_KEYS & set(item) else None
    library = type(item).__module__.partition(".")[0]
    if library not in _LIBRARIES:
        return None
    if library == "scipy":
        ours = _from_scipy(item)
    else:
        told = {k: v for k in _KEYS if (v := getattr(item, k, None)) is not None and not callable(v)}
        whole = "int" in type(item).__name__.lower()
        if library == "ray" and whole and isinstance(told.get("upper"), int):
            told["upper"] -= 1  # the upper end of tune.randint is exclusive
        ours = _written(told, whole)
    return _LIBRARIES[library], ours or "Float(1e-4, 1e-1, log=True), Int(1, 4), Choice(['a', 'b'])"


def _from_mapping(item: Mapping[Any, Any]) -> str:
    told = dict(item)
    if isinstance(told.get("_value"), list):  # NNI: {"_type": "loguniform", "_value": [1e-4, 1e-1]}
        values = told["_value"]
        told = (
            {"values": values}
            if told.get("_type") == "choice"
            else {**_pair(values), "distribution": told.get("_type")}
        )
    if isinstance(told.get("bounds"), list):
        told |= _pair(told["bounds"])
    ends = [told[k] for k in (*_LOW, *_HIGH) if k in told]
    whole = all(isinstance(end, int) for end in ends) and "int" in str(told.get("distribution", "int"))
    return _written(told, whole) or "type, low and high, or options"


def _pair(values: list[Any]) -> dict[str, Any]:
    return dict(zip(("low", "high"), values, strict=False))


def _from_scipy(item: object) -> str:
    name = str(getattr(getattr(item, "dist", None), "name", ""))
    told = [*getattr(item, "args", ()), *getattr(item, "kwds", {}).values()]
    if len(told) != 2:
        return ""
    a, b = told
    if name in ("loguniform", "reciprocal"):
        return f"Float({a}, {b}, log=True)"
    if name == "uniform":
        return f"Float({a}, {a + b})"
    return f"Int({a}, {b - 1})" if name == "randint" else ""


def _written(told: Mapping[str, Any], whole: bool) -> str:
    """The declaration in our words; empty when too little is known."""
    options = next((told[k] for k in _OPTIONS if k in told), None)
    if isinstance(options, list | tuple):
        return f"Choice({list(options)!r})"
    low, high = (next((told[k] for k in keys if k in told), None) for keys in (_LOW, _HIGH))
    if low is None or high is None:
        return ""
    scale = " ".join(f"{told.get(k, '')} {type(told.get(k)).__name__}" for k in _SCALE).lower()
    log = told.get("log") is True or "log" in scale
    return f"{'Int' if whole else 'Float'}({low}, {high}{', log=True' if log else ''})"
