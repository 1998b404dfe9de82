"""How much memory there is for a picture, and how much it would take."""

import re
from pathlib import Path

import psutil

from cyclestyle.networks.painter import Painter

SHARE = 0.6
"""Of the free memory that is planned with: others need some too, and estimates are estimates."""
UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}

# Peaks beside the program itself, in float32 values for each pixel and channel of the first layer; measured at 512 to
# 1536 pixels (scripts/benchmarks/results/any_size.md): 5.1 to 6.4 with resizing, 4.0 transposed, 1.3 the U-Net.
AT_ONCE = {"resnet": 6.5, "unet": 2.0}
READING = 18
"""Bytes of a pixel while a photo is read, or its painting written beside it. Measured: 8 for most, 13 with
transparency, 16 read from WebP and 17 written as one."""
PIXEL = 40
"""Bytes of a pixel as it is read, given to the network, taken from it and put together."""


class TooLargeError(ValueError):
    """A picture for which there is too little memory, or too little room on the disk. Others may have enough."""


def bytes_of(text: str) -> int:
    """`2GB`, `1500 MB`, `1.5GiB`, `2e9`: bytes. Raises ValueError for what is none of that."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?(?:e\d+)?)\s*(?:([kmg]i?)b?|b)?\s*", text.lower())
    if found is None:
        raise ValueError(f"{text!r} is no amount of memory; give for example 2GB or 1500MB")
    return int(float(found[1]) * UNITS[found[2] or ""])


def in_words(size: float) -> str:
    """Bytes as `--max-memory` takes them: 1.3GB, 640MB; never less than there are."""
    if size < 999e6:
        return f"{-(-int(size) // 10**6)}MB"
    return f"{-(-int(size) // 10**8) / 10}GB"


def resident() -> int:
    """Bytes that this process has in memory now."""
    return psutil.Process().memory_info().rss


def require_program(text: str, bound: int) -> None:
    """Raises ValueError if a bound, given as `text`, is below what the program has in memory before any picture."""
    if (needed := resident()) > bound:
        raise ValueError(
            f"--max-memory {text}: the program itself takes {in_words(needed)}, and a photo and its painting come on "
            f"top; give --max-memory {in_words(1.5 * needed)} or more"
        )


def require_to_read(photo: Path, pixels: int, max_memory: int) -> None:
    """Raises TooLargeError if a photo of so many pixels cannot be read, and its painting written, within a bound."""
    needed = resident() + READING * pixels
    if needed > max_memory:
        raise TooLargeError(
            f"{photo} takes {in_words(needed)} to be read and written, with the program itself; "
            f"give --max-memory {in_words(1.2 * needed)} or more"
        )


def at_once(painter: Painter, width: int, height: int, pictures: int = 1, *, halved: bool = False) -> int:
    """Bytes that painting whole pictures of a size takes, about, beside the program and the weights.

    `halved`: where maps take as many bytes as the painter's precision says. Processors may compute in more.
    """
    settings, value = painter.card.generator, 2 if halved and painter.precision != "fp32" else 4
    return pictures * width * height * int(PIXEL + value * AT_ONCE[settings.kind] * settings.width)
