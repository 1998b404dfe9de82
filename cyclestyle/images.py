"""The pixel convention: what a picture is inside this package, and how files become one and back.

`Images` are float tensors of shape (n, 3, height, width), RGB, with values in [-1, 1].
A `Picture` is the same thing between disk and tensor: a Pillow image in mode RGB, 8 bits a channel.
"""

import os
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from cyclestyle.files import written_aside

Images: TypeAlias = torch.Tensor
"""Float, (n, 3, h, w), RGB, in [-1, 1]."""

Picture: TypeAlias = Image.Image
"""A Pillow image in mode RGB."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
"""File name endings (in lower case) that count as pictures."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
"""Pillow's decoders that are used, whatever a file is named; one of the others (EPS) starts a program."""

LUMA_FROM_RGB = (0.299, 0.587, 0.114)
"""ITU-R BT.601, of red, green and blue as they are stored (gamma not undone); the three sum to 1."""

JPEG_QUALITY = 95
LARGEST = 178_956_970
"""Pixels above which a file is taken for a decompression bomb: the bound at which Pillow itself refuses."""


def load(path: Path) -> Picture:
    """Read a picture file as RGB, upright.

    EXIF orientation is obeyed; 16-bit grey is scaled (not clipped); transparency is laid on white; CMYK, palette and
    greyscale are converted; of an animation the first frame is taken. Embedded ICC profiles are not applied.

    Raises ValueError, naming the file, for anything that is not a whole picture: truncated, empty, not an image, larger
    than `LARGEST` pixels. FileNotFoundError where there is no file.
    """
    with decoded(path) as file:
        return to_rgb(ImageOps.exif_transpose(file))


@contextmanager
def decoded(path: Path) -> Iterator[Image.Image]:
    """A picture's file with all of its pixels, as they are stored. Raises as `load`, also for what is done with it."""
    try:
        with opened(path) as file:
            if file.width * file.height > LARGEST:
                raise Image.DecompressionBombError(f"{file.width} x {file.height} pixels")
            file.load()
            yield file
    except FileNotFoundError:
        raise FileNotFoundError(f"no such picture: {path}") from None
    except UnidentifiedImageError:
        raise ValueError(f"{path} is not a picture that can be read ({path.stat().st_size:,} bytes)") from None
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path} claims more pixels than can be read: {error}; at most {LARGEST:,}") from None
    # What Pillow's decoders raise on damaged files; SyntaxError is its word for a broken PNG.
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, OverflowError, MemoryError, struct.error) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


_opening = threading.Lock()
"""Held while a file is opened: what is done about warnings is done for all threads at once."""


def _not_opening() -> None:
    global _opening
    _opening = threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_not_opening)  # the thread that held it is not in the child


def opened(path: Path) -> Image.Image:
    """A picture's file, of which only the header has been read. Raises what Pillow raises.

    Pillow warns from 89 megapixels on; `load` has a bound of its own.
    """
    with _opening, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path, formats=FORMATS)


class Header(NamedTuple):
    """What a picture file says of itself."""

    format: str
    """Pillow's name of it: JPEG, PNG ...; MPO is the JPEG of several pictures that phones write."""
    mode: str
    """Pillow's mode as stored: RGB, L, CMYK ..."""
    pixels: int


def header(path: Path) -> Header:
    """Read the header alone; no pixel is decoded. Raises what Pillow raises."""
    with Image.open(path) as file:
        return Header(file.format or "", file.mode, file.width * file.height)


def to_rgb(image: Image.Image) -> Picture:
    """Convert any of Pillow's modes to RGB with 8 bits a channel, as an eye would expect it."""
    if image.mode in {"I;16", "I;16L", "I;16B", "I;16N", "I", "F"}:
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in image.info:
        paint = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", paint.size, "white"), paint).convert("RGB")
    return image.convert("RGB")


def _eight_bits(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Greyscale of more than 8 bits to 8; floats are taken to lie in [0, 1] unless they exceed it."""
    grey = np.nan_to_num(values.astype(np.float64))
    float_top = 1.0 if grey.max(initial=0.0) <= 1.0 else 255.0
    top = float_top if values.dtype.kind == "f" else 65535.0  # 16-bit files also come as 32-bit integers
    return np.rint(np.clip(grey / top, 0.0, 1.0) * 255.0).astype(np.uint8)


def to_images(pictures: list[Picture], device: torch.device | str = "cpu") -> Images:
    """Stack pictures of one size into (n, 3, h, w) in [-1, 1], on a device."""
    return pixels_to_images(np.stack([np.asarray(picture) for picture in pictures]), device)


def pixels_to_images(pixels: NDArray[np.uint8], device: torch.device | str = "cpu") -> Images:
    """(n, h, w, 3) bytes to (n, 3, h, w) in [-1, 1], on a device: bytes are what travels there."""
    # Pillow's buffers are read-only, which tensors cannot be.
    levels = torch.from_numpy(np.require(pixels, requirements=["C", "W"]))
    if torch.device(device).type == "cuda":  # fetched by the GPU itself, while the processor goes on
        levels = levels.pin_memory().to(device, non_blocking=True)
    # In C order, so that networks see the layout they were trained on.
    levels = levels.to(device).permute(0, 3, 1, 2).contiguous()
    return levels.float().div_(127.5).sub_(1.0)


def to_levels(images: Images) -> torch.Tensor:
    """(n, 3, h, w) in [-1, 1] to bytes (n, h, w, 3), where they are: the nearest of 256 levels, the rest cut."""
    levels = images.detach().float().add(1.0).mul_(127.5).round_().clamp_(0, 255)
    return levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def to_pictures(images: Images) -> list[Picture]:
    """The inverse of `to_images`: rounded to the nearest of 256 levels, values beyond [-1, 1] cut."""
    return [Image.fromarray(picture) for picture in to_levels(images).cpu().numpy()]


def save(picture: Picture, path: Path, *, exif: Image.Exif | None = None, profile: bytes | None = None) -> None:
    """Write a picture in the format that the suffix names, in one step: never half a file.

    With what is to be known of it, and the ICC profile in which its colours are meant, if there is one.

    JPEG is written at quality 95 without chroma subsampling, so that thin colour strokes survive. PNG looks for runs
    alone: in photos and paintings there is hardly anything else to be found, and it takes two thirds of the time. TIFF
    is not packed: Pillow would leave out the camera's record then.
    """
    told: dict[str, Any] = {"exif": exif, "icc_profile": profile}
    options = {name: value for name, value in told.items() if value is not None}
    if path.suffix.lower() == ".png":
        options["compress_type"] = zlib.Z_RLE
    if path.suffix.lower() in {".jpg", ".jpeg"}:
        options |= {"quality": JPEG_QUALITY, "subsampling": 0}
    with written_aside(path) as aside:
        picture.save(aside, **options)


def list_pictures(folder: Path) -> list[Path]:
    """Every picture file below a folder, sub-folders included, in an order that depends on the names alone.

    Names with a leading dot are passed over. Raises FileNotFoundError where there is no folder or no picture.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no such folder: {folder}")
    files = (place / name for place, _, names in walk(folder) for name in names)
    found = [path for path in files if path.suffix.lower() in SUFFIXES and path.is_file()]
    if not found:
        raise FileNotFoundError(f"no pictures below {folder} (looked for {', '.join(sorted(SUFFIXES))})")
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def walk(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """A folder and those below: each with the names of its folders and of its files, without a leading dot.

    Links are followed, but no folder is entered twice.
    """
    entered: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        # sorted: of two links to one folder, the same one is entered everywhere
        folders[:] = [] if real in entered else sorted(name for name in folders if not name.startswith("."))
        if real not in entered:
            entered.add(real)
            yield Path(place), list(folders), [name for name in files if not name.startswith(".")]


def luminance(images: Images) -> torch.Tensor:
    """Luminance as television has it (ITU-R BT.601): RGB (n, 3, h, w) in [-1, 1] -> (n, 1, h, w) in [-1, 1]."""
    red, green, blue = images.split(1, dim=1)
    of_red, of_green, of_blue = LUMA_FROM_RGB
    return of_red * red + of_green * green + of_blue * blue


def fit(picture: Picture, side: int) -> Picture:
    """The largest centred square of a picture, scaled to `side` x `side` (bicubic, antialiased)."""
    return ImageOps.fit(picture, (side, side), Image.Resampling.BICUBIC)


def grid(rows: list[list[Picture]], *, gap: int = 2) -> Picture:
    """Pictures of one size side by side, on white."""
    width, height = rows[0][0].size
    columns = max(len(row) for row in rows)
    sheet = Image.new("RGB", (columns * (width + gap) - gap, len(rows) * (height + gap) - gap), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            sheet.paste(picture, (x * (width + gap), y * (height + gap)))
    return sheet
