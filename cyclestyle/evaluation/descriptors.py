"""A picture as a few numbers, so that sets of pictures can be compared: rows for the distances between sets.

Of feature maps (n, c, h, w): `pooled`, `mean_std`, `gram`. Of pictures: `palette`; and `luminance`, which takes the
colours off before features are computed. Everything is computed in float64 and rounded to float32 at the end, one
picture at a time: the row of a picture cannot depend on its batch. The work is done where the features lie (on the CPU
for MPS, which has no float64), the rows are on the CPU.
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from cyclestyle.evaluation.truth import lab
from cyclestyle.images import Images
from cyclestyle.images import luminance as luma
from cyclestyle.networks.precision import exact_device

POSITIONS_AT_ONCE, ON_GPUS = 2048, 1 << 16
"""Of a feature map: measured on a CPU, 3 to 5 times as fast as all in float64 at once; a GPU wants few large pieces."""

DIRECTIONS = 64
"""Of `directions`: 2,080 numbers per picture and layer, instead of 131,328 for the Gram matrix of 512 channels."""

LIGHTNESSES, HUES = 8, 16
"""Bins of the palette along L*, and along each of a* and b*."""
PALETTE_BINS = LIGHTNESSES * HUES * HUES
"""Width of `palette`."""
MOST_CHROMA = 80.0
"""|a*| and |b*| from which on the palette holds colours for equal. Beyond lie only a few pure blues and magentas."""


def pooled(features: Tensor) -> Tensor:
    """The mean of every channel over the picture: (n, c, h, w) -> (n, c) float32."""
    return _each(_mean, features, features.shape[1])


def mean_std(features: Tensor) -> Tensor:
    """Mean and population standard deviation of every channel, by which AdaIN knows a style.

    Huang, Belongie, "Arbitrary style transfer in real-time with adaptive instance normalization", ICCV 2017, eqs. 5 and
    6, without their epsilon; Li, Wang, Liu, Hou, "Demystifying neural style transfer", IJCAI 2017, section 4.2.

    Args:
        features: (n, c, h, w) float.

    Returns:
        (n, 2 c) float32: the means, then the deviations.

    Raises:
        ValueError: not a batch of float feature maps.
    """

    def describe(positions: Tensor) -> Tensor:
        mean = _mean(positions)
        squares = torch.zeros_like(mean)
        for block in _blocks(positions):
            squares += (block - mean).square().sum(0)
        return torch.cat((mean, (squares / len(positions)).sqrt()))

    return _each(describe, features, 2 * features.shape[1])


def directions(channels: int, count: int = DIRECTIONS, seed: int = 0) -> Tensor:
    """Fixed orthonormal directions in the space of the channels, uniformly drawn; all axes if they are few enough.

    Two sets must be described in the same directions. The signs are fixed as by Mezzadri, "How to generate random
    matrices from the classical compact groups", Notices of the AMS 54(5), 2007: QR alone leaves them to the library.

    Args:
        channels: width of the layer.
        count: how many directions at most.
        seed: of the draw; other seeds give other, equally good, directions.

    Returns:
        (min(channels, count), channels) float64, the identity if channels <= count.
    """
    if channels <= count:
        return torch.eye(channels, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    orthonormal, triangle = torch.linalg.qr(torch.randn(channels, count, generator=generator, dtype=torch.float64))
    return (orthonormal * triangle.diagonal().sign()).mT.contiguous()


def gram(features: Tensor, directions: Tensor | None = None) -> Tensor:
    """The Gram matrix of a feature map as a row, so that the distance of two rows is the Frobenius norm of G - G'.

    Gatys, Ecker, Bethge, "Image style transfer using convolutional neural networks", CVPR 2016, eq. 3, over the number
    of positions: G = F F^T / (h w). With directions P (k rows of c) it is P G P^T, exact for k = c. For fewer, over
    uniformly drawn P, D = G - G' shows as
        E |P D P^T|^2 = a |D|^2 + b (tr D)^2,  a = k (k c + c - 2) / m,  b = k (c - k) / m,  m = c (c - 1) (c + 2),
    the second moments of a random projection (this module's tests draw them). So squared distances shrink by about
    (k / c)^2, the same for all pictures of a layer, and a difference in total energy, tr D, weighs more than its share.
    Numbers of different layers, or of different k, are not comparable.

    Args:
        features: (n, c, h, w) float.
        directions: (k, c), orthonormal rows (`directions`), or None for the channels themselves.

    Returns:
        (n, k (k + 1) / 2) float32: the upper triangle row by row, off the diagonal times sqrt 2.

    Raises:
        ValueError: not a batch of float feature maps, or directions for another number of channels.
    """
    _require_maps(features)
    channels = features.shape[1]
    _require_directions(directions, channels)
    side = channels if directions is None else len(directions)
    upper, weights = _triangle(side, features.device)
    projection = None if directions is None else directions.to(upper.device).to(torch.float64)

    def describe(positions: Tensor) -> Tensor:
        products = torch.zeros(side, side, dtype=torch.float64, device=positions.device)
        for block in _blocks(positions):
            seen = block if projection is None else block @ projection.mT
            products.addmm_(seen.mT, seen)
        return (products / len(positions))[upper[0], upper[1]] * weights

    return _each(describe, features, side * (side + 1) // 2)


def gram_matrix(descriptor: Tensor) -> Tensor:
    """The matrices of rows of `gram`: (..., k (k + 1) / 2) -> (..., k, k) float64, symmetric.

    Raises:
        ValueError: rows of another length.
    """
    length = descriptor.shape[-1]
    side = (math.isqrt(8 * length + 1) - 1) // 2
    if side * (side + 1) // 2 != length:
        raise ValueError(f"rows of {length} numbers hold no Gram matrix; expected k (k + 1) / 2, as `gram` gives them")
    upper, weights = _triangle(side, descriptor.device)
    matrix = torch.zeros(*descriptor.shape[:-1], side, side, dtype=torch.float64, device=upper.device)
    matrix[..., upper[0], upper[1]] = descriptor.to(upper.device).double() / weights
    return matrix + matrix.triu(1).mT


def pooled_gaussian(means: Tensor, grams: Tensor, directions: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the features at all positions of all pictures, every picture with the same weight.

    From what was kept of each picture: the covariance is the mean of second moments less the product of the means. What
    rounding of the rows to float32 leaves of directions without variance may lie below 0 and is made 0.

    Args:
        means: (n, c), of `pooled`, or the first half of `mean_std`.
        grams: (n, k (k + 1) / 2), of `gram`.
        directions: (k, c), those of the Grams.

    Returns:
        (k,) and (k, k) float64 on the CPU; the covariance is the population's, positive semi-definite.

    Raises:
        ValueError: the rows are not of the same pictures, or not of these directions.
    """
    if len(means) != len(grams) or len(means) == 0:
        raise ValueError(f"expected means and Grams of the same pictures, got {len(means)} and {len(grams)} rows")
    _require_directions(directions, means.shape[1])
    mean = means.cpu().double().mean(0)
    if directions is not None:
        mean = directions.cpu().double() @ mean
    second = gram_matrix(grams.cpu().double().mean(0))
    if len(second) != len(mean):
        raise ValueError(
            f"the Grams are of {len(second)} directions, the means of {len(mean)}; give the Grams' directions"
        )
    values, vectors = torch.linalg.eigh(second - torch.outer(mean, mean))
    return mean, (vectors * values.clamp_min(0)) @ vectors.mT


def palette(images: Images) -> Tensor:
    """Which colours a picture has, and how much of each, wherever they stand: square roots of a CIELAB histogram.

    The distance of two rows, over sqrt 2, is Hellinger's: 0 for the same colours, 1 for no colour in common. A pixel
    spreads over three bins along each axis (the quadratic B-spline), so a small shift of all colours moves the row by
    as little, even into empty bins, where the square root is steep; with hard bins it could jump.

    Args:
        images: (n, 3, h, w) float, sRGB in [-1, 1].

    Returns:
        (n, 2048) float32 of length 1: 8 bins of L* in [0, 100] by 16 of a* by 16 of b*, both cut to [-80, 80].

    Raises:
        ValueError: not a batch of float RGB pictures.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"expected RGB pictures of shape (n, 3, h, w), got {tuple(images.shape)}")

    def describe(pixels: Tensor) -> Tensor:
        sums = torch.zeros(LIGHTNESSES * HUES, HUES, dtype=torch.float64, device=pixels.device)
        for part in _blocks(pixels):
            lightness, a, b = lab(part.mT[None, :, :, None])[0, :, :, 0]
            lightnesses = _shares(lightness, 0.0, 100.0, LIGHTNESSES)
            greens, blues = (_shares(axis, -MOST_CHROMA, MOST_CHROMA, HUES) for axis in (a, b))
            sums += (lightnesses[:, None] * greens).flatten(0, 1) @ blues.mT
        return (sums / len(pixels)).sqrt().flatten()

    return _each(describe, images, PALETTE_BINS)


def luminance(images: Images) -> Images:
    """Grey pictures, the luminance (ITU-R BT.601) in three equal channels: what is left of a style without colour."""
    return luma(images).repeat(1, 3, 1, 1)


def _shares(values: Tensor, low: float, high: float, count: int) -> Tensor:
    """How much of each value (p,) falls to each of `count` bins: (count, p), the quadratic B-spline, sums 1.

    `low` and `high` stand midway between the two outer bins at their end, so that no share falls outside.
    """
    places = (0.5 + (values - low) / (high - low) * (count - 2)).clamp(0.5, count - 1.5)
    away = (places - torch.arange(count, dtype=values.dtype, device=values.device)[:, None]).abs()
    return torch.where(away < 0.5, 0.75 - away.square(), 0.5 * (1.5 - away).clamp_min(0).square())


def _triangle(side: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows and columns (2, m) of an upper triangle, and the weights (m,) of its entries in a Frobenius norm."""
    upper = torch.triu_indices(side, side, device=exact_device(device))
    twice = torch.full_like(upper[0], math.sqrt(2), dtype=torch.float64)
    return upper, twice.masked_fill(upper[0] == upper[1], 1.0)


@torch.no_grad()
def _each(describe: Callable[[Tensor], Tensor], features: Tensor, width: int) -> Tensor:
    """The row of every picture, made alone of its positions (h w, c)."""
    _require_maps(features)
    device = exact_device(features.device)
    rows = torch.empty(len(features), width, dtype=torch.float32, device=device)
    for index, picture in enumerate(features):
        rows[index] = describe(picture.to(device).permute(1, 2, 0).flatten(0, 1))
    return rows.cpu()


def _blocks(positions: Tensor) -> Iterator[Tensor]:
    """Some positions at a time in float64, rows of channels whatever the memory layout: few enough to stay near."""
    for block in positions.split(ON_GPUS if positions.is_cuda else POSITIONS_AT_ONCE):
        yield block.double().contiguous()


def _mean(positions: Tensor) -> Tensor:
    return sum(block.sum(0) for block in _blocks(positions)) / len(positions)  # type: ignore[return-value]


def _require_maps(features: Tensor) -> None:
    if features.ndim != 4 or not features.is_floating_point() or min(features.shape[1:]) == 0:
        raise ValueError(f"expected float maps of shape (n, c, h, w), got {features.dtype} {tuple(features.shape)}")


def _require_directions(directions: Tensor | None, channels: int) -> None:
    if directions is not None and (directions.ndim != 2 or directions.shape[1] != channels):
        raise ValueError(
            f"the directions are {tuple(directions.shape)}, the features have {channels} channels; give "
            f"`directions({channels})`"
        )
