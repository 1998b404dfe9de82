"""Large pictures on small memory: the exact gradient of an objective, one tile at a time.

Style terms depend on a picture through sums over positions alone, and those can be added up tile by tile. With S the
sums at every layer, L the loss and x the pixels, dL/dx = (dL/dS)(dS/dx):

    first pass   every tile through the network, nothing kept but its share of S; then L and dL/dS, as for any picture
    second pass  every tile again, this time backwards, against the dL/dS that is known now

Content terms are sums over positions themselves. Matching each tile's own statistics instead, as is often done, has
another optimum: every tile then becomes a small picture of the whole style.

A tile is cut with a border as wide as its features see, and begins where all poolings do, so its features are those of
the whole picture.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cyclestyle.images import Images
from cyclestyle.networks.extractors import Extractor
from cyclestyle.networks.precision import full_fp32
from cyclestyle.styling.moments import Sums, sums
from cyclestyle.styling.objective import Evaluation, Objective, add_up


class Span(NamedTuple):
    """Along one axis, in pixels: what a tile owns, and what is cut out so that it can be seen."""

    start: int
    stop: int
    cut_start: int
    cut_stop: int

    def owned(self, stride: int, positions: int) -> tuple[slice, slice]:
        """Its positions at a layer: in the whole map, and in the tile's.

        Args:
            stride: pixels from one position to the next.
            positions: of the whole map.
        """
        first, last = self.start // stride, min(-(-self.stop // stride), positions)
        offset = self.cut_start // stride
        return slice(first, last), slice(first - offset, last - offset)


class Tile(NamedTuple):
    """A rectangle of a picture."""

    rows: Span
    columns: Span

    def cut(self, images: Images) -> Images:
        """With its border."""
        rows, columns = self.rows, self.columns
        return images[..., rows.cut_start : rows.cut_stop, columns.cut_start : columns.cut_stop]


class Grid(NamedTuple):
    """A picture's tiles, and how the network's layers lie on it."""

    tiles: list[Tile]
    strides: dict[str, int]
    sizes: dict[str, tuple[int, int]]
    """Of the whole picture's map at each layer: height and width."""

    def own(self, features: Mapping[str, Tensor], tile: Tile) -> dict[str, Tensor]:
        """A tile's features without those of its border."""
        return {tap: map_[..., *self._owned(tap, tile, 1)] for tap, map_ in features.items()}

    def part(self, whole: Tensor, tap: str, tile: Tile) -> Tensor:
        """What of a map of the whole picture (n, c, h, w) belongs to a tile."""
        return whole[..., *self._owned(tap, tile, 0)]

    def _owned(self, tap: str, tile: Tile, which: int) -> tuple[slice, slice]:
        height, width = self.sizes[tap]
        stride = self.strides[tap]
        return tile.rows.owned(stride, height)[which], tile.columns.owned(stride, width)[which]


def grid(network: Extractor, taps: Sequence[str], images: Images, side: int) -> Grid:
    """Cover pictures with tiles of about `side` pixels, their borders not counted.

    Raises:
        ValueError: `side` is smaller than one position of the deepest tap.
    """
    found = {tap: network.geometry(tap) for tap in taps}
    stride, reach = max(one.stride for one in found.values()), max(one.reach for one in found.values())
    if side < stride:
        raise ValueError(f"tiles of {side} pixels are smaller than a position of {taps[-1]}; give at least {stride}")
    sizes = {tap: map_size(network, tap, images) for tap in taps}

    def spans(axis: int) -> list[Span]:
        filled = min(found[tap].stride * sizes[tap][axis] for tap in taps)
        return list(_spans(images.shape[axis - 2], side // stride * stride, stride, reach, filled))

    tiles = [Tile(rows, columns) for rows in spans(0) for columns in spans(1)]
    return Grid(tiles, {tap: one.stride for tap, one in found.items()}, sizes)


def map_size(network: Extractor, tap: str, images: Images) -> tuple[int, int]:
    """Height and width of the features of pictures at a layer."""
    height, width = images.shape[-2:]
    for window in network.windows(tap):
        height, width = (window.places(size, network.padding) for size in (height, width))
    return height, width


def _spans(size: int, side: int, stride: int, reach: int, filled: int) -> Iterator[Span]:
    """Equal parts of an axis, but for the last; a rest in which some layer has no position joins it.

    Args:
        size: of the axis, in pixels.
        side: of a tile.
        stride: the largest of the layers.
        reach: the largest of the layers.
        filled: pixels that belong to a position of every layer.
    """
    starts = range(0, max(1, filled), side)
    for start, stop in zip(starts, [*starts[1:], size], strict=True):
        cut_start = max(0, (start - reach) // stride * stride)
        cut_stop = min(size, -(-(stop + reach) // stride) * stride)
        yield Span(start, stop, cut_start, cut_stop)


@torch.no_grad()
def streamed_sums(
    network: Extractor, images: Images, plan: Sequence[tuple[str, Tensor | None]], side: int
) -> list[Sums]:
    """The sums over positions at layers, each with its guidance, from tiles: those of the whole picture."""
    taps = tuple(dict.fromkeys(tap for tap, _ in plan))
    cover = grid(network, taps, images, side)
    total: list[Sums] | None = None
    for tile in cover.tiles:
        features = cover.own(network(tile.cut(images), taps), tile)
        found = [_sums(features, tap, guidance, cover, tile) for tap, guidance in plan]
        total = found if total is None else [one + other for one, other in zip(total, found, strict=True)]
    assert total is not None  # a picture has a tile
    return total


def _sums(features: Mapping[str, Tensor], tap: str, guidance: Tensor | None, cover: Grid, tile: Tile) -> Sums:
    return sums(features[tap], None if guidance is None else cover.part(guidance, tap, tile))


@torch.no_grad()
def streamed_maps(network: Extractor, images: Images, taps: Sequence[str], side: int) -> dict[str, Tensor]:
    """Whole maps of features, made in tiles."""
    cover, maps = grid(network, taps, images, side), {}
    for tile in cover.tiles:
        for tap, features in cover.own(network(tile.cut(images), taps), tile).items():
            if tap not in maps:
                maps[tap] = features.new_empty(*features.shape[:2], *cover.sizes[tap])
            cover.part(maps[tap], tap, tile).copy_(features)
    return maps


@full_fp32()
def in_tiles(objective: Objective, images: Images, side: int) -> Evaluation:
    """What `objective(images)` gives, up to rounding, in the memory that one tile takes.

    Raises:
        ValueError: there are terms that look at whole maps.
    """
    if objective.maps:
        names = ", ".join(sorted({term.name for term in objective.maps}))
        raise ValueError(f"{names} looks at whole pictures and cannot be computed in tiles; leave --tile out")
    network = objective.network
    if not isinstance(network, Extractor):
        raise ValueError("smoothed features cannot be computed in tiles: the softmax sees the whole picture")
    plan = [(term.tap, term.guidance) for term in objective.style]
    wanted = [Sums(*(part.requires_grad_() for part in one)) for one in _first_pass(network, images, plan, side)]
    pixels = images.detach().requires_grad_()
    parts = add_up([*objective.of_moments(one.moments() for one in wanted), *objective.of_pixels(pixels)], pixels)
    total = torch.stack([part.sum() for part in parts.values()]).sum()
    leaves = [pixels, *(part for one in wanted for part in one)]
    gradients = torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)
    slopes = [Sums(*gradients[1 + 3 * index : 4 + 3 * index]) for index in range(len(wanted))]
    gradient, content = _second_pass(objective, network, images, plan, slopes, side)
    parts = {name: part.detach() for name, part in parts.items() if name != "nothing"}
    if objective.content:
        parts = {"content": content} | parts
    return Evaluation(parts or {"nothing": content}, objective.held(gradients[0] + gradient))


def _first_pass(network: Extractor, images: Images, plan: Sequence[tuple[str, Tensor | None]], side: int) -> list[Sums]:
    return streamed_sums(network, images, plan, side) if plan else []


def _second_pass(
    objective: Objective,
    network: Extractor,
    images: Images,
    plan: Sequence[tuple[str, Tensor | None]],
    slopes: Sequence[Sums],
    side: int,
) -> tuple[Images, Tensor]:
    """The gradient through the network, and the content terms (n,)."""
    gradient, content = torch.zeros_like(images), images.new_zeros(len(images))
    if not objective.taps:
        return gradient, content
    cover = grid(network, objective.taps, images, side)
    for tile in cover.tiles:
        cut = tile.cut(images).detach().requires_grad_()
        features = cover.own(network(cut, objective.taps), tile)
        near = [term(features[term.tap], cover.part(term.target, term.tap, tile)) for term in objective.content]
        found = [_sums(features, tap, guidance, cover, tile) for tap, guidance in plan]
        pairs = [pair for sums_, by in zip(found, slopes, strict=True) for pair in zip(sums_, by, strict=True)]
        along = [(one * slope).sum() for one, slope in pairs if one.requires_grad]
        (part,) = torch.autograd.grad(torch.stack([*along, *(one.sum() for one in near)]).sum(), cut)
        tile.cut(gradient).add_(part)
        content = content + sum(one.detach() for one in near)
    return gradient, content


def whole_or_tiled(objective: Objective, side: int | None, images: Images) -> Evaluation:
    """Whole where there is no `side` of tiles."""
    return objective(images) if side is None else in_tiles(objective, images, side)
