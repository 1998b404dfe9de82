"""AlexNet, SqueezeNet and ResNets: torchvision's features, name by name; and those of files that are cut or odd."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision import models

from cyclestyle.images import list_pictures, load, to_images
from cyclestyle.networks import backbones
from cyclestyle.networks.backbones import NAMES, Backbone, load_backbone, random_backbone
from cyclestyle.networks.lpips import TAPS, load_lpips

# Numbers of the layers in torchvision's `features` that give each tap
AFTER = {
    "alexnet": {"relu1": 1, "relu2": 4, "relu3": 7, "relu4": 9, "relu5": 11},
    "squeezenet": {
        "relu1": 1,
        "fire2": 3,
        "fire3": 4,
        "fire4": 6,
        "fire5": 7,
        "fire6": 9,
        "fire7": 10,
        "fire8": 11,
        "fire9": 12,
    },
}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty cache, and no folder named."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("CYCLESTYLE_WEIGHTS", raising=False)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@torch.no_grad()
def trained(kind: str) -> nn.Module:
    """torchvision's network without its classifier, weights and statistics drawn so that each of them matters."""
    builder = {"squeezenet": "squeezenet1_1"}.get(kind, kind)
    with torch.device("meta"):
        network = getattr(models, builder)(weights=None)
    network.classifier = network.fc = network.avgpool = nn.Identity()
    network, generator = network.to_empty(device="cpu").eval(), torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.normal_(0, (2 / module.weight[0].numel()) ** 0.5, generator=generator)
            if module.bias is not None:
                module.bias.normal_(0, 0.1, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            for values, low, high in ((module.weight, 0.3, 0.9), (module.running_var, 0.5, 2.0)):
                values.uniform_(low, high, generator=generator)
            for values in (module.bias, module.running_mean):
                values.normal_(0, 0.2, generator=generator)
            module.num_batches_tracked.fill_(7)
    return network


@torch.no_grad()
def their_features(network: nn.Module, kind: str, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Copies, since torchvision's ReLUs write over what hooks were given."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x, found = ((images + 1) / 2 - mean.view(3, 1, 1)) / std.view(3, 1, 1), {}
    if kind in AFTER:
        for number, layer in enumerate(network.features):
            x = layer(x)
            found |= {tap: x.clone() for tap, after in AFTER[kind].items() if after == number}
        return found
    network.maxpool.register_forward_pre_hook(lambda _, given: found.update(relu1=given[0].clone()))
    for layer in range(1, 5):
        for place, block in enumerate(getattr(network, f"layer{layer}")):
            name = f"layer{layer}.{place}"
            block.register_forward_hook(lambda _, __, given, name=name: found.update({name: given.clone()}))
    network(x)
    return found


# --- parity -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["zeros", "reflect", "replicate"])
@pytest.mark.parametrize("kind", list(NAMES))
def test_features_are_torchvisions(kind: Any, padding: Any) -> None:
    network = trained(kind)
    ours = Backbone(kind, dict(network.state_dict()), NAMES[kind], {}, padding=padding)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.padding_mode = padding
    images = noise(2, 3, 67, 80)
    theirs = their_features(network, kind, images)
    assert ours.taps == tuple(theirs)
    for tap, found in ours(images, ours.taps).items():
        assert found.shape[1] == ours.channels[tap]
        assert torch.allclose(found, theirs[tap], rtol=0, atol=1e-5 * float(theirs[tap].max())), tap


@pytest.mark.parametrize("kind", ["alexnet", "squeezenet", "resnet18"])
def test_averages_are_torchs_over_the_same_places(kind: Any) -> None:
    network, images = trained(kind), noise(1, 3, 67, 80)
    ours = Backbone(kind, dict(network.state_dict()), NAMES[kind], {}, pooling="average")
    scale = {"alexnet": 2.0, "squeezenet": 1.5, "resnet18": 1.75}[kind]

    class Mean(nn.Module):
        def __init__(self, like: nn.MaxPool2d) -> None:
            super().__init__()
            self.like = like

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            """Sums of values over how many there are: places beyond the map hold none."""
            height, width = (side % 2 == 0 and self.like.ceil_mode for side in x.shape[2:])  # one place more
            before = self.like.padding
            padding = (before, before + width, before, before + height)
            x, there = (F.pad(one, padding) for one in (x, torch.ones(1, 1, *x.shape[2:])))
            sums, counts = (F.avg_pool2d(one, 3, 2, divisor_override=1) for one in (x, there))
            return sums / counts * scale

    parent = network.features if kind in AFTER else network
    for name, module in list(parent.named_children()):
        if isinstance(module, nn.MaxPool2d):
            setattr(parent, name, Mean(module))
    theirs = their_features(network, kind, images)
    for tap, found in ours(images, ours.taps).items():
        assert found.shape == theirs[tap].shape
        assert torch.allclose(found, theirs[tap], rtol=0, atol=1e-5 * float(theirs[tap].max())), tap


# --- how deep -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["alexnet", "squeezenet", "resnet18"])
def test_weights_are_found_and_what_files_lack_is_left_out(tmp_path: Path, kind: Any) -> None:
    network, images = trained(kind), noise(1, 3, 64, 64)
    state = dict(network.state_dict())
    name = f"{ {'squeezenet': 'squeezenet1_1'}.get(kind, kind) }.pth"
    torch.save(state, tmp_path / name)
    whole = load_backbone(kind, tmp_path)
    assert whole.provenance["weights"]["file"] == name
    assert whole.name == NAMES[kind]
    # Older files do not count what training saw, and need not.
    cut = {key: tensor for key, tensor in state.items() if not key.endswith("_tracked")}
    last = {
        "alexnet": "features.8.bias",
        "squeezenet": "features.9.squeeze.bias",
        "resnet18": "layer2.1.bn2.running_var",
    }
    del cut[last[kind]]
    torch.save(cut, tmp_path / name)
    short = load_backbone(kind, tmp_path)
    assert short.taps == whole.taps[: {"alexnet": 3, "squeezenet": 5, "resnet18": 4}[kind]]
    for tap, features in short(images, short.taps).items():
        assert torch.equal(features, whole(images, (tap,))[tap])
    with pytest.raises(ValueError, match=rf"the weights in {name} end before {whole.taps[-1]}; give whole ones"):
        short(images, (whole.taps[-1],))


def test_without_its_first_layer_there_is_no_network() -> None:
    with pytest.raises(ValueError, match=r"the weights lack some of the first layer of ResNet-18, conv1"):
        Backbone("resnet18", {"conv1.weight": torch.zeros(64, 3, 7, 7)}, "x", {})  # and no batch norm


def test_nothing_deeper_than_asked_for_is_computed() -> None:
    network, used = random_backbone("squeezenet", deepest="fire5"), []
    for tap, stage in zip(network.taps, network.stages, strict=True):
        stage.register_forward_hook(lambda *_, tap=tap: used.append(tap))
    assert list(network(noise(1, 3, 32, 32), ("fire3", "relu1", "fire3"))) == ["relu1", "fire3"]
    assert used == ["relu1", "fire2", "fire3"]


def test_taps_are_those_of_the_papers() -> None:
    assert random_backbone("resnet18", deepest="layer1.0").all_taps == (
        *("relu1", "layer1.0", "layer1.1", "layer2.0", "layer2.1"),
        *("layer3.0", "layer3.1", "layer4.0", "layer4.1"),
    )
    fifty = random_backbone("resnet50", deepest="relu1").all_taps
    assert len(fifty) == 1 + 3 + 4 + 6 + 3
    assert {"layer1.2", "layer2.3", "layer3.5", "layer4.2"} < set(fifty)


# --- without weights ----------------------------------------------------------------------------------------------


def test_residual_blocks_without_training_keep_the_size_of_what_goes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    images = noise(1, 3, 64, 64)

    def size(network: Backbone) -> float:
        return float(network(images, ("layer4.2",))["layer4.2"].square().mean().sqrt())

    kept = size(random_backbone("resnet50"))
    monkeypatch.setattr(backbones, "RESIDUAL", 1.0)
    assert kept < 10 < 100 < size(random_backbone("resnet50"))


# --- real weights -------------------------------------------------------------------------------------------------


@pytest.mark.assets
@pytest.mark.skipif("CYCLESTYLE_ASSETS" not in os.environ, reason="CYCLESTYLE_ASSETS names no folder of real weights")
@pytest.mark.parametrize(("kind", "net"), [("alexnet", "alex"), ("squeezenet", "squeeze")])
def test_real_features_of_unit_length_are_those_that_lpips_compares(kind: Any, net: Any) -> None:
    folder = Path(os.environ["CYCLESTYLE_ASSETS"])
    pictures = list_pictures(folder / "data" / "monet2photo" / "testB")[:4]
    images = to_images([load(path).resize((128, 128)) for path in pictures])
    network = load_backbone(kind, folder / "weights")
    assert network.taps == network.all_taps
    assert network.name == NAMES[kind]
    found = network(images, network.taps)
    compared = [tap for tap, after in AFTER[kind].items() if after in TAPS[net]]
    for tap, theirs in zip(compared, load_lpips(net, folder / "weights").features(images), strict=True):
        assert torch.allclose(F.normalize(found[tap], dim=1), theirs, rtol=0, atol=5e-3), tap
