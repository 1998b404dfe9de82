"""From a method's settings to an objective for photos of one size and the styles that they shall have.

With the default conventions every term is a plain number: 1 is what features that are all zero would lose. So weights
mean the same for every network, layer and size.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from cyclestyle.images import Images
from cyclestyle.styling.gram import gram_loss
from cyclestyle.styling.histogram import histogram_loss
from cyclestyle.styling.kernel_mmd import Draws, gaussian_mmd, pair_distance
from cyclestyle.styling.mdan import Judge
from cyclestyle.styling.moments import Moments, covariance, in_units_of
from cyclestyle.styling.mrf import mrf_loss
from cyclestyle.styling.objective import ContentTerm, MapTerm, MomentTerm, PixelTerm
from cyclestyle.styling.recipes import Layers, StylingSettings
from cyclestyle.styling.smoothness import total_variation, value_range
from cyclestyle.styling.statistics import linear_mmd, mean_std_loss, polynomial_mmd, square_root, wasserstein

HISTOGRAM_TAPS = ("relu1_1", "relu4_1")
"""Of Wilmot et al. 2017."""
HISTOGRAM_BINS = 256
"""Of theirs too. Measured: within 0.1 % of exact matching, six times as fast."""
MRF_STRIDE = 2
"""Positions between patches: Li and Wand's code; the cost goes with the square of their number."""


def content_terms(
    network: Callable[[Images, Sequence[str]], dict[str, Tensor]],
    photos: Images,
    layers: Layers,
    wanted: StylingSettings,
) -> list[ContentTerm]:
    """Features near the photos': |F - P|^2 / |P|^2, the mean over the layers."""
    if wanted.content_weight == 0:
        return []
    terms = []
    with torch.no_grad():
        for tap, target in network(photos, layers.content).items():
            weight = target.new_full((len(target),), wanted.content_weight / len(layers.content))
            scale = in_units_of(target.square().flatten(1).sum(1), weight)
            terms.append(ContentTerm(tap, target.clone(), scale))
    return terms


def moment_terms(
    wanted: StylingSettings,
    layers: Layers,
    targets: dict[str, Moments],
    pixels: int,
    guidance: dict[str, Tensor] | None = None,
) -> list[MomentTerm]:
    """Style terms that are sums over positions, the mean over the layers.

    Args:
        wanted: names the method.
        layers: where.
        targets: of the styles, by layer.
        pixels: of a photo; one of the published conventions divides by it.
        guidance: how much each position counts, by layer.
    """
    weight = style_weight(wanted) / len(layers.style)
    return [
        MomentTerm(tap, weight, _between(wanted, targets[tap], pixels), targets[tap], (guidance or {}).get(tap))
        for tap in layers.style
    ]


def style_weight(wanted: StylingSettings) -> float:
    """As it is given, or as the method has it."""
    return wanted.recipe.style_weight if wanted.style_weight is None else wanted.style_weight


def _between(wanted: StylingSettings, target: Moments, pixels: int) -> Callable[[Moments, Moments], Tensor]:
    """The method's distance of moments."""
    if wanted.method == "statistics":
        return mean_std_loss
    if wanted.method == "wasserstein":
        return partial(wasserstein, root=square_root(covariance(target)))  # the style's half of the work, once
    if wanted.method == "mmd":
        return linear_mmd if wanted.kernel == "linear" else polynomial_mmd
    return partial(gram_loss, convention=wanted.convention, image_positions=pixels)


def map_terms(
    wanted: StylingSettings, layers: Layers, styles: Sequence[dict[str, Tensor]], draws: Sequence[Mapping[str, Draws]]
) -> list[MapTerm]:
    """Style terms that look at whole maps, the mean over the layers; each picture has a style of its own.

    Args:
        wanted: names the method.
        layers: where.
        styles: of each picture, its style's features at each layer, (1, c, h, w).
        draws: of each picture, where positions are drawn: with a Gaussian kernel.
    """
    weight = style_weight(wanted) / len(layers.style)
    if wanted.method == "histogram":
        taps = histogram_taps(layers)
        weight = style_weight(wanted) * wanted.histogram_weight / len(taps)
        compare = partial(histogram_loss, bins=HISTOGRAM_BINS)
        return [MapTerm("histogram", tap, weight, _each(compare, tap, styles)) for tap in taps]
    between: dict[str, Callable[[str], Callable[[Tensor], Tensor]]] = {
        "mmd": lambda tap: _gaussian([style[tap] for style in styles], [draw[tap] for draw in draws]),
        "mrf": lambda tap: _each(partial(mrf_loss, stride=MRF_STRIDE), tap, styles),
    }
    return [MapTerm("style", tap, weight, between[wanted.method](tap)) for tap in layers.style]


def histogram_taps(layers: Layers) -> list[str]:
    """Where histograms are matched."""
    return [tap for tap in layers.style if tap in HISTOGRAM_TAPS] or [layers.style[0]]


def _gaussian(styles: Sequence[Tensor], draws: Sequence[Draws]) -> Callable[[Tensor], Tensor]:
    """With bandwidths that follow from the styles alone, at positions that are drawn at each step."""
    widths = [pair_distance(style, style, seed=draw.seed).item() for style, draw in zip(styles, draws, strict=True)]

    def loss(features: Tensor) -> Tensor:
        each = zip(features.split(1), styles, widths, draws, strict=True)
        found = [gaussian_mmd(own, style, bandwidth=width, seed=draw.next()) for own, style, width, draw in each]
        return torch.cat(found)

    return loss


def judged_terms(
    wanted: StylingSettings, layers: Layers, styles: Sequence[dict[str, Tensor]], judges: Sequence[Mapping[str, Judge]]
) -> list[MapTerm]:
    """Style terms of discriminators, each picture's own, which learn a step each time that they are asked."""

    def told(tap: str) -> Callable[[Tensor], Tensor]:
        def loss(features: Tensor) -> Tensor:
            found = []
            for own, style, judge in zip(features.split(1), styles, judges, strict=True):
                judge[tap].learn(own, style[tap])
                found.append(judge[tap].loss(own))
            return torch.cat(found)

        return loss

    weight = style_weight(wanted) / len(layers.style)
    return [MapTerm("style", tap, weight, told(tap)) for tap in layers.style]


def pixel_terms(wanted: StylingSettings) -> list[PixelTerm]:
    """What is asked of the pixels themselves."""
    terms = []
    if wanted.variation_weight:
        vary = partial(total_variation, kind=wanted.variation)
        terms.append(PixelTerm("variation", wanted.variation_weight, vary))
    if wanted.range_weight:
        terms.append(PixelTerm("range", wanted.range_weight, value_range))
    return terms


def _each(
    compare: Callable[[Tensor, Tensor], Tensor], tap: str, styles: Sequence[dict[str, Tensor]]
) -> Callable[[Tensor], Tensor]:
    """Every picture against its own style, whose map may have another size than the others'."""

    def loss(features: Tensor) -> Tensor:
        return torch.cat([compare(features[index : index + 1], style[tap]) for index, style in enumerate(styles)])

    return loss
