"""Which picture is painted into which file, and whether that has been done already."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, Image

from cyclestyle.data.formats import MEANT
from cyclestyle.images import SUFFIXES, list_pictures, load

CAN_BE_MARKED = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff"})
"""Formats of paintings: those that can say how they were made."""
NAMED = 5
"""Photos that are named in one sentence."""


@dataclass(frozen=True)
class Job:
    """One photo, and the file that its painting goes to."""

    photo: Path
    painting: Path


def jobs_for(photos: Path, to: Path, suffix: str) -> list[Job]:
    """Pair every picture of a folder tree, or a single one, with its painting's file below `to`; the tree is kept.

    Photos that differ in their suffix only keep it in the name: `a.jpg` and `a.png` become `a-jpg.png` and `a-png.png`.
    A single photo may be given a file of its own as `to`.
    Raises FileNotFoundError or ValueError for what cannot be read or written that way.
    """
    if not photos.exists():
        raise FileNotFoundError(f"no such picture or folder: {photos}")
    if names_a_painting(to, single=photos.is_file()):
        if not photos.is_file():
            raise ValueError(
                f"{to} is the name of a picture, but {photos} is not a single one; give a folder after --to"
            )
        _must_differ(photos, to)
        return [Job(photos, to)]
    if to.is_file():
        raise ValueError(f"{to} is a file that is there already; give a folder after --to")
    if photos.is_file():
        to = to / (photos.stem + suffix)
        _must_differ(photos, to)
        return [Job(photos, to)]
    if to.resolve() == photos.resolve():
        raise ValueError(f"the paintings would replace the photos in {photos}; give another folder after --to")
    found = [path for path in list_pictures(photos) if to.resolve() not in path.resolve().parents]
    # Compared in lower case: not every file system tells A from a.
    names = Counter(_plain(path, photos) for path in found)
    jobs: dict[str, Job] = {}
    for path in found:
        alone = names[_plain(path, photos)] == 1
        stem = path.stem if alone else f"{path.stem}-{path.suffix[1:]}"
        painting = to / path.relative_to(photos).with_name(stem + suffix)
        other = jobs.setdefault(painting.as_posix().lower(), Job(path, painting))
        if other.photo != path:
            raise ValueError(f"{other.photo} and {path} would both be painted into {painting}; rename one of them")
    return list(jobs.values())


def names_a_painting(to: Path, *, single: bool) -> bool:
    """Whether `to` is the name of a picture, and not of a folder. Raises ValueError for formats that are not written.

    For a `single` photo, an ending of three letters or more that nobody knows is taken for a slip: `monet.jgp`.
    """
    ending = to.suffix.lower()
    if to.is_dir():
        return False
    if ending in CAN_BE_MARKED:
        return True
    if ending in SUFFIXES or ending in MEANT or (single and len(ending) > 3 and ending[1:].isalpha()):
        raise ValueError(
            f"{to}: {to.suffix} is not written; give {', '.join(sorted(CAN_BE_MARKED))} or a folder after --to"
            + ("" if ending in SUFFIXES or ending in MEANT else " (one whose name has a dot has to be there already)")
        )
    return False


def refuse_unread(unread: Sequence[str], of: int) -> None:
    """Raises ValueError if there are photos that were passed over, with the reasons of the first ones."""
    if unread:
        more = f"; and {len(unread) - NAMED:,} more" if len(unread) > NAMED else ""
        named = "; ".join(unread[:NAMED])
        raise ValueError(f"{len(unread):,} of {of:,} photos were passed over: {named}{more}")


def _must_differ(photo: Path, painting: Path) -> None:
    if painting.resolve() == photo.resolve():
        raise ValueError(f"the painting would replace the photo {photo}; give another folder or name after --to")


def _plain(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix().lower()


def mark(description: str, about: Image.Exif | None = None) -> Image.Exif:
    """What a painting says about its making, beside what is known `about` the photo. It is read again by `is_done`.

    Whoever finds the picture can tell that it is a made one, and how.
    """
    exif = Image.Exif()
    for tag, value in (about or {}).items():
        exif[tag] = value
    exif[ExifTags.Base.Software] = "cyclestyle"
    exif[ExifTags.Base.ImageDescription] = description
    written = Image.Exif()
    written.load(exif.tobytes())  # as it will be read: directories inside it have their places then, which TIFF wants
    for tag, value in (about or {}).items():
        if isinstance(value, bytes):  # read as text, it would be written again without its letters beyond ASCII
            written[tag] = value
    return written


def is_done(painting: Path, expected: Image.Exif) -> bool:
    """Whether a whole picture with the expected mark is there already."""
    if not painting.exists():
        return False
    try:
        load(painting)  # to the last pixel: a file cut short is painted again
        with Image.open(painting) as picture:
            found = picture.getexif()
    except (ValueError, OSError):
        return False
    return found.get(ExifTags.Base.ImageDescription) == expected[ExifTags.Base.ImageDescription]
