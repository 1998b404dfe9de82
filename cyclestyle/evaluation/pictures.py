"""Which pictures are measured, how two folders pair, and how a picture is brought before the networks."""

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from cyclestyle.data.inspection import each
from cyclestyle.files import reason, sha256
from cyclestyle.images import Images, fit, header, list_pictures, load, to_images, to_pictures

LARGEST_SIDE, LEAST_SIDE, STEP = 256, 32, 16
"""Pixels: the side at which pictures are measured unless told, and what the networks need."""


class Item(NamedTuple):
    """A picture file that was read whole."""

    name: str
    """Below its folder, with slashes, without the ending."""
    path: Path
    digest: str
    """SHA-256 of the file."""
    width: int
    height: int
    format: str
    """JPEG, PNG ..."""
    grey: bool


class Unread(NamedTuple):
    """A picture file that cannot be read."""

    name: str
    """As an item's."""
    reason: str
    """A sentence that names the file."""


@dataclass(frozen=True)
class PictureSet:
    """The pictures of a folder, by name."""

    folder: Path
    items: tuple[Item, ...]
    unread: tuple[Unread, ...] = ()

    @property
    def names(self) -> dict[str, Item]:
        return {item.name: item for item in self.items}

    @property
    def digest(self) -> str:
        """SHA-256 over the names and digests of its pictures."""
        listed = "".join(f"{item.name}\0{item.digest}\n" for item in self.items)
        return hashlib.sha256(listed.encode(errors="surrogateescape")).hexdigest()

    def only(self, names: Sequence[str]) -> "PictureSet":
        """Those of the given names, in that order."""
        have = self.names
        return PictureSet(self.folder, tuple(have[name] for name in names), self.unread)


def read_set(folder: Path, seen: Callable[[int], None] | None = None) -> PictureSet:
    """Decode every picture of a folder once, and note its digest; those that cannot be read are named and left out.

    Raises FileNotFoundError where there is no folder or no picture, ValueError if none can be read.
    """
    paths = list_pictures(folder)
    found = list(each(lambda path: _read(path, folder), paths, progress=seen))
    unread = tuple(one for one in found if isinstance(one, Unread))
    items = tuple(one for one in found if isinstance(one, Item))
    if not items:
        raise ValueError(f"none of the {len(paths)} pictures in {folder} can be read: {unread[0].reason}")
    return PictureSet(folder, items, unread)


def _read(path: Path, folder: Path) -> Item | Unread:
    name = path.relative_to(folder).with_suffix("").as_posix()
    try:
        picture, told = load(path), header(path)
        grey = told.mode in {"1", "L", "LA", "I;16"}
        return Item(name, path, sha256(path), *picture.size, _format(told.format), grey)
    except (ValueError, OSError) as error:
        return Unread(name, reason(error))


def _format(name: str) -> str:
    return "JPEG" if name == "MPO" else name


def pair(painted: PictureSet, photos: PictureSet) -> list[str]:
    """The names that stand in both, in the order of the painted.

    Raises ValueError if a painted picture has no photo, or two files share a name.
    """
    require_distinct(painted)
    require_distinct(photos)
    there, unread = photos.names, {one.name for one in photos.unread}
    lost = [item.name for item in painted.items if item.name not in there and item.name not in unread]
    if lost:
        raise ValueError(
            f"{photos.folder} has no photo for {len(lost)} of the {len(painted.items)} pictures in {painted.folder}, "
            f"first {lost[0]}; painted pictures are named as their photos, as `cyclestyle translate` does"
        )
    both = [item.name for item in painted.items if item.name in there]
    if not both:
        raise ValueError(f"no picture is left that can be read in both {painted.folder} and {photos.folder}")
    return both


def require_distinct(pictures: PictureSet) -> None:
    """A ValueError names the first of two files that share a name."""
    twice = [name for name, count in Counter(item.name for item in pictures.items).items() if count > 1]
    if twice:
        raise ValueError(f"{pictures.folder} holds {twice[0]} twice, with different endings; keep one of them")


def common_side(pictures: PictureSet) -> int:
    """The side at which pictures are measured: the commonest shorter side, at most 256, a multiple of 16."""
    sides = Counter(min(item.width, item.height) for item in pictures.items)
    commonest = max(sides, key=lambda side: (sides[side], side))
    return max(LEAST_SIDE, min(commonest, LARGEST_SIDE) // STEP * STEP)


def oddities(sets: Mapping[str, PictureSet], side: int, *, coded: bool) -> list[str]:
    """What about the files themselves may move the numbers: sentences. `coded`: all go through the same JPEG first."""
    said = [] if coded else _formats(sets)
    for name, one in sets.items():
        of = f"of the {len(one.items)} {name}"
        other = sum((item.width, item.height) != (side, side) for item in one.items)
        if other:
            said.append(f"{other} {of} are not {side} x {side} pixels; their centred square was scaled to that.")
        small = sum(min(item.width, item.height) < side for item in one.items)
        if small:
            said.append(f"{small} {of} are smaller and were enlarged, which blurs them; --size chooses another side.")
        grey = sum(item.grey for item in one.items)
        if grey:
            said.append(f"{grey} {of} are greyscale.")
        if one.unread:
            reasons = "; ".join(bad.reason for bad in one.unread[:3])
            said.append(f"{len(one.unread)} of the {name} cannot be read and are left out: {reasons}.")
    return said


def _formats(sets: Mapping[str, PictureSet]) -> list[str]:
    formats = {name: Counter(item.format for item in one.items) for name, one in sets.items()}
    told = [
        f"{name} {' and '.join(f'{count} {kind}' for kind, count in counts.most_common())}"
        for name, counts in formats.items()
    ]
    if len({kind for counts in formats.values() for kind in counts}) == 1:
        return []
    return [f"Formats differ ({'; '.join(told)}): compression alone moves distances; --jpeg 95 makes all alike."]


class Treatment(NamedTuple):
    """Something done to every picture of a row before it is measured."""

    identity: str
    """Changes with whatever changes the result."""
    apply: Callable[[Images], Images]


@dataclass(frozen=True)
class View:
    """One picture as it is measured."""

    item: Item
    side: int
    jpeg: int | None = None
    """Quality of a JPEG through which it goes first, or None."""
    treatment: Treatment | None = None

    @property
    def key(self) -> str:
        """What its pixels follow from."""
        treated = self.treatment.identity if self.treatment else ""
        return f"{self.item.digest} {self.side} {self.jpeg or 0} {treated}"

    def picture(self) -> Image.Image:
        """RGB, `side` x `side`: the largest centred square, scaled (bicubic, antialiased) unless it has that side."""
        found = load(self.item.path)
        if found.size != (self.side, self.side):
            found = fit(found, self.side)
        if self.treatment is not None:
            found = to_pictures(self.treatment.apply(to_images([found])))[0]
        if self.jpeg is not None:
            coded = io.BytesIO()
            found.save(coded, "JPEG", quality=self.jpeg, subsampling=0)
            found = Image.open(coded).convert("RGB")
        return found

    def images(self) -> Images:
        """(1, 3, side, side)."""
        return to_images([self.picture()])
