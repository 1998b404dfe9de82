"""Where the two sets lie: the layouts that people have."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    roots: dict[str, Path] = field(default_factory=dict, compare=False)
    """The folder of each set: "photos", "paintings" and, where there, "test photos", "test paintings"."""


def find_sets(settings: DataSettings) -> Sets:
    """List both sets. Raises FileNotFoundError or ValueError saying what was looked for and where."""
    roots = find_roots(settings)
    return Sets(list_pictures(roots["photos"]), list_pictures(roots["paintings"]), *find_tests(roots), roots=roots)


def find_tests(roots: Mapping[str, Path]) -> tuple[list[Path], list[Path]]:
    """The test photos and the test paintings; empty where the data have none."""
    return _listed(roots.get("test photos")), _listed(roots.get("test paintings"))


def find_roots(settings: DataSettings) -> dict[str, Path]:
    """The folder of each set, whatever lies in it: "photos", "paintings" and, where there, those of the test set."""
    if settings.photos and settings.paintings:
        return {"photos": settings.photos, "paintings": settings.paintings}
    if settings.photos or settings.paintings:
        given, missing = ("photos", "paintings") if settings.photos else ("paintings", "photos")
        raise ValueError(f"--data.{given} is given without --data.{missing}; give both, or one --data.folder")
    if settings.folder is None:
        raise ValueError("no pictures to learn from; give --data.folder, or --data.photos and --data.paintings")
    return _in_layout(settings.folder)


def require_apart(roots: Mapping[str, Path]) -> None:
    """Raises ValueError if the set of photos and that of paintings share pictures, as one folder or one in the other.

    Sub-folders belong to a set: these pictures would be learnt from as both.
    """
    photos, paintings = roots["photos"], roots["paintings"]
    inner, outer = photos.resolve(), paintings.resolve()
    if inner == outer:
        raise ValueError(f"{photos} is given for the photos and for the paintings; give the folder of each")
    if outer in inner.parents or inner in outer.parents:
        within, around = (photos, paintings) if outer in inner.parents else (paintings, photos)
        raise ValueError(f"{within} lies in {around}, and all below that is taken; give folders side by side")


def _in_layout(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"no such folder: {folder}")
    for paintings, photos, test_paintings, test_photos in LAYOUTS.values():
        if (folder / paintings).is_dir() and (folder / photos).is_dir():
            tests = {"test photos": test_photos, "test paintings": test_paintings}
            kept_apart = {name: folder / place for name, place in tests.items() if place and (folder / place).is_dir()}
            return {"photos": folder / photos, "paintings": folder / paintings, **kept_apart}
    known = ", ".join(f"{paintings}/ + {photos}/" for paintings, photos, _, _ in LAYOUTS.values())
    there = sorted(path.name + "/" for path in folder.iterdir() if path.is_dir())[:8]
    held = f"it holds {', '.join(there)}" if there else "it holds no folders"
    raise FileNotFoundError(
        f"{folder} holds none of the known pairs of folders ({known}); {held}; "
        "or give two folders with --data.photos and --data.paintings"
    )


def _listed(folder: Path | None) -> list[Path]:
    try:
        return list_pictures(folder) if folder else []
    except FileNotFoundError:  # nothing in it: there is no test set
        return []
