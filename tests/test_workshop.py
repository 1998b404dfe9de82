"""An objective has the statistics of the paintings that were chosen, as photo, masks and settings ask for them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from cyclestyle.images import load, to_images
from cyclestyle.networks.extractors import Extractor, random_network
from cyclestyle.styling.colour_control import luminance
from cyclestyle.styling.gallery import Chosen, Gallery, scaled
from cyclestyle.styling.masks import Regions, region_weights
from cyclestyle.styling.moments import Moments, mix, moments, stack
from cyclestyle.styling.recipes import Layers, StylingSettings
from cyclestyle.styling.swag import smooth
from cyclestyle.styling.tiles import whole_or_tiled
from cyclestyle.styling.workshop import Order, Workshop

LAYERS = Layers(("relu1_1", "relu2_1"), ("relu2_1",))
CPU = torch.device("cpu")
FIRST = Chosen((0,), (1.0,))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture(scope="module")
def network() -> Extractor:
    return random_network("vgg19-distilled", deepest="relu2_1")


@pytest.fixture(scope="module")
def paintings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three of different sizes, each of colours of its own."""
    folder, paths, chances = tmp_path_factory.mktemp("paintings"), list[Path](), np.random.default_rng(0)
    for number, size in enumerate([(52, 44), (40, 60), (33, 48)]):
        coarse = Image.fromarray(chances.integers(40 * number, 120 + 60 * number, (6, 6, 3)).astype(np.uint8))
        paths.append(folder / f"{number}.png")
        coarse.resize(size, Image.Resampling.BICUBIC).save(paths[-1])
    return paths


def workshop(network: Extractor, paintings: list[Path], **asked: Any) -> Workshop:
    wanted = StylingSettings.model_validate({"network": "vgg19-distilled"} | asked)
    shares = [0.5, 0.2, 0.3][: len(paintings)]
    return Workshop(wanted, network, LAYERS, Gallery(paintings, shares), CPU)


def order(seed: int = 0, chosen: Chosen = FIRST, size: tuple[int, int] = (40, 44), **others: Any) -> Order:
    return Order(noise(1, 3, *size, seed=seed), chosen, seed, **others)


def at(network: Extractor, path: Path, longest: int) -> dict[str, Moments]:
    """Moments of a painting at a size."""
    found = network(to_images([scaled(load(path), longest)]), LAYERS.style)
    return {tap: moments(features) for tap, features in found.items()}


def same(found: Moments, expected: Moments) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


# --- targets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("style_scale", "longest"), [(1.0, 44), (0.6, 26), (3.0, 132)])
def test_the_target_is_of_the_chosen_painting_at_the_size_of_the_photo(
    network: Extractor, paintings: list[Path], style_scale: float, longest: int
) -> None:
    one = order(chosen=Chosen((1,), (1.0,)))
    made = workshop(network, paintings, style_scale=style_scale).objective([one], one.photo, [{}], None)
    for term in made.style:
        same(term.target, at(network, paintings[1], longest)[term.tap])


def test_a_mean_is_of_moments_by_their_shares(network: Extractor, paintings: list[Path]) -> None:
    one = order(chosen=Chosen((0, 1, 2), (0.5, 0.2, 0.3)))
    made = workshop(network, paintings, target="mean").objective([one], one.photo, [{}], None)
    each = [at(network, path, 44) for path in paintings]
    for term in made.style:
        same(term.target, mix([found[term.tap] for found in each], [0.5, 0.2, 0.3]))


def test_photos_of_a_batch_have_each_their_own(network: Extractor, paintings: list[Path]) -> None:
    orders = [order(place, Chosen((place,), (1.0,))) for place in (2, 0)]
    photos = torch.cat([one.photo for one in orders])
    made = workshop(network, paintings).objective(orders, photos, [{}, {}], None)
    for term in made.style:
        same(term.target, stack([at(network, paintings[place], 44)[term.tap] for place in (2, 0)]))
    together = made(photos)
    for place, one in enumerate(orders):
        alone = workshop(network, paintings).objective([one], one.photo, [{}], None)(one.photo)
        assert (together.gradient[place] - alone.gradient[0]).norm() < 1e-5 * alone.gradient[0].norm()


def test_a_painting_is_looked_at_once(
    network: Extractor, paintings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, looked = workshop(network, paintings), list[int]()
    picture = Gallery.picture
    monkeypatch.setattr(Gallery, "picture", lambda *given: looked.append(given[1]) or picture(*given))
    for seed in range(3):
        one = order(seed)
        made.objective([one], one.photo, [{}], None)
    assert looked == [0]
    larger = order(size=(48, 52))
    made.objective([larger], larger.photo, [{}], None)
    other = order(chosen=Chosen((2,), (1.0,)))
    made.objective([other], other.photo, [{}], None)
    assert looked == [0, 0, 2]
    fitted = workshop(network, paintings, colour="matched")
    targets = [fitted.objective([one], one.photo, [{}], None).style[0].target for one in (order(0), order(1))]
    assert looked[3:] == [0, 0]  # each in its photo's colours
    assert not torch.allclose(targets[0].mean, targets[1].mean)


def test_in_tiles_the_objective_is_the_same(network: Extractor, paintings: list[Path]) -> None:
    for asked, chosen in (({}, FIRST), ({"target": "mean"}, Chosen((0, 1, 2), (0.5, 0.2, 0.3)))):
        one = order(chosen=chosen)
        image = noise(1, 3, 40, 44, seed=9)
        found = []
        for side in (None, 16):
            objective = workshop(network, paintings, variation_weight=1.0, **asked).objective(
                [one], one.photo, [{}], side
            )
            found.append(whole_or_tiled(objective, side, image))
        whole, tiled = found
        assert (whole.gradient - tiled.gradient).norm() < 1e-5 * whole.gradient.norm()
        assert tiled.total.item() == pytest.approx(whole.total.item(), rel=1e-5)


def test_gpus_keep_all_bits_of_fp32_on_the_way_there_and_back(network: Extractor, paintings: list[Path]) -> None:
    """Whoever calls: what is sought, what the styles' statistics are, and each step."""
    there, back = list[bool](), list[bool]()

    def hear(_network: object, _inputs: object, found: dict[str, Tensor]) -> None:
        there.append(torch.backends.cudnn.allow_tf32)
        for map_ in found.values():
            if map_.requires_grad:
                map_.register_hook(lambda _: back.append(torch.backends.cudnn.allow_tf32))

    hook = network.register_forward_hook(hear)
    try:
        one, image = order(), noise(1, 3, 40, 44, seed=9)
        made = workshop(network, paintings)
        made.describe(image)
        for side in (None, 16):
            whole_or_tiled(made.objective([one], one.photo, [{}], side), side, image)
    finally:
        hook.remove()
    assert len(there) > 20
    assert len(back) > 10
    assert not any(there + back)


def test_a_painting_too_small_beside_a_photo_is_named(network: Extractor, paintings: list[Path]) -> None:
    one = order()
    least = network.least(LAYERS.style)
    assert least > 1
    with pytest.raises(ValueError, match=rf"0.png is 1 x 1 pixels .* need {least}; give a larger one"):
        workshop(network, paintings, style_scale=0.02).objective([one], one.photo, [{}], None)


# --- what is seen through -----------------------------------------------------------------------------------------


def test_swag_sees_smoothed_features_everywhere(network: Extractor, paintings: list[Path]) -> None:
    """Of the style, the photo, and the picture."""
    one = order()
    made = workshop(network, paintings, method="swag", temperature=2.0)
    objective = made.objective([one], one.photo, [{}], None)
    painting = to_images([scaled(load(paintings[0]), 44)])

    def smoothed(images: Tensor, tap: str) -> Tensor:
        return smooth(network(images, (tap,))[tap], 2.0, mean_one=True)

    for term in objective.style:
        same(term.target, moments(smoothed(painting, term.tap).float()))
    torch.testing.assert_close(objective.content[0].target, smoothed(one.photo, "relu2_1").float())
    assert objective(one.photo).parts["content"].item() == 0


def test_only_layers_that_count_are_asked(network: Extractor, paintings: list[Path]) -> None:
    layers = Layers(("relu1_1",), ("relu2_1",))
    for weight, expected in ((1.0, ("relu1_1", "relu2_1")), (0.0, ("relu1_1",))):
        wanted = StylingSettings(network="vgg19-distilled", content_weight=weight)
        assert Workshop(wanted, network, layers, Gallery(paintings, [1.0] * 3), CPU).taps == expected


def test_judges_are_the_photos_own_and_only_where_there_are_some(network: Extractor, paintings: list[Path]) -> None:
    assert workshop(network, paintings).companions(order()) == {}
    made = workshop(network, paintings, method="mdan")
    first, again, other = (made.companions(order(seed)) for seed in (1, 1, 2))
    assert set(first) == set(LAYERS.style)
    for tap, judge in first.items():
        name = next(name for name in judge.state() if name.endswith("weight"))
        assert torch.equal(judge.state()[name], again[tap].state()[name])
        assert not torch.equal(judge.state()[name], other[tap].state()[name])


# --- masks --------------------------------------------------------------------------------------------------------


def left_half(height: int, width: int) -> Tensor:
    mask = torch.zeros(1, 1, height, width)
    mask[..., : width // 2] = 1
    return mask


def test_a_mask_holds_what_is_not_painted_and_weighs_what_is(network: Extractor, paintings: list[Path]) -> None:
    one = order(mask=left_half(40, 44))
    objective = workshop(network, paintings).objective([one], one.photo, [{}], None)
    assert objective.free is not None
    assert torch.equal(objective.free, left_half(40, 44))
    for term, size in zip(objective.style, ((40, 44), (20, 22)), strict=True):
        assert term.guidance is not None
        assert torch.equal(term.guidance, left_half(*size))
        same(term.target, at(network, paintings[0], 44)[term.tap])
    found = objective(noise(1, 3, 40, 44, seed=4))
    assert not found.gradient[..., 22:].any()
    assert found.gradient[..., :22].all()


def test_a_pixel_that_is_painted_in_part_may_change(network: Extractor, paintings: list[Path]) -> None:
    """At a coarse scale, one of them may be under the mask's edge."""
    one = order(mask=left_half(40, 46), size=(40, 46))
    small = F.interpolate(one.photo, (20, 23), mode="bicubic", antialias=True)
    free = workshop(network, paintings).objective([one], small, [{}], None).free
    assert free is not None
    assert free[0, 0, 0].tolist() == [1.0] * 12 + [0.0] * 11


def test_a_mask_of_everything_is_none(network: Extractor, paintings: list[Path]) -> None:
    image = noise(1, 3, 40, 44, seed=9)
    found = [
        workshop(network, paintings).objective([one], one.photo, [{}], None)(image)
        for one in (order(), order(mask=torch.ones(1, 1, 40, 44)))
    ]
    assert (found[0].gradient - found[1].gradient).norm() < 1e-5 * found[0].gradient.norm()


def regions(height: int, width: int, columns: int) -> Regions:
    labels = torch.ones(height, width, dtype=torch.int64)
    labels[:, :columns] = 0
    return Regions(((0, 0, 0), (255, 255, 255)), labels)


def test_regions_have_each_their_own_style(network: Extractor, paintings: list[Path]) -> None:
    of_photo, of_style = regions(40, 44, 12), regions(44, 52, 30)
    one = order(regions=(of_photo, of_style))
    made = workshop(network, paintings, style_weight=8.0)
    objective = made.objective([one], one.photo, [{}], None)
    assert objective.free is None
    assert [term.tap for term in objective.style] == ["relu1_1", "relu2_1"] * 2
    assert [term.weight for term in objective.style] == pytest.approx([48 / 44, 48 / 44, 128 / 44, 128 / 44])
    features = network(to_images([scaled(load(paintings[0]), 44)]), LAYERS.style)
    for index, term in enumerate(objective.style):
        map_ = features[term.tap]
        own = region_weights(of_style, *map_.shape[2:])[index // 2][None].float()
        same(term.target, moments(map_, own))
        assert term.guidance is not None
        size = (40, 44) if term.tap == "relu1_1" else (20, 22)
        assert term.guidance.shape == (1, 1, *size)
        expected = left_half(*size).zero_()
        expected[..., : size[1] * 3 // 11] = 1
        torch.testing.assert_close(term.guidance, expected if index < 2 else 1 - expected)
    image = noise(1, 3, 40, 44, seed=9)
    tiled = whole_or_tiled(made.objective([one], one.photo, [{}], 16), 16, image)
    whole = objective(image)
    assert (whole.gradient - tiled.gradient).norm() < 1e-5 * whole.gradient.norm()


def test_two_regions_of_one_style_are_not_mixed_up(network: Extractor, paintings: list[Path]) -> None:
    """With the painting for a photo, and its own mask for both: nothing is left to be done."""
    own = to_images([load(paintings[0])])
    both = regions(44, 52, 30)
    swapped = Regions(both.colours, 1 - both.labels)
    lost = []
    for of_style in (both, swapped):
        one = Order(own, FIRST, 0, None, (both, of_style))
        lost.append(workshop(network, paintings).objective([one], own, [{}], None)(own).parts["style"].item())
    assert lost[0] == pytest.approx(0, abs=1e-9)
    assert lost[1] > 1e-3


# --- colours ------------------------------------------------------------------------------------------------------


def test_colours_of_noise_are_those_of_the_chosen(network: Extractor, paintings: list[Path]) -> None:
    pixels = [to_images([scaled(load(path), 44)]).flatten(2)[0] for path in paintings]
    mean, deviation = workshop(network, paintings).colours(order())
    torch.testing.assert_close(mean.flatten(), pixels[0].mean(1))
    torch.testing.assert_close(deviation.flatten(), pixels[0].std(1, correction=0), rtol=1e-4, atol=1e-5)
    mixed = order(chosen=Chosen((0, 1, 2), (0.5, 0.2, 0.3)))
    mean, deviation = workshop(network, paintings).colours(mixed)
    expected = sum(share * one.mean(1) for share, one in zip((0.5, 0.2, 0.3), pixels, strict=True))
    squares = sum(share * one.square().mean(1) for share, one in zip((0.5, 0.2, 0.3), pixels, strict=True))
    torch.testing.assert_close(mean.flatten(), expected)
    torch.testing.assert_close(deviation.flatten(), (squares - expected**2).sqrt(), rtol=1e-4, atol=1e-5)  # type: ignore[operator]


def test_the_style_takes_the_photos_palette_where_it_is_matched(network: Extractor, paintings: list[Path]) -> None:
    warm = order()
    photo = 0.2 * warm.photo + torch.tensor([0.5, 0.1, -0.3]).view(1, 3, 1, 1)
    one = Order(photo, FIRST, 0)
    mean, deviation = workshop(network, paintings, colour="matched").colours(one)
    torch.testing.assert_close(mean.flatten(), photo.mean((0, 2, 3)), rtol=0, atol=0.01)
    torch.testing.assert_close(deviation.flatten(), photo.std((0, 2, 3)), rtol=0.05, atol=0)


def test_the_style_is_grey_where_only_brightness_is_painted(network: Extractor, paintings: list[Path]) -> None:
    grey = luminance(0.3 * order().photo - 0.2).expand(-1, 3, -1, -1).contiguous()
    mean, deviation = workshop(network, paintings, colour="luminance").colours(Order(grey, FIRST, 0))
    assert mean.flatten().tolist() == pytest.approx([grey.mean().item()] * 3, abs=0.01)
    assert deviation.flatten().tolist() == pytest.approx([grey[:, 0].std().item()] * 3, rel=0.05)


def test_descriptions_are_of_the_style_layers(network: Extractor, paintings: list[Path]) -> None:
    described = workshop(network, paintings).describe(to_images([load(paintings[0])]))
    assert tuple(described) == LAYERS.style
    own = at(network, paintings[0], 1000)
    for tap, found in described.items():
        channels = network.channels[tap]
        assert found.directions.shape == (1, channels * (channels + 1) // 2)
        torch.testing.assert_close(found.sizes, own[tap].second.flatten(1).norm(dim=1))
