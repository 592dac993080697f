"""Models of transformers, real and tiny, from folders; of timm where that is installed."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tunebook.errors import CheckpointError, MissingExtraError, SettingError
from tunebook.objective import Run
from tunebook.space import Config
from tunebook.training import Part, classification, train
from tunebook.training.pretrained import pretrained
from tunebook.training.transfer import FineTuned, fine_tuned, layer_groups
from tunebook.training.weights import read_weights
from tunebook.trial import Context

TIMM = find_spec("timm") is not None


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import BertConfig, BertForSequenceClassification

    told = BertConfig(
        vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=16, num_labels=2,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(1)
    BertForSequenceClassification(told).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import ViTConfig, ViTForImageClassification

    told = ViTConfig(
        image_size=8, patch_size=4, num_channels=1, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=16, num_labels=4,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("vit")
    torch.manual_seed(2)
    ViTForImageClassification(told).save_pretrained(folder)
    return folder


def test_comes_with_its_weights_and_a_new_head(bert: Path) -> None:
    held = load_file(bert / "model.safetensors")
    model = pretrained(f"transformers:{bert}", 3)
    state = model.state_dict()
    backbone = [n for n in state if not n.startswith("classifier.")]
    assert len(backbone) == len(held) - 2 and all(torch.equal(state[n], held[n]) for n in backbone)
    assert state["classifier.weight"].shape == (3, 16)
    same_size = pretrained(f"transformers:{bert}", 2).state_dict()
    assert not torch.equal(same_size["classifier.weight"], held["classifier.weight"]), "a new head all the same"
    torch.manual_seed(7)
    first = pretrained(f"transformers:{bert}", 3).state_dict()["classifier.weight"]
    torch.manual_seed(7)
    assert torch.equal(first, pretrained(f"transformers:{bert}", 3).state_dict()["classifier.weight"])


def test_layers_of_a_transformer_are_its_groups(bert: Path, vit: Path) -> None:
    told = [[n.split(".")[:4] for n in g] for g in layer_groups(pretrained(f"transformers:{bert}", 3))]
    firsts = [".".join(g[0]) for g in told]
    assert firsts == ["classifier.weight", "bert.pooler.dense.weight", "bert.encoder.layer.1", "bert.encoder.layer.0",
                      "bert.embeddings.word_embeddings.weight"]  # fmt: skip
    images = layer_groups(pretrained(f"transformers:{vit}", 3))
    assert len(images) == 4 and images[0] == ["classifier.weight", "classifier.bias"]
    assert {n.split(".")[1] for n in images[-1]} == {"embeddings"}


def texts(n: int, seed: int) -> Part:
    """Token ids; the class is which of three ids comes first."""
    drawn = torch.Generator().manual_seed(seed)
    x = torch.randint(3, 30, (n, 10), generator=drawn)
    x[:, 0] = torch.randint(0, 3, (n,), generator=drawn)
    return Part(x, x[:, 0].clone())


def images(n: int, seed: int) -> Part:
    drawn = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (n,), generator=drawn)
    return Part(torch.randn(n, 1, 8, 8, generator=drawn) + y[:, None, None, None], y)


@pytest.mark.parametrize("kind", ["bert", "vit"])
def test_is_fine_tuned_by_the_loop(kind: str, bert: Path, vit: Path, tmp_path: Path) -> None:
    folder, data = (bert, texts) if kind == "bert" else (vit, images)

    def build(config: Config) -> nn.Module:
        return fine_tuned(pretrained(f"transformers:{folder}", 3), config)

    task = classification(build, data(192, 0), data(96, 1), epochs=6)
    config: Config = {"strategy": "gradual", "layer_decay": 0.8, "optimizer": "adamw", "lr": 0.01, "batch_size": 16}
    run = Run(0, config, 6, tmp_path, 0, Context(seed=0), metric="accuracy")
    curve = [m.metrics for m in train(task, run)]
    assert curve[-1]["accuracy"] > 0.6  # a third by chance
    assert curve[-1]["loss"] < curve[0]["loss"]
    model = build(config)
    model.load_state_dict(read_weights(tmp_path))
    assert isinstance(model, FineTuned) and model.eval()(data(5, 2).x).shape == (5, 3)


def test_what_is_not_there_is_told_and_no_network_is_asked(tmp_path: Path, bert: Path) -> None:
    with pytest.raises(CheckpointError, match=r"could not be fetched[\s\S]*download=True"):
        pretrained("transformers:nobody/no-such-model", 3)
    with pytest.raises(CheckpointError, match="cannot be read"):
        pretrained(f"transformers:{tmp_path}", 3)
    with pytest.raises(SettingError, match="LIBRARY:"):
        pretrained(str(bert), 3)
    with pytest.raises(SettingError, match="weights"):
        pretrained(f"transformers:{bert}", 3, weights="w.pt")
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text(json.dumps({"model_type": "whisper"}))
    with pytest.raises(CheckpointError, match="no form that classifies"):
        pretrained(f"transformers:{other}", 3)


def test_pickled_weights_are_not_read(tmp_path: Path, bert: Path) -> None:
    folder = tmp_path / "pickled"
    folder.mkdir()
    (folder / "config.json").write_bytes((bert / "config.json").read_bytes())
    torch.save(load_file(bert / "model.safetensors"), folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="cannot be read"):
        pretrained(f"transformers:{folder}", 3)


@pytest.mark.skipif(TIMM, reason="timm is installed")
def test_without_timm_it_says_what_to_install() -> None:
    with pytest.raises(MissingExtraError, match="timm"):
        pretrained("timm:resnet10t", 3)


@pytest.mark.skipif(not TIMM, reason="timm needs a torchvision that was built for the torch beside it")
def test_models_of_timm(tmp_path: Path) -> None:
    for name in ("resnet10t", "vit_tiny_patch16_224", "convnext_atto"):
        (tmp_path / name).mkdir()
        of_timm(name, tmp_path / name)
    with pytest.raises(CheckpointError, match="no such model"):
        pretrained("timm:resnet10tt", 3)
    with pytest.raises(CheckpointError, match=r"could not be fetched"):
        pretrained("timm:resnet10t", 3)


def of_timm(name: str, folder: Path) -> None:
    import timm

    options = {"img_size": 32, "patch_size": 8} if name.startswith("vit") else {}
    source = timm.create_model(name, num_classes=5, **options)
    path, held = folder / "model.safetensors", source.state_dict()
    save_file(held, path)
    (folder / "config.json").write_text(json.dumps({"architecture": name, "model_args": options}))
    for model in (pretrained(f"timm:{name}", 3, weights=path, options=options), pretrained(f"timm:{folder}", 3)):
        state = model.state_dict()
        head = {n for n, t in state.items() if t.shape != held[n].shape}
        assert len(head) == 2 and all(torch.equal(state[n], t) for n, t in held.items() if n not in head)
        groups = layer_groups(model)
        assert set(groups[0]) == head and len(groups) > 3
        assert sorted(n for g in groups for n in g) == sorted(n for n, _ in model.named_parameters())
        assert fine_tuned(model, {"strategy": "head"})(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
