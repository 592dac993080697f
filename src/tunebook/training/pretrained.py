"""Pretrained models of transformers and timm, from a folder, or by name where a network allows.

    def build(config):
        return fine_tuned(pretrained("transformers:models/bert-tiny", outputs=3), config)

Weights come from safetensors or are read with ``weights_only``; code that a model repository ships is never run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from tunebook.errors import CheckpointError, MissingExtraError, SettingError, nearest
from tunebook.training.transfer import replace_head, start_from
from tunebook.training.weights import read_weights


def pretrained(
    source: str, outputs: int, *, weights: Path | str = "", download: bool = False, options: Mapping[str, Any] = {}
) -> nn.Module:
    """A pretrained model with a new head of so many outputs, freshly drawn from torch's generator.

    source     transformers:FOLDER   as ``save_pretrained`` writes it: a model that classifies images or texts
               timm:FOLDER           as timm's ``save_for_hf`` writes it
               timm:NAME             an architecture of timm; ``weights`` names the file or folder of its weights
               transformers:NAME     a model of the Hugging Face hub, as timm:NAME without weights is
    download   whether a name may be looked up on the network; else only what was downloaded before is found
    options    more for the model's configuration, such as ``{"in_chans": 1}``

    Raises MissingExtraError without the library, CheckpointError for what is not there or does not fit, SettingError
    for another source.
    """
    library, _, name = source.partition(":")
    if library not in LIBRARIES or not name:
        raise SettingError(
            "a pretrained model is named as LIBRARY:FOLDER or LIBRARY:NAME",
            where="source",
            got=repr(source),
            expected=nearest(library, LIBRARIES),
        )
    if weights and library != "timm":
        raise SettingError("only timm's models take their weights from elsewhere", where="weights", got=str(weights))
    if Path(name).is_dir() and weights:
        raise SettingError("a folder has its own weights", where="weights", got=str(weights))
    return LIBRARIES[library](name, outputs, weights, download, options)


def _of_transformers(
    name: str, outputs: int, weights: Path | str, download: bool, options: Mapping[str, Any]
) -> nn.Module:
    try:
        import transformers  # noqa: PLC0415  (seconds, and optional)
    except ImportError as error:
        raise MissingExtraError.of("transformers", "huggingface", "a pretrained model") from error
    local = {"local_files_only": not download or Path(name).is_dir()}
    with _explained(name, download), _quiet(transformers.utils.logging):
        config = transformers.AutoConfig.from_pretrained(name, **options, **local)
        if type(config) in transformers.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING:
            kind: Any = transformers.AutoModelForImageClassification
        elif type(config) in transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
            kind = transformers.AutoModelForSequenceClassification
        else:
            raise CheckpointError(
                "the model has no form that classifies images or texts", where=name, got=type(config).__name__
            )
        model: nn.Module = kind.from_pretrained(name, config=config, use_safetensors=True, **local)
    model.config.num_labels = outputs  # type: ignore[union-attr]
    return replace_head(model, outputs)


def _of_timm(name: str, outputs: int, weights: Path | str, download: bool, options: Mapping[str, Any]) -> nn.Module:
    try:
        import timm  # noqa: PLC0415
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision that was built for another torch
        raise MissingExtraError(
            "a pretrained model needs timm, which cannot be imported",
            got=str(error).partition("\n")[0],
            fix="pip install timm, and the torchvision that was built for this torch",
            code="ENV-103",
        ) from error
    told: dict[str, Any] = dict(options)
    if Path(name).is_dir():
        weights, (name, ours) = name, _card_of_timm(Path(name))
        told = {**ours, **told}
    if not timm.is_model(name):
        raise CheckpointError("timm has no such model", where=name, fix=nearest(name, timm.list_models()))
    model: nn.Module = timm.create_model(name, pretrained=False, num_classes=outputs, **told)
    if not weights:
        weights = _downloaded(model, name, download)
    replace_head(model, outputs)
    start_from(model, read_weights(weights))
    return model


def _card_of_timm(folder: Path) -> tuple[str, dict[str, Any]]:
    """The architecture and its arguments, as timm wrote them beside the weights."""
    try:
        told = json.loads((folder / "config.json").read_bytes())
        return str(told["architecture"]), dict(told.get("model_args") or {})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            "this is not a model that timm saved", where=str(folder), expected="config.json with an architecture"
        ) from error


def _downloaded(model: Any, name: str, download: bool) -> str:
    """The file of the weights that timm's authors published for a model; safetensors, so not timm's own loader."""
    repository = model.pretrained_cfg.get("hf_hub_id")
    if not repository:
        raise CheckpointError(
            "timm publishes no weights for this model", where=name, fix="give a file of weights, or a tag: NAME.TAG"
        )
    import huggingface_hub  # noqa: PLC0415  (timm needs it)

    if repository == "timm/":
        repository += f"{model.pretrained_cfg['architecture']}.{model.pretrained_cfg['tag']}"
    with _explained(name, download):
        path: str = huggingface_hub.hf_hub_download(repository, "model.safetensors", local_files_only=not download)
        return path


@contextmanager
def _explained(name: str, download: bool) -> Iterator[None]:
    """What a hub's client raises, in words that say what to do."""
    try:
        yield
    except (OSError, ValueError) as error:
        away = not Path(name).is_dir()
        raise CheckpointError(
            "the pretrained model is not here and could not be fetched"
            if away
            else "the pretrained model in this folder cannot be read",
            where=name,
            got=str(error).partition("\n")[0][:200],
            expected="a folder with config.json and model.safetensors",
            fix="name a folder, or ask with download=True where a network allows" if away and not download else "",
        ) from error


@contextmanager
def _quiet(logging: Any) -> Iterator[None]:
    """No progress bars and no reports of a new head: a trial of many loads a model each."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


Loader = Callable[[str, int, Path | str, bool, Mapping[str, Any]], nn.Module]
LIBRARIES: Mapping[str, Loader] = {"transformers": _of_transformers, "timm": _of_timm}
