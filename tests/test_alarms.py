"""Alarms ring on what is broken, alone and mixed with other changes, and keep still on what is not."""

import io
import math
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from cyclestyle.config import GeneratorSettings, Settings
from cyclestyle.data.scenes.description import describe
from cyclestyle.data.scenes.painting import paint_truth
from cyclestyle.data.scenes.photograph import photograph
from cyclestyle.evaluation.symptoms import (
    brightness_correlations,
    colour_correlations,
    contrasts,
    differences,
    nearest,
    periodic_pattern,
)
from cyclestyle.images import Images, fit, list_pictures, load, pixels_to_images, to_images, to_pictures
from cyclestyle.networks.generator import build_generator
from cyclestyle.networks.layers import initialise
from cyclestyle.styling.colour import lab_statistics, reinhard
from cyclestyle.training.adversarial import ADVERSARIAL
from cyclestyle.training.alarms import CHECKER_LEVELS, COPY_BELOW, loss_alarms, picture_alarms

Change = Callable[[Images], Images]
LEVEL = 1 / 127.5


def chances(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(like: Images, levels: float) -> Images:
    return levels * LEVEL * torch.randn(like.shape, generator=chances())


@pytest.fixture(scope="module")
def photos() -> Images:
    return torch.cat([pixels_to_images(photograph(describe(11, index), 64)[None]) for index in range(8)])


@pytest.fixture(scope="module")
def paintings() -> Images:
    """How the photos should be painted: other palette, brush strokes, a canvas."""
    return torch.cat([pixels_to_images(paint_truth(describe(11, index), 64)[None]) for index in range(8)])


def brightness(images: Images) -> Images:
    return (images * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)


def as_jpeg(images: Images, quality: int) -> Images:
    found = []
    for picture in to_pictures(images):
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        found.append(Image.open(file).convert("RGB"))
    return to_images(found)


# --- nothing wrong ------------------------------------------------------------------------------------------------


def test_true_paintings_are_in_order(photos: Images, paintings: Images) -> None:
    assert picture_alarms(photos, paintings, painted_distance=0.1, photos_distance=1.0) == {}


def test_colour_transfer_is_in_order(photos: Images, paintings: Images) -> None:
    assert picture_alarms(photos, reinhard(photos, lab_statistics(paintings))) == {}


@pytest.mark.parametrize("count", [1, 2])
def test_few_pictures_are_in_order_too(photos: Images, paintings: Images, count: int) -> None:
    assert picture_alarms(photos[:count], paintings[:count]) == {}


def test_all_alarms_name_settings_that_there_are(photos: Images) -> None:
    sections = {name: field.annotation for name, field in Settings.model_fields.items()}
    broken = [photos, -photos, photos + grid("2", 6, photos), 0 * photos, photos[:1].expand_as(photos)]
    sentences = [
        sentence
        for painted in broken
        for sentence in picture_alarms(photos, painted, painted_distance=9.0, photos_distance=1.0).values()
    ]
    sentences += loss_alarms(WON["lsgan"], "lsgan").values()
    assert len(set(sentences)) >= 8
    for sentence in sentences:
        named = re.findall(r"--([a-z]+)\.([a-z-]+)", sentence)
        assert named, sentence
        for section, name in named:
            assert name.replace("-", "_") in sections[section].model_fields


# --- copy ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda x: x, id="to the bit"),
        pytest.param(lambda x: as_jpeg(x, 50), id="jpeg"),
        pytest.param(lambda x: x + noise(x, 5), id="noise"),
        pytest.param(lambda x: 0.95 * x + 0.02, id="a little paler"),
    ],
)
def test_copies_are_noticed(photos: Images, change: Change) -> None:
    assert list(picture_alarms(photos, change(photos))) == ["copy"]


def test_a_copy_counts_only_where_most_are(photos: Images, paintings: Images) -> None:
    mostly, hardly = (torch.cat([photos[:n], paintings[n:]]) for n in (6, 2))
    assert "copy" in picture_alarms(photos, mostly)
    assert picture_alarms(photos, hardly) == {}


def test_the_difference_is_in_levels(photos: Images) -> None:
    assert differences(photos, photos + 3 * LEVEL).tolist() == pytest.approx([3.0] * 8, rel=1e-4)
    for levels, rings in ((COPY_BELOW - 0.1, True), (COPY_BELOW + 0.1, False)):
        assert ("copy" in picture_alarms(photos, photos + levels * LEVEL)) is rings


# --- inverted -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda x: -x, id="all"),
        pytest.param(lambda x: -x[:, [1, 2, 0]] * 0.7 + 0.1, id="brightness, with other hues"),
        pytest.param(lambda x: x - 2 * brightness(x), id="brightness, hues kept"),
        pytest.param(lambda x: 2 * brightness(x) - x, id="colours, brightness kept"),
        pytest.param(lambda x: -0.5 * x + noise(x, 15), id="pale and noisy"),
        pytest.param(lambda x: torch.cat([x[:2], -x[2:]]), id="three of four"),
    ],
)
def test_inverted_pictures_are_noticed(photos: Images, change: Change) -> None:
    assert list(picture_alarms(photos, change(photos))) == ["inverted"]


def test_few_inverted_pictures_and_unrelated_ones_are_not(photos: Images, paintings: Images) -> None:
    assert picture_alarms(photos, torch.cat([-paintings[:3], paintings[3:]])) == {}
    assert "inverted" not in picture_alarms(photos, paintings.roll(1, 0))


def test_correlations_are_those_of_the_axes(photos: Images) -> None:
    assert brightness_correlations(photos, 0.3 * photos - 0.2).tolist() == pytest.approx([1.0] * 8, abs=1e-4)
    assert brightness_correlations(photos, -photos).tolist() == pytest.approx([-1.0] * 8, abs=1e-4)
    # grey has no colours that could be inverted, one colour no brightness
    grey = brightness(photos).expand_as(photos)
    assert colour_correlations(grey, -grey).tolist() == [0.0] * 8
    assert brightness_correlations(photos, 0 * photos + 0.3).tolist() == [0.0] * 8
    tinted = grey + LEVEL * torch.tensor([1.0, 0.0, -1.0])[:, None, None] * photos.sign()
    assert colour_correlations(tinted, 2 * grey - tinted).tolist() == [0.0] * 8
    # one of the two axes inverted is no inversion
    flipped = photos.clone()
    flipped[:, 2] = photos[:, 0] + photos[:, 1] - photos[:, 2]  # blue against yellow alone
    assert colour_correlations(photos, flipped).min() > 0.9


# --- checkerboard -------------------------------------------------------------------------------------------------


def grid(kind: str, levels: float, like: Images) -> Images:
    """A pattern of an amplitude in levels."""
    y, x = torch.arange(like.shape[2])[:, None], torch.arange(like.shape[3])
    pattern = {
        "2": 1 - 2 * ((x + y) % 2),
        "2, rows": 1 - 2 * (y % 2) + 0 * x,
        "2, points": 2 * (y % 2) * (x % 2) - 0.5,
        "4": 1 - 2 * ((x // 2 + y // 2) % 2),
        "4, columns": torch.cos(math.pi * x / 2) + 0 * y,
        "3": torch.cos(2 * math.pi * x / 3) + 0 * y,
        "8": 1 - 2 * ((x // 4 + y // 4) % 2),
    }[kind]
    return (levels * LEVEL * pattern).float().expand_as(like)


@pytest.mark.parametrize("kind", ["2", "2, rows", "2, points", "4", "4, columns"])
def test_grids_are_noticed_on_paintings(photos: Images, paintings: Images, kind: str) -> None:
    assert list(picture_alarms(photos, paintings + grid(kind, 4, paintings))) == ["checkerboard"]
    amplitude, period = periodic_pattern(photos, paintings + grid(kind, 8, paintings))
    assert amplitude == pytest.approx(8, rel=0.55)  # a square wave has more than one frequency
    assert period == int(kind[0])


def test_a_grid_that_changes_sides_is_noticed(photos: Images, paintings: Images) -> None:
    signs = F.interpolate(torch.randn(8, 1, 4, 4, generator=chances()), size=64, mode="bilinear").sign()
    assert "checkerboard" in picture_alarms(photos, paintings + signs * grid("2", 6, paintings))


def test_a_grid_of_one_colour_is_noticed(photos: Images, paintings: Images) -> None:
    blue = grid("2", 6, paintings) * torch.tensor([0.0, 0.0, 1.0])[:, None, None]
    assert "checkerboard" in picture_alarms(photos, paintings + blue)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda x: x + grid("2", 0.5, x), id="too faint to be seen"),
        pytest.param(lambda x: x + grid("3", 6, x), id="period 3"),
        pytest.param(lambda x: x + noise(x, 25), id="noise"),
        pytest.param(lambda x: as_jpeg(x, 30), id="blocks of jpeg"),
        pytest.param(lambda x: 2 * x - F.avg_pool2d(x, 5, 1, 2), id="sharpened"),
        pytest.param(lambda x: F.avg_pool2d(x, 3, 1, 1), id="blurred"),
        pytest.param(lambda x: x.repeat_interleave(3, 2).repeat_interleave(3, 3)[..., :64, :64], id="coarse strokes"),
    ],
)
def test_other_textures_are_no_checkerboard(photos: Images, paintings: Images, change: Change) -> None:
    assert "checkerboard" not in picture_alarms(photos, change(paintings))


def test_a_grid_that_the_photos_have_is_not_the_painter_s(photos: Images, paintings: Images) -> None:
    own = grid("2", 6, photos) + grid("4", 6, photos)
    assert picture_alarms(photos + own, paintings + own) == {}
    assert periodic_pattern(photos + own, paintings) == (0.0, 2)


def test_the_amplitude_is_measured(photos: Images) -> None:
    for levels in (2.0, 5.0, 10.0):
        amplitude, period = periodic_pattern(photos, photos + grid("2", levels, photos))
        assert (amplitude, period) == (pytest.approx(levels, rel=0.05), 2)
        assert amplitude > CHECKER_LEVELS
    wave = grid("4, columns", 5.0, photos)
    assert periodic_pattern(photos, photos + wave) == (pytest.approx(5.0, rel=0.15), 4)


@pytest.mark.parametrize("kind", ["resnet", "unet"])
def test_untrained_transposed_convolutions_are_noticed_and_resized_ones_are_not(photos: Images, kind: str) -> None:
    amplitudes = {}
    for upsampling in ("transposed", "resize"):
        network = build_generator(
            GeneratorSettings.model_validate(
                {"kind": kind, "width": 8, "blocks": 1, "depth": 5, "upsampling": upsampling}
            )
        )
        initialise(network, chances(3), deviation=0.1)
        with torch.inference_mode():
            amplitudes[upsampling], _ = periodic_pattern(photos, network(photos))
    assert amplitudes["transposed"] > CHECKER_LEVELS
    assert amplitudes["resize"] < amplitudes["transposed"] / 3


def test_pictures_smaller_than_a_window_have_no_grid(photos: Images) -> None:
    small = photos[..., :12, :12]
    assert periodic_pattern(small, small + grid("2", 20, small)) == (0.0, 2)


# --- collapse and flat --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda x: x[:1].expand_as(x), id="one"),
        pytest.param(lambda x: x[:1] + 0.1 * x, id="one with a trace of each"),
        pytest.param(lambda x: x[:1] + noise(x, 10), id="one with noise"),
        pytest.param(lambda x: x[[0, 1, 0, 1, 0, 1, 1, 0]], id="two"),
    ],
)
def test_pictures_that_are_all_alike_are_noticed(photos: Images, paintings: Images, change: Change) -> None:
    assert list(picture_alarms(photos, change(paintings))) == ["collapse"]


def test_photos_that_are_alike_may_give_paintings_that_are(photos: Images, paintings: Images) -> None:
    nearly = photos[:1] + 2 * LEVEL * torch.arange(8)[:, None, None, None]
    assert picture_alarms(nearly, paintings[:1].expand_as(photos)) == {}


def test_the_nearest_other_is_measured_in_levels() -> None:
    # grey of 0, 10, 14 and 100 levels: 10, 4, 4 and 86 to the nearest
    images = torch.tensor([0.0, 10, 14, 100])[:, None, None, None].expand(4, 3, 16, 16) * LEVEL
    assert nearest(images) == pytest.approx((4 + 10) / 2, rel=1e-4)
    assert nearest(images[[2, 0, 3, 1]]) == pytest.approx(7, rel=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda x: 0 * x + 0.3, id="one colour"),
        pytest.param(lambda x: 0 * x + 0.3 + noise(x, 10), id="with noise"),
        pytest.param(lambda x: x.mean((2, 3), keepdim=True).expand_as(x), id="each its own"),
        pytest.param(lambda x: 0.08 * x - 0.5, id="a trace of the photo"),
    ],
)
def test_flat_pictures_are_noticed(photos: Images, change: Change) -> None:
    alarms = picture_alarms(photos, change(photos))
    assert "flat" in alarms
    assert set(alarms) <= {"flat", "collapse"}


def test_flat_photos_may_be_painted_flat(photos: Images) -> None:
    flat = photos.mean((2, 3), keepdim=True).expand_as(photos)
    assert "flat" not in picture_alarms(flat, flat * 0.5 + 0.3)


def test_contrast_is_in_levels() -> None:
    halves = torch.zeros(1, 3, 32, 32)
    halves[..., 16:] = 20 * LEVEL
    assert contrasts(halves).item() == pytest.approx(10, rel=1e-4)


# --- wrong direction ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("painted", "before", "count", "rings"),
    [
        (0.1, 1.0, 8, False),
        (1.5, 1.0, 8, False),  # colour transfer
        (3.9, 1.0, 8, False),  # chance with eight pictures
        (4.1, 1.0, 8, True),
        (10.1, 1.0, 2, True),
        (9.9, 1.0, 2, False),
        (1.9, -0.5, 8, False),  # photos that are paintings already
        (2.1, -0.5, 8, True),
        (math.inf, 1.0, 8, True),
        (math.nan, 1.0, 8, False),
    ],
)
def test_the_wrong_direction_is_told_from_the_two_distances(
    photos: Images, paintings: Images, painted: float, before: float, count: int, rings: bool
) -> None:
    alarms = picture_alarms(photos[:count], paintings[:count], painted_distance=painted, photos_distance=before)
    assert list(alarms) == (["wrong direction"] if rings else [])


# --- in general ---------------------------------------------------------------------------------------------------


def test_the_order_of_pictures_and_their_precision_do_not_matter(photos: Images, paintings: Images) -> None:
    turned = [5, 3, 0, 7, 1, 2, 6, 4]
    for painted in (photos, -photos, paintings + grid("2", 6, photos), 0 * photos, paintings[:1].expand_as(photos)):
        alarms = picture_alarms(photos, painted)
        assert alarms
        assert picture_alarms(photos[turned], painted[turned]).keys() == alarms.keys()
        assert picture_alarms(photos.bfloat16(), painted.bfloat16()).keys() == alarms.keys()


def test_pictures_stay_as_they_are(photos: Images, paintings: Images) -> None:
    before = photos.clone(), paintings.clone()
    picture_alarms(photos, paintings)
    assert torch.equal(photos, before[0])
    assert torch.equal(paintings, before[1])


def test_pictures_that_do_not_belong_together_are_refused(photos: Images) -> None:
    for painted in (photos[:3], photos[..., :32], photos[:, :1]):
        with pytest.raises(ValueError, match="should be alike"):
            picture_alarms(photos, painted)
    with pytest.raises(ValueError, match="should be alike"):
        picture_alarms(photos[:0], photos[:0])


# --- losses -------------------------------------------------------------------------------------------------------


def losses_of(adversarial: str, real: float, fake: float) -> dict[str, float]:
    """Means as they are logged, of a painting discriminator with these scores and a photo one that knows nothing."""
    of = ADVERSARIAL[adversarial]
    ignorant = 0.5 if adversarial == "lsgan" else 0.0

    def judged(side: str, high: float, low: float) -> dict[str, float]:
        up, down = torch.full((1, 1, 2, 2), high), torch.full((1, 1, 2, 2), low)
        return {
            f"real/{side}": 0.5 * of.real(up).item(),
            f"fake/{side}": 0.5 * of.fake(down).item(),
            f"fool/{side}": of.fool(down).item(),
        }

    return judged("painting", real, fake) | judged("photo", ignorant, ignorant)


WON = {
    "lsgan": losses_of("lsgan", 0.9, 0.05),
    "hinge": losses_of("hinge", 2.0, -2.0),
    "vanilla": losses_of("vanilla", 4.0, -4.0),
}


@pytest.mark.parametrize("adversarial", ADVERSARIAL)
def test_a_discriminator_that_makes_no_mistakes_has_won(adversarial: str) -> None:
    assert list(loss_alarms(WON[adversarial], adversarial)) == ["painting discriminator won"]


def test_both_are_looked_at() -> None:
    swapped = {name.replace("painting", "x"): value for name, value in WON["lsgan"].items()}
    swapped = {name.replace("photo", "painting").replace("x", "photo"): value for name, value in swapped.items()}
    assert list(loss_alarms(swapped, "lsgan")) == ["photo discriminator won"]


@pytest.mark.parametrize(
    ("adversarial", "real", "fake"),
    [
        ("lsgan", 0.5, 0.5),  # chance
        ("lsgan", 0.7, 0.3),
        ("lsgan", 1.0, 0.3),  # fakes still leave a mark
        ("lsgan", 0.9, 0.9),  # the generator has won
        ("hinge", 0.0, 0.0),
        ("hinge", 0.5, -0.5),
        ("hinge", -3.0, -3.0),  # everything is taken for made
        ("vanilla", 0.0, 0.0),
        ("vanilla", 1.0, -1.0),
        ("vanilla", -4.0, -4.0),
    ],
)
def test_a_fight_is_no_victory(adversarial: str, real: float, fake: float) -> None:
    assert loss_alarms(losses_of(adversarial, real, fake), adversarial) == {}


def test_losses_that_are_not_numbers_say_nothing() -> None:
    assert loss_alarms(dict.fromkeys(WON["lsgan"], math.nan), "lsgan") == {}


# --- real ones ----------------------------------------------------------------------------------------------------


@pytest.mark.assets
@pytest.mark.skipif("CYCLESTYLE_ASSETS" not in os.environ, reason="CYCLESTYLE_ASSETS names no folder of real pictures")
def test_real_photos_with_the_colours_of_monets_are_in_order() -> None:
    def read(name: str) -> Images:
        folder = Path(os.environ["CYCLESTYLE_ASSETS"]) / "data" / "monet2photo" / name
        return to_images([fit(load(path), 64) for path in list_pictures(folder)[:16]])

    photos = read("testB")
    painted = reinhard(photos, lab_statistics(read("testA")))
    assert picture_alarms(photos, painted) == {}
    assert list(picture_alarms(photos, painted + grid("2", 4, photos))) == ["checkerboard"]
    assert list(picture_alarms(photos, as_jpeg(photos, 75))) == ["copy"]
    assert list(picture_alarms(photos, -painted)) == ["inverted"]
