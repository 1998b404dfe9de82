"""A submission is the same bytes every time, and what the competition would refuse is refused here first."""

import errno
import hashlib
import io
import os
import random
import re
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, JpegImagePlugin

from cyclestyle.data.submission import MOST, SIDE, encode, submission_names, write_submission
from cyclestyle.data.submission_check import SubmissionError, validate_submission

Content = tuple[str | zipfile.ZipInfo, bytes]

# Where the fields of a zip stand, counted from the signature of the header (APPNOTE 4.3.7, 4.3.12, 4.3.16).
LOCAL = {"flags": ("<H", 6), "method": ("<H", 8), "crc": ("<L", 14), "packed": ("<L", 18), "unpacked": ("<L", 22)}
CENTRAL = {
    "version": ("<H", 6),
    "flags": ("<H", 8),
    "method": ("<H", 10),
    "crc": ("<L", 16),
    "packed": ("<L", 20),
    "unpacked": ("<L", 24),
    "extra": ("<H", 30),
    "offset": ("<L", 42),
}
END = {"disk": ("<H", 4), "here": ("<H", 8), "count": ("<H", 10), "size": ("<L", 12), "start": ("<L", 16)}


def picture(seed: int, mode: str = "RGB", size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    """Paint a smooth picture that is different for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)


def saved(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    """Give the bytes of a picture file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


GOOD = [encode(picture(seed)) for seed in range(4)]
FLAT = saved(Image.new("RGB", (SIDE, SIDE), "teal"))


def zipped(contents: Sequence[Content], method: int = zipfile.ZIP_STORED) -> bytes:
    """Zip without asking whether it makes sense."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as archive:
        warnings.simplefilter("ignore")  # duplicate names are meant
        for name, data in contents:
            archive.writestr(name, data)
    return buffer.getvalue()


def good(count: int = 3) -> list[Content]:
    return [(f"photo-{number}.jpg", GOOD[number % len(GOOD)]) for number in range(count)]


def with_one(name: str | zipfile.ZipInfo, data: bytes = GOOD[3], method: int = zipfile.ZIP_STORED) -> bytes:
    return zipped([*good(), (name, data)], method)


def patched(archive: bytes, header: bytes, index: int, **fields: int) -> bytes:
    """Overwrite fields of the header `index` (from the end if negative) that begins with the signature `header`."""
    layout = {b"PK\3\4": LOCAL, b"PK\1\2": CENTRAL, b"PK\5\6": END}[header]
    at = [found.start() for found in re.finditer(re.escape(header), archive)][index]
    changed = bytearray(archive)
    for name, value in fields.items():
        kind, offset = layout[name]
        struct.pack_into(kind, changed, at + offset, value)
    return bytes(changed)


def both(archive: bytes, index: int, **fields: int) -> bytes:
    return patched(patched(archive, b"PK\3\4", index, **fields), b"PK\1\2", index, **fields)


def flipped(archive: bytes, marker: bytes) -> bytes:
    """Change one byte in the middle of `marker`."""
    at = archive.index(marker) + len(marker) // 2
    return archive[:at] + bytes([archive[at] ^ 1]) + archive[at + 1 :]


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o120777 << 16
    return entry


def resized_header(jpeg: bytes, width: int, height: int) -> bytes:
    """Let the frame header of a JPEG declare another size."""
    at = jpeg.index(b"\xff\xc0")
    return jpeg[: at + 5] + struct.pack(">HH", height, width) + jpeg[at + 9 :]


def many_scans(jpeg: bytes) -> bytes:
    """Repeat the scan of a JPEG two hundred times."""
    at = jpeg.index(b"\xff\xda")
    return jpeg[:-2] + jpeg[at:-2] * 200 + jpeg[-2:]


def deflated(data: bytes) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflater.compress(data) + deflater.flush()


def tailed() -> bytes:
    """Hide bytes behind the end of the deflated data of a member."""
    archive = with_one("a.jpg", deflated(GOOD[3]) + b"hidden")
    return both(archive, -1, method=zipfile.ZIP_DEFLATED, unpacked=len(GOOD[3]), crc=zlib.crc32(GOOD[3]))


def liar() -> bytes:
    """Zip 40 MB of zeros that declare to be the length and checksum of their beginning."""
    start = b"\0" * 100_000
    archive = with_one("photo-9.jpg", b"\0" * 40_000_000, zipfile.ZIP_DEFLATED)
    return both(archive, -1, unpacked=len(start), crc=zlib.crc32(start))


def overlapping() -> bytes:
    """Let the first of three members be stored over the second one, headers and all (a quoted overlap)."""
    archive = zipped(good())
    first, second = (found.start() for found in list(re.finditer(rb"PK\x03\x04", archive))[:2])
    data = archive[first + 30 + len("photo-0.jpg") :][: second - first + 500]
    return both(archive, 0, packed=len(data), unpacked=len(data), crc=zlib.crc32(data))


def heavy() -> bytes:
    """Declare in the directory alone that 1,100 members have 4 MiB each."""
    archive = zipped([(f"{number}.jpg", b"x") for number in range(1_100)])
    size = struct.pack("<LL", 4 * 2**20, 4 * 2**20)
    return re.sub(rb"(PK\x01\x02.{16}).{8}", lambda found: found[1] + size, archive, flags=re.DOTALL)


def five_million() -> bytes:
    """Declare five million entries in a zip64 directory of a quarter of a gigabyte (that is not there)."""
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 5_000_000, 5_000_000, 46 * 5_000_000, 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1)
    return record + locator + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)


def undeclared() -> bytes:
    """Declare two of three entries."""
    return patched(zipped(good()), b"PK\5\6", 0, here=2, count=2)


def without(archive: bytes, start: int, length: int) -> bytes:
    return archive[:start] + archive[start + length :]


WRONG: dict[str, tuple[Callable[[], bytes], str]] = {
    # the file
    "an empty file": (lambda: b"", r"this is an empty file"),
    "text": (lambda: b"hello\n" * 100, r"this is text"),
    "an error page": (lambda: b"<!DOCTYPE html>" * 9, r"this is HTML or XML"),
    "a tarball": (lambda: b"\x1f\x8b\x08" + b"\0" * 99, r"this is a gzip file"),
    "a lone JPEG": (lambda: GOOD[0], r"this is a JPEG"),
    "a zip cut by a byte": (lambda: zipped(good())[:-1], r"end of the zip is missing"),
    "a zip cut in half": (lambda: zipped(good())[:20_000], r"end of the zip is missing"),
    "a zip that lost a piece": (lambda: without(zipped(good()), 4_000, 512), r"should end at byte .* bytes were lost"),
    "a zip with an advertisement": (lambda: zipped(good()) + b"thank you", r"bytes after the end of the zip"),
    "a zip after a program": (lambda: b"MZ" * 99 + zipped(good()), r"bytes were lost or added"),
    "a part of a split zip": (lambda: patched(zipped(good()), b"PK\5\6", 0, disk=1), r"one part of a split zip"),
    "a damaged directory": (lambda: zipped(good()).replace(b"PK\1\2", b"PK\1\3"), r"damaged at entry 1 of 3"),
    "undeclared entries": (undeclared, r"declares 2 entries"),
    "more entries than there are": (
        lambda: patched(zipped(good()), b"PK\5\6", 0, here=4, count=4),
        r"damaged at entry 4 of 4",
    ),
    "five million entries": (five_million, r"declares 5,000,000 entries .* 7,000 to 10,000"),
    "a broken zip64 record": (lambda: five_million().replace(b"PK\6\6", b"PK\6\5"), r"zip64 directory is damaged"),
    "a short zip64 record": (
        lambda: b"PK\6\6" + b"\0" * 30 + struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1) + zipped([]),
        r"zip64 directory is damaged",
    ),
    "a zip64 directory on another disk": (
        lambda: re.sub(rb"(PK\x06\x07.{12}).", lambda found: found[1] + b"\2", wide(), flags=re.DOTALL),
        r"zip64 directory is damaged",
    ),
    "an extra field out of bounds": (
        lambda: wide().replace(struct.pack("<HH", 1, 16), struct.pack("<HH", 1, 17)),
        r"extra field that cannot be read",
    ),
    "no pictures": (lambda: zipped([]), r"holds 0 pictures, but 1 to 10,000 are expected"),
    "4 GiB in all": (heavy, r"would unpack to 4,613,734,400 bytes"),
    # names
    "a folder of pictures": (lambda: with_one("images/0001.jpg"), r"'images/0001.jpg' lies in a folder, .* flat"),
    "a folder": (lambda: with_one("images/", b""), r"'images/' is a folder"),
    "a marked folder": (lambda: with_one(marked_folder()), r"marked as a folder"),
    "a way out": (lambda: with_one("../../0001.jpg"), r"climbs out"),
    "a Windows way out": (lambda: with_one("..\\0001.jpg"), r"climbs out"),
    "an absolute path": (lambda: with_one("/etc/0001.jpg"), r"absolute path"),
    "a backslash": (lambda: with_one("images\\0001.jpg"), r"backslash"),
    "a drive letter": (lambda: with_one("C:0001.jpg"), r"drive letter"),
    "a line break": (lambda: with_one("a\nTraceback.jpg"), r"'a\\nTraceback.jpg' has control"),
    "a NUL": (lambda: with_one("aaaa.jpg").replace(b"aaaa.jpg", b"a\0aa.jpg"), r"has control"),
    "a bidirectional name": (lambda: with_one("a\u202egpj.jpg"), r"has control or invisible"),
    "a name that is not UTF-8": (lambda: with_one("é.jpg").replace("é".encode(), b"\xff\xff"), r"cannot be read"),
    "an endless name": (lambda: with_one("a" * 300 + ".jpg"), r"too long a name"),
    "a Mac's twin": (lambda: with_one("__MACOSX/._0001.jpg"), r"desktop leaves behind"),
    "a Mac's folder list": (lambda: with_one(".DS_Store", b"Bud1"), r"'.DS_Store' is a hidden file"),
    "a Windows thumbnail list": (lambda: with_one("Thumbs.db", b"x"), r"'Thumbs.db' is a hidden file"),
    "a hidden picture": (lambda: with_one(".jpg"), r"hidden file"),
    "a zip in the zip": (lambda: with_one("images.zip", zipped(good())), r"archive inside the archive"),
    "a PNG by name": (lambda: with_one("a.png", saved(picture(0), "PNG")), r"does not end in '.jpg'"),
    "another spelling of JPEG": (lambda: with_one("a.jpeg"), r"does not end in '.jpg'"),
    "a list of files": (lambda: with_one("photo.jpg.csv", b"a,b"), r"does not end in '.jpg'"),
    "a name twice": (lambda: with_one("photo-1.jpg"), r"'photo-1.jpg' is there twice"),
    "a name in two cases": (lambda: with_one("PHOTO-1.jpg"), r"'PHOTO-1.jpg' is 'photo-1.jpg' where case is ignored"),
    "a name composed twice": (
        lambda: zipped([("\u00e9.jpg", GOOD[0]), ("e\u0301.jpg", GOOD[1])]),
        r"names are expected to differ",
    ),
    # what the directory declares
    "a symbolic link": (lambda: with_one(link("a.jpg"), b"/etc/passwd"), r"symbolic link"),
    "a password": (lambda: both(with_one("a.jpg"), -1, flags=1), r"is encrypted"),
    "a password in one header": (
        lambda: patched(with_one("a.jpg"), b"PK\3\4", -1, flags=1),
        r"declares other sizes, checksum or method",
    ),
    "bzip2": (lambda: with_one("a.jpg", method=zipfile.ZIP_BZIP2), r"packed with method 12"),
    "a method of the future": (lambda: both(with_one("a.jpg"), -1, method=99), r"packed with method 99"),
    "a flag of the past": (lambda: both(with_one("a.jpg"), -1, flags=1 << 5), r"unusual zip reader"),
    "a version of the future": (lambda: patched(with_one("a.jpg"), b"PK\1\2", -1, version=99), r"unusual zip reader"),
    "a file of no bytes": (lambda: with_one("a.jpg", b""), r"'a.jpg' is empty"),
    "40 MB that declare it": (
        lambda: with_one("a.jpg", b"\0" * 40_000_000, zipfile.ZIP_DEFLATED),
        r"unpack to 40,000,000",
    ),
    "a ratio of 1000": (lambda: with_one("a.jpg", b"\0" * 4_000_000, zipfile.ZIP_DEFLATED), r"to 4,000,000.*zip bomb"),
    "2 GB in the zip": (
        lambda: patched(with_one("a.jpg"), b"PK\1\2", -1, packed=2**31 - 1),
        r"declares 2,147,483,647 bytes",
    ),
    # what the headers and the data say
    "40 MB that deny it": (liar, r"holds more than the 100,000 bytes it declares"),
    "stored data that is longer than declared": (
        lambda: both(with_one("a.jpg"), -1, unpacked=9_000),
        r"holds more than the 9,000 bytes",
    ),
    "deflated data that is shorter than declared": (
        lambda: both(with_one("a.jpg", method=zipfile.ZIP_DEFLATED), -1, unpacked=90_000),
        r"holds less than the 90,000 bytes",
    ),
    "deflated data with a tail": (tailed, r"compressed data that ends too early or too late"),
    "two headers that disagree": (
        lambda: patched(with_one("a.jpg"), b"PK\3\4", -1, unpacked=9_000),
        r"declares other sizes",
    ),
    "two headers with two names": (
        lambda: with_one("aaaa.jpg").replace(b"aaaa.jpg", b"bbbb.jpg", 1),
        r"different name",
    ),
    "a member that begins elsewhere": (
        lambda: patched(with_one("a.jpg"), b"PK\1\2", -1, offset=with_one("a.jpg").rindex(b"PK\3\4") + 1),
        r"does not begin where",
    ),
    "a member beyond the end": (
        lambda: patched(with_one("a.jpg"), b"PK\1\2", -1, offset=2**31),
        r"shares bytes with what follows",
    ),
    "two members with one body": (
        lambda: patched(with_one("a.jpg"), b"PK\1\2", -1, offset=0),
        r"'photo-0.jpg' shares bytes with what follows",
    ),
    "a member over another": (overlapping, r"'photo-0.jpg' shares bytes with what follows"),
    "a flipped bit": (lambda: flipped(with_one("a.jpg"), GOOD[3]), r"'a.jpg' does not match its checksum"),
    "damaged compressed data": (
        lambda: with_one("a.jpg", method=zipfile.ZIP_DEFLATED).replace(deflated(GOOD[3])[:99], b"\xff" * 99),
        r"damaged compressed data",
    ),
    # pictures
    "a picture of another size": (
        lambda: with_one("a.jpg", saved(picture(3, size=(320, 200)))),
        r"'a.jpg' has 320x200 pixels, but the competition expects 256x256",
    ),
    "a grey picture": (lambda: with_one("a.jpg", saved(picture(3, "L"))), r"is greyscale, .* RGB"),
    "a CMYK picture": (lambda: with_one("a.jpg", saved(picture(3, "CMYK"))), r"is CMYK, .* RGB"),
    "a PNG in disguise": (lambda: with_one("a.jpg", saved(picture(3), "PNG")), r"is a PNG inside, .* expects JPEG"),
    "a GIF in disguise": (lambda: with_one("a.jpg", saved(picture(3), "GIF")), r"is a GIF inside"),
    "a WebP in disguise": (lambda: with_one("a.jpg", saved(picture(3), "WEBP")), r"is a WebP inside"),
    "a zip in disguise": (lambda: with_one("a.jpg", zipped(good())), r"is a zip inside"),
    "HTML in disguise": (lambda: with_one("a.jpg", b"<html>404</html>"), r"is HTML or XML inside"),
    "half a JPEG": (lambda: with_one("a.jpg", GOOD[3][: len(GOOD[3]) // 2]), r"cannot be decoded .*truncated"),
    "a JPEG less one byte": (lambda: with_one("a.jpg", GOOD[3][:-1]), r"cannot be decoded .*truncated"),
    "the first bytes of a JPEG": (lambda: with_one("a.jpg", GOOD[3][:4]), r"cannot be decoded"),
    "a JPEG of four gigapixels": (
        lambda: with_one("a.jpg", resized_header(GOOD[3], 65_500, 65_500)),
        r"has 65500x65500 pixels",
    ),
    "a JPEG of no pixels": (lambda: with_one("a.jpg", resized_header(GOOD[3], 0, 0)), r"'a.jpg' cannot be decoded"),
    "a JPEG of 201 scans": (lambda: with_one("a.jpg", many_scans(FLAT)), r"a JPEG of 201 scans"),
}


def marked_folder() -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo("a.jpg")
    entry.external_attr = 0x10
    return entry


def refusal(path: Path, *, practice: bool = True) -> str:
    """Validate a wrong zip; give the one line that refuses it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # neither a bomb warning nor any other may reach the user
        with pytest.raises(SubmissionError) as caught:
            validate_submission(path, practice=practice)
    sentence = str(caught.value)
    assert sentence.isprintable()  # so it is one line, and no terminal is driven by a name
    assert "Traceback" not in sentence.replace("\\nTraceback.jpg", "")
    assert str(path) in sentence
    assert re.search(r", but .*expect", sentence), sentence
    assert caught.value.__suppress_context__
    return sentence


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_zip_is_refused_for_its_own_reason(case: str, tmp_path: Path) -> None:
    make, reason = WRONG[case]
    path = tmp_path / "images.zip"
    path.write_bytes(make())
    assert re.search(reason, refusal(path)), refusal(path)


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    assert "there is no such file" in refusal(tmp_path / "nowhere.zip")
    assert "this is not a file" in refusal(tmp_path)


def test_an_unreadable_path_is_refused_without_a_traceback() -> None:
    with pytest.raises(SubmissionError, match=r"no such file|cannot be read"):
        validate_submission(Path("nul\0byte.zip"))
    with pytest.raises(SubmissionError, match=r"no such file|cannot be read"):
        validate_submission(Path("a" * 5_000))


@pytest.mark.parametrize(
    ("count", "practice", "reason"),
    [
        (6_999, False, "holds 6,999 pictures, but the competition expects 7,000 to 10,000: translate more photos"),
        (10_001, False, "holds 10,001 pictures, but the competition expects 7,000 to 10,000: hand in a part of them"),
        (10_001, True, "holds 10,001 pictures, but 1 to 10,000 are expected"),
    ],
)
def test_too_few_or_too_many_pictures_are_refused(count: int, practice: bool, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    path.write_bytes(zipped([(f"{number}.jpg", FLAT) for number in range(count)]))
    assert reason in refusal(path, practice=practice)


def test_the_twins_that_a_mac_adds_are_named_though_they_make_the_count_too_high(tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    twins = [(f"__MACOSX/._{number}.jpg", b"x") for number in range(7_000)]
    path.write_bytes(zipped([*((f"{number}.jpg", b"x") for number in range(7_000)), *twins]))
    assert re.search(r"'__MACOSX/._0.jpg' is a hidden file .* \(6,999 more like it\)$", refusal(path, practice=False))


def test_the_first_problem_is_named_and_its_like_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    small = [(f"small-{side}.jpg", saved(picture(0, size=(side, side)))) for side in (64, 128, 255)]
    path.write_bytes(zipped([*good(), *small, ("grey.jpg", saved(picture(0, "L")))]))
    assert re.search(r"'small-64.jpg' has 64x64 pixels, .* \(2 more like it\)$", refusal(path))


@pytest.mark.slow
@pytest.mark.parametrize("count", [7_000, 7_038, MOST])
def test_a_submission_of_an_allowed_size_is_accepted(count: int, tmp_path: Path) -> None:
    path = write(tmp_path, count, [FLAT] if count != 7_038 else GOOD)
    report = validate_submission(path)
    assert (report.path, report.count, report.bytes, report.practice) == (path, count, path.stat().st_size, False)
    assert f"valid submission: {count:,} JPEGs of 256x256" in str(report)


def test_one_bad_picture_among_a_thousand_is_found_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    path.write_bytes(zipped([*((f"{n:04}.jpg", FLAT) for n in range(999)), ("zzz.jpg", FLAT[:-1])]))
    assert "member 'zzz.jpg' cannot be decoded" in refusal(path)


def test_a_practice_zip_may_be_small_and_says_what_it_is(tmp_path: Path) -> None:
    path = write(tmp_path, 1, GOOD)
    report = validate_submission(path, practice=True)
    assert report.practice
    assert "practice" in str(report)
    with pytest.raises(FrozenInstanceError):
        report.count = 7_000  # type: ignore[misc]
    with pytest.raises(SubmissionError, match="holds 1 picture, but the competition expects 7,000 to 10,000"):
        validate_submission(path)


def write(folder: Path, count: int, jpegs: Sequence[bytes]) -> Path:
    """Write a submission of `count` names that share a few JPEG files."""
    files = [folder / f"{number}.bin" for number in range(len(jpegs))]
    for file, jpeg in zip(files, jpegs, strict=True):
        file.write_bytes(jpeg)
    write_submission(
        [(f"{number:05}.jpg", files[number % len(files)]) for number in range(count)], folder / "images.zip"
    )
    return folder / "images.zip"


class Unseekable(io.BytesIO):
    """A pipe: zipfile then writes sizes after the data instead of before it."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: object) -> int:
        raise io.UnsupportedOperation("seek")

    def tell(self) -> int:
        raise io.UnsupportedOperation("tell")


def piped() -> bytes:
    pipe = Unseekable()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in good():
            archive.writestr(name, data)
    return pipe.getvalue()


def commented() -> bytes:
    buffer = io.BytesIO(zipped(good()))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = b"made at home"
    return buffer.getvalue()


def wide() -> bytes:
    """Use zip64 for everything, as writers do that do not know what is coming."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile, "ZIP64_LIMIT", 1)
        patch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
        return zipped(good())


HONEST = {
    "deflated": lambda: zipped(good(), zipfile.ZIP_DEFLATED),
    "written to a pipe": piped,
    "with a comment": commented,
    "in zip64": wide,
    "progressive": lambda: with_one("a.jpg", saved(picture(3), progressive=True)),
    "4:2:0 with metadata": lambda: with_one("a.jpg", saved(picture(3), quality=75, comment="hi", dpi=(72, 72))),
    "named by people": lambda: zipped([("Été à Giverny (2).jpg", GOOD[0]), ("photo~1.b.jpg", GOOD[1])]),
}


@pytest.mark.parametrize("kind", HONEST)
def test_a_zip_that_another_program_wrote_is_accepted(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    path.write_bytes(HONEST[kind]())
    assert validate_submission(path, practice=True).count in {2, 3, 4}


def test_a_zip64_zip_is_really_one() -> None:
    assert b"PK\6\6" in wide()
    assert b"PK\6\6" not in zipped(good())


def test_a_bomb_is_refused_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    path.write_bytes(liar())
    tracemalloc.start()
    try:
        refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_truncation_is_found_though_somebody_told_pillow_to_tolerate_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    path = tmp_path / "images.zip"
    path.write_bytes(with_one("a.jpg", GOOD[3][:-200]))
    assert "cannot be decoded" in refusal(path)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True  # theirs again


def corrupted(archive: bytes, dice: random.Random) -> bytes:
    """Damage a zip somewhere, in one of the ways that disks, networks and enemies know."""
    data = bytearray(archive)
    for _ in range(dice.choice([1, 1, 1, 2, 5])):
        directory = max(0, len(data) - 300)
        at = dice.randrange(len(data)) if dice.random() < 0.4 else dice.randrange(directory, len(data))
        length = dice.choice([1, 2, 4, 30, 500])
        match dice.randrange(7):
            case 0:
                data[at] ^= 1 << dice.randrange(8)
            case 1:
                data[at : at + length] = dice.randbytes(len(data[at : at + length]))
            case 2:
                data[at : at + length] = dice.choice([b"\0", b"\xff"]) * len(data[at : at + length])
            case 3:
                del data[at : at + length]
            case 4:
                data[at:at] = dice.randbytes(length)
            case 5:
                other = dice.randrange(len(data))
                data[at : at + length] = data[other : other + length]
            case _:
                header = dice.choice([b"PK\3\4", b"PK\1\2", b"PK\5\6"])
                places = [found.start() for found in re.finditer(re.escape(header), bytes(data))] or [0]
                struct.pack_into(
                    "<H",
                    data,
                    min(dice.choice(places) + dice.randrange(4, 44), len(data) - 2),
                    dice.choice([0, 1, 8, 0xFFFF, 0x0800, dice.randrange(0xFFFF)]),
                )
    return bytes(data)


@pytest.mark.parametrize("base", ["stored", "deflated", "zip64"])
def test_random_damage_never_raises_anything_but_a_submission_error(base: str, tmp_path: Path) -> None:
    small = [(f"photo-{number}.jpg", FLAT) for number in range(3)]
    archive = {"stored": zipped(small), "deflated": zipped(small, zipfile.ZIP_DEFLATED), "zip64": wide()}[base]
    path, refusals = tmp_path / "images.zip", []
    for seed in range(300):
        path.write_bytes(corrupted(archive, random.Random(f"{base}{seed}")))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                validate_submission(path, practice=True)
        except SubmissionError as error:
            refusals.append(str(error))
            continue
        with zipfile.ZipFile(path) as opened:  # what is accepted, the usual reader must accept too
            assert opened.testzip() is None
            for name in opened.namelist():
                with Image.open(io.BytesIO(opened.read(name))) as image:
                    image.load()
                    assert (image.mode, image.size) == ("RGB", (SIDE, SIDE))
    assert 200 < len(refusals) < 300  # harmless damage exists: dates, permissions, comments
    assert all(sentence.isprintable() for sentence in refusals)


# --- writing


def listing(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def stored(folder: Path, contents: dict[str, bytes]) -> list[tuple[str, Path]]:
    folder.mkdir(exist_ok=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return [(name, folder / name) for name in contents]


def test_the_same_pictures_give_the_same_bytes_in_any_order_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = stored(tmp_path / "painted", {f"{number}.jpg": bytes([number]) * 1_000 for number in range(50)})
    write_submission(pictures, tmp_path / "first.zip")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setattr("sys.platform", "win32")
    random.Random(0).shuffle(pictures)
    for _, file in pictures:
        os.utime(file, (1, 1))
        file.chmod(0o600)
    write_submission(iter(pictures), tmp_path / "second.zip")
    first = (tmp_path / "first.zip").read_bytes()
    assert first == (tmp_path / "second.zip").read_bytes()
    # Written down, so that another Python, platform or day that differs is noticed.
    assert hashlib.sha256(first).hexdigest() == "35d0602a30943b9b31493a662d92e1c2567aa5cfd59c042b92c0851ab8070513"


def test_members_are_stored_sorted_and_dated_1980(tmp_path: Path) -> None:
    write_submission(stored(tmp_path / "p", {"b.jpg": GOOD[1], "a.jpg": GOOD[0]}), tmp_path / "deep" / "images.zip")
    with zipfile.ZipFile(tmp_path / "deep" / "images.zip") as archive:
        assert archive.namelist() == ["a.jpg", "b.jpg"]
        assert archive.read("b.jpg") == GOOD[1]
        for entry in archive.infolist():
            assert entry.compress_type == zipfile.ZIP_STORED
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)
            assert (entry.create_system, entry.external_attr >> 16) == (3, 0o100644)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ([], "no pictures were given"),
        (["images/a.jpg"], "lies in a folder"),
        (["../a.jpg"], "climbs out"),
        (["/a.jpg"], "absolute"),
        (["a\\b.jpg"], "backslash"),
        (["a.jpg", "a.jpg"], "'a.jpg' and 'a.jpg' were given"),
        (["a.jpg", "A.jpg"], "'A.jpg' and 'a.jpg' were given"),
        (["a.png"], "does not end in '.jpg'"),
        (["a\n.jpg"], "control"),
        ([".jpg"], "hidden"),
    ],
)
def test_names_that_would_be_refused_are_not_written(names: list[str], reason: str, tmp_path: Path) -> None:
    file = tmp_path / "picture"
    file.write_bytes(GOOD[0])
    with pytest.raises(ValueError, match=re.escape(reason)) as caught:
        write_submission([(name, file) for name in names], tmp_path / "images.zip")
    assert str(caught.value).isprintable()
    assert ", but " in str(caught.value)
    assert listing(tmp_path) == ["picture"]


def test_a_missing_picture_and_a_folder_as_target_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.jpg.* there is no such file \(1 of 2"):
        write_submission(
            [*stored(tmp_path / "p", {"a.jpg": b"x"}), ("b.jpg", tmp_path / "gone.jpg")], tmp_path / "i.zip"
        )
    with pytest.raises(ValueError, match=r"is a folder, but a file is expected: give .*images\.zip"):
        write_submission(stored(tmp_path / "p", {"a.jpg": b"x"}), tmp_path)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Put an older zip in place of the one to write."""
    path = tmp_path / "out" / "images.zip"
    path.parent.mkdir()
    path.write_bytes(b"the old zip")
    return path


def assert_untouched(old: Path) -> None:
    assert old.read_bytes() == b"the old zip"
    assert listing(old.parent) == ["images.zip"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(errno.EIO, "Input/output error"), MemoryError()])
def test_a_failure_half_way_leaves_the_old_zip_and_no_other_file(
    failure: BaseException, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = stored(tmp_path / "p", {f"{number}.jpg": GOOD[0] for number in range(9)})
    read, seen = Path.read_bytes, []

    def failing(path: Path) -> bytes:
        if path.suffix == ".jpg":
            assert read(old) == b"the old zip"  # a reader never sees half a zip
            seen.append(listing(old.parent))
            if len(seen) == 5:
                raise failure
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", failing)
    with pytest.raises(type(failure)):
        write_submission(pictures, old)
    monkeypatch.undo()
    assert len(seen[-1]) == 2  # it was being written in the same folder
    assert_untouched(old)


def test_a_full_disk_leaves_the_old_zip_and_no_other_file(old: Path, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    pictures = stored(tmp_path / "p", {f"{number}.jpg": GOOD[0] for number in range(9)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, limits[1]))  # bytes a file may have: the kernel refuses more
    try:
        with pytest.raises(OSError, match="File too large"):
            write_submission(pictures, old)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_untouched(old)


@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.replace"])
def test_a_failure_at_the_last_moment_leaves_the_old_zip(
    step: str, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    pictures = stored(tmp_path / "p", {"a.jpg": GOOD[0]})
    with monkeypatch.context() as patch:
        patch.setattr(step, fail)
        with pytest.raises(OSError, match="No space"):
            write_submission(pictures, old)
    assert_untouched(old)


def test_the_zip_is_on_the_disk_before_it_takes_its_name(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, events = os.fsync, []

    def noted(handle: int) -> None:
        events.append(old.read_bytes() == b"the old zip")
        sync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    write_submission(stored(tmp_path / "p", {"a.jpg": GOOD[0]}), old)
    assert events[0] is True  # the file first, while the old one still stands
    assert validate_submission(old, practice=True).count == 1


# --- pictures and names


def test_a_picture_is_encoded_at_quality_95_in_444_and_without_metadata() -> None:
    image = picture(7)
    image.info = {"comment": b"secret", "exif": b"Exif\0\0secret", "icc_profile": b"secret", "dpi": (300, 300)}
    jpeg = encode(image)
    assert jpeg == encode(image.copy())
    assert b"secret" not in jpeg
    with Image.open(io.BytesIO(jpeg)) as back, Image.open(io.BytesIO(saved(image, quality=95))) as reference:
        assert JpegImagePlugin.get_sampling(back) == 0
        assert (back.format, back.mode, back.size) == ("JPEG", "RGB", (SIDE, SIDE))
        assert back.quantization == reference.quantization
        assert not set(back.info) - {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        assert back.info["jfif_density"] == (1, 1)
        assert np.abs(np.asarray(back, int) - np.asarray(image, int)).mean() < 2
    assert image.info["comment"] == b"secret"  # the caller's picture is left alone


@pytest.mark.parametrize(("mode", "size"), [("L", (256, 256)), ("RGBA", (256, 256)), ("RGB", (256, 255))])
def test_a_picture_that_is_not_rgb_of_256_by_256_is_not_encoded(mode: str, size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=rf"a {mode} picture of {size[0]}x{size[1]} .* takes RGB of 256x256: resize"):
        encode(picture(0, mode, size))


def test_a_photo_gives_its_painting_its_own_name() -> None:
    assert submission_names([Path("photo_jpg/000ded5c41.jpg"), Path("x/Été 1.PNG")]) == {
        Path("photo_jpg/000ded5c41.jpg"): "000ded5c41.jpg",
        Path("x/Été 1.PNG"): "Ete_1.jpg",
    }
    assert submission_names([]) == {}


def test_photos_that_share_a_stem_are_told_apart_by_folder_then_by_ending_then_by_path() -> None:
    names = submission_names([Path(p) for p in ("a/x.jpg", "b/x.jpg", "b/x.png", "y/b/z.jpg", "w/b/z.jpg", "c/q.jpg")])
    assert names[Path("a/x.jpg")] == "a-x.jpg"
    assert (names[Path("b/x.jpg")], names[Path("b/x.png")]) == ("b-x-jpg.jpg", "b-x-png.jpg")
    assert re.fullmatch(r"z-[0-9a-f]{16}\.jpg", names[Path("y/b/z.jpg")])
    assert names[Path("c/q.jpg")] == "q.jpg"


AWKWARD = [
    "a/x.jpg", "b/x.jpg", "b/X.JPG", "a/X.png", "a-x.jpg", "c/a-x.jpg", "日本/写真.jpg", "日本/絵.jpg", ".hidden/.jpg",
    "a/..jpg", "a/b c.jpg", "a/b_c.jpg", "a/b\\c.jpg", "a/b\nc.jpg", "C:/d.jpg", "/d.jpg", "../d.jpg", "d.jpg",
    "a/" + "n" * 250 + ".jpg", "a/" + "n" * 249 + "m.jpg", "a/\udcff.jpg", "noend", "a/x.tar.gz", "__MACOSX.jpg",
]  # fmt: skip


def test_names_do_not_depend_on_the_order_and_can_always_be_written(tmp_path: Path) -> None:
    photos = [Path(name) for name in AWKWARD]
    names = submission_names(photos)
    for seed in range(20):
        random.Random(seed).shuffle(photos)
        assert submission_names(photos) == names
    assert set(names) == set(photos)
    assert len({name.casefold() for name in names.values()}) == len(photos)
    file = tmp_path / "picture"
    file.write_bytes(GOOD[0])
    write_submission([(name, file) for name in names.values()], tmp_path / "images.zip")
    assert validate_submission(tmp_path / "images.zip", practice=True).count == len(photos)


def test_kaggles_photos_keep_their_names() -> None:
    photos = [Path(f"data/photo_jpg/{number:010x}.jpg") for number in range(7_038)]
    names = submission_names(photos)
    assert list(names.values()) == [photo.name for photo in photos]
