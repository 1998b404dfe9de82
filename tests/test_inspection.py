"""Among good pictures of every kind, exactly the bad ones are named, each with its reason; nothing hangs or raises."""

import io
import os
import resource
import socket
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cyclestyle.data.inspection import NAMED, Unusable, candidates, each, inspect, judge, passed_over, plain, sort_out
from cyclestyle.images import header, list_pictures

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((64, 48))


def saved(kind: str, image: Image.Image = PICTURE, **options: object) -> bytes:
    """The bytes of a picture file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, pixels: bytes = b"") -> bytes:
    """A PNG whose header claims a size."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 58, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(4)


def tiff(*entries: tuple[int, int, int, int]) -> bytes:
    """A TIFF of one directory: (tag, type, count, value)."""
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8) + directory + bytes(4)


def strip(*, offset: int, count: int, side: int = 64) -> bytes:
    """A TIFF of grey pixels in one strip."""
    return tiff(
        *((256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)),
        *((273, 4, 1, offset), (277, 3, 1, 1), (278, 4, 1, side), (279, 4, 1, count)),
    )


def boxed(brand: bytes) -> bytes:
    """What HEIC, AVIF and films begin with."""
    return struct.pack(">I", 24) + b"ftyp" + brand + bytes(4) + brand + b"mif1" + bytes(200)


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.jpg", b"x")
    return buffer.getvalue()


JPEG, PNG = saved("JPEG"), saved("PNG")
PIXELS = PNG.index(b"IDAT") + 4

BAD: dict[str, tuple[bytes, str]] = {
    "empty.jpg": (b"", "empty"),
    "empty.heic": (b"", "empty"),
    "one-byte.jpg": (b"\xff", "not a picture"),
    "text.png": (b"Sorry, too many requests.\n", "not a picture (text)"),
    "cut-letter.jpg": ("é".encode() * 300, "not a picture (text)"),
    "page.jpg": (b"\n<!DOCTYPE html><html>404", "not a picture (a web page)"),
    "random.webp": (b"\x07" + np.random.default_rng(1).bytes(900), "not a picture"),
    "zeros.jpg": (bytes(4096), "not a picture (nothing but zeros)"),
    "archive.jpg": (zipped(), "not a picture (a zip archive)"),
    "document.jpg": (b"%PDF-1.7\n%\xe2\xe3", "not a picture (a PDF)"),
    "script.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not a picture (a PostScript file)"),
    "pointer.jpg": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "not a picture (a pointer of Git LFS; `git lfs pull` fetches the picture)",
    ),
    "cut-head.jpg": (JPEG[:100], "truncated: "),
    "cut-middle.jpg": (JPEG[: len(JPEG) // 2], "truncated: "),
    "cut-end.jpg": (JPEG[:-2], "truncated: "),
    "cut.png": (PNG[: len(PNG) // 2], "truncated: "),
    "broken-crc.png": (PNG[:20] + b"\x01" + PNG[21:], "broken: its header cannot be read"),
    "broken-pixels.png": (PNG[:PIXELS] + b"\xff" * 40 + PNG[PIXELS + 40 :], "broken"),
    "no-width.png": (png(0, 5), "broken: its header cannot be read"),
    "short.png": (png(64, 64, bytes(10)), "truncated: "),
    "bomb.png": (png(30000, 30000), "claims 900,000,000 pixels, at most 178,956,970"),
    "bomb.bmp": (bmp(60000, 60000), "claims 3,600,000,000 pixels, at most 178,956,970"),
    "bomb.tif": (strip(offset=8, count=100, side=40000), "claims 1,600,000,000 pixels, at most 178,956,970"),
    "cut.bmp": (saved("BMP")[:400], "truncated: "),
    "cut.webp": (saved("WEBP")[:60], "broken"),
    "loop.tif": (b"II*\0\x08\0\0\0\0\0\x08\0\0\0", "broken"),
    "nowhere.tif": (b"II*\0\xff\xff\xff\x7f", "broken"),
    "far-strip.tif": (strip(offset=0x7FFFFFF0, count=64 * 64), ""),
    "huge-strip.tif": (strip(offset=8, count=0xFFFFFFF0), ""),
    "gif.png": (saved("GIF"), "a GIF named .png; convert it to JPEG or PNG"),
    "gif.gif": (saved("GIF"), "a GIF; convert it to JPEG or PNG"),
    "png.JPG": (PNG, "a PNG named .JPG; rename it to .png"),
    "webp.png": (saved("WEBP"), "a WebP named .png; rename it to .webp"),
    "tiff.jpg": (saved("TIFF"), "a TIFF named .jpg; rename it to .tif"),
    "bmp.jpeg": (saved("BMP"), "a BMP named .jpeg; rename it to .bmp"),
    "from-chrome.jfif": (JPEG, "a JPEG named .jfif; rename it to .jpg"),
    "picture.txt": (JPEG, "a JPEG named .txt; rename it to .jpg"),
    "no-ending": (PNG, "a PNG without an ending; rename it to .png"),
    "download.jpg.part": (JPEG, "a JPEG named .part; rename it to .jpg"),
    "phone.heic": (boxed(b"heic"), "a HEIC; convert it to JPEG or PNG"),
    "renamed.jpg": (boxed(b"heic"), "a HEIC named .jpg; convert it to JPEG or PNG"),
    "new.avif": (boxed(b"avif"), "an AVIF; convert it to JPEG or PNG"),
    "drawing.svg": (b'<?xml version="1.0"?>\n<svg xmlns="x"/>', "an SVG drawing; convert it to JPEG or PNG"),
    "camera.dng": (saved("TIFF"), "a camera raw file; convert it to JPEG or PNG"),
    "camera.cr3": (boxed(b"crx "), "a camera raw file; convert it to JPEG or PNG"),
    "camera.raw": (b"\x01\x02\x03" * 99, "a camera raw file; convert it to JPEG or PNG"),
    "page.gif": (b"<html>", "not a picture (a web page)"),
}
"""Files that cannot be used: the content, and what the reason is or begins with."""

PASSED_OVER = {
    "README": b"Pictures of the sea.",
    "notes.txt": b"Pictures of the sea.",
    "list.csv": b"name,size\n",
    "film.mp4": boxed(b"isom").replace(b"mif1", b"mp42"),
    "photo.tfrec": np.random.default_rng(2).bytes(600),
    "Thumbs.db": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
    "desktop.ini": b"[.ShellClassInfo]\n",
    ".hidden.jpg": b"",
    "nothing": b"",
}


def write_good(folder: Path) -> list[Path]:
    """Good pictures of every kind."""
    folder.mkdir(parents=True, exist_ok=True)
    sideways = Image.Exif()
    sideways[274] = 6
    levels = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 21
    good = {
        "plain.jpg": JPEG,
        "plain.png": PNG,
        "plain.bmp": saved("BMP"),
        "plain.webp": saved("WEBP"),
        "plain.tiff": saved("TIFF"),
        "packed.tif": saved("TIFF", compression="tiff_lzw"),
        "UPPER.JPEG": JPEG,
        "Upper.Png": PNG,
        "progressive.jpg": saved("JPEG", progressive=True),
        "sideways.jpg": saved("JPEG", exif=sideways),
        "phone.jpg": saved("MPO", save_all=True, append_images=[PICTURE]),
        "deep.png": saved("PNG", Image.fromarray(levels)),
        "ink.jpg": saved("JPEG", PICTURE.convert("CMYK")),
        "grey.jpg": saved("JPEG", PICTURE.convert("L")),
        "palette.png": saved("PNG", PICTURE.quantize(16), transparency=3),
        "glass.png": saved("PNG", PICTURE.convert("RGBA")),
        "bits.png": saved("PNG", PICTURE.convert("1")),
        "moving.webp": saved("WEBP", save_all=True, append_images=[PICTURE.rotate(90)]),
        "dot.png": saved("PNG", PICTURE.resize((1, 1))),
        "thin.png": saved("PNG", PICTURE.resize((5000, 1))),
        "high.png": saved("PNG", PICTURE.resize((1, 5000))),
        "sub folder/日本 é.jpg": JPEG,
        os.fsdecode(b"caf\xe9.jpg"): JPEG,
        "trailing.jpg": JPEG + b"more",
    }
    for name, content in good.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    (folder / "linked.jpg").symlink_to(folder / "plain.jpg")
    return [folder / name for name in (*good, "linked.jpg")]


def write_bad(folder: Path) -> dict[Path, str]:
    """What cannot be used, with the beginning of its reason."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (content, _) in BAD.items():
        (folder / name).write_bytes(content)
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "circle.png").symlink_to(folder / "circle.png")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "folder.jpg").mkdir()
    (folder / "device.png").symlink_to("/dev/zero")
    others = {
        "gone.jpg": "a link to nothing",
        "circle.png": "a link to nothing",
        "pipe.jpg": "not a file (a pipe)",
        "folder.jpg": "not a file (a folder)",
        "device.png": "not a file (a device)",
    }
    return {folder / name: reason for name, (_, reason) in BAD.items()} | {
        folder / name: reason for name, reason in others.items()
    }


def test_exactly_the_bad_files_are_named_among_good_ones_of_every_kind(tmp_path: Path) -> None:
    good, bad = write_good(tmp_path / "all"), write_bad(tmp_path / "all")
    assert len(bad) > 45
    for name, content in PASSED_OVER.items():
        (tmp_path / "all" / name).write_bytes(content)
    os.mkfifo(tmp_path / "all" / "pipe")  # with no ending, nobody takes it for a picture

    found = candidates(tmp_path / "all")
    assert set(found) == set(good) | set(bad)
    assert found == sorted(found, key=lambda path: path.relative_to(tmp_path).as_posix())
    named = inspect(found, threads=3)
    assert [one.path for one in named] == [path for path in found if path in bad]
    for path, reason in named:
        assert reason.startswith(bad[path]), path
        assert reason
        assert str(tmp_path) not in reason
        assert "\n" not in reason
        assert len(reason) < 150
    # what is usable is what training lists
    usable = set(found) - {one.path for one in named}
    assert usable == set(good)
    assert [path for path in list_pictures(tmp_path / "all") if path in usable] == [p for p in found if p in usable]


WHOLE = [name for name, (_, reason) in BAD.items() if reason != "" and not reason.endswith((": ", "broken"))]


@pytest.mark.parametrize("name", WHOLE)
def test_each_reason_is_the_whole_clause(tmp_path: Path, name: str) -> None:
    content, reason = BAD[name]
    (tmp_path / name).write_bytes(content)
    assert judge(tmp_path / name) == reason


def test_other_files_are_told_apart_from_pictures(tmp_path: Path) -> None:
    for name, content in PASSED_OVER.items():
        (tmp_path / name).write_bytes(content)
    pictures, others = sort_out(tmp_path)
    assert pictures == []
    assert {path.name for path in others} == set(PASSED_OVER) - {".hidden.jpg"}


def test_a_folder_of_strangers_is_no_error_but_a_missing_one_is(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(boxed(b"heic"))
    assert candidates(tmp_path) == [tmp_path / "a.heic"]
    with pytest.raises(FileNotFoundError, match="no such folder"):
        candidates(tmp_path / "nowhere")


def test_folders_named_like_pictures_are_entered_and_linked_ones_only_once(tmp_path: Path) -> None:
    (tmp_path / "set" / "full.jpg").mkdir(parents=True)
    (tmp_path / "set" / "full.jpg" / "a.png").write_bytes(PNG)
    (tmp_path / "set" / "again").symlink_to(tmp_path / "set")
    assert candidates(tmp_path / "set") == [tmp_path / "set" / "full.jpg" / "a.png"]


def test_a_socket_is_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # names of sockets must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("a.jpg")
        assert judge(Path("a.jpg")) == "not a file (a socket)"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_named(tmp_path: Path) -> None:
    closed, folder = tmp_path / "a.jpg", tmp_path / "folder"
    closed.write_bytes(JPEG)
    closed.chmod(0)
    folder.mkdir()
    folder.chmod(0)
    try:
        assert judge(closed) == "cannot be opened: permission denied"
        assert inspect(candidates(tmp_path))[1].reason == "a folder that cannot be opened: permission denied"
    finally:
        folder.chmod(0o700)


def test_a_file_that_is_gone_is_named_and_nothing_raised(tmp_path: Path) -> None:
    assert judge(tmp_path / "gone.jpg") == "cannot be read: no such file or directory"


def test_whatever_a_decoder_raises_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    for error in (KeyError("x"), MemoryError(), ZeroDivisionError("a\nb"), RecursionError("x" * 500)):

        def fail(path: Path, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr("cyclestyle.data.inspection.load", fail)
        reason = judge(path)
        assert reason is not None
        assert reason.startswith("broken: ")
        assert len(reason) < 150
        assert "\n" not in reason
    assert inspect([path]) == [Unusable(path, reason)]


def test_damage_at_any_place_never_raises(tmp_path: Path) -> None:
    chances = np.random.default_rng(0)
    for suffix, whole in ((".jpg", JPEG), (".png", PNG), (".webp", saved("WEBP")), (".bmp", saved("BMP"))):
        for _ in range(40):
            content = bytearray(whole)
            for place in chances.integers(0, len(content), 4):
                content[place] = chances.integers(0, 256)
            path = tmp_path / f"a{suffix}"
            path.write_bytes(content[: chances.integers(1, len(content) + 1)])
            reason = judge(path)
            assert reason is None or (reason and str(tmp_path) not in reason)


def test_bombs_take_no_memory(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name in ("bomb.png", "bomb.bmp", "bomb.tif", "huge-strip.tif", "far-strip.tif"):
        (tmp_path / name).write_bytes(BAD[name][0])
    assert len(inspect(candidates(tmp_path), threads=4)) == 5
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 50_000  # kilobytes; the smallest would have 40,000 x 40,000 pixels


def test_large_pictures_are_decoded_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cyclestyle.data import inspection

    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for path in paths:
        path.write_bytes(PNG)
    held: list[bool] = []

    def loading(path: Path) -> Image.Image:
        held.append(inspection._one_large_picture.locked())
        return PICTURE

    monkeypatch.setattr(inspection, "load", loading)
    assert inspect(paths, threads=3) == []
    assert held == [False] * 6
    monkeypatch.setattr(inspection, "MANY_PIXELS", 64 * 48 - 1)
    assert inspect(paths, threads=3) == []
    assert held[6:] == [True] * 6


def test_results_come_in_order_and_progress_counts_each(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.jpg" for number in range(50)]
    for number, path in enumerate(paths):
        path.write_bytes(JPEG if number % 3 else b"")
    told: list[int] = []
    named = inspect(paths, threads=4, progress=told.append)
    assert [one.path for one in named] == paths[::3]
    assert told == [1] * 50
    assert inspect([]) == []


def test_only_a_few_pictures_are_in_hand_at_a_time_and_an_interrupt_begins_no_more() -> None:
    begun: list[Path] = []

    def work(path: Path) -> Path:
        begun.append(path)
        return path

    def interrupt(count: int) -> None:
        raise KeyboardInterrupt

    paths = [Path(str(number)) for number in range(1000)]
    with pytest.raises(KeyboardInterrupt):
        list(each(work, paths, threads=2, progress=interrupt))
    assert len(begun) <= 8
    assert list(each(work, paths, threads=2)) == paths


@pytest.mark.parametrize(
    ("name", "printed"),
    [(b"caf\xc3\xa9.jpg", "café.jpg"), (b"caf\xe9.jpg", "caf\\xe9.jpg"), (b"a\nb\x1b[2J", "a\\nb\\x1b[2J")],
)
def test_any_name_can_be_printed(name: bytes, printed: str) -> None:
    assert plain(os.fsdecode(name)) == printed
    printed.encode()


def test_the_header_tells_format_mode_and_pixels_without_decoding(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(9000, 9000))
    assert header(tmp_path / "a.png") == ("PNG", "RGB", 81_000_000)


def test_what_a_list_of_pictures_leaves_out_is_named_with_the_reason(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "good.png")
    (tmp_path / "broken.png").write_bytes(b"listed, and named when it is read")
    (tmp_path / "notes.txt").write_text("of no interest")
    assert passed_over(tmp_path) == ""
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "clip.MP4").write_bytes(b"anything")
    assert passed_over(tmp_path) == ""
    assert passed_over(tmp_path, {".mp4"}) == "passed over: below/clip.MP4 (a video)"
    PICTURE.save(tmp_path / "moving.gif")
    (tmp_path / "link.jpg").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert passed_over(tmp_path) == (
        "passed over: link.jpg (a link to nothing), moving.gif (a GIF; convert it to JPEG or PNG), "
        "pipe.jpg (not a file (a pipe))"
    )
    for number in range(NAMED):
        PICTURE.save(tmp_path / f"x{number}.gif")
    assert passed_over(tmp_path, {".mp4"}).endswith(f"and {NAMED + 1} more")
    assert {path.name for path in list_pictures(tmp_path)} == {"good.png", "broken.png"}
