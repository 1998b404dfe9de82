"""Pictures that were decoded and scaled once, in one file: their bytes one after another, then an index, then its seal.

The file is written aside and renamed, so there is never half of one; should a disk lose a part of it all the same, its
size or the index's digest tells. It is mapped into memory and never changed.
"""

import hashlib
import json
import mmap
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL
from numpy.typing import NDArray

from cyclestyle.config import DataSettings
from cyclestyle.data.augment import Augmentation
from cyclestyle.data.decoding import Pixels, read_pixels
from cyclestyle.data.inspection import each
from cyclestyle.files import sha256, written_aside
from cyclestyle.images import load

SEAL = struct.Struct("<8sQ32s")
"""The last bytes of a file: what it is, the length of the index before, and its SHA-256."""
MAGIC = b"cyclesty"
FORMAT = 1


class Entry(NamedTuple):
    """A picture, and the file that it was made of, as it was."""

    name: str
    size: int
    """Bytes of the file; -1 if there was none."""
    modified: int
    """Nanoseconds."""
    sha256: str
    shape: Sequence[int] | None
    """Of its bytes here; None if it could not be read."""
    why: str
    """The sentence that says why it could not be read."""

    @property
    def length(self) -> int:
        """Bytes that it takes here."""
        return int(np.prod(self.shape)) if self.shape else 0


class Cache:
    """The pictures of one set, by index; read-only."""

    def __init__(self, path: Path) -> None:
        """Raises ValueError for a damaged file, OSError if there is none."""
        with path.open("rb") as file:
            length = file.seek(0, 2)
            if length < SEAL.size:
                raise ValueError(f"{path} is damaged: {length} bytes")
            self.bytes = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), dtype=np.uint8)
        self.path = path
        magic, of_index, digest = SEAL.unpack(self.bytes[-SEAL.size :].tobytes())
        begin = length - SEAL.size - of_index
        index = self.bytes[max(begin, 0) : length - SEAL.size].tobytes()
        if magic != MAGIC or begin < 0 or hashlib.sha256(index).digest() != digest:
            raise ValueError(f"{path} is damaged: its index is not what was written")
        rows: list[tuple[str, int, int, str, list[int] | None, str]] = json.loads(index)
        self.entries = [Entry(*row) for row in rows]
        lengths = np.array([entry.length for entry in self.entries], dtype=np.int64)
        self.ends = np.cumsum(lengths)
        self.places = list(zip((self.ends - lengths).tolist(), self.ends.tolist(), strict=True))
        if not self.entries or self.ends[-1] != begin:
            raise ValueError(f"{path} is damaged: {begin:,} bytes of pixels, not those of its index")

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Pixels:
        """What `Augmentation.prepare` gave. Raises ValueError for a picture that could not be read."""
        entry = self.entries[index]
        if entry.shape is None:
            raise ValueError(entry.why)
        begin, end = self.places[index]
        return self.bytes[begin:end].reshape(entry.shape)

    def fits(self, paths: Sequence[Path]) -> bool:
        """Whether it holds what the files hold now.

        Of a file with the same size and date this is believed; of others the content is compared. What has vanished
        since is kept: its pixels are here. What could not be read is tried again.
        """
        return len(paths) == len(self) and all(map(_still, paths, self.entries))


def _still(path: Path, entry: Entry) -> bool:
    try:
        status = path.stat()
    except OSError:
        return entry.shape is not None or entry.size < 0
    if entry.shape is None:
        return not _readable(path)
    if (status.st_size, status.st_mtime_ns) == (entry.size, entry.modified):
        return True
    try:
        return sha256(path) == entry.sha256
    except OSError:  # there, and for the moment not to be read
        return True


def _readable(path: Path) -> bool:
    try:
        load(path)
    except (ValueError, OSError):
        return False
    return True


def named(paths: Sequence[Path], augmentation: Augmentation) -> str:
    """The name of the file for these pictures, scaled in this way: other programs may decode or scale otherwise."""
    made = [FORMAT, augmentation.facts(), f"Pillow {PIL.__version__}", [str(path.absolute()) for path in paths]]
    return hashlib.sha256(json.dumps(made).encode()).hexdigest()[:24] + ".pixels"


def write_cache(
    path: Path, paths: Sequence[Path], settings: DataSettings, before: Cache | None, seen: Callable[[int], None]
) -> None:
    """Decode and scale all pictures, several at a time, into a new file; what did not change is taken from `before`.

    `seen` is told of each one (1); what it raises ends the writing and leaves nothing. Raises OSError where the disk is
    full or cannot be written.
    """
    entries: list[Entry] = []
    with written_aside(path) as aside, aside.open("wb") as file:
        for entry, pixels in _prepared(paths, settings, before):
            if pixels is not None:
                file.write(np.ascontiguousarray(pixels).data)
            entries.append(entry)
            seen(1)
        index = json.dumps(entries).encode()
        file.write(index + SEAL.pack(MAGIC, len(index), hashlib.sha256(index).digest()))


def _prepared(
    paths: Sequence[Path], settings: DataSettings, before: Cache | None
) -> Iterator[tuple[Entry, Pixels | None]]:
    """Each picture's entry and bytes, in order."""
    augmentation = Augmentation(settings)
    known: Mapping[Path, int] = dict(zip(paths, range(len(before)), strict=True)) if before is not None else {}

    def prepare(path: Path) -> tuple[Entry, Pixels | None]:
        old = before.entries[known[path]] if before is not None else None
        kept = before[known[path]] if before is not None and old is not None and old.shape is not None else None
        size, modified, digest = -1, 0, ""
        try:
            status = path.stat()
            size, modified, digest = status.st_size, status.st_mtime_ns, sha256(path)
            if old is not None and kept is not None and digest == old.sha256:
                return old._replace(size=size, modified=modified), kept
            pixels = augmentation.to_keep(augmentation.prepare(read_pixels(path)))
        except (ValueError, OSError) as error:
            if size < 0 and old is not None and kept is not None:  # it has vanished
                return old, kept
            return Entry(path.name, size, modified, digest, None, _sentence(path, error)), None
        return Entry(path.name, size, modified, digest, pixels.shape, ""), pixels

    yield from each(prepare, paths)


def _sentence(path: Path, error: Exception) -> str:
    """What is said of it when it is read from its file."""
    try:
        load(path)
    except (ValueError, OSError) as said:
        return str(said)
    return str(error)


def core_is_flat(pixels: NDArray[np.uint8], augmentation: Augmentation) -> NDArray[np.bool_]:
    """Whether what every cut of (n, 3, side, side) shares is of one colour, so that a cut of it may be: (n,)."""
    first, end = augmentation.room, augmentation.side
    core = pixels[:, :, first:end, first:end]
    if not core.size:  # cuts need not share anything
        return np.ones(len(pixels), dtype=bool)
    return ~(core != core[:, :, :1, :1]).any(axis=(1, 2, 3))
