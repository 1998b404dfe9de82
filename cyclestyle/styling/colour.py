"""Colour transfer: a photo takes the palette of paintings, and nothing else changes.

Reinhard, Ashikhmin, Gooch, Shirley, "Color transfer between images", IEEE Computer Graphics and Applications 21(5),
2001: in a space whose axes are nearly uncorrelated on natural scenes, match the mean and the standard deviation of
every axis. That space is l-alpha-beta of Ruderman, Cronin, Chiao, "Statistics of cone responses to natural images",
JOSA A 15(8), 1998: the logarithms of the cone responses L, M, S, rotated into l (light against dark), alpha (yellow
against blue) and beta (red against green). It is NOT the CIE's L*a*b*; wherever this module says `lab`, it means
l-alpha-beta.

Differences from the paper, all three for exactness:
- black has no logarithm, so one 8-bit step is added to every RGB channel before, and taken off after (`LOG_OFFSET`);
  the way back stays exact, and greys keep constant alpha and beta;
- the inverse of the RGB -> LMS matrix is computed; the one printed in the paper is off by up to 0.02;
- an axis on which a picture is flat takes the target's mean (the paper would divide 0 by 0).
As in the paper, RGB values enter as they are stored: the display's gamma is not undone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from cyclestyle.images import Images

# Reinhard et al. 2001, eq. 4: RGB -> cone responses
LMS_FROM_RGB = (
    (0.3811, 0.5783, 0.0402),
    (0.1967, 0.7244, 0.0782),
    (0.0241, 0.1288, 0.8444),
)
# Reinhard et al. 2001, eq. 6 (Ruderman et al. 1998): log LMS -> l, alpha, beta, each row still to be made of length 1
LALPHABETA_FROM_LOG_LMS = (
    (1.0, 1.0, 1.0),
    (1.0, 1.0, -2.0),
    (1.0, -1.0, 0.0),
)
LOG_OFFSET = 1 / 255  # of the range [0, 1]: an 8-bit value v enters as (v + 1) / 255
# In decades (log10 units). A smaller deviation is no colour: float32 rounding makes 3e-6 of a black picture, while the
# rounding to 8 bits alone makes 5e-4 of a bright one.
FLAT_BELOW = 1e-5
LARGEST_DECADE = 100.0  # bounds log LMS on the way back: 10^100 is finite, and white long before


class ColourStatistics(NamedTuple):
    """Mean and population standard deviation of the pixels' l, alpha, beta (not CIELAB), in decades (log10 units)."""

    mean: Tensor  # (3,) float64
    std: Tensor  # (3,) float64


@dataclass(frozen=True)
class ColourMoments:
    """What must be remembered of pixels to pool them with others exactly: add two, and have the moments of both sets.

    Squares are summed around the mean, not around 0, so nothing cancels however many pixels there are:
    Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979, eq. 2.1.
    """

    count: int  # pixels
    mean: Tensor  # (3,) float64: of l, alpha, beta
    squares: Tensor  # (3,) float64: sum of the squared deviations from that mean

    @classmethod
    def of(cls, images: Images) -> "ColourMoments":
        """The moments of all pixels of (n, 3, h, w) pictures in [-1, 1]; values outside are clamped first."""
        return cls.of_lalphabeta(rgb_to_lalphabeta(images.clamp(-1, 1)))

    @classmethod
    def of_lalphabeta(cls, lalphabeta: Tensor) -> "ColourMoments":
        """The moments of all pixels of (n, 3, h, w) pictures that are l, alpha, beta already."""
        pixels = lalphabeta.double().movedim(1, 0).flatten(1)  # (3, n h w)
        count = pixels.shape[1]
        if count == 0:
            raise ValueError(f"colour statistics need at least one pixel, got shape {tuple(lalphabeta.shape)}")
        mean = pixels.mean(1)
        return cls(count, mean, (pixels - mean[:, None]).square().sum(1))

    def __add__(self, other: "ColourMoments") -> "ColourMoments":
        count = self.count + other.count
        step = other.mean - self.mean
        squares = self.squares + other.squares + step.square() * (self.count * other.count / count)
        return ColourMoments(count, self.mean + step * (other.count / count), squares)

    def statistics(self) -> ColourStatistics:
        """Mean and population standard deviation."""
        return ColourStatistics(self.mean, (self.squares / self.count).sqrt())


def lab_statistics(images: Images) -> ColourStatistics:
    """The statistics of l, alpha, beta (not CIELAB), pooled over every pixel of a batch.

    Args:
        images: (n, 3, h, w) float, RGB in [-1, 1].

    Returns:
        Mean and standard deviation, (3,) float64 each.

    Raises:
        ValueError: not a batch of float RGB pictures, or one without pixels.
    """
    return ColourMoments.of(images).statistics()


def pooled_lab_statistics(batches: Iterable[Images]) -> ColourStatistics:
    """`lab_statistics` of all pixels of many batches, of any sizes, of which only one is in memory at a time.

    Args:
        batches: (n, 3, h, w) float each, RGB in [-1, 1]; n, h and w may change from one to the next.

    Returns:
        Mean and standard deviation, (3,) float64 each: every pixel counts the same, so larger pictures weigh more.

    Raises:
        ValueError: there are no batches, or one is not a batch of float RGB pictures.
    """
    total: ColourMoments | None = None
    for images in batches:
        moments = ColourMoments.of(images)
        total = moments if total is None else total + moments
    if total is None:
        raise ValueError("colour statistics need at least one picture, none was given")
    return total.statistics()


@torch.no_grad()
def reinhard(images: Images, target: ColourStatistics) -> Images:
    """Every picture, given the target's colour statistics: Reinhard et al. 2001, eqs. 10 and 11.

    Every picture has its own mean and deviation, so its result does not depend on its batch.

    Args:
        images: (n, 3, h, w) float, RGB in [-1, 1]; values outside are clamped first.
        target: of one painting or of many (`lab_statistics`, `pooled_lab_statistics`).

    Returns:
        (n, 3, h, w) in [-1, 1], of the pictures' dtype. What leaves the range is clamped: only then do the statistics
        miss the target.

    Raises:
        ValueError: not a batch of float RGB pictures.
    """
    _require_pictures(images)
    results = torch.empty_like(images)
    for index in range(len(images)):  # one at a time: large pictures in float64 are what fills a memory
        lalphabeta = rgb_to_lalphabeta(images[index : index + 1].clamp(-1, 1))
        results[index] = lalphabeta_to_rgb(_matched(lalphabeta, target))[0].clamp(-1, 1)
    return results


def rgb_to_lalphabeta(images: Images) -> Tensor:
    """RGB in [-1, 1] -> Ruderman's l, alpha, beta in decades, float64: Reinhard et al. 2001, eqs. 4-6.

    Args:
        images: (n, 3, h, w) float. Black is the darkest there is; what `lalphabeta_to_rgb` returned may lie below.

    Returns:
        (n, 3, h, w) float64.

    Raises:
        ValueError: not a batch of float RGB pictures.
    """
    _require_pictures(images)
    rgb = (images.double() + 1) / 2 + LOG_OFFSET
    log_lms = torch.log10(_mix(rgb.new_tensor(LMS_FROM_RGB), rgb))
    return _mix(_rotation(rgb), log_lms)


def lalphabeta_to_rgb(lalphabeta: Tensor) -> Images:
    """The exact inverse of `rgb_to_lalphabeta`: (n, 3, h, w) float64 -> RGB, in [-1, 1] if it came from there.

    Finite for every finite input: cone responses are kept below 10^100.
    """
    log_lms = _mix(_rotation(lalphabeta).mT, lalphabeta)  # a rotation's inverse is its transpose
    lms = 10 ** log_lms.clamp(-LARGEST_DECADE, LARGEST_DECADE)
    rgb = _mix(torch.linalg.inv(lms.new_tensor(LMS_FROM_RGB)), lms)
    return (rgb - LOG_OFFSET) * 2 - 1


def _matched(lalphabeta: Tensor, target: ColourStatistics) -> Tensor:
    """One picture (1, 3, h, w) of l, alpha, beta, moved and stretched to the target's statistics."""
    own = ColourMoments.of_lalphabeta(lalphabeta).statistics()
    mean, std = target.mean.to(lalphabeta), target.std.to(lalphabeta)
    scale = torch.where(own.std < FLAT_BELOW, 0.0, std / own.std)
    own_mean, mean, scale = (axis.view(1, 3, 1, 1) for axis in (own.mean, mean, scale))
    return (lalphabeta - own_mean) * scale + mean


def _rotation(like: Tensor) -> Tensor:
    """log LMS -> l, alpha, beta as an orthonormal (3, 3) matrix: the rows' lengths are sqrt(3), sqrt(6), sqrt(2)."""
    rows = like.new_tensor(LALPHABETA_FROM_LOG_LMS)
    return rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True)


def _mix(matrix: Tensor, images: Tensor) -> Tensor:
    """A (3, 3) matrix applied to the channels of (n, 3, h, w)."""
    return torch.einsum("dc,nchw->ndhw", matrix, images)


def _require_pictures(images: Images) -> None:
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"expected RGB pictures of shape (n, 3, h, w), got {tuple(images.shape)}")
    if not images.is_floating_point():
        raise ValueError(f"expected float pictures with values in [-1, 1], got {images.dtype}")
