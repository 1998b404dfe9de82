"""What is remembered of a picture: is it grey, of one colour, framed, and which structure does it have."""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from cyclestyle.data.inspection import Unusable, opened
from cyclestyle.images import Picture, header

Pixels = NDArray[np.uint8]
Values = NDArray[np.float32]

SIDE, MARGIN = 48, 5
"""Of the small copy; its margin is not compared, since many photos have frames alike."""
DETAIL = 1.5
"""Levels of 255 by which a small copy must vary around its blurred self; smoother pictures are not compared."""


@dataclass(frozen=True, eq=False)
class Looks:
    """What is remembered of a picture."""

    path: Path
    size: tuple[int, int]
    """Width and height, upright."""
    mode: str
    """Pillow's mode, as stored."""
    digest: bytes
    """Of size and decoded pixels."""
    grey: bool
    """Its channels are all alike, whatever its mode."""
    flat: bool
    """It has one colour."""
    borders: tuple[str, ...]
    """The sides with a frame of one colour; empty unless there are two or more."""
    structure: NDArray[np.float16]
    """(SIDE, SIDE), around 0; empty if there is too little detail to be compared."""
    colours: Values
    """(8, 8, 3), around 0: what lies where, at a glance."""


def look(path: Path) -> Looks | Unusable:
    """Look at a picture, or say why it cannot be used."""
    picture = opened(path)
    if isinstance(picture, str):
        return Unusable(path, picture)
    small = picture.reduce(max(1, min(picture.size) // 256))
    flat = all(_spread(channel) <= 6 for channel in small.split())
    depths = {} if flat else _frame(np.asarray(small))
    inside = _inside(small, depths)
    return Looks(
        path=path,
        size=picture.size,
        mode=_mode(path, picture),
        digest=hashlib.blake2b(repr(picture.size).encode() + picture.tobytes(), digest_size=16).digest(),
        grey=_is_grey(small),
        flat=flat,
        borders=tuple(depths),
        structure=_structure(inside) if not flat else np.empty((0, 0), np.float16),
        colours=_glance(inside),
    )


def _mode(path: Path, picture: Picture) -> str:
    try:
        return header(path).mode
    except OSError:  # gone since it was read
        return picture.mode


def _spread(channel: Image.Image) -> int:
    """The levels that lie between the darkest pixels and the lightest; one in 200 at either end is passed over."""
    upto = np.cumsum(channel.histogram())
    return int(np.searchsorted(upto, 0.995 * upto[-1]) - np.searchsorted(upto, 0.005 * upto[-1], side="right"))


def _glance(picture: Picture) -> Values:
    colours = np.asarray(picture.resize((8, 8), Image.Resampling.BOX), dtype=np.float32)
    return colours - colours.mean((0, 1))


def _is_grey(picture: Picture) -> bool:
    """Whether the channels differ by no more than 8 levels, but for one pixel in 200."""
    red, green, blue = picture.split()
    most = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    least = ImageChops.darker(ImageChops.darker(red, green), blue)
    return sum(ImageChops.difference(most, least).histogram()[9:]) <= 0.005 * picture.width * picture.height


_SIDES: dict[str, Callable[[Pixels], Pixels]] = {
    "top": lambda pixels: pixels,
    "bottom": lambda pixels: pixels[::-1],
    "left": lambda pixels: pixels.transpose(1, 0, 2),
    "right": lambda pixels: pixels[:, ::-1].transpose(1, 0, 2),
}
"""Each turns a picture so that its lines run inwards from that side."""


def _frame(pixels: Pixels) -> dict[str, int]:
    """How deep a frame of one colour is, by side; empty unless two sides or more have one of the same colour."""
    found = {name: _border(turned(pixels)) for name, turned in _SIDES.items()}
    framed = {name: border for name, border in found.items() if border is not None}
    for _, colour in framed.values():
        alike = {name: depth for name, (depth, other) in framed.items() if np.abs(other - colour).max() <= 20}
        if len(alike) >= 2:
            return alike
    return {}


def _border(lines: Pixels) -> tuple[int, Values] | None:
    """Depth and colour of a border at the first line: at least 2 % of the lines, of one colour, and ending sharply.

    A night sky is of one colour too, but what stands before it begins little by little.
    """
    deepest = int(0.45 * len(lines))
    if deepest < 2:
        return None
    colour = np.median(lines[0], axis=0).astype(np.float32)

    def share_of(some: Pixels) -> Values:
        return (np.abs(some - colour) <= 16).all(-1).mean(-1, dtype=np.float32)

    if share_of(lines[0]) < 0.98:  # most pictures have none: the rest need not be looked at
        return None
    share = share_of(lines[: deepest + 3])
    # JPEG disturbs the lines of a frame that are next to the picture.
    depth = int(np.argmin(share[:deepest] >= 0.9)) if (share[:deepest] < 0.9).any() else deepest
    if depth < max(1, math.ceil(0.02 * len(lines))) or depth == deepest or share[depth : depth + 3].min() > 0.6:
        return None
    return depth, colour


def _inside(picture: Picture, depths: Mapping[str, int]) -> Picture:
    """A picture without its frame."""
    left, top, right, bottom = (depths.get(side, 0) for side in ("left", "top", "right", "bottom"))
    width, height = picture.size
    return picture.crop((left, top, width - right, height - bottom))


def blurring(sigma: float) -> Values:
    """The matrix that blurs the columns of a (SIDE, SIDE) picture; at the edges only what is there counts."""
    away = np.subtract.outer(np.arange(SIDE), np.arange(SIDE))
    weights = np.exp(-0.5 * (away / sigma) ** 2)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


_FINE, _WIDE = blurring(1.5), blurring(3.0)


def _structure(picture: Picture) -> NDArray[np.float16]:
    """What is brighter or darker than its surroundings, measured by how much varies around it."""
    small = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BICUBIC, reducing_gap=3.0)
    grey = np.asarray(small, dtype=np.float32)
    edges = grey - _FINE @ grey @ _FINE.T
    if edges[MARGIN:-MARGIN, MARGIN:-MARGIN].std() < DETAIL:
        return np.empty((0, 0), np.float16)
    # An edge counts the same in sun and in shade; 8 levels keep the noise of an empty sky from counting as much.
    even = edges / (np.sqrt(_WIDE @ edges**2 @ _WIDE.T) + 8.0)
    # Without what runs straight across: horizons and frames are alike in pictures that are not.
    return (even - even.mean(0) - even.mean(1, keepdims=True) + even.mean()).astype(np.float16)
