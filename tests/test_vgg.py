"""VGG's features: torchvision's, name by name; and those of networks that are not whole, not VGG, or not trained."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torchvision import models

from cyclestyle.images import list_pictures, load, to_images
from cyclestyle.networks.vgg import NAMES, Vgg, _layers, load_vgg, random_vgg

# Numbers of the ReLUs in torchvision's `features`, from Simonyan and Zisserman 2015, table 1
RELUS = {
    "vgg19": [
        "1_1",
        "1_2",
        "2_1",
        "2_2",
        "3_1",
        "3_2",
        "3_3",
        "3_4",
        "4_1",
        "4_2",
        "4_3",
        "4_4",
        "5_1",
        "5_2",
        "5_3",
        "5_4",
    ],
    "vgg16": ["1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "4_1", "4_2", "4_3", "5_1", "5_2", "5_3"],
}


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def backbone(kind: str) -> torch.nn.Sequential:
    """torchvision's own layers, with weights that keep the size of what goes through, and biases that matter."""
    with torch.device("meta"):
        layers = getattr(models, kind)(weights=None).features
    layers = layers.to_empty(device="cpu").eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for layer in layers:
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight.normal_(0, (2 / layer.weight[0].numel()) ** 0.5, generator=generator)
                layer.bias.normal_(0, 0.1, generator=generator)
            if isinstance(layer, torch.nn.ReLU):
                layer.inplace = False
    return layers


@torch.no_grad()
def their_features(layers: torch.nn.Sequential, kind: str, images: torch.Tensor) -> dict[str, torch.Tensor]:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x, found, names = ((images + 1) / 2 - mean.view(3, 1, 1)) / std.view(3, 1, 1), {}, iter(RELUS[kind])
    for layer in layers:
        x = layer(x)
        if isinstance(layer, torch.nn.ReLU):
            found[f"relu{next(names)}"] = x
    return found


def saved(layers: torch.nn.Sequential, path: Path, **changes: torch.Tensor) -> Path:
    tensors = {f"features.{name}": tensor for name, tensor in layers.state_dict().items()}
    torch.save({**tensors, **changes}, path)
    return path


def drawn_distilled(seed: int = 0) -> dict[str, torch.Tensor]:
    generator, tensors = torch.Generator().manual_seed(seed), {}
    for layer in _layers("vgg19-distilled"):
        for name, shape in layer.shapes().items():
            deviation = (2 / (shape[1] * shape[2] * shape[3])) ** 0.5 if len(shape) == 4 else 0.1
            tensors[name] = torch.randn(shape, generator=generator) * deviation
    return tensors


# --- parity -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["vgg19", "vgg16"])
def test_features_are_torchvisions(tmp_path: Path, kind: Any) -> None:
    layers = backbone(kind)
    saved(layers, tmp_path / f"{kind}.pth")
    ours = load_vgg(kind, tmp_path)
    for size in ((48, 32), (37, 61)):
        images = noise(2, 3, *size)
        theirs = their_features(layers, kind, images)
        assert ours.taps == tuple(theirs)
        for tap, found in ours(images, ours.taps).items():
            assert found.shape[1] == ours.channels[tap]
            assert found.min() == 0
            assert torch.allclose(found, theirs[tap], rtol=0, atol=1e-5 * float(theirs[tap].max())), tap


def test_the_distilled_network_gives_the_outlets_of_mirrored_maps(tmp_path: Path) -> None:
    tensors = drawn_distilled()
    torch.save(tensors, tmp_path / "vgg19_cd.pth")
    ours, images = load_vgg("vgg19-distilled", tmp_path), noise(2, 3, 40, 33)
    assert ours.channels == {"relu1_1": 64, "relu2_1": 128, "relu3_1": 256, "relu4_1": 512, "relu5_1": 512}
    assert "distilled" in ours.name
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = ((images + 1) / 2 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    found = ours(images, ours.taps)
    for name in ["11", "12", "21", "22", "31", "32", "33", "34", "41", "42", "43", "44", "51"]:
        if name in {"21", "31", "41", "51"}:
            x = F.max_pool2d(x, 2)
        x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), tensors[f"conv{name}.weight"], tensors[f"conv{name}.bias"])
        x = x.relu()
        if name[1] == "1":
            weight, bias = tensors[f"conv{name}_aux.weight"], tensors[f"conv{name}_aux.bias"]
            assert torch.allclose(found[f"relu{name[0]}_1"], F.conv2d(x, weight, bias).relu(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["vgg19", "vgg16"])
@pytest.mark.parametrize("padding", ["reflect", "replicate"])
def test_poolings_and_paddings_are_replaced_in_every_layer(kind: Any, padding: Any) -> None:
    layers, images = backbone(kind), noise(2, 3, 37, 61)
    tensors = {f"features.{name}": tensor for name, tensor in layers.state_dict().items()}
    ours = Vgg(kind, tensors, NAMES[kind], {}, pooling="average", padding=padding)
    for number, layer in enumerate(layers):
        if isinstance(layer, torch.nn.Conv2d):
            layer.padding_mode = padding
        elif isinstance(layer, torch.nn.MaxPool2d):
            # The sum of four, over three: the mean, times 4/3
            layers[number] = torch.nn.AvgPool2d(2, divisor_override=3)
    theirs = their_features(layers, kind, images)
    for tap, found in ours(images, ours.taps).items():
        assert torch.allclose(found, theirs[tap], rtol=0, atol=1e-5 * float(theirs[tap].max())), tap
    assert ours.provenance["pooling"] == "average of 2 x 2, times 1.333"
    assert ours.provenance["padding"] == {"reflect": "reflection", "replicate": "replication"}[padding]


# --- how deep -----------------------------------------------------------------------------------------------------


def test_a_file_that_ends_early_gives_what_it_has(tmp_path: Path) -> None:
    layers = backbone("vgg19")
    tensors = {f"features.{name}": tensor for name, tensor in layers.state_dict().items()}
    torch.save(
        {name: tensor for name, tensor in tensors.items() if int(name.split(".")[1]) <= 10}, tmp_path / "vgg19.pth"
    )
    assert load_vgg("vgg19", tmp_path).taps == ("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1")
    bias = torch.full((128,), float("nan"))
    saved(layers, tmp_path / "vgg19.pth", **{"features.7.bias": bias})
    assert load_vgg("vgg19", tmp_path).taps == ("relu1_1", "relu1_2", "relu2_1")


def test_without_its_first_layer_there_is_no_network() -> None:
    with pytest.raises(ValueError, match=r"the weights have no features.0, the first layer of VGG-19"):
        Vgg("vgg19", {"features.2.weight": torch.zeros(64, 64, 3, 3)}, "x", {})


def test_nothing_deeper_than_asked_for_is_computed() -> None:
    network = random_vgg(deepest="relu3_1")
    used: list[str] = []
    for tap, layer in network.convolutions.items():
        layer.register_forward_hook(lambda *_, tap=tap: used.append(tap))
    found = network(noise(1, 3, 16, 16), ("relu2_1", "relu1_2", "relu2_1"))
    assert list(found) == ["relu1_2", "relu2_1"]
    assert used == ["relu1_1", "relu1_2", "relu2_1"]


def test_features_do_not_depend_on_what_else_is_asked_for() -> None:
    network, images = random_vgg(deepest="relu3_2"), noise(2, 3, 24, 24)
    before = images.clone()
    together = network(images, network.taps)
    for tap in network.taps:
        assert torch.equal(network(images, (tap,))[tap], together[tap])
    assert torch.equal(images, before)


@pytest.mark.parametrize("distilled", [False, True])
@pytest.mark.parametrize("tap", ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"])
def test_pictures_may_be_as_small_as_the_layer_allows(tap: str, distilled: bool) -> None:
    small = Vgg("vgg19-distilled", drawn_distilled(), NAMES["vgg19-distilled"], {})
    network = small if distilled else random_vgg(deepest=tap)
    least = 2 ** (int(tap[4]) - 1) * (2 if distilled else 1)
    assert network(noise(1, 3, least, least), (tap,))[tap].isfinite().all()
    if least > 1:
        with pytest.raises(
            ValueError, match=rf"{tap} of .* at least {least} x {least} pixels, these are {least - 1} x"
        ):
            network(noise(1, 3, least - 1, least + 9), (tap,))


def test_a_layer_that_is_not_there_is_named() -> None:
    network = random_vgg(deepest="relu1_2")
    with pytest.raises(ValueError, match=r"has no relu4_2 here; there are relu1_1, relu1_2"):
        network(noise(1, 3, 16, 16), ("relu1_1", "relu4_2"))


# --- gradients ----------------------------------------------------------------------------------------------------


def test_the_pictures_gradient_goes_through_and_no_weight_takes_one() -> None:
    network = random_vgg(deepest="relu2_1").double()
    images = noise(1, 3, 8, 8).double().requires_grad_(True)

    def energies(pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(features.square().sum() for features in network(pictures, network.taps).values())

    assert torch.autograd.gradcheck(energies, (images,), eps=1e-6, atol=1e-4)
    sum(energies(images)).backward()  # type: ignore[union-attr]
    assert images.grad is not None
    assert images.grad.abs().max() > 0
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in network.parameters())


# --- without weights ----------------------------------------------------------------------------------------------


def test_a_seed_is_a_network() -> None:
    state = torch.random.get_rng_state()
    images, taps = noise(1, 3, 16, 16), ("relu1_1", "relu3_1")
    first, again, deeper = (random_vgg(3, deepest)(images, taps) for deepest in ("relu3_1", "relu3_1", "relu4_1"))
    other = random_vgg(4, "relu3_1")(images, taps)
    for tap in taps:
        assert torch.equal(first[tap], again[tap])
        assert torch.equal(first[tap], deeper[tap])
        assert not torch.allclose(first[tap], other[tap], atol=0.1)
    assert torch.equal(state, torch.random.get_rng_state())
    assert random_vgg(4, "relu1_1").name == "random VGG-19"
    assert random_vgg(4, "relu1_1").provenance["weights"] == {"random seed": 4}
    with pytest.raises(ValueError, match="VGG-19 has no layer relu9_1; choose one of relu1_1, "):
        random_vgg(0, "relu9_1")


def test_random_features_keep_their_size_and_tell_pictures_apart() -> None:
    """Plain filters of He's size give means of relu5_1 with a cosine of 0.99 for all pictures."""
    coarse = noise(12, 3, 4, 4, seed=5)
    images = F.interpolate(coarse, size=(64, 64), mode="bicubic").clamp(-1, 1)
    network = random_vgg()
    for tap, features in network(images, network.taps).items():
        assert 0.3 < features.square().mean().sqrt() < 3, tap
        means = F.normalize(features.mean((2, 3)), dim=1)
        cosines = (means @ means.T)[~torch.eye(12, dtype=torch.bool)]
        assert cosines.mean() < 0.97, tap
    weight = network.convolutions["relu3_2"].weight
    assert weight.mean((1, 2, 3)).abs().max() < 1e-6


# --- provenance ---------------------------------------------------------------------------------------------------


def test_provenance_tells_networks_apart(tmp_path: Path) -> None:
    saved(backbone("vgg16"), tmp_path / "vgg16.pth")
    loaded = load_vgg("vgg16", tmp_path).provenance
    assert (loaded["network"], loaded["weights"]["file"], loaded["padding"]) == ("VGG-16", "vgg16.pth", "zeros")
    assert loaded["pooling"] == "maximum of 2 x 2"
    assert loaded["taps"][-1] == "relu5_3"
    assert loaded == json.loads(json.dumps(loaded))
    first, second = random_vgg(0, "relu1_1").provenance, random_vgg(1, "relu1_1").provenance
    assert first["weights"] == {"random seed": 0}
    assert first != second
    assert first != random_vgg(0, "relu1_2").provenance


def test_what_evaluations_have_kept_still_counts_for_the_network_as_it_is_by_default() -> None:
    """Kept numbers are found again by these very words."""
    assert random_vgg(0, "relu1_2").provenance == {
        "network": "random VGG-19",
        "taps": ["relu1_1", "relu1_2"],
        "pooling": "maximum of 2 x 2",
        "padding": "zeros",
        "input": "RGB in [0, 1], minus ImageNet's mean, over its deviation",
        "weights": {"random seed": 0},
    }


# --- real weights -------------------------------------------------------------------------------------------------


@pytest.mark.assets
@pytest.mark.skipif("CYCLESTYLE_ASSETS" not in os.environ, reason="CYCLESTYLE_ASSETS names no folder of real weights")
def test_real_weights_see_real_pictures() -> None:
    """Each filter of the shared VGG-19 has a mean activation of about 1, which no wrong input or order would leave;
    and the distilled network's channels correlate with its as its sources say: 0.986, 0.883, 0.835."""
    folder = Path(os.environ["CYCLESTYLE_ASSETS"])
    pictures = list_pictures(folder / "data" / "monet2photo" / "testB")[:8]
    images = to_images([load(path).resize((128, 128)) for path in pictures])
    real, small = (load_vgg(kind, folder / "weights") for kind in ("vgg19", "vgg19-distilled"))
    assert real.taps == ("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1")
    assert small.taps == ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    assert load_vgg("vgg16", folder / "weights").taps == ("relu1_1", "relu1_2", "relu2_1", "relu2_2")
    found, approximated = real(images, real.taps), small(images, small.taps)
    for tap in real.taps:
        assert 0.8 < found[tap].mean((0, 2, 3)).median() < 1.4, tap
    for tap, least in (("relu1_1", 0.97), ("relu2_1", 0.85), ("relu3_1", 0.78)):
        # Without the border, where one is padded with zeros and the other mirrored
        inner = [features[..., 2:-2, 2:-2].transpose(0, 1).flatten(1) for features in (found[tap], approximated[tap])]
        correlations = torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(*inner, strict=True)])
        assert correlations.nanmedian() > least, tap
    assert real.provenance["weights"]["published"] is None
    assert "normalised" in real.provenance["weights"]["note"]


@pytest.mark.assets
@pytest.mark.skipif("CYCLESTYLE_ASSETS" not in os.environ, reason="CYCLESTYLE_ASSETS names no folder of real weights")
@pytest.mark.parametrize(("kind", "most"), [("vgg19", 1.1), ("vgg16", 1.1), ("vgg19-distilled", 1.8)])
def test_averages_keep_about_the_size_of_real_features(kind: Any, most: float) -> None:
    folder = Path(os.environ["CYCLESTYLE_ASSETS"])
    pictures = list_pictures(folder / "data" / "monet2photo" / "testA")[:6]
    images = to_images([load(path).resize((128, 128)) for path in pictures])
    maxima, averages = (load_vgg(kind, folder / "weights", pooling=pooling) for pooling in ("max", "average"))
    ours, theirs = averages(images, averages.taps), maxima(images, maxima.taps)
    for tap, found in ours.items():
        ratio = found.square().mean().sqrt() / theirs[tap].square().mean().sqrt()
        assert 0.8 < ratio < most, tap
