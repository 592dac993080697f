"""A space whose default cannot be trained is refused before anything is run."""

import pytest
import torch

from tunebook.errors import TunebookError
from tunebook.learners import ModuleLearner
from tunebook.space import Choice, Float, Space
from tunebook.subject import model_subject

ADAMX = {"type": "choice", "options": ["sgd", "adamx"]}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"dropuot": 0.3}, "did you mean 'dropout'"),
        ({"ema": 2.0}, "got 2.0; expected 0 to 1"),
        ({"optimizer": "adamx"}, "got 'adamx'; did you mean 'adam'"),
        ({"optimizer": ADAMX}, "got 'adamx'; did you mean 'adam'"),
        ({"optimizer.adamw.weight_decay": -1.0}, "weight_decay is out of range"),
        ({"mask": 0.2}, "mask is no augmentation of this kind of data"),
        ({"activation": "relux"}, "did you mean 'relu'"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"loss": "mse"}, "unknown loss"),
        ({"lr": 0.1}, '"optimizer.adam.lr" = ...'),
    ],
)
def test_what_cannot_be_is_refused(changes, says):
    with pytest.raises(TunebookError) as caught:
        model_subject("cnn", "sklearn:digits", None, changes, 30)
    assert says in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="fp16 is for graphics cards")
def test_fp16_on_a_cpu_is_refused():
    with pytest.raises(TunebookError, match="fp16 on a CPU"):
        model_subject("mlp", "sklearn:iris", None, {"precision": "fp16"}, 30)


@pytest.mark.parametrize(
    "changes",
    [{"optimizer": "rmsprop", "lr": 0.1}, {"optimizer": "torch:RAdam", "lr": 0.1, "beta1": 0.8}, {"flip": 0.5}],
)
def test_what_can_be_is_not(changes):
    assert changes.items() <= model_subject("cnn", "sklearn:digits", None, changes, 30)[1].constants.items()


@pytest.mark.parametrize(
    ("family", "data"),
    [("mlp", "sklearn:diabetes"), ("rnn", "mnist1d"), ("transformer", "sklearn:digits"), ("transformer", "mnist1d")],
)
def test_the_default_space_of_a_family_is_sound(family, data):
    model_subject(family, data, None, None, 200)


def test_the_random_numbers_stay_as_they_are():
    before = torch.random.get_rng_state()
    model_subject("mlp", "sklearn:iris", None, None, 30)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_module_of_ones_own_is_checked_and_not_built():
    def build(config, shape, outputs):
        raise AssertionError("built")

    learner = ModuleLearner(build, Space(lr=Float(0.001, 0.1), optimizer="adam"))
    assert model_subject(learner, "sklearn:iris", None, None, 30)[1].names == ("lr",)
    with pytest.raises(TunebookError, match="did you mean 'adam'"):
        model_subject(ModuleLearner(build, Space(optimizer=Choice(["sgd", "adamx"]))), "sklearn:iris", None, None, 9)
