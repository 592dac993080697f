"""Each optimizer against its update rule written out in numpy, float64."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler

from tunebook.errors import SettingError
from tunebook.space import Config
from tunebook.training.optimizers import OPTIMIZERS, clip, optimizer_of, settings_of_torch, update_of

Array = np.ndarray
STEPS = 12


def gradients(w: Array) -> Array:
    """Of a bowl that is steep in some directions, around (1, -2, 3, ...)."""
    return np.linspace(0.5, 4.0, w.size).reshape(w.shape) * (w - np.arange(1, w.size + 1).reshape(w.shape) * 0.3)


def sgd(w: Array, told: Config) -> Iterator[Array]:
    usual = 0.0 if told["optimizer"] == "sgd" else 0.9
    lr, mu, velocity, t = float(told["lr"]), float(told.get("momentum", usual)), np.zeros_like(w), 0
    told = {"nesterov": told["optimizer"] == "nesterov", **told}
    dampening = 0.0 if told["nesterov"] else float(told.get("dampening", 0.0))
    while True:
        t += 1
        g = gradients(w) + float(told.get("weight_decay", 0.0)) * w
        velocity = mu * velocity + (1 - (dampening if t > 1 else 0.0)) * g
        w = w - lr * (g + mu * velocity if told.get("nesterov") else velocity)
        yield w


def adam(w: Array, told: Config) -> Iterator[Array]:
    lr, decay = float(told["lr"]), float(told.get("weight_decay", 0.0))
    b1, b2, eps = float(told.get("beta1", 0.9)), float(told.get("beta2", 0.999)), float(told.get("eps", 1e-8))
    m, v, t = np.zeros_like(w), np.zeros_like(w), 0
    while True:
        t += 1
        decoupled = told["optimizer"] == "adamw"
        g = gradients(w) + (0 if decoupled else decay * w)
        w = w * (1 - lr * decay) if decoupled else w
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        w = w - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        yield w


def amsgrad(w: Array, told: Config) -> Iterator[Array]:
    """Reddi, Kale and Kumar 2018, algorithm 2, with Adam's correction of the bias."""
    m, v, largest, t = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w), 0
    while True:
        t += 1
        g = gradients(w)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        largest = np.maximum(largest, v)
        w = w - float(told["lr"]) * (m / (1 - 0.9**t)) / (np.sqrt(largest / (1 - 0.999**t)) + 1e-8)
        yield w


def nadam(w: Array, told: Config) -> Iterator[Array]:
    """Dozat 2016, algorithm 2, with the momentum warmed up as there: mu_t = b1 (1 - 0.96^(t psi) / 2)."""
    lr, b1, b2 = float(told["lr"]), float(told.get("beta1", 0.9)), float(told.get("beta2", 0.999))
    psi, eps, decay = float(told.get("momentum_decay", 4e-3)), float(told.get("eps", 1e-8)), told.get("weight_decay", 0)
    m, v, t, product = np.zeros_like(w), np.zeros_like(w), 0, 1.0
    while True:
        t += 1
        now, then = (b1 * (1 - 0.5 * 0.96 ** (s * psi)) for s in (t, t + 1))
        product *= now
        g = gradients(w) + float(decay or 0) * w
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        ahead = then * m / (1 - product * then) + (1 - now) * g / (1 - product)
        w = w - lr * ahead / (np.sqrt(v / (1 - b2**t)) + eps)
        yield w


def rmsprop(w: Array, told: Config) -> Iterator[Array]:
    lr, alpha, mu = float(told["lr"]), float(told.get("alpha", 0.99)), float(told.get("momentum", 0.0))
    square, mean, velocity = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    while True:
        g = gradients(w) + float(told.get("weight_decay", 0.0)) * w
        square, mean = alpha * square + (1 - alpha) * g**2, alpha * mean + (1 - alpha) * g
        spread = square - mean**2 if told.get("centered") else square
        velocity = mu * velocity + g / (np.sqrt(spread) + float(told.get("eps", 1e-8)))
        w = w - lr * velocity
        yield w


def adagrad(w: Array, told: Config) -> Iterator[Array]:
    total, t = np.full_like(w, float(told.get("initial_accumulator_value", 0.0))), 0
    while True:
        g = gradients(w) + float(told.get("weight_decay", 0.0)) * w
        total = total + g**2
        lr = float(told["lr"]) / (1 + t * float(told.get("lr_decay", 0.0)))
        w, t = w - lr * g / (np.sqrt(total) + float(told.get("eps", 1e-10))), t + 1
        yield w


CASES: list[tuple[Callable[[Array, Config], Iterator[Array]], Config]] = [
    (sgd, {"optimizer": "sgd", "lr": 0.05}),
    (sgd, {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.1}),
    (sgd, {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True}),
    (sgd, {"optimizer": "sgd", "lr": 0.05, "momentum": 0.0, "nesterov": True}),
    (sgd, {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "dampening": 0.5}),
    (sgd, {"optimizer": "momentum", "lr": 0.05}),
    (sgd, {"optimizer": "nesterov", "lr": 0.05, "dampening": 0.5}),
    (adam, {"optimizer": "adam", "lr": 0.1}),
    (adam, {"optimizer": "adam", "lr": 0.1, "beta1": 0.8, "beta2": 0.9, "eps": 1e-3, "weight_decay": 0.1}),
    (adam, {"optimizer": "adamw", "lr": 0.1, "weight_decay": 0.3}),
    (amsgrad, {"optimizer": "adam", "lr": 0.1, "amsgrad": True}),
    (nadam, {"optimizer": "nadam", "lr": 0.1}),
    (nadam, {"optimizer": "nadam", "lr": 0.1, "beta1": 0.8, "beta2": 0.9, "eps": 1e-3, "momentum_decay": 0.1}),
    (nadam, {"optimizer": "nadam", "lr": 0.05, "weight_decay": 0.1}),
    (rmsprop, {"optimizer": "rmsprop", "lr": 0.05, "alpha": 0.9}),
    (rmsprop, {"optimizer": "rmsprop", "lr": 0.05, "alpha": 0.9, "centered": True, "eps": 1e-2}),
    (rmsprop, {"optimizer": "rmsprop", "lr": 0.05, "momentum": 0.5, "weight_decay": 0.1}),
    (adagrad, {"optimizer": "adagrad", "lr": 0.5, "weight_decay": 0.1}),
    (adagrad, {"optimizer": "adagrad", "lr": 0.5, "lr_decay": 0.2, "initial_accumulator_value": 0.3, "eps": 0.1}),
]


@pytest.mark.parametrize(("rule", "config"), CASES, ids=lambda v: str(v) if isinstance(v, dict) else "")
def test_follows_its_rule(rule: Callable[[Array, Config], Iterator[Array]], config: Config) -> None:
    start = np.linspace(-1.0, 1.0, 6).reshape(2, 3)
    model = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.from_numpy(start))
    optimizer, reference = optimizer_of(config, model), rule(start, config)
    for _ in range(STEPS):
        model.weight.grad = torch.from_numpy(gradients(model.weight.detach().double().numpy())).float()
        optimizer.step()
        np.testing.assert_allclose(model.weight.detach().numpy(), next(reference), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_weight_decay_spares_biases_and_norms(name: str) -> None:
    def after(decay: float, everywhere: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        for p in model.parameters():
            nn.init.ones_(p)
        told = {"optimizer": name, f"optimizer.{name}.lr": 0.1, f"optimizer.{name}.weight_decay": decay}
        optimizer = optimizer_of({**told, "decay_biases": everywhere}, model)
        for _ in range(2):
            for p in model.parameters():
                p.grad = torch.linspace(-1, 1, p.numel()).reshape(p.shape)
            optimizer.step()
        return [p.detach().clone() for p in model.parameters()]

    free, decayed, everywhere = after(0.0, False), after(0.5, False), after(0.5, True)
    same = [bool(torch.equal(a, b)) for a, b in zip(free, decayed, strict=True)]
    assert same == [False, True, True, True]
    assert not any(torch.equal(a, b) for a, b in zip(free, everywhere, strict=True))


def test_settings_are_read_below_the_choice_or_beside_it() -> None:
    model = nn.Linear(2, 2)
    nested = optimizer_of({"optimizer": "sgd", "optimizer.sgd.lr": 0.3, "optimizer.adam.lr": 0.7}, model)
    beside = optimizer_of({"optimizer": "sgd", "lr": 0.3}, model)
    assert [g["lr"] for g in nested.param_groups] == [g["lr"] for g in beside.param_groups] == [0.3]


def test_frozen_parameters_are_left_out() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    assert sum(len(g["params"]) for g in optimizer_of({}, model).param_groups) == 2


def adadelta(w: Array, told: Config) -> Iterator[Array]:
    """Zeiler 2012, arXiv:1212.5701, algorithm 1."""
    rho, eps, square, moved = float(told.get("rho", 0.9)), 1e-6, np.zeros_like(w), np.zeros_like(w)
    while True:
        g = gradients(w)
        square = rho * square + (1 - rho) * g**2
        by = np.sqrt((moved + eps) / (square + eps)) * g
        moved = rho * moved + (1 - rho) * by**2
        w = w - float(told["lr"]) * by
        yield w


def adamax(w: Array, told: Config) -> Iterator[Array]:
    """Kingma and Ba 2015, algorithm 2."""
    b1, b2, m, u, t = float(told.get("beta1", 0.9)), 0.999, np.zeros_like(w), np.zeros_like(w), 0
    while True:
        t += 1
        g = gradients(w)
        m, u = b1 * m + (1 - b1) * g, np.maximum(b2 * u, np.abs(g) + 1e-8)
        w = w - float(told["lr"]) / (1 - b1**t) * m / u
        yield w


@pytest.mark.parametrize(
    ("rule", "config"),
    [
        (adadelta, {"optimizer": "torch:Adadelta", "lr": 1.0}),
        (adadelta, {"optimizer": "torch:Adadelta", "optimizer.torch:Adadelta.lr": 0.5, "lr": 0.5, "rho": 0.8}),
        (adamax, {"optimizer": "torch:Adamax", "lr": 0.1}),
        (adamax, {"optimizer": "torch:Adamax", "lr": 0.1, "beta1": 0.7}),
    ],
)
def test_torchs_own_by_name_follow_their_rules(
    rule: Callable[[Array, Config], Iterator[Array]], config: Config
) -> None:
    test_follows_its_rule(rule, config)


def test_torchs_own_are_checked_against_their_signature() -> None:
    model = nn.Linear(2, 2)
    made = optimizer_of({"optimizer": "torch:RAdam", "optimizer.torch:RAdam.beta2": 0.99, "weight_decay": 0.1}, model)
    assert type(made) is torch.optim.RAdam
    assert [(g["lr"], g["betas"], g["weight_decay"]) for g in made.param_groups] == [
        (1e-3, (0.9, 0.99), 0.1),
        (1e-3, (0.9, 0.99), 0.0),
    ]
    assert settings_of_torch("torch:Muon")["ns_steps"] == 5
    with pytest.raises(SettingError, match="did you mean 'torch:RAdam'"):
        optimizer_of({"optimizer": "torch:Radam"}, model)
    with pytest.raises(SettingError, match="unknown optimizer"):
        optimizer_of({"optimizer": "torch:LBFGS"}, model)
    with pytest.raises(SettingError, match="no such setting"):
        optimizer_of({"optimizer": "torch:RAdam", "optimizer.torch:RAdam.rho": 0.5}, model)
    with pytest.raises(SettingError, match=r"torch refuses the optimizer: .*2D"):
        optimizer_of({"optimizer": "torch:Muon"}, model)
    with pytest.raises(SettingError, match="nothing to train"):
        optimizer_of({}, nn.Linear(2, 2).requires_grad_(False))


class Rated(nn.Sequential):
    """The first layer learns at a tenth of the rate, and is frozen."""

    def __init__(self, *groups: dict[str, object]) -> None:
        super().__init__(nn.Linear(2, 2), nn.Linear(2, 2))
        self[0].requires_grad_(False)
        self.groups = list(groups) or [
            {"params": self[0].parameters(), "lr_scale": 0.1}, {"params": self[1].parameters()}
        ]  # fmt: skip

    def parameter_groups(self, config: Config) -> list[dict[str, object]]:
        return self.groups


def test_a_model_says_what_learns_at_what_rate() -> None:
    model = Rated()
    groups = optimizer_of({"optimizer": "sgd", "lr": 0.5, "weight_decay": 0.2}, model).param_groups
    assert [(g["lr"], g["weight_decay"], g["params"]) for g in groups] == [
        (0.05, 0.2, [model[0].weight]),
        (0.05, 0.0, [model[0].bias]),
        (0.5, 0.2, [model[1].weight]),
        (0.5, 0.0, [model[1].bias]),
    ]


def test_groups_that_cannot_be_are_named() -> None:
    weight = nn.Parameter(torch.zeros(2, 2))
    with pytest.raises(SettingError, match="not the model's"):
        optimizer_of({}, Rated({"params": [weight]}))
    model = Rated()
    model.groups = [{"params": [model[1].weight, model[1].weight]}]
    with pytest.raises(SettingError, match="a parameter twice"):
        optimizer_of({}, model)
    model.groups = [{"params": [model[1].weight], "lr_scale": -1.0}]
    with pytest.raises(SettingError, match="lr_scale is out of range"):
        optimizer_of({}, model)


def test_what_cannot_be_is_named() -> None:
    model = nn.Linear(2, 2)
    with pytest.raises(SettingError, match="did you mean 'adamw'"):
        optimizer_of({"optimizer": "adamww"}, model)
    with pytest.raises(SettingError, match="lr is out of range"):
        optimizer_of({"optimizer": "sgd", "lr": -1.0}, model)
    with pytest.raises(SettingError, match="lr is out of range"):
        optimizer_of({"optimizer": "sgd", "lr": "1e-3"}, model)
    with pytest.raises(SettingError, match="true or false"):
        optimizer_of({"optimizer": "sgd", "nesterov": 1}, model)


def test_clipping_scales_all_gradients_together() -> None:
    rng = np.random.default_rng(0)
    given = [rng.normal(size=(3, 4)), rng.normal(size=5)]
    norm = np.sqrt(sum((g**2).sum() for g in given))
    for largest in (norm / 3, norm * 2):
        tensors = [nn.Parameter(torch.zeros(g.shape, dtype=torch.float64)) for g in given]
        for tensor, g in zip(tensors, given, strict=True):
            tensor.grad = torch.from_numpy(g.copy())
        assert float(clip(tensors, largest)) == pytest.approx(norm)
        for tensor, g in zip(tensors, given, strict=True):
            assert tensor.grad is not None
            np.testing.assert_allclose(tensor.grad.numpy(), g * min(1.0, largest / norm), rtol=1e-5)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_updates_called_directly_are_those_of_the_optimizer(name: str) -> None:
    """Against ``Optimizer.step`` bit for bit: with decay, changing rates, and a parameter left out at times."""
    config = {"optimizer": name, "lr": 0.01, "weight_decay": 0.1}
    models = [nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    theirs, ours = (optimizer_of(config, m) for m in models)
    update = update_of(ours, GradScaler("cpu", enabled=False))
    rng = torch.Generator().manual_seed(0)
    for step in range(12):
        drawn = [torch.randn(p.shape, generator=rng) for p in models[0].parameters()]
        for model in models:
            for k, (p, g) in enumerate(zip(model.parameters(), drawn, strict=True)):
                p.grad = None if step in (0, 5) and k == 1 else g.clone()
        for group in (*theirs.param_groups, *ours.param_groups):
            group["lr"] = 0.01 / (1 + step)
        theirs.step()
        update()
        for p, q in zip(models[0].parameters(), models[1].parameters(), strict=True):
            assert torch.equal(p, q), f"step {step}"
