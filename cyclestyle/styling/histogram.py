"""Histogram losses: every channel of the features shall have the values that it has in the style, as often.

Wilmot, Risser, Barnes, "Stable and controllable neural texture synthesis and style transfer using histogram losses",
2017 (arXiv 1701.08893): L = |F - R(F)|^2, where R(F) is F with each channel's histogram made that of the
style, and held constant in the gradient. Gram matrices leave open how a channel's values are spread around their mean;
this does not.

Differences from the paper: matching is exact, by ranks, unless `bins` are asked for (the paper has 256); and the loss
is relative to the size of the style's features, unless another convention is asked for (the paper has "sum").
"""

import torch
from torch import Tensor

from cyclestyle.styling.maps import MapConvention, in_convention, pairs

VALUES_AT_ONCE = 1 << 21
"""Of a map's channels, so that sorting them takes about 200 MB however large the map is."""


def histogram_loss(
    features: Tensor, style: Tensor, *, bins: int | None = None, convention: MapConvention = "relative"
) -> Tensor:
    """Squared differences between features and what they would be with the style's histograms.

    Its gradient is 2 (F - R(F)), over C M for "mean".

    Args:
        features: (n, c, h, w) float.
        style: (n or 1, c, h', w') float, of any size.
        bins: as in `match`.
        convention: "sum" |F - R(F)|^2 (the paper); "mean" that over C M; "relative" the mean over that of the style's
            squared features, a plain number that can be compared between layers and networks.

    Returns:
        (n,) float64, 0 where the features have the style's histograms already.

    Raises:
        ValueError: maps that do not go together, bins < 1, an unknown convention, "relative" to a style that is all 0.
    """
    matched, losses = match(features, style, bins=bins), []
    for (own, other), wanted in zip(pairs(features, style), matched, strict=True):
        losses.append(in_convention((own - wanted).square().sum(), own.numel(), [other], convention))
    return torch.stack(losses)


@torch.no_grad()
def match(features: Tensor, style: Tensor, *, bins: int | None = None) -> Tensor:
    """Features with the histograms of the style, channel by channel; larger values stay larger.

    The k-th smallest of M values becomes the (k - 1/2) / M quantile of the style's, interpolated where the style has
    not M values. Equal values (half of a map may be the zeros of a ReLU) stay equal: they share the mean of the
    quantiles that they take up. To break the tie by position would draw a pattern into the picture; the gradient of
    the loss is the mean over all ways of breaking it.

    Args:
        features: (n, c, h, w) float.
        style: (n or 1, c, h', w') float, of any size.
        bins: None sorts, which is exact: O(c h w log(h w)). Else values of one of as many equal bins, from a channel's
            smallest value to its largest, are taken for equal, in the style as in the features; less exact, as soon as
            one value is far from all others much less.

    Returns:
        (n, c, h, w) float64, without gradient.

    Raises:
        ValueError: maps that do not go together, or bins < 1.
    """
    if bins is not None and bins < 1:
        raise ValueError(f"expected 1 bin or more, got {bins}; the paper has 256, and None matches exactly")
    results = torch.empty_like(features, dtype=torch.float64, memory_format=torch.contiguous_format)
    for (own, other), result in zip(pairs(features, style), results.flatten(2), strict=True):
        own, other = own.flatten(1), other.flatten(1)
        step = max(1, VALUES_AT_ONCE // max(own.shape[1], other.shape[1]))
        for start in range(0, len(own), step):
            part = slice(start, start + step)
            result[part] = _sorted(own[part], other[part]) if bins is None else _binned(own[part], other[part], bins)
    return results


def _sorted(own: Tensor, style: Tensor) -> Tensor:
    """Each row of (c, m), given the distribution of the same row of (c, k)."""
    values, order = own.sort(dim=1, stable=True)
    wanted = _shared_by_equals(values, _quantiles(style.sort(dim=1).values, own.shape[1]))
    return torch.empty_like(own).scatter_(1, order, wanted)


def _quantiles(ascending: Tensor, count: int) -> Tensor:
    """As many evenly spread quantiles of each sorted row (c, k) -> (c, count); of k = count, the values themselves."""
    given = ascending.shape[1]
    places = (torch.arange(count, dtype=torch.float64, device=ascending.device) + 0.5) * (given / count) - 0.5
    places = places.clamp(0, given - 1)
    below = places.floor().long()
    above = (below + 1).clamp(max=given - 1)
    return torch.lerp(ascending[:, below], ascending[:, above], places - below)


def _shared_by_equals(values: Tensor, wanted: Tensor) -> Tensor:
    """The mean of `wanted` (c, m) over every run of equal `values` (c, m), which are sorted."""
    fresh = torch.ones_like(values, dtype=torch.bool)
    fresh[:, 1:] = values[:, 1:] != values[:, :-1]
    run = fresh.cumsum(1) - 1
    places = torch.arange(values.shape[1], device=values.device).expand_as(run)
    first = wanted.gather(1, torch.where(fresh, places, 0).cummax(1).values)
    # Around the run's first, so that a run of one wanted value keeps it to the last bit.
    over = torch.zeros_like(wanted).scatter_add_(1, run, wanted - first)
    lengths = torch.zeros_like(wanted).scatter_add_(1, run, torch.ones_like(wanted))
    return first + (over / lengths.clamp(min=1)).gather(1, run)


def _binned(own: Tensor, style: Tensor, bins: int) -> Tensor:
    """`_sorted` for values known no closer than their bin: each bin becomes the mean of the quantiles it takes up."""
    bin_of, counts, _ = _histogram(own, bins)
    _, style_counts, style_sums = _histogram(style, bins)
    # Over shares of the values from 0 to 1, the style's quantile function has the integral `reached`.
    ends = counts.cumsum(1) / own.shape[1]
    style_ends = _from_zero(style_counts.cumsum(1) / style.shape[1])
    reached = _from_zero(style_sums.cumsum(1) / style.shape[1])
    upper = torch.searchsorted(style_ends, ends.contiguous()).clamp(1, bins)
    left, right = style_ends.gather(1, upper - 1), style_ends.gather(1, upper)
    share = ((ends - left) / (right - left).clamp(min=torch.finfo(ends.dtype).tiny)).clamp(0, 1)
    integral = _from_zero(torch.lerp(reached.gather(1, upper - 1), reached.gather(1, upper), share))
    return (integral.diff(dim=1) * own.shape[1] / counts.clamp(min=1)).gather(1, bin_of)


def _histogram(values: Tensor, bins: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of each row (c, m) its values' bins (c, m), how many values each bin has, and their sums (c, bins)."""
    low, high = values.aminmax(dim=1, keepdim=True)
    width = (high - low).clamp(min=torch.finfo(values.dtype).tiny)
    bin_of = ((values - low) / width * bins).long().clamp(0, bins - 1)
    empty = values.new_zeros(len(values), bins)
    counts = empty.scatter_add(1, bin_of, torch.ones_like(values))
    return bin_of, counts, empty.scatter_add(1, bin_of, values)


def _from_zero(row: Tensor) -> Tensor:
    """(c, k) -> (c, k + 1): a 0 before each row."""
    return torch.nn.functional.pad(row, (1, 0))
