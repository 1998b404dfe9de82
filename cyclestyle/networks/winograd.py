"""3 x 3 convolutions with a quarter of the multiplications, for CPUs that are slow enough at multiplying.

Lavin and Gray 2016 ("Fast Algorithms for Convolutional Neural Networks"), F(4x4, 3x3): a tile of 4 x 4 results needs 36
products per pair of channels instead of 144; what is added before and after are 36 x 36 and 16 x 36 matrices, the same
for all channels. In exact arithmetic it is the convolution; in float32 it differs in the sixth digit.
"""

from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import nn

TILE, TAKES = 4, 6
"""Sides of a tile of results, and of the tile of inputs that it needs."""
PRODUCTS = TAKES**2
BAND = 512
"""Tiles at once, so that a large picture takes little memory beside its maps."""
FEWEST = 128
"""Channels from which on it was measured to pay (scripts/benchmarks/results/painting.md)."""

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

Network = TypeVar("Network", bound=nn.Module)


class WinogradConv(nn.Conv2d):
    """A 3 x 3 convolution without padding whose weights change no more; in other types than float32 the plain one."""

    def __init__(self, plain: nn.Conv2d) -> None:
        super().__init__(plain.in_channels, plain.out_channels, 3, bias=plain.bias is not None, device="meta")
        self.weight, self.bias = plain.weight, plain.bias
        kernels = torch.einsum("ij,ocjk,lk->ilco", KERNEL, plain.weight.detach().double(), KERNEL)
        self.register_buffer("kernels", kernels.reshape(PRODUCTS, self.in_channels, -1).float(), persistent=False)
        self.register_buffer("inputs", torch.kron(INPUTS, INPUTS).float(), persistent=False)
        self.register_buffer("results", torch.kron(RESULTS, RESULTS).float(), persistent=False)

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # (n, c, h, w) -> (n, o, h - 2, w - 2), channels last
        if input.dtype != torch.float32:
            return super().forward(input)
        height, width = (size - 2 for size in input.shape[-2:])
        down, right = (-(-size // TILE) for size in (height, width))
        x = F.pad(input, (0, right * TILE - width, 0, down * TILE - height)).permute(0, 2, 3, 1).contiguous()
        made = x.new_empty(len(x), down * TILE, right * TILE, self.out_channels)
        rows = max(1, BAND // (right * len(x)))
        for top in range(0, down, rows):
            first, last = TILE * top, TILE * min(down, top + rows)
            made[:, first:last] = self._tiles(x[:, first : last + 2])
        return made[:, :height, :width].permute(0, 3, 1, 2)

    def _tiles(self, x: torch.Tensor) -> torch.Tensor:  # (n, 4 i + 2, 4 j + 2, c) -> (n, 4 i, 4 j, o)
        tiles = x.unfold(1, TAKES, TILE).unfold(2, TAKES, TILE)  # (n, i, j, c, 6, 6)
        n, down, right = tiles.shape[:3]
        taken = tiles.permute(4, 5, 0, 1, 2, 3).reshape(PRODUCTS, -1)
        products = (self.inputs @ taken).view(PRODUCTS, -1, self.in_channels) @ self.kernels
        sums = (self.results @ products.view(PRODUCTS, -1)).view(TILE, TILE, n, down, right, -1)
        made = sums.permute(2, 3, 0, 4, 1, 5).reshape(n, TILE * down, TILE * right, -1)
        return made if self.bias is None else made.add_(self.bias)


def pays(device: torch.device) -> bool:
    """Whether fewer multiplications are faster here: on x86 with AVX2; with AVX-512 the direct way is as fast."""
    return device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2"


def with_fewer_products(network: Network) -> Network:
    """Put it in the place of the convolutions that gain by it. The network is changed, its weights' names are not."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Conv2d and _gains(child):
                setattr(module, name, WinogradConv(child))
    return network


def _gains(conv: nn.Conv2d) -> bool:
    plain = (conv.kernel_size, conv.stride, conv.dilation, conv.padding, conv.groups) == (
        (3, 3), (1, 1), (1, 1), (0, 0), 1,
    )  # fmt: skip
    return plain and min(conv.in_channels, conv.out_channels) >= FEWEST
