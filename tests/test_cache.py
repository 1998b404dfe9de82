"""A cache holds what the files hold, and anything that it does not hold is noticed."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Draw
from PIL import Image

from cyclestyle.config import DataSettings
from cyclestyle.data import cache as module
from cyclestyle.data.augment import Augmentation
from cyclestyle.data.cache import SEAL, Cache, core_is_flat, named, write_cache
from cyclestyle.data.decoding import read_pixels
from cyclestyle.images import load

PAPER = DataSettings(augmentation="paper", crop=16, resize=20)
PRESETS = ["paper", "flip", "zoom", "none"]


def settings(preset: str) -> DataSettings:
    return DataSettings(augmentation=preset, crop=16, resize=20)


def prepared(picture: Image.Image) -> np.ndarray:
    augmentation = Augmentation(PAPER)
    return augmentation.to_keep(augmentation.prepare(picture))


@pytest.fixture
def paths(tmp_path: Path, draw: Draw) -> list[Path]:
    return draw(tmp_path / "photos", 6)


def made(paths: list[Path], of: DataSettings = PAPER, before: Cache | None = None) -> Cache:
    at = paths[0].parents[1] / "a.pixels"
    write_cache(at, paths, of, before, lambda count: None)
    return Cache(at)


def decoding(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are decoded from now on."""
    decoded: list[Path] = []
    monkeypatch.setattr(module, "read_pixels", lambda path: (decoded.append(path), read_pixels(path))[1])
    return decoded


@pytest.mark.parametrize("preset", PRESETS)
def test_it_holds_the_bytes_that_decoding_gives(preset: str, tmp_path: Path, draw: Draw) -> None:
    files = draw(tmp_path / "photos", 5) + draw(tmp_path / "larger", 2, size=(50, 31))
    cache, augmentation = made(files, settings(preset)), Augmentation(settings(preset))
    assert len(cache) == 7
    for number, path in enumerate(files):
        assert np.array_equal(cache[number], augmentation.to_keep(augmentation.prepare(load(path))))
    assert cache.fits(files)


def test_nobody_can_change_what_it_holds(paths: list[Path]) -> None:
    with pytest.raises(ValueError, match="read-only"):
        made(paths)[0][:] = 0


def test_it_has_the_same_bytes_whoever_makes_it(paths: list[Path], tmp_path: Path) -> None:
    first = made(paths).path.read_bytes()
    assert made(paths).path.read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pixels", "photos"]


def test_its_name_follows_from_the_pictures_and_from_how_they_are_scaled(paths: list[Path]) -> None:
    def name(of: list[Path], **asked: Any) -> str:
        return named(of, Augmentation(PAPER.model_copy(update=asked)))

    assert name(paths) == name(paths)
    assert name(paths) == name(paths, batch=4, workers=0, crop=20)  # cutting comes later
    names = [name(paths), name(paths[:-1]), name(paths[::-1]), name(paths, resize=24), name(paths, augmentation="zoom")]
    assert len({*names}) == len(names)
    assert name(paths, augmentation="flip") == name(paths, augmentation="none")


# --- what changed -------------------------------------------------------------------------------------------------


def later(path: Path, seconds: float = 5) -> None:
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime + seconds))


@pytest.mark.parametrize("size", [(24, 24), (30, 20)])
def test_a_picture_that_changed_is_noticed_and_it_alone_is_decoded_again(
    size: tuple[int, int], paths: list[Path], draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = made(paths)
    (other,) = draw(tmp_path / "other", 1, size=size, seed=9)
    shutil.copy(other, paths[2])
    later(paths[2])
    assert not before.fits(paths)
    expected = [before[number].copy() for number in range(6)]
    decoded = decoding(monkeypatch)
    after = made(paths, before=before)
    assert decoded == [paths[2]]
    assert np.array_equal(after[2], prepared(load(other)))
    for number in (0, 1, 3, 4, 5):
        assert np.array_equal(after[number], expected[number])
    assert after.fits(paths)


def test_a_file_that_was_only_touched_fits_by_its_content(paths: list[Path]) -> None:
    cache = made(paths)
    later(paths[1])
    assert cache.fits(paths)


def test_the_same_size_and_content_changed_is_noticed(paths: list[Path]) -> None:
    for path in paths:
        Image.open(path).save(path.with_suffix(".bmp"))
        path.unlink()
    bitmaps = [path.with_suffix(".bmp") for path in paths]
    cache = made(bitmaps)
    content = bytearray(bitmaps[3].read_bytes())
    content[-5] ^= 0xFF
    bitmaps[3].write_bytes(content)
    later(bitmaps[3])
    assert not cache.fits(bitmaps)


def test_a_picture_that_vanished_stays_also_where_others_are_decoded_again(
    paths: list[Path], draw: Draw, tmp_path: Path
) -> None:
    before = made(paths)
    expected = before[4].copy()
    paths[4].unlink()
    assert before.fits(paths)
    shutil.copy(draw(tmp_path / "other", 1, seed=9)[0], paths[2])
    later(paths[2])
    after = made(paths, before=before)
    assert np.array_equal(after[4], expected)
    assert after.fits(paths)


def test_fewer_or_more_pictures_do_not_fit(paths: list[Path]) -> None:
    cache = made(paths)
    assert not cache.fits(paths[:-1])
    assert not cache.fits([*paths, paths[0]])


# --- what cannot be read ------------------------------------------------------------------------------------------


def spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize("ruin", [Path.unlink, spoil, lambda path: path.write_bytes(b"")])
def test_what_cannot_be_read_is_refused_with_the_sentence_of_its_file_until_it_can(
    ruin: Callable[[Path], Any], paths: list[Path]
) -> None:
    content = paths[3].read_bytes()
    ruin(paths[3])
    with pytest.raises((ValueError, OSError)) as expected:
        load(paths[3])
    cache = made(paths)
    with pytest.raises(ValueError, match="photos") as found:
        cache[3]
    assert str(found.value) == str(expected.value)
    assert np.array_equal(cache[4], prepared(load(paths[4])))
    assert cache.fits(paths)  # it is still so
    paths[3].write_bytes(content)
    assert not cache.fits(paths)
    assert np.array_equal(made(paths, before=cache)[3], prepared(load(paths[3])))


def test_nothing_that_can_be_read_is_a_cache_as_well(paths: list[Path]) -> None:
    for path in paths:
        spoil(path)
    cache = made(paths)
    assert cache.fits(paths)
    with pytest.raises(ValueError, match="cannot be read"):
        cache[0]


# --- damage -------------------------------------------------------------------------------------------------------


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    "harm",
    [
        lambda content: b"",
        lambda content: content[:10],
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: content[1:],
        lambda content: content + b"\0",
        lambda content: content[100:],
        lambda content: bytes(len(content)),
        lambda content: flipped(content, len(content) - 1),
        lambda content: flipped(content, len(content) - SEAL.size),
        lambda content: flipped(content, len(content) - SEAL.size + 9),
        lambda content: flipped(content, len(content) - SEAL.size - 20),
    ],
)
def test_a_damaged_file_is_refused(harm: Callable[[bytes], bytes], paths: list[Path]) -> None:
    cache = made(paths)
    other = cache.path.with_name("other.pixels")
    other.write_bytes(harm(cache.path.read_bytes()))
    with pytest.raises(ValueError, match="damaged"):
        Cache(other)


def test_a_full_disk_leaves_nothing_and_what_was_there(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = made(paths).path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("cyclestyle.files.sync", full)
        with pytest.raises(OSError, match="No space left"):
            made(paths)
    assert sorted(path.name for path in paths[0].parents[1].iterdir()) == ["a.pixels", "photos"]
    assert (paths[0].parents[1] / "a.pixels").read_bytes() == before


def test_what_is_raised_on_the_way_leaves_nothing(paths: list[Path]) -> None:
    def seen(count: int) -> None:
        seen_so_far.append(count)
        if len(seen_so_far) == 3:
            raise KeyboardInterrupt

    seen_so_far: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        write_cache(paths[0].parents[1] / "a.pixels", paths, PAPER, None, seen)
    assert [path.name for path in paths[0].parents[1].iterdir()] == ["photos"]


# --- of one colour ------------------------------------------------------------------------------------------------


def test_where_what_all_cuts_share_varies_no_cut_is_of_one_colour() -> None:
    augmentation = Augmentation(PAPER)  # cuts of 16 of 20: they share rows and columns 4 to 15
    pixels = np.zeros((4, 3, 20, 20), dtype=np.uint8)
    pixels[1, 2, 4, 4] = 1
    pixels[2, 0, 15, 15] = 1
    pixels[3, :, :4] = 7
    pixels[3, :, 16:] = 7
    assert core_is_flat(pixels, augmentation).tolist() == [True, False, False, True]


def test_where_cuts_share_nothing_all_are_doubtful() -> None:
    augmentation = Augmentation(DataSettings(augmentation="paper", crop=16, resize=32))
    chances = np.random.default_rng(0)
    assert core_is_flat(chances.integers(0, 256, (5, 3, 32, 32), dtype=np.uint8), augmentation).all()
