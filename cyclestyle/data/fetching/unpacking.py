"""The pictures of a zip that may come from anywhere, and nothing but them, unpacked into a new folder.

The directory is bounded and every name in it looked at before anything is written. A member is read in memory, never
more of it than it declares, and its checksum compared.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from cyclestyle.data.folders import LAYOUTS
from cyclestyle.data.submission import Fault, same_file_key, shown
from cyclestyle.data.submission_zip import (
    DEFLATED,
    ENCRYPTED,
    STORED,
    Member,
    ZipError,
    find_directory,
    read_directory,
    unpack,
)
from cyclestyle.files import reason
from cyclestyle.images import SUFFIXES

# Bounds. A picture of the competition has 0.02 MB, one of a good camera 20; photos hardly deflate at all.
MEMBER_BYTES = 64 * 2**20
TOTAL_BYTES = 8 * 2**30
RATIO = 100
"""Bytes for one in the zip; small members may have more, since drawings of one colour do."""
SMALL = 2**20
LONGEST_NAME = 255  # bytes of a part of a path, on common file systems
DEEPEST = 16

_UNIX_KIND, _UNIX_USUAL, _UNIX_LINK = 0o170000, {0, 0o100000, 0o040000}, 0o120000
_DESKTOPS = {"__macosx", "thumbs.db", "desktop.ini"}


class UnpackError(ValueError):
    """One sentence that says why a zip was not unpacked."""


class Picture(NamedTuple):
    """A picture in the zip, and where it goes below the new folder."""

    member: Member
    to: PurePosixPath


@dataclass(frozen=True)
class Contents:
    """What a zip holds for us."""

    path: Path
    layout: str
    """A key of `LAYOUTS`."""
    pictures: tuple[Picture, ...]
    others: Counter[str]
    """What is left out, by folder."""
    start: int
    """Of the directory: where the members end."""

    @property
    def bytes(self) -> int:
        return sum(picture.member.unpacked for picture in self.pictures)


def look_into(path: Path) -> Contents:
    """Find the pictures of a known layout in a zip; UnpackError where that cannot be, or should not be, unpacked."""
    try:
        if not path.exists():
            raise UnpackError("there is no such file")
        if path.is_dir():
            raise UnpackError(f"this is a folder; give it with --from-folder {path}")
        with path.open("rb") as file:
            count, size, start = find_directory(file, path.stat().st_size)
            file.seek(start)
            members = list(read_directory(file.read(size), count))
        _refuse_strange(members)
        return _chosen(path, members, start)
    except UnpackError as error:
        raise UnpackError(f"{path}: {error}") from None
    except ZipError as error:
        raise UnpackError(f"{path}: {_refusal(error)}") from None
    except OSError as error:
        raise UnpackError(f"{path}: cannot be read: {reason(error)}") from None


def unpack_into(contents: Contents, folder: Path, *, advance: Callable[[], None], check: Callable[[], None]) -> None:
    """Write the pictures below a folder that holds nothing else. `check` is called before each and may raise."""
    ordered = sorted(contents.pictures, key=lambda picture: picture.member.offset)
    ends = [after.member.offset for _, after in pairwise(ordered)] + [contents.start]
    made: set[PurePosixPath] = set()
    with contents.path.open("rb") as file:
        for picture, end in zip(ordered, ends, strict=True):
            check()
            data = unpack(file, picture.member, end)
            if isinstance(data, Fault):
                found = f"{contents.path}: {shown(picture.member.name)} {data.found}: the zip is damaged"
                raise UnpackError(found)
            if picture.to.parent not in made:
                (folder / picture.to.parent).mkdir(parents=True, exist_ok=True)
                made.add(picture.to.parent)
            with (folder / picture.to).open("xb") as written:
                written.write(data)
            advance()


def _refusal(error: ZipError) -> str:
    """What is wrong with a zip; what the error expects of it is about submissions."""
    if error.kind:
        page = " (a page that asks to sign in?)" if error.kind.startswith("HTML") else ""
        return f"this is {error.kind}{page}, not a zip"
    return f"{error.found}: {'the zip is not whole' if error.partial else 'this is not a zip of the pictures expected'}"


def _refuse_strange(members: Sequence[Member]) -> None:
    """Raise for the first member that no honest zip of pictures has; sizes are looked at later, where they matter."""
    files: set[str] = set()
    folders: set[str] = set()
    for member in members:
        strange = _strangeness(member)
        if strange:
            raise UnpackError(f"the member {shown(member.name)} {strange}; nothing was unpacked")
        key = same_file_key(member.name)
        if key.endswith("/"):
            folders.add(key.rstrip("/"))
            continue
        if key in files:
            raise UnpackError(
                f"the member {shown(member.name)} is there twice (or in another case); nothing was unpacked"
            )
        files.add(key)
        folders.update(str(parent) for parent in PurePosixPath(key).parents)
    if both := files & folders:
        raise UnpackError(f"the member {shown(min(both))} is a file and a folder; nothing was unpacked")


def _strangeness(member: Member) -> str | None:
    parts = member.name.rstrip("/").split("/")
    kind = member.attributes >> 16 & _UNIX_KIND
    if kind == _UNIX_LINK:
        return "is a symbolic link"
    if kind not in _UNIX_USUAL:
        return "is a device or a pipe"
    if ".." in parts:
        return "climbs out of its folder with '..'"
    if member.name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", member.name):
        return "has an absolute path"
    if "\\" in member.name or ":" in member.name:
        return "has a backslash or a colon in its name"
    if not member.name.isprintable() or "" in parts or "." in parts:
        return "has a name that no file can have"
    if len(parts) > DEEPEST or any(len(os.fsencode(part)) > LONGEST_NAME for part in parts):
        return "has too long a name"
    return None


def _chosen(path: Path, members: Sequence[Member], start: int) -> Contents:
    """The pictures in the first known layout that both sets are there in, wherever in the zip that begins."""
    usable = [member for member in members if _is_picture(member.name)]
    places = Counter(parent for member in usable for parent in PurePosixPath(member.name).parents)
    for layout, folders in LAYOUTS.items():
        paintings, photos = folders[:2]
        assert paintings is not None, "only test sets may be missing"
        assert photos is not None, "only test sets may be missing"
        roots = [place.parent for place in places if place.name == paintings and place.parent / photos in places]
        if roots:
            root = min(roots, key=lambda place: (len(place.parts), str(place)))
            wanted = [root / folder for folder in folders if folder]
            pictures = tuple(
                Picture(member, PurePosixPath(member.name).relative_to(root))
                for member in usable
                if any(place in PurePosixPath(member.name).parents for place in wanted)
            )
            taken = {picture.member.name for picture in pictures}
            others = Counter(_folder(member.name) for member in members if _is_left_out(member.name, taken))
            _refuse_large(pictures)
            return Contents(path, layout, pictures, others, start)
    known = ", ".join(f"{folders[0]}/ + {folders[1]}/" for folders in LAYOUTS.values())
    there = sorted({_folder(member.name) for member in members})[:6]
    raise UnpackError(
        f"it holds none of the known pairs of folders with pictures ({known}), but {', '.join(there) or 'nothing'}: "
        "is it another competition's?"
    )


def _is_picture(name: str) -> bool:
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") or part.lower() in _DESKTOPS for part in parts)
    return not hidden and not name.endswith("/") and PurePosixPath(name).suffix.lower() in SUFFIXES


def _is_left_out(name: str, taken: set[str]) -> bool:
    parts = PurePosixPath(name).parts
    return not name.endswith("/") and name not in taken and not any(part.lower() in _DESKTOPS for part in parts)


def _folder(name: str) -> str:
    folder, slash, _ = name.rpartition("/")
    return f"{folder}/" if slash else name


def _refuse_large(pictures: Iterable[Picture]) -> None:
    """Raise for pictures that cannot be read, or not within bounds."""
    total = 0
    for member, _ in pictures:
        total += member.unpacked
        if member.flags & ENCRYPTED:
            raise UnpackError(
                f"the member {shown(member.name)} is encrypted: unpack it yourself, and give --from-folder"
            )
        if member.method not in {STORED, DEFLATED}:
            found = f"the member {shown(member.name)} is packed in a way that is not read (method {member.method})"
            raise UnpackError(f"{found}: unpack it yourself, and give --from-folder")
        if member.unpacked > MEMBER_BYTES:
            found = f"the member {shown(member.name)} would unpack to {member.unpacked:,} bytes, more than"
            raise UnpackError(f"{found} a picture has ({MEMBER_BYTES:,} at most); nothing was unpacked")
        if member.unpacked > max(SMALL, RATIO * member.packed):
            found = f"the member {shown(member.name)} would unpack from {member.packed:,} to {member.unpacked:,} bytes"
            raise UnpackError(f"{found}, which no picture does; nothing was unpacked")
    if total > TOTAL_BYTES:
        raise UnpackError(f"it would unpack to {total:,} bytes ({TOTAL_BYTES:,} at most); nothing was unpacked")
