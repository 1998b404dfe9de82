"""The Gram family's view of a feature map: sums over positions, from which all of its statistics follow.

Gatys, Ecker, Bethge, "Image style transfer using convolutional neural networks", CVPR 2016, eq. 3: a style is what is
left of the features F (channels x positions) once the positions are summed over. Sums of parts add up to that of the
whole (`Sums`), so a picture of any size can be streamed in tiles. Over the number of positions they are `Moments`,
which can be compared between pictures of different sizes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

RESOLVED = 8
"""Roundings of a raw second moment below which a variance is none: what is left when equal numbers cancel."""


class Moments(NamedTuple):
    """Mean and raw second moment of the features of n pictures."""

    mean: Tensor
    """(n, c): of the features over the positions."""
    second: Tensor
    """(n, c, c): F F^T over the number of positions, nothing subtracted: the Gram matrix, G / M."""
    positions: Tensor
    """(n,): their number M, or the sum of their weights."""


class Sums(NamedTuple):
    """Sums over the positions of n pictures, or of parts of them; of parts, `+` gives the sums of the whole."""

    weight: Tensor
    """(n,): of the weights w, which is the number of positions where none are given."""
    first: Tensor
    """(n, c): of w F."""
    second: Tensor
    """(n, c, c): of w F F^T."""

    def __add__(self, other: "Sums") -> "Sums":  # type: ignore[override]  # of tuples it would join the two
        return Sums(self.weight + other.weight, self.first + other.first, self.second + other.second)

    def moments(self) -> Moments:
        """The sums over their weight.

        Raises:
            ValueError: a picture whose positions have no weight at all.
        """
        empty = [str(place) for place, weight in enumerate(self.weight.tolist()) if not weight > 0]
        if empty:
            raise ValueError(
                f"picture {', '.join(empty)} of {len(self.weight)} (from 0) has no position with a weight above 0 "
                "here; give a mask that holds a part of the picture, also at the size of this layer"
            )
        return _over_weight(self)


def sums(features: Tensor, weights: Tensor | None = None) -> Sums:
    """Sums over the positions of feature maps, in float32, or float64 where they are.

    With weights this is the guided Gram matrix of Gatys, Ecker, Bethge, Hertzmann, Shechtman, "Controlling perceptual
    factors in neural style transfer", CVPR 2017: their guidance channel T multiplies the features, so that w = T^2.

    Args:
        features: (n, c, h, w) float, of whole pictures or of tiles.
        weights: (n or 1, 1, h, w), none below 0: what a position counts for; None counts all alike.

    Raises:
        ValueError: no feature maps, or weights of another size.
    """
    _require_maps(features, weights)
    dtype = torch.promote_types(features.dtype, torch.float32)
    count, _, height, width = features.shape
    # Half precision ends at 65504, which a square of 256 exceeds; autocast would go back to it for the product.
    with torch.autocast(features.device.type, enabled=False):
        flat = features.to(dtype).flatten(2)  # (n, c, h w)
        if weights is None:
            weight, weighed = flat.new_full((count,), height * width), flat
        else:
            spread = weights.to(dtype).flatten(2)  # (n or 1, 1, h w)
            weight, weighed = spread.sum((1, 2)).expand(count), flat * spread
        return Sums(weight, weighed.sum(2), weighed @ flat.mT)


def moments(features: Tensor, weights: Tensor | None = None) -> Moments:
    """Mean and raw second moment of feature maps over their positions; arguments and errors are those of `sums`.

    Raises:
        ValueError: also where the weights of a picture are all 0.
    """
    found = sums(features, weights)
    return _over_weight(found) if weights is None else found.moments()


def covariance(found: Moments) -> Tensor:
    """The population's covariance (n, c, c): the raw second moment less that of the mean."""
    return found.second - found.mean[:, :, None] * found.mean[:, None, :]


def variance(found: Moments) -> Tensor:
    """The population's variance of every channel (n, c); 0, with gradient 0, where it is no more than rounding."""
    raw = found.second.diagonal(dim1=1, dim2=2)
    value = raw - found.mean.square()
    return torch.where(value > RESOLVED * torch.finfo(raw.dtype).eps * raw, value, 0)


def mix(styles: Sequence[Moments], weights: Sequence[float] | None = None) -> Moments:
    """A style between several: means and raw second moments are averaged, as if their pictures were joined.

    Covariances must not be averaged (the means' differences would be lost); that of the mixture follows from it.

    Args:
        styles: each of as many pictures and of as many channels as the others.
        weights: one per style, above 0, of any sum: only their shares matter; None gives each the same.

    Raises:
        ValueError: no styles, not one weight for each, or a weight that is not above 0.
    """
    shares = [1.0] * len(styles) if weights is None else [float(weight) for weight in weights]
    if not styles or len(shares) != len(styles) or not all(0 < share < float("inf") for share in shares):
        raise ValueError(
            f"expected one weight above 0 for each style, got {shares} for {len(styles)} styles; leave out a style "
            "that is to have no weight"
        )
    shares = [share / sum(shares) for share in shares]
    columns = zip(*styles, strict=True)
    return Moments(*(sum(a * part for a, part in zip(shares, column, strict=True)) for column in columns))  # type: ignore[arg-type]


def stack(pictures: Sequence[Moments]) -> Moments:
    """The moments of several pictures, or batches of them, as one batch."""
    if not pictures:
        raise ValueError("there are no moments to stack; give those of one picture or more")
    return Moments(*(torch.cat(parts) for parts in zip(*pictures, strict=True)))


def require_alike(output: Moments, target: Moments) -> None:
    """Refuse to compare moments of different layers, or of batches that do not match.

    Raises:
        ValueError: other channels; or a target of neither one picture nor as many as the output.
    """
    if output.mean.shape[1] != target.mean.shape[1]:
        raise ValueError(
            f"the output's features have {output.mean.shape[1]} channels, the style's {target.mean.shape[1]}; "
            "compare one layer of one network"
        )
    if len(target.mean) not in (1, len(output.mean)):
        raise ValueError(
            f"there are {len(target.mean)} styles for {len(output.mean)} pictures; give one style for all, or one each"
        )


def in_units_of(size: Tensor, loss: Tensor) -> Tensor:
    """A loss (n,) over the size (n,) or (1,) of its target, which is what a map of zeros would lose: a plain number.

    So every layer of any network weighs about the same, whatever the scale of its features. Gatys et al. 2016 had that
    of a network rescaled until each channel's mean activation was one (their section 2).

    Raises:
        ValueError: a target of size 0; on a GPU, which would be waited for, the loss is then no finite number.
    """
    if not size.is_cuda and not bool((size > 0).all()):
        raise ValueError(
            "the features of a target are all 0, so nothing is measured relative to them; choose another layer, or a "
            "convention that is not relative"
        )
    return loss / size


def _over_weight(found: Sums) -> Moments:
    weight = found.weight
    return Moments(found.first / weight[:, None], found.second / weight[:, None, None], weight)


def _require_maps(features: Tensor, weights: Tensor | None) -> None:
    if features.ndim != 4 or not features.is_floating_point() or min(features.shape) == 0:
        raise ValueError(f"expected float maps of shape (n, c, h, w), got {features.dtype} {tuple(features.shape)}")
    count, _, height, width = features.shape
    if weights is not None and tuple(weights.shape) not in {(count, 1, height, width), (1, 1, height, width)}:
        raise ValueError(
            f"the weights are {tuple(weights.shape)}, the features {tuple(features.shape)}; give weights of shape "
            f"({count} or 1, 1, {height}, {width})"
        )
