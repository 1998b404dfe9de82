"""`cyclestyle.evaluation.pictures`: which pictures are measured, how folders pair, what is told of the files."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Draw
from PIL import Image

from cyclestyle.evaluation.pictures import (
    PictureSet,
    Treatment,
    View,
    common_side,
    oddities,
    pair,
    read_set,
)
from cyclestyle.images import fit, load


def one_colour(path: Path, size: tuple[int, int], mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, 100 if mode == "L" else (200, 100, 50)).save(path)
    return path


def test_a_set_holds_what_can_be_read_and_names_what_cannot(tmp_path: Path, draw: Draw) -> None:
    paths = draw(tmp_path, 4)
    paths[1].write_bytes(paths[1].read_bytes()[:100])
    paths[2].write_bytes(b"")
    (tmp_path / "deep").mkdir()
    paths[3].rename(tmp_path / "deep" / "x.y.png")
    seen: list[int] = []
    found = read_set(tmp_path, seen.append)
    assert [item.name for item in found.items] == ["deep/x.y", "picture-00"]
    assert [one.name for one in found.unread] == ["picture-01", "picture-02"]
    assert all(str(path) in one.reason for path, one in zip(paths[1:3], found.unread, strict=True))
    assert sum(seen) == 4
    assert (found.items[1].width, found.items[1].height, found.items[1].format) == (24, 24, "PNG")


def test_folders_without_a_picture_that_can_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    file = tmp_path / "file.png"
    file.write_bytes(b"x")
    for place, said in (("nowhere", "no such folder"), ("file.png", "no such folder"), ("empty", "no pictures below")):
        with pytest.raises(FileNotFoundError, match=said):
            read_set(tmp_path / place)
    with pytest.raises(ValueError, match=r"none of the 1 pictures in .* can be read: .*file\.png"):
        read_set(tmp_path)


def test_the_digest_of_a_set_follows_names_and_contents_alone(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "a", 3)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    digest = read_set(tmp_path / "a").digest
    assert read_set(tmp_path / "b").digest == digest
    (tmp_path / "b" / "picture-00.png").rename(tmp_path / "b" / "other.png")
    assert read_set(tmp_path / "b").digest != digest
    one_colour(tmp_path / "a" / "picture-00.png", (24, 24))
    assert read_set(tmp_path / "a").digest != digest


def test_names_that_are_no_text_can_be_measured(tmp_path: Path, draw: Draw) -> None:
    (path,) = draw(tmp_path / "a", 1)
    try:
        os.rename(path, os.fsencode(tmp_path / "a") + b"/\xff.png")  # noqa: PTH104 - bytes
    except OSError:
        pytest.skip("this file system takes no such names")
    found = read_set(tmp_path / "a")
    assert len(found.digest) == 64
    assert View(found.items[0], 24).picture().size == (24, 24)


def test_pairs_are_found_by_name_whatever_the_format(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "photos", 5, suffix=".jpg")
    draw(tmp_path / "painted", 3)
    (tmp_path / "painted" / "picture-01.png").unlink()
    painted, photos = read_set(tmp_path / "painted"), read_set(tmp_path / "photos")
    assert pair(painted, photos) == ["picture-00", "picture-02"]
    assert [item.path.name for item in photos.only(["picture-02", "picture-00"]).items] == [
        "picture-02.jpg",
        "picture-00.jpg",
    ]


def test_a_painted_picture_without_a_photo_is_refused_by_name(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "photos", 2)
    draw(tmp_path / "painted", 4)
    with pytest.raises(ValueError, match=r"has no photo for 2 of the 4 pictures .* first picture-02"):
        pair(read_set(tmp_path / "painted"), read_set(tmp_path / "photos"))


def test_two_files_of_one_name_are_refused_on_either_side(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "photos", 2)
    draw(tmp_path / "both", 2)
    draw(tmp_path / "both", 1, suffix=".jpg")
    once, twice = read_set(tmp_path / "photos"), read_set(tmp_path / "both")
    for one, other in ((once, twice), (twice, once)):
        with pytest.raises(ValueError, match="holds picture-00 twice"):
            pair(one, other)


@pytest.mark.parametrize("broken", ["photos", "painted"])
def test_a_broken_picture_drops_its_pair_and_is_told(tmp_path: Path, draw: Draw, broken: str) -> None:
    for seed, name in enumerate(("photos", "painted")):
        draw(tmp_path / name, 3, seed=seed)
    (tmp_path / broken / "picture-01.png").write_bytes(b"not a picture")
    photos, painted = read_set(tmp_path / "photos"), read_set(tmp_path / "painted")
    names = pair(painted, photos)
    assert names == ["picture-00", "picture-02"]
    said = oddities({"photos": photos.only(names), "painted pictures": painted.only(names)}, 24, coded=False)
    assert len(said) == 1
    assert said[0].startswith(f"1 of the {'photos' if broken == 'photos' else 'painted pictures'} cannot be read")
    assert str(tmp_path / broken / "picture-01.png") in said[0]


def test_where_no_pair_is_left_it_says_so(tmp_path: Path, draw: Draw) -> None:
    for seed, name in enumerate(("photos", "painted")):
        draw(tmp_path / name, 2, seed=seed)
    (tmp_path / "photos" / "picture-00.png").write_bytes(b"x")
    (tmp_path / "painted" / "picture-01.png").write_bytes(b"x")
    with pytest.raises(ValueError, match="no picture is left that can be read in both"):
        pair(read_set(tmp_path / "painted"), read_set(tmp_path / "photos"))


@pytest.mark.parametrize(
    ("sizes", "side"),
    [
        ([(256, 256)], 256),
        ([(1024, 768)], 256),
        ([(300, 200)], 192),
        ([(1, 1)], 32),
        ([(47, 40)], 32),
        ([(64, 64), (64, 80), (200, 200)], 64),
        ([(64, 64), (128, 128)], 128),  # as many of each
    ],
)
def test_the_side_is_the_commonest_shorter_one_in_bounds(
    tmp_path: Path, sizes: list[tuple[int, int]], side: int
) -> None:
    for number, size in enumerate(sizes):
        one_colour(tmp_path / f"{number}.png", size)
    assert common_side(read_set(tmp_path)) == side


def sets_of(tmp_path: Path, *names: str) -> dict[str, PictureSet]:
    return {name: read_set(tmp_path / name) for name in names}


def test_nothing_is_told_of_pictures_that_are_all_alike(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "photos", 2)
    draw(tmp_path / "paintings", 2, seed=1)
    assert oddities(sets_of(tmp_path, "photos", "paintings"), 24, coded=False) == []


def test_sizes_grey_ones_and_mixed_formats_are_told(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "photos", 2, size=(64, 64), suffix=".jpg")
    draw(tmp_path / "photos", 1, size=(64, 64))  # PNG
    draw(tmp_path / "paintings", 2, size=(40, 80), seed=1)
    one_colour(tmp_path / "paintings" / "grey.png", (64, 64), "L")
    sets = sets_of(tmp_path, "photos", "paintings")
    formats, *rest = oddities(sets, 64, coded=False)
    assert formats.startswith("Formats differ (photos 2 JPEG and 1 PNG; paintings 3 PNG)")
    assert "--jpeg 95" in formats
    assert [said[:31] for said in rest] == [
        "2 of the 3 paintings are not 64",
        "2 of the 3 paintings are smalle",
        "1 of the 3 paintings are greysc",
    ]
    assert oddities(sets, 64, coded=True) == rest


def test_the_jpegs_of_phones_count_as_jpegs(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (24, 24), "red"), Image.new("RGB", (24, 24), "blue")
    (tmp_path / "phone").mkdir()
    first.save(tmp_path / "phone" / "a.jpg", "MPO", save_all=True, append_images=[second])
    one_colour(tmp_path / "plain" / "a.jpg", (24, 24))
    assert oddities(sets_of(tmp_path, "phone", "plain"), 24, coded=False) == []


def test_a_view_is_the_centred_square_scaled_and_untouched_if_it_has_the_side(tmp_path: Path, draw: Draw) -> None:
    (square,) = draw(tmp_path / "a", 1, size=(48, 48))
    (wide,) = draw(tmp_path / "b", 1, size=(90, 60))
    item = read_set(tmp_path / "a").items[0]
    assert View(item, 48).picture().tobytes() == load(square).tobytes()
    view = View(read_set(tmp_path / "b").items[0], 32)
    assert view.picture().tobytes() == fit(load(wide), 32).tobytes()
    images = view.images()
    assert images.shape == (1, 3, 32, 32)
    assert images.abs().max() <= 1


def test_orientation_is_obeyed(tmp_path: Path) -> None:
    picture = Image.new("RGB", (40, 20), "black")
    picture.paste("white", (0, 0, 20, 20))  # left half
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees, so the left half is the upper one
    picture.save(tmp_path / "a.png", exif=exif)
    item = read_set(tmp_path).items[0]
    assert (item.width, item.height) == (20, 40)
    seen = np.asarray(View(item, 32).picture()).astype(int)
    assert seen[:12].min() > 240
    assert seen[20:].max() < 15


def test_all_go_through_one_jpeg_after_the_treatment(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path, 1, size=(48, 48))
    item = read_set(tmp_path).items[0]
    plain, coded, poor = (View(item, 48, quality).images() for quality in (None, 95, 5))
    assert 0 < (plain - coded).abs().mean() < (plain - poor).abs().mean()
    treated = View(item, 48, 5, Treatment("inverted", lambda images: -images)).images()
    assert torch.nn.functional.l1_loss(treated, -poor) < 0.05
    assert View(item, 48, None, Treatment("inverted", torch.neg)).images().allclose(-plain, atol=1e-6)


def test_the_key_of_a_view_follows_whatever_its_pixels_follow(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "a", 2)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    one, other = read_set(tmp_path / "a").items
    views = [
        View(one, 24),
        View(other, 24),
        View(one, 32),
        View(one, 24, 95),
        View(one, 24, 90),
        View(one, 24, None, Treatment("x", torch.neg)),
        View(one, 24, None, Treatment("y", torch.neg)),
    ]
    assert len({view.key for view in views}) == len(views)
    assert View(read_set(tmp_path / "b").items[0], 24).key == views[0].key  # wherever the same file lies
