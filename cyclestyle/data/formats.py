"""Formats of pictures: those that folders are searched for, and those that people take for pictures as well."""

from collections.abc import Set
from pathlib import Path

from cyclestyle.images import walk

READ = {
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "WebP": (".webp",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
}
"""The formats that are read, with their endings; the first is the one to rename to."""

NOT_READ = {
    "GIF": (".gif",),
    "HEIC": (".heic", ".heif", ".hif"),
    "AVIF": (".avif", ".avifs"),
    "SVG drawing": (".svg", ".svgz"),
    "JPEG XL": (".jxl",),
    "JPEG XR": (".jxr",),
    "JPEG 2000": (".jp2", ".j2k", ".jpx", ".jpf"),
    "Photoshop file": (".psd", ".psb"),
    "Netpbm picture": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "OpenEXR picture": (".exr",),
    "Radiance picture": (".hdr",),
    "GIMP file": (".xcf",),
    "Windows icon": (".ico",),
    "TGA": (".tga",),
    "PCX": (".pcx",),
    "QOI": (".qoi",),
    "camera raw file": (
        *(".raw", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".dng", ".arw", ".srf", ".sr2", ".orf", ".rw2", ".raf"),
        *(".pef", ".srw", ".x3f", ".erf", ".kdc", ".mrw"),
    ),
    "": (".jfif", ".jpe", ".jif", ".mpo", ".dib", ".apng"),  # only the ending is strange: the content tells what it is
}
"""What is a picture to people and is not read, with its endings."""
MEANT = {ending: kind for kind, endings in NOT_READ.items() for ending in endings}


def passed_over(folder: Path, also: Set[str] = frozenset()) -> list[Path]:
    """What below a folder people would take for a picture, by its name, and `list_pictures` does not list.

    Args:
        folder: also those below it; names with a leading dot are passed over.
        also: further endings, in lower case, with their dot.
    """
    found = (place / name for place, _, names in walk(folder) for name in names)
    return sorted(path for path in found if path.suffix.lower() in MEANT or path.suffix.lower() in also)
