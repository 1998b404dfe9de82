"""Whoever decodes a file, the pixels are those of `load`."""

import os
import struct
from collections.abc import Callable
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile

from cyclestyle.data import decoding as module
from cyclestyle.data.decoding import decoders_agree, is_plain_jpeg, read_pixels
from cyclestyle.images import load

ASSETS = os.environ.get("CYCLESTYLE_ASSETS")


def picture(width: int, height: int, *, noisy: bool = False) -> Image.Image:
    chances = np.random.default_rng(width * 1000 + height)
    sides = (height, width) if noisy else (7, 8)
    coarse = Image.fromarray(chances.integers(0, 256, (*sides, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def by_opencv(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One number for each file that OpenCV decodes from now on."""
    decoders_agree()
    found: list[int] = []
    real = module._by_opencv
    monkeypatch.setattr(module, "_by_opencv", lambda content: (found.append(1), real(content))[1])
    return found


def test_the_two_decoders_agree_here() -> None:
    """Where this fails, nothing is wrong but slower: plain JPEGs are then decoded by Pillow."""
    assert decoders_agree()


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 9), (64, 48), (255, 131), (640, 427)])
@pytest.mark.parametrize("noisy", [False, True])
def test_plain_jpegs_are_decoded_by_opencv_to_the_bytes_of_pillow(
    noisy: bool, size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, number = by_opencv(monkeypatch), 0
    monkeypatch.setattr(ImageFile, "MAXBLOCK", 1 << 22)  # Pillow would not encode noise otherwise
    for subsampling, progressive, quality in product((0, 1, 2), (False, True), (30, 75, 95, 100)):
        for more in ({}, {"optimize": True}, {"restart_marker_rows": 1}, {"icc_profile": b"x" * 3000}):
            path = tmp_path / f"{number}.jpg"
            options = {"subsampling": subsampling, "progressive": progressive, "quality": quality} | more
            picture(*size, noisy=noisy).save(path, **options)
            number += 1
            assert np.array_equal(read_pixels(path), np.asarray(load(path)))
            assert len(counted) == number


def noted(path: Path, orientation: int | None) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    if orientation is not None:
        exif[0x0112] = orientation
    picture(40, 24).save(path, exif=exif)


@pytest.mark.parametrize("orientation", [None, 1])
def test_notes_of_a_camera_that_was_held_upright_change_nothing(
    orientation: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = by_opencv(monkeypatch)
    noted(tmp_path / "a.jpg", orientation)
    assert np.array_equal(read_pixels(tmp_path / "a.jpg"), np.asarray(load(tmp_path / "a.jpg")))
    assert counted


def turned(path: Path) -> None:
    noted(path, 6)


def turned_by_xmp(path: Path) -> None:
    picture(40, 24).save(path, xmp=b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>')
    assert load(path).size == (24, 40)


def cmyk(path: Path) -> None:
    picture(40, 24).convert("CMYK").save(path)


def grey(path: Path) -> None:
    picture(40, 24).convert("L").save(path)


def as_rgb(path: Path) -> None:
    picture(40, 24).save(path, keep_rgb=True)


def cut_off(path: Path) -> None:
    picture(200, 200, noisy=True).save(path)
    path.write_bytes(path.read_bytes()[:-3000])


def longer(path: Path) -> None:
    picture(40, 24).save(path)
    path.write_bytes(path.read_bytes() + b"more")


def other_sampling(path: Path) -> None:
    """4:4:0, where versions of libjpeg-turbo differ."""
    picture(40, 24).save(path, subsampling=1)
    content = path.read_bytes()
    at = content.index(b"\xff\xc0")
    path.write_bytes(content[: at + 11] + b"\x12" + content[at + 12 :])


def png(path: Path) -> None:
    picture(40, 24).save(path, "PNG")


def several(path: Path) -> None:
    picture(40, 24).save(path, "MPO", save_all=True, append_images=[picture(40, 24, noisy=True)])


def claims_much(path: Path) -> None:
    picture(40, 24).save(path)
    content = path.read_bytes()
    at = content.index(b"\xff\xc0")
    path.write_bytes(content[: at + 5] + struct.pack(">HH", 60_000, 60_000) + content[at + 9 :])


def nothing(path: Path) -> None:
    path.write_bytes(b"")


def ends_early(path: Path) -> None:
    picture(40, 24).save(path)
    path.write_bytes(path.read_bytes()[:30] + b"\xff\xd9")


@pytest.mark.parametrize(
    "make",
    [
        *(
            turned,
            turned_by_xmp,
            cmyk,
            grey,
            as_rgb,
            cut_off,
            longer,
            other_sampling,
            png,
            several,
            claims_much,
            nothing,
            ends_early,
        ),
        lambda path: None,
        lambda path: path.mkdir(),
    ],
)
def test_all_others_are_left_to_pillow(
    make: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, path = by_opencv(monkeypatch), tmp_path / "a.jpg"
    make(path)
    try:
        expected, refused = np.asarray(load(path)), None
    except (ValueError, OSError) as error:
        expected, refused = None, str(error)
    if refused is None:
        assert np.array_equal(read_pixels(path), expected)
    else:
        with pytest.raises((ValueError, OSError)) as found:
            read_pixels(path)
        assert str(found.value) == refused
    assert not counted


def test_what_opencv_refuses_is_left_to_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise cv2.error("too large")

    picture(40, 24).save(tmp_path / "a.jpg")
    decoders_agree()
    for answer in (refuse, lambda *_: None):
        monkeypatch.setattr(cv2, "imdecode", answer)
        assert np.array_equal(read_pixels(tmp_path / "a.jpg"), np.asarray(load(tmp_path / "a.jpg")))


def test_where_decoders_differ_or_opencv_is_old_pillow_decodes_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(40, 24).save(tmp_path / "a.jpg")
    expected, real = np.asarray(load(tmp_path / "a.jpg")), cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda *given: real(*given) ^ 1)
    decoders_agree.cache_clear()
    try:
        assert not decoders_agree()
        assert np.array_equal(read_pixels(tmp_path / "a.jpg"), expected)
        monkeypatch.setattr(module, "_AS_RGB", None)
        decoders_agree.cache_clear()
        assert not decoders_agree()
    finally:
        decoders_agree.cache_clear()


def test_any_bytes_can_be_asked_of() -> None:
    chances = np.random.default_rng(0)
    for length in range(200):
        noise = chances.bytes(length)
        for content in (noise, b"\xff\xd8\xff" + noise + b"\xff\xd9", b"\xff\xd8\xff\xe0\0\0" + noise + b"\xff\xd9"):
            assert not is_plain_jpeg(content)


@pytest.mark.assets
@pytest.mark.skipif(ASSETS is None, reason="CYCLESTYLE_ASSETS is not set")
def test_real_pictures_are_plain_and_the_same() -> None:
    assert ASSETS is not None
    paths = [path for name in ("trainA", "testB") for path in sorted(Path(ASSETS, "data/monet2photo", name).iterdir())]
    plain = 0
    for path in paths[::3]:
        plain += is_plain_jpeg(path.read_bytes())
        assert np.array_equal(read_pixels(path), np.asarray(load(path)))
    assert plain > 0.9 * len(paths[::3])
