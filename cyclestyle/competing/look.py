"""A picture to look at: photos above, what is in the zip below."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from PIL import ExifTags, Image, ImageOps

from cyclestyle.data.submission import SIDE
from cyclestyle.files import written_aside

GAP = 4
"""Pixels."""


def show(archive: Path, photos: Mapping[str, Path], to: Path, *, columns: int = 6) -> None:
    """Write a sheet of pictures from all over a zip, each below its photo.

    Args:
        archive: of JPEGs.
        photos: by their paintings' names in the zip.
        to: the sheet.
        columns: at the most.
    """
    with zipfile.ZipFile(archive) as opened:
        names = [name for name in sorted(opened.namelist()) if name in photos]
        count = min(columns, len(names))
        chosen = [names[index * len(names) // count] for index in range(count)]
        painted = [Image.open(io.BytesIO(opened.read(name))).convert("RGB") for name in chosen]
    sheet = Image.new("RGB", (count * (SIDE + GAP) - GAP, 2 * SIDE + GAP), "white")
    for column, (name, painting) in enumerate(zip(chosen, painted, strict=True)):
        with Image.open(photos[name]) as photo:
            square = ImageOps.fit(photo.convert("RGB"), (SIDE, SIDE), Image.Resampling.BICUBIC)
        sheet.paste(square, (column * (SIDE + GAP), 0))
        sheet.paste(painting, (column * (SIDE + GAP), SIDE + GAP))
    with written_aside(to) as aside:
        sheet.save(aside, quality=92)


def painted_by(archive: Path) -> str | None:
    """How the first picture of a zip says that it was made; None where there is no such zip, or it does not say."""
    try:
        with zipfile.ZipFile(archive) as opened:
            first = min(opened.namelist(), default=None)
            if first is None:
                return None
            with Image.open(io.BytesIO(opened.read(first))) as picture:
                return str(picture.getexif().get(ExifTags.Base.ImageDescription) or "") or None
    except (OSError, ValueError, zipfile.BadZipFile):
        return None
