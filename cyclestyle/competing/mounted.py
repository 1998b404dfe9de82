"""Where the competition's pictures are mounted: notebooks' images have put them into different places."""

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

COMPETITION = "gan-getting-started"
PAINTINGS, PHOTOS = "monet_jpg", "photo_jpg"
DEEPEST = 5
MOST_FOLDERS = 5_000
SUFFIXES = {".jpg", ".jpeg"}


class Mounted(NamedTuple):
    """Both sets."""

    paintings: Path
    photos: Path
    painting_count: int
    photo_count: int


def find_pictures(below: Path) -> Mounted:
    """The folders `monet_jpg` and `photo_jpg`, side by side, somewhere below a folder.

    Of several, one of the competition's name is taken, else the one that is least deep. Raises FileNotFoundError, with
    what to do, if there are none.
    """
    if not below.is_dir():
        raise FileNotFoundError(f"no such folder: {below}; give the one in which data are mounted with --input")
    found = [place for place in _folders(below) if (place / PAINTINGS).is_dir() and (place / PHOTOS).is_dir()]
    if not found:
        there = sorted(path.name for path in below.iterdir())[:8]
        holds = f"it holds {', '.join(there)}" if there else "it is empty"
        raise FileNotFoundError(
            f"no {PAINTINGS}/ beside {PHOTOS}/ within {DEEPEST} folders below {below} ({holds}); attach the data of "
            f"the competition {COMPETITION} to the notebook (Add Input), after accepting its rules at "
            f"https://www.kaggle.com/competitions/{COMPETITION}/rules"
        )
    place = min(found, key=lambda path: (COMPETITION not in path.parts, len(path.parts), str(path)))
    paintings, photos = place / PAINTINGS, place / PHOTOS
    counts = [len(list_jpegs(folder)) for folder in (paintings, photos)]
    if not all(counts):
        raise FileNotFoundError(f"{photos if counts[0] else paintings} holds no JPEGs; attach the data again")
    return Mounted(paintings, photos, *counts)


def list_jpegs(folder: Path) -> list[Path]:
    """In the order of their names."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def find_files(below: Path, suffixes: set[str]) -> list[Path]:
    """Files with one of the endings, within the same depth."""
    found: list[Path] = []
    for place in _folders(below):
        with suppress(OSError):
            found += [path for path in place.iterdir() if path.suffix.lower() in suffixes and path.is_file()]
    return sorted(found)


def _folders(below: Path) -> Iterator[Path]:
    """A folder and those within `DEEPEST` below it, the least deep first; the pictures' own are not entered."""
    waiting, looked_at = deque([(below, 0)]), 0
    while waiting and looked_at < MOST_FOLDERS:
        place, depth = waiting.popleft()
        looked_at += 1
        yield place
        if depth < DEEPEST and place.name not in {PAINTINGS, PHOTOS}:
            with suppress(OSError):  # one that may not be read
                inside = sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))
                waiting.extend((path, depth + 1) for path in inside)
