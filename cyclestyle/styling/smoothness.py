"""What is asked of pixels alone: that neighbours are alike, and that a screen can show them.

Total variation is many formulas under one name; `total_variation` has them by name. All are means over pixels and
channels, so that a weight does not depend on a picture's size; sources that sum have weights that are smaller by
3 h w. Pixels are in [-1, 1] here: on a picture in [0, 1] what is squared would be a quarter.
"""

from typing import get_args

import torch
from torch import Tensor

from cyclestyle.images import Images
from cyclestyle.styling.recipes import VariationKind

KERAS_BETA = 2.5


def total_variation(images: Images, kind: VariationKind = "squared", *, beta: float = 2.0) -> Tensor:
    """How much neighbouring pixels differ; with dx to the right neighbour and dy to that below:

    - "squared": mean dx^2 + mean dy^2 (Magenta; Johnson, Alahi, Fei-Fei 2016 sum it);
    - "absolute": mean |dx| + mean |dy| (neural-style-pt sums it);
    - "mahendran": mean (dx^2 + dy^2)^(beta / 2) (Mahendran, Vedaldi, "Understanding deep image representations by
      inverting them", CVPR 2015, who sum it);
    - "isotropic": that for beta = 1, the total variation of Rudin, Osher, Fatemi 1992;
    - "keras": that for beta = 2.5 (the Keras example sums it);
    - "nine-point": 2/3 of "squared" and 1/6 of mean dxy^2 + mean dyx^2, to the two lower diagonal neighbours
      (crowsonkb's style-transfer-pytorch, which also counts pairs across the border, of which the straight ones have
      difference 0).

    "squared", "absolute" and "nine-point" are the same for a picture that is mirrored, all for one that is transposed.
    The gradient is finite everywhere; where it is not defined (a constant picture, beta <= 1) it is 0.

    Args:
        images: (n, 3, h, w) float, of at least 2 x 2 pixels.
        kind: which of the formulas.
        beta: of "mahendran" only, above 0.

    Returns:
        (n,) float64, 0 for a picture of one colour. A ramp of slope s along one side has s^2 by "squared" and
        "nine-point", |s| by "absolute" and "isotropic", |s|^beta by "mahendran".

    Raises:
        ValueError: an unknown kind, beta <= 0, no pictures or too small ones.
    """
    if images.ndim != 4 or not images.is_floating_point() or min(images.shape[-2:]) < 2:
        raise ValueError(
            f"expected float pictures (n, 3, h, w) of at least 2 x 2 pixels, got {images.dtype} {tuple(images.shape)}"
        )
    if beta <= 0:
        raise ValueError(f"expected a beta above 0, got {beta}; 2 is usual")
    x = images.double()
    across, down = x.diff(dim=3), x.diff(dim=2)
    if kind == "squared":
        return _mean(across.square()) + _mean(down.square())
    if kind == "absolute":
        return _mean(across.abs()) + _mean(down.abs())
    if kind == "nine-point":
        straight = _mean(across.square()) + _mean(down.square())
        falling, rising = x[..., 1:, 1:] - x[..., :-1, :-1], x[..., 1:, :-1] - x[..., :-1, 1:]
        return 2 / 3 * straight + (_mean(falling.square()) + _mean(rising.square())) / 6
    exponents = {"isotropic": 0.5, "keras": KERAS_BETA / 2, "mahendran": beta / 2}
    if kind in exponents:
        # where both neighbours are
        return _mean(_power(across[..., :-1, :].square() + down[..., :-1].square(), exponents[kind]))
    raise ValueError(f"there is no total variation {kind!r}; choose one of {', '.join(get_args(VariationKind))}")


def value_range(images: Images, low: float = -1.0, high: float = 1.0) -> Tensor:
    """The mean over pixels and channels of the square by which values are below `low` or above `high`.

    For optimisers that know no bounds: values clamped after an L-BFGS step spoil the curvature that it has gathered.

    Args:
        images: (n, 3, h, w) float.
        low: the smallest value that costs nothing.
        high: the largest.

    Returns:
        (n,) float64, 0 for a picture in range.

    Raises:
        ValueError: low is not below high.
    """
    if not low < high:
        raise ValueError(f"expected low < high, got {low} and {high}; pictures are in -1 to 1")
    x = images.double()
    return _mean((x - x.clamp(low, high)).square())


def _power(squares: Tensor, exponent: float) -> Tensor:
    """squares^exponent, with gradient 0 at 0: below an exponent of 1 its true slope there is infinite."""
    above = squares > 0
    # The inner `where` keeps infinity out of the gradient, which the outer one would multiply by 0.
    return torch.where(above, torch.where(above, squares, 1.0) ** exponent, 0.0)


def _mean(values: Tensor) -> Tensor:
    """(n, ...) -> (n,)"""
    return values.flatten(1).mean(1)
