"""What is done of a video: its finished pieces, in a folder beside the file that it becomes.

A piece counts when its record is there, which is written last. With it lies what the frame after it is compared with,
so that a video that was stopped becomes the same file as one that was not.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from cyclestyle.files import held, sha256, write_text, written_aside

FACTS = "facts.json"
REMEMBERED = ("photo", "painted", "steadied")
"""What is kept of the last frame."""


@dataclass
class Pieces:
    """Those of one video, in the order of their frames."""

    folder: Path
    videos: list[Path] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    """Ticks of all frames."""
    last: int = 0
    """Ticks that the last frame lasts."""
    memory: dict[str, float] = field(default_factory=dict)
    """Sums, as the last piece left them."""
    before: dict[str, np.ndarray] = field(default_factory=dict)
    """The last frame's pictures."""

    def next_video(self) -> Path:
        """Where the next piece is written to."""
        return self.folder / f"{len(self.videos):06}.mkv"

    def add(self, times: list[int], last: int, memory: dict[str, float], before: dict[str, np.ndarray]) -> None:
        """A piece that is written to `next_video`."""
        video = self.next_video()
        with written_aside(video.with_suffix(".npz")) as aside:
            np.savez(aside, **before)  # type: ignore[arg-type] - names that are not NumPy's own
        record = {"times": times, "last": last, "memory": memory, "sha256": sha256(video)}
        write_text(video.with_suffix(".json"), json.dumps(record))
        if self.videos:
            self.videos[-1].with_suffix(".npz").unlink(missing_ok=True)
        self._count(video, record)

    def _count(self, video: Path, record: dict[str, Any]) -> None:
        self.videos.append(video)
        self.times.extend(record["times"])
        self.last, self.memory = record["last"], record["memory"]

    def find(self) -> None:
        """Those that are there. Without what the next frame is compared with, they are forgotten."""
        try:
            while (video := self.next_video()).with_suffix(".json").exists() and video.exists():
                record = json.loads(video.with_suffix(".json").read_text(encoding="utf-8"))
                if record["sha256"] != sha256(video):
                    raise ValueError("another video than was written")
                self._count(video, record)
            if self.videos:
                with np.load(self.videos[-1].with_suffix(".npz"), allow_pickle=False) as kept:
                    self.before = {name: kept[name] for name in REMEMBERED}
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile):  # damaged by somebody: begun anew
            self.videos, self.times, self.last, self.memory, self.before = [], [], 0, {}, {}


@contextmanager
def pieces_of(beside: Path, facts: dict[str, Any]) -> Iterator[Pieces]:
    """The pieces that have been made under the same name and `facts`; removed once the block ends well.

    Raises ValueError if another process is at it.
    """
    # the name may be as long as names can be
    folder = beside.with_name(
        f".unfinished-{hashlib.sha256(beside.name.encode(errors='surrogateescape')).hexdigest()[:16]}"
    )
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder / "lock") as ours:
        if not ours:
            raise ValueError(f"another process is painting {beside.stem}; wait for it, or give --to another name")
        told = json.dumps(facts, sort_keys=True)
        pieces = Pieces(folder)
        if _read(folder / FACTS) == told:
            pieces.find()
        else:
            for path in folder.iterdir():
                if path.name != "lock":
                    path.unlink()
            write_text(folder / FACTS, told)
        yield pieces
        shutil.rmtree(folder, ignore_errors=True)  # the video is there; nobody else may have begun one meanwhile


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
