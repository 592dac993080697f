"""Where a model starts from, which layers learn when, and at what rate."""

import copy
from collections import OrderedDict
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tunebook.data import Preprocessor
from tunebook.errors import CheckpointError, SettingError
from tunebook.objective import Run
from tunebook.space import Config, Space
from tunebook.training import Part, Task, classification, load_model, save_model, train
from tunebook.training.model_file import Card
from tunebook.training.models import cnn, mlp
from tunebook.training.optimizers import optimizer_of
from tunebook.training.transfer import (
    FineTuned,
    fine_tuned,
    fine_tuning,
    head_of,
    layer_groups,
    replace_head,
    start_from,
    started,
)
from tunebook.training.weights import read_weights
from tunebook.trial import Context


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def small(config: Config | None = None, outputs: int = 4) -> nn.Sequential:
    made = cnn({"blocks": 2, "channels": 4, "units": 8, **(config or {})}, (1, 8, 8), outputs)
    assert isinstance(made, nn.Sequential)
    return made


class Block(nn.Module):
    def __init__(self, units: int) -> None:
        super().__init__()
        self.norm, self.dense = nn.LayerNorm(units), nn.Linear(units, units)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.dense(self.norm(x))


class Timmish(nn.Module):
    """Built as timm builds its vision transformers, and with their methods for the head."""

    def __init__(self, outputs: int = 3) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(6))
        self.embed = nn.Linear(6, 6)
        self.blocks = nn.Sequential(*(Block(6) for _ in range(3)))
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, outputs)
        self.extra = nn.Linear(6, 2)  # made after the head: the last nn.Linear is another one

    def get_classifier(self) -> nn.Module:
        return self.head

    def forward(self, x: Tensor) -> Any:
        made: Any = self.head(self.norm(self.blocks(self.embed(x) + self.position)))
        return made


def test_the_head_is_what_makes_the_outputs() -> None:
    model = small()
    name = head_of(model)
    assert model.get_submodule(name) is model[-1]
    assert head_of(Timmish()) == "head"
    with pytest.raises(SettingError, match="no head"):
        head_of(nn.Sequential(nn.Conv1d(1, 1, 1)))


def test_a_new_head_has_its_size_and_nothing_of_the_old() -> None:
    model, inputs = small().eval(), torch.randn(3, 1, 8, 8)
    before = {n: t.clone() for n, t in model.state_dict().items()}
    assert replace_head(model, 7) is model
    assert model(inputs).shape == (3, 7)
    name = head_of(model)
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items() if not n.startswith(name + "."))
    bound = (6 / (8 + 7)) ** 0.5  # Glorot and Bengio 2010, eq. 16
    assert 0.5 * bound < float(model[-1].weight.detach().abs().max()) <= bound and not model[-1].bias.any()
    torch.manual_seed(5)
    first = replace_head(small(), 7).state_dict()[f"{name}.weight"]
    torch.manual_seed(5)
    assert torch.equal(first, replace_head(small(), 7).state_dict()[f"{name}.weight"])
    assert replace_head(Timmish(), 9)(torch.zeros(2, 6)).shape == (2, 9)
    with pytest.raises(SettingError, match="no such layer"):
        replace_head(small(), 7, head="clasifier")
    with pytest.raises(SettingError, match=r"is a torch.nn.Linear"):
        replace_head(Timmish(), 7, head="blocks")


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.model."])
def test_starts_from_all_but_the_head(prefix: str) -> None:
    source, model = small(outputs=9), small()
    with torch.no_grad():
        source.train()(torch.randn(20, 1, 8, 8) * 3)  # batch statistics are among what is taken over
    head = head_of(model)
    own = {n: t.clone() for n, t in model.state_dict().items() if n.startswith(head + ".")}
    named = start_from(model, {prefix + n: t for n, t in source.state_dict().items()})
    now = model.state_dict()
    assert set(named) == set(now) - set(own)
    assert all(torch.equal(now[n], source.state_dict()[n]) for n in named)
    assert all(torch.equal(now[n], t) for n, t in own.items())


def test_weights_of_another_model_change_nothing() -> None:
    model = small()
    before = {n: t.clone() for n, t in model.state_dict().items()}
    with pytest.raises(CheckpointError, match="tensors do not fit"):
        start_from(model, small({"channels": 8}).state_dict())
    with pytest.raises(CheckpointError, match="is missing"):
        start_from(model, OrderedDict(x=torch.ones(1)))
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())


def test_groups_go_from_the_head_down_and_name_everything_once() -> None:
    for model in (small(), small({"batch_norm": False}), Timmish(), mlp({"layers": 3}, (6,), 2)):
        groups = layer_groups(model)
        named = [n for g in groups for n in g]
        assert sorted(named) == sorted(n for n, _ in model.named_parameters())
        assert groups[0] == [n for n, _ in model.named_parameters() if n.startswith(head_of(model) + ".")]
    assert layer_groups(Timmish())[1:] == [
        ["extra.weight", "extra.bias"],
        [*(f"blocks.2.{n}" for n, _ in Block(6).named_parameters()), "norm.weight", "norm.bias"],
        [f"blocks.1.{n}" for n, _ in Block(6).named_parameters()],
        [f"blocks.0.{n}" for n, _ in Block(6).named_parameters()],
        ["position", "embed.weight", "embed.bias"],
    ]
    assert [len(g) for g in layer_groups(small())] == [
        2,
        2,
        3,
        3,
    ]  # a batch norm with its convolution, which has no bias


def learning(model: nn.Module) -> set[str]:
    return {n for n, p in model.named_parameters() if p.requires_grad}


def test_what_learns_in_which_epoch() -> None:
    everything = {n for n, _ in small().named_parameters()}
    groups = layer_groups(small())
    full, head = fine_tuned(small(), {}), fine_tuned(small(), {"strategy": "head"})
    gradual = fine_tuned(small(), {"strategy": "gradual", "strategy.gradual.unfreeze_every": 2})
    assert isinstance(full, FineTuned) and isinstance(head, FineTuned) and isinstance(gradual, FineTuned)
    for epoch in (9, 1, 4, 7, 2, 3):  # in any order: a resumed run is told only the epochs that it trains
        for model in (full, head, gradual):
            model.train().begin_epoch(epoch, 9)
        assert learning(full) == everything
        assert learning(head) == set(groups[0])
        told = {1: 1, 2: 1, 3: 2, 4: 2, 7: 4, 9: 4}[epoch]
        assert learning(gradual) == {n for g in groups[:told] for n in g}


def test_rates_fall_by_a_factor_from_layer_to_layer() -> None:
    model = fine_tuned(small(), {"layer_decay": 0.5})
    optimizer = optimizer_of({"optimizer": "sgd", "lr": 0.8}, model)
    names = {id(p): n for n, p in model.named_parameters()}
    rates = {names[id(p)]: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for depth, group in enumerate(layer_groups(small())):
        assert {rates.pop(n) for n in group} == {0.8 * 0.5**depth}
    assert not rates
    head = optimizer_of({"lr": 0.8}, fine_tuned(small(), {"strategy": "head"}))
    assert sum(p.numel() for g in head.param_groups for p in g["params"]) == 8 * 4 + 4


def test_it_stays_the_model_that_it_was() -> None:
    model = small()
    names, kind = list(model.state_dict()), type(model)
    tuned = fine_tuned(model, {"strategy": "head"})
    assert tuned is model and isinstance(tuned, kind) and list(tuned.state_dict()) == names
    again = copy.deepcopy(fine_tuned(tuned, {"strategy": "full"}))
    assert learning(again) == {n for n, _ in model.named_parameters()}
    small().load_state_dict(again.state_dict())


@pytest.mark.parametrize(
    ("config", "where"),
    [({"strategy": "frozen"}, "strategy"), ({"layer_decay": 1.5}, "layer_decay"), ({"start": 3}, "start"),
     ({"strategy": "gradual", "unfreeze_every": 0}, "unfreeze_every")],
)  # fmt: skip
def test_settings_that_cannot_be(config: Config, where: str) -> None:
    with pytest.raises(SettingError, match=where):
        started(small(), config) if "start" in config else fine_tuned(small(), config)


# through the loop


def part(n: int, seed: int) -> Part:
    """Images whose brightest quarter is their class."""
    drawn = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 4, (n,), generator=drawn)
    x = torch.randn(n, 1, 8, 8, generator=drawn)
    for i, code in enumerate(y.tolist()):
        x[i, :, 4 * (code // 2) : 4 * (code // 2) + 4, 4 * (code % 2) : 4 * (code % 2) + 4] += 0.8
    return Part(x, y)


def task(epochs: int = 4) -> Task:
    return classification(lambda c: started(small(), c), part(80, 0), part(60, 1), epochs=epochs)


def run_in(folder: Path, config: Config, until: int = 4) -> Run:
    return Run(0, config, until, folder, 3, Context(seed=3), metric="accuracy")


def source(folder: Path) -> tuple[Path, dict[str, Tensor]]:
    model = small(outputs=6)
    with torch.no_grad():
        model.train()(torch.randn(30, 1, 8, 8))
    path = folder / "source.safetensors"
    save_file({n: t.contiguous() for n, t in model.state_dict().items()}, path)
    return path, dict(model.state_dict())


@pytest.mark.parametrize("further", [{}, {"optimizer": "sgd"}, {"ema": 0.9}, {"swa": 0.5}, {"l1": 0.1}])
def test_the_frozen_part_does_not_move(tmp_path: Path, further: dict[str, Any]) -> None:
    path, weights = source(tmp_path)
    config: Config = {"start": str(path), "strategy": "head", "lr": 0.1, "weight_decay": 0.1, **further}
    made = replace(task(), goal=replace(task().goal, pick="last"))
    list(train(made, run_in(tmp_path / "run", config)))
    after, head = read_weights(tmp_path / "run"), head_of(small())
    moved = [n for n, t in after.items() if not n.startswith(head + ".") and not torch.equal(t, weights[n])]
    assert moved == [], "weights and batch statistics"
    full = {**config, "strategy": "full"}
    list(train(made, run_in(tmp_path / "full", full)))
    below = {n: t for n, t in read_weights(tmp_path / "full").items() if not n.startswith(head + ".")}
    still = [n for n, t in below.items() if t.is_floating_point() and torch.equal(t, weights[n])]
    assert still == []


def test_layers_begin_to_move_when_they_thaw(tmp_path: Path) -> None:
    path, weights = source(tmp_path)
    config: Config = {"start": str(path), "strategy": "gradual", "lr": 0.01}
    groups = layer_groups(small())
    for until in (1, 2, 4):
        made = replace(task(), goal=replace(task().goal, pick="last"))
        list(train(made, run_in(tmp_path / str(until), config, until)))
        after = read_weights(tmp_path / str(until))
        moved = {n for g in groups[1:] for n in g if not torch.equal(after[n], weights[n])}
        assert moved == {n for g in groups[1:until] for n in g}


def test_a_broken_run_is_as_an_unbroken_one(tmp_path: Path) -> None:
    path, _ = source(tmp_path)
    config: Config = {"start": str(path), "strategy": "gradual", "layer_decay": 0.5, "dropout": 0.2, "lr": 0.02}
    unbroken = [dict(m.metrics) for m in train(task(), run_in(tmp_path / "a", config))]
    for until in (1, 2, 3):
        stream = train(task(), run_in(tmp_path / "b", config))
        assert [dict(m.metrics) for m in islice(stream, until)] == unbroken[:until]
        stream.close()
    assert [dict(m.metrics) for m in train(task(), run_in(tmp_path / "b", config))] == unbroken


def test_a_saved_model_needs_no_start_any_more(tmp_path: Path) -> None:
    path, _ = source(tmp_path)
    config: Config = {"blocks": 2, "channels": 4, "units": 8, "start": str(path), "strategy": "head"}
    list(train(task(2), run_in(tmp_path / "run", config, 2)))
    card = Card("cnn", config, (1, 8, 8), tuple("abcd"), Preprocessor("image", (1, 8, 8), (), (0.0,), (1.0,)))
    save_model(tmp_path / "model", card, read_weights(tmp_path / "run"))
    path.unlink()
    loaded = load_model(tmp_path / "model")
    assert loaded.predict(part(5, 2).x.numpy()).shape == (5,)
    assert not isinstance(loaded.network, FineTuned)


def test_a_piece_of_a_space(tmp_path: Path) -> None:
    path, _ = source(tmp_path)
    space = Space(lr=0.01, **fine_tuning("", str(path)))
    assert space.default == {"lr": 0.01, "start": "", "strategy": "full", "layer_decay": 1.0}
    configs = space.decode(np.random.default_rng(0).random((8, space.dim)))
    assert {c["start"] for c in configs} == {"", str(path)} and len({c["strategy"] for c in configs}) == 3
    for i, config in enumerate(configs):
        assert len(list(train(task(2), run_in(tmp_path / str(i), config, 2)))) == 2
