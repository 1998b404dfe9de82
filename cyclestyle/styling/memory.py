"""How much memory a picture will take, before it is begun; and tiles, where there is not enough."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call

from cyclestyle.capacity import free_memory
from cyclestyle.networks.extractors import Extractor
from cyclestyle.styling.terms import histogram_taps
from cyclestyle.styling.tiles import grid
from cyclestyle.styling.workshop import Workshop

SHARE = 0.6
"""Of the free memory that is planned with: others need some too, and an estimate is one."""
TILES = (2048, 1536, 1024, 768, 512, 384, 256, 128)
"""Sides that are tried, the largest first: the smaller a tile, the more its border costs."""
MATCHED, MATCHING = 12, 24
"""Bytes for each value whose histogram is matched, for the style's and, in float64, how far it is from it; and of the
largest of these maps while it is matched: in float64 its own, the style's, and what it is to become."""
PASSING = 3
"""Maps of the widest layer that exist beside those which are kept for the way back."""


def estimate(workshop: Workshop, pictures: int, size: tuple[int, int], side: int | None) -> int:
    """Bytes that a batch will take, without the program and the network's weights.

    Args:
        workshop: what they are made with.
        pictures: computed at once.
        size: height and width.
        side: of tiles; None: whole pictures.
    """
    height, width = size
    network, taps, wanted = workshop.network, workshop.taps, workshop.wanted
    picture = 4 * 3 * height * width
    extent = size
    if side is not None:
        cover = grid(network, taps, torch.empty(1, 3, height, width, device="meta"), side)
        extent = (
            max(tile.rows.cut_stop - tile.rows.cut_start for tile in cover.tiles),
            max(tile.columns.cut_stop - tile.columns.cut_start for tile in cover.tiles),
        )
    values = _values(network, taps, size)
    targets = 4 * sum(values[tap] for tap in workshop.layers.content) if wanted.content_weight else 0
    if wanted.method == "histogram":
        matched = [values[tap] for tap in histogram_taps(workshop.layers)]
        targets += MATCHED * sum(matched) + MATCHING * max(matched)
    # SciPy takes float64, and makes a Python object of every bound
    own = {"adam": 6, "lbfgs": 2 * wanted.history + 8, "lbfgsb": 4 * wanted.history + 80}[wanted.optimizer]
    return pictures * (way_back(network, taps, extent) + targets + own * picture)


def way_back(network: Extractor, taps: Sequence[str], size: tuple[int, int]) -> int:
    """Bytes of one picture's features that are kept until its gradient has passed, and of those on their way.

    Found by sending a picture without content through: every layer says what it would keep.
    """
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        return tensor

    weights = {name: tensor.detach() for name, tensor in (*network.named_parameters(), *network.named_buffers())}
    weightless = {name: tensor.to("meta") for name, tensor in weights.items()}
    picture = torch.empty(1, 3, *size, device="meta", requires_grad=True)
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        found = functional_call(network, weightless, (picture, taps))
    own = {tensor.untyped_storage()._cdata for tensor in weightless.values()}
    features = sum(4 * tensor.numel() for tensor in found.values())
    maps = [size for place, size in kept.items() if place not in own]
    return sum(maps) + features + PASSING * max(maps)


def _values(network: Extractor, taps: Sequence[str], size: tuple[int, int]) -> dict[str, int]:
    weights = {name: tensor.to("meta") for name, tensor in (*network.named_parameters(), *network.named_buffers())}
    with torch.no_grad():
        found = functional_call(network, weights, (torch.empty(1, 3, *size, device="meta"), taps))
    return {tap: tensor.numel() for tap, tensor in found.items()}


def tiles_for(
    workshop: Workshop, pictures: int, size: tuple[int, int], asked: int | Literal["auto", "off"]
) -> int | None:
    """The side of tiles; None: whole pictures.

    Args:
        workshop: what is made with.
        pictures: at once.
        size: height and width.
        asked: a side, "off", or "auto": whole if there is memory for it, else the largest tiles that fit.

    Raises:
        ValueError: nothing fits.
    """
    can = workshop.wanted.streams
    if asked == "off":
        return None
    if asked != "auto":
        return asked
    there = int(SHARE * free_memory(workshop.device))
    for side in (None, *(side for side in TILES if can and side < max(size))):
        needed = estimate(workshop, pictures, size, side)
        if needed <= there:
            return side
    raise ValueError(
        f"{pictures} x {size[1]} x {size[0]} pixels (width x height) need about {needed / 1e9:.1f} GB, and "
        f"{there / 1e9:.1f} GB can be used; lower --size or --batch, or take another method or optimizer"
    )
