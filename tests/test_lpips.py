"""LPIPS: the authors' distances, to the last digits; and what every distance must do."""

import json
import os
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torchvision import models

from cyclestyle.images import list_pictures, load, to_images
from cyclestyle.networks.lpips import BUILDERS, CHANNELS, KINDS, LEAST, TAPS, Lpips, load_lpips, random_lpips

NETS = ["alex", "squeeze", "vgg"]
FILES = {"alex": "alexnet-owt-7be5be79.pth", "squeeze": "squeezenet1_1-b8a52dc0.pth", "vgg": "vgg16-397923af.pth"}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("offline")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("CYCLESTYLE_WEIGHTS", raising=False)
    monkeypatch.setattr("cyclestyle.networks.weights._fetch", refuse)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def pictures(count: int = 4, side: int = 64) -> torch.Tensor:
    """Smooth shapes with some texture."""
    coarse = F.interpolate(noise(count, 3, 6, 6, seed=3), size=(side, side), mode="bicubic")
    return (coarse + 0.2 * noise(count, 3, side, side, seed=4)).clamp(-1, 1)


def backbone(net: str) -> torch.nn.Sequential:
    """torchvision's layers with weights that keep the size of what goes through."""
    with torch.device("meta"):
        layers = BUILDERS[net](weights=None).features
    layers, generator = layers.to_empty(device="cpu").eval(), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in layers.named_parameters():
            deviation = (2 / parameter[0].numel()) ** 0.5 if name.endswith("weight") else 0.1
            parameter.normal_(0, deviation, generator=generator)
    return layers


def theirs(net: str, layers: torch.nn.Sequential, monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    """The authors' network with these layers, which it would otherwise ask torchvision for, and their own heads."""
    lpips = pytest.importorskip("lpips", reason="the authors' package is not here")
    built = {BUILDERS[net].__name__: lambda **_: SimpleNamespace(features=layers)}
    monkeypatch.setattr(lpips.pretrained_networks, "tv", SimpleNamespace(**built))
    return lpips.LPIPS(net=net, pretrained=True, pnet_rand=True, verbose=False)


def heads(folder: Path, net: str) -> None:
    """A file of linear heads; as the published ones, none negative."""
    generator = torch.Generator().manual_seed(2)
    tensors = {
        f"lin{number}.model.1.weight": torch.rand((1, count, 1, 1), generator=generator)
        for number, count in enumerate(CHANNELS[net])
    }
    torch.save(tensors, folder / f"lpips_{net}.pth")


def stored(folder: Path, net: str, layers: torch.nn.Sequential) -> Path:
    tensors = {f"features.{name}": tensor for name, tensor in layers.state_dict().items()}
    torch.save(tensors, folder / FILES[net])
    return folder


# --- parity -------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("net", NETS)
def test_distances_are_the_authors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, net: Any) -> None:
    """The heads are those in their package; the backbone has random weights."""
    layers = backbone(net)
    reference = theirs(net, layers, monkeypatch)
    ours = load_lpips(net, stored(tmp_path, net, layers))
    assert ours.provenance["weights"]["heads"]["published"] is True
    first = pictures()
    second = (first.flip(0) * 0.5 + 0.1).clamp(-1, 1)
    for size in ((64, 64), (70, 45)):
        one, other = (F.interpolate(images, size=size, mode="bilinear") for images in (first, second))
        with torch.no_grad():
            expected = reference(one, other).flatten()
        found = ours(one, other)
        assert found.shape == (4,)
        assert expected.min() > 1e-3
        assert torch.allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.filterwarnings("ignore")
def test_the_form_without_heads_is_the_authors(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = random_lpips(5)
    layers = backbone("alex")
    layers.load_state_dict(ours.layers.state_dict(), strict=False)
    reference = theirs("alex", layers, monkeypatch)
    reference.lpips = False
    images = pictures()
    with torch.no_grad():
        expected = reference(images, images.flip(0)).flatten()
    assert torch.allclose(ours(images, images.flip(0)), expected, rtol=1e-5, atol=1e-7)


# --- what a distance must do --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def random() -> Lpips:
    return random_lpips()


def test_equal_pictures_have_distance_0_and_it_is_symmetric(random: Lpips) -> None:
    images, others = pictures(), noise(4, 3, 64, 64, seed=9)
    assert random(images, images.clone()).tolist() == [0.0] * 4
    assert torch.equal(random(images, others), random(others, images))
    assert random(images, others).min() > 0


def blurred(images: torch.Tensor, width: int) -> torch.Tensor:
    return F.avg_pool2d(F.pad(images, [width] * 4, mode="reflect"), 2 * width + 1, stride=1)


def assert_grows(distances: list[torch.Tensor]) -> None:
    for nearer, farther in pairwise(distances):
        assert (nearer < farther).all()


def test_more_blur_and_more_noise_are_farther(random: Lpips) -> None:
    images, grain = pictures(), noise(4, 3, 64, 64, seed=8)
    assert_grows([random(images, blurred(images, width)) for width in (0, 1, 3)])
    assert_grows([random(images, (images + grain * size).clamp(-1, 1)) for size in (0, 0.1, 0.4, 1)])


def test_one_picture_is_compared_with_many(random: Lpips) -> None:
    images = pictures()
    photo, paintings = random.features(images[:1]), random.features(images[1:])
    found = random.distance(photo, paintings)
    expected = torch.cat([random(images[:1], images[number : number + 1]) for number in (1, 2, 3)])
    assert torch.allclose(found, expected, rtol=1e-5, atol=0)


def test_features_have_unit_length_and_the_pictures_are_left_alone(random: Lpips) -> None:
    images = pictures()
    before = images.clone()
    features = random.features(images)
    assert [part.shape[1] for part in features] == list(CHANNELS["alex"])
    for part in features:
        lengths = part.square().sum(1)
        assert torch.allclose(lengths[lengths > 0.5], torch.tensor(1.0), atol=1e-5)
    assert torch.equal(images, before)


def test_where_nothing_is_felt_the_distance_is_0_and_so_is_its_gradient(tmp_path: Path) -> None:
    """Features of length 0 cannot be scaled to 1; without care they become no numbers."""
    layers = backbone("alex")
    with torch.no_grad():
        layers[0].bias.fill_(-1e3)
    heads(stored(tmp_path, "alex", layers), "alex")
    network = load_lpips("alex", tmp_path)
    images = pictures(2).requires_grad_(True)
    assert network.features(images)[0].abs().max() == 0
    distances = network(images, pictures(2).flip(0))
    assert distances.isfinite().all()
    distances.sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("net", NETS)
def test_pictures_may_be_as_small_as_the_deepest_layer_allows(tmp_path: Path, net: Any) -> None:
    heads(stored(tmp_path, net, backbone(net)), net)
    network, least = load_lpips(net, tmp_path), LEAST[net]
    assert network.features(noise(1, 3, least, least))[-1].shape[-2:] == (1, 1)
    with pytest.raises(ValueError, match=rf"LPIPS-{net} needs pictures of at least {least} x {least} pixels, these"):
        network.features(noise(1, 3, least + 5, least - 1))


# --- which weights ------------------------------------------------------------------------------------------------


def test_a_seed_is_a_distance_and_its_name_is_not_lpips() -> None:
    state = torch.random.get_rng_state()
    images, others = pictures(), noise(4, 3, 64, 64)
    first, again, other = (random_lpips(seed) for seed in (0, 0, 1))
    assert torch.equal(first(images, others), again(images, others))
    assert not torch.allclose(first(images, others), other(images, others), rtol=1e-3)
    assert torch.equal(state, torch.random.get_rng_state())
    for text in (first.name, json.dumps(first.provenance)):
        assert "random" in text
        assert "lpips" not in text.lower()
    assert first.provenance != other.provenance


@pytest.mark.filterwarnings("ignore")
def test_a_part_of_a_backbone_is_not_enough(tmp_path: Path) -> None:
    layers = backbone("vgg")
    some = {f"features.{name}": tensor for name, tensor in layers[:9].state_dict().items()}
    torch.save(some, tmp_path / "vgg16_features_r22.pth")
    with pytest.raises(FileNotFoundError, match=r"no weights of VGG-16 here \(vgg16_features_r22.pth.* part") as caught:
        load_lpips("vgg", tmp_path)
    assert "\n" not in str(caught.value)


def test_missing_heads_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cyclestyle.networks.weights.find_spec", lambda _: None)
    stored(tmp_path, "squeeze", backbone("squeeze"))
    with pytest.raises(
        FileNotFoundError, match=r"no weights of linear heads of LPIPS-squeeze v0.1 here, .*squeeze.pth"
    ):
        load_lpips("squeeze", tmp_path)


def test_tables_agree_with_torchvision() -> None:
    for net in NETS:
        with torch.device("meta"):
            x, channels = torch.zeros(1, 3, 64, 64), []
            for number, layer in enumerate(BUILDERS[net](weights=None).features):
                x = layer(x)
                if number in TAPS[net]:
                    channels.append(x.shape[1])
        assert tuple(channels) == CHANNELS[net]
    assert KINDS.keys() == TAPS.keys() == LEAST.keys()
    assert BUILDERS["vgg"] is models.vgg16


# --- real weights -------------------------------------------------------------------------------------------------

ASSETS = pytest.mark.skipif(
    "CYCLESTYLE_ASSETS" not in os.environ, reason="CYCLESTYLE_ASSETS names no folder of real weights"
)


def photos(count: int = 3) -> torch.Tensor:
    folder = Path(os.environ["CYCLESTYLE_ASSETS"]) / "data" / "monet2photo" / "testB"
    return to_images([load(path).resize((128, 128)) for path in list_pictures(folder)[:count]])


@pytest.mark.assets
@ASSETS
@pytest.mark.filterwarnings("ignore")
def test_real_alexnet_gives_the_authors_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(os.environ["CYCLESTYLE_ASSETS"]) / "weights"
    layers = backbone("alex")
    shared = load_file(folder / "alexnet_features.safetensors")
    layers.load_state_dict({name.removeprefix("features."): tensor.float() for name, tensor in shared.items()})
    reference, ours, images = theirs("alex", layers, monkeypatch), load_lpips("alex", folder), photos()
    with torch.no_grad():
        expected = reference(images, images.flip(3)).flatten()
    assert torch.allclose(ours(images, images.flip(3)), expected, rtol=1e-5, atol=1e-7)
    assert ours.provenance == json.loads(json.dumps(ours.provenance))
    assert_grows([ours(images, blurred(images, width)) for width in (0, 1, 3)])
    assert_grows([ours(images, images + size * noise(*images.shape)) for size in (0, 0.1, 0.4)])


@pytest.mark.assets
@ASSETS
@pytest.mark.filterwarnings("ignore")
def test_real_squeezenet_gives_torchmetrics_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unchanged and from the cache, as a person would call it. It guards against lengths of 0 in another way."""
    functional = pytest.importorskip("torchmetrics.functional.image", reason="torchmetrics is not here")
    monkeypatch.setenv("TORCH_HOME", str(Path(os.environ["CYCLESTYLE_ASSETS"]) / "weights" / "torch_home"))
    images, ours = photos(), load_lpips("squeeze")
    found = ours(images, images.flip(3))
    for number, (one, other) in enumerate(zip(images, images.flip(3), strict=True)):
        expected = functional.learned_perceptual_image_patch_similarity(one[None], other[None], net_type="squeeze")
        assert torch.allclose(found[number], expected, rtol=0, atol=1e-5)
    assert ours.provenance["weights"]["backbone"]["published"] is False  # made from another format: not byte for byte
