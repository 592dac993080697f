"""What holds for every family of networks: whole spaces, resuming, saving."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from tunebook.data import Dataset, Split, from_arrays, load_table, open_dataset, save_arrays
from tunebook.errors import DataError
from tunebook.learners import NetLearner, learner_named, load_model
from tunebook.objective import Ended, Measured, Run, play
from tunebook.space import Config, Space
from tunebook.training.losses import classification_loss
from tunebook.training.models import Inputs
from tunebook.training.optimizers import optimizer_of
from tunebook.trial import Context, Direction, Goal, Status

ACCURACY = Goal("accuracy", Direction.MAXIMIZE)
SHAPES = {"sequence": (1, 24), "signal": (30,), "image": (3, 12, 9), "tokens": (16,), "table": (5,)}
FAMILIES = {
    "mlp": ("sequence", "image", "table"),
    "cnn": ("sequence", "signal", "image", "tokens"),
    "rnn": ("sequence", "signal", "image", "tokens"),
    "transformer": ("sequence", "signal", "image", "tokens"),
}
PAIRS = [(name, kind) for name, kinds in FAMILIES.items() for kind in kinds]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@cache
def dataset(kind: str) -> Dataset:
    rng = np.random.default_rng(0)
    shape, codes = SHAPES[kind], np.arange(90) % 3
    if kind == "tokens":
        inputs = rng.integers(0, 5, (90, *shape)) + 3 * codes[:, None]
    else:
        inputs = rng.normal(size=(90, *shape)) + codes.reshape(-1, *[1] * len(shape))
        inputs = inputs.astype(np.float64 if kind == "table" else np.float32)
    return from_arrays(inputs, codes, kind={"signal": "sequence", "tokens": "sequence"}.get(kind, kind))  # type: ignore[arg-type]


@cache
def space(name: str, kind: str) -> Space:
    return learner_named(name).space(dataset(kind))


def network(name: str) -> NetLearner:
    learner = learner_named(name)
    assert isinstance(learner, NetLearner)
    return learner


@pytest.mark.parametrize(("name", "kind"), PAIRS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_configuration_of_a_default_space_makes_a_step(name: str, kind: str, data: st.DataObject) -> None:
    where = space(name, kind)
    units = data.draw(st.lists(st.floats(0, 1), min_size=where.dim, max_size=where.dim))
    config: Config = where.decode(np.array([units]))[0]
    network(name).check(config)
    inputs = Inputs(SHAPES[kind], vocabulary=11 if kind == "tokens" else 0)
    torch.manual_seed(0)
    model = network(name).build(config, inputs, 3)
    optimizer, loss = optimizer_of(config, model), classification_loss(config)
    x = torch.randint(0, 13, (5, 16)) if kind == "tokens" else torch.randn(5, *SHAPES[kind])
    before = [p.detach().clone() for p in model.parameters()]
    for _ in range(2):  # a branch that starts at 0 learns from the second step on
        optimizer.zero_grad()
        outputs = model(x)
        assert outputs.shape == (5, 3)
        loss(outputs, torch.arange(5) % 3).backward()  # type: ignore[no-untyped-call]
        assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in model.parameters())
        optimizer.step()
    assert not any(torch.equal(p, b) for p, b in zip(list(model.parameters())[-2:], before[-2:], strict=True))


def deep(name: str) -> Config:
    """A configuration of many layers."""
    return {
        "mlp": {"layers": 6, "units": 16},
        "cnn": {"blocks": 6, "residual": True, "channels": 4, "norm": "layer"},
        "rnn": {"layers": 4, "cell": "lstm", "units": 8},
        "transformer": {"depth": 8, "heads": 2, "head_units": 4},
    }[name]


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_gradients_reach_the_first_layer_of_deep_networks(name: str) -> None:
    torch.manual_seed(0)
    model = network(name).build(deep(name), (1, 24), 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    x, y = torch.randn(32, 1, 24), torch.arange(32) % 3
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    weights = [p for p in model.parameters() if p.ndim > 1]
    assert all(p.grad is not None and float(p.grad.norm()) > 1e-7 for p in weights)


def curve(name: str, folder: Path, config: Config, stops: list[int], data: str) -> list[dict[str, float]]:
    objective = network(name).objective(data, Split(seed=0), ACCURACY, 4)
    for attempt, until in enumerate(stops, 1):
        context = Context(seed=3)
        *told, ended = play(objective, Run(0, config, until, folder, 3, context, attempt=attempt, metric="accuracy"))
        assert isinstance(ended, Ended) and ended.failure is None, ended.failure
    return [dict(e.measurement.metrics) for e in told if isinstance(e, Measured)]


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_a_run_that_was_stopped_goes_on_as_if_it_was_not(
    tmp_path: Path, name: str, kind: str, everything: bool
) -> None:
    save_arrays(dataset(kind), tmp_path / "d.npz")
    config = {**space(name, kind).default, "dropout": 0.2, "schedule": "cosine", "clip_norm": 1.0}
    if everything:
        config |= {"ema": 0.9, "precision": "bf16", "warmup": 0.1}
        config |= {} if kind == "tokens" else {"noise": 0.1, "mixup": 0.3}
    whole = curve(name, tmp_path / "a", config, [4], f"npz:{tmp_path / 'd.npz'}")
    parts = curve(name, tmp_path / "b", config, [1, 3, 4], f"npz:{tmp_path / 'd.npz'}")
    assert len(whole) == 4 and parts == whole
    assert len({m["train_loss"] for m in whole}) == 4


@pytest.mark.parametrize(("name", "kind"), [("rnn", "tokens"), ("transformer", "image"), ("cnn", "tokens")])
def test_the_final_training_leaves_a_model_that_predicts(tmp_path: Path, name: str, kind: str) -> None:
    data = dataset(kind)
    save_arrays(data, tmp_path / "d.npz")
    config = {**space(name, kind).default, "optimizer.adam.lr": 0.01, "batch_size": 10}
    objective = network(name).objective(f"npz:{tmp_path / 'd.npz'}", Split(seed=0), ACCURACY, 12)
    run = Run(0, config, 12, tmp_path, 3, Context(seed=3, final=True), metric="train_accuracy")
    *_, ended = play(objective, run)
    assert isinstance(ended, Ended) and ended.status is Status.COMPLETED, ended.failure
    model = load_model(tmp_path / "model")
    test = Split(seed=0).parts(data).test
    right = model.predict(data.inputs[test]) == data.labels[data.targets[test]]
    assert right.mean() > 0.6
    size = model.card.about["capacity"]
    assert size["parameters"] == sum(p.numel() for p in model.network.parameters())
    assert size["flops"] > 0 and size["memory"] > 2 * size["bytes"]
    again = load_model(tmp_path / "model")
    np.testing.assert_array_equal(again.predict_proba(data.inputs), model.predict_proba(data.inputs))


def test_texts_of_a_table_bring_embeddings_into_the_space(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [f"{rng.choice(['a', 'b', 'c'])},{rng.normal():.3f}" for _ in range(120)]
    lines = [f"{row},{'yes' if row[0] == 'b' else 'no'}" for row in rows]
    (tmp_path / "t.csv").write_text("\n".join(["letter,number,answer", *lines]) + "\n")
    data = f"csv:{tmp_path / 't.csv'}?target=answer"
    learner = network("mlp")
    where = learner.space(load_table(tmp_path / "t.csv", "answer"))
    assert where.default["embedding"] == 0 and "embedding" not in space("mlp", "table").names
    config = {**where.default, "embedding": 4, "optimizer.adam.lr": 0.01}
    objective = learner.objective(data, Split(seed=0), ACCURACY, 20)
    *told, _ = play(objective, Run(0, config, 20, tmp_path, 0, Context(seed=0), metric="accuracy"))
    values = [e.measurement.metrics["accuracy"] for e in told if isinstance(e, Measured)]
    assert max(values) > 0.95
    assert objective.capacity(config, replace(Context(), seed=0)).parameters == 4 * 4 + (5 + 1) * 128 + 129 * 128 + 258


@pytest.mark.parametrize("name", ["cnn", "rnn", "transformer"])
def test_a_table_is_not_for_them(name: str) -> None:
    with pytest.raises(DataError, match="'mlp'"):
        learner_named(name).space(dataset("table"))


def test_augmentation_is_a_part_of_the_configuration(tmp_path: Path) -> None:
    save_arrays(dataset("sequence"), tmp_path / "d.npz")
    where = space("cnn", "sequence").updated({"shift": 0.2, "noise": 0.1})
    data = f"npz:{tmp_path / 'd.npz'}"
    augmented = curve("cnn", tmp_path / "a", where.default, [4], data)
    assert augmented != curve("cnn", tmp_path / "b", space("cnn", "sequence").default, [4], data)
    assert curve("cnn", tmp_path / "c", where.default, [2, 4], data) == augmented
    # what is measured is the data as they are
    assert curve("cnn", tmp_path / "d", {**where.default, "augment": 0.0}, [4], data) == curve(
        "cnn", tmp_path / "e", space("cnn", "sequence").default, [4], data
    )


@pytest.mark.parametrize(
    ("trials", "knobs"),
    [(29, set()), (30, {"beta1"}), (75, {"beta1", "eps"}), (299, {"beta1", "eps"}), (300, {"beta1", "eps", "beta2"})],
)
def test_more_of_adam_is_tuned_with_more_trials(trials: int, knobs: set[str]) -> None:
    """Three optimizers share the trials. The baseline stays, and what is drawn trains an optimizer of that kind."""
    learner, data = learner_named("mlp"), dataset("table")
    assert isinstance(learner, NetLearner)
    plain, space = learner.space(data), learner.space_for(data, trials)
    added = set(space.names) - set(plain.names)
    assert added == {f"optimizer.{name}.{knob}" for name in ("adam", "adamw") for knob in knobs}
    assert {**space.default, **plain.default} == space.default
    units = np.random.default_rng(trials).random((20, space.dim))
    drawn: list[Config] = [config for config in space.decode(units) if config["optimizer"] == "adamw"]
    for config in drawn:
        learner.check(config)
        made = optimizer_of(config, nn.Linear(2, 2))
        if "beta1" in knobs:
            assert made.param_groups[0]["betas"][0] == config["optimizer.adamw.beta1"]
    assert drawn


@pytest.mark.parametrize("name", ["rnn", "transformer", "cnn"])
def test_rows_of_arrays_may_be_sequences_and_the_error_says_how(tmp_path: Path, name: str) -> None:
    tokens = np.random.default_rng(0).integers(0, 9, (40, 12))
    np.savez(tmp_path / "ids.npz", x=tokens, y=tokens[:, 0] % 2)
    with pytest.raises(DataError, match=r"npz:FILE\?kind=sequence"):
        network(name).space(open_dataset(f"npz:{tmp_path / 'ids.npz'}"))
    network(name).space(open_dataset(f"npz:{tmp_path / 'ids.npz'}?kind=sequence"))
    with pytest.raises(DataError, match="use the learner 'mlp'") as named:
        network(name).space(open_dataset("sklearn:iris"))
    assert "npz" not in str(named.value)
