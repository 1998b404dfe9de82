"""A picture's pixels as `images.load` reads them; plain JPEGs by OpenCV, which is faster and gives the same bytes.

Both have libjpeg-turbo in them. Whether the two that are installed agree is found out once, on drawn pictures; what is
plain follows from a file's bytes alone. So it depends on nothing but the file and what is installed who decodes it.
"""

import io
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from cyclestyle.images import LARGEST, load

Pixels = NDArray[np.uint8]

SAMPLINGS = (b"\x11", b"\x21", b"\x22")
"""How often luminance is sampled, across and down, for each sample of colour: 4:4:4, 4:2:2 and 4:2:0."""
_AS_RGB = getattr(cv2, "IMREAD_COLOR_RGB", None)  # OpenCV 4.11


def read_pixels(path: Path) -> Pixels:
    """What `load` reads, as bytes (h, w, 3); raises what it raises."""
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    if is_plain_jpeg(content) and decoders_agree():
        pixels = _by_opencv(content)
        if pixels is not None:
            return pixels
    return np.asarray(load(path))


def is_plain_jpeg(content: bytes) -> bool:
    """Whether it is a JPEG that needs nothing but decoding.

    In three colours of 8 bits, Huffman-coded, sampled in a usual way, not to be turned, of one picture, and not cut
    off: of such files decoders differ in what they refuse.
    """
    if content[:3] != b"\xff\xd8\xff" or content[-2:] != b"\xff\xd9":
        return False
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        body = content[at + 4 : at + 2 + length]
        if marker in {0xC0, 0xC1, 0xC2}:  # the frame: sequential or progressive
            return _is_usual(body)
        unusual_frame = 0xC3 <= marker <= 0xCF and marker != 0xC4  # C4 holds Huffman tables
        turned = marker == 0xE1 and _may_be_turned(body)
        several = marker == 0xE2 and body.startswith(b"MPF")
        if unusual_frame or turned or several or marker == 0xEE or length < 2:  # EE: Adobe's, other colours
            return False
        at += 2 + length
    return False


def _may_be_turned(notes: bytes) -> bool:
    """Whether a segment of notes says that the camera was held otherwise, or cannot be understood."""
    if not notes.startswith(b"Exif\0\0"):
        return b"Orientation" in notes  # XMP says it by name
    exif = Image.Exif()
    try:
        exif.load(notes)
        return exif.get(ExifTags.Base.Orientation, 1) != 1
    except Exception:  # whatever a damaged header makes of it
        return True


def _is_usual(frame: bytes) -> bool:
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    components = [frame[at : at + 2] for at in range(6, len(frame), 3)]
    usual = [[b"\1" + luminance, b"\2\x11", b"\3\x11"] for luminance in SAMPLINGS]
    return frame[0] == 8 and frame[5] == 3 and components in usual and 0 < height * width <= LARGEST


@cache
def decoders_agree() -> bool:
    """Whether OpenCV and Pillow, as they are installed, decode plain JPEGs to the same bytes."""
    if _AS_RGB is None:
        return False
    chances = np.random.default_rng(0)
    for width, height in ((64, 48), (45, 37)):
        coarse = Image.fromarray(chances.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        picture = coarse.resize((width, height), Image.Resampling.BICUBIC)
        for subsampling in (0, 1, 2):
            for progressive in (False, True):
                file = io.BytesIO()
                picture.save(file, "JPEG", quality=85, subsampling=subsampling, progressive=progressive)
                ours = _by_opencv(file.getvalue())
                if ours is None or not np.array_equal(ours, np.asarray(Image.open(file))):
                    return False
    return True


def _by_opencv(content: bytes) -> Pixels | None:
    assert _AS_RGB is not None, "asked for only where there is one"
    try:
        pixels = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), _AS_RGB)
    except cv2.error:  # more pixels than it was built for
        return None
    return None if pixels is None else np.asarray(pixels, dtype=np.uint8)
