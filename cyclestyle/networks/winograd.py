"""3 x 3 convolutions with a quarter of the multiplications, there and back.

Lavin and Gray 2016 ("Fast Algorithms for Convolutional Neural Networks"), F(4x4, 3x3): a tile of 4 x 4 results needs 36
products per pair of channels instead of 144; what is added before and after are 36 x 36 and 16 x 36 matrices, the same
for all channels. The way back is the transpose of each of these, so it takes a quarter of the multiplications, too. In
exact arithmetic all of it is the convolution; in float32 it differs in the sixth digit.
"""

import math
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

TILE, TAKES = 4, 6
"""Sides of a tile of results, and of the tile of inputs that it needs."""
PRODUCTS = TAKES**2
BAND = 256
"""Tiles at once, so that a large picture takes little memory beside its maps."""
FEW = 1 << 14
"""Pairs of channels whose kernels are computed at once, in float64."""

# Equations of section 4.3, for the points 0, 1, -1, 2, -2 and infinity.
INPUTS = torch.tensor(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    dtype=torch.float64,
)
KERNEL = (
    torch.tensor([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], dtype=torch.float64) / 24
)
RESULTS = torch.tensor(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], dtype=torch.float64
)
# The same for both axes at once.
OF_INPUTS, OF_RESULTS = (torch.kron(matrix, matrix).float() for matrix in (INPUTS, RESULTS))  # (36, 36), (16, 36)
OF_KERNELS = torch.kron(KERNEL, KERNEL)  # (36, 9)


class _Band(NamedTuple):
    """Some rows of tiles."""

    inputs: slice
    """Rows of the map that they are computed from."""
    results: slice
    tiles: tuple[int, int, int]
    """Pictures, tiles down, tiles across."""

    @property
    def places(self) -> int:
        n, down, across = self.tiles
        return n * down * across


def _bands(spread: Tensor) -> Iterator[_Band]:
    """What is computed at once, from the top to the bottom of (n, 4 i + 2, 4 j + 2, c)."""
    n, height, width, _ = spread.shape
    down, across = height // TILE, width // TILE
    rows = max(1, BAND // (n * across))
    for top in range(0, down, rows):
        last = min(down, top + rows)
        first, end = TILE * top, TILE * last
        yield _Band(slice(first, end + TAKES - TILE), slice(first, end), (n, last - top, across))


class _Scratch(threading.local):
    """A thread's memory that is written to again and again.

    New one would be fetched from the system every time, page by page, and leave holes in which nothing else fits.
    """

    def __init__(self) -> None:
        self.pieces: dict[str, Tensor] = {}

    def __call__(self, piece: str, *shape: int) -> Tensor:
        """A piece with whatever it holds, in float32; it is valid until the piece is asked for again."""
        size = math.prod(shape)
        if size > KEPT:
            return torch.empty(shape)
        if piece not in self.pieces or self.pieces[piece].numel() < size:
            self.pieces.pop(piece, None)
            with torch.inference_mode(False):  # else it could be used in this mode alone
                self.pieces[piece] = torch.empty(size)
        return self.pieces[piece][:size].view(shape)


SCRATCH = _Scratch()
KEPT = 1 << 23
"""Values of the largest pieces that stay when they are not used, 32 MiB."""


# One operation each to whoever compiles. `torch.library.custom_op` would do the same in fewer words, but import the
# compiler when first called: two seconds and 160 MB.
FORWARD, BACKWARD = "cyclestyle::winograd", "cyclestyle::winograd_backward"
torch.library.define(FORWARD, "(Tensor x, Tensor weight, Tensor? bias, Tensor? kernels, int padding) -> Tensor")
torch.library.define(
    BACKWARD,
    "(Tensor gradient, Tensor x, Tensor weight, Tensor? kernels, int padding, bool[2] wanted) -> (Tensor, Tensor)",
)


@torch.library.impl(FORWARD, "CPU")
def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None, kernels: Tensor | None, padding: int) -> Tensor:
    """A convolution; `kernels` are what `_own` would make of the weights, where they do not change."""
    kernels = _own(weight) if kernels is None else kernels
    out = len(weight)
    spread = _spread(x, padding)
    n, height, width, _ = spread.shape
    made = _map(n, out, height - 2, width - 2, x, 2 * padding - 2)
    rows = made.permute(0, 2, 3, 1)
    for band in _bands(spread):
        inputs = _inputs(spread[:, band.inputs], band)
        products = torch.bmm(inputs, kernels, out=SCRATCH("products", PRODUCTS, band.places, out))
        sums = torch.mm(OF_RESULTS, products.view(PRODUCTS, -1), out=SCRATCH("tiles", TILE**2, band.places * out))
        _in_tiles(rows[:, band.results], band).copy_(sums.view(TILE, TILE, *band.tiles, out))
    if bias is not None:
        rows += bias
    return _cut(made, x, 0, 2 * padding - 2)


@torch.library.register_fake(FORWARD)
def _(x: Tensor, weight: Tensor, bias: Tensor | None, kernels: Tensor | None, padding: int) -> Tensor:
    n, _, height, width = x.shape
    size = (n, len(weight), height + 2 * padding - 2, width + 2 * padding - 2)
    return torch.empty(size, dtype=x.dtype, device=x.device, memory_format=_layout(x))


@torch.library.impl(BACKWARD, "CPU")
def _way_back(
    gradient: Tensor, x: Tensor, weight: Tensor, kernels: Tensor | None, padding: int, wanted: list[bool]
) -> tuple[Tensor, Tensor]:
    """Gradients of x and of the weights; those that are not `wanted` are empty."""
    moves, learns = wanted
    transposed = (_own(weight) if kernels is None else kernels).transpose(1, 2)
    spread, (out, channels) = _spread(x, padding), weight.shape[:2]
    n, height, width, _ = spread.shape
    given = _spread(gradient, 0, (height - 2, width - 2))
    of_x = _map(n, channels, height, width, x).zero_() if moves else spread.new_empty(0)
    of_kernels = SCRATCH("gradient", PRODUCTS, channels, out).zero_() if learns else spread.new_empty(0)
    for band in _bands(spread):
        results = SCRATCH("tiles", TILE, TILE, *band.tiles, out).copy_(_in_tiles(given[:, band.results], band))
        products = SCRATCH("products", PRODUCTS, band.places, out)
        torch.mm(OF_RESULTS.T, results.view(TILE**2, -1), out=products.view(PRODUCTS, -1))
        if learns:
            of_kernels.baddbmm_(_inputs(spread[:, band.inputs], band).transpose(1, 2), products)
        if moves:
            inputs = torch.bmm(products, transposed, out=SCRATCH("inputs", PRODUCTS, band.places, channels))
            tiles = SCRATCH("tiles", TAKES, TAKES, *band.tiles, channels)
            torch.mm(OF_INPUTS.T, inputs.view(PRODUCTS, -1), out=tiles.view(PRODUCTS, -1))
            _add(tiles, of_x.permute(0, 2, 3, 1)[:, band.inputs])
    of_weight = weight.new_empty(0)
    if learns:
        taps = OF_KERNELS.T.to(weight.dtype) @ of_kernels.view(PRODUCTS, -1)
        of_weight = taps.view(3, 3, channels, out).permute(3, 2, 0, 1).contiguous()
    return _cut(of_x, x, padding) if moves else of_x, of_weight


@torch.library.register_fake(BACKWARD)
def _(
    gradient: Tensor, x: Tensor, weight: Tensor, kernels: Tensor | None, padding: int, wanted: list[bool]
) -> tuple[Tensor, Tensor]:
    of_x = torch.empty(x.shape if wanted[0] else (0,), dtype=x.dtype, device=x.device)
    of_weight = weight.new_empty(weight.shape if wanted[1] else (0,))
    return (of_x.contiguous(memory_format=_layout(x)) if wanted[0] else of_x), of_weight


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, _, kernels, ctx.padding = inputs
    ctx.save_for_backward(x, weight, kernels)


def _gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, kernels = ctx.saved_tensors
    moves, learns, biased = ctx.needs_input_grad[:3]
    of_x, of_weight = torch.ops.cyclestyle.winograd_backward(gradient, x, weight, kernels, ctx.padding, [moves, learns])
    of_bias = gradient.sum((0, 2, 3)) if biased else None
    return of_x if moves else None, of_weight if learns else None, of_bias, None, None


torch.library.register_autograd(FORWARD, _gradients, setup_context=_keep)


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, kernels: Tensor | None, padding: int) -> Tensor:
    """A 3 x 3 convolution, float32, on a CPU; it can be differentiated, once.

    Args:
        x: (n, c, h, w).
        weight: (o, c, 3, 3).
        bias: (o,).
        kernels: what `settled` gave for the weights, where these change no more.
        padding: 0 or 1.

    Returns:
        (n, o, h + 2 padding - 2, w + 2 padding - 2), laid out in memory as x is.
    """
    made: Tensor = torch.ops.cyclestyle.winograd(x, weight, bias, kernels, padding)
    return made


@torch.inference_mode(False)  # else they could be used in this mode alone
@torch.no_grad()
def settled(weight: Tensor) -> Tensor:
    """What inputs are multiplied with, of weights that change no more; four times as large as these."""
    made = weight.new_empty(PRODUCTS, weight.shape[0] * weight.shape[1])
    for part, of_part in zip(_taps(weight).split(FEW, 1), made.split(FEW, 1), strict=True):
        of_part.copy_(OF_KERNELS @ part.double())
    return made.view(PRODUCTS, weight.shape[1], -1)


def _taps(weight: Tensor) -> Tensor:  # (o, c, 3, 3) -> (9, c o)
    return weight.permute(2, 3, 1, 0).reshape(9, -1)


def _own(weight: Tensor) -> Tensor:
    """What inputs are multiplied with, in scratch memory: (o, c, 3, 3) -> (36, c, o)."""
    out, channels = weight.shape[:2]
    made = SCRATCH("kernels", PRODUCTS, channels, out)
    torch.mm(OF_KERNELS.float(), _taps(weight), out=made.view(PRODUCTS, -1))
    return made


def _spread(x: Tensor, padding: int, size: tuple[int, int] | None = None) -> Tensor:
    """(n, c, h, w) with zeros around, and to the right and below: (n, *size, c), if not told, for whole tiles."""
    height, width = (length + 2 * padding for length in x.shape[-2:])
    if size is None:
        down, across = (-(-(length - 2) // TILE) * TILE + 2 for length in (height, width))
    else:
        down, across = size
    spread = SCRATCH("spread" if size is None else "given", len(x), down, across, x.shape[1])
    if (down, across) != tuple(x.shape[-2:]):
        spread.zero_()
    spread[:, padding:][:, : x.shape[2], padding:][:, :, : x.shape[3]].copy_(x.permute(0, 2, 3, 1))
    return spread


def _map(n: int, channels: int, height: int, width: int, like: Tensor, grown: int = 0) -> Tensor:
    """(n, c, h, w), the channels of a place side by side: in scratch memory, but where `_cut` will give it away."""
    if _whole((height, width), like, grown):
        return torch.empty((n, channels, height, width), memory_format=torch.channels_last)
    return SCRATCH("made", n, height, width, channels).permute(0, 3, 1, 2)


def _whole(size: tuple[int, ...], like: Tensor, grown: int) -> bool:
    """Whether a map is all that is wanted, and laid out as that."""
    return size == tuple(length + grown for length in like.shape[-2:]) and _layout(like) is torch.channels_last


def _cut(made: Tensor, like: Tensor, start: int, grown: int = 0) -> Tensor:
    """A part of (n, c, h, w), by so much larger than another map, laid out in memory as that one.

    No view of it: autograd would forbid in-place operations on what is returned.
    """
    if _whole(tuple(made.shape[-2:]), like, grown):
        return made
    height, width = (size + grown for size in like.shape[-2:])
    return made[:, :, start : start + height, start : start + width].clone(memory_format=_layout(like))


def _layout(x: Tensor) -> torch.memory_format:
    beside = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if beside else torch.contiguous_format


def _inputs(rows: Tensor, band: _Band) -> Tensor:
    """Of (n, 4 i + 2, 4 j + 2, c) what is multiplied, (36, n i j, c), in scratch memory."""
    channels = rows.shape[-1]
    tiles = rows.unfold(1, TAKES, TILE).unfold(2, TAKES, TILE)  # (n, i, j, c, 6, 6)
    taken = SCRATCH("tiles", TAKES, TAKES, *band.tiles, channels).copy_(tiles.permute(4, 5, 0, 1, 2, 3))
    made = SCRATCH("inputs", PRODUCTS, band.places, channels)
    torch.mm(OF_INPUTS, taken.view(PRODUCTS, -1), out=made.view(PRODUCTS, -1))
    return made


def _in_tiles(rows: Tensor, band: _Band) -> Tensor:  # (n, 4 i, 4 j, c) -> a view of it, (4, 4, n, i, j, c)
    n, down, across = band.tiles
    return rows.view(n, down, TILE, across, TILE, -1).permute(2, 4, 0, 1, 3, 5)


def _add(tiles: Tensor, rows: Tensor) -> None:
    """Add (6, 6, n, i, j, c), which overlap, to (n, 4 i + 2, 4 j + 2, c)."""
    n, down, across, channels = tiles.shape[2:]
    wide = SCRATCH("inputs", TAKES, n, down, TILE * across + 2, channels).zero_()
    wide[:, :, :, :-2].view(TAKES, n, down, across, TILE, channels).add_(tiles[:, :TILE].permute(0, 2, 3, 4, 1, 5))
    wide[:, :, :, 2:].view(TAKES, n, down, across, TILE, channels)[..., 2:, :].add_(
        tiles[:, TILE:].permute(0, 2, 3, 4, 1, 5)
    )
    wide = wide.permute(1, 2, 0, 3, 4)  # (n, i, 6, 4 j + 2, c)
    rows[:, :-2].unflatten(1, (down, TILE)).add_(wide[:, :, :TILE])
    rows[:, 2:].unflatten(1, (down, TILE))[:, :, 2:].add_(wide[:, :, TILE:])
