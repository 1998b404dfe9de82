"""What is grey, flat, framed or there twice is found, however it was altered; what only resembles it is not.

Covers cyclestyle.data.likeness and cyclestyle.data.looks.
"""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from cyclestyle.data.inspection import Unusable
from cyclestyle.data.likeness import Group, groups, leaks
from cyclestyle.data.looks import Looks, look


def landscape(seed: int, size: tuple[int, int] = (192, 144)) -> Image.Image:
    """A picture with structure of every size, as pictures have it: large forms strong, small ones weak."""
    chances, layers = np.random.default_rng(seed), np.zeros((size[1], size[0], 3))
    for across in (3, 6, 12, 24, 48):
        coarse = Image.fromarray(chances.integers(0, 256, (across, across, 3), dtype=np.uint8))
        layers += np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), dtype=float) / across**0.5
    layers -= layers.min()
    return Image.fromarray((layers * (235 / layers.max()) + 5).astype(np.uint8))


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def matted(picture: Image.Image, colour: str = "white") -> Image.Image:
    return ImageOps.expand(picture, border=20, fill=colour)


def seen(folder: Path, *pictures: Image.Image) -> list[Looks]:
    """Write pictures without loss and look at them."""
    found = []
    for number, picture in enumerate(pictures):
        picture.save(folder / f"{number}.png")
        one = look(folder / f"{number}.png")
        assert isinstance(one, Looks)
        found.append(one)
    return found


# One picture.


def test_size_mode_and_pixels_are_remembered(tmp_path: Path) -> None:
    colour, grey = seen(tmp_path, landscape(0), landscape(0).convert("L"))
    assert (colour.size, colour.mode, colour.grey, colour.flat, colour.borders) == ((192, 144), "RGB", False, False, ())
    assert (grey.mode, grey.grey) == ("L", True)
    assert colour.digest != grey.digest


def test_what_cannot_be_used_says_why(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    assert look(tmp_path / "a.jpg") == Unusable(tmp_path / "a.jpg", "empty")


def test_grey_is_found_in_colour_mode_and_after_jpeg(tmp_path: Path) -> None:
    grey = landscape(0).convert("L").convert("RGB")
    sepia = ImageOps.colorize(landscape(0).convert("L"), "black", "wheat")
    signed = grey.copy()
    signed.paste("red", (100, 100, 104, 103))  # a small red signature changes nothing
    found = seen(tmp_path, grey, jpeg(grey, 40), signed, sepia, landscape(0))
    assert [one.grey for one in found] == [True, True, True, False, False]


def test_one_colour_is_flat_and_has_neither_frame_nor_likeness(tmp_path: Path) -> None:
    dots = Image.new("RGB", (64, 64), "teal")
    dots.paste("white", (10, 10, 12, 12))
    found = seen(
        tmp_path,
        *(Image.new("RGB", (64, 64), colour) for colour in ("teal", "white", "black")),
        *(jpeg(Image.new("RGB", (64, 64), "teal"), 50), dots, Image.linear_gradient("L").convert("RGB")),
    )
    assert [one.flat for one in found] == [True, True, True, True, True, False]
    assert not any(one.borders for one in found)
    assert groups(found) == []  # smooth pictures do not all match one another


@pytest.mark.parametrize("colour", ["white", "black", "darkred"])
def test_frames_of_any_colour_are_found_by_their_sides(tmp_path: Path, colour: str) -> None:
    inner, bars = landscape(1), landscape(1)
    letterbox, pillars, one_side = inner.copy(), inner.copy(), inner.copy()
    bars = [(0, 0, 192, 12), (0, 132, 192, 144)]
    for bar in bars:
        letterbox.paste(colour, bar)
    pillars.paste(colour, (0, 0, 10, 144))
    pillars.paste(colour, (182, 0, 192, 144))
    one_side.paste(colour, bars[0])
    found = seen(tmp_path, matted(inner, colour), letterbox, pillars, one_side, inner, jpeg(matted(inner, colour), 60))
    every = ("top", "bottom", "left", "right")
    assert [one.borders for one in found] == [every, ("top", "bottom"), ("left", "right"), (), (), every]


def test_a_night_sky_is_no_frame(tmp_path: Path) -> None:
    """It is black at three sides, but ends little by little."""
    night = np.asarray(landscape(2)).astype(float)
    rows, columns = np.mgrid[0:144, 0:192]
    light = np.clip((rows - 50) / 90, 0, 1) * np.clip(np.minimum(columns, 192 - columns) / 60, 0, 1)
    assert seen(tmp_path, Image.fromarray((night * light[..., None]).astype(np.uint8)))[0].borders == ()


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3000, 1), (1, 3000), (2000, 7)])
def test_pictures_of_any_size_can_be_looked_at(tmp_path: Path, size: tuple[int, int]) -> None:
    (one,) = seen(tmp_path, landscape(3).resize(size))
    assert one.size == size


# Two pictures.

ALTERED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "quality 30": lambda picture: jpeg(picture, 30),
    "quality 60": lambda picture: jpeg(picture, 60),
    "half": lambda picture: picture.resize((96, 72), Image.Resampling.BICUBIC),
    "double": lambda picture: picture.resize((384, 288), Image.Resampling.BICUBIC),
    "brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.1),
    "darker": lambda picture: ImageEnhance.Brightness(picture).enhance(0.9),
    "cropped": lambda picture: picture.crop((6, 0, 192, 140)),
    "cropped at every side": lambda picture: picture.crop((6, 4, 186, 140)),
    "matted": matted,
    "grey": lambda picture: picture.convert("L").convert("RGB"),
}


@pytest.mark.parametrize("how", ALTERED)
@pytest.mark.parametrize("mirrored", [False, True])
def test_an_altered_copy_is_found_among_others_and_told_if_mirrored(tmp_path: Path, how: str, mirrored: bool) -> None:
    copy = ALTERED[how](landscape(5))
    found = seen(tmp_path, *(landscape(seed) for seed in range(10)), ImageOps.mirror(copy) if mirrored else copy)
    assert groups(found) == [Group((5, 10), (False, mirrored), exact=False)]


def test_different_pictures_are_not_alike(tmp_path: Path) -> None:
    assert groups(seen(tmp_path, *(landscape(seed) for seed in range(60)))) == []


def test_pictures_in_one_kind_of_frame_are_not_alike(tmp_path: Path) -> None:
    captioned = [matted(landscape(seed)) for seed in range(8)]
    for picture in captioned:
        picture.paste("black", (90, 170, 140, 174))
    assert groups(seen(tmp_path, *captioned)) == []


def test_horizons_at_one_height_are_not_alike(tmp_path: Path) -> None:
    seas = []
    for seed in range(8):
        noise = np.random.default_rng(seed).normal(0, 4, (144, 192, 3))
        noise[:70] += 190
        noise[70:] += 80
        seas.append(Image.fromarray(noise.clip(0, 255).astype(np.uint8)))
    assert groups(seen(tmp_path, *seas)) == []


def test_the_same_pixels_are_the_same_whatever_the_file(tmp_path: Path) -> None:
    picture, smooth = landscape(0), Image.new("RGB", (40, 40), "teal")
    for name in ("a.png", "b.bmp", "c.tif", "d.webp"):
        picture.save(tmp_path / name, **({"lossless": True} if name.endswith("webp") else {}))
    smooth.save(tmp_path / "e.png")
    smooth.save(tmp_path / "f.bmp")
    Image.new("RGB", (80, 20), "teal").save(tmp_path / "g.png")  # as many pixels of one colour, in another shape
    found = [one for path in sorted(tmp_path.iterdir()) if isinstance(one := look(path), Looks)]
    assert groups(found) == [
        Group((0, 1, 2, 3), (False,) * 4, exact=True),
        Group((4, 5), (False, False), exact=True),
    ]


def test_many_copies_are_one_group_with_each_ones_way_round(tmp_path: Path) -> None:
    picture = landscape(0)
    copies = [picture.crop((number % 4, number % 3, 192, 144)) for number in range(40)]
    turned = [number % 5 == 3 for number in range(40)]
    found = seen(tmp_path, *(ImageOps.mirror(p) if turn else p for p, turn in zip(copies, turned, strict=True)))
    assert groups(found) == [Group(tuple(range(40)), tuple(turned), exact=False)]


def test_the_first_of_a_group_is_the_one_the_others_are_mirrored_against(tmp_path: Path) -> None:
    picture = landscape(0)
    found = seen(tmp_path, ImageOps.mirror(picture), picture, jpeg(picture, 60))
    assert groups(found) == [Group((0, 1, 2), (False, True, True), exact=False)]


def test_nothing_and_one_picture_have_no_groups(tmp_path: Path) -> None:
    assert groups([]) == []
    assert groups(seen(tmp_path, landscape(0))) == []


@pytest.mark.parametrize(
    ("sets", "leaking"),
    [
        (("photos", "photos"), False),
        (("photos", "paintings"), True),
        (("photos", "test photos"), True),
        (("paintings", "test photos"), True),
        (("test photos", "test paintings"), False),
        (("test photos", "test photos"), False),
    ],
)
def test_leaks_are_groups_across_sets_that_should_share_none(sets: tuple[str, str], leaking: bool) -> None:
    group = Group((0, 1), (False, False), exact=True)
    assert leaks([group], sets) == ([group] if leaking else [])
