"""A torch module of one's own as a family: trained, checkpointed, confirmed, finalised and saved like the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from torch import nn

from tunebook.data import Dataset
from tunebook.errors import SettingError
from tunebook.learners.net import NetLearner
from tunebook.learners.spaces import batch_size, optimizers
from tunebook.space import Config, Parameter, Space, Value
from tunebook.training import SavedModel, load_model
from tunebook.training.models import Inputs, Shape, built, place_of
from tunebook.training.models.own import takes


class ModuleLearner(NetLearner):
    """What ``build`` makes of a configuration: ``build(config)`` or ``build(config, shape, outputs)``.

        learner = ModuleLearner(build, Space(width=Int(8, 256, log=True)))
        result = tune_model(learner, "sklearn:digits", steps=20, trials=40)
        model = tunebook.load(result.model, build=build)

    The module gets examples (n, *shape), preprocessed as for the other networks, and gives (n, outputs): a logit for
    each class, or one value. What ``space`` does not say about training (optimizer, batch size) is added to it, with
    the defaults and ranges of the other networks. Nothing is pickled: a saved model holds weights and the name of
    ``build``, which is given again to load it. Raises SettingError for a ``build`` that takes other arguments.
    """

    name: ClassVar[str] = "module"

    def __init__(self, build: Callable[..., nn.Module], space: Space) -> None:
        takes(build)
        if not isinstance(space, Space):
            raise SettingError("this is not a space", where="space", got=repr(space), expected="Space(...)")
        self.module, self._space = build, space
        told = [*space.names, *space.constants]
        self.names = tuple({part for n in told for part in (n.partition(".")[0], n.rpartition(".")[2])})  # type: ignore[misc]

    def space(self, dataset: Dataset) -> Space:
        """The space that was given, and how to train where it does not say."""
        added: dict[str, Parameter | Value] = {}
        if self._says_nothing_of("optimizer", "lr"):
            added["optimizer"] = optimizers()
        if self._says_nothing_of("batch_size"):
            added["batch_size"] = batch_size(dataset)
        return self._space.updated(added)

    def space_for(self, dataset: Dataset, trials: int) -> Space:
        ours = self._says_nothing_of("optimizer", "lr")
        return super().space_for(dataset, trials) if ours else self.space(dataset)

    def _says_nothing_of(self, *names: str) -> bool:
        return not {n.partition(".")[0] for n in (*self._space.names, *self._space.constants)} & {*names}

    def build(self, config: Config, shape: Shape, outputs: int) -> nn.Module:
        return built(self.module, config, Inputs.of(shape).shape, outputs)

    def _try_build(self, config: Config, dataset: Dataset) -> None:
        """Nothing: what a module of people's own does when it is built is not known, so it is built in a trial."""

    def about(self) -> Mapping[str, str]:
        return {"build": place_of(self.module)}

    def load_model(self, folder: Path) -> SavedModel:
        return load_model(folder, self.module)
