"""A photo with all that its file says beside the pixels' colours, so that its painting can say it too.

`images.load` is for learning and measuring, where a picture is its pixels. Here it is somebody's photo: its
transparency, its colour profile, when and where it was taken and by whom are to be found in the painting again.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image, ImageCms, ImageOps

from cyclestyle.images import Picture, decoded, to_rgb

KEEP_ALPHA = frozenset({".png", ".webp", ".tif", ".tiff"})
"""Formats of paintings that can be transparent."""
LONGEST = {".webp": 16_383, ".jpg": 65_500, ".jpeg": 65_500}
"""Pixels of a side, in formats that have a limit."""
MOST_EXIF = 65_000
"""Bytes: a JPEG has no more room for it, in one piece."""

ABOUT = frozenset(
    {
        ExifTags.Base.DocumentName,
        ExifTags.Base.Make,
        ExifTags.Base.Model,
        ExifTags.Base.XResolution,
        ExifTags.Base.YResolution,
        ExifTags.Base.ResolutionUnit,
        ExifTags.Base.DateTime,
        ExifTags.Base.Artist,
        ExifTags.Base.HostComputer,
        ExifTags.Base.Copyright,
        ExifTags.Base.Rating,
        ExifTags.Base.RatingPercent,
        ExifTags.Base.XPTitle,
        ExifTags.Base.XPComment,
        ExifTags.Base.XPAuthor,
        ExifTags.Base.XPKeywords,
        ExifTags.Base.XPSubject,
    }
)
"""What of a photo's EXIF is true of its painting. The rest of the first directory says how the photo's own file is laid
out (in a TIFF: where its strips lie), how it was turned, and what it shows in small, which the painting does not."""
OF_FILE = frozenset({ExifTags.Base.MakerNote, ExifTags.Base.ExifInteroperabilityOffset})
"""Of the second directory, what holds places in the photo's file."""


@dataclass(frozen=True)
class Photo:
    """A photo, upright."""

    picture: Picture
    alpha: Image.Image | None = None
    """Mode L; None: all of it is opaque."""
    exif: Image.Exif | None = None
    """What of the camera's record holds for the painting as well."""
    profile: bytes | None = None
    """The ICC profile of the colours in `picture`; None: sRGB, as far as anybody knows."""
    note: str = ""
    """What is to be said about it."""


def read_photo(path: Path, *, alpha: bool = True) -> Photo:
    """Read a photo's file.

    What is wholly transparent is white, whatever colour lies hidden there; the rest keeps its colour beside `alpha`.
    Colours in CMYK, or in a grey profile, become sRGB by that profile. Of several frames or pages the first is taken.

    Args:
        path: of the file.
        alpha: keep the transparency; else all is laid on white.

    Raises:
        ValueError: not a whole picture; FileNotFoundError: no file. As `images.load`.
    """
    with decoded(path) as file:
        note = _frames(file)
        exif, profile = _about(file), file.info.get("icc_profile")
        ImageOps.exif_transpose(file, in_place=True)
        see_through = _alpha(file) if alpha else None
        if see_through is None:
            picture, profile = _coloured(file, profile)
        else:
            picture = file.convert("RGBA").convert("RGB")
            picture.paste((255, 255, 255), mask=see_through.point(lambda opaque: 0 if opaque else 255))
            profile = profile if _space(profile) == "RGB" else None
        if exif is not None:
            _sized(exif, picture)
        return Photo(picture, see_through, exif, profile, note)


def require_room(photo: Path, painting: Path, picture: Picture) -> None:
    """Raises ValueError if a painting's format has no room for a picture of that size."""
    most = LONGEST.get(painting.suffix.lower())
    if most is not None and max(picture.size) > most:
        raise ValueError(
            f"{photo} has {picture.width} x {picture.height} pixels, and {painting.suffix[1:]} takes at most {most:,} "
            "a side; give --format png or tif"
        )


def _frames(file: Image.Image) -> str:
    number = getattr(file, "n_frames", 1)
    if number <= 1 or file.format == "MPO":  # a phone's JPEG with the same picture in small, or its depth
        return ""
    return f"of {number} {'pages' if file.format == 'TIFF' else 'frames'} the first is painted"


def _alpha(file: Image.Image) -> Image.Image | None:
    """How opaque each pixel is; None if all of them are."""
    if not file.has_transparency_data:
        return None
    found = file.convert("RGBA").getchannel("A")
    return None if found.getextrema() == (255, 255) else found


def _coloured(file: Image.Image, profile: bytes | None) -> tuple[Picture, bytes | None]:
    """In RGB, and the profile that these values are in.

    A profile for RGB stays with them: the painter sees the values as stored, as it did in training, and what shows the
    painting treats them as it did the photo's. One for other colours cannot stay, and is applied.
    """
    space = _space(profile)
    if profile is None or (space, file.mode) not in {("CMYK", "CMYK"), ("GRAY", "L"), ("Lab", "LAB")}:
        return to_rgb(file), profile if space == "RGB" else None
    try:
        found = ImageCms.profileToProfile(
            file,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):  # a damaged profile does not cost the picture
        return to_rgb(file), None
    assert found is not None  # only in place it is
    return found, None


def _space(profile: bytes | None) -> str | None:
    """Which colours a profile is for: RGB, CMYK, GRAY, Lab; None without a profile that can be read."""
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space.strip() if profile else None
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _about(file: Image.Image) -> Image.Exif | None:
    """What of a file's EXIF holds for its painting; None where there is nothing, or nothing that can be read."""
    kept = Image.Exif()
    try:
        found = file.getexif()
        for tag in ABOUT & set(found):
            kept[tag] = _as_stored(found[tag])
        caption = found.get(ExifTags.Base.ImageDescription)
        if caption and ExifTags.Base.DocumentName not in kept:
            kept[ExifTags.Base.DocumentName] = _as_stored(caption)  # in its place is told how the painting was made
        for directory, apart in ((ExifTags.IFD.Exif, OF_FILE), (ExifTags.IFD.GPSInfo, frozenset[int]())):
            entries = found.get_ifd(directory).items()
            told = {tag: value for tag, value in entries if tag not in apart}
            if told:
                kept[directory] = told
        return kept if len(kept) and len(kept.tobytes()) <= MOST_EXIF else None
    except Exception:  # whatever a camera or an editor has written there: it must not cost the picture
        return None


def _as_stored(value: Any) -> Any:
    """Text as its bytes, each of which Pillow has read as a letter; it would write those beyond ASCII as `?`."""
    return value.encode("latin-1") if isinstance(value, str) else value


def _sized(exif: Image.Exif, picture: Picture) -> None:
    """Tell the painting's size where the photo's was told."""
    inner: Any = exif.get(ExifTags.IFD.Exif)
    if isinstance(inner, dict):
        for tag, size in (
            (ExifTags.Base.ExifImageWidth, picture.width),
            (ExifTags.Base.ExifImageHeight, picture.height),
        ):
            if tag in inner:
                inner[tag] = size
