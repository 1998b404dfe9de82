"""What a photo's file says beside its colours is read, and what no longer holds is left out."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from cyclestyle.data.jobs import is_done, mark
from cyclestyle.data.photo import MOST_EXIF, read_photo, require_room
from cyclestyle.images import load, save

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(width: int, height: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    channels = len(Image.new(mode, (1, 1)).getbands())
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(levels.squeeze(2) if channels == 1 else levels, mode if mode == "CMYK" else None)


def icc(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile, version 2.4, as the specification lays it out."""
    tags = {b"wtpt": b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)} | tags  # D50
    table, data, at = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">2I", at + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    size = struct.pack(">I", at + len(data))
    to = b"XYZ " if space == b"GRAY" else b"Lab "
    head = size + b"lcms" + struct.pack(">I", 0x02400000) + (b"mntr" if space == b"GRAY" else b"prtr") + space + to
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head + bytes(128 - len(head)) + table + data


def ink_profile() -> bytes:
    """CMYK in which cyan is a grey of L* = 50; black ink, and the others together, are black; the paper is white."""
    lightness = [100, 0, 0, 0, 0, 0, 0, 0, 50, 0, 0, 0, 0, 0, 0, 0]  # by C M Y K, K the fastest
    corners = bytes(value for light in lightness for value in (round(light * 2.55), 128, 128))
    ramp = bytes(range(256))
    identity = struct.pack(">9i", *(65536 * (number % 4 == 0) for number in range(9)))
    return icc(b"CMYK", {b"A2B0": b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + 4 * ramp + corners + 3 * ramp})


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def sixteen_bits(path: Path, colours: int, values: np.ndarray) -> Path:
    """A PNG of 16 bits a channel: (h, w, c)."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colours, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    return path


# --- colours ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_a_profile_for_rgb_stays_and_the_values_are_as_stored(suffix: str, tmp_path: Path) -> None:
    noise(20, 10).save(tmp_path / f"a{suffix}", icc_profile=SRGB)
    photo = read_photo(tmp_path / f"a{suffix}")
    assert photo.profile == SRGB
    assert photo.picture.tobytes() == load(tmp_path / f"a{suffix}").tobytes()
    save(photo.picture, tmp_path / f"b{suffix}", profile=photo.profile)
    assert read_photo(tmp_path / f"b{suffix}").profile == SRGB


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_inks_are_what_their_profile_says(suffix: str, tmp_path: Path) -> None:
    """L* = 50 is 119 in sRGB; without the profile, cyan is cyan."""
    for ink, grey in (((0, 0, 0, 0), 255), ((255, 0, 0, 0), 119), ((0, 0, 0, 255), 0)):
        Image.new("CMYK", (16, 16), ink).save(tmp_path / f"a{suffix}", icc_profile=ink_profile())
        photo = read_photo(tmp_path / f"a{suffix}")
        assert photo.profile is None  # they are sRGB now
        assert np.abs(np.asarray(photo.picture).astype(int) - grey).max() <= 2
    Image.new("CMYK", (16, 16), (255, 0, 0, 0)).save(tmp_path / f"b{suffix}")
    assert np.abs(np.asarray(read_photo(tmp_path / f"b{suffix}").picture)[0, 0].astype(int) - (0, 255, 255)).max() <= 2


def test_a_grey_photo_s_profile_is_applied(tmp_path: Path) -> None:
    """Half of the light is 188 in sRGB."""
    linear = icc(b"GRAY", {b"kTRC": b"curv" + bytes(8)})
    Image.new("L", (4, 4), 128).save(tmp_path / "a.png", icc_profile=linear)
    photo = read_photo(tmp_path / "a.png")
    assert photo.profile is None
    assert np.abs(np.asarray(photo.picture).astype(int) - 188).max() <= 1


# By name: sRGB's profile says when it was made, and processes that name tests by it do not agree on them.
@pytest.mark.parametrize("profile", [b"nonsense", SRGB[:200], ink_profile()], ids=["nonsense", "cut short", "of inks"])
def test_a_profile_that_does_not_fit_does_not_cost_the_picture(profile: bytes, tmp_path: Path) -> None:
    noise(20, 10).save(tmp_path / "a.png", icc_profile=profile)
    photo = read_photo(tmp_path / "a.png")
    assert photo.profile is None
    assert photo.picture.tobytes() == noise(20, 10).tobytes()
    noise(20, 10, "CMYK").save(tmp_path / "a.tif", icc_profile=profile[:300])
    assert read_photo(tmp_path / "a.tif").picture.tobytes() == load(tmp_path / "a.tif").tobytes()


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64).round().astype(np.uint16).reshape(8, 8, 1)
    for colours, channels in ((0, 1), (2, 3)):
        path = sixteen_bits(tmp_path / f"{colours}.png", colours, ramp.repeat(channels, 2))
        picture = np.asarray(read_photo(path).picture).astype(int)
        assert np.abs(picture - ramp / 257).max() <= 1


# --- transparency -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_transparency_is_kept_beside_the_colours_that_can_be_seen(suffix: str, tmp_path: Path) -> None:
    levels = np.zeros((8, 8, 4), np.uint8)
    levels[:, :4] = (10, 200, 30, 128)
    levels[:, 4:] = (90, 80, 70, 0)  # nobody sees it
    Image.fromarray(levels).save(tmp_path / f"a{suffix}", **({"lossless": True} if suffix == ".webp" else {}))
    photo = read_photo(tmp_path / f"a{suffix}")
    assert photo.alpha is not None
    assert np.array_equal(np.asarray(photo.alpha), levels[..., 3])
    assert np.unique(np.asarray(photo.picture)[:, :4].reshape(-1, 3), axis=0).tolist() == [[10, 200, 30]]
    assert np.asarray(photo.picture)[:, 4:].min() == 255
    flat = read_photo(tmp_path / f"a{suffix}", alpha=False)
    assert flat.alpha is None
    assert flat.picture.tobytes() == load(tmp_path / f"a{suffix}").tobytes()


def test_what_is_opaque_has_no_alpha_and_other_kinds_of_it_are_found(tmp_path: Path) -> None:
    opaque = noise(6, 6)
    opaque.putalpha(255)
    opaque.save(tmp_path / "a.png")
    assert read_photo(tmp_path / "a.png").alpha is None
    paletted = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    paletted.putpalette([10, 20, 30, 200, 100, 0])
    paletted.save(tmp_path / "b.png", transparency=0)
    alpha = read_photo(tmp_path / "b.png").alpha
    assert alpha is not None
    assert np.asarray(alpha).tolist() == [[0, 255]]
    path = sixteen_bits(tmp_path / "c.png", 6, np.full((2, 3, 4), 32896, np.uint16))
    assert read_photo(path).alpha is not None


# --- the record ---------------------------------------------------------------------------------------------------


def camera(orientation: int = 6) -> Image.Exif:
    """What a camera writes, as it is read again."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = b"Camera"
    exif[ExifTags.Base.Artist] = "Käthe".encode()
    exif[ExifTags.Base.ImageDescription] = b"on the hill"
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Software] = b"Firmware 1.0"
    exif[ExifTags.IFD.Exif] = {
        ExifTags.Base.DateTimeOriginal: "2020:01:02 10:11:12",
        ExifTags.Base.ExifImageWidth: 20,
        ExifTags.Base.ExifImageHeight: 10,
        ExifTags.Base.MakerNote: b"places in the file" * 4,
    }
    exif[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitudeRef: "N", ExifTags.GPS.GPSLatitude: (48.0, 30.0, 0.0)}
    again = Image.Exif()
    again.load(exif.tobytes())
    again[ExifTags.Base.Artist] = "Käthe".encode()  # Pillow would write what it has read in ASCII
    return again


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("written", [".png", ".jpg", ".webp", ".tif"])
def test_the_camera_s_record_goes_along_and_the_painting_is_turned_once(
    suffix: str, written: str, tmp_path: Path
) -> None:
    path, painting = tmp_path / f"photo{suffix}", tmp_path / f"painting{written}"
    noise(20, 10).save(path, exif=camera())
    photo = read_photo(path)
    assert photo.picture.size == (10, 20)
    made = mark("painter 1 photo 2", photo.exif)
    save(photo.picture, painting, exif=made)
    assert is_done(painting, mark("painter 1 photo 2"))
    with Image.open(painting) as file:
        found = file.getexif()
        assert file.size == (10, 20)
        assert found.get(ExifTags.Base.Orientation, 1) == 1
        assert found[ExifTags.Base.Make] == "Camera"
        assert found[ExifTags.Base.Artist].encode("latin-1").decode() == "Käthe"
        assert found[ExifTags.Base.DocumentName] == "on the hill"
        assert found[ExifTags.Base.Software] == "cyclestyle"
        inner = found.get_ifd(ExifTags.IFD.Exif)
        assert inner[ExifTags.Base.DateTimeOriginal] == "2020:01:02 10:11:12"
        assert (inner[ExifTags.Base.ExifImageWidth], inner[ExifTags.Base.ExifImageHeight]) == (10, 20)
        assert ExifTags.Base.MakerNote not in inner
        place = found.get_ifd(ExifTags.IFD.GPSInfo)
        assert (place[ExifTags.GPS.GPSLatitudeRef], place[ExifTags.GPS.GPSLatitude]) == ("N", (48.0, 30.0, 0.0))
        assert not found.get_ifd(ExifTags.IFD.IFD1)  # a small picture of the photo


def test_how_a_tiff_lies_in_its_file_is_not_told_of_the_painting(tmp_path: Path) -> None:
    packed = Image.Exif()
    packed[ExifTags.Base.Make] = "Camera"
    noise(64, 48, "L").save(tmp_path / "a.tif", compression="tiff_lzw", exif=packed)
    photo = read_photo(tmp_path / "a.tif")
    save(photo.picture, tmp_path / "b.tif", exif=mark("", photo.exif))
    assert load(tmp_path / "b.tif").tobytes() == photo.picture.tobytes()
    save(photo.picture, tmp_path / "b.jpg", exif=mark("", photo.exif))
    with Image.open(tmp_path / "b.jpg") as file:
        assert not {ExifTags.Base.Compression, ExifTags.Base.StripOffsets} & set(file.getexif())


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow says what is wrong with it
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"])
def test_a_broken_record_does_not_cost_the_picture(exif: bytes, tmp_path: Path) -> None:
    noise(8, 4).save(tmp_path / "a.jpg", exif=exif)
    photo = read_photo(tmp_path / "a.jpg")
    assert photo.picture.size == (8, 4)
    save(photo.picture, tmp_path / "b.jpg", exif=mark("made", photo.exif))
    assert is_done(tmp_path / "b.jpg", mark("made"))


def test_a_record_too_long_for_a_jpeg_is_left_out(tmp_path: Path) -> None:
    exif = camera()
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.UserComment: b"x" * MOST_EXIF}
    noise(8, 4).save(tmp_path / "a.png", exif=exif)
    photo = read_photo(tmp_path / "a.png")
    assert photo.exif is None
    save(photo.picture, tmp_path / "b.jpg", exif=mark("made", photo.exif))


# --- frames, sizes, refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "what"), [("gif", "frames"), ("webp", "frames"), ("png", "frames"), ("tif", "pages")]
)
def test_of_several_frames_the_first_is_taken_and_that_is_said(suffix: str, what: str, tmp_path: Path) -> None:
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ("white", "black"))
    first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=[second])
    photo = read_photo(tmp_path / f"a.{suffix}")
    assert photo.note == f"of 2 {what} the first is painted"
    assert np.asarray(photo.picture).min() == 255
    first.save(tmp_path / f"b.{suffix}")
    assert read_photo(tmp_path / f"b.{suffix}").note == ""


def test_a_damaged_file_is_refused_by_its_name(tmp_path: Path) -> None:
    whole = io.BytesIO()
    noise(64, 64).save(whole, "JPEG")
    for content in (b"", b"no picture", whole.getvalue()[:-40]):
        (tmp_path / "a.jpg").write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.jpg"):
            read_photo(tmp_path / "a.jpg")
    with pytest.raises(FileNotFoundError, match="no such picture"):
        read_photo(tmp_path / "nowhere.jpg")


def test_a_format_without_room_is_refused_before_anything_is_painted(tmp_path: Path) -> None:
    long = Image.new("RGB", (16_384, 1))
    require_room(tmp_path / "a.png", tmp_path / "a.jpg", long)
    require_room(tmp_path / "a.png", tmp_path / "a.PNG", Image.new("RGB", (70_000, 1)))
    with pytest.raises(ValueError, match=r"a\.png has 16384 x 1 pixels, and WEBP takes at most 16,383 a side"):
        require_room(tmp_path / "a.png", tmp_path / "a.WEBP", long)
