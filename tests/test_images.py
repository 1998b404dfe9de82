"""Every picture becomes upright RGB as an eye would expect it, or is refused by its name."""

import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from cyclestyle.images import (
    SUFFIXES,
    fit,
    grid,
    list_pictures,
    load,
    pixels_to_images,
    save,
    to_images,
    to_pictures,
    to_rgb,
)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def pixels(picture: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(picture)


def written(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """An RGB PNG of a given size; without pixels unless there are some in `chunks`."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND", b"")


def refusal(path: Path) -> str:
    """The sentence with which `load` refuses a file; it names the file and is one line."""
    with pytest.raises(ValueError, match=r"\w") as caught:
        load(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


# --- modes --------------------------------------------------------------------------------------------------------


def test_rgb_comes_back_as_it_was(tmp_path: Path) -> None:
    picture = noise(7, 5)
    loaded = load(written(picture, tmp_path / "a.png"))
    assert loaded.mode == "RGB"
    assert np.array_equal(pixels(loaded), pixels(picture))


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    loaded = load(written(Image.fromarray(levels), tmp_path / "a.png"))
    assert np.array_equal(pixels(loaded), np.stack([levels] * 3, axis=-1))


def test_black_and_white_becomes_0_and_255(tmp_path: Path) -> None:
    bits = np.array([[True, False, True]])
    loaded = load(written(Image.fromarray(bits), tmp_path / "a.png"))
    assert pixels(loaded).tolist() == [[[255] * 3, [0] * 3, [255] * 3]]


def test_a_palette_becomes_its_colours(tmp_path: Path) -> None:
    paletted = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8)).convert("P")
    paletted.putpalette([10, 20, 30, 200, 100, 0, 1, 2, 3])
    loaded = load(written(paletted, tmp_path / "a.png"))
    assert pixels(loaded).tolist() == [[[10, 20, 30], [200, 100, 0], [1, 2, 3]]]


@pytest.mark.parametrize("alpha", [0, 51, 128, 255])
def test_a_transparent_colour_is_laid_on_white(tmp_path: Path, alpha: int) -> None:
    rgba = np.array([[[10, 100, 250, alpha]]], dtype=np.uint8)
    loaded = load(written(Image.fromarray(rgba), tmp_path / "a.png"))
    expected = rgba[0, 0, :3] * (alpha / 255) + 255 * (1 - alpha / 255)
    assert np.abs(pixels(loaded)[0, 0] - expected).max() <= 1
    if alpha in {0, 255}:
        assert np.array_equal(pixels(loaded)[0, 0], expected)


@pytest.mark.parametrize("alpha", [0, 128, 255])
def test_transparent_grey_is_laid_on_white(tmp_path: Path, alpha: int) -> None:
    loaded = load(written(Image.new("LA", (1, 1), (40, alpha)), tmp_path / "a.png"))
    expected = 40 * (alpha / 255) + 255 * (1 - alpha / 255)
    assert np.abs(pixels(loaded)[0, 0] - expected).max() <= 1


def test_a_palette_with_a_transparent_entry_is_laid_on_white(tmp_path: Path) -> None:
    paletted = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    paletted.putpalette([10, 20, 30, 200, 100, 0])
    loaded = load(written(paletted, tmp_path / "a.png", transparency=0))
    assert pixels(loaded).tolist() == [[[255, 255, 255], [200, 100, 0]]]


def test_a_palette_with_an_alpha_per_entry_is_laid_on_white(tmp_path: Path) -> None:
    paletted = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8)).convert("P")
    paletted.putpalette([0, 0, 0, 0, 0, 0, 0, 0, 0])
    loaded = load(written(paletted, tmp_path / "a.png", transparency=bytes([0, 128, 255])))
    assert pixels(loaded)[0, :, 0].tolist() == [255, 127, 0]


@pytest.mark.parametrize(("mode", "see_through"), [("L", 7), ("RGB", (7, 7, 7))])
def test_a_colour_declared_transparent_is_laid_on_white(
    tmp_path: Path, mode: str, see_through: int | tuple[int, ...]
) -> None:
    picture = Image.fromarray(np.array([[7, 8]], dtype=np.uint8)).convert(mode)
    loaded = load(written(picture, tmp_path / "a.png", transparency=see_through))
    assert pixels(loaded)[0].tolist() == [[255] * 3, [8] * 3]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 257, 32896, 65278, 65535, 128, 129, 65406, 65407]], dtype=np.uint16)  # 65535 = 255 * 257
    loaded = load(written(Image.fromarray(values), tmp_path / f"a{suffix}"))
    assert pixels(loaded)[0, :, 0].tolist() == [0, 1, 128, 254, 255, 0, 1, 254, 255]
    assert np.ptp(pixels(loaded), axis=-1).max() == 0


def test_big_endian_sixteen_bit_grey_is_scaled(tmp_path: Path) -> None:
    big = Image.frombytes("I;16B", (3, 1), np.array([0, 32896, 65535], dtype=">u2").tobytes())
    assert pixels(load(written(big, tmp_path / "a.tif")))[0, :, 0].tolist() == [0, 128, 255]


def test_dark_sixteen_bit_grey_stays_dark(tmp_path: Path) -> None:
    """The scale is that of the format, not of the picture."""
    values = np.full((4, 4), 257 * 3, dtype=np.uint16)
    assert np.unique(pixels(load(written(Image.fromarray(values), tmp_path / "a.png")))).tolist() == [3]


def test_thirty_two_bit_integers_hold_sixteen_bit_grey(tmp_path: Path) -> None:
    values = np.array([[-5, 0, 32896, 65535, 70000]], dtype=np.int32)
    loaded = load(written(Image.fromarray(values), tmp_path / "a.tif"))
    assert pixels(loaded)[0, :, 0].tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        ([0.0, 0.5, 1.0, -0.5], [0, 128, 255, 0]),
        ([0.0, 100.0, 255.0, 300.0], [0, 100, 255, 255]),
        ([float("nan"), 0.2, 1.0, 0.0], [0, 51, 255, 0]),
    ],
)
def test_floats_are_unit_intervals_or_levels(tmp_path: Path, values: list[float], levels: list[int]) -> None:
    picture = Image.fromarray(np.array([values], dtype=np.float32))
    assert pixels(load(written(picture, tmp_path / "a.tif")))[0, :, 0].tolist() == levels


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_becomes_its_colours(tmp_path: Path, suffix: str) -> None:
    """No ink is white, all black ink is black, full cyan has no red."""
    for ink, colour in (
        ((0, 0, 0, 0), (255, 255, 255)),
        ((0, 0, 0, 255), (0, 0, 0)),
        ((255, 0, 0, 0), (0, 255, 255)),
    ):
        loaded = load(written(Image.new("CMYK", (16, 16), ink), tmp_path / f"a{suffix}"))
        assert loaded.mode == "RGB"
        assert np.abs(pixels(loaded).astype(int) - colour).max() <= 2


@pytest.mark.parametrize(
    "mode", ["1", "L", "P", "RGB", "RGBA", "RGBX", "RGBa", "LA", "PA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16"]
)
def test_every_mode_of_pillow_becomes_rgb_of_the_same_size(mode: str) -> None:
    converted = to_rgb(Image.new(mode, (5, 3)))
    assert (converted.mode, converted.size) == ("RGB", (5, 3))


def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path) -> None:
    first, second = noise(6, 4, 1), noise(6, 4, 2)
    path = tmp_path / "a.webp"
    first.save(path, save_all=True, append_images=[second], lossless=True)
    assert np.array_equal(pixels(load(path)), pixels(first))


def test_the_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    picture = noise(6, 4)
    path = tmp_path / "a.jpg"
    picture.save(path, format="PNG")
    assert np.array_equal(pixels(load(path)), pixels(picture))


# --- orientation --------------------------------------------------------------------------------------------------

UPRIGHT = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),  # a quarter turn clockwise
    7: lambda stored: stored[::-1, ::-1].transpose(1, 0, 2),
    8: lambda stored: np.rot90(stored, 1),
}
"""How EXIF's orientations (TIFF 6.0, tag 274) are made upright."""


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_exif_orientation_is_obeyed(tmp_path: Path, orientation: int, suffix: str) -> None:
    stored = noise(3, 2)
    exif = Image.Exif()
    exif[274] = orientation
    loaded = load(written(stored, tmp_path / f"a{suffix}", exif=exif))
    assert np.array_equal(pixels(loaded), UPRIGHT[orientation](pixels(stored)))
    assert loaded.getexif().get(274, 1) == 1  # nobody turns it a second time


def test_exif_orientation_is_obeyed_in_jpeg_and_for_sixteen_bits(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    ramp = Image.linear_gradient("L").resize((32, 16))  # black at the top
    loaded = pixels(load(written(ramp, tmp_path / "a.jpg", exif=exif))).astype(int)
    assert loaded.shape == (32, 16, 3)
    assert loaded[:, 0].mean() > 200  # turned clockwise, the bottom lies on the left
    assert loaded[:, -1].mean() < 50
    deep = Image.fromarray(np.array([[0, 65535]], dtype=np.uint16))
    assert pixels(load(written(deep, tmp_path / "a.png", exif=exif)))[:, 0, 0].tolist() == [0, 255]


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow says what is wrong with it
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"])
def test_broken_exif_does_not_cost_the_picture(tmp_path: Path, exif: bytes) -> None:
    assert load(written(noise(8, 4), tmp_path / "a.jpg", exif=exif)).size == (8, 4)


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif"])
@pytest.mark.parametrize("cut", [1, 2, 100])
def test_a_picture_cut_short_is_refused(tmp_path: Path, suffix: str, cut: int) -> None:
    path = written(noise(32, 32), tmp_path / f"a{suffix}", **({"quality": 90} if suffix == ".jpg" else {}))
    whole = path.read_bytes()
    load(path)
    if suffix in {".png", ".tif"}:
        cut += 20  # a PNG ends with 12 bytes, and a TIFF may end with some, that no pixel needs
    path.write_bytes(whole[:-cut])
    refusal(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.touch()
    assert refusal(path) == f"{path} is not a picture that can be read (0 bytes)"


def test_a_web_page_named_jpg_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_text("<!doctype html><title>404</title>" + " " * 1000)
    assert refusal(path) == f"{path} is not a picture that can be read (1,033 bytes)"


def test_a_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.mkdir()
    refusal(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        load(tmp_path / "nowhere.jpg")
    assert str(caught.value) == f"no such picture: {tmp_path / 'nowhere.jpg'}"


def test_a_picture_of_400_megapixels_is_refused_before_a_pixel_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(20_000, 20_000))
    assert "at most 178,956,970" in refusal(path)


def test_the_bound_holds_where_somebody_has_lifted_pillows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    path = tmp_path / "bomb.png"
    path.write_bytes(png(13_378, 13_378))  # the first square beyond the bound
    text = refusal(path)
    assert "13378 x 13378" in text
    assert "at most 178,956,970" in text


def test_a_picture_below_the_bound_gives_no_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(noise(12, 12), tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow warns of 144
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(path)


def test_threads_that_load_leave_the_warnings_as_they_were(tmp_path: Path) -> None:
    paths = [written(noise(12, 12), tmp_path / f"{number}.png") for number in range(8)]
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(load, paths * 20))
    assert {picture.size for picture in found} == {(12, 12)}
    assert warnings.filters == before


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows does not fork")
def test_a_child_forked_while_a_file_is_opened_can_open_others(tmp_path: Path) -> None:
    path = written(noise(12, 12), tmp_path / "a.png")
    program = (
        "import os, sys, threading, cyclestyle.images as images\n"
        "held = threading.Event()\n"
        "def hold():\n"
        "    with images._opening: held.set(); threading.Event().wait()\n"
        "threading.Thread(target=hold, daemon=True).start()\n"
        "held.wait()\n"
        "child = os.fork()\n"
        "if child == 0: images.load(images.Path(sys.argv[1])); os._exit(7)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)\n"
    )
    words = [sys.executable, "-c", program, str(path)]
    assert subprocess.run(words, capture_output=True, text=True, timeout=60).stdout == "7\n"


def test_png_is_written_without_loss_and_hardly_larger_than_pillows(tmp_path: Path) -> None:
    ramp = np.add.outer(np.arange(96), np.arange(128))[..., None] * np.array([1, 2, 1]) // 3
    for number, most in enumerate((0, 3, 12, 200)):
        levels = (ramp + np.random.default_rng(0).integers(0, most + 1, (96, 128, 3))) % 256 if most else 9 + 0 * ramp
        picture = Image.fromarray(levels.astype(np.uint8))
        save(picture, tmp_path / f"{number}.png")
        picture.save(tmp_path / "pillow.png")
        assert load(tmp_path / f"{number}.png").tobytes() == picture.tobytes()
        ours, theirs = ((tmp_path / name).stat().st_size for name in (f"{number}.png", "pillow.png"))
        assert ours <= 1.05 * theirs


BROKEN_PNGS = {
    "a text that unpacks to 10 MB": png(1, 1, chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * 10_000_000))),
    "a header that is too short": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", b"\0\0\0\1") + chunk(b"IEND", b""),
    "no pixels": png(4, 4),
    "no size": png(0, 4, chunk(b"IDAT", zlib.compress(b""))),
    "pixels that do not unpack": png(4, 4, chunk(b"IDAT", b"not zlib")),
}


@pytest.mark.parametrize("what", BROKEN_PNGS)
def test_a_png_is_refused_by_its_name_for(tmp_path: Path, what: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(BROKEN_PNGS[what])
    refusal(path)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about damaged EXIF
def test_whatever_bytes_are_damaged_the_picture_loads_or_its_file_is_named(tmp_path: Path) -> None:
    chances = np.random.default_rng(5)
    exif = Image.Exif()
    exif[274] = 6
    for suffix in (".jpg", ".png", ".webp", ".bmp"):
        path = tmp_path / f"a{suffix}"
        noise(24, 16).save(path, exif=exif)
        whole = np.frombuffer(path.read_bytes(), dtype=np.uint8)
        for _ in range(100):
            damaged = whole.copy()
            places = chances.integers(0, min(len(whole), 200), 3)
            damaged[places] = chances.integers(0, 256, 3)
            path.write_bytes(damaged.tobytes())
            try:
                assert load(path).mode == "RGB"
            except ValueError as error:
                assert str(path) in str(error)  # noqa: PT017 - either is right


# --- tensors ------------------------------------------------------------------------------------------------------


def test_all_256_levels_survive_the_round_trip_exactly() -> None:
    levels = np.arange(256, dtype=np.uint8)
    picture = Image.fromarray(np.stack([levels, levels[::-1], np.roll(levels, 100)], axis=-1).reshape(16, 16, 3))
    back = to_pictures(to_images([picture]))[0]
    assert np.array_equal(pixels(back), pixels(picture))


def test_images_are_n3hw_rgb_in_minus_one_to_one() -> None:
    picture = Image.new("RGB", (4, 2), (0, 255, 51))
    tensor = to_images([picture, noise(4, 2)])
    assert tensor.shape == (2, 3, 2, 4)
    assert tensor.dtype == torch.float32
    assert torch.equal(tensor[0, :, 1, 3], torch.tensor([-1.0, 1.0, 51 / 127.5 - 1]))


def test_rows_stay_rows_and_columns_columns() -> None:
    picture = noise(5, 3)
    tensor = to_images([picture])
    for x, y, channel in ((0, 0, 0), (4, 0, 1), (2, 1, 2), (0, 2, 0)):
        assert tensor[0, channel, y, x] == torch.tensor(float(picture.getpixel((x, y))[channel])) / 127.5 - 1


def test_read_only_bytes_become_a_tensor_of_its_own() -> None:
    shared = np.full((1, 2, 2, 3), 100, dtype=np.uint8)
    shared.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels_to_images(shared).zero_()
    assert (shared == 100).all()


def test_values_between_two_levels_go_to_the_nearer_and_values_beyond_are_cut() -> None:
    level = torch.tensor([100.0, 100.4, 99.6, 0.4, -300.0, 900.0, 254.6])
    tensor = (level / 127.5 - 1).expand(1, 3, 1, 7)
    assert pixels(to_pictures(tensor)[0])[0, :, 0].tolist() == [100, 100, 100, 0, 0, 255, 255]


def test_tensors_in_training_become_pictures_too_and_stay_as_they_are() -> None:
    tensor = torch.full((2, 3, 2, 2), 0.5, requires_grad=True)
    first, second = to_pictures(tensor)
    assert first.size == second.size == (2, 2)
    assert first.mode == "RGB"
    assert torch.equal(tensor, torch.full((2, 3, 2, 2), 0.5))
    assert pixels(to_pictures(tensor.to(torch.bfloat16))[0]).max() == 191


# --- saving -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.jpg", "a.jpeg", "a.JPG"])
def test_jpeg_is_written_at_quality_95_without_subsampling(tmp_path: Path, name: str) -> None:
    picture = noise(40, 24)
    save(picture, tmp_path / name)
    reference = io.BytesIO()
    picture.save(reference, "JPEG", quality=95)
    with Image.open(tmp_path / name) as mine, Image.open(reference) as quality_95:
        assert mine.format == "JPEG"
        assert JpegImagePlugin.get_sampling(mine) == 0  # 4:4:4
        assert JpegImagePlugin.get_sampling(quality_95) == 2  # what Pillow does unless told
        assert mine.quantization == quality_95.quantization


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_lossless_formats_lose_nothing(tmp_path: Path, suffix: str) -> None:
    picture = noise(9, 7)
    save(picture, tmp_path / f"a{suffix}")
    assert np.array_equal(pixels(load(tmp_path / f"a{suffix}")), pixels(picture))


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_exif_is_written(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[305] = "cyclestyle"
    save(noise(8, 8), tmp_path / "new" / f"a{suffix}", exif=exif)
    with Image.open(tmp_path / "new" / f"a{suffix}") as file:
        assert file.getexif()[305] == "cyclestyle"


def test_the_same_picture_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        save(noise(20, 20), tmp_path / name)
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()


@pytest.mark.parametrize("failure", [OSError("no space left"), KeyboardInterrupt()])
def test_a_failure_while_saving_leaves_the_old_picture_and_no_part_of_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    path = tmp_path / "a.jpg"
    save(noise(8, 8), path)
    old = path.read_bytes()

    def half(self: Image.Image, file: Path, **options: object) -> None:
        Path(file).write_bytes(b"half")
        raise failure

    monkeypatch.setattr(Image.Image, "save", half)
    with pytest.raises(type(failure)):
        save(noise(8, 8, 1), path)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_an_unknown_suffix_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="extension"):
        save(noise(8, 8), tmp_path / "a.picture")
    assert list(tmp_path.iterdir()) == []


# --- folders ------------------------------------------------------------------------------------------------------


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_pictures_are_listed_by_name_whatever_the_order_on_disk(tmp_path: Path) -> None:
    names = ["B.png", "a.jpg", "a/z.webp", "b/1.bmp", "b/10.tif", "b/2.tiff", "c.JPEG"]
    assert names == sorted(names)
    touch(tmp_path / "x", *names)
    touch(tmp_path / "y", *reversed(names))
    for folder in (tmp_path / "x", tmp_path / "y"):
        assert [path.relative_to(folder).as_posix() for path in list_pictures(folder)] == names


def test_hidden_files_other_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "a.jpg",
        ".hidden.jpg",
        ".part-1-b.jpg",
        "._a.jpg",
        ".cache/b.jpg",
        "sub/.thumbs/c.jpg",
        "notes.txt",
        "photo.tfrec",
        "jpg",
    )
    (tmp_path / "folder.jpg").mkdir()
    assert list_pictures(tmp_path) == [tmp_path / "a.jpg"]


def test_a_folder_that_lies_below_a_hidden_one_is_listed(tmp_path: Path) -> None:
    touch(tmp_path / ".cache" / "photos", "a.jpg")
    assert list_pictures(tmp_path / ".cache" / "photos") == [tmp_path / ".cache" / "photos" / "a.jpg"]


def test_a_folder_without_pictures_says_what_was_looked_for(tmp_path: Path) -> None:
    touch(tmp_path, "notes.txt")
    with pytest.raises(FileNotFoundError) as caught:
        list_pictures(tmp_path)
    expected = f"no pictures below {tmp_path} (looked for .bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp)"
    assert str(caught.value) == expected


def test_a_missing_folder_and_a_file_are_no_folders(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    for path in (tmp_path / "nowhere", tmp_path / "a.jpg"):
        with pytest.raises(FileNotFoundError) as caught:
            list_pictures(path)
        assert str(caught.value) == f"no such folder: {path}"


# --- fit and grid -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "height"), [(30, 10), (10, 30), (10, 10)])
def test_fit_cuts_out_the_centre(width: int, height: int) -> None:
    picture = noise(width, height)
    fitted = fit(picture, 10)
    left, top = (width - 10) // 2, (height - 10) // 2
    assert np.array_equal(pixels(fitted), pixels(picture)[top : top + 10, left : left + 10])


def test_fit_averages_where_it_shrinks() -> None:
    """Of noise with a deviation of 74 levels, 12 x 12 pixels averaged leave about 74 / 12."""
    fitted = pixels(fit(noise(160, 120), 10))
    assert fitted.shape == (10, 10, 3)
    assert abs(fitted.mean() - 127.5) < 3
    assert fitted.std() < 12


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (255, 257)])
def test_fit_enlarges_what_is_smaller(size: tuple[int, int]) -> None:
    assert fit(noise(*size), 64).size == (64, 64)


def test_a_grid_puts_every_picture_in_its_place_on_white() -> None:
    first, second, third = (noise(4, 3, seed) for seed in range(3))
    sheet = pixels(grid([[first, second], [third]], gap=2))
    expected = np.full((3 + 2 + 3, 4 + 2 + 4, 3), 255, dtype=np.uint8)
    expected[:3, :4] = pixels(first)
    expected[:3, 6:] = pixels(second)
    expected[5:, :4] = pixels(third)
    assert np.array_equal(sheet, expected)


def test_a_grid_of_one_picture_is_that_picture() -> None:
    assert np.array_equal(pixels(grid([[noise(4, 3)]])), pixels(noise(4, 3)))


# --- real ones ----------------------------------------------------------------------------------------------------


@pytest.mark.assets
@pytest.mark.skipif("CYCLESTYLE_ASSETS" not in os.environ, reason="CYCLESTYLE_ASSETS names no folder of real pictures")
def test_real_paintings_of_mixed_sizes_load() -> None:
    found = list_pictures(Path(os.environ["CYCLESTYLE_ASSETS"]) / "data" / "monet_mixed_sizes")
    sizes = set()
    for path in found:
        picture = load(path)
        assert picture.mode == "RGB"
        assert pixels(picture).std() > 1  # something is on it
        sizes.add(picture.size)
    assert len(sizes) > 1
    assert {path.suffix.lower() for path in found} <= SUFFIXES


def test_linked_folders_are_entered_once_and_never_in_a_circle(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.png").touch()
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "link").symlink_to(elsewhere)
    (folder / "again").symlink_to(folder)
    assert [path.name for path in list_pictures(folder)] == ["a.png"]
