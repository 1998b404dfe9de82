"""Write what Kaggle's `gan-getting-started` takes: one zip of flat JPEGs, the same bytes for the same pictures.

Reading such a zip back and refusing what the competition would refuse is `cyclestyle.data.submission_check`.
"""

import contextlib
import hashlib
import io
import os
import re
import secrets
import stat
import unicodedata
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile

SIDE = 256  # pixels, width and height
FEWEST = 7_000  # pictures in a submission
MOST = 10_000
JPEG_QUALITY = 95

_LONGEST_NAME = 255  # bytes: what common file systems take, so that the zip can be unpacked anywhere
_LONGEST_PART = 80  # characters of a stem or a folder that go into a submission name
_SCANS = 100  # a progressive JPEG has about ten; thousands of empty ones keep a decoder busy for minutes
_LEFT_BY_A_DESKTOP = {"__macosx", "thumbs.db", "desktop.ini"}

_FLAT = "the competition expects flat names such as 'photo.jpg': zip the pictures themselves, not their folder"
_JPEG_EXPECTED = "the competition expects JPEG files: save the picture itself as JPEG, a new name is not enough"
_BEGINNINGS = {
    b"\xff\xd8": "a JPEG",
    b"\x89PNG": "a PNG",
    b"GIF8": "a GIF",
    b"BM": "a BMP",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"PK": "a zip",
    b"\x1f\x8b": "a gzip file",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"%PDF": "a PDF",
}


@dataclass(frozen=True)
class Fault:
    """What is wrong with one member of a submission: what was found, and what is expected instead."""

    found: str
    expected: str


def shown(text: str, longest: int = 80) -> str:
    """Quote a name for a one-line message, whatever characters it is made of."""
    return repr(text if len(text) <= longest else text[: longest - 3] + "...")


def same_file_key(name: str) -> str:
    """Give the same key to names that are one file on a disk that ignores case or Unicode composition."""
    return unicodedata.normalize("NFC", name).casefold()


def name_fault(name: str) -> Fault | None:
    """Say what keeps `name` from being the name of a submitted picture; None where nothing does."""
    parts = name.replace("\\", "/").split("/")
    if not name.isprintable():
        return Fault("has control or invisible characters in its name", "plain names are expected: rename it")
    if ".." in parts:
        return Fault("climbs out of its folder with '..'", _FLAT)
    if re.match(r"[A-Za-z]:", name):
        return Fault("has a drive letter in its name", _FLAT)
    if parts[0] == "" and len(parts) > 1:
        return Fault("has an absolute path", _FLAT)
    if any(part.lower() in _LEFT_BY_A_DESKTOP or (part.startswith(".") and part != ".") for part in parts):
        expected = "the competition expects pictures only: leave it out (on a Mac: `zip -X images.zip *.jpg`)"
        return Fault("is a hidden file or one that a desktop leaves behind", expected)
    if "\\" in name:
        return Fault("has a backslash in its name", _FLAT)
    if name.endswith("/"):
        return Fault("is a folder", _FLAT)
    if len(parts) > 1:
        return Fault("lies in a folder", _FLAT)
    if name.lower().endswith((".zip", ".tar", ".gz", ".7z", ".rar")):
        expected = "the competition expects the pictures directly in one zip: unpack it and zip what was in it"
        return Fault("is an archive inside the archive", expected)
    if not name.endswith(".jpg"):
        return Fault("does not end in '.jpg'", "the competition expects JPEG files named like 'photo.jpg'")
    if len(os.fsencode(name)) > _LONGEST_NAME:
        return Fault("has too long a name", f"at most {_LONGEST_NAME} bytes are expected: shorten it")
    return None


def picture_fault(data: bytes) -> Fault | None:
    """Say what keeps the bytes of a member from being a 256x256 RGB JPEG, all of it decoded."""
    if not data.startswith(b"\xff\xd8\xff"):
        return Fault(f"is {looks_like(data[:512])} inside", _JPEG_EXPECTED)
    scans = data.count(b"\xff\xda")
    if scans > _SCANS:
        return Fault(f"is a JPEG of {scans:,} scans", f"at most {_SCANS} are expected: save it again as a plain JPEG")
    try:
        # Not Image.open: it warns or raises by the declared size before that can be told, and follows MPO indices.
        with JpegImageFile(io.BytesIO(data)) as picture:
            if picture.size != (SIDE, SIDE):
                found = f"has {picture.width}x{picture.height} pixels"
                return Fault(found, f"the competition expects {SIDE}x{SIDE}: resize it")
            if picture.mode != "RGB":
                kind = {"L": "greyscale"}.get(picture.mode, picture.mode)
                return Fault(f"is {kind}", "the competition expects RGB: convert it")
            picture.load()
    except Exception as error:  # hostile bytes: OSError, SyntaxError, struct.error, ValueError, OverflowError, ...
        return Fault(f"cannot be decoded ({reason(error)})", "the competition expects whole JPEGs: save it again")
    return None


@contextlib.contextmanager
def strict_pillow() -> Iterator[None]:
    """Let Pillow fail on truncated data, whatever others asked of it, and keep its warnings to itself."""
    lenient = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = lenient


def looks_like(head: bytes) -> str:
    """Guess from its first bytes what a file is."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP"
    if head[4:8] == b"ftyp":
        return "a HEIC, AVIF or video file"
    for beginning, kind in _BEGINNINGS.items():
        if head.startswith(beginning):
            return kind
    if not head:
        return "an empty file"
    if head.lstrip()[:1] == b"<":
        return "HTML or XML"
    return "text" if head.isascii() and b"\0" not in head else "something unknown"


def reason(error: Exception) -> str:
    """Put an exception in a few words on one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return "".join(letter if letter.isprintable() else " " for letter in text)[:200]


def _plain(text: str) -> str:
    """Spell `text` with the letters that no zip program, file system or shell stumbles over."""
    latin = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "_", latin).lstrip(".")[:_LONGEST_PART]


def _spellings(photo: Path) -> list[str]:
    """List the names that `photo` could go by, the shortest first and the last one its own for certain."""
    stem, folder = _plain(photo.stem) or "photo", _plain(photo.parent.name) or "folder"
    digest = hashlib.sha256(os.fsencode(photo.as_posix())).hexdigest()[:16]
    return [
        f"{stem}.jpg",
        f"{folder}-{stem}.jpg",
        f"{folder}-{stem}-{_plain(photo.suffix) or 'file'}.jpg",
        f"{stem}-{digest}.jpg",
    ]


def submission_names(photos: Sequence[Path]) -> dict[Path, str]:
    """Name the painting of each photo: its stem, and its folder too where two photos share a stem.

    The names depend on the set of photos only, not on their order, and never differ in case alone.
    """
    spellings = {photo: _spellings(photo) for photo in photos}
    step = dict.fromkeys(spellings, 0)
    while True:
        names = {photo: spellings[photo][step[photo]] for photo in spellings}
        takers = Counter(map(same_file_key, names.values()))
        rivals = [photo for photo, name in names.items() if takers[same_file_key(name)] > 1]
        if not rivals:
            return names
        # Every rival moves on, not all but the first: otherwise the order given would decide who keeps the name.
        for photo in rivals:
            step[photo] = min(step[photo] + 1, len(spellings[photo]) - 1)


def encode(picture: Image.Image) -> bytes:
    """Turn a 256x256 RGB picture into the JPEG that is submitted: quality 95, 4:4:4, no metadata."""
    if picture.mode != "RGB" or picture.size != (SIDE, SIDE):
        given = f"a {picture.mode} picture of {picture.width}x{picture.height} pixels was given"
        raise ValueError(f"{given}, but a submission takes RGB of {SIDE}x{SIDE}: resize and convert it first")
    # Pillow carries comments (and has carried profiles) over from `info`; the pixels are all that is handed in.
    bare = picture.copy()
    bare.info = {}
    jpeg = io.BytesIO()
    # Chroma subsampling alone would cost three times the error of the quality setting, and the score sees it.
    bare.save(jpeg, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return jpeg.getvalue()


def write_submission(pictures: Iterable[tuple[str, Path]], to: Path) -> None:
    """Zip JPEG files under the names given, so that the same pictures give the same bytes everywhere.

    `pictures` are pairs of a name and the file that holds its JPEG bytes, in any order; one file is in memory at a
    time. `to` appears whole or not at all: on any failure an older zip of that name stays as it was. ValueError for
    names that the competition would refuse, FileNotFoundError for files that are not there.
    """
    ordered = sorted(pictures)
    _refuse_bad_names([name for name, _ in ordered])
    missing = [file for _, file in ordered if not file.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{shown(str(missing[0]), 400)} was given as a picture to submit, but there is no such file "
            f"({len(missing):,} of {len(ordered):,} are missing): translate the photos again"
        )
    if to.is_dir():
        raise ValueError(f"{shown(str(to), 400)} is a folder, but a file is expected: give {to / 'images.zip'}")
    to.parent.mkdir(parents=True, exist_ok=True)
    aside = to.with_name(f".submission-{secrets.token_hex(6)}.part")
    try:
        with aside.open("xb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                for name, picture in ordered:
                    archive.writestr(_entry(name), picture.read_bytes())
            file.flush()
            os.fsync(file.fileno())
        aside.replace(to)
        _sync_folder(to.parent)
    finally:
        aside.unlink(missing_ok=True)


def _refuse_bad_names(names: Sequence[str]) -> None:
    """Raise ValueError for the first name that a submission cannot hold."""
    if not names:
        raise ValueError("no pictures were given, but a submission needs some: translate a folder of photos first")
    taken: dict[str, str] = {}
    for name in names:
        fault = name_fault(name)
        if fault:
            raise ValueError(f"the name {shown(name)} {fault.found}, but {fault.expected}")
        other = taken.get(same_file_key(name))
        if other is not None:
            both = f"the names {shown(other)} and {shown(name)} were given"
            raise ValueError(f"{both}, but each file needs a name of its own also where case is ignored: rename one")
        taken[same_file_key(name)] = name


def _entry(name: str) -> zipfile.ZipInfo:
    """Describe a member by its name alone: no clock, no platform and no umask gets into the zip."""
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_STORED  # JPEG does not shrink further, and storing is 5x faster
    entry.create_system = 3  # Unix, also when written on Windows
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    return entry


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut, where the platform can."""
    with contextlib.suppress(OSError):  # Windows cannot open a folder, some network disks cannot sync one
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
