"""The network families on real data, through ``play`` as every executor runs them."""

import math
from dataclasses import replace
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
import torch

from tunebook.data import Split, from_arrays, open_dataset, save_arrays
from tunebook.errors import DataError, SettingError
from tunebook.learners import CnnLearner, MlpLearner, NetObjective, learner_named
from tunebook.metrics import chance_level, f1_macro
from tunebook.objective import Run, play
from tunebook.space import Config
from tunebook.training import load_model
from tunebook.trial import Context, Direction, Ended, FailureKind, Goal, Measured, Measurement, Status

ACCURACY = Goal("accuracy", Direction.MAXIMIZE)
SPLIT = Split(seed=0)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def played(objective: NetObjective, run: Run) -> tuple[list[Measurement], Ended]:
    *before, ended = play(objective, run)
    assert isinstance(ended, Ended)
    return [e.measurement for e in before if isinstance(e, Measured)], ended


def run_of(folder: Path, config: Config, until: int, metric: str = "accuracy", context: Context | None = None) -> Run:
    context = context or Context(seed=1)
    return Run(0, config, until, folder, context.seed, context, metric=metric)


def test_cnn_reads_digits(tmp_path: Path) -> None:
    learner = learner_named("cnn")
    config = learner.space(open_dataset("sklearn:digits")).default
    told, ended = played(learner.objective("sklearn:digits", SPLIT, ACCURACY, 10), run_of(tmp_path, config, 10))  # type: ignore[arg-type]
    assert ended.status is Status.COMPLETED
    assert max(m.metrics["accuracy"] for m in told) > 0.95
    assert set(told[0].metrics) == {"train_loss", "train_accuracy", "loss", "accuracy"}
    assert told[0].metrics["loss"] < math.log(10) + 0.5


def test_mlp_predicts_diabetes(tmp_path: Path) -> None:
    data = open_dataset("sklearn:diabetes")
    goal = Goal("rmse")
    learner = MlpLearner()
    told, _ = played(
        learner.objective("sklearn:diabetes", SPLIT, goal, 15),
        run_of(tmp_path, learner.space(data).default, 15, "rmse"),
    )
    chance = chance_level(data.targets[SPLIT.parts(data).valid], "regression")
    best = min(told, key=lambda m: m.metrics["rmse"])
    assert best.metrics["rmse"] < 0.85 * chance
    assert best.metrics["r2"] > 0.3
    saved = learner.objective("sklearn:diabetes", SPLIT, goal, 15)
    saved.save(run_of(tmp_path, learner.space(data).default, 15, "rmse"))
    model, valid = load_model(tmp_path / "model"), SPLIT.parts(data).valid
    rmse = float(np.sqrt(((model.predict(data.inputs[valid]) - data.targets[valid]) ** 2).mean()))
    assert rmse == pytest.approx(best.metrics["rmse"], rel=1e-5)  # in the units of the data, and of the best epoch
    assert model.card.epoch == best.step


def test_cnn_reads_sequences(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    codes = np.arange(240) % 3
    x = np.sin(np.linspace(0, 6, 40) * (1 + codes[:, None])) + rng.normal(size=(240, 40)) * 0.5
    for name, shaped in (("plain", x.astype(np.float32)), ("channel", x[:, None].astype(np.float32))):
        save_arrays(from_arrays(shaped, codes, kind="sequence"), tmp_path / f"{name}.npz")
        data = f"npz:{tmp_path / name}.npz"
        learner = CnnLearner()
        config = learner.space(open_dataset(data)).default
        told, _ = played(learner.objective(data, SPLIT, ACCURACY, 8), run_of(tmp_path / name, config, 8))
        assert max(m.metrics["accuracy"] for m in told) > 0.8


def test_a_table_with_gaps_is_learned_from(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 5))
    y = np.where(x[:, 0] + x[:, 1] > 0, "yes", "no")
    x[rng.random(x.shape) < 0.05] = np.nan
    save_arrays(from_arrays(x, y), tmp_path / "t.npz")
    data = f"npz:{tmp_path / 't.npz'}"
    learner = MlpLearner()
    told, _ = played(
        learner.objective(data, SPLIT, ACCURACY, 15), run_of(tmp_path, learner.space(open_dataset(data)).default, 15)
    )
    assert max(m.metrics["accuracy"] for m in told) > 0.8


@pytest.mark.parametrize("name", ["mlp", "cnn", "rnn", "transformer"])
def test_any_point_of_the_space_trains(tmp_path: Path, name: str) -> None:
    learner = learner_named(name)
    space = learner.space(open_dataset("sklearn:digits"))
    objective = learner.objective("sklearn:digits", SPLIT, ACCURACY, 1)
    context = Context(fraction=0.1)
    rng = np.random.default_rng(0)
    for i, config in enumerate(space.decode(rng.random((12, space.dim)))):
        assert space.contains(config)
        _, ended = played(objective, run_of(tmp_path / str(i), config, 1, context=context))  # type: ignore[arg-type]
        assert ended.failure is None or ended.failure.kind is FailureKind.DIVERGED, ended.failure


def test_default_spaces_are_a_practitioners_start() -> None:
    for name, data in (("mlp", "sklearn:digits"), ("cnn", "sklearn:digits"), ("mlp", "sklearn:diabetes")):
        space = learner_named(name).space(open_dataset(data))
        default = space.default
        assert default["optimizer"] == "adam"
        assert default["optimizer.adam.lr"] == 1e-3
        assert default["dropout"] == 0.0
        assert "batch_size" not in space.names
        assert not any("epochs" in n for n in (*space.names, *space.constants))
        assert {n.rpartition(".")[0] for n in space.names if n.endswith(".lr")} == {
            f"optimizer.{o}"
            for o in space.parameters["optimizer"].options  # type: ignore[attr-defined]
        }
    with pytest.raises(DataError, match="'mlp'"):
        CnnLearner().space(open_dataset("sklearn:wine"))


def test_an_objective_is_small_and_goes_to_a_worker(tmp_path: Path) -> None:
    objective = MlpLearner().objective("sklearn:digits", SPLIT, ACCURACY, 2)
    objective.task(Context())  # the data is open here, and stays here
    shipped = cloudpickle.dumps(objective)
    assert len(shipped) < 2000
    config: Config = {"units": 16}
    there, _ = played(cloudpickle.loads(shipped), run_of(tmp_path / "a", config, 2))
    here, _ = played(objective, run_of(tmp_path / "b", config, 2))
    assert [m.metrics for m in there] == [m.metrics for m in here]


def test_the_data_is_opened_once() -> None:
    objective = MlpLearner().objective("sklearn:digits", SPLIT, ACCURACY, 2)
    first = objective.task(Context(seed=1)).train.x
    other = MlpLearner().objective("sklearn:digits", Split(seed=0), ACCURACY, 2).task(Context(seed=2)).train.x
    assert first.data_ptr() == other.data_ptr()


def test_the_context_says_on_what() -> None:
    objective = MlpLearner().objective("sklearn:digits", SPLIT, ACCURACY, 2, folds=5)
    parts = SPLIT.parts(open_dataset("sklearn:digits"))

    def rows(part: torch.Tensor) -> set[bytes]:
        return {row.numpy().tobytes() for row in part}

    plain = MlpLearner().objective("sklearn:digits", SPLIT, ACCURACY, 2)
    whole = plain.ready(Context())
    assert (len(whole.train), len(whole.valid or [])) == (len(parts.train), len(parts.valid))
    inner = plain.ready(Context(fraction=0.25))
    assert len(inner.train) == math.ceil(0.25 * len(parts.train))
    assert inner.preprocessor != whole.preprocessor  # learned from the rows that are trained on
    assert inner.valid is not None
    assert len(inner.valid) == len(parts.valid)

    folds = [objective.ready(Context(fold=i)) for i in range(5)]
    assert sum(len(f.valid or []) for f in folds) == len(parts.train) + len(parts.valid)
    final = plain.ready(Context(final=True, fraction=0.25))
    assert final.valid is None
    assert len(final.train) == len(parts.train) + len(parts.valid)
    with pytest.raises(SettingError, match="fold 5 of 5"):
        objective.ready(Context(fold=5))
    raw = open_dataset("sklearn:digits").inputs[parts.test]
    tested = torch.from_numpy(final.preprocessor.apply(raw))
    shared = rows(tested) & rows(final.train.x)
    assert not shared, "test rows were trained on"


def test_the_final_training_leaves_a_model(tmp_path: Path) -> None:
    learner = CnnLearner()
    data = open_dataset("sklearn:digits")
    objective = learner.objective("sklearn:digits", SPLIT, ACCURACY, 10)
    config = learner.space(data).default
    run = run_of(tmp_path, config, 6, "train_accuracy", Context(seed=4, final=True))
    told, ended = played(objective, run)
    assert ended.status is Status.COMPLETED
    assert set(told[-1].metrics) == {"train_loss", "train_accuracy"}
    model = load_model(tmp_path / "model")
    assert model.card.epoch == 6
    assert model.card.metrics["train_accuracy"] == told[-1].metrics["train_accuracy"]
    parts = SPLIT.parts(data)
    both = np.concatenate([parts.train, parts.valid])
    right = model.predict(data.inputs[both]) == data.labels[data.targets[both]]
    assert right.mean() == pytest.approx(told[-1].metrics["train_accuracy"])
    held_out = model.predict(data.inputs[parts.test]) == data.labels[data.targets[parts.test]]
    assert held_out.mean() > 0.93

    # taken up again after its end, as when the driver was killed before it heard of it
    (tmp_path / "model" / "model.json").unlink()
    again, ended = played(objective, replace(run, attempt=2))
    assert ended.status is Status.COMPLETED
    assert [m.metrics for m in again] == [m.metrics for m in told]
    assert load_model(tmp_path / "model").card == model.card


def test_a_final_training_that_is_paused_leaves_no_model(tmp_path: Path) -> None:
    objective = MlpLearner().objective("sklearn:digits", SPLIT, ACCURACY, 5)
    stream = objective(run_of(tmp_path, {}, 5, "train_accuracy", Context(final=True)))
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert not (tmp_path / "model").exists()


def test_any_metric_can_be_the_goal(tmp_path: Path) -> None:
    goal = Goal("f1_macro", Direction.MAXIMIZE)
    objective = MlpLearner().objective("sklearn:digits", SPLIT, goal, 3)
    told, ended = played(objective, run_of(tmp_path, {}, 3, "f1_macro"))
    assert ended.failure is None
    objective.save(run_of(tmp_path, {}, 3, "f1_macro"))
    data = open_dataset("sklearn:digits")
    valid = SPLIT.parts(data).valid
    labels = load_model(tmp_path / "model").predict_proba(data.inputs[valid]).argmax(axis=1)
    assert told[-1].metrics["f1_macro"] == pytest.approx(f1_macro(data.targets[valid], labels))
    losses, _ = played(
        MlpLearner().objective("sklearn:digits", SPLIT, Goal("log_loss"), 1), run_of(tmp_path / "l", {}, 1, "log_loss")
    )
    assert losses[0].metrics["log_loss"] == pytest.approx(losses[0].metrics["loss"], rel=1e-5)


def test_a_job_can_name_all_that_training_knows(tmp_path: Path) -> None:
    config: Config = {
        "optimizer": "torch:Adadelta", "optimizer.torch:Adadelta.lr": 1.0, "optimizer.torch:Adadelta.rho": 0.8,
        "schedule": "one_cycle", "schedule.one_cycle.rise": 0.2, "class_weights": 0.5, "mixup": 0.2, "l1": 1e-5,
        "ema": 0.9, "precision": "bf16", "micro_batch": 32, "clip_norm": 1.0, "warmup": 0.1, "compile": False,
    }  # fmt: skip
    told, ended = played(MlpLearner().objective("sklearn:digits", SPLIT, ACCURACY, 3), run_of(tmp_path, config, 3))
    assert ended.status is Status.COMPLETED
    assert told[-1].metrics["accuracy"] > 0.5


def test_what_cannot_be_is_named(tmp_path: Path) -> None:
    objective = MlpLearner().objective("sklearn:digits", SPLIT, ACCURACY, 3)
    for config, hint in (
        ({"unit": 3}, "did you mean 'units'"),
        ({"kernel_size": 3}, "mlp has no hyperparameter"),
        ({"optimizer": "adam", "optimizer.adam.learning_rate": 0.1}, "no hyperparameter"),
        ({"optimizer": "torch:RAdam", "optimizer.torch:RAdam.rho": 0.1}, "no hyperparameter"),
        ({"optimizer": "torch:Radam"}, "did you mean 'torch:RAdam'"),
    ):
        with pytest.raises(SettingError, match=hint):
            objective(run_of(tmp_path, config, 3))
    with pytest.raises(SettingError, match="did you mean 'cnn'"):
        learner_named("cn")
    with pytest.raises(SettingError, match="goal is not among the metrics"):
        MlpLearner().objective("sklearn:diabetes", SPLIT, ACCURACY, 3).task(Context())
    tokens = from_arrays(np.arange(200).reshape(20, 1, 10), np.arange(20) % 2, kind="sequence")
    save_arrays(tokens, tmp_path / "tokens.npz")
    with pytest.raises(DataError, match="embedding"):
        MlpLearner().space(tokens)
    task = MlpLearner().objective(f"npz:{tmp_path / 'tokens.npz'}", SPLIT, ACCURACY, 3).task(Context())
    with pytest.raises(DataError, match="embedding"):
        task.build({})
