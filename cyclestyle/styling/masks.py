"""Masks: which part of a photo is painted like which part of a style, and which part is not painted at all.

Gatys, Ecker, Bethge, Hertzmann, Shechtman, "Controlling perceptual factors in neural style transfer", CVPR 2017.
Either a picture of a few colours for the photo and one for the style, where regions of one colour belong together
(`read_regions`); or a black and white one for the photo alone (`read_mask`): white is painted, black stays.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cyclestyle.images import Images, Picture, load

MOST_REGIONS = 8
MOST_CHROMA = 32
"""Levels by which the channels of a grey may differ, after JPEG."""

Colour = tuple[int, int, int]


class Regions(NamedTuple):
    """The regions of a picture, one for each colour of its mask."""

    colours: tuple[Colour, ...]
    """Red, green and blue, 0 to 255."""
    labels: Tensor
    """(h, w) int64: each pixel's region, as its place in `colours`; -1 for none."""


def read_regions(path: Path, size: tuple[int, int]) -> Regions:
    """The regions of a mask: every colour is one, dark to light by red, then green, then blue.

    Args:
        path: a picture file of at most 8 colours.
        size: (width, height) of the picture whose mask it is.

    Raises:
        ValueError: a mask of another size or of too many colours, or a file that is no picture.
        FileNotFoundError: there is no file.
    """
    pixels = np.asarray(_load(path, size)).astype(np.int64)  # (h, w, 3)
    found, places = np.unique(pixels @ (1 << 16, 1 << 8, 1), return_inverse=True)
    if len(found) > MOST_REGIONS:
        raise ValueError(
            f"the mask {path} has {len(found):,} colours, one for each region, of which there may be {MOST_REGIONS}; "
            "save it as PNG (JPEG smears colours) and draw it without soft edges"
        )
    colours = tuple((int(code) >> 16, int(code) >> 8 & 255, int(code) & 255) for code in found)
    return Regions(colours, torch.from_numpy(places.reshape(pixels.shape[:2])))


def corresponding(photo: Regions, style: Regions) -> Regions:
    """The style's regions in the order of the photo's, so that the two can be compared one by one.

    Pixels of the style whose colour the photo has not belong to no region.

    Raises:
        ValueError: a region of the photo has none in the style.
    """
    missing = [_name(colour) for colour in photo.colours if colour not in style.colours]
    if missing:
        raise ValueError(
            f"the photo's mask has {_list(missing)}, the style's only {_list([_name(one) for one in style.colours])}; "
            "give every region of the photo one of the same colour in the style"
        )
    place = [photo.colours.index(colour) if colour in photo.colours else -1 for colour in style.colours]
    return Regions(photo.colours, torch.tensor(place)[style.labels])


def region_weights(regions: Regions, height: int, width: int) -> Tensor:
    """How much of each position of a feature map lies in each region, by area.

    A region keeps its share of the whole at every size. One that is smaller than a position does not vanish: it has a
    weight below 1 where it lies, and its statistics are then those of features that see its surroundings as well.

    As weights of `moments` these are the squared guidance channels T^2 of Gatys et al. 2017, for hard regions
    the same; the regions' Gram matrices, weighted by their shares, add up to that of the whole.

    Args:
        regions: of a picture of any size.
        height: of the map.
        width: of the map.

    Returns:
        (regions, 1, height, width) float64, in [0, 1], summing to 1 over the regions wherever every pixel has one.

    Raises:
        ValueError: a map without positions.
    """
    if min(height, width) < 1:
        raise ValueError(f"expected a map of 1 x 1 or more, got {height} x {width} (height x width)")
    labels = regions.labels
    inside = (labels == torch.arange(len(regions.colours), device=labels.device)[:, None, None]).double()  # (k, H, W)
    rows, columns = _overlaps(labels.shape[0], height).to(inside), _overlaps(labels.shape[1], width).to(inside)
    return (rows @ inside @ columns.mT)[:, None]


def read_mask(path: Path, size: tuple[int, int]) -> Tensor:
    """A black and white mask: 1 where a photo is painted (white), 0 where it stays (black), greys between.

    Args:
        path: a picture file.
        size: (width, height) of the photo.

    Returns:
        (1, 1, h, w) float32 in [0, 1].

    Raises:
        ValueError: a mask of another size or one that is coloured, or a file that is no picture.
        FileNotFoundError: there is no file.
    """
    picture = _load(path, size)
    pixels = np.asarray(picture).astype(np.int64)
    if np.ptp(pixels, axis=2).max() > MOST_CHROMA:
        raise ValueError(
            f"the mask {path} is coloured; without a mask for the style, give white where the photo is to be painted, "
            "black where it is to stay"
        )
    grey = torch.from_numpy(np.asarray(picture.convert("L")).astype(np.float32))
    return (grey / 255)[None, None]


def blend(photo: Images, painting: Images, mask: Tensor, *, soft: float = 0.0) -> Images:
    """The painting where the mask is 1, the photo where it is 0, each to the last bit.

    Args:
        photo: (n, 3, h, w) float.
        painting: the same shape.
        mask: (n or 1, 1, h, w) in [0, 1].
        soft: standard deviation, in pixels, of a gaussian that softens the mask's edges; beyond three of them from an
            edge nothing changes. 0 leaves them as they are.

    Returns:
        (n, 3, h, w), of the painting's dtype.

    Raises:
        ValueError: sizes that differ, a mask that leaves [0, 1], or soft below 0.
    """
    count, _, height, width = photo.shape
    if painting.shape != photo.shape or tuple(mask.shape) not in {(count, 1, height, width), (1, 1, height, width)}:
        raise ValueError(
            f"the photo is {tuple(photo.shape)}, the painting {tuple(painting.shape)}, the mask {tuple(mask.shape)}; "
            "give all three one height and width"
        )
    if not bool(((mask >= 0) & (mask <= 1)).all()):
        raise ValueError("the mask leaves 0 to 1; give 1 for what is painted, 0 for what stays")
    if not 0 <= soft < math.inf:
        raise ValueError(f"expected an edge of 0 pixels or more, got {soft}")
    weight = _softened(mask.double(), soft).to(painting.dtype)
    return weight * painting + (1 - weight) * photo.to(painting.dtype)


def _softened(mask: Tensor, deviation: float) -> Tensor:
    """A mask (n, 1, h, w) under a gaussian that ends at three deviations; the border's values go on outside."""
    if deviation == 0:
        return mask
    reach = math.ceil(3 * deviation)
    offsets = torch.arange(-reach, reach + 1, dtype=mask.dtype, device=mask.device)
    window = torch.exp(-0.5 * (offsets / deviation) ** 2)
    window = window / window.sum()
    padded = F.pad(mask, (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, window.view(1, 1, 1, -1)), window.view(1, 1, -1, 1)).clamp(0, 1)


def _overlaps(given: int, wanted: int) -> Tensor:
    """What share of each of `wanted` equal parts of a side each of its `given` pixels has: (wanted, given) float64."""
    ends = torch.arange(wanted + 1, dtype=torch.float64) * given / wanted
    pixels = torch.arange(given, dtype=torch.float64)
    shared = torch.minimum(ends[1:, None], pixels + 1) - torch.maximum(ends[:-1, None], pixels)
    return shared.clamp(min=0) * wanted / given


def _load(path: Path, size: tuple[int, int]) -> Picture:
    """A mask file, of the size that it should have."""
    picture = load(path)
    if picture.size != tuple(size):
        raise ValueError(
            f"the mask {path} is {picture.width} x {picture.height}, its picture {size[0]} x {size[1]} "
            "(width x height); give a mask of the same size"
        )
    return picture


def _name(colour: Colour) -> str:
    return "#" + bytes(colour).hex()


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)
