"""Classic families on real data, through ``play`` as every executor runs them."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tunebook.analysis.calibration import Calibrator
from tunebook.data import Dataset, Folds, Split, from_arrays, open_dataset, save_arrays
from tunebook.errors import CheckpointError, DataError, SettingError
from tunebook.learners import EstimatorLearner, learner_named, load_model
from tunebook.learners.auto import SMOOTH, AutoLearner
from tunebook.learners.fitted import Estimator
from tunebook.learners.saved import decide
from tunebook.learners.svm import LEAST_STEPS
from tunebook.learners.table import TableLearner, TableObjective, fit_quietly, next_fold, read_fold
from tunebook.learners.view import View
from tunebook.metrics import accuracy, chance_level, rmse
from tunebook.objective import Run, play
from tunebook.space import Choice, Config, Float, Space
from tunebook.trial import Context, Ended, FailureKind, Goal, Measured, Measurement, Status

ACCURACY = Goal("accuracy", "maximize", pick="last")  # type: ignore[arg-type]
RMSE = Goal("rmse", pick="last")
CLASSIFIERS = ("logistic", "svm", "knn", "forest", "adaboost", "histgb", "xgboost", "network")
REGRESSORS = ("linear", "svm", "knn", "forest", "adaboost", "histgb", "xgboost", "network")
SLOW: dict[str, Config] = {"forest": {"trees": 30}, "adaboost": {"rounds": 20}, "histgb": {"rounds": 30},
                           "network": {"epochs": 40, "units": 32}}  # fmt: skip


def played(objective: TableObjective, run: Run) -> tuple[list[Measurement], Ended]:
    *before, ended = play(objective, run)
    assert isinstance(ended, Ended)
    return [e.measurement for e in before if isinstance(e, Measured)], ended


def run_of(folder: Path, config: Config, until: int, metric: str = "accuracy", context: Context | None = None) -> Run:
    context = context or Context(seed=1)
    return Run(0, config, until, folder, context.seed, context, metric=metric)


def table(name: str) -> TableLearner:
    learner = learner_named(name)
    assert isinstance(learner, TableLearner)
    return learner


def start(learner: TableLearner, dataset: Dataset) -> dict[str, Any]:
    return {**learner.whole(dataset).default, **SLOW.get(learner.name, {})}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_default_classifier_learns_fold_by_fold(tmp_path: Path, name: str) -> None:
    learner, data = table(name), open_dataset("sklearn:breast_cancer")
    objective = learner.objective("sklearn:breast_cancer", Split(), ACCURACY, 3, Folds(3))
    told, ended = played(objective, run_of(tmp_path, start(learner, data), 3))
    assert ended.status is Status.COMPLETED, ended.failure
    assert told[-1].metrics["accuracy"] > 0.9
    assert told[-1].metrics["accuracy"] == pytest.approx(np.mean([m.metrics["fold_accuracy"] for m in told]))
    assert told[-1].metrics["train_accuracy"] > 0.9
    folds = [read_fold(tmp_path / f"fold-{s}.npz") for s in (1, 2, 3)]
    parts = Split().parts(data)
    rows = np.concatenate([f.rows for f in folds if f is not None])
    assert sorted(rows) == sorted(np.concatenate([parts.train, parts.valid]))
    predicted = np.concatenate([f.predicted for f in folds if f is not None])
    assert predicted.sum(axis=1) == pytest.approx(1.0)
    assert accuracy(data.targets[rows], predicted.argmax(axis=1)) == pytest.approx(told[-1].metrics["accuracy"], 0.01)


@pytest.mark.parametrize("name", REGRESSORS)
def test_a_default_regressor_beats_the_mean(tmp_path: Path, name: str) -> None:
    learner, data = table(name), open_dataset("sklearn:diabetes")
    objective = learner.objective("sklearn:diabetes", Split(), RMSE, 9)
    config = {**start(learner, data), "rounds_per_step": 3} if name in ("xgboost", "histgb") else start(learner, data)
    config.pop("rounds", None) if name in ("xgboost", "histgb") else None
    told, ended = played(objective, run_of(tmp_path, config, 9, "rmse"))
    assert ended.status is Status.COMPLETED, ended.failure
    chance = chance_level(data.targets[Split().parts(data).valid], "regression")
    assert told[-1].metrics["rmse"] < 0.85 * chance
    assert [m.step for m in told] == (list(range(1, 10)) if name in ("xgboost", "histgb") else [9])


@pytest.mark.parametrize("name", sorted({*CLASSIFIERS, *REGRESSORS}))
def test_any_point_of_the_space_trains(tmp_path: Path, name: str) -> None:
    learner = table(name)
    data = "sklearn:wine" if "classification" in learner.tasks else "sklearn:diabetes"
    goal = ACCURACY if data == "sklearn:wine" else RMSE
    space = learner.whole(open_dataset(data))
    objective = replace(learner.objective(data, Split(), goal, 3, Folds(3)), keep=False)
    for i, config in enumerate(space.decode(np.random.default_rng(0).random((5, space.dim)))):
        small = {**config, **SLOW.get(name, {}), **({"rounds": 20} if "rounds" in config else {})}
        _, ended = played(objective, run_of(tmp_path / str(i), small, 1, goal.metric))
        assert ended.failure is None, ended.failure


@pytest.mark.parametrize("name", ["xgboost", "histgb"])
def test_rounds_are_taken_up_where_they_paused(tmp_path: Path, name: str) -> None:
    learner = table(name)
    data = "sklearn:breast_cancer"
    config = {**learner.space(open_dataset(data)).default, "rounds_per_step": 2, "learning_rate": 0.3}
    config |= {"subsample": 0.6, "colsample_bytree": 0.7} if name == "xgboost" else {"max_features": 0.6}
    objective = learner.objective(data, Split(), Goal("log_loss"), 9)
    whole, _ = played(objective, run_of(tmp_path / "whole", config, 9, "log_loss"))
    first, _ = played(objective, run_of(tmp_path / "parts", config, 3, "log_loss"))
    stream = objective(replace(run_of(tmp_path / "parts", config, 9, "log_loss"), attempt=2))
    middle = [next(stream).metrics for _ in range(3)]  # killed in step 6, after its checkpoint of step 3
    stream.close()  # type: ignore[attr-defined]
    rest, _ = played(objective, replace(run_of(tmp_path / "parts", config, 9, "log_loss"), attempt=3))
    assert [m.metrics for m in first] == [m.metrics for m in whole[:3]]
    assert middle == [m.metrics for m in whole[2:5]]
    assert rest[0].step == 3
    assert [m.metrics for m in rest] == [m.metrics for m in whole[2:]]


def test_folds_that_were_measured_are_not_measured_again(tmp_path: Path) -> None:
    objective = table("logistic").objective("sklearn:wine", Split(), ACCURACY, 5, Folds(5))
    first, _ = played(objective, run_of(tmp_path, {"C": 1.0}, 2))
    stamps = [(tmp_path / f"fold-{s}.npz").stat().st_mtime_ns for s in (1, 2)]
    (tmp_path / "fold-2.npz").write_bytes(b"half a file")
    whole, ended = played(objective, replace(run_of(tmp_path, {"C": 1.0}, 5), attempt=2))
    assert ended.status is Status.COMPLETED
    assert [m.metrics for m in whole[:2]] == [m.metrics for m in first]
    assert (tmp_path / "fold-1.npz").stat().st_mtime_ns == stamps[0]
    assert (tmp_path / "fold-2.npz").stat().st_mtime_ns != stamps[1]


@pytest.mark.parametrize(
    ("taken", "fractions", "expected"),
    [
        ([], (), 0.0),
        ([1.0, 3.0, 2.0], (), 3.0),  # the longer one of the last two
        ([1.0, 2.0], (0.1, 0.2, 0.4), 4.0),  # as much again as the last doubling
        ([1.0, 1.0], (0.1, 0.2, 0.8), 2.0),  # at least by the root of the rows
        ([1.0, 9.0], (0.1, 0.2, 0.4), 36.0),  # at most by their square
    ],
)
def test_the_next_fold_takes_what_those_before_it_say(
    taken: list[float], fractions: tuple[float, ...], expected: float
) -> None:
    assert next_fold(taken, fractions) == pytest.approx(expected)


def test_a_fold_that_there_is_no_time_for_is_not_begun(tmp_path: Path) -> None:
    usual = table("logistic").objective("sklearn:wine", Split(), ACCURACY, 5, Folds(5))
    for i, bound in enumerate(({"limit": 1e-9}, {"ends": 1.0})):
        told, ended = played(replace(usual, **bound), run_of(tmp_path / str(i), {"C": 1.0}, 5))  # type: ignore[arg-type]
        assert ended.status is Status.STOPPED
        assert "longer than there is time for" in ended.note
        assert [m.step for m in told] == [1]


def test_large_tables_are_confirmed_on_parts_of_the_rows(tmp_path: Path) -> None:
    folds = Folds(5, fractions=(0.3, 1.0))
    objective = table("knn").objective("sklearn:diabetes", Split(), RMSE, 2, folds)
    searched, _ = played(objective, run_of(tmp_path / "a", {"k": 5}, 2, "rmse"))
    again, _ = played(objective, run_of(tmp_path / "b", {"k": 5}, 2, "rmse", Context(seed=1, fold=1)))
    assert not any(name.startswith("part") for m in (*searched, again[0]) for name in m.metrics)
    parts = [v for name, v in again[-1].metrics.items() if name.startswith("part")]
    assert len(parts) == 5
    assert np.sqrt(np.mean(np.square(parts))) == pytest.approx(again[-1].metrics["rmse"], rel=0.01)


def test_a_model_of_a_bag_is_trained_without_its_fold(tmp_path: Path) -> None:
    objective = table("logistic").objective("sklearn:wine", Split(), ACCURACY, 5, Folds(5))
    rows = set()
    for fold in (0, 1, 2):
        context = Context(seed=1, fold=fold, final=True)
        played(objective, run_of(tmp_path / str(fold), {"C": 1.0}, 5, "train_accuracy", context))
        rows.add(load_model(tmp_path / str(fold) / "model").card.about["rows"])
    development = len(objective.view(Context(final=True)).train)
    assert max(rows) == development
    assert min(rows) < 0.85 * development


@pytest.mark.parametrize("data", ["sklearn:wine", "sklearn:diabetes", "sklearn:california"])
def test_presets_have_a_place_in_the_space(data: str) -> None:
    dataset = open_dataset(data) if data != "sklearn:california" else _many_rows()
    learner = AutoLearner()
    space = learner.space(dataset)
    presets = learner.presets(dataset)
    families = {f.name for f in learner.families(dataset)}
    assert {p["family"] for p in presets} == families - (set(SMOOTH) if len(dataset) > 1_000 else set())
    for preset in presets:
        whole = {**(space.adapt(preset) or {}), **preset}
        assert space.contains(whole), preset
    assert presets[0]["family"] == "xgboost"


def _many_rows() -> Dataset:
    rng = np.random.default_rng(0)
    return from_arrays(rng.normal(size=(6_000, 3)), rng.normal(size=6_000))


def test_a_machine_that_would_not_come_to_an_end_is_stopped() -> None:
    told = table("svm").objective("sklearn:diabetes", Split(), RMSE, 5, Folds(5))
    seen = told.view(Context(), 1)
    fitted = told.learner.fit({"C": 1000.0, "kernel": "linear", "epsilon": 0.001}, seen, 0)
    assert isinstance(fitted, Estimator)
    assert fitted.estimator.n_iter_ == LEAST_STEPS
    easy = told.learner.fit({"C": 1.0, "kernel": "linear"}, seen, 0)
    assert isinstance(easy, Estimator)
    assert easy.estimator.n_iter_ < LEAST_STEPS


def test_to_save_a_classic_model_loads_no_torch_and_torch_loads_afterwards() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import sys; from tunebook.learners.fitted import dumped\n"
         "from sklearn.linear_model import Ridge\n"
         "dumped(Ridge().fit([[0.0], [1.0]], [0.0, 1.0])); print('torch' in sys.modules)\n"
         "import torch; print(torch.ones(2).sum().item())"],
        capture_output=True, text=True, check=True)  # fmt: skip
    assert told.stdout.split() == ["False", "2.0"]


def test_what_was_decided_on_probabilities_is_kept_with_the_model(tmp_path: Path) -> None:
    objective = table("logistic").objective("sklearn:breast_cancer", Split(), ACCURACY, 5, Folds(5))
    played(objective, run_of(tmp_path, {"C": 1.0}, 5, "train_accuracy", Context(seed=1, final=True)))
    x = open_dataset("sklearn:breast_cancer").inputs
    before = load_model(tmp_path / "model").predict_proba(x)
    decide(tmp_path / "model", 0.9, Calibrator("sigmoid", 0.5, 0.2))
    model = load_model(tmp_path / "model")
    after = model.predict_proba(x)
    assert after == pytest.approx(Calibrator("sigmoid", 0.5, 0.2).apply(before), abs=1e-12)
    assert (model.predict(x) == np.where(after[:, 1] >= 0.9, *model.card.classes[::-1])).all()
    card = tmp_path / "model" / "model.json"
    card.write_text(card.read_text().replace('"slope": 0.5', '"slope": 0.7'))
    with pytest.raises(CheckpointError):
        load_model(tmp_path / "model")


@pytest.mark.parametrize("name", ["xgboost", "histgb"])
def test_boosting_splits_on_sets_of_many_categories(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(0)
    towns = [f"town {i:02}" for i in range(30)]
    level = rng.normal(size=30)
    at, x = rng.integers(0, 30, 900), rng.normal(size=900)
    y = level[at] + x + 0.1 * rng.normal(size=900)
    lines = [f"{v:.4f},{towns[i]},{t:.4f}" for v, i, t in zip(x, at, y, strict=True)]
    csv = tmp_path / "t.csv"
    csv.write_text("x,town,y\n" + "\n".join(lines) + "\n")
    objective = table(name).objective(f"csv:{csv}?target=y", Split(), RMSE, 5, Folds(5))
    config = {**start(table(name), open_dataset(f"csv:{csv}?target=y")), "rounds": 60}
    seen = objective.view(Context(), 1)
    assert seen.coded.groups == ((1, 30),)
    assert seen.coded.names(seen.dataset.feature_names) == ("x", "town")
    told, _ = played(objective, run_of(tmp_path / "cv", config, 2, "rmse"))
    assert told[-1].metrics["rmse"] < 0.45
    final = run_of(tmp_path / "final", config, 5, "train_rmse", Context(seed=1, final=True))
    played(objective, final)
    model = load_model(tmp_path / "final" / "model")
    inputs = open_dataset(f"csv:{csv}?target=y").inputs[:50]
    again = objective.learner.fit(config, objective.view(Context(final=True)), 1)
    assert model.predict(inputs).tolist() == seen_in(objective, again, inputs)
    unknown = inputs.copy()
    unknown[:, 1:] = 0.0  # a town that was never seen
    assert np.isfinite(model.predict(unknown)).all()
    assert [len(s.values) for s in model.parameters() if s.name.startswith("importances")] in ([2], [])


def seen_in(objective: TableObjective, fitted: Any, inputs: Any) -> list[float]:
    return objective.view(Context(final=True)).undo(fitted.predict(inputs.astype(np.float32))).tolist()  # type: ignore[no-any-return]


def poisoned(path: Path, poison: bool) -> tuple[str, Dataset]:
    """Wine with gaps; with poison, the rows that are not trained on are of another world, and know their class."""
    wine = open_dataset("sklearn:wine")
    x = wine.inputs.copy()
    x[np.random.default_rng(0).random(x.shape) < 0.1] = np.nan
    x[:, -1] = 7.0  # says nothing where it is trained on
    data = from_arrays(x, np.array(wine.classes)[wine.targets])
    if poison:
        parts = Split().parts(wine)
        others = np.concatenate([parts.valid, parts.test])
        x[others] *= 1e4
        x[others, -1] = wine.targets[others] * 1e6
        data = from_arrays(x, np.array(wine.classes)[wine.targets])
    save_arrays(data, path)
    return f"npz:{path}", data


class Leaky(TableLearner):
    """Standardises with all rows, as people do by mistake."""

    name = "leaky"
    tasks = ("classification",)

    def space(self, dataset: Dataset) -> Space:
        return Space(C=Float(0.1, 1.0))

    def fit(self, config: Config, view: View, seed: int) -> Estimator:
        everything = SimpleImputer().fit(view.dataset.inputs)
        scaler = StandardScaler().fit(everything.transform(view.dataset.inputs))
        model = make_pipeline(everything, scaler, LogisticRegression())
        return Estimator(fit_quietly(model[2], scaler.transform(everything.transform(view.raw)), view.targets), 3, True)


def learned_from(learner: TableLearner, data: str) -> list[Any]:
    """All that a training takes from the data, as far as it can be seen."""
    goal = Goal("silhouette", "maximize") if learner.name == "kmeans" else ACCURACY  # type: ignore[arg-type]
    objective = learner.objective(data, Split(), goal, 1)
    seen = objective.view(Context())
    told = learner.fit(start(learner, seen.dataset), seen, 0)
    return [told.predict(seen.inputs(seen.train, told.scaled)).tolist(), seen.preprocessor]


@pytest.mark.parametrize("name", [*CLASSIFIERS, "kmeans"])
def test_nothing_is_learned_from_rows_that_are_not_trained_on(tmp_path: Path, name: str) -> None:
    clean, _ = poisoned(tmp_path / "clean.npz", False)
    leak, data = poisoned(tmp_path / "leak.npz", True)
    assert np.nanmax(data.inputs) > 1e5
    assert learned_from(table(name), clean) == learned_from(table(name), leak)


def test_a_leak_would_be_seen(tmp_path: Path) -> None:
    clean, _ = poisoned(tmp_path / "clean.npz", False)
    leak, _ = poisoned(tmp_path / "leak.npz", True)
    assert learned_from(Leaky(), clean)[0] != learned_from(Leaky(), leak)[0]


@pytest.mark.parametrize("name", ["logistic", "svm", "knn", "forest", "adaboost", "histgb", "xgboost"])
def test_a_final_training_leaves_a_model_that_predicts_the_same(tmp_path: Path, name: str) -> None:
    learner, data = table(name), open_dataset("sklearn:wine")
    objective = learner.objective("sklearn:wine", Split(), ACCURACY, 3, Folds(3))
    run = run_of(tmp_path, start(learner, data), 3, "train_accuracy", Context(seed=2, final=True))
    told, ended = played(objective, run)
    assert (ended.status, told[-1].step) == (Status.COMPLETED, 3), ended.failure
    model = load_model(tmp_path / "model")
    parts = Split().parts(data)
    assert model.card.about["rows"] == len(parts.train) + len(parts.valid)
    assert (model.predict(data.inputs[parts.test]) == data.labels[data.targets[parts.test]]).mean() > 0.85
    seen = objective.view(Context(final=True))
    fresh = learner.fit(run.config, seen, 2).predict(seen.inputs(parts.test, learner.scaled))
    assert (model.predict_proba(data.inputs[parts.test]) == fresh).all()


def test_a_model_predicts_the_same_in_a_new_process(tmp_path: Path) -> None:
    data = open_dataset("sklearn:diabetes")
    for name in ("xgboost", "forest"):
        learner = table(name)
        objective = learner.objective("sklearn:diabetes", Split(), RMSE, 3, Folds(3))
        context = Context(final=True)
        played(objective, run_of(tmp_path / name, start(learner, data), 3, "train_rmse", context))
    code = """
import json, sys, tunebook
from tunebook.data import open_dataset
x = open_dataset("sklearn:diabetes").inputs
told = {name: tunebook.load(f"{sys.argv[1]}/{name}/model").predict(x).tolist() for name in ("xgboost", "forest")}

print(json.dumps(told))
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    for name, values in json.loads(done.stdout).items():
        assert values == load_model(tmp_path / name / "model").predict(data.inputs).tolist()


def test_a_model_that_was_tampered_with_is_refused(tmp_path: Path) -> None:
    learner = table("logistic")
    objective = learner.objective("sklearn:wine", Split(), ACCURACY, 3, Folds(3))
    played(objective, run_of(tmp_path, {"C": 1.0}, 3, "train_accuracy", Context(final=True)))
    model = tmp_path / "model"
    for name in ("estimator.skops", "model.json"):
        before = (model / name).read_bytes()
        (model / name).write_bytes(before.replace(b"logistic", b"logistik") if name == "model.json" else before + b"x")
        with pytest.raises(CheckpointError, match="damaged or was edited"):
            load_model(model)
        (model / name).write_bytes(before)
    load_model(model)


def test_a_model_of_types_that_are_not_trusted_is_refused(tmp_path: Path) -> None:
    objective = table("logistic").objective("sklearn:wine", Split(), ACCURACY, 3, Folds(3))
    seen = objective.view(Context(final=True))
    fitted = table("logistic").fit({"C": 1.0}, seen, 0)
    assert isinstance(fitted, Estimator)
    fitted.estimator.at_load = subprocess.run  # what a pickle would call
    objective.save(run_of(tmp_path, {"C": 1.0}, 3), fitted, seen, {})
    with pytest.raises(CheckpointError, match=r"not trusted[\s\S]*subprocess\.run"):
        load_model(tmp_path / "model")


def test_any_estimator_with_any_space(tmp_path: Path) -> None:
    pipe = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())
    space = Space(logisticregression__C=Float(1e-3, 1e3, log=True), simpleimputer__strategy=Choice(["mean", "median"]))
    learner = EstimatorLearner(pipe, space)
    data, _ = poisoned(tmp_path / "gaps.npz", False)
    assert learned_from(learner, data) == learned_from(learner, poisoned(tmp_path / "leak.npz", True)[0])
    objective = learner.objective(data, Split(), ACCURACY, 5, Folds(5))
    shipped = cloudpickle.loads(cloudpickle.dumps(objective))
    here, _ = played(objective, run_of(tmp_path / "a", space.default, 5))
    there, _ = played(shipped, run_of(tmp_path / "b", space.default, 5))
    assert [m.metrics for m in here] == [m.metrics for m in there]
    assert here[-1].metrics["accuracy"] > 0.9
    played(objective, run_of(tmp_path / "f", space.default, 5, "train_accuracy", Context(final=True)))
    model = load_model(tmp_path / "f" / "model")
    assert [s.name for s in model.parameters()] == ["coefficients", "intercept"]
    with pytest.raises(SettingError, match="did you mean 'logisticregression__C'"):
        EstimatorLearner(pipe, Space(logisticregresion__C=Float(0.1, 1.0)))
    with pytest.raises(SettingError, match="not a scikit-learn estimator"):
        EstimatorLearner(object(), space)


def test_what_was_learned_is_shown(tmp_path: Path) -> None:
    data = open_dataset("sklearn:wine")
    wanted = {"logistic": ["coefficients", "intercept"], "svm": ["support vectors", "support vectors a class"],
              "forest": ["importances"], "xgboost": ["importances (share of the gain)"],
              "kmeans": ["centroids", "assignments of the training rows"]}  # fmt: skip
    for name, names in wanted.items():
        learner = table(name)
        seen = learner.objective("sklearn:wine", Split(), Goal("silhouette", "maximize") if name == "kmeans"  # type: ignore[arg-type]
                                 else ACCURACY, 3).view(Context())  # fmt: skip
        shown = learner.fit(start(learner, data), seen, 0).shown(data.feature_names, data.classes)
        assert [s.name for s in shown] == names
    coefficients = table("logistic").fit({"C": 1.0}, seen, 0).shown(data.feature_names, data.classes)[0]
    assert coefficients.values.shape == (3, 13)
    assert (coefficients.rows, coefficients.columns) == (data.classes, data.feature_names)


def test_kmeans_finds_the_three_wines(tmp_path: Path) -> None:
    goal = Goal("silhouette", "maximize")  # type: ignore[arg-type]
    objective = table("kmeans").objective("sklearn:wine", Split(), goal, 9)
    told = {}
    for k in (2, 3, 5, 8):
        measured, ended = played(objective, run_of(tmp_path / str(k), {"clusters": k}, 9, "silhouette"))
        assert ended.failure is None
        told[k] = measured[-1].metrics
    assert max(told, key=lambda k: told[k]["silhouette"]) == 3
    assert max(told, key=lambda k: told[k]["stability"]) == 3
    played(objective, run_of(tmp_path, {"clusters": 3}, 9, "train_silhouette", Context(final=True)))
    model, wine = load_model(tmp_path / "model"), open_dataset("sklearn:wine")
    clusters = model.predict(wine.inputs)
    assert set(clusters) == {0.0, 1.0, 2.0}
    pure = sum(np.bincount(wine.targets[clusters == c]).max() for c in range(3)) / len(wine)
    assert pure > 0.9  # the clusters are the cultivars, which it was not told of
    assert (model.fitted.estimator.predict(objective.view(Context()).scaled) >= 0).all()
    with pytest.raises(SettingError, match="no metric of a clustering"):
        table("kmeans").objective("sklearn:wine", Split(), ACCURACY, 9)


def test_class_weights_are_searched_where_classes_are_imbalanced(tmp_path: Path) -> None:
    cancer = open_dataset("sklearn:breast_cancer")
    rare = np.concatenate([np.flatnonzero(cancer.targets == 1), np.flatnonzero(cancer.targets == 0)[:20]])
    few = cancer.take(rare)
    assert "class_weight" not in learner_named("logistic").space(cancer).names
    for name in ("logistic", "svm", "forest", "histgb", "xgboost"):
        assert "class_weight" in learner_named(name).space(few).names
    save_arrays(few, tmp_path / "few.npz")
    recall = {}
    for weight in ("none", "balanced"):
        learner = table("xgboost")
        objective = learner.objective(f"npz:{tmp_path / 'few.npz'}", Split(), ACCURACY, 3, Folds(3))
        config: Config = {"rounds": 5, "class_weight": weight, "max_depth": 2}
        played(objective, run_of(tmp_path / weight, config, 3))
        folds = [f for f in (read_fold(tmp_path / weight / f"fold-{s}.npz") for s in (1, 2, 3)) if f is not None]
        rows, p = np.concatenate([f.rows for f in folds]), np.concatenate([f.predicted for f in folds])
        recall[weight] = float(p[few.targets[rows] == 0, 0].mean())
    assert recall["balanced"] > recall["none"]


def test_what_cannot_be_is_named(tmp_path: Path) -> None:
    for config, name in (({"c": 1.0}, "logistic"), ({"max_dept": 3}, "xgboost"), ({"K": 3}, "knn")):
        objective = table(name).objective("sklearn:wine", Split(), ACCURACY, 3, Folds(3))
        _, ended = played(objective, run_of(tmp_path / name, config, 1))
        assert ended.failure is not None
        assert ended.failure.kind is FailureKind.USER_ERROR
        assert "has no hyperparameter of this name" in ended.failure.message
    with pytest.raises(DataError, match="logistic is not for a regression"):
        next(table("logistic").objective("sklearn:diabetes", Split(), RMSE, 3)(run_of(tmp_path, {}, 3)))
    with pytest.raises(SettingError, match="a step is a fold"):
        table("logistic").objective("sklearn:wine", Split(), ACCURACY, 4, Folds(3))
    with pytest.raises(SettingError, match="did you mean 'xgboost'"):
        learner_named("xgbost")


def test_a_regression_is_told_in_the_units_of_its_target(tmp_path: Path) -> None:
    data = open_dataset("sklearn:diabetes")
    objective = table("linear").objective("sklearn:diabetes", Split(), RMSE, 3, Folds(3))
    config = table("linear").space(data).default
    told, _ = played(objective, run_of(tmp_path, config, 3, "rmse"))
    fold = read_fold(tmp_path / "fold-1.npz")
    assert fold is not None
    assert rmse(data.targets[fold.rows], fold.predicted) == pytest.approx(told[0].metrics["rmse"])
    assert 100 < fold.predicted.mean() < 200
