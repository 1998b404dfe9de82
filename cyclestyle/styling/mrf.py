"""Style as patches: every small patch of the features shall be like the one of the style that it is most like.

Li, Wand, "Combining Markov random fields and convolutional neural networks for image synthesis", CVPR 2016
(arXiv 1601.04589), section 3.1: E = sum over patches i of |P_i - S_NN(i)|^2, where NN(i) is the style's patch of the
largest normalised cross-correlation with P_i (eq. 3, nothing subtracted). Unlike Gram matrices it keeps shapes that
are larger than a feature, and it takes them from one place of the style.

The paper also looks among the style turned and scaled; give the features of such copies as further style maps.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cyclestyle.styling.maps import MapConvention, in_convention, pairs

POSITIONS_AT_ONCE = 2048
"""Of the output's map, against as many of the style's: their products take 34 MB, all that is done with them 150 MB."""
TIED_WITHIN = 1e-12
"""Cross-correlations no further apart are rounding: the first patch is taken, in whichever order they were summed."""


class Matches(NamedTuple):
    """The nearest style patch of every patch of one map, row by row."""

    index: Tensor
    """(patches,) int64: in the style, map after map, row by row."""
    likeness: Tensor
    """(patches,) float64: the normalised cross-correlation; 1 is a positive multiple, 0 also where a patch is all 0."""


class _Patches(NamedTuple):
    """Where the patches of some maps lie; none is copied."""

    values: Tensor
    """(positions of all maps, c)."""
    corner: Tensor
    """(patches,): the upper left position of each."""
    width: Tensor
    """(patches,): of its map, which is how far apart a patch's rows lie."""

    def at(self, patches: Tensor, down: int, right: int) -> Tensor:
        """The values of some patches, at one of a patch's positions: (patches, c)."""
        return self.values[self.corner[patches] + down * self.width[patches] + right]


def mrf_loss(
    features: Tensor,
    style: Tensor | Sequence[Tensor],
    *,
    size: int = 3,
    stride: int = 1,
    threshold: float | None = None,
    averaged: bool = False,
    convention: MapConvention = "relative",
) -> Tensor:
    """Squared differences between patches of features and their nearest of the style: Li, Wand 2016, eq. 2.

    Which patch is nearest is held constant in the gradient.

    Args:
        features: (n, c, h, w) float.
        style: (n or 1, c, h', w') float, of any size; or several such, among all of which the nearest is looked for.
        size: of a patch's side, in positions.
        stride: between patches, of features and style alike; the paper has 1, its code 2.
        threshold: leave out patches whose nearest has a normalised cross-correlation below this (they still count in
            a mean); None leaves out none.
        averaged: divide what is asked of a position by how many patches ask, as the paper's code does with gradients;
            else the middle of a map, where patches overlap, counts more than its border.
        convention: "sum" (the paper); "mean" over the patches' positions and channels; "relative" the mean over that of
            the style's squared features, a plain number that can be compared between layers and networks.

    Returns:
        (n,) float64, 0 where every patch is one of the style's.

    Raises:
        ValueError: maps that do not go together or are smaller than a patch, size or stride < 1, an unknown
            convention, "relative" to a style that is all 0.
    """
    losses = []
    for own, others in _each(features, style):
        match = _nearest(own.detach(), others, size, stride)
        kept = torch.ones_like(match.likeness) if threshold is None else (match.likeness >= threshold).double()
        total = _energy(own, _patches(others, size, stride), match.index, kept, (size, stride, averaged))
        asked = _asked(own, torch.ones_like(kept), size, stride)
        count = (asked > 0).sum() if averaged else asked.sum()
        losses.append(in_convention(total, len(own) * count, others, convention))
    return torch.stack(losses)


def nearest_patches(
    features: Tensor, style: Tensor | Sequence[Tensor], *, size: int = 3, stride: int = 1
) -> list[Matches]:
    """For every patch of features the style's patch of the largest normalised cross-correlation; the first of equals.

    It takes O(patches x style's patches) time, and memory for blocks of `POSITIONS_AT_ONCE` of either.

    Args and raises: as `mrf_loss`.

    Returns:
        One for each picture.
    """
    return [_nearest(own.detach(), others, size, stride) for own, others in _each(features, style)]


def _each(features: Tensor, style: Tensor | Sequence[Tensor]) -> list[tuple[Tensor, list[Tensor]]]:
    """Each picture's map with all maps of its style."""
    styles = [style] if isinstance(style, Tensor) else list(style)
    if not styles:
        raise ValueError("there is no map of a style; give one or more")
    columns = zip(*(pairs(features, one) for one in styles), strict=True)
    return [(column[0][0], [other for _, other in column]) for column in columns]


@torch.no_grad()
def _nearest(own: Tensor, style: list[Tensor], size: int, stride: int) -> Matches:
    """The matches of one map (c, h, w)."""
    count, before = len(_patches([own], size, stride).corner), 0
    index = torch.zeros(count, dtype=torch.long, device=own.device)
    likeness = torch.full((count,), -torch.inf, dtype=torch.float64, device=own.device)
    for other in style:
        for first, theirs in _bands(other, size, stride):
            for start, ours in _bands(own, size, stride):
                scores = _correlations(ours, theirs, size, stride)
                part = slice(start, start + len(scores))
                best = scores.amax(1)
                place = before + first + (scores >= best[:, None] - TIED_WITHIN).byte().argmax(1)
                better = best > likeness[part] + TIED_WITHIN
                index[part] = torch.where(better, place, index[part])
                likeness[part] = torch.where(better, best, likeness[part])
        before += len(_patches([other], size, stride).corner)
    return Matches(index, likeness)


def _bands(one: Tensor, size: int, stride: int) -> Iterator[tuple[int, Tensor]]:
    """A map (c, h, w) in bands of whole rows of patches, each with the number of its first patch."""
    height, width = one.shape[1:]
    rows, columns = (height - size) // stride + 1, (width - size) // stride + 1
    step = max(1, (POSITIONS_AT_ONCE // width - size) // stride + 1)
    for row in range(0, rows, step):
        end = min(row + step, rows)
        yield row * columns, one[:, row * stride : (end - 1) * stride + size]


def _correlations(own: Tensor, other: Tensor, size: int, stride: int) -> Tensor:
    """Normalised cross-correlations of all patches of (c, h, w) with all of (c, h', w'): (patches, patches')."""
    if stride > 1:
        products = _cut(own, size, stride).mT @ _cut(other, size, stride)
    else:  # a position lies in size^2 patches: the products are taken once, and summed for each
        every = (own.flatten(1).mT @ other.flatten(1)).view(*own.shape[1:], *other.shape[1:])
        rows, columns, of_other, across = (length - size + 1 for length in every.shape)
        summed = every.new_zeros(rows, columns, of_other, across)
        for down in range(size):
            for right in range(size):
                ours = every[down : down + rows, right : right + columns]
                summed += ours[:, :, down : down + of_other, right : right + across]
        products = summed.view(rows * columns, of_other * across)
    lengths = [_cut(one.square().sum(0, keepdim=True), size, stride).sum(0).sqrt() for one in (own, other)]
    over_own, over_other = (torch.where(length > 0, length, 1) for length in lengths)
    return products / over_own[:, None] / over_other


def _cut(one: Tensor, size: int, stride: int) -> Tensor:
    """The patches of a map (c, h, w) as columns: (c size size, patches)."""
    return F.unfold(one[None], size, stride=stride)[0]


def _energy(own: Tensor, style: _Patches, index: Tensor, kept: Tensor, how: tuple[int, int, bool]) -> Tensor:
    """The sum of squares over all kept patches of a map (c, h, w), ().

    One of a patch's positions at a time: no patch need be cut out.
    """
    size, stride, averaged = how
    asked = _asked(own, kept, size, stride).clamp(min=1)
    total = own.new_zeros(())
    for down in range(size):
        for right in range(size):
            seen = _grid(own, down, right, size, stride)  # (c, rows, columns)
            wanted = style.at(index, down, right).mT.view_as(seen)
            weight = kept.view(seen.shape[1:])
            if averaged:
                weight = weight / _grid(asked, down, right, size, stride)
            total = total + (weight * (seen - wanted).square()).sum()
    return total


def _asked(own: Tensor, kept: Tensor, size: int, stride: int) -> Tensor:
    """In how many of the kept patches each position lies: (h, w)."""
    count = own.new_zeros(own.shape[1:])
    for down in range(size):
        for right in range(size):
            grid = _grid(count, down, right, size, stride)
            grid += kept.view(grid.shape)
    return count


def _grid(maps: Tensor, down: int, right: int, size: int, stride: int) -> Tensor:
    """What all patches have at one of a patch's positions: (..., h, w) -> (..., rows, columns)."""
    height, width = maps.shape[-2:]
    return maps[..., down : height - size + down + 1 : stride, right : width - size + right + 1 : stride]


def _patches(maps: Sequence[Tensor], size: int, stride: int) -> _Patches:
    """The patches of maps (c, h, w), map after map, row by row."""
    if size < 1 or stride < 1:
        raise ValueError(f"expected patches of 1 position or more, 1 or more apart, got size {size}, stride {stride}")
    corners, widths, begin = [], [], 0
    for one in maps:
        height, width = one.shape[1:]
        if min(height, width) < size:
            raise ValueError(
                f"a map is {height} x {width} (height x width), smaller than a patch of {size} x {size}; "
                "give a larger picture, or choose a layer that is less deep"
            )
        rows = torch.arange(0, height - size + 1, stride, device=one.device)
        columns = torch.arange(0, width - size + 1, stride, device=one.device)
        corners.append((begin + rows[:, None] * width + columns).flatten())
        widths.append(torch.full_like(corners[-1], width))
        begin += height * width
    values = torch.cat([one.flatten(1).mT for one in maps])
    return _Patches(values.contiguous(), torch.cat(corners), torch.cat(widths))
