"""What was seen in each picture, in files named by its content: an interrupted evaluation goes on from them."""

import hashlib
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cyclestyle.files import writing_to, written_aside

Vector = NDArray[np.float32]


class Store:
    """Vectors of numbers, each in a file of its own that is named by what it follows from.

    Several processes may write to one folder. A file that is damaged counts as missing.
    """

    def __init__(self, folder: Path, of: str) -> None:
        """`of`: what all the vectors follow from besides the picture: networks, weights, layers, conventions."""
        self.of = hashlib.sha256(of.encode()).hexdigest()[:16]
        self.folder = folder / self.of

    def path(self, key: str) -> Path:
        """Where the vector of `key` is kept."""
        name = hashlib.sha256(key.encode()).hexdigest()
        return self.folder / name[:2] / f"{name}.f32"

    def has(self, key: str, length: int) -> bool:
        """Whether there is a whole vector of this length."""
        return self.get(key, length) is not None

    def get(self, key: str, length: int) -> Vector | None:
        """The vector, or None if there is none of this length."""
        try:
            content = self.path(key).read_bytes()
        except OSError:
            return None
        check, values = content[:4], content[4:]
        if len(values) != 4 * length or zlib.crc32(values) != int.from_bytes(check, "little"):
            return None
        return np.frombuffer(values, dtype="<f4")

    def known(self, key: str, length: int) -> Vector:
        """The vector of what was looked at before. Raises ValueError if it is gone."""
        found = self.get(key, length)
        if found is None:
            raise ValueError(
                f"{self.folder} lacks what was seen in a picture; let all processes share one folder (--cache), delete "
                "nothing there meanwhile, and type the same command again"
            )
        return found

    def put(self, key: str, vector: Vector) -> None:
        """Keep a vector. Raises ValueError, naming the folder, if it cannot be written."""
        values = np.ascontiguousarray(vector, dtype="<f4").tobytes()
        with writing_to(self.folder), written_aside(self.path(key)) as aside:
            aside.write_bytes(zlib.crc32(values).to_bytes(4, "little") + values)


class Rows:
    """A matrix (n, d) of float32 on the disk, read block by block: `rows[a:b]`."""

    def __init__(self, path: Path, count: int, width: int) -> None:
        self.path, self.shape = path, (count, width)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        first, last, step = rows.indices(len(self))
        assert step == 1
        width = self.shape[1]
        count = max(last - first, 0)
        found = np.fromfile(self.path, dtype="<f4", count=count * width, offset=4 * first * width)
        return found.reshape(count, width)

    def take(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """Some rows, in memory."""
        return np.array(np.memmap(self.path, dtype="<f4", mode="r", shape=self.shape)[places])


def assemble(store: Store, keys: list[str], parts: dict[str, int], folder: Path) -> dict[str, Rows]:
    """The vectors of many pictures as one matrix for each part; `parts` are the widths, in the order of a vector.

    Raises ValueError if a vector is not there, or the matrices cannot be written.
    """
    with writing_to(folder):
        return _assembled(store, keys, parts, folder)


def _assembled(store: Store, keys: list[str], parts: dict[str, int], folder: Path) -> dict[str, Rows]:
    folder.mkdir(parents=True, exist_ok=True)
    length = sum(parts.values())
    files = {name: folder / f"{index}.f32" for index, name in enumerate(parts)}
    streams = {name: path.open("wb") for name, path in files.items()}
    try:
        for key in keys:
            vector, start = store.known(key, length), 0
            for name, width in parts.items():
                streams[name].write(vector[start : start + width].tobytes())
                start += width
    finally:
        for stream in streams.values():
            stream.close()
    return {name: Rows(files[name], len(keys), width) for name, width in parts.items()}
