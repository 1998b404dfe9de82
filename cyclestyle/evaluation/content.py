"""How much of a photo is left in its painting, seen through a network: one number per pair, computed in float64.

`relative_distance` asks whether the features are the same, `self_similarity` whether what was alike is still alike,
however it is painted. (The luminance's SSIM is in `cyclestyle.evaluation.truth`.) Pairs are measured one at a time: the
number of a pair cannot depend on its batch. All numbers are finite wherever the features are, also for pictures of one
colour, whose features may be zero.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional

from cyclestyle.networks.precision import exact_device

LINES_AT_ONCE = 16
"""Of a feature map on a CPU: in float64 they stay near it, which is several times as fast as all at once."""

MOST_RELATIVE = 1e6
"""Bound of `relative_distance`: features of a photo below a thousandth of the painting's count as a thousandth."""


def relative_distance(before: Tensor, after: Tensor) -> Tensor:
    """The squared distance of features, as a share of the photo's own: |phi(y) - phi(x)|^2 / |phi(x)|^2.

    The content loss of Gatys, Ecker, Bethge, "Image style transfer using convolutional neural networks", CVPR 2016, eq.
    1, made independent of the network's scale by the size of the photo's features.

    Args:
        before: (n, c, h, w) float, features of the photos.
        after: the same shape, of what was painted of them.

    Returns:
        (n,) float64 on the CPU: 0 is the same, 1 as far as having no features, at most about 1e6; 0 where both are 0.

    Raises:
        ValueError: the two are not pairs of float feature maps.
    """

    def relative(x: Tensor, y: Tensor) -> Tensor:
        sums = torch.zeros(3, dtype=torch.float64, device=x.device)
        for before, after in zip(_lines(x), _lines(y), strict=True):
            for place, numbers in enumerate((before, after, after - before)):
                sums[place] += numbers.square().sum()
        size = torch.maximum(sums[0], sums[1] / MOST_RELATIVE)
        return torch.where(size > 0, sums[2] / size, 0.0)

    return _each(relative, before, after)


def self_similarity(before: Tensor, after: Tensor, side: int = 16) -> Tensor:
    """How differently the positions of photo and painting resemble each other: 0 is the same structure.

    Of each picture, the cosine similarities of all pairs of positions; of the two matrices, the mean absolute
    difference off the diagonal. Features that all turn or grow together change nothing, so a new style costs little and
    a lost edge much. Shechtman, Irani, "Matching local self-similarities across images and videos", CVPR 2007; as a
    measure of content in Kolkin, Salavon, Shakhnarovich, "Style transfer by relaxed optimal transport and
    self-similarity", CVPR 2019, section 2.3 (there with columns that sum to 1).

    Args:
        before: (n, c, h, w) float, features of the photos.
        after: the same shape, of what was painted of them.
        side: maps larger than that are averaged to `side` x `side` positions first: the matrix has side^4 entries.

    Returns:
        (n,) float64 on the CPU, in [0, 2]; in [0, 1] for features that are never negative.

    Raises:
        ValueError: the two are not pairs of float feature maps, or these have a single position.
    """
    height, width = (min(length, side) for length in before.shape[-2:])
    if height * width < 2:
        raise ValueError(
            f"self-similarity needs features at two positions or more, these are {height} x {width}; give larger "
            "pictures or a shallower layer"
        )

    def difference(x: Tensor, y: Tensor) -> Tensor:
        apart = (_cosines(x, height, width) - _cosines(y, height, width)).abs()
        positions = len(apart)
        return (apart.sum() - apart.trace()) / (positions * (positions - 1))

    return _each(difference, before, after)


def _lines(features: Tensor) -> Iterator[Tensor]:
    """Some lines (w, h, c) of a feature map at a time in float64, in one order whatever the memory layout."""
    lines = features.permute(1, 2, 0)
    for line in lines.split(len(lines) if lines.is_cuda else LINES_AT_ONCE):
        yield line.double().contiguous()


def _cosines(features: Tensor, height: int, width: int) -> Tensor:
    """Cosine similarities (p, p) of the positions of (c, h, w); a position without features resembles nothing."""
    exact = features.double().contiguous()  # the order of a sum may follow the memory layout
    vectors = functional.adaptive_avg_pool2d(exact, (height, width)).flatten(1)  # (c, p)
    lengths = torch.linalg.vector_norm(vectors, dim=0)
    vectors = vectors / torch.where(lengths > 0, lengths, 1.0)
    return vectors.mT @ vectors


@torch.no_grad()
def _each(measure: Callable[[Tensor, Tensor], Tensor], before: Tensor, after: Tensor) -> Tensor:
    """The number of every pair (c, h, w), computed alone in float64, where the features lie if that has it."""
    if before.shape != after.shape or before.ndim != 4:
        raise ValueError(
            f"expected pairs of features of one shape (n, c, h, w), got {tuple(before.shape)} and {tuple(after.shape)}"
        )
    if not (before.is_floating_point() and after.is_floating_point()):
        raise ValueError(f"expected float features, got {before.dtype} and {after.dtype}")
    device = exact_device(before.device)
    numbers = torch.empty(len(before), dtype=torch.float64, device=device)
    for index, pair in enumerate(zip(before, after, strict=True)):
        numbers[index] = measure(*(features.to(device) for features in pair))
    return numbers.cpu()
