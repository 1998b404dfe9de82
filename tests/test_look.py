"""A sheet of what is in a zip, and by whom it was painted (cyclestyle.competing.look)."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import Draw
from PIL import Image

from cyclestyle.competing.look import GAP, painted_by, show
from cyclestyle.data.jobs import mark
from cyclestyle.images import load, save

SIDE = 256


@pytest.fixture
def world(tmp_path: Path, draw: Draw) -> tuple[Path, dict[str, Path]]:
    """A zip of flat pictures in ten colours, and the photos that they were painted from."""
    photos = draw(tmp_path / "photos", 10, size=(300, 400), suffix=".jpg")
    archive = tmp_path / "images.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for number, photo in enumerate(photos):
            painting = tmp_path / "one.jpg"
            save(
                Image.new("RGB", (SIDE, SIDE), (25 * number, 0, 255)),
                painting,
                exif=mark(f"painter abc photo {number}"),
            )
            opened.write(painting, photo.name)
    return archive, {photo.name: photo for photo in photos}


def test_each_painting_stands_below_its_photo_and_they_are_from_all_over(
    world: tuple[Path, dict[str, Path]], tmp_path: Path
) -> None:
    archive, photos = world
    show(archive, photos, tmp_path / "sheet.png", columns=5)
    sheet = np.asarray(load(tmp_path / "sheet.png")).astype(int)
    assert sheet.shape == (2 * SIDE + GAP, 5 * (SIDE + GAP) - GAP, 3)
    for column in range(5):
        left = column * (SIDE + GAP)
        painting = sheet[SIDE + GAP + 100, left + 100]
        assert abs(painting - [50 * column, 0, 255]).max() < 8
        photo = load(photos[f"picture-{2 * column:02d}.jpg"])
        assert abs(sheet[SIDE // 2, left + SIDE // 2] - np.asarray(photo)[200, 150].astype(int)).max() < 40


def test_few_pictures_make_a_small_sheet(world: tuple[Path, dict[str, Path]], tmp_path: Path) -> None:
    archive, photos = world
    few = dict(list(photos.items())[:2])
    show(archive, few, tmp_path / "sheet.jpg")
    assert load(tmp_path / "sheet.jpg").size == (2 * SIDE + GAP, 2 * SIDE + GAP)


def test_a_zip_tells_its_painter(world: tuple[Path, dict[str, Path]], tmp_path: Path) -> None:
    assert painted_by(world[0]) == "painter abc photo 0"
    assert painted_by(tmp_path / "none.zip") is None
    for name, content in (("text.zip", b"hello"), ("cut.zip", world[0].read_bytes()[:5000])):
        (tmp_path / name).write_bytes(content)
        assert painted_by(tmp_path / name) is None
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    assert painted_by(tmp_path / "empty.zip") is None
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as opened:
        opened.writestr("a.jpg", "not a picture")
    assert painted_by(tmp_path / "other.zip") is None
    save(Image.new("RGB", (8, 8)), tmp_path / "plain.jpg")
    with zipfile.ZipFile(tmp_path / "plain.zip", "w") as opened:
        opened.write(tmp_path / "plain.jpg", "a.jpg")
    assert painted_by(tmp_path / "plain.zip") is None
