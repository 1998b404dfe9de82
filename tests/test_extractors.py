"""What all networks that see have in common: names, sizes, tiles, poolings, paddings and gradients."""

import itertools
import json
from typing import Any, get_args

import pytest
import torch

from cyclestyle.networks.extractors import (
    POOLS,
    Extractor,
    Window,
    load_network,
    random_network,
    require_taps,
)
from cyclestyle.networks.kinds import NetworkKind
from cyclestyle.networks.vgg import random_vgg

KINDS = get_args(NetworkKind)
PADDINGS = ("zeros", "reflect", "replicate")
OPTIONS = [("max", "zeros"), ("average", "reflect"), ("max", "replicate")]
EVERY_OPTION = [*itertools.product(("max", "average"), PADDINGS)]
MIDDLE = {
    "vgg19": "relu3_1",
    "vgg16": "relu3_1",
    "vgg19-distilled": "relu3_1",
    "alexnet": "relu3",
    "squeezenet": "fire4",
    "resnet18": "layer2.0",
    "resnet50": "layer2.0",
}


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def drawn(kind: Any, deepest: str | None = None, **options: Any) -> Extractor:
    return random_network(kind, deepest=deepest or MIDDLE[kind], **options).double()


# --- what they say of themselves ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_as_they_are_announced(kind: Any) -> None:
    network, images = drawn(kind), noise(2, 3, 43, 50)
    found = network(images, network.taps)
    assert tuple(found) == network.taps
    for tap, features in found.items():
        assert features.shape[:2] == (2, network.channels[tap])
        side = 43
        for window in network.windows(tap):
            side = window.places(side, network.padding)
        assert features.shape[2] == side
        assert features.min() == 0  # after the ReLU
        assert features.max() > 0
    assert all(not parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_given_out_is_not_written_to(kind: Any) -> None:
    """Which ReLUs in place would do, and gives each tap what it gives alone; the pictures stay as well."""
    network, images = drawn(kind), noise(1, 3, 40, 40)
    before = images.clone()
    together = network(images, network.taps)
    for tap in network.taps:
        assert torch.equal(network(images, (tap,))[tap], together[tap]), tap
    assert torch.equal(images, before)


@pytest.mark.parametrize("kind", ["vgg16", "squeezenet", "resnet18"])
def test_pictures_of_a_batch_do_not_influence_one_another(kind: Any) -> None:
    network, images, tap = drawn(kind), noise(3, 3, 32, 32), MIDDLE[kind]
    together = network(images, (tap,))[tap]
    alone = torch.cat([network(image[None], (tap,))[tap] for image in images])
    assert torch.allclose(together, alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["vgg16", "vgg19-distilled", "alexnet", "squeezenet", "resnet18"])
def test_provenance_tells_options_apart(kind: Any) -> None:
    said = set()
    for pooling, padding in EVERY_OPTION:
        provenance = random_network(
            kind, deepest="relu1_1" if "vgg" in kind else "relu1", pooling=pooling, padding=padding
        ).provenance
        assert provenance == json.loads(json.dumps(provenance))
        assert "random" in provenance["network"]
        said.add(json.dumps(provenance))
    assert len(said) == 6
    own = {"vgg19-distilled": "reflection"}.get(kind, "zeros")
    assert drawn(kind).provenance["padding"] == own
    assert drawn(kind).provenance["pooling"].startswith("maximum of ")


def test_a_seed_is_a_network_whatever_else_is_asked_for() -> None:
    images = noise(1, 3, 40, 40)
    for kind in ("vgg19-distilled", "squeezenet"):
        first = drawn(kind)(images, drawn(kind).taps)
        whole = random_network(kind).double()
        assert len(whole.taps) > len(first)
        other = random_network(kind, 1).double()
        for tap, features in whole(images, tuple(first)).items():
            assert torch.equal(features, first[tap])
            assert not torch.allclose(features, other(images, (tap,))[tap], atol=0.01)
    ours, theirs = random_network("vgg19", 3, deepest="relu2_1"), random_vgg(3, "relu2_1")
    assert torch.equal(ours(images.float(), ("relu2_1",))["relu2_1"], theirs(images.float(), ("relu2_1",))["relu2_1"])
    assert ours.provenance == theirs.provenance


@pytest.mark.parametrize("kind", ["vgg16", "vgg19-distilled", "alexnet", "squeezenet", "resnet50"])
def test_random_features_keep_their_size(kind: Any) -> None:
    network = random_network(kind)
    found = network(noise(1, 3, 64, 64).float(), network.taps)
    for tap, features in found.items():
        assert 0.2 < features.square().mean().sqrt() < 10, tap


# --- what they refuse ---------------------------------------------------------------------------------------------


def sentence(caught: pytest.ExceptionInfo[BaseException]) -> str:
    text = str(caught.value)
    assert "\n" not in text
    assert text.count(". ") == 0
    return text


def test_taps_that_no_weights_would_give_are_told_from_those_that_these_do_not() -> None:
    network = random_network("vgg19", deepest="relu1_2")
    require_taps(network, ("relu1_1", "relu1_2"))
    with pytest.raises(
        ValueError, match=r"random VGG-19 has no conv4_2 here; there are relu1_1, relu1_2; choose"
    ) as one:
        require_taps(network, ("relu1_1", "conv4_2"))
    assert "end before" not in sentence(one)
    with pytest.raises(ValueError, match="its weights end before relu4_2; give whole ones with --weights DIR") as other:
        require_taps(network, ("relu4_2",))
    sentence(other)
    network.origin["file"] = "vgg19_cut.safetensors"
    with pytest.raises(ValueError, match=r"and the weights in vgg19_cut\.safetensors end before relu4_2"):
        network(noise(1, 3, 32, 32), ("relu4_2",))
    for ask in (network.geometry, lambda tap: network.least((tap,))):
        with pytest.raises(ValueError, match="has no relu4_2 here"):
            ask("relu4_2")


def test_networks_and_layers_that_are_not_there_are_named() -> None:
    unknown: Any = "vgg20"
    for make in (load_network, random_network):
        with pytest.raises(ValueError, match="no network is called vgg20; choose one of vgg19, vgg16, ") as caught:
            make(unknown)
        sentence(caught)
    for kind in KINDS:
        with pytest.raises(ValueError, match=r"has no layer relu9_9; choose one of relu1"):
            random_network(kind, deepest="relu9_9")
    with pytest.raises(ValueError, match="has no layer relu1_2; choose one of relu1_1, relu2_1, relu3_1, "):
        random_network("vgg19-distilled", deepest="relu1_2")  # which has no outlet


@pytest.mark.parametrize(("pooling", "padding"), OPTIONS)
@pytest.mark.parametrize("kind", ["vgg19", "vgg19-distilled", "alexnet", "squeezenet", "resnet18"])
def test_the_smallest_pictures_are_those_below_which_torch_itself_fails(
    kind: Any, padding: Any, pooling: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = drawn(kind, padding=padding, pooling=pooling)
    leasts = {tap: network.least((tap,)) for tap in network.taps}
    assert network.least(network.taps) == max(leasts.values())
    assert network.least(()) == 1
    for tap, least in leasts.items():
        assert network(noise(1, 3, least, least + 5), (tap,))[tap].isfinite().all()
        if least > 1:
            with pytest.raises(ValueError, match=rf"{tap} of random .* at least {least} x {least} pixels") as caught:
                network(noise(1, 3, least + 5, least - 1), (tap,))
            sentence(caught)
    monkeypatch.setattr(Extractor, "_fits", lambda *_: True)
    for tap, least in leasts.items():
        if least > 1:
            with pytest.raises(RuntimeError):
                network(noise(1, 3, least - 1, least - 1), (tap,))


# --- tiles --------------------------------------------------------------------------------------------------------

DEEP = {"vgg16": "relu3_1", "vgg19-distilled": "relu5_1", "alexnet": "relu5", "squeezenet": "fire5"}
DEEP |= {"resnet18": "layer2.0", "resnet50": "layer1.2", "vgg19": "relu3_1"}
SIZES = {"vgg19-distilled": (185, 171), "alexnet": (301, 283), "squeezenet": (157, 133)}


def halo(network: Extractor, taps: tuple[str, ...]) -> tuple[int, int]:
    """The largest stride and the largest reach."""
    strides, reaches = zip(*(network.geometry(tap) for tap in taps), strict=True)
    return max(strides), max(reaches)


def seen(network: Extractor, images: torch.Tensor, taps: tuple[str, ...], tile: list[range], reach: int) -> Any:
    """Features of a tile's own positions, from a network that sees the tile and a halo; and where they belong."""
    stride, crop, starts = halo(network, taps)[0], images, []
    for axis, pixels in zip((2, 3), tile, strict=True):
        start = max(0, pixels.start - reach) // stride * stride
        crop = crop.narrow(axis, start, min(images.shape[axis], pixels.stop + reach) - start)
        starts.append(start)
    for tap, features in network(crop, taps).items():
        step = network.geometry(tap).stride
        own = [slice(-(-pixels.start // step), -(-pixels.stop // step)) for pixels in tile]
        inside = [slice(part.start - at // step, part.stop - at // step) for part, at in zip(own, starts, strict=True)]
        yield tap, own, features[:, :, inside[0], inside[1]]


def tiles(height: int, width: int, side: int) -> list[list[range]]:
    def cut(size: int) -> list[range]:
        return [range(start, min(start + side, size)) for start in range(0, size, side)]

    return [[rows, columns] for rows in cut(height) for columns in cut(width)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "pooling", "padding"),
    [(kind, *option) for kind in ("vgg19", "vgg19-distilled") for option in EVERY_OPTION]
    + [(kind, *option) for kind in ("alexnet", "squeezenet", "resnet18") for option in OPTIONS]
    + [("resnet50", "max", "zeros")],
)
def test_tiles_with_their_halo_see_what_the_whole_sees(kind: Any, padding: Any, pooling: Any) -> None:
    network = drawn(kind, DEEP[kind], pooling=pooling, padding=padding)
    height, width = SIZES.get(kind, (101, 77))
    images, taps = noise(1, 3, height, width), (network.taps[0], MIDDLE[kind], DEEP[kind])
    taps = tuple(tap for tap in network.taps if tap in taps)
    whole = network(images, taps)
    stride, reach = halo(network, taps)
    covered = {tap: torch.zeros(features.shape[2:]) for tap, features in whole.items()}
    side = max(stride, 64 if height > 150 else 32) // stride * stride
    for tile in tiles(height, width, side)[:: 1 if height < 150 else 4]:
        for tap, (rows, columns), features in seen(network, images, taps, tile, reach):
            there = whole[tap][:, :, rows, columns]
            assert features.shape == there.shape
            scale = float(whole[tap].max())
            assert torch.allclose(features, there, rtol=0, atol=1e-12 * scale), (tap, tile)
            covered[tap][rows, columns] += 1
    if height < 150:  # each feature belongs to one tile
        assert all(torch.equal(count, torch.ones_like(count)) for count in covered.values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_feature_sees_as_far_as_its_reach_and_no_further(kind: Any) -> None:
    network = drawn(kind, pooling="average")  # of which each value counts, as of maxima only one does
    stride, reach = network.geometry(MIDDLE[kind])
    middle = reach // stride + 2
    images = noise(1, 3, *[(2 * middle + 1) * stride + reach] * 2).requires_grad_(True)
    network(images, (MIDDLE[kind],))[MIDDLE[kind]][:, :, middle, middle].sum().backward()
    assert images.grad is not None
    for axis in (0, 1):
        pixels = images.grad[0].abs().sum(0).sum(1 - axis).nonzero()
        before, after = middle * stride - int(pixels.min()), int(pixels.max()) + 1 - (middle + 1) * stride
        assert max(before, after) == reach


def test_reach_and_stride_of_vgg_are_those_of_its_layers() -> None:
    """One pixel for each convolution, times 2 for each pooling before."""
    network = random_network("vgg19", deepest="relu4_2")
    assert network.geometry("relu1_1") == (1, 1)
    assert network.geometry("relu2_1") == (2, 2 + 2)
    assert network.geometry("relu4_2") == (8, 2 * 1 + 2 * 2 + 4 * 4 + 2 * 8)


def test_windows_are_counted_as_torch_does() -> None:
    for side, stride, border in ((3, 2, 0), (3, 2, 1), (2, 2, 0), (5, 3, 2), (2, 3, 1)):
        for ceil in (False, True):
            pool = torch.nn.MaxPool2d(side, stride, border, ceil_mode=ceil)
            window = Window(side, stride, border, pools=True, ceil=ceil)
            for values in range(1, 20):
                count = window.places(values, "reflect")
                if count:
                    assert pool(torch.zeros(1, 1, values, values)).shape[2] == count
                else:
                    with pytest.raises(RuntimeError):
                        pool(torch.zeros(1, 1, values, values))


# --- poolings and paddings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_where_all_is_equal_averages_are_maxima_times_their_scale(kind: Any) -> None:
    """Of one colour without a border; random networks have no biases, so a factor goes through all of their layers."""
    images = noise(1, 3, 1, 1).expand(1, 3, 40, 40)
    most, mean = (drawn(kind, pooling=pooling, padding="replicate") for pooling in ("max", "average"))
    maxima, averages = most(images, most.taps), mean(images, mean.taps)
    for tap in most.taps:
        poolings = sum(window.pools for window in most.windows(tap))
        assert torch.allclose(averages[tap], maxima[tap] * POOLS[kind].scale ** poolings, rtol=1e-9, atol=1e-12)
    assert poolings > 0


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("kind", ["vgg19", "vgg19-distilled", "alexnet", "squeezenet", "resnet18"])
def test_only_zeros_draw_a_border(kind: Any, pooling: Any) -> None:
    images, tap = noise(1, 3, 1, 1).expand(1, 3, 48, 48), MIDDLE[kind]
    for padding in PADDINGS:
        features = drawn(kind, padding=padding, pooling=pooling)(images, (tap,))[tap]
        flat = torch.allclose(features, features[:, :, :1, :1].expand_as(features), rtol=1e-9, atol=1e-12)
        assert flat == (padding != "zeros")


@pytest.mark.parametrize("kind", ["vgg19-distilled", "alexnet", "squeezenet", "resnet18"])
def test_paddings_change_nothing_but_the_border(kind: Any) -> None:
    images, tap = noise(1, 3, 160, 160), MIDDLE[kind]
    found = [drawn(kind, padding=padding)(images, (tap,))[tap] for padding in PADDINGS]
    stride, reach = drawn(kind).geometry(tap)
    inner = slice(-(-reach // stride), (160 - reach) // stride)
    assert found[0][:, :, inner, inner].numel() > 0
    for one, other in itertools.pairwise(found):
        assert torch.allclose(one[:, :, inner, inner], other[:, :, inner, inner], rtol=0, atol=1e-12)
        assert not torch.allclose(one, other, rtol=0, atol=1e-3)


# --- gradients ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pooling", "padding"), OPTIONS)
@pytest.mark.parametrize("kind", ["vgg16", "vgg19-distilled", "alexnet", "squeezenet", "resnet18"])
def test_gradients_once_and_twice_are_those_of_differences(kind: Any, pooling: Any, padding: Any) -> None:
    network = drawn(kind, pooling=pooling, padding=padding)
    images, direction, step = noise(1, 3, 48, 47).requires_grad_(True), noise(1, 3, 48, 47, seed=1), 1e-7

    def energy(pictures: torch.Tensor) -> torch.Tensor:
        return sum((features.square().mean() for features in network(pictures, network.taps).values()), torch.zeros(()))

    def gradient(pictures: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(energy(pictures), pictures, create_graph=True)[0]

    there = gradient(images)
    ahead, behind = ((images + sign * step * direction).detach().requires_grad_(True) for sign in (1, -1))
    slope = (energy(ahead) - energy(behind)) / (2 * step)
    assert torch.allclose((there * direction).sum(), slope, rtol=1e-5)
    twice = torch.autograd.grad((there * direction).sum(), images)[0]
    assert twice.abs().max() > 0
    bend = (gradient(ahead) - gradient(behind)) / (2 * step)
    assert torch.allclose(twice, bend, rtol=0, atol=1e-4 * float(twice.abs().max()))
    assert all(parameter.grad is None for parameter in network.parameters())
