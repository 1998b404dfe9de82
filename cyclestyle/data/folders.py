"""Where the two sets lie: the layouts that people have."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cyclestyle.config import DataSettings
from cyclestyle.images import list_pictures

LAYOUTS = {
    # (paintings, photos, test paintings, test photos)
    "ours": ("paintings", "photos", "test/paintings", "test/photos"),
    "Kaggle": ("monet_jpg", "photo_jpg", None, None),
    "CycleGAN": ("trainA", "trainB", "testA", "testB"),
}
"""In the CycleGAN layout A is the painter and B the photos, as in monet2photo; where not, give two folders."""


@dataclass(frozen=True)
class Sets:
    """The pictures to learn from, and those kept apart for looking."""

    photos: list[Path]
    paintings: list[Path]
    test_photos: list[Path]
    """Empty where the data have no test set."""
    test_paintings: list[Path]


def find_sets(settings: DataSettings) -> Sets:
    """List both sets. Raises FileNotFoundError or ValueError saying what was looked for and where."""
    if settings.photos and settings.paintings:
        return Sets(list_pictures(settings.photos), list_pictures(settings.paintings), [], [])
    if settings.photos or settings.paintings:
        given, missing = ("photos", "paintings") if settings.photos else ("paintings", "photos")
        raise ValueError(f"--data.{given} is given without --data.{missing}; give both, or one --data.folder")
    if settings.folder is None:
        raise ValueError("no pictures to learn from; give --data.folder, or --data.photos and --data.paintings")
    return _in_layout(settings.folder)


def _in_layout(folder: Path) -> Sets:
    if not folder.is_dir():
        raise FileNotFoundError(f"no such folder: {folder}")
    for paintings, photos, test_paintings, test_photos in LAYOUTS.values():
        if (folder / paintings).is_dir() and (folder / photos).is_dir():
            return Sets(
                photos=list_pictures(folder / photos),
                paintings=list_pictures(folder / paintings),
                test_photos=_listed(folder, test_photos),
                test_paintings=_listed(folder, test_paintings),
            )
    known = ", ".join(f"{paintings}/ + {photos}/" for paintings, photos, _, _ in LAYOUTS.values())
    there = sorted(path.name + "/" for path in folder.iterdir() if path.is_dir())[:8]
    held = f"it holds {', '.join(there)}" if there else "it holds no folders"
    raise FileNotFoundError(
        f"{folder} holds none of the known pairs of folders ({known}); {held}; "
        "or give two folders with --data.photos and --data.paintings"
    )


def _listed(folder: Path, name: str | None) -> list[Path]:
    try:
        return list_pictures(folder / name) if name else []
    except FileNotFoundError:  # no folder, or nothing in it: there is no test set
        return []


def fingerprint(pictures: Sequence[Path]) -> str:
    """A digest of the pictures' names and sizes in bytes, in order: do two runs see the same set?"""
    digest = hashlib.sha256()
    for path in pictures:
        digest.update(os.fsencode(path.name) + f"\0{path.stat().st_size}\n".encode())
    return digest.hexdigest()
