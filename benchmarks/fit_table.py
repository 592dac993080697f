"""One method on one split of one table, in a process of its own and under a clock; used by benchmarks/tables.py.

    PYTHON benchmarks/fit_table.py METHOD data.npz SECONDS OUT.json [FOLDER [CORES]]

``data.npz`` holds x_train, y_train, x_test, y_test and task. OUT.json gets the test score, the wall time (imports
and all), the size of the model on disk and the time of predicting 1,000 rows. Nothing but the method's own
packages is imported, so that each may live in an environment of its own.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

SEED = 0
BEGAN = time.monotonic()


def left(seconds: float) -> float:
    """What is left of the time after loading packages, which counts for all methods alike."""
    return max(1.0, seconds - (time.monotonic() - BEGAN))


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def main(method: str, data: str, seconds: str, out: str, folder: str = "", most: str = "") -> None:
    warnings.simplefilter("ignore")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(most) if most else None])
    with np.load(data, allow_pickle=False) as told:
        x, y, a, b = (told[k] for k in ("x_train", "y_train", "x_test", "y_test"))
        task = str(told["task"])
    place = Path(folder or tempfile.mkdtemp(prefix="fit-"))
    place.mkdir(parents=True, exist_ok=True)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        predict, size = METHODS[method](x, y, task, float(seconds), place)
        wall = time.monotonic() - BEGAN
        outputs = np.asarray(predict(a))
        some = a[:1000] if len(a) >= 1000 else np.resize(a, (1000, a.shape[1]))
        began = time.monotonic()
        predict(some)
        latency = time.monotonic() - began
    Path(out).write_text(json.dumps({**scores(task, b, outputs), "seconds": wall, "size": size, "latency": latency}))


def scores(task: str, truth: Any, outputs: Any) -> dict[str, float]:
    """Accuracy and log-loss of probabilities (n, k), or RMSE and R2 of values (n,); ``loss`` is what ranks."""
    if task == "regression":
        rmse = float(np.sqrt(((truth - outputs) ** 2).mean()))
        return {"loss": rmse, "rmse": rmse, "r2": float(1 - (rmse**2) / truth.var())}
    accuracy = float((outputs.argmax(axis=1) == truth).mean())
    chosen = np.clip(outputs[np.arange(len(truth)), truth], 1e-6, 1)
    return {"loss": 1 - accuracy, "accuracy": accuracy, "log_loss": float(-np.log(chosen).mean())}


def size_of(model: Any) -> int:
    return len(pickle.dumps(model))


def outputs_of(model: Any, task: str) -> Any:
    return model.predict if task == "regression" else model.predict_proba


def default_forest(x: Any, y: Any, task: str, seconds: float, place: Path) -> Any:
    """scikit-learn's random forest as it comes."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    model = (RandomForestRegressor if task == "regression" else RandomForestClassifier)(random_state=SEED, n_jobs=-1)
    model.fit(np.nan_to_num(x), y)
    told = outputs_of(model, task)
    return lambda a: told(np.nan_to_num(a)), size_of(model)


def default_histgb(x: Any, y: Any, task: str, seconds: float, place: Path) -> Any:
    """scikit-learn's gradient boosting as it comes."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    model = kind(random_state=SEED).fit(x, y)
    return outputs_of(model, task), size_of(model)


def default_linear(x: Any, y: Any, task: str, seconds: float, place: Path) -> Any:
    """Ridge or logistic regression on standardised inputs, as they come."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    last = Ridge() if task == "regression" else LogisticRegression(max_iter=1000)
    model = make_pipeline(SimpleImputer(), StandardScaler(), last).fit(x, y)
    return outputs_of(model, task), size_of(model)


def halving(x: Any, y: Any, task: str, seconds: float, place: Path) -> Any:
    """HalvingRandomSearchCV over gradient boosting, with as many candidates as fit into the time (measured first)."""
    from scipy.stats import loguniform, randint, uniform
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401
    from sklearn.model_selection import HalvingRandomSearchCV

    kind = HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    space = {"learning_rate": loguniform(0.01, 0.5), "max_leaf_nodes": randint(4, 256),
             "min_samples_leaf": randint(2, 200), "l2_regularization": loguniform(1e-6, 1e3),
             "max_features": uniform(0.3, 0.7), "max_iter": randint(20, 400)}  # fmt: skip
    least = min(len(x), max(50, len(x) // 27))
    order = np.random.default_rng(SEED).permutation(len(x))
    small, whole = (_seconds_of(kind(random_state=SEED, max_iter=200), x[order[:n]], y[order[:n]])
                    for n in (least, len(x)))  # fmt: skip
    rungs = [min(1.0, 3**i * least / len(x)) for i in range(4) if i == 0 or 3 ** (i - 1) * least < len(x)]
    each = sum(5 * (small + (whole - small) * r) / 3**i for i, r in enumerate(rungs))  # for a candidate, on average
    candidates = int(max(9, min(2000, 0.7 * left(seconds) * cores() / each)))
    search = HalvingRandomSearchCV(kind(random_state=SEED), space, n_candidates=candidates, factor=3, cv=5, n_jobs=-1,
                                   random_state=SEED, min_resources=least)  # fmt: skip
    search.fit(x, y)
    return outputs_of(search, task), size_of(search.best_estimator_)


def _seconds_of(model: Any, x: Any, y: Any) -> float:
    """Seconds of a fit on one core, with what a search adds to each."""
    from threadpoolctl import threadpool_limits

    began = time.monotonic()
    with threadpool_limits(1):
        model.fit(x, y)
    return 0.02 + time.monotonic() - began


def optuna_xgboost(x: Any, y: Any, task: str, seconds: float, place: Path) -> Any:
    """Optuna's TPE on XGBoost, with 5 folds and a pruner, for all of the time but a last fit."""
    import optuna
    from sklearn.model_selection import KFold, StratifiedKFold
    from xgboost import XGBClassifier, XGBRegressor

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    kind = XGBRegressor if task == "regression" else XGBClassifier
    cut = (KFold if task == "regression" else StratifiedKFold)(5, shuffle=True, random_state=SEED)
    folds = list(cut.split(x, y))

    def objective(trial: Any) -> float:
        told = {
            "n_estimators": trial.suggest_int("n_estimators", 20, 1000, log=True),
            "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.5, log=True),
            "max_depth": trial.suggest_int("max_depth", 2, 12),
            "min_child_weight": trial.suggest_float("min_child_weight", 0.1, 64, log=True),
            "subsample": trial.suggest_float("subsample", 0.4, 1.0),
            "colsample_bytree": trial.suggest_float("colsample_bytree", 0.3, 1.0),
            "reg_lambda": trial.suggest_float("reg_lambda", 1e-3, 1e3, log=True),
            "reg_alpha": trial.suggest_float("reg_alpha", 1e-6, 10, log=True),
        }
        losses: list[float] = []
        for i, (train, valid) in enumerate(folds):
            model = kind(**told, random_state=SEED, n_jobs=cores()).fit(x[train], y[train])
            p = outputs_of(model, task)(x[valid])
            losses.append(scores(task, y[valid], p)["loss"])
            trial.report(float(np.mean(losses)), i)
            if trial.should_prune():
                raise optuna.TrialPruned
        return float(np.mean(losses))

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=SEED), pruner=optuna.pruners.MedianPruner())
    study.optimize(objective, timeout=0.9 * left(seconds))
    model = kind(**study.best_params, random_state=SEED, n_jobs=cores()).fit(x, y)
    return outputs_of(model, task), size_of(model)


def flaml(x: Any, y: Any, task: str, seconds: float, place: Path) -> Any:
    """FLAML as it comes; with data frames, as only those get their missing values filled."""
    import pandas as pd
    from flaml import AutoML

    def frame(a: Any) -> Any:
        return pd.DataFrame(a, columns=[f"x{i}" for i in range(a.shape[1])])

    model = AutoML()
    metric = "rmse" if task == "regression" else "accuracy"
    model.fit(frame(x), y, task=task, time_budget=left(seconds), metric=metric, seed=SEED, verbose=0, n_jobs=cores())
    told = outputs_of(model, task)
    return (lambda a: told(frame(a))), size_of(model)


def autogluon(x: Any, y: Any, task: str, seconds: float, place: Path) -> Any:
    """AutoGluon-tabular with its best presets, fold by fold; without its trial run for stacking, which needs ray."""
    import pandas as pd
    from autogluon.tabular import TabularPredictor

    kind = "regression" if task == "regression" else "binary" if y.max() == 1 else "multiclass"
    metric = "root_mean_squared_error" if task == "regression" else "accuracy"

    def frame(a: Any) -> Any:
        return pd.DataFrame(a, columns=[f"x{i}" for i in range(a.shape[1])])

    model = TabularPredictor("y", problem_type=kind, eval_metric=metric, path=str(place / "ag"), verbosity=0)
    model.fit(frame(x).assign(y=y), time_limit=left(seconds), presets="best_quality", num_cpus=cores(),
              dynamic_stacking=False, ag_args_ensemble={"fold_fitting_strategy": "sequential_local"})  # fmt: skip
    size = sum(p.stat().st_size for p in (place / "ag").rglob("*") if p.is_file())
    told = model.predict if task == "regression" else model.predict_proba
    return (lambda a: told(frame(a)).to_numpy()), size


def tunebook(x: Any, y: Any, task: str, seconds: float, place: Path) -> Any:
    """tunebook's drop-in: all rows are learned from."""
    from tunebook.interop.sklearn import TunedClassifier, TunedRegressor

    kind = TunedRegressor if task == "regression" else TunedClassifier
    model = kind(time_limit=left(seconds), random_state=SEED, workers=cores(), folder=place).fit(x, y)
    saved = [card.parent for card in place.rglob("model.json") if not card.parent.name.startswith("member-")]
    size = sum(p.stat().st_size for p in max(saved, key=os.path.getmtime).rglob("*") if p.is_file())
    return outputs_of(model, task), size


METHODS = {
    "linear": default_linear,
    "forest": default_forest,
    "histgb": default_histgb,
    "halving": halving,
    "optuna": optuna_xgboost,
    "flaml": flaml,
    "autogluon": autogluon,
    "tunebook": tunebook,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
