"""What the losses share that look at whole feature maps: which map goes with which, and what a sum of squares is over.

Every picture of a batch is compared alone, in float64: its number cannot depend on the others. MPS has no float64;
bring its maps to the CPU first.
"""

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from cyclestyle.styling.moments import in_units_of

MapConvention = Literal["relative", "mean", "sum"]
"""Of squared differences: their sum, their mean, or their mean over the mean square of the style's features."""


def pairs(features: Tensor, style: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Each picture's map with that of its style, which carries no gradient.

    Args:
        features: (n, c, h, w) float.
        style: (n or 1, c, h', w') float; one style goes with all pictures.

    Yields:
        (c, h, w) and (c, h', w'), float64.

    Raises:
        ValueError: no maps, other channels, or styles of which it is not clear whose they are.
    """
    for maps in (features, style):
        if maps.ndim != 4 or not maps.is_floating_point() or min(maps.shape) == 0:
            raise ValueError(f"expected float maps of shape (n, c, h, w), got {maps.dtype} {tuple(maps.shape)}")
    if features.shape[1] != style.shape[1]:
        raise ValueError(
            f"the output's features have {features.shape[1]} channels, the style's {style.shape[1]}; "
            "compare one layer of one network"
        )
    if len(style) not in (1, len(features)):
        raise ValueError(
            f"there are {len(style)} styles for {len(features)} pictures; give one style for all, or one each"
        )
    every = zip(features, style.expand(len(features), *style.shape[1:]), strict=True)
    return ((own.double(), other.detach().double()) for own, other in every)


def in_convention(total: Tensor, count: float | Tensor, style: list[Tensor], convention: MapConvention) -> Tensor:
    """One picture's sum of squared differences () as a convention has it.

    Args:
        total: ().
        count: of the squares in it.
        style: maps (c, h', w') of the style, for "relative": so a weight carries over from network to network.
        convention: what the sum is over.

    Raises:
        ValueError: an unknown convention, or "relative" to a style that is all 0.
    """
    if convention == "sum":
        return total
    if convention == "mean":
        return total / count
    if convention == "relative":
        size = torch.cat([one.flatten() for one in style]).square().mean()
        return in_units_of(size, total / count)
    raise ValueError(f"there is no convention {convention!r}; choose one of relative, mean, sum")
