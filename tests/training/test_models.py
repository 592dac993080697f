import itertools
import math

import pytest
import torch
from torch import nn

from tunebook.errors import DataError, SettingError
from tunebook.training.models import ACTIVATIONS, BUILDERS, capacity, cnn, learned, mlp
from tunebook.training.models.layers import NORMS


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("name", "shape"), [("mlp", (7,)), ("mlp", (2, 5)), ("cnn", (3, 8, 8)), ("cnn", (2, 40))])
def test_every_activation_builds_and_learns(name: str, shape: tuple[int, ...], activation: str, norm: str) -> None:
    torch.manual_seed(0)
    model = BUILDERS[name]({"activation": activation, "norm": norm, "dropout": 0.2}, shape, 4)
    x, y = torch.randn(16, *shape), torch.arange(16) % 4
    outputs = model(x)
    assert outputs.shape == (16, 4)
    nn.functional.cross_entropy(outputs, y).backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    kinds = {type(m) for m in model.modules()}
    assert ACTIVATIONS[activation] in kinds


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 2, 2), (3, 8, 8), (1, 28, 28), (1, 5, 31), (1, 1), (2, 3), (1, 40), (40,)]
)
def test_any_depth_fits_small_images(shape: tuple[int, ...]) -> None:
    for blocks, kernel, window, pool, head in itertools.product(
        (1, 3, 6), (1, 2, 3, 7), (1, 2, 5), ("max", "average"), ("flatten", "average")
    ):
        config = {"blocks": blocks, "kernel_size": kernel, "pool_size": window, "pool": pool, "head": head}
        model = cnn({**config, "channels": 2, "units": 0 if window == 2 else 3}, shape, 3).eval()
        assert model(torch.randn(2, *shape)).shape == (2, 3), config


def test_mlp_is_the_stack_it_says() -> None:
    model = mlp({"layers": 3, "units": 11, "activation": "tanh", "dropout": 0.3, "norm": "batch"}, (2, 3), 4)
    names = [type(m).__name__ for m in model.children()]
    assert names == ["Flatten", *["Linear", "BatchNorm1d", "Tanh", "Dropout"] * 3, "Linear"]
    assert capacity(model, (2, 3)).parameters == (6 + 2) * 11 + 2 * (11 + 2) * 11 + 12 * 4
    assert capacity(mlp({"layers": 0}, (6,), 4), (6,)).parameters == 7 * 4


def test_cnn_is_the_stack_it_says() -> None:
    config = {"blocks": 2, "channels": 8, "kernel_size": 5, "pool_size": 2, "units": 10, "dropout": 0.5}
    model = cnn(config, (3, 8, 8), 4)
    names = [type(m).__name__ for m in model.children()]
    block = ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"]
    assert names == [*block, *block, "Flatten", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    size = capacity(model, (3, 8, 8))
    convolutions = 3 * 8 * 25 + 8 * 16 * 25
    dense = (16 * 2 * 2) * 10 + 10 * 4
    assert size.parameters == convolutions + 2 * (8 + 16) + dense + 10 + 4
    assert size.flops == 2 * (3 * 8 * 25 * 64 + 8 * 16 * 25 * 16 + dense)
    counted = size.parameters + 2 * (8 + 16)  # and the running statistics
    assert size.bytes == 4 * counted + 2 * 8
    assert model.training


def test_a_sequence_is_convolved_as_by_conv1d() -> None:
    torch.manual_seed(0)
    model = cnn({"blocks": 2, "channels": 4, "norm": "none", "kernel_size": 5, "units": 0}, (3, 21), 2)
    first, second, last = (m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    x = torch.randn(6, 3, 21)
    with torch.no_grad():
        maps = x
        for layer in (first, second):
            maps = nn.functional.conv1d(maps, layer.weight.squeeze(2), layer.bias, padding=2)
            maps = nn.functional.max_pool1d(torch.relu(maps), 2)
        expected = last(maps.flatten(1))
        torch.testing.assert_close(model(x), expected)


def test_a_kernel_is_cut_only_where_it_sees_padding() -> None:
    torch.manual_seed(0)
    wide = nn.Conv2d(1, 1, 7, padding=3)
    narrow = cnn({"blocks": 1, "channels": 1, "kernel_size": 7, "norm": "none", "pool_size": 1}, (1, 2, 2), 2)[0]
    assert isinstance(narrow, nn.Conv2d)
    assert narrow.kernel_size == (3, 3)
    with torch.no_grad():
        narrow.weight.copy_(wide.weight[:, :, 2:5, 2:5])
        narrow.bias.copy_(wide.bias)  # type: ignore[union-attr, arg-type]
        x = torch.randn(4, 1, 2, 2)
        torch.testing.assert_close(narrow(x), wide(x))


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_initial_weights_keep_the_spread_of_activations(activation: str) -> None:
    torch.manual_seed(0)
    # sigmoids are not centred, so that their spread is lost in depth whatever the scale of the weights
    depth = 2 if activation == "sigmoid" else 8
    model = mlp({"layers": depth, "units": 256, "activation": activation}, (256,), 10).eval()
    x = torch.randn(200, 256)
    with torch.no_grad():
        outputs = model(x)
    # spread over the examples; torch's own first weights leave less than 0.01 of it after 8 layers of ReLU
    assert 0.1 < float(outputs.std(dim=0).mean()) < 4.0
    loss = nn.functional.cross_entropy(outputs, torch.arange(200) % 10)
    assert float(loss) < math.log(10) + 2.0
    assert all(not bool(p.any()) for name, p in model.named_parameters() if name.endswith("bias"))


def test_he_variance() -> None:
    torch.manual_seed(0)
    model = cnn({"blocks": 2, "channels": 64, "activation": "relu"}, (3, 16, 16), 10)
    second = [m for m in model.modules() if isinstance(m, nn.Conv2d)][1]
    assert float(second.weight.detach().var()) == pytest.approx(2 / (64 * 9), rel=0.05)


def test_what_was_learned_is_listed() -> None:
    model = nn.Sequential(nn.Linear(2, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[3.0, 4.0]]))
        model[0].bias.fill_(-1.0)
    weight, bias = learned(model)
    assert (weight.name, weight.layer, weight.shape, weight.count) == ("0.weight", "Linear", (1, 2), 2)
    assert (weight.mean, weight.std, weight.norm) == (3.5, 0.5, 5.0)
    assert (bias.mean, bias.std, bias.norm) == (-1.0, 0.0, 1.0)


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(SettingError, match="did you mean 'leaky_relu'"):
        mlp({"activation": "leakyrelu"}, (3,), 2)
    with pytest.raises(SettingError, match="units"):
        mlp({"units": 0}, (3,), 2)
    with pytest.raises(SettingError, match="dropout is out of range"):
        mlp({"dropout": 1.5}, (3,), 2)
    with pytest.raises(SettingError, match="unknown pool"):
        cnn({"pool": "median"}, (1, 8, 8), 2)
    with pytest.raises(DataError, match="images or sequences"):
        cnn({}, (1, 2, 3, 4), 2)
