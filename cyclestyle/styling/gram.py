"""The Gram loss, in the conventions of all who published one, and what turns a weight of one into that of another.

Gatys, Ecker, Bethge, "Image style transfer using convolutional neural networks", CVPR 2016, eqs. 3 and 4. Everybody
compares the Gram matrices F F^T of the output (C channels, M positions) and S S^T of the style, few divide by the same:
one style weight means things that are many powers of ten apart. `SOURCES` says who divides by what.
"""

from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor

from cyclestyle.styling.moments import Moments, in_units_of, require_alike
from cyclestyle.styling.recipes import Convention


class Source(NamedTuple):
    """Who sums the squares of d = G / M - A / N in this way, and by what they divide that: `constant` C^`power`."""

    whose: str
    formula: str
    """As its source has it: mean and sum are over the C^2 entries."""
    constant: int
    power: int
    weights: str
    """Those of the source, for its own features: only beside them do they mean what they did there."""


SOURCES: dict[Convention, Source] = {
    "relative": Source(
        "ours: without a unit, so that one weight does for every layer of every network",
        "sum (G/M - A/N)^2 / sum (A/N)^2",
        1,
        0,
        "1 for every layer",
    ),
    "gatys-paper": Source(
        "Gatys et al. 2016, eqs. 4 and 5",
        "sum (G - A)^2 / (4 C^2 M^2)",
        4,
        2,
        "1/5 for each layer, content to style 1e-3 or 1e-4",
    ),
    "gatys-code": Source(
        "the PyTorch code of Gatys", "mean (G/M - A/N)^2, each layer over C^2", 1, 4, "style 1e3, content 1 (mean)"
    ),
    "neural-style": Source(
        "Johnson's neural-style and neural-style-pt",
        "mean (G/(C M) - A/(C N))^2",
        1,
        4,
        "style 1e2, content 5, variation 1e-3",
    ),
    "pytorch-examples": Source(
        "fast_neural_style of pytorch/examples", "mean (G/(C H W) - A/(C H W))^2", 1, 4, "style 1e10, content 1e5"
    ),
    "johnson": Source(
        "Johnson, Alahi, Fei-Fei, ECCV 2016, eqs. 3 and 4 (their code takes the mean)",
        "sum (G/(C H W) - A/(C H W))^2",
        1,
        2,
        "of the code: style 5, content 1, variation 1e-6",
    ),
    "magenta": Source(
        "Magenta's code for Dumoulin, Shlens, Kudlur, ICLR 2017",
        "mean (G/M - A/N)^2",
        1,
        2,
        "1e-4 for each of conv1 to conv4, content 1",
    ),
    "pystiche": Source("GramLoss of pystiche", "mean (G/M - A/N)^2", 1, 2, "style 1e3 in its example"),
    "swag": Source(
        "the code of Wang, Li, Vasconcelos, CVPR 2021", "mean (G/(C M) - A/(C M))^2", 1, 4, "style 1e17, content 1"
    ),
    "keras": Source(
        "the Keras example: 3 channels and the picture's M0 positions, whatever the layer",
        "sum (G - A)^2 / (4 3^2 M0^2)",
        36,
        0,
        "style 1/5 for each layer, content 0.025, variation 1",
    ),
    "crowsonkb": Source(
        "style-transfer-pytorch before its Wasserstein loss (there 1e-8 was added below)",
        "sum (G/M - A/N)^2 / sum |G/M - A/N|",
        1,
        0,
        "256 : 64 : 16 : 4 : 1 from shallow to deep, content 0.015, variation 2",
    ),
}


def gram_loss(
    output: Moments, target: Moments, convention: Convention = "relative", image_positions: int | None = None
) -> Tensor:
    """How far the Gram matrices of pictures are from those of their style, in a convention of `SOURCES`.

    Each Gram matrix is over its own number of positions, also where a source knows but one size: the style may be
    larger or smaller than the output, and that is Li et al. 2017's squared MMD of the kernel (x.y)^2.

    Args:
        output: of n pictures.
        target: of the style, one for all or one each.
        convention: whose.
        image_positions: pixels of the picture (height times width); for "keras" alone.

    Returns:
        (n,). For "crowsonkb" it is no square: it grows with the distance, and its gradient has no limit at 0; there
        it is given as 0.

    Raises:
        ValueError: moments that do not match, an unknown convention, "keras" without `image_positions`, or "relative"
            with a target that is 0.
    """
    require_alike(output, target)
    source = _source(convention)
    apart = output.second - target.second
    squares = apart.square().sum((1, 2))
    if convention == "relative":
        return in_units_of(target.second.square().sum((1, 2)), squares)
    if convention == "crowsonkb":
        total = apart.abs().sum((1, 2))
        return squares / torch.where(total > 0, total, 1)
    if convention == "keras":
        squares = squares * (output.positions / _image_positions(image_positions)).square()
    return squares / (source.constant * output.mean.shape[1] ** source.power)


def factor(
    convention: Convention,
    channels: int,
    positions: int,
    *,
    image_positions: int | None = None,
    target_size: float | None = None,
) -> float:
    """What a convention multiplies D = |F F^T - S S^T|^2 (Frobenius) by, for an output and a style of one size.

    Args:
        convention: any but "crowsonkb".
        channels: of the layer, C.
        positions: of the layer, M.
        image_positions: pixels of the picture; for "keras" alone.
        target_size: |S S^T / M|^2; for "relative" alone.

    Raises:
        ValueError: "crowsonkb", which is no multiple of D; or what the convention needs is missing.
    """
    return float(_factor(convention, channels, positions, image_positions, target_size))


def conversion(
    given: Convention,
    wanted: Convention,
    channels: int,
    positions: int,
    *,
    image_positions: int | None = None,
    target_size: float | None = None,
) -> float:
    """What to multiply a layer's style weight by, to have in the convention `wanted` the loss that it gave in `given`.

    The other arguments and the errors are those of `factor`; the quotient is exact and rounded once.
    """
    of_given, of_wanted = (
        _factor(convention, channels, positions, image_positions, target_size) for convention in (given, wanted)
    )
    return float(of_given / of_wanted)


def _factor(
    convention: Convention, channels: int, positions: int, image_positions: int | None, target_size: float | None
) -> Fraction:
    source = _source(convention)
    if channels < 1 or positions < 1:
        raise ValueError(f"expected 1 channel and 1 position or more, got {channels} and {positions}")
    if convention == "crowsonkb":
        raise ValueError(
            "crowsonkb divides by sum |G/M - A/N|, so its loss is no multiple of |F F^T - S S^T|^2 and its weights "
            "cannot be converted; choose another convention"
        )
    if convention == "keras":
        return Fraction(1, source.constant * _image_positions(image_positions) ** 2)
    if convention == "relative":
        if target_size is None or not 0 < target_size < float("inf"):
            raise ValueError(
                f"relative divides by the style's own size, so it needs target_size = |S S^T / M|^2 above 0, got "
                f"{target_size}; give `target.second.square().sum().item()`"
            )
        return 1 / (positions**2 * Fraction(target_size))
    return Fraction(1, source.constant * channels**source.power * positions**2)


def _source(convention: Convention) -> Source:
    if convention not in SOURCES:
        raise ValueError(f"there is no convention {convention!r}; choose one of {', '.join(SOURCES)}")
    return SOURCES[convention]


def _image_positions(given: int | None) -> int:
    if given is None or given < 1:
        raise ValueError(
            f"keras divides by the number of the picture's pixels, got {given}; give image_positions = height * width"
        )
    return given
