"""The paintings whose style is wanted, and which of them a photo shall be like.

A style here is a set. A set's mean is known to smooth too much (Sanakoyeu et al. 2018, figure 2), so there are also one
painting for each photo, drawn or the nearest.
"""

import math
import random
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from cyclestyle.images import Picture, load
from cyclestyle.styling.moments import Moments
from cyclestyle.styling.recipes import Target

KEPT = 64
"""Paintings whose statistics are kept in memory."""


class Chosen(NamedTuple):
    """What a photo shall be like."""

    places: tuple[int, ...]
    """Numbers of paintings in the gallery."""
    shares: tuple[float, ...]
    """Of each; they sum to 1."""


class Described(NamedTuple):
    """Gram matrices of n pictures at one layer, as rows that take little room."""

    directions: Tensor
    """(n, k) half precision: upper triangles, each scaled to length 1."""
    sizes: Tensor
    """(n,) float32: the length that they had."""

    @classmethod
    def of(cls, found: Moments) -> "Described":
        """From moments at the layer."""
        channels = found.second.shape[1]
        upper = torch.triu_indices(channels, channels, device=found.second.device)
        twice = torch.where(upper[0] == upper[1], 1.0, math.sqrt(2)).to(found.second)
        rows = found.second[:, upper[0], upper[1]] * twice
        sizes = torch.linalg.vector_norm(rows, dim=1)
        return cls((rows / sizes[:, None].clamp_min(1e-30)).to("cpu", torch.float16), sizes.to("cpu", torch.float32))

    def distances(self, photo: "Described") -> Tensor:
        """Of one photo from each: |G - A|^2 / |A|^2, with which the Gram loss "relative" would begin."""
        ratio = photo.sizes / self.sizes.clamp_min(1e-30)
        cosines = torch.cat([block.float() @ photo.directions[0].float() for block in self.directions.split(64)])
        return ratio.square() - 2 * ratio * cosines + 1


@dataclass
class Gallery:
    """Paintings, each with its share in the mean."""

    paths: Sequence[Path]
    shares: Sequence[float]
    grams: dict[str, Described] | None = None
    """Of all of them, by layer; where the nearest is sought."""
    kept: OrderedDict[Hashable, Any] = field(default_factory=OrderedDict)

    def choose(self, target: Target, key: int, describe: Callable[[], dict[str, Described]]) -> Chosen:
        """The paintings that a photo shall be like.

        Args:
            target: how they are chosen.
            key: a number of the photo's own: draws do not depend on the order of photos.
            describe: gives what `grams` has of the paintings; asked for where the nearest is sought.
        """
        if target == "mean":
            return Chosen(tuple(range(len(self.paths))), tuple(self.shares))
        place = 0
        if target == "nearest":
            assert self.grams is not None  # described beforehand
            photo = describe()
            distances = torch.stack([grams.distances(photo[tap]) for tap, grams in self.grams.items()])
            place = int(distances.sum(0).argmin())
        if target == "random":
            place = random.Random(key).choices(range(len(self.paths)), self.shares)[0]
        return Chosen((place,), (1.0,))

    def picture(self, place: int, longest: int) -> Picture:
        """A painting, scaled down so that its longer side has at most so many pixels."""
        return scaled(load(self.paths[place]), longest)

    def remembered(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What was made for the same key before, if that was not long ago."""
        if key not in self.kept:
            self.kept[key] = make()
        self.kept.move_to_end(key)
        while len(self.kept) > KEPT:
            self.kept.popitem(last=False)
        return self.kept[key]


def scaled(picture: Picture, longest: int) -> Picture:
    """A picture whose longer side has at most so many pixels; never enlarged."""
    width, height = picture.size
    largest = max(width, height)
    if largest <= longest:
        return picture
    size = (max(1, round(width * longest / largest)), max(1, round(height * longest / largest)))
    return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
