"""Stylisation with activation smoothing (SWAG): features through a softmax, so that Gram matrices of ResNets can style.

Wang, Li, Vasconcelos, "Rethinking and improving the robustness of image style transfer", CVPR 2021 (arXiv 2104.05623):
residual branches make a few activations large, and a Gram matrix sees hardly anything else. So features are replaced by
their softmax over all channels and positions of a picture, in the content loss as in the style loss.

What it does: the entropy of the result grows with the temperature, up to that of a constant, ln(c h w). What it need
not do is to raise the entropy of the features: at temperature 1 it raises that of features whose largest stays well
below ln(c h w), and lowers that of others, where one activation then takes it all (relu3_1 of VGG-19 reaches 44 on a
painting of 256 x 256, where ln(c h w) is 13.9: from 12.5 to 1.3). So look at the range of a layer's features, and
choose a temperature for it.

The authors' published code does not take the softmax; it multiplies the deeper layers by 0.001. This is the paper.
"""

import torch
from torch import Tensor

from cyclestyle.styling.gram import gram_loss
from cyclestyle.styling.moments import moments
from cyclestyle.styling.recipes import Convention


def smooth(features: Tensor, temperature: float = 1.0, *, mean_one: bool = False) -> Tensor:
    """The softmax of a picture's features over all of its channels and positions.

    Args:
        features: (n, c, h, w) float.
        temperature: features are divided by it before; 1 is the paper's.
        mean_one: multiply by c h w, so that the mean is 1 instead of the sum. The softmax of a map of twice the
            positions is half as large, and its Gram matrix over the positions a quarter: with it maps of different
            sizes can be compared. Losses that are relative do not see it where the sizes are the same.

    Returns:
        (n, c, h, w) float64, all above or equal to 0, summing to 1 (or to c h w); finite for any finite features.

    Raises:
        ValueError: no feature maps, or a temperature that is not above 0.
    """
    if features.ndim != 4 or not features.is_floating_point() or min(features.shape) == 0:
        raise ValueError(f"expected float maps of shape (n, c, h, w), got {features.dtype} {tuple(features.shape)}")
    if not 0 < temperature < float("inf"):
        raise ValueError(f"expected a temperature above 0, got {temperature}; 1 is the paper's")
    flat = features.double().flatten(1) / temperature
    smoothed = torch.softmax(flat, dim=1)  # the largest is subtracted before exp
    if mean_one:
        smoothed = smoothed * flat.shape[1]
    return smoothed.view(features.shape)


def swag_loss(
    features: Tensor, style: Tensor, *, temperature: float = 1.0, convention: Convention = "relative"
) -> Tensor:
    """The Gram loss of smoothed features.

    Args:
        features: (n, c, h, w) float.
        style: (n or 1, c, h', w') float; no gradient goes there.
        temperature: of the softmax.
        convention: of `gram_loss`. "relative" smooths to mean one and is a plain number. All others smooth to sum
            one; the paper's is "gatys-paper", 1 / (4 D^2 M^2): about (c h w)^-4, 1e-24 for a large map, to be met by
            weights of that size, and for maps of one size only.

    Returns:
        (n,) float64.

    Raises:
        ValueError: maps that do not go together, or another convention than "relative" for maps of different sizes.
    """
    relative = convention == "relative"
    if not relative and features.shape[-2:] != style.shape[-2:]:
        (height, width), (of_style, across) = features.shape[-2:], style.shape[-2:]
        raise ValueError(
            f"the output's features are {height} x {width}, the style's {of_style} x {across} (height x width), and a "
            "softmax that sums to one depends on the size; give both one size, or use the convention relative"
        )
    seen = moments(smooth(features, temperature, mean_one=relative))
    return gram_loss(seen, moments(smooth(style.detach(), temperature, mean_one=relative)), convention)
