"""What cannot be used in a folder of pictures, and why: told before an hour is spent on it.

A picture counts as usable when its ending is one that we read, its content is of that format, and every pixel decodes.
Damage that leaves a file decodable (a flipped byte in the middle of a scan) cannot be found in this way.
"""

import os
import re
import stat
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from PIL import Image

from cyclestyle.data.formats import MEANT, READ
from cyclestyle.images import LARGEST, SUFFIXES, Picture, header, load, walk

Item = TypeVar("Item")
Found = TypeVar("Found")


class Unusable(NamedTuple):
    """A picture file, or what looks like one, that cannot be learnt from."""

    path: Path
    reason: str
    """One short clause without the path."""


FIRST_BYTES = 512
NAMED = 3
"""Files that are named in one line."""
MANY_PIXELS = 25_000_000
"""Pictures above this are decoded one at a time: a few of 170 megapixels side by side would fill the memory."""
_one_large_picture = threading.Lock()


# --- what lies in a folder ----------------------------------------------------------------------------------------


def candidates(folder: Path) -> list[Path]:
    """All below a folder that is, or looks like, a picture: by its ending, or else by its first bytes.

    That is more than `list_pictures` lists: pipes, links to nothing and empty folders that are named like pictures,
    formats that are not read, pictures without a picture's ending. In the same order; hidden names are passed over.
    """
    return sort_out(folder)[0]


def sort_out(folder: Path) -> tuple[list[Path], list[Path]]:
    """What is a picture or looks like one (see `candidates`), and the other files that lie there."""
    if not folder.is_dir():
        raise FileNotFoundError(f"no such folder: {folder}")
    pictures: list[Path] = []
    others: list[Path] = []
    for place, folders, files in walk(folder):
        if not folders and not files and place != folder and _named_like_a_picture(place):
            pictures.append(place)
        pictures += (place / name for name in folders if not os.access(place / name, os.R_OK | os.X_OK))
        for name in files:
            path = place / name
            looks_so = _named_like_a_picture(path) or (path.is_file() and _kind(_first_bytes(path)) is not None)
            (pictures if looks_so else others).append(path)

    def by_name(path: Path) -> str:
        return path.relative_to(folder).as_posix()

    return sorted(set(pictures), key=by_name), sorted(others, key=by_name)


def passed_over(folder: Path, videos: Set[str] = frozenset()) -> str:
    """One line on what below a folder people may take for a picture, and `list_pictures` does not list; or nothing.

    Args:
        folder: also those below it; names with a leading dot are passed over.
        videos: endings of what is passed over as well, in lower case, with their dot.
    """
    pictures, others = sort_out(folder)
    strange = [path for path in pictures if path.suffix.lower() not in SUFFIXES or not path.is_file()]
    found = inspect(strange) + [Unusable(path, "a video") for path in others if path.suffix.lower() in videos]
    if not found:
        return ""
    named = ", ".join(f"{plain(str(one.path.relative_to(folder)))} ({one.reason})" for one in found[:NAMED])
    return f"passed over: {named}" + (f" and {len(found) - NAMED:,} more" if found[NAMED:] else "")


def _named_like_a_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES or path.suffix.lower() in MEANT


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb", buffering=0) as file:
            return file.read(FIRST_BYTES) or b""
    except OSError:
        return b""


# --- one picture --------------------------------------------------------------------------------------------------


def judge(path: Path) -> str | None:
    """Why a picture file cannot be used, or None. Decodes it whole; never raises for what is in a file."""
    found = opened(path)
    return found if isinstance(found, str) else None


def opened(path: Path) -> Picture | str:
    """The picture in a file, or the reason why it cannot be used."""
    try:
        return _not_a_file(path) or _misnamed(path) or _decoded(path)
    except OSError as error:  # a disk or a network that fails
        return f"cannot be read: {(error.strerror or str(error)).lower()}"


def _not_a_file(path: Path) -> str | None:
    """What stands in place of a file. Asked first, since opening a pipe waits for somebody to write to it."""
    if path.is_symlink() and not os.path.exists(path):  # noqa: PTH110 - pathlib raises for links in a circle
        return "a link to nothing"
    status = path.stat()
    if stat.S_ISREG(status.st_mode):
        if status.st_size == 0:
            return "empty"
        return None if os.access(path, os.R_OK) else "cannot be opened: permission denied"
    if stat.S_ISDIR(status.st_mode):
        closed = not os.access(path, os.R_OK | os.X_OK)
        return "a folder that cannot be opened: permission denied" if closed else "not a file (a folder)"
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return f"not a file ({kinds.get(stat.S_IFMT(status.st_mode), 'a device')})"


def _misnamed(path: Path) -> str | None:
    """Whether the content is what the ending says, by the first bytes.

    This also keeps Pillow's rarer decoders away from the files; one of them (EPS) starts another program.
    """
    with path.open("rb") as file:
        first = file.read(FIRST_BYTES)
    kind, ending = _kind(first), path.suffix.lower()
    meant = MEANT.get(ending)
    if kind is None:
        stranger = _stranger(first)
        if meant and not stranger:
            return f"{_a(meant)}; convert it to JPEG or PNG"
        return f"not a picture ({stranger})" if stranger else "not a picture"
    if kind == "TIFF" and meant == "camera raw file":  # most of them are TIFFs inside
        return f"{_a(meant)}; convert it to JPEG or PNG"
    if ending in READ.get(kind, ()):
        return None
    named = f"named {plain(path.suffix)}" if ending else "without an ending"
    if kind in READ:
        return f"{_a(kind)} {named}; rename it to {READ[kind][0]}"
    return f"{_a(kind)}{'' if meant == kind else ' ' + named}; convert it to JPEG or PNG"


def _decoded(path: Path) -> Picture | str:
    """Decode every pixel."""
    try:
        if header(path).pixels > MANY_PIXELS:
            with _one_large_picture:
                return load(path)
        return load(path)
    except Exception as error:  # whatever a decoder meets in a damaged file, it is the file that is to be named
        return _clause(path, error)


def _clause(path: Path, error: Exception) -> str:
    """What a decoder says, as one short clause without the path."""
    text = " ".join(str(error).replace(str(path), "").split())
    text = text.removeprefix("cannot be read:").strip() or type(error).__name__
    if claimed := re.search(r"(\d+) pixels\) exceeds|(\d+) x (\d+) pixels", text):
        total, width, height = claimed.groups()
        return f"claims {int(total or int(width) * int(height)):,} pixels, at most {LARGEST:,}"
    if "is not a picture" in text or "cannot identify image file" in text:
        return "broken: its header cannot be read"
    short = text if len(text) <= 120 else text[:119] + "…"
    if "truncated" in text.lower():
        return f"truncated: {short}"
    return short if short.startswith("broken") else f"broken: {short}"


# --- formats, by their first bytes --------------------------------------------------------------------------------

_BEGINNINGS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"8BPS": "Photoshop file",
    b"\x00\x00\x00\x0cJXL \r\n\x87\n": "JPEG XL",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n": "JPEG 2000",
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"MM*\0", b"II\0*"), "TIFF"),
}
_BMP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}
_STRANGERS = {
    b"<!doctype html": "a web page",
    b"<html": "a web page",
    b"version https://git-lfs": "a pointer of Git LFS; `git lfs pull` fetches the picture",
    b"pk\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"rar!": "a RAR archive",
    b"%pdf": "a PDF",
    b"%!ps": "a PostScript file",
}


def _kind(first: bytes) -> str | None:
    """The picture format that a file begins like."""
    for beginning, kind in _BEGINNINGS.items():
        if first.startswith(beginning):
            return kind
    if first[:4] == b"RIFF" and first[8:12] == b"WEBP":
        return "WebP"
    if first[:2] == b"BM" and int.from_bytes(first[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if first[4:8] == b"ftyp":
        return _kind_in_boxes(first)
    text = first.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return "SVG drawing" if text.startswith(b"<svg") or (text.startswith(b"<?xml") and b"<svg" in text) else None


def _kind_in_boxes(first: bytes) -> str | None:
    """Among HEIC, AVIF and films, which are boxed alike: the brands that the first box names."""
    brands = first[8 : min(int.from_bytes(first[:4], "big"), 64)]
    if b"avif" in brands or b"avis" in brands:
        return "AVIF"
    if brands.startswith(b"crx"):
        return "camera raw file"
    return "HEIC" if any(brand in brands for brand in (b"heic", b"heix", b"hevc", b"mif1", b"msf1")) else None


def _stranger(first: bytes) -> str | None:
    """What a file is that is no picture, where that is easily told."""
    if not first.strip(b"\0"):
        return "nothing but zeros"
    start = first.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for beginning, name in _STRANGERS.items():
        if start.startswith(beginning):
            return name
    if any(byte < 32 and byte not in b"\t\n\r\f" for byte in first):
        return None
    try:
        first.decode("utf-8")
    except UnicodeDecodeError as error:
        return "text" if error.start > len(first) - 4 and len(first) == FIRST_BYTES else None  # a letter cut in two
    return "text"


def _a(name: str) -> str:
    return f"an {name}" if name.startswith(("AVIF", "SVG", "Open")) else f"a {name}"


def plain(text: str) -> str:
    """A name as it can be printed: bytes that are no UTF-8, and control characters, are spelt out."""
    readable = os.fsencode(text).decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in readable)


# --- many pictures ------------------------------------------------------------------------------------------------


def inspect(
    paths: Sequence[Path], *, threads: int | None = None, progress: Callable[[int], None] | None = None
) -> list[Unusable]:
    """Judge every path; those that cannot be used, in the order of `paths`. `progress` is told of each one (1)."""
    return [
        Unusable(path, reason)
        for path, reason in zip(paths, each(judge, paths, threads=threads, progress=progress), strict=True)
        if reason is not None
    ]


def each(
    work: Callable[[Item], Found],
    items: Sequence[Item],
    *,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Found]:
    """Do some work on every picture, several at a time; results in the order of `items`.

    No more than a few results wait at a time, and an interrupt waits only for the pictures that are being decoded.
    """
    workers = threads or min(8, os.cpu_count() or 1)
    Image.init()  # Pillow's decoders, which the threads would else all import at once
    pool = ThreadPoolExecutor(workers, thread_name_prefix="pictures")
    waiting: deque[Future[Found]] = deque()
    # Pillow warns of oddities in files that it reads nevertheless. One thread's filter would be undone by another's.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= 4 * workers:
                    yield _next(waiting, progress)
            while waiting:
                yield _next(waiting, progress)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _next(waiting: "deque[Future[Found]]", progress: Callable[[int], None] | None) -> Found:
    found = waiting.popleft().result()
    if progress is not None:
        progress(1)
    return found
