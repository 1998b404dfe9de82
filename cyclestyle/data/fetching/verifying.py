"""What has come: pictures that can be opened, and how many; and whether a folder still holds what came."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclestyle.config import DataSettings
from cyclestyle.data.fetching.sources import USUAL, unusual
from cyclestyle.data.folders import LAYOUTS, find_roots
from cyclestyle.data.inspection import Unusable, each, inspect, plain
from cyclestyle.files import write_text
from cyclestyle.images import LARGEST, list_pictures, opened

RECORD = "download.json"
"""Written last into a folder that is complete: what came, and from where."""
SIDE = 256
"""Pixels of the competition's pictures, across and down."""
SHOWN = 10
"""Pictures that are named."""


@dataclass(frozen=True)
class Verified:
    """What a folder of both sets holds."""

    folder: Path
    counts: dict[str, int]
    """Pictures by folder of the layout, as in {"monet_jpg": 300, "photo_jpg": 7038}."""
    sizes: Counter[tuple[int, int]]
    """How many pictures are so wide and so high; empty where nobody looked."""
    unusable: tuple[Unusable, ...] = ()

    @property
    def told(self) -> str:
        """The counts as people say them."""
        paintings, photos, *tests = self.counts.values()
        kept_apart = f", {sum(tests):,} kept apart for tests" if tests else ""
        return f"{paintings:,} paintings, {photos:,} photos{kept_apart}"

    def notes(self) -> list[str]:
        """What somebody should know who thought that all was as usual, a line each."""
        lines = [f"not as many pictures as usual: {', '.join(found)}"] if (found := unusual(self.counts)) else []
        others = self.sizes.total() - self.sizes[SIDE, SIDE]
        if others and USUAL.keys() <= self.counts.keys():
            lines.append(f"{others:,} pictures are not {SIDE}x{SIDE}, as those of the competition are")
        lines += [f"cannot be used: {plain(str(one.path))}: {one.reason}" for one in self.unusable[:SHOWN]]
        if len(self.unusable) > SHOWN:
            lines.append(f"cannot be used: {len(self.unusable) - SHOWN:,} more; `cyclestyle check` names them")
        return lines


def layout_of(folder: Path) -> tuple[str, dict[str, Path]]:
    """The layout of a folder that holds both sets, and the folders of its sets that are there, in the layout's order.

    Raises FileNotFoundError where it has none of the known layouts.
    """
    roots = find_roots(DataSettings(folder=folder))
    there = {str(path.relative_to(folder).as_posix()): path for path in roots.values()}
    layout = next(name for name, (paintings, photos, *_) in LAYOUTS.items() if {paintings, photos} <= there.keys())
    return layout, {name: there[name] for name in LAYOUTS[layout] if name in there}


def pictures_in(folder: Path) -> list[Path]:
    """As `list_pictures`, also where there is none: test sets may be empty."""
    try:
        return list_pictures(folder)
    except FileNotFoundError:
        return []


def verify(folder: Path, *, advance: Callable[[int], None] | None = None) -> Verified:
    """Open every picture of both sets, as far as its header. Raises ValueError where a set has none that can be used.

    Pixels are left to `cyclestyle check`; those whose header cannot be read are decoded as far as possible, for the
    reason.
    """
    _, roots = layout_of(folder)
    listed = {name: pictures_in(path) for name, path in roots.items()}
    paths = [path for pictures in listed.values() for path in pictures]
    found = list(each(_size, paths, progress=advance))
    bad = [path for path, size in zip(paths, found, strict=True) if size is None]
    unusable = {one.path: one for one in inspect(bad)}
    for name, pictures in listed.items():
        if pictures and all(path in unusable for path in pictures):
            first = unusable[pictures[0]]
            raise ValueError(f"none of the {len(pictures):,} pictures in {name}/ can be read ({first.reason})")
    counts = {name: len(pictures) for name, pictures in listed.items()}
    return Verified(folder, counts, Counter(size for size in found if size), tuple(unusable.values()))


def _size(path: Path) -> tuple[int, int] | None:
    """Width and height as the header says; None where it says nothing that can be believed."""
    try:
        with opened(path) as file:
            return file.size if 0 < file.width * file.height <= LARGEST else None
    except Exception:  # whatever a decoder meets in a damaged file; `inspect` names it
        return None


def record(verified: Verified, source: str) -> None:
    """Write down what came, so that it is known later whether all of it is still there."""
    content: dict[str, Any] = {"source": source, "pictures": verified.counts}
    write_text(verified.folder / RECORD, json.dumps(content, indent=2) + "\n")


def there_already(folder: Path) -> Verified | None:
    """What lies in a folder that is complete; None where there is none, or an empty one.

    Complete is what still holds as many pictures as once came, none of them empty; without a record of that, the
    competition's folders with at least the usual numbers, or any pictures in another layout. Raises ValueError for
    anything else: a folder somebody has put other things into is not written to.
    """
    if not folder.exists() and not folder.is_symlink():
        return None
    if not folder.is_dir():
        raise ValueError(f"{folder} is there and is not a folder; choose another place with --to")
    if not any(folder.iterdir()):
        return None
    advice = "remove it, or choose another folder with --to"
    try:
        layout, roots = layout_of(folder)
    except FileNotFoundError:
        raise ValueError(f"{folder} is not empty, and does not hold both sets of pictures; {advice}") from None
    listed = {name: pictures_in(path) for name, path in roots.items()}
    counts = {name: len(pictures) for name, pictures in listed.items()}
    expected = _recorded(folder)
    if not expected:
        fewest = {name: least for name, (least, _) in USUAL.items()}
        expected = fewest if layout == "Kaggle" else dict.fromkeys(list(counts)[:2], 1)
    for name, least in expected.items():
        if counts.get(name, 0) < least:
            raise ValueError(f"{folder} holds {counts.get(name, 0):,} of {least:,} pictures in {name}/; {advice}")
    empty = [path for pictures in listed.values() for path in pictures if path.stat().st_size == 0]
    if empty:
        raise ValueError(f"{folder} holds {len(empty):,} empty pictures ({empty[0].name} is one); {advice}")
    return Verified(folder, counts, Counter())


def _recorded(folder: Path) -> dict[str, int]:
    try:
        pictures = json.loads((folder / RECORD).read_text(encoding="utf-8"))["pictures"]
        return {str(name): int(count) for name, count in pictures.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none, or not ours
        return {}
